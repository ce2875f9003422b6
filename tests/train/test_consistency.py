"""The drawing of a moved photo is the moved drawing: what the temporal term rewards and what it punishes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from apdgan.alignment import TEMPLATE, boxes
from train.consistency import Consistency, Moment, motion, shake


def scene(count: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    y, x = np.mgrid[0:512, 0:512]
    wave = np.sin(x / 9.0) * np.cos(y / 13.0)
    photo = torch.from_numpy(np.stack([wave] * 3)).float()[None].repeat(count, 1, 1, 1)
    person = torch.from_numpy(np.hypot(x - 256, y - 256) < 150).float()[None, None].repeat(count, 1, 1, 1)
    return photo, torch.from_numpy(boxes(TEMPLATE))[None].repeat(count, 1, 1), person


def moved(drawing: Tensor, moment: Moment) -> Tensor:
    return F.grid_sample(drawing, moment.grid, mode="bilinear", padding_mode="border", align_corners=False)


def strokes(count: int = 2) -> Tensor:
    drawing = torch.ones(count, 1, 512, 512)
    drawing[..., 100:400:40, 50:450] = -1
    drawing[..., 101:401:40, 50:450] = -1
    return drawing


def later(*, still: float = 0.0, seed: int = 3, soft: bool = True) -> Moment:
    photo, corners, person = scene()
    fg = person if soft else person > 0.5
    return Consistency(still=still).later(photo, corners, fg, count=2, rng=np.random.default_rng(seed))


def test_a_drawing_that_moves_with_its_photo_costs_nothing() -> None:
    moment = later()
    assert float(Consistency().term(strokes(), moved(strokes(), moment), moment)) < 1e-6


def test_a_stroke_that_goes_out_costs_more_than_one_that_lags() -> None:
    moment = later()
    lost = strokes()
    lost[..., 100:200, :] = 1
    gone = float(Consistency().term(strokes(), moved(lost, moment), moment))
    lagging = float(Consistency().term(strokes(), strokes(), moment))
    assert gone > 1e-3
    assert lagging > 1e-4


def test_the_weight_scales_the_term_and_the_gradient_reaches_both_drawings() -> None:
    moment = later()
    now, then = strokes().requires_grad_(), torch.zeros(2, 1, 512, 512, requires_grad=True)
    single = Consistency(weight=1.0).term(now, then, moment)
    heavy = Consistency(weight=7.0).term(now, then, moment)
    assert heavy.item() == pytest.approx(7 * single.item(), rel=1e-6)
    single.backward()
    assert now.grad is not None
    assert then.grad is not None
    assert float(now.grad.abs().sum()) > 0
    assert float(then.grad.abs().sum()) > 0


def test_the_second_photo_is_the_first_one_moved_but_for_noise() -> None:
    photo, *_ = scene()
    moment = later()
    apart = (moment.photo - moved(photo, moment)).abs().mean()
    unmoved = (moment.photo - photo).abs().mean()
    assert float(apart) < 0.06
    assert float(unmoved) > 2 * float(apart)


def test_a_still_moment_moves_by_less_than_a_pixel_and_yet_differs() -> None:
    axis = torch.arange(512, dtype=torch.float32)
    home = (torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1) * 2 + 1) / 512 - 1
    still = later(still=1.0)
    assert float((still.grid - home).abs().max()) * 256 < 1.0
    assert not torch.equal(still.photo, scene()[0])
    assert float((later(still=0.0).grid - home).abs().max()) * 256 > 1.0


def test_the_matte_wavers_at_its_border_only_and_keeps_its_kind() -> None:
    _, _, person = scene()
    moment = later(still=1.0)
    assert moment.fg.is_floating_point()
    assert float(moment.fg.min()) >= 0
    assert float(moment.fg.max()) <= 1
    apart = (moment.fg - moved(person, moment)).abs()
    depth = F.avg_pool2d(person, 31, 1, 15)
    assert float(apart[depth > 0.999].max()) < 1e-4
    assert float(apart[(depth > 0.3) & (depth < 0.7)].mean()) > 1e-3
    assert later(soft=False).fg.dtype == torch.bool


def test_boxes_stay_inside_the_square_and_the_same_seed_gives_the_same_moment() -> None:
    photo, corners, person = scene()
    corners[:, 0] = 0
    corners[:, 1] = torch.tensor([400, 432])
    for seed in range(8):
        moment = Consistency().later(photo, corners, person, count=2, rng=np.random.default_rng(seed))
        assert int(moment.boxes.min()) >= 0
        assert bool((moment.boxes[:, 1] == torch.tensor([400, 432])).all())
    first, second = later(seed=5), later(seed=5)
    assert torch.equal(first.photo, second.photo)
    assert torch.equal(first.boxes, second.boxes)
    assert not torch.equal(first.photo, later(seed=6).photo)


def test_a_hasty_moment_is_softer_but_in_its_place() -> None:
    rng = np.random.default_rng(2)
    image = np.full((512, 512, 3), 255, np.float32)
    image[200:202, 100:400] = image[100:400, 300:302] = 0
    softer = [shake(rng, image) for _ in range(40)]
    coarse = 0.5 / 0.3  # half a pixel of the fewest
    for one in softer:
        ink, sharp = 255 - one[..., 0], 255 - image[..., 0]
        assert float((ink**2).sum()) < 0.9 * float((sharp**2).sum())
        assert float(ink.sum()) == pytest.approx(float(sharp.sum()), rel=0.05)
        row, column = ink[:, 120:280].sum(1), ink[120:180].sum(0)
        assert float(row @ np.arange(512) / row.sum()) == pytest.approx(200.5, abs=coarse)
        assert float(column @ np.arange(512) / column.sum()) == pytest.approx(300.5, abs=coarse)


def test_only_moments_with_motion_are_shaken() -> None:
    photo, corners, person = scene()
    for still, same in ((1.0, True), (0.0, False)):
        calm, hasty = (
            Consistency(still=still, shaken=share).later(photo, corners, person, count=2, rng=np.random.default_rng(4))
            for share in (0.0, 1.0)
        )
        assert torch.equal(calm.photo, hasty.photo) is same
    with pytest.raises(ValueError, match="shaken"):
        Consistency(shaken=2.0)


def test_motion_grows_with_its_reach() -> None:
    rng = np.random.default_rng(0)
    small = np.mean([np.abs(motion(rng, 512, 0.25)).mean() for _ in range(20)])
    large = np.mean([np.abs(motion(rng, 512, 2.5)).mean() for _ in range(20)])
    assert 0.02 < small < 0.5
    assert large > 5 * small


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="weight >= 0"):
        Consistency(weight=-1.0)


def test_a_later_moment_moves_as_far_as_it_is_told() -> None:
    photo, corners, person = scene()
    axis = torch.arange(512, dtype=torch.float32)
    here = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)

    def moved_px(reach: float) -> float:
        grids = [
            Consistency(still=0.0, reach=reach)
            .later(photo, corners, person, count=2, rng=np.random.default_rng(seed))
            .grid
            for seed in range(6)
        ]
        return float(np.mean([(((grid + 1) * 512 - 1) / 2 - here).abs().mean() for grid in grids]))

    assert 0.3 < moved_px(2.0) < 3
    assert moved_px(8.0) > 2.5 * moved_px(2.0)
    with pytest.raises(ValueError, match="reach"):
        Consistency(reach=0.0)


def test_a_screen_that_stays_where_it_is_costs_only_what_is_compared_exactly() -> None:
    photo, corners, person = scene()
    axis = torch.arange(512)
    screen = ((axis[:, None] + axis[None]) % 2 * 2.0 - 1).expand(2, 1, 512, 512)
    cost = {}
    for exact in (0.0, 0.5, 1.0):
        steady = Consistency(still=0.0, exact=exact)
        moment = steady.later(photo, corners, person, count=2, rng=np.random.default_rng(3))
        cost[exact] = float(steady.term(screen, screen, moment))
        grey = torch.zeros_like(screen)
        assert float(steady.term(grey, grey, moment)) == 0
    assert cost[1.0] > 10 * cost[0.0]
    assert cost[0.5] == pytest.approx((cost[0.0] + cost[1.0]) / 2, rel=1e-5)
    with pytest.raises(ValueError, match="exact"):
        Consistency(exact=-0.1)
