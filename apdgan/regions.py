"""The four boxes that have networks of their own: one table, exact cut and paste as exportable tensor operations.

Boxes are integers inside the square (:func:`apdgan.alignment.boxes`), so a cut is a gather and a paste a scatter of
flat pixel indices: no resampling, and the graph stays dynamic in the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from apdgan.alignment import PART_SIZES, SIZE


@dataclass(frozen=True, slots=True)
class Region:
    """A boxed part of the face; ``row`` is its row in the (B, 4, 2) boxes tensor."""

    name: str
    row: int
    height: int
    width: int


PARTS: tuple[Region, ...] = tuple(
    Region(name, row, height, width)
    for row, (name, (width, height)) in enumerate(
        zip(("GLEyel", "GLEyer", "GLNose", "GLMouth"), PART_SIZES, strict=True)
    )
)
FOREGROUND, BACKGROUND = "GLHair", "GLBG"
"""The authors call the whole foreground minus the boxes "hair"."""


def pixel_index(boxes: Tensor, region: Region) -> Tensor:
    """Flat indices of a region's pixels. boxes (B, 4, 2) integer x, y -> (B, 1, height * width) int64."""
    corner = boxes[:, region.row].long()
    rows = torch.arange(region.height, device=boxes.device)
    columns = torch.arange(region.width, device=boxes.device)
    y = corner[:, 1, None, None] + rows[None, :, None]
    x = corner[:, 0, None, None] + columns[None, None, :]
    return (y * SIZE + x).flatten(1).unsqueeze(1)


def cut(x: Tensor, boxes: Tensor, region: Region) -> Tensor:
    """Crop a region out of each picture. x (B, C, 512, 512) -> (B, C, height, width), exact."""
    index = pixel_index(boxes, region).expand(-1, x.shape[1], -1)
    return x.flatten(2).gather(2, index).view(-1, x.shape[1], region.height, region.width)


def paste(canvas: Tensor, patch: Tensor, boxes: Tensor, region: Region) -> Tensor:
    """Overwrite a region. canvas (B, 1, 512, 512), patch (B, 1, height, width) -> a new (B, 1, 512, 512)."""
    index = pixel_index(boxes, region)
    return canvas.flatten(2).scatter(2, index, patch.flatten(2)).view(-1, 1, SIZE, SIZE)


def paste_min(canvas: Tensor, patch: Tensor, boxes: Tensor, region: Region) -> Tensor:
    """Pixelwise minimum with a region: the darker ink wins where boxes overlap (CVPR 2019, section 3.1).

    Equal to padding the patch with +1 to the full square and taking the minimum, at a fraction of the work.
    """
    return paste(canvas, torch.minimum(cut(canvas, boxes, region), patch), boxes, region)


def outside_parts(boxes: Tensor, like: Tensor) -> Tensor:
    """1 outside the four boxes, 0 inside. like gives batch, dtype and device -> (B, 1, 512, 512)."""
    mask = torch.ones_like(like[:, :1])
    for region in PARTS:
        index = pixel_index(boxes, region)
        mask = mask.flatten(2).scatter(2, index, torch.zeros_like(index, dtype=mask.dtype)).view(-1, 1, SIZE, SIZE)
    return mask
