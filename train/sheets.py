"""Sheets to look at: rows of photo | reference | drawings, with the name of each column above it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from apdgan.generator import HierarchicalGenerator

Picture = NDArray[np.uint8]

GAP_PX = 6
HEAD_PX = 26
SAMPLES = "samples"
"""Folder of a run that holds its sheets."""


def spread(count: int, wanted: int) -> list[int]:
    """``wanted`` numbers spread evenly over ``range(count)``, the first and the last among them."""
    return [int(i) for i in np.linspace(0, count - 1, max(1, min(wanted, count))).round()] if count else []


def sheet(rows: Sequence[Sequence[Picture | None]], heads: Sequence[str], *, side: int = 384) -> Picture:
    """One picture of all rows.

    Args:
        rows: cells (H, W) or (H, W, 3) uint8, square; None stays paper.
        heads: what stands above each column.
        side: pixels of a cell.
    Returns:
        (H, W, 3) uint8 RGB.
    Raises:
        ValueError: no row, or one without a cell for every column.
    """
    if not rows or any(len(row) != len(heads) for row in rows):
        raise ValueError(f"sheet: expected rows of {len(heads)} cells, got {sorted({len(row) for row in rows})}")
    step = side + GAP_PX
    page = np.full((HEAD_PX + len(rows) * step, GAP_PX + len(heads) * step, 3), 255, np.uint8)
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            if cell is not None:
                top, left = HEAD_PX + y * step, GAP_PX + x * step
                page[top : top + side, left : left + side] = _fitted(cell, side)
    return _headed(page, heads, step)


def _fitted(cell: Picture, side: int) -> Picture:
    colour = cell if cell.ndim == 3 else np.repeat(cell[..., None], 3, axis=2)
    way = cv2.INTER_AREA if side < len(cell) else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(colour, (side, side), interpolation=way), np.uint8)


def _headed(page: Picture, heads: Sequence[str], step: int) -> Picture:
    picture = Image.fromarray(page)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(15)
    for x, head in enumerate(heads):
        text = head
        while len(text) > 1 and pen.textlength(text, font=font) > step - GAP_PX:
            text = f"…{text.removeprefix('…')[1:]}"
        pen.text((GAP_PX + x * step, 4), text, fill=(60, 60, 60), font=font)
    return np.array(picture)


def save_sheet(path: Path, page: Picture) -> None:
    """Write a sheet in the format of the path's suffix. Raises ValueError for an unknown one, OSError."""
    try:
        Image.fromarray(page).save(path)
    except ValueError as error:
        raise ValueError(f"{path}: expected a picture's suffix such as .png, got {path.suffix or 'none'}") from error


def sample_sheet(model: HierarchicalGenerator, pairs: Any, *, count: int = 4, side: int = 320) -> Picture:
    """Photo | reference | drawing of ``count`` portraits spread over ``pairs``: what a trainer saves now and then.

    The model draws in eval mode and is left as it was; nothing is learnt from this and no random number is used.

    Args:
        model: on any device.
        pairs: :class:`train.dataset.Pairs`, or any sequence of pairs.
        count: rows.
        side: pixels of a cell.
    Returns:
        (H, W, 3) uint8 RGB; the reference column is left out when no pair has a drawing.
    """
    import torch

    from apdgan.alignment import boxes
    from apdgan.drawer import PortraitDrawer

    chosen = [pairs[i] for i in spread(len(pairs), count)]
    device = next(model.parameters()).device
    modes = [(module, module.training) for module in model.modules()]
    drawer = PortraitDrawer(model).eval()
    drawings = []
    try:
        with torch.inference_mode():
            for pair in chosen:
                arrays = (pair.photo, boxes(pair.points), pair.matte)
                out = drawer(*(torch.from_numpy(np.array(array)).unsqueeze(0).to(device) for array in arrays))
                drawings.append(np.asarray(out[0].cpu().numpy(), np.uint8))
    finally:
        for module, training in modes:
            module.training = training
    rows: list[list[Picture | None]] = [[p.photo, p.drawing, d] for p, d in zip(chosen, drawings, strict=True)]
    heads = ["photo", "reference", "drawing"]
    if all(pair.drawing is None for pair in chosen):
        rows, heads = [[row[0], row[2]] for row in rows], ["photo", "drawing"]
    return sheet(rows, heads, side=side)


def save_sample(run: Path, step: int, page: Picture) -> Path:
    """Write a run's sheet to ``RUN/samples/step-0001500.png``; a report shows them in this order. Raises OSError."""
    path = run / SAMPLES / f"step-{step:07d}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    Image.fromarray(page).save(part, format="PNG")
    part.replace(path)
    return path
