"""The distance-transform loss in both modes: its value, and which way it moves a line."""

from __future__ import annotations

import golden_training as golden
import pytest
import torch
from torch import Tensor

from apdgan.auxiliary import AuxiliaryNetworks
from apdgan.chamfer import UNIT_PX, ExactChamfer, NetworkChamfer


def line(column: int, *, width: int = 3, ink: float = 1.0) -> Tensor:
    """(1, 1, 512, 512) in [-1, 1]: one upright stroke on paper."""
    drawing = torch.ones(1, 1, 512, 512)
    drawing[..., 100:400, column : column + width] = 1 - 2 * ink
    return drawing


def moved_by(drawn: Tensor, term: int) -> Tensor:
    """Gradient of a term at the drawing, px; wanted is a line at column 200."""
    drawn = drawn.clone().requires_grad_()
    ExactChamfer()(drawn, line(200))[term].backward()
    assert drawn.grad is not None
    return drawn.grad * UNIT_PX


def test_the_differentiable_second_term_has_the_originals_value_and_a_gradient() -> None:
    networks, wanted = golden.auxiliary(), golden.batch()["drawing"]
    drawn = (wanted.roll(5, 3) * 0.5).requires_grad_()
    hard = NetworkChamfer(networks)(drawn, wanted)
    soft = NetworkChamfer(networks, differentiable=True)(drawn, wanted)
    assert soft[1].item() == pytest.approx(hard[1].item(), rel=1e-5)
    assert not hard[1].requires_grad
    (gradient,) = torch.autograd.grad(soft[1], drawn)
    ink = drawn.detach() < 0
    assert float(gradient[ink].max()) <= 0  # lighter (larger) ink far from the wanted is better
    assert float(gradient[ink].min()) < 0
    (gradient,) = torch.autograd.grad(hard[0], drawn)
    assert float(gradient.abs().max()) > 0


def test_the_networks_stay_frozen_in_training_mode() -> None:
    networks = AuxiliaryNetworks(width=2)
    chamfer = NetworkChamfer(networks.eval())
    assert all(module.training for module in networks.modules())
    assert not any(p.requires_grad for p in networks.parameters())
    drawn = golden.batch()["drawing"].clone().requires_grad_()
    sum(chamfer(drawn, golden.batch()["drawing"])).backward()
    assert all(p.grad is None for p in networks.parameters())


def test_exact_distances_grow_with_the_shift_up_to_the_reach() -> None:
    chamfer, wanted = ExactChamfer(reach_px=16), line(200)
    values = [[float(v) for v in chamfer(line(200 + shift), wanted)] for shift in (0, 4, 8, 12, 40, 80)]
    assert values[0] == [pytest.approx(0, abs=8 / UNIT_PX), 0]  # the ends of the stroke
    for term in (0, 1):
        one = [v[term] for v in values]
        assert one[:5] == sorted(one[:5])
        assert one[4] == one[5]  # out of reach
    assert values[2][0] == pytest.approx(300 * 3 * 7 / UNIT_PX, rel=0.2)  # 8 px to the middle of a 3 px line


def test_exact_terms_are_of_one_size_in_a_batch_and_alone() -> None:
    chamfer = ExactChamfer()
    alone = chamfer(line(206), line(200))
    both = chamfer(torch.cat([line(206)] * 2), torch.cat([line(200)] * 2))
    for one, two in zip(alone, both, strict=True):
        assert float(one) == pytest.approx(float(two))


def test_a_misplaced_line_is_asked_to_fade_and_the_wanted_one_to_appear() -> None:
    drawn = line(206, ink=0.6)
    drawn[..., 200:203] = 0.9  # a trace of ink where it is wanted
    first, second = moved_by(drawn, 0), moved_by(drawn, 1)
    wanted, misplaced = ((0, 0, slice(200, 300), slice(x, x + 3)) for x in (200, 206))
    # Descent subtracts the gradient: negative is "lighter".
    assert float(second[misplaced].mean()) < -1
    assert float(second[wanted].mean()) > 0.0
    assert float(first[wanted].sum()) > 0
    assert float(first[misplaced].sum()) > 0  # the nearest dark ink, until there is some nearer


def test_a_screen_of_dots_is_no_drawing_of_a_line() -> None:
    """Dots are near every line; without looking for strokes they would be all that a generator learns."""
    dots, grey = line(200, ink=0), line(200, ink=0)
    dots[..., ::3, ::3], grey[...] = -1, 1 - 2 / 9
    near_dots, near_grey, near_line = (float(ExactChamfer()(one, line(200))[0]) for one in (dots, grey, line(204)))
    assert near_dots > 0.6 * near_grey
    assert near_line < 0.5 * near_dots


def test_nothing_drawn_and_nothing_wanted_are_defined() -> None:
    paper, solid = torch.ones(1, 1, 512, 512), -torch.ones(1, 1, 512, 512)
    for drawn in (paper, solid, line(200)):
        for wanted in (paper, solid, line(200)):
            assert all(bool(torch.isfinite(v)) for v in ExactChamfer()(drawn, wanted))
    assert [float(v) for v in ExactChamfer()(paper, paper)] == [0, 0]


@pytest.mark.parametrize(("reach", "stride"), [(15, 2), (0, 2), (8, 0)])
def test_a_reach_that_does_not_fit_is_refused(reach: int, stride: int) -> None:
    with pytest.raises(ValueError, match="expected a multiple"):
        ExactChamfer(reach_px=reach, stride=stride)
