"""Drawings on paper: the three layouts, soft edges, crisp lines at any size.

``portrait``: each drawing square as large as the page lets it be, several side by side. ``inplace``: every drawing
where its face was, on a page framed as the input. ``square``: the drawing itself, nothing softened.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE, invert, transform
from realtime.controls import Layout
from realtime.core import PAPER, Drawing, Frame

SOFT_PX: NDArray[np.float64] = np.array([48.0, 48.0, 32.0, 56.0])
"""Ink runs out over so many pixels of the square at its left, right, top and bottom, where it would end in a line."""
HATCH_PX = 9.0
"""Distance of the pen strokes in which dark areas run out."""
_GRID = 128
"""The fade is worked out on a grid this fine; it is smooth, so nothing is lost."""

Gray = NDArray[np.uint8]


class Compositor:
    """Composes frames.

    The page keeps the size that the first frame gave it, whatever layout is chosen later: a file or a virtual camera
    cannot change its size on the way.
    """

    def __init__(self, *, size: tuple[int, int] | None = None, even: bool = True) -> None:
        """
        Args:
            size: (width, height) of the output in pixels. Without it 512 x 512 for ``square``, the input's size for
                ``inplace``, and for ``portrait`` the input's size, enlarged until a square of 512 fits into it.
            even: round odd sides up by one pixel of paper, as video codecs want it.
        """
        self._size = size
        self._even = even
        self._page: tuple[int, int] | None = None

    def paper(self, frame: Frame, layout: Layout) -> Frame:
        """Plain paper of the output's size, with the frame's index, captured time and pts."""
        width, height = self._page_size(frame, layout)
        return _framed(np.full((height, width), PAPER, np.uint8), frame)

    def compose(self, frame: Frame, drawings: Sequence[Drawing], layout: Layout, mirror: bool) -> Frame:
        """Put the drawings on paper.

        Args:
            frame: where index, times and, for ``inplace``, the framing come from; its image is never shown.
            drawings: any number of them; where they overlap the darker ink wins.
            layout: see the module.
            mirror: flip the finished picture.
        """
        width, height = self._page_size(frame, layout)
        page = np.full((height, width), PAPER, np.uint8)
        if layout == "inplace":
            for drawing in drawings:
                _paste_inplace(page, drawing, frame)
        else:
            order = sorted(drawings, key=_centre_x)
            for drawing, cell in zip(order, _cells(len(order), width, height), strict=True):
                _paste_cell(page, drawing, frame, cell, soft=layout == "portrait")
        return _framed(np.ascontiguousarray(page[:, ::-1]) if mirror else page, frame)

    def _page_size(self, frame: Frame, layout: Layout) -> tuple[int, int]:
        if self._page is None:
            height, width = frame.image.shape[:2]
            if layout == "square":
                width = height = SIZE
            elif layout == "portrait" and min(width, height) < SIZE:
                larger = SIZE / min(width, height)
                width, height = round(width * larger), round(height * larger)
            wanted = self._size or (width, height)
            odd = 1 if self._even else 0
            self._page = (wanted[0] + (wanted[0] & odd), wanted[1] + (wanted[1] & odd))
        return self._page


def _framed(page: Gray, frame: Frame) -> Frame:
    image = np.asarray(cv2.cvtColor(page, cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    return Frame(image=image, index=frame.index, captured=frame.captured, pts=frame.pts)


def _centre_x(drawing: Drawing) -> float:
    """Where the face is in the frame: people stand on the page as they sit before the camera."""
    return float(transform(invert(drawing.portrait.matrix), np.array([[SIZE / 2, SIZE / 2]]))[0, 0])


def _cells(count: int, width: int, height: int) -> list[tuple[int, int, int]]:
    """(x, y, side) of ``count`` equal squares, as large as they can be, in centred rows."""
    if count == 0:
        return []
    columns = max(range(1, count + 1), key=lambda c: min(width // c, height // math.ceil(count / c)))
    rows = math.ceil(count / columns)
    side = max(1, min(width // columns, height // rows))
    cells = []
    for i in range(count):
        row = i // columns
        in_row = min(columns, count - row * columns)
        x = (width - in_row * side) // 2 + (i % columns) * side
        cells.append((x, (height - rows * side) // 2 + row * side, side))
    return cells


def _paste_cell(page: Gray, drawing: Drawing, frame: Frame, cell: tuple[int, int, int], *, soft: bool) -> None:
    x, y, side = cell
    ink = drawing.ink if side == SIZE else _resize(drawing.ink, side)
    mask = None
    if soft:
        # Where the square ends at the page's own edge the paper ends too: no fade there.
        inside = np.array([x, page.shape[1] - x - side, y, page.shape[0] - y - side]) > 0
        mask = _soft_mask(drawing, np.where(inside, SOFT_PX, 0.0), frame)
        mask = None if mask is None or side == SIZE else _resize(mask, side)
    _lay(page[y : y + side, x : x + side], ink, mask, side / SIZE, drawing.opacity)


def _resize(square: Gray, side: int) -> Gray:
    interpolation = cv2.INTER_CUBIC if side > len(square) else cv2.INTER_AREA
    return np.asarray(cv2.resize(square, (side, side), interpolation=interpolation), dtype=np.uint8)


def _paste_inplace(page: Gray, drawing: Drawing, frame: Frame) -> None:
    height, width = frame.image.shape[:2]
    zoom, left, top = _framing(page, width, height)
    to_page = invert(drawing.portrait.matrix) * zoom
    to_page[:, 2] += (zoom - 1) / 2 + np.array([left, top])  # pixel centres: page = (frame + 0.5) zoom - 0.5
    corners = transform(to_page, np.array([(-1, -1), (SIZE, -1), (-1, SIZE), (SIZE, SIZE)]))
    x0, y0 = (int(v) for v in np.maximum(np.floor(corners.min(0)), (left, top)))
    x1, y1 = (int(v) for v in np.minimum(np.ceil(corners.max(0)) + 1, (left + width * zoom, top + height * zoom)))
    if x1 <= x0 or y1 <= y0:
        return
    to_page[:, 2] -= (x0, y0)
    scale = math.sqrt(abs(np.linalg.det(to_page[:, :2])))
    area = page[y0:y1, x0:x1]
    ink = _warp(drawing.ink, to_page, scale, area.shape, PAPER)
    mask = _soft_mask(drawing, _depths_in_frame(drawing, width, height), None)
    if mask is not None:
        mask = _warp(mask, to_page, scale, area.shape, 0)
    _lay(area, ink, mask, scale, drawing.opacity)


def _framing(page: Gray, width: int, height: int) -> tuple[float, float, float]:
    """Zoom and top-left corner that centre the frame on the page, but for the pixel that makes a side even."""
    if 0 <= page.shape[1] - width <= 1 and 0 <= page.shape[0] - height <= 1:
        return 1.0, 0.0, 0.0
    zoom = min(page.shape[1] / width, page.shape[0] / height)
    return zoom, (page.shape[1] - width * zoom) / 2, (page.shape[0] - height * zoom) / 2


def _warp(image: Gray, matrix: NDArray[np.float64], scale: float, shape: tuple[int, ...], border: int) -> Gray:
    """Warp one square; one that shrinks is averaged down first, so that thin lines do not break up."""
    if scale < 0.75:
        side = max(2, round(image.shape[0] * scale))
        k = image.shape[0] / side
        image = _resize(image, side)
        matrix = _coarser(matrix, k)
    flags = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_LINEAR
    warped = cv2.warpAffine(
        image, matrix, (shape[1], shape[0]), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=(border,)
    )
    return np.asarray(warped, dtype=np.uint8)


def _coarser(matrix: NDArray[np.float64], k: float) -> NDArray[np.float64]:
    """The same matrix for a picture with pixels ``k`` times as large: centres lie at (i + 0.5) k - 0.5."""
    return np.hstack([matrix[:, :2] * k, (matrix[:, 2] + matrix[:, :2] @ np.full(2, (k - 1) / 2))[:, None]])


def _lay(area: Gray, ink: Gray, mask: Gray | None, scale: float, opacity: float) -> None:
    """Ink into the page by the minimum, with its edges kept as sharp as they were before it was scaled."""
    dark = 255 - np.asarray(cv2.LUT(ink, _tone(scale)), dtype=np.uint8)
    if mask is not None:
        dark = np.asarray(cv2.multiply(dark, mask, scale=opacity / 255), dtype=np.uint8)
    elif opacity < 1:
        dark = np.asarray(cv2.convertScaleAbs(dark, alpha=opacity), dtype=np.uint8)
    np.minimum(area, 255 - dark, out=area)


def _tone(scale: float) -> Gray:
    """Grey curve, (256,) uint8. Enlarged lines have soft flanks as wide as the factor: steepen them by it. Shrunk lines
    pale as they get thinner than a pixel: darken them."""
    grey = np.arange(256, dtype=np.float64)
    if scale > 1.02:
        grey = (grey - 127.5) * scale + 127.5
    elif scale < 0.75:
        grey = 255 - (255 - grey) * min(1.7, scale**-0.5)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def _depths_in_frame(drawing: Drawing, width: int, height: int) -> NDArray[np.float64]:
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


def _soft_mask(drawing: Drawing, widths: NDArray[np.float64], frame: Frame | None) -> Gray | None:
    """Where a drawing keeps its ink, (512, 512) uint8, 255 = all of it; None where it keeps all.

    It runs out in tapering diagonal strokes, as a pen would do it: a plain fade would leave grey on the paper.

    Args:
        widths: px over which the left, right, top and bottom of the square fade; 0 for no fade.
        frame: when given, the ink also fades towards the borders of this frame that cross the square (the person
            ends there, and the page goes on).
    """
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
    fine = cv2.resize(mask, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.convertScaleAbs(np.clip((fine - _hatch()) * 4, 0, 1), alpha=255), dtype=np.uint8)


@functools.cache
def _hatch() -> NDArray[np.float32]:
    """Diagonal strokes, (512, 512) float32 of 0 to 0.75: ink stays where the fade is above, so strokes taper."""
    along = np.arange(SIZE, dtype=np.float32)
    phase = (along[None] + along[:, None]) / np.float32(HATCH_PX * math.sqrt(2))
    return np.asarray(1.5 * np.abs(phase - np.floor(phase) - 0.5), dtype=np.float32)
