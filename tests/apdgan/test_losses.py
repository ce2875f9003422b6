"""The original's own training numbers: same weights and pictures in, same loss terms out, before and after a step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import golden_training as golden
import numpy as np
import pytest
import torch
from torch import Tensor

from apdgan import discriminator as discriminators
from apdgan import losses
from apdgan.chamfer import Maps, NetworkChamfer
from apdgan.discriminator import HierarchicalDiscriminator, local_views
from apdgan.distance import batch_distance_maps, distance_px
from apdgan.generator import GeneratorOutput
from apdgan.losses import LossWeights, Terms, discriminator_terms, generator_terms
from apdgan.regions import BACKGROUND, FOREGROUND

TOLERANCE = {0: 1e-4, 1: 1e-3}
"""Step -> largest relative error of a term."""
MAPS_TOLERANCE = 1e-5


@dataclass(slots=True, kw_only=True)
class Setting:
    """What the terms of the first step are computed from; a test changes one thing in it."""

    out: GeneratorOutput
    batch: dict[str, Tensor]
    fresh: HierarchicalDiscriminator
    """As it is before its first step."""
    stepped: HierarchicalDiscriminator
    """As it is after it, when the generator is judged."""
    chamfer: NetworkChamfer
    maps: Maps
    weights: LossWeights = field(default_factory=LossWeights)

    def terms(self, wanted: str) -> Terms:
        """The terms named, and more."""
        chamfer = self.chamfer if "chamfer" in wanted else None
        stepped = self.stepped if "G_GAN" in wanted else None
        with torch.no_grad():
            judged = discriminator_terms(self.out, **self.batch, discriminator=self.fresh) if "D_" in wanted else {}
            extra = {"weights": self.weights, "chamfer": chamfer, "maps": self.maps}
            return judged | generator_terms(self.out, **self.batch, discriminator=stepped, **extra)


@pytest.fixture(scope="module")
def trained() -> tuple[list[Terms], Setting]:
    """The terms of two whole optimiser steps (forward, discriminators, generator), and the setting of the first."""
    generator, discriminator, batch = golden.generator(), golden.discriminator(), golden.batch()
    adam = {"lr": 2e-4, "betas": (0.5, 0.999)}
    for_g = torch.optim.Adam(generator.parameters(), **adam)
    for_d = torch.optim.Adam(discriminator.parameters(), **adam)
    chamfer, maps = NetworkChamfer(golden.auxiliary()), batch_distance_maps(batch["drawing"])
    logged, setting = [], None
    for _step in (0, 1):
        out = generator(batch["photo"], batch["boxes"], batch["fg"])
        judged = discriminator_terms(out, **batch, discriminator=discriminator)
        for_d.zero_grad()
        judged["D"].backward()
        for_d.step()
        drawn = generator_terms(out, **batch, discriminator=discriminator, chamfer=chamfer, maps=maps)
        if setting is None:
            stepped = golden.discriminator()
            stepped.load_state_dict(discriminator.state_dict())
            setting = Setting(
                out=out, batch=batch, fresh=golden.discriminator(), stepped=stepped, chamfer=chamfer, maps=maps
            )
        for_g.zero_grad()
        drawn["G"].backward()
        for_g.step()
        logged.append({name: value.detach() for name, value in (judged | drawn).items()})
    assert setting is not None
    return logged, setting


@pytest.fixture
def setting(trained: tuple[list[Terms], Setting]) -> Setting:
    """The first step's; fresh for a test to change."""
    return replace(trained[1], chamfer=copy.deepcopy(trained[1].chamfer))


def misses(terms: Terms, step: int) -> dict[str, float]:
    """Term -> relative error."""
    return {
        name: abs(float(terms[name]) - value) / value for name, value in golden.losses(step).items() if name in terms
    }


@pytest.mark.parametrize("step", [0, 1])
def test_every_term_equals_the_originals(trained: tuple[list[Terms], Setting], step: int) -> None:
    found = misses(trained[0][step], step)
    assert len(found) == 11
    assert max(found.values()) <= TOLERANCE[step], found


def test_the_setting_for_the_changes_below_is_the_first_step(setting: Setting) -> None:
    found = misses(setting.terms("D_real G_GAN G_chamfer"), 0)
    assert len(found) == 11
    assert max(found.values()) <= TOLERANCE[0]


def test_distance_maps_equal_the_originals() -> None:
    stored = golden.distances()
    for name, maps in zip(("dt1gt", "dt2gt"), batch_distance_maps(golden.batch()["drawing"]), strict=True):
        np.testing.assert_allclose(maps.numpy()[:, :, ::4, ::4], stored[name], rtol=0, atol=MAPS_TOLERANCE)


Change = Callable[[Setting, pytest.MonkeyPatch], object]


def _weight(name: str) -> Change:
    def change(setting: Setting, _patch: pytest.MonkeyPatch) -> None:
        setting.weights = replace(LossWeights(), **{name: 1.01 * getattr(LossWeights(), name)})

    return change


