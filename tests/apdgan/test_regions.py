"""Cut and paste against plain slicing, at the borders and where boxes overlap."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from apdgan import alignment
from apdgan.alignment import PART_SIZES, SIZE
from apdgan.regions import PARTS, Region, cut, outside_parts, paste, paste_min

every_part = pytest.mark.parametrize("region", PARTS, ids=lambda region: region.name)


def corners() -> Tensor:
    """(6, 4, 2) int32: the template, the four corners of the square, and all boxes in one place."""
    far = SIZE - np.array(PART_SIZES)
    rows = [alignment.boxes(alignment.TEMPLATE), 0 * far, far, far * (1, 0), far * (0, 1), np.full((4, 2), 200)]
    return torch.from_numpy(np.stack(rows).astype(np.int32))


def pictures(channels: int, seed: int = 0) -> Tensor:
    return torch.rand(len(corners()), channels, SIZE, SIZE, generator=torch.Generator().manual_seed(seed))


def window(boxes: Tensor, batch: int, region: Region) -> tuple[slice, slice]:
    x, y = boxes[batch, region.row].tolist()
    return slice(y, y + region.height), slice(x, x + region.width)


def test_the_table_follows_the_box_sizes() -> None:
    assert [(region.width, region.height) for region in PARTS] == list(PART_SIZES)
    assert [region.row for region in PARTS] == [0, 1, 2, 3]


@every_part
@pytest.mark.parametrize("channels", [1, 3])
def test_cut_is_slicing(region: Region, channels: int) -> None:
    x, boxes = pictures(channels), corners()
    got = cut(x, boxes, region)
    assert got.shape == (len(x), channels, region.height, region.width)
    for i in range(len(x)):
        ys, xs = window(boxes, i, region)
        assert torch.equal(got[i], x[i, :, ys, xs])


@every_part
def test_paste_is_slice_assignment_and_leaves_its_input(region: Region) -> None:
    canvas, boxes = pictures(1), corners()
    patch = -torch.rand(len(canvas), 1, region.height, region.width)
    expected, before = canvas.clone(), canvas.clone()
    for i in range(len(canvas)):
        ys, xs = window(boxes, i, region)
        expected[i, :, ys, xs] = patch[i]
    assert torch.equal(paste(canvas, patch, boxes, region), expected)
    assert torch.equal(canvas, before)


def test_overlapping_patches_join_by_their_minimum() -> None:
    canvas, boxes = pictures(1) * 2 - 1, corners()
    expected, got = canvas.clone(), canvas
    for region in PARTS:
        patch = torch.rand(len(canvas), 1, region.height, region.width) * 2 - 1
        padded = torch.ones_like(canvas)  # the original pads a part with white to the whole square
        for i in range(len(canvas)):
            ys, xs = window(boxes, i, region)
            padded[i, :, ys, xs] = patch[i]
        expected = torch.minimum(expected, padded)
        got = paste_min(got, patch, boxes, region)
    assert torch.equal(got, expected)


def test_outside_parts_is_zero_in_the_boxes_and_one_elsewhere() -> None:
    boxes = corners()
    expected = torch.ones(len(boxes), 1, SIZE, SIZE)
    for i in range(len(boxes)):
        for region in PARTS:
            ys, xs = window(boxes, i, region)
            expected[i, :, ys, xs] = 0
    assert torch.equal(outside_parts(boxes, pictures(3)), expected)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_any_integer_type_of_boxes_will_do(dtype: torch.dtype) -> None:
    x, boxes = pictures(1), corners()
    assert torch.equal(cut(x, boxes.to(dtype), PARTS[2]), cut(x, boxes, PARTS[2]))


@every_part
def test_gradients_reach_exactly_the_pixels_that_were_cut(region: Region) -> None:
    x, boxes = pictures(1).requires_grad_(), corners()
    cut(x, boxes, region).sum().backward()
    assert x.grad is not None
    for i in range(len(x)):
        ys, xs = window(boxes, i, region)
        assert (x.grad[i, :, ys, xs] == 1).all()
        assert x.grad[i].sum() == region.height * region.width
