"""Where a drawing keeps its ink: it runs out towards the sides of its square, so that no square is seen."""

from __future__ import annotations

import functools
import math

import cv2
import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE, invert, transform
from realtime.core import Drawing, Frame

SOFT_PX: NDArray[np.float64] = np.array([48.0, 48.0, 32.0, 56.0])
"""Ink runs out over so many pixels of the square at its left, right, top and bottom, where it would end in a line."""
HATCH_PX = 9.0
"""Distance of the pen strokes in which dark areas run out."""
_STEEP = 4.0 * 255
"""From the fade above a stroke to how dark it is: a quarter makes it whole."""
RUN_OUT = 0.09
"""Where a picture ends on the page its ink runs out over this share of its shorter side."""
_GRID = 128
"""The fade is worked out on a grid this fine; it is smooth, so nothing is lost."""
_ROOM = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))

Gray = NDArray[np.uint8]


def depths_in_frame(drawing: Drawing, width: int, height: int) -> NDArray[np.float64]:
    """How wide each side of the square (left, right, top, bottom) fades: its depth within the frame, at most SOFT_PX.

    A side outside the frame needs no fade, the page ends before it; growing with depth, none appears suddenly.
    """
    matrix = drawing.portrait.matrix.astype(np.float64)
    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    along, zero, full = np.linspace(0, SIZE - 1, 9), np.zeros(9), np.full(9, SIZE - 1.0)
    sides = np.stack([(zero, along), (full, along), (along, zero), (along, full)]).transpose(0, 2, 1)
    points = transform(invert(matrix), sides.reshape(-1, 2)).reshape(4, 9, 2)
    depth = np.minimum(points, np.array([width - 1, height - 1]) - points).min(-1).max(-1) * scale
    return np.asarray(np.clip(depth, 0.0, SOFT_PX), dtype=np.float64)


def soft_mask(drawing: Drawing, widths: NDArray[np.float64], frame: Frame | None) -> Gray | None:
    """Where a drawing keeps its ink, (512, 512) uint8, 255 = all of it; None where it keeps all.

    It runs out in tapering diagonal strokes, as a pen would do it: a plain fade would leave grey on the paper.

    Args:
        widths: px over which the left, right, top and bottom of the square fade; 0 for no fade.
        frame: when given, the ink also fades towards the borders of this frame that cross the square (the person
            ends there, and the page goes on).
    """
    fade = _fade(drawing, widths, frame)
    return None if fade is None else _strokes(fade)


