"""The only door by which the camera's picture comes onto a page.

Two layouts go through it, ``side-by-side`` and ``split``, and nobody gets into them who did not name one. A picture is
shown only together with a drawing of a face that is in it: on a pause, on a loss, at the start and on a blank frame
there is none, and the page stays paper. While a face is missed for a moment its last picture stands still.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.core import Drawing, Frame
from realtime.layouts import View

Bytes = NDArray[np.uint8]


class PhotoDoor:
    """Knows which picture belongs to which drawing."""

    def __init__(self) -> None:
        self._pictures: dict[int, Bytes] = {}

    def close(self) -> None:
        """Forget all pictures: nothing is shown until a face is found again."""
        self._pictures.clear()

    def pictures(self, frame: Frame, drawings: Sequence[Drawing]) -> list[Bytes | None]:
        """For each drawing the picture that its face was found in, (H, W, 3) uint8 RGB; None where none may be shown.

        A face that was found in this frame has this one; one that is missed has the last that it was in, until its
        drawing begins to fade.
        """
        before, self._pictures = self._pictures, {}
        for drawing in drawings:
            face = drawing.portrait.face_id
            picture = before.get(face) if drawing.held else frame.image
            if picture is not None and drawing.opacity >= 1 and not frame.blank:
                self._pictures[face] = picture
        return [self._pictures.get(drawing.portrait.face_id) for drawing in drawings]


def seen(picture: Bytes, view: View, width: int, height: int) -> Bytes:
    """What a page of (height, width) shows of a picture: (height, width, 3) uint8 RGB, white beyond it."""
    zoom = view.zoom
    if (zoom, view.left, view.top) == (1, 0, 0) and picture.shape[1] >= width and picture.shape[0] >= height:
        return picture[:height, :width]
    if zoom < 0.75:  # averaged down first: a warp alone would alias
        size = max(1, round(picture.shape[1] * zoom)), max(1, round(picture.shape[0] * zoom))
        picture, zoom = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8), 1.0
    matrix = np.array([[zoom, 0, view.left + (zoom - 1) / 2], [0, zoom, view.top + (zoom - 1) / 2]])
    shown = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=(255, 255, 255))
    return np.asarray(shown, dtype=np.uint8)
