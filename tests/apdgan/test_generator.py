"""The hierarchical generator apart from its numbers, which test_parity holds against the original."""

from __future__ import annotations

import golden_rule as rule
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from apdgan import alignment
from apdgan.config import NORMS, FusionConfig, ModelConfig, preset
from apdgan.cost import generator_gmac
from apdgan.generator import GeneratorOutput, HierarchicalGenerator
from apdgan.layers import ShuffleFusion
from apdgan.regions import PARTS

PAPER_PARAMETERS = {
    "G": 54_409_857,
    "GLEyel": 1_447_553,
    "GLEyer": 1_447_553,
    "GLNose": 1_447_553,
    "GLMouth": 1_447_553,
    "GLHair": 1_710_209,
    "GLBG": 1_710_209,
    "GCombine": 157_505,
}
PAPER_GMAC = {
    "G": 23.924,
    "GLEyel": 0.379,
    "GLEyer": 0.379,
    "GLNose": 0.389,
    "GLMouth": 0.433,
    "GLHair": 10.536,
    "GLBG": 10.536,
    "GCombine": 41.121,
    "total": 87.696,
}

every_norm = pytest.mark.parametrize("norm", NORMS)
every_family = pytest.mark.parametrize("family", ["paper", "lite"])


def small(family: str, norm: str) -> HierarchicalGenerator:
    """A narrow generator with weights large enough that every input matters."""
    torch.manual_seed(0)
    generator = HierarchicalGenerator(preset(family, norm=norm, width=8)).eval()
    if family == "paper":
        state = generator.state_dict()
        for key in state:
            net, name = key.split(".", 1)
            state[key] = rule.tensor(net, name, list(state[key].shape))
        generator.load_state_dict(state)
    return generator