def _views(module: object, change: Callable[..., dict[str, Tensor]]) -> Change:
    return lambda _setting, patch: patch.setattr(module, "local_views", change)


def _not_masked(picture: Tensor, boxes: Tensor, fg: Tensor, raw: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    whole = dict.fromkeys((FOREGROUND, BACKGROUND), picture) if raw is None else raw
    return local_views(picture, boxes, fg, raw) | {name: whole[name] for name in (FOREGROUND, BACKGROUND)}


def _hair_with_the_boxes(
    picture: Tensor, boxes: Tensor, fg: Tensor, raw: dict[str, Tensor] | None = None
) -> dict[str, Tensor]:
    hair = picture if raw is None else raw[FOREGROUND]
    return local_views(picture, boxes, fg, raw) | {FOREGROUND: (hair / 2 + 0.5) * fg * 2 - 1}


def _white(picture: Tensor, boxes: Tensor, fg: Tensor, raw: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    black, light = local_views(picture, boxes, fg, raw), local_views(torch.ones_like(picture), boxes, fg)
    return {name: view.where(light[name] > 0, 1.0) for name, view in black.items()}


def _fg_inverted(picture: Tensor, boxes: Tensor, fg: Tensor, raw: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    return local_views(picture, boxes, ~fg, raw)


def _of_the_joined_drawing(
    picture: Tensor, boxes: Tensor, fg: Tensor, raw: dict[str, Tensor] | None = None
) -> dict[str, Tensor]:
    del raw
    return local_views(picture, boxes, fg)


def _boxes_moved(picture: Tensor, boxes: Tensor, fg: Tensor, raw: dict[str, Tensor] | None = None) -> dict[str, Tensor]:
    return local_views(picture, boxes + 8, fg, raw)


def _discriminators_in_eval(setting: Setting, patch: pytest.MonkeyPatch) -> None:
    for network in (setting.fresh, setting.stepped):
        for child in network.modules():
            patch.setattr(child, "training", False)


def _judged_before_the_discriminators_step(setting: Setting, _patch: pytest.MonkeyPatch) -> None:
    setting.stepped = setting.fresh


def _answers_swapped(_setting: Setting, patch: pytest.MonkeyPatch) -> None:
    original = losses.adversarial
    patch.setattr(losses, "adversarial", lambda logits, *, real: original(logits, real=not real))


def _local_answers_averaged(_setting: Setting, patch: pytest.MonkeyPatch) -> None:
    original = losses.adversarial

    def averaged(logits: dict[str, Tensor], *, real: bool) -> tuple[Tensor, Tensor]:
        whole, local = original(logits, real=real)
        return whole, local / 6

    patch.setattr(losses, "adversarial", averaged)


def _l1_of_the_global_drawing(setting: Setting, _patch: pytest.MonkeyPatch) -> None:
    setting.out = setting.out._replace(fused=setting.out.global_)


def _auxiliary_in_eval(setting: Setting, _patch: pytest.MonkeyPatch) -> None:
    setting.chamfer.networks.eval()


def _auxiliary_alone_with_each_picture(setting: Setting, patch: pytest.MonkeyPatch) -> None:
    ask = setting.chamfer.networks.ask
    alone: Callable[[str, Tensor], Tensor] = lambda name, x: torch.cat([ask(name, one[None]) for one in x])  # noqa: E731
    patch.setattr(setting.chamfer.networks, "ask", alone)


def _swapped(first: str, second: str) -> Change:
    def change(setting: Setting, _patch: pytest.MonkeyPatch) -> None:
        networks = setting.chamfer.networks
        a, b = networks.get_submodule(first), networks.get_submodule(second)
        setattr(networks, first, b)
        setattr(networks, second, a)

    return change


def _without_line_masks(_setting: Setting, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(NetworkChamfer, "_lines", lambda _self, x: ((x < 0).float(), (x >= 0).float()))


def _lines_of_the_other_colour(_setting: Setting, patch: pytest.MonkeyPatch) -> None:
    original = NetworkChamfer._lines
    patch.setattr(NetworkChamfer, "_lines", lambda self, x: original(self, x)[::-1])


def _summed_over_the_batch(setting: Setting, _patch: pytest.MonkeyPatch) -> None:
    original = setting.chamfer
    setting.chamfer = lambda drawn, wanted, maps: tuple(2 * d for d in original(drawn, wanted, maps))


def _maps_swapped(setting: Setting, _patch: pytest.MonkeyPatch) -> None:
    setting.maps = setting.maps[::-1]


def _maps_over_the_diagonal(setting: Setting, _patch: pytest.MonkeyPatch) -> None:
    drawn = setting.batch["drawing"].numpy()[:, 0]
    maps = [np.stack([distance_px(d < 0), distance_px(d >= 0)]) / np.hypot(512, 512) for d in drawn]
    setting.maps = tuple(torch.from_numpy(np.stack(maps)).float()[:, i : i + 1] for i in (0, 1))


CHANGES: dict[str, tuple[Change, str]] = {
    "weight of the adversary": (_weight("adversarial"), "G_GAN"),
    "weight of the local adversaries": (_weight("adversarial_local"), "G_GAN G_GAN_local"),
    "weight of L1": (_weight("l1"), "G_L1"),
    "weight of the local L1": (_weight("l1_local"), "G_local"),
    "weight of the chamfer": (_weight("chamfer"), "G_chamfer"),
    "weight of the second chamfer": (_weight("chamfer2"), "G_chamfer2"),
    "local L1: not masked": (_views(losses, _not_masked), "G_local"),
    "local L1: boxes left in the hair": (_views(losses, _hair_with_the_boxes), "G_local"),
    "local L1: mask inverted": (_views(losses, _fg_inverted), "G_local"),
    "local L1: regions of the joined drawing": (_views(losses, _of_the_joined_drawing), "G_local"),
    "local L1: boxes moved": (_views(losses, _boxes_moved), "G_local"),
    "adversaries: not masked": (_views(discriminators, _not_masked), "D_real_local D_fake_local G_GAN_local"),
    "adversaries: boxes left in the hair": (_views(discriminators, _hair_with_the_boxes), "D_real_local"),
    "adversaries: masked to white": (_views(discriminators, _white), "D_real_local D_fake_local G_GAN_local"),
    "adversaries: mask inverted": (_views(discriminators, _fg_inverted), "D_real_local D_fake_local G_GAN_local"),
    "adversaries: boxes moved": (_views(discriminators, _boxes_moved), "D_real_local D_fake_local G_GAN_local"),
    "adversaries: eval mode": (_discriminators_in_eval, "D_real D_fake D_real_local D_fake_local G_GAN G_GAN_local"),
    "adversaries: judged before their step": (_judged_before_the_discriminators_step, "G_GAN G_GAN_local"),
    "adversaries: answers swapped": (_answers_swapped, "D_real D_fake D_real_local D_fake_local G_GAN G_GAN_local"),
    "adversaries: local mean": (_local_answers_averaged, "D_real D_fake D_real_local D_fake_local G_GAN G_GAN_local"),
    "L1 of the global drawing": (_l1_of_the_global_drawing, "G_L1 G_chamfer G_chamfer2"),
    "chamfer: eval mode": (_auxiliary_in_eval, "G_chamfer G_chamfer2"),
    "chamfer: statistics of each picture": (_auxiliary_alone_with_each_picture, "G_chamfer"),
    "chamfer: DT1 and DT2 swapped": (_swapped("DT1", "DT2"), "G_chamfer"),
    "chamfer: Line1 and Line2 swapped": (_swapped("Line1", "Line2"), "G_chamfer G_chamfer2"),
    "chamfer: no line masks": (_without_line_masks, "G_chamfer G_chamfer2"),
    "chamfer: masks swapped": (_lines_of_the_other_colour, "G_chamfer G_chamfer2"),
    "chamfer: not divided by the batch": (_summed_over_the_batch, "G_chamfer G_chamfer2"),
    "chamfer: maps swapped": (_maps_swapped, "G_chamfer2"),
    "chamfer: maps over the diagonal": (_maps_over_the_diagonal, "G_chamfer2"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_noticed(name: str, setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    change, expected = CHANGES[name]
    change(setting, monkeypatch)
    found = misses(setting.terms(expected), 0)
    for term in expected.split():
        assert found[term] > 10 * TOLERANCE[0], (term, found)


def test_every_term_is_noticed_by_some_change() -> None:
    assert {term for _, terms in CHANGES.values() for term in terms.split()} | {"G"} == golden.losses(0).keys()


def test_no_gradient_reaches_the_judges_and_none_reaches_the_drawing(setting: Setting) -> None:
    out = GeneratorOutput(*(v.detach().requires_grad_() for v in setting.out[:3]), raw=setting.out.raw)
    judged = discriminator_terms(out, **setting.batch, discriminator=setting.fresh)
    assert torch.autograd.grad(judged["D"], out.fused, allow_unused=True) == (None,)
    drawn = generator_terms(out, **setting.batch, discriminator=setting.fresh)
    drawn["G_GAN"].backward()
    assert out.fused.grad is not None
    assert all(p.grad is None and p.requires_grad for p in setting.fresh.parameters())


def test_a_term_without_weight_is_left_out(setting: Setting) -> None:
    weights = LossWeights(adversarial=0, l1_local=0)
    terms = generator_terms(setting.out, **setting.batch, discriminator=setting.fresh, weights=weights)
    assert terms.keys() == {"G_L1", "G"}
    with pytest.raises(ValueError, match="expected a term with a weight above 0"):
        generator_terms(setting.out, **setting.batch, discriminator=None, weights=LossWeights(l1=0, l1_local=0))
