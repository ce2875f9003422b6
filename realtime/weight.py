"""Bolder or thinner lines, by fractions of a pixel."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]

REACH = 1.0 / 720
"""At full weight each flank of a line moves by so much of the page's shorter side: 1 px at 720p."""
HAIRLINE = 0.6
"""Lines too thin to lose anything keep this much of their darkness: they become hairlines and do not break up."""
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
_BLOCK = np.ones((3, 3), np.uint8)
_ROUND = 0.4
"""Share of the block in the mean of cross and block that moves slanted edges as far as upright ones: a disc."""


def weighed(page: Gray, weight: float) -> Gray:
    """The page with every line bolder or thinner.

    Args:
        page: (H, W) uint8, 0 = ink, 255 = paper; not changed.
        weight: -1 (thinner) to 1 (bolder); 0 gives the page itself.
    """
    if weight == 0:
        return page
    left = abs(weight) * REACH * min(page.shape)
    thin = page
    while left > 0:
        # A grey edge moved by one pixel and mixed with where it was lies a part of a pixel further: no steps are seen.
        part = min(1.0, left)
        thin = _mixed(thin, _moved(thin, bolder=weight > 0), part)
        left -= 1.0
    if weight > 0:
        return thin
    opened = np.asarray(cv2.dilate(cv2.erode(255 - page, _BLOCK), _BLOCK), dtype=np.uint8)
    hair = cv2.convertScaleAbs(cv2.subtract(255 - page, opened), alpha=1 - (1 - HAIRLINE) * min(1.0, -weight))
    return np.minimum(thin, 255 - np.asarray(hair, dtype=np.uint8))


def _moved(page: Gray, *, bolder: bool) -> Gray:
    """Every edge moved outwards or inwards by one pixel."""
    move = cv2.erode if bolder else cv2.dilate
    return _mixed(np.asarray(move(page, _CROSS), np.uint8), np.asarray(move(page, _BLOCK), np.uint8), _ROUND)


def _mixed(a: Gray, b: Gray, share: float) -> Gray:
    return b if share >= 1 else np.asarray(cv2.addWeighted(a, 1 - share, b, share, 0), dtype=np.uint8)
