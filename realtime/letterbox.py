"""Fitting a picture into a size that cannot change any more (a file, a virtual camera)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.core import PAPER

Bytes = NDArray[np.uint8]


def letterbox(image: Bytes, width: int, height: int) -> Bytes:
    """The picture as large as it fits on paper of the given size, centred; (height, width, 3) uint8, C-contiguous."""
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    scale = min(width / image.shape[1], height / image.shape[0])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    page = np.full((height, width, 3), PAPER, dtype=np.uint8)
    x, y = (width - size[0]) // 2, (height - size[1]) // 2
    page[y : y + size[1], x : x + size[0]] = cv2.resize(image, size, interpolation=how)
    return page