def shared_masks(drawing: Drawing, widths: NDArray[np.float64]) -> tuple[Gray, Gray]:
    """Where a drawing, and where the scene that surrounds it, keep their ink; both (512, 512) uint8, 255 = all of it.

    The drawing has the person, the scene has what is behind and beyond. Towards the sides of the square the one hands
    over to the other: in the middle of that strip both are whole, so a line that crosses it is not broken.

    Args:
        widths: as in :func:`soft_mask`.
    """
    fade = _fade(drawing, widths, None)
    fade = np.ones((_GRID, _GRID), np.float32) if fade is None else fade
    matte = cv2.resize(drawing.portrait.matte, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    # The outline of the person is the drawing's: around it the scene leaves a little room.
    near = cv2.dilate(matte, _ROOM).astype(np.float32) * np.float32(1 / 255)
    return _strokes(np.minimum(1, 2 * fade) * near), _strokes(np.minimum(1, 2 - 2 * fade * near), other=True)


def run_out(
    page: Gray, area: tuple[int, int, int, int], sides: tuple[bool, bool, bool, bool] = (True, True, True, True)
) -> None:
    """Ink runs out where the picture ends on the page and paper goes on.

    Args:
        page: (H, W) uint8, 0 = ink; changed in place.
        area: left, top, right, bottom of the picture on the page, px. A side within 1 px of the page's edge stays.
        sides: left, right, top, bottom: where there is ink that would go on.
    """
    left, top, right, bottom = area
    inner = left > 1, right < page.shape[1] - 1, top > 1, bottom < page.shape[0] - 1
    open_sides = (inner[0] and sides[0], inner[1] and sides[1], inner[2] and sides[2], inner[3] and sides[3])
    if any(open_sides):
        inside = page[top:bottom, left:right]
        mask = _picture_mask(inside.shape[0], inside.shape[1], open_sides)
        inside[:] = 255 - np.asarray(cv2.multiply(255 - inside, mask, scale=1 / 255), dtype=np.uint8)


@functools.lru_cache(maxsize=4)
def _picture_mask(height: int, width: int, open_sides: tuple[bool, bool, bool, bool]) -> Gray:
    """(height, width) uint8, 255 = ink stays: strokes that taper towards the open sides (left, right, top, bottom)."""
    reach = RUN_OUT * min(height, width)
    x, y = np.arange(width, dtype=np.float32)[None] + 0.5, np.arange(height, dtype=np.float32)[:, None] + 0.5
    fade = np.ones((height, width), np.float32)
    for distance, is_open in zip((x, width - x, y, height - y), open_sides, strict=True):
        if is_open:
            ramp = np.clip(distance / np.float32(reach), 0, 1)
            fade *= ramp * ramp * (3 - 2 * ramp)
    strokes = np.maximum(fade - _hatch(height, width), 0)
    return np.asarray(cv2.convertScaleAbs(strokes, alpha=_STEEP), dtype=np.uint8)


def _fade(drawing: Drawing, widths: NDArray[np.float64], frame: Frame | None) -> NDArray[np.float32] | None:
    """How much is left towards the sides, (_GRID, _GRID) float32, 0 to 1; None where all is."""
    at = (np.arange(_GRID, dtype=np.float32) + 0.5) * (SIZE / _GRID) - 0.5
    distances: list[tuple[NDArray[np.float32], float]] = []
    for value, width in zip((at[None], SIZE - 1 - at[None], at[:, None], SIZE - 1 - at[:, None]), widths, strict=True):
        if width >= 1:
            distances.append((value, float(width)))
    matrix = drawing.portrait.matrix.astype(np.float64)
    if frame is not None and not np.array_equal(matrix, np.eye(2, 3)):
        height, width = frame.image.shape[:2]
        scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
        corners = transform(invert(matrix), np.array([(0, 0), (SIZE, 0), (0, SIZE), (SIZE, SIZE)]))
        back = (invert(matrix) * scale).astype(np.float32)
        for axis, last in ((0, width - 1), (1, height - 1)):
            place = back[axis, 0] * at[None] + back[axis, 1] * at[:, None] + back[axis, 2]
            near, far = SOFT_PX[2 * axis], SOFT_PX[2 * axis + 1]
            if corners[:, axis].min() * scale < near:
                distances.append((place, float(near)))
            if (last - corners[:, axis].max()) * scale < far:
                distances.append((np.float32(last * scale) - place, float(far)))
    if not distances:
        return None
    mask = np.ones((_GRID, _GRID), np.float32)
    for value, width in distances:
        ramp = np.clip(value / np.float32(width), 0, 1)
        mask *= ramp * ramp * (3 - 2 * ramp)
    return mask


def _strokes(fade: NDArray[np.float32], *, other: bool = False) -> Gray:
    """A fade as pen strokes: (_GRID, _GRID) float32 -> (512, 512) uint8. ``other`` strokes lie between the first."""
    fine = cv2.resize(fade, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    hatch = 0.75 - _hatch(SIZE, SIZE) if other else _hatch(SIZE, SIZE)
    return np.asarray(cv2.convertScaleAbs(np.maximum(fine - hatch, 0), alpha=_STEEP), dtype=np.uint8)


@functools.lru_cache(maxsize=4)
def _hatch(height: int, width: int) -> NDArray[np.float32]:
    """Diagonal strokes, (height, width) float32 of 0 to 0.75: ink stays where the fade is above, so strokes taper."""
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    phase = (x[None] + y[:, None]) / np.float32(HATCH_PX * math.sqrt(2))
    return np.asarray(1.5 * np.abs(phase - np.floor(phase) - 0.5), dtype=np.float32)
