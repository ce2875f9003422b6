"""Several pictures of a clip on one sheet of paper, read left to right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.core import PAPER, Frame

GAP = 8
"""Pixels of paper around every picture."""


def evenly(frames: Iterable[Frame], *, total: int, count: int) -> list[Frame]:
    """``count`` frames spread evenly over ``total``, the first and the last among them; fewer when there are fewer."""
    wanted = set(np.linspace(0, max(total - 1, 0), count).round().astype(int).tolist())
    return [frame for at, frame in enumerate(frames) if at in wanted]


def contact_sheet(frames: Sequence[Frame], *, columns: int = 4, width: int = 480) -> Frame:
    """One frame showing all of ``frames``, each scaled to ``width`` pixels; all are of one size.

    Raises ValueError when there is no frame.
    """
    if not frames:
        raise ValueError("contact sheet: expected at least one frame, got none")
    height = max(1, round(width * frames[0].image.shape[0] / frames[0].image.shape[1]))
    rows = -(-len(frames) // columns)
    shape = (GAP + rows * (height + GAP), GAP + min(columns, len(frames)) * (width + GAP), 3)
    sheet: NDArray[np.uint8] = np.full(shape, PAPER, dtype=np.uint8)
    for at, frame in enumerate(frames):
        y, x = GAP + at // columns * (height + GAP), GAP + at % columns * (width + GAP)
        sheet[y : y + height, x : x + width] = cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA)
    return Frame(image=sheet, index=frames[0].index, captured=frames[-1].captured)