def inputs(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures, boxes and masks that all differ; the boxes of some faces reach the border."""
    rng = np.random.default_rng(0)
    photo = rng.uniform(-1, 1, (count, 3, 512, 512)).astype(np.float32)
    photo *= np.linspace(0.3, 1, count)[:, None, None, None].astype(np.float32)
    faces = alignment.TEMPLATE + rng.normal(0, 60, (count, 1, 2)) + rng.normal(0, 5, (count, 5, 2))
    fg = np.stack([np.roll(rule.mask(i % 2), 20 * i, axis=1) >= 128 for i in range(count)])[:, None]
    return torch.from_numpy(photo), torch.from_numpy(alignment.boxes(faces)), torch.from_numpy(fg)


def run(generator: HierarchicalGenerator, photo: Tensor, boxes: Tensor, fg: Tensor) -> GeneratorOutput:
    with torch.inference_mode():
        output: GeneratorOutput = generator(photo, boxes, fg)
    return output


def named(output: GeneratorOutput) -> dict[str, Tensor]:
    return {"fused": output.fused, "global": output.global_, "local": output.local_map, **output.raw}


@every_family
@every_norm
def test_batches_of_two_and_five_equal_their_singles(family: str, norm: str) -> None:
    generator, (photo, boxes, fg) = small(family, norm), inputs(5)
    singles = [named(run(generator, photo[i : i + 1], boxes[i : i + 1], fg[i : i + 1])) for i in range(5)]
    for count in (2, 5):
        batch = named(run(generator, photo[:count], boxes[:count], fg[:count]))
        for name, value in batch.items():
            expected = torch.cat([single[name] for single in singles[:count]])
            # fp32 kernels may sum in another order for another batch size.
            torch.testing.assert_close(value, expected, rtol=0, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")
    assert (singles[0]["fused"] - singles[1]["fused"]).abs().max() > 0.01


@every_family
@every_norm
def test_maps_have_their_sizes_and_stay_within_one(family: str, norm: str) -> None:
    output = run(small(family, norm), *inputs(2))
    for value in (output.fused, output.global_, output.local_map, output.raw["GLHair"], output.raw["GLBG"]):
        assert value.shape == (2, 1, 512, 512)
    for region in PARTS:
        assert output.raw[region.name].shape == (2, 1, region.height, region.width)
    assert set(output.raw) == {"GLEyel", "GLEyer", "GLNose", "GLMouth", "GLHair", "GLBG"}
    for name, value in named(output).items():
        assert value.isfinite().all(), name
        assert value.abs().max() <= 1, name


@every_norm
def test_the_local_map_is_the_minimum_of_the_six_drawings_on_white(norm: str) -> None:
    photo, boxes, fg = inputs(3)
    output = run(small("paper", norm), photo, boxes, fg)
    for i in range(3):
        outside = torch.ones(512, 512, dtype=torch.bool)
        layers = []
        for region in PARTS:
            x, y = boxes[i, region.row].tolist()
            outside[y : y + region.height, x : x + region.width] = False
            layers.append(torch.ones(512, 512))
            layers[-1][y : y + region.height, x : x + region.width] = output.raw[region.name][i, 0]
        white = torch.tensor(1.0)
        layers.append(torch.where(outside & fg[i, 0], output.raw["GLHair"][i, 0], white))
        layers.append(torch.where(~fg[i, 0], output.raw["GLBG"][i, 0], white))
        torch.testing.assert_close(output.local_map[i, 0], torch.stack(layers).amin(0), rtol=0, atol=1e-6)


@every_norm
def test_each_area_network_sees_black_where_it_has_nothing_to_draw(norm: str) -> None:
    generator, (photo, boxes, fg) = small("paper", norm), inputs(1)
    seen: dict[str, Tensor] = {}
    for name in ("GLHair", "GLBG"):
        generator.get_submodule(name).register_forward_pre_hook(lambda _, args, name=name: seen.update({name: args[0]}))
    run(generator, photo, boxes, fg)
    outside = torch.ones_like(fg)
    for region in PARTS:
        x, y = boxes[0, region.row].tolist()
        outside[:, :, y : y + region.height, x : x + region.width] = False
    for name, area in (("GLHair", fg & outside), ("GLBG", ~fg)):
        torch.testing.assert_close(seen[name], torch.where(area, photo, -1.0), rtol=0, atol=1e-6)


@every_norm
@pytest.mark.parametrize("person", [True, False])
def test_an_empty_or_full_matte_is_drawn(norm: str, person: bool) -> None:
    photo, boxes, _ = inputs(1)
    output = run(small("paper", norm), photo, boxes, torch.full((1, 1, 512, 512), person))
    assert all(value.isfinite().all() for value in named(output).values())


@pytest.mark.parametrize("width", rule.WIDTHS)
def test_tensors_bear_the_authors_names_and_shapes(width: int) -> None:
    with torch.device("meta"):
        batch = HierarchicalGenerator(preset("paper", norm="batch", width=width)).state_dict()
        instance = HierarchicalGenerator(preset("paper", norm="instance", width=width)).state_dict()
    official = {f"{net}.{key}": tuple(s) for net, keys in rule.shapes(width).items() for key, s in keys.items()}
    assert {key: tuple(value.shape) for key, value in batch.items()} == official
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    assert set(instance) == {key for key in official if not key.endswith(statistics)}


def test_the_paper_preset_has_the_papers_size_and_cost() -> None:
    generator = HierarchicalGenerator(preset("paper"))
    counts = {name: sum(p.numel() for p in net.parameters()) for name, net in generator.named_children()}
    assert counts == PAPER_PARAMETERS
    assert generator_gmac(generator) == pytest.approx(PAPER_GMAC, abs=0.0006)


def test_the_lite_preset_stays_within_its_budget() -> None:
    generator = HierarchicalGenerator(preset("lite"))
    assert generator_gmac(generator)["total"] <= 2.5
    assert sum(p.numel() for p in generator.parameters()) * 4 <= 16e6


def test_per_picture_statistics_draw_the_same_in_training_mode() -> None:
    generator, batch = small("paper", "instance"), inputs(1)
    still = run(generator, *batch).fused
    assert torch.equal(run(generator.train(), *batch).fused, still)


def test_running_statistics_train_with_dropout() -> None:
    generator, batch = small("paper", "batch").train(), inputs(1)
    assert not torch.equal(run(generator, *batch).fused, run(generator, *batch).fused)


@every_family
@every_norm
def test_a_config_survives_json(family: str, norm: str) -> None:
    import json

    config = preset(family, norm=norm, width=16)
    assert ModelConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("data", [{}, {"family": "paper"}, {**preset("lite").to_dict(), "nets": {}}, {"nets": 3}])
def test_a_config_of_something_else_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        ModelConfig.from_dict(data)


def test_an_unknown_preset_or_norm_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="expected one of paper, studio, lite, got 'big'"):
        preset("big")
    with pytest.raises(ValueError, match="expected one of batch, instance, got 'group'"):
        preset("paper", norm="group")


def test_a_soft_matte_fades_the_drawing_of_the_foreground_to_paper() -> None:
    generator, (photo, boxes, _) = small("lite", "batch"), inputs(1)
    levels = torch.tensor([0.0, 0.25, 1.0])
    drawing = torch.full((3, 1, 512, 512), -0.5)
    faded = generator.masked(drawing, levels[:, None, None, None].expand_as(drawing))
    assert faded[:, 0, 0, 0].tolist() == pytest.approx([1.0, 0.625, -0.5])
    whole = torch.ones(1, 1, 512, 512)
    hard = run(generator, photo, boxes, whole.bool())
    assert torch.equal(run(generator, photo, boxes, whole).fused, hard.fused)
    half = run(generator, photo, boxes, whole / 2)
    assert not torch.equal(half.local_map, hard.local_map)


def test_the_last_step_can_be_made_thinner_steeper_and_lighter_and_the_configuration_follows() -> None:
    torch.manual_seed(0)
    ink = {}
    photo, corners, fg = (
        torch.rand(1, 3, 512, 512) * 2 - 1,
        torch.tensor([[[140, 200], [260, 200], [208, 250], [192, 330]]]),
        torch.ones(1, 1, 512, 512),
    )
    for name, how in {
        "as built": {},
        "thin": {"crest": 9.0},
        "knee": {"crest": 9.0, "knee": 0.01},
        "light": {"lighten": 0.5},
    }.items():
        torch.manual_seed(1)
        generator = HierarchicalGenerator(preset("lite", width=8)).eval()
        generator.sharpen(2.0, **how)
        with torch.inference_mode():
            ink[name] = float((generator(photo, corners, fg).fused < 0).float().mean())
    assert ink["thin"] < ink["knee"] < 1
    assert ink["light"] < ink["as built"]
    generator.sharpen(3.0, crest=9.0, knee=2.0)
    generator.sharpen(3.0)
    assert (generator.config.fusion.crest, generator.config.fusion.knee) == (9.0, 6.0)


STROKES = {
    "across": torch.arange(16)[:, None].expand(16, 16) == 8,
    "down": torch.arange(16).expand(16, 16) == 8,
    "falling": torch.eye(16).bool(),
    "rising": torch.eye(16).flip(1).bool(),
}


@pytest.mark.parametrize("name", STROKES)
def test_pixels_of_one_stroke_do_not_hold_each_other_back(name: str) -> None:
    stroke = STROKES[name]
    y = torch.full((1, 1, 16, 16), 1.0)
    y[0, 0, stroke] = torch.tensor([-0.2, -0.6]).repeat(8)  # a faint line, the pixels of which differ
    beside = (functional.max_pool2d(stroke[None].float(), 3, 1, 1)[0] > 0) & ~stroke
    dots = {}
    for along in (False, True):
        config = FusionConfig(kind="shuffle", width=4, crest=4.0, along=along)
        fusion = ShuffleFusion(config=config, norm="batch")
        drawn = (y + fusion.crest * fusion.inhibition(y))[0, 0]
        assert (drawn[beside] > 1.5).all(), "what lies beside is held back"
        dots[along] = int((drawn[stroke][1:-1] >= 0).sum())  # the picture's border is in doubt
    assert dots == {False: 7, True: 0}


def test_the_papers_fusion_has_no_such_step() -> None:
    generator = HierarchicalGenerator(preset("paper", width=2))
    with pytest.raises(ValueError, match=r"of a studio or lite network; got 3\.0 and None of paper"):
        generator.sharpen(crest=3.0)


def test_a_crest_of_ones_own_is_for_narrow_presets() -> None:
    assert preset("lite", crest=0.0).fusion.crest == 0
    assert (preset("lite", knee=1.5).fusion.knee, preset("lite", knee=1.5).fusion.crest) == (1.5, 2.0)
    with pytest.raises(ValueError, match="knee"):
        preset("lite", knee=-1.0)
    with pytest.raises(ValueError, match=r"crest: expected 0 or more, with preset studio or lite; got 1\.0 with paper"):
        preset("paper", crest=1.0)
