"""Distance transforms: the exact one at its edges, the soft one against it, and where its gradient goes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from apdgan.distance import batch_distance_maps, distance_maps, distance_px, line_maps, soft_distance, strokes


def scribble(seed: int = 3, size: int = 256) -> NDArray[np.uint8]:
    """Pen strokes and one blot, uint8."""
    rng, drawing = np.random.default_rng(seed), np.full((size, size), 255, np.uint8)
    for _ in range(12):
        x0, y0, x1, y1 = (int(v) for v in rng.integers(0, size, 4))
        cv2.line(drawing, (x0, y0), (x1, y1), 0, 2)
    cv2.circle(drawing, (60, 190), 30, 0, -1)
    return drawing


def as_ink(drawing: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy((drawing <= 127).astype(np.float32))[None, None]


def test_each_map_is_over_its_own_largest_distance() -> None:
    drawing = scribble()
    black, white = distance_maps(drawing)
    assert black.max() == white.max() == 1
    assert (black[drawing == 0] == 0).all()
    assert (white[drawing == 255] == 0).all()
    exact = cv2.distanceTransform((drawing > 127).astype(np.uint8), cv2.DIST_L2, 5)
    np.testing.assert_allclose(black, exact / exact.max(), atol=1e-6)


@pytest.mark.parametrize("value", [0, 255])
def test_a_drawing_of_one_colour_has_maps_too(value: int) -> None:
    black, white = distance_maps(np.full((32, 32), value, np.uint8))
    there, away = (black, white) if value == 0 else (white, black)
    assert (there == 0).all()
    assert (away == 1).all()
    assert (distance_px(np.zeros((30, 40), np.bool_)) == 50).all()


def test_127_is_black_and_128_is_white_in_bytes_and_in_a_batch() -> None:
    drawing = np.full((16, 16), 255, np.uint8)
    drawing[4, 4], drawing[8, 8] = 127, 128
    black, _ = distance_maps(drawing)
    assert black[4, 4] == 0
    assert black[8, 8] > 0
    drawing = np.vstack([drawing, np.arange(256, dtype=np.uint8).reshape(16, 16)])
    maps = batch_distance_maps((torch.from_numpy(drawing).float()[None, None] / 255 - 0.5) / 0.5)
    for got, wanted in zip(maps, distance_maps(drawing), strict=True):
        np.testing.assert_array_equal(got[0, 0].numpy(), wanted)


def test_lines_are_what_a_disc_does_not_fit_into() -> None:
    drawing = np.full((128, 128), 255, np.uint8)
    cv2.line(drawing, (10, 10), (110, 10), 0, 3)
    cv2.circle(drawing, (64, 70), 30, 0, -1)
    cv2.line(drawing, (50, 70), (78, 70), 255, 3)
    black, white = line_maps(drawing)
    assert black[10, 40:80].all()
    assert not black[55, 64]
    assert white[70, 55:75].all()
    assert not white[30, 100]
    assert not (black & (drawing > 127)).any()
    assert not (white & (drawing <= 127)).any()


@pytest.mark.parametrize(("stride", "mean_px", "worst_px"), [(1, 0.4, 1.7), (2, 0.9, 3.2), (4, 1.8, 6.0)])
def test_soft_distance_is_the_exact_one_up_to_its_reach(stride: int, mean_px: float, worst_px: float) -> None:
    drawing, reach = scribble(), 24
    soft = soft_distance(as_ink(drawing), reach_px=reach, stride=stride)[0, 0].numpy()
    soft = soft.repeat(stride, 0).repeat(stride, 1)
    exact = np.minimum(distance_px(drawing <= 127), reach)
    error = np.abs(soft - exact)[(exact > 0) & (exact < reach)]
    assert error.mean() < mean_px
    assert error.max() < worst_px
    assert (soft[exact == 0] == 0).all()
    assert soft.max() == reach


def test_half_as_dark_ink_is_half_as_near() -> None:
    ink = as_ink(scribble())
    full, half = soft_distance(ink, reach_px=8), soft_distance(0.5 * ink, reach_px=8)
    torch.testing.assert_close(half, 4 + 0.5 * full)


def test_the_gradient_is_that_of_the_values() -> None:
    torch.manual_seed(0)
    ink = torch.rand(1, 1, 12, 12)
    ink.requires_grad_()
    weight = torch.rand(1, 1, 12, 12)
    (soft_distance(ink, reach_px=5) * weight).sum().backward()
    assert ink.grad is not None
    step = 1e-3
    for y, x in ((0, 0), (5, 7), (11, 3), divmod(int(ink.detach().argmax()), 12)):
        changed = ink.detach().clone()
        changed[0, 0, y, x] += step
        difference = ((soft_distance(changed, reach_px=5) - soft_distance(ink.detach(), reach_px=5)) * weight).sum()
        assert float(difference) / step == pytest.approx(float(ink.grad[0, 0, y, x]), abs=0.05)


def test_a_missing_line_asks_the_darkest_pixel_in_reach() -> None:
    ink = torch.zeros(1, 1, 64, 64)
    ink[0, 0, 32, 36] = 0.4
    ink.requires_grad_()
    soft_distance(ink, reach_px=8)[0, 0, 32, 32].backward()
    assert ink.grad is not None
    gradient = ink.grad[0, 0]
    assert float(gradient[32, 36]) == -4  # the radii 4 to 7
    assert float(gradient.sum()) == -8  # 0 to 3 ask paper


def test_two_pictures_do_not_mix() -> None:
    first, second = as_ink(scribble(1)), as_ink(scribble(2))
    both = soft_distance(torch.cat([first, second]), reach_px=12, stride=2)
    assert torch.equal(both[1:], soft_distance(second, reach_px=12, stride=2))


@pytest.mark.parametrize("direction", [(0, 1), (1, 0), (1, 1), (1, -1), (1, 2)])
def test_a_stroke_in_any_direction_is_as_sure_as_its_ink(direction: tuple[int, int]) -> None:
    drawing = np.full((64, 64), 255, np.uint8)
    middle, reach = np.array((32, 32)), 20 * np.array(direction[::-1])
    cv2.line(drawing, (middle - reach).tolist(), (middle + reach).tolist(), 0, 3)
    inked, blank = strokes(0.8 * as_ink(drawing))
    assert float(inked[0, 0, 32, 32]) == pytest.approx(0.8)
    assert float(inked[0, 0, 4, 40 if direction != (1, 2) else 4]) < 0.8
    assert float(blank.max()) == 1


def test_dots_are_hardly_more_than_the_grey_they_stand_for() -> None:
    dots = torch.zeros(1, 1, 64, 64)
    dots[..., ::3, ::3] = 1
    inked, blank = (one[..., 8:-8, 8:-8] for one in strokes(dots))
    assert float(inked.max()) < 0.41
    assert float(blank.min()) > 0.59


@pytest.mark.filterwarnings("ignore:Input #0 requires gradient and is not a double")
def test_strokes_send_their_gradient_along_themselves() -> None:
    torch.manual_seed(0)
    ink = torch.rand(1, 1, 9, 11)
    ink.requires_grad_()
    assert torch.autograd.gradcheck(strokes, (ink,), eps=1e-4, atol=1e-2, rtol=1e-2)
