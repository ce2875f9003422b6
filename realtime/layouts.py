"""Drawings onto a page of ink: in cells, where their faces are, or within the whole scene."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE, invert, transform
from realtime.cells import Cell
from realtime.core import PAPER, Drawing, Frame
from realtime.inking import Gray, lay, resized, warped_square
from realtime.soft_edges import SOFT_PX, depths_in_frame, shared_masks, soft_mask

RIM_PX = 4
"""At its sides a network sees only half of what it draws: specks stand there. What is drawn next to it goes on."""


def lay_in_cell(page: Gray, drawing: Drawing, frame: Frame, cell: Cell, *, soft: bool) -> None:
    """The whole square into a cell of the page.

    Args:
        page: (H, W) uint8, 0 = ink, 255 = paper; changed in place.
        frame: where the picture ends within the square.
        soft: whether the ink runs out towards the sides.
    """
    x, y, side = cell.whole()
    square = _without_rim(drawing.ink) if soft else drawing.ink
    ink = square if side == SIZE else resized(square, side)
    mask = None
    if soft:
        # Where the square ends at the page's own edge the paper ends too: no fade there. It comes up within a few px.
        to_edge = np.array([x, page.shape[1] - x - side, y, page.shape[0] - y - side], dtype=np.float64)
        mask = soft_mask(drawing, np.minimum(SOFT_PX, 8 * to_edge), frame)
        mask = None if mask is None or side == SIZE else resized(mask, side)
    lay(page[y : y + side, x : x + side], ink, mask, side / SIZE, drawing.opacity)


def _without_rim(ink: Gray) -> Gray:
    inner = np.ascontiguousarray(ink[RIM_PX:-RIM_PX, RIM_PX:-RIM_PX])
    return np.asarray(cv2.copyMakeBorder(inner, *(RIM_PX,) * 4, cv2.BORDER_REPLICATE), dtype=np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How a frame lies on a page: page = zoom * frame + (left, top), in px counted from the corners."""

    zoom: float
    left: float
    top: float

    def area(self, page: tuple[int, ...], frame: Frame) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of what the page shows of the frame, whole px."""
        height, width = frame.image.shape[:2]
        left, top = max(0, round(self.left)), max(0, round(self.top))
        right = min(page[1], left + int(width * self.zoom + 1e-6) if self.left >= 0 else page[1])
        bottom = min(page[0], top + int(height * self.zoom + 1e-6) if self.top >= 0 else page[0])
        return left, top, right, bottom


def whole_view(page: tuple[int, ...], frame: Frame) -> View:
    """The whole frame, centred on the page and as large as it fits, but for the pixel that makes a side even."""
    height, width = frame.image.shape[:2]
    if 0 <= page[1] - width <= 1 and 0 <= page[0] - height <= 1:
        return View(zoom=1.0, left=0.0, top=0.0)
    zoom = min(page[1] / width, page[0] / height)
    return View(zoom=zoom, left=(page[1] - width * zoom) / 2, top=(page[0] - height * zoom) / 2)


def close_view(drawing: Drawing, frame: Frame, side: int) -> View:
    """The upright square around a face, on a page of ``side`` px; moved, or made smaller, to lie within the frame."""
    height, width = frame.image.shape[:2]
    matrix = drawing.portrait.matrix.astype(np.float64)
    wide = min(SIZE / math.sqrt(max(1e-12, abs(float(np.linalg.det(matrix[:, :2]))))), width, height)
    x, y = transform(invert(matrix), np.array([[SIZE / 2, SIZE / 2]]))[0] + 0.5 - wide / 2
    zoom = side / wide
    return View(
        zoom=zoom,
        left=-zoom * min(max(0.0, float(x)), width - wide),
        top=-zoom * min(max(0.0, float(y)), height - wide),
    )


def goes_on(drawing: Drawing, view: View, side: int) -> tuple[bool, bool, bool, bool]:
    """Whether a square reaches beyond the left, right, top and bottom of a page of ``side`` px that shows that view."""
    corners = np.array([(-0.5, -0.5), (SIZE - 0.5, -0.5), (-0.5, SIZE - 0.5), (SIZE - 0.5, SIZE - 0.5)])
    on_page = (transform(invert(drawing.portrait.matrix), corners) + 0.5) * view.zoom + (view.left, view.top)
    low, high = on_page.min(0), on_page.max(0)
    return bool(low[0] < -1), bool(high[0] > side + 1), bool(low[1] < -1), bool(high[1] > side + 1)


def lay_in_place(page: Gray, drawing: Drawing, frame: Frame, view: View) -> None:
    """A drawing where its face was, on a page, (H, W) uint8, that shows that view of the frame; changed in place."""
    place = _place(page.shape, drawing, frame, view)
    if place is None:
        return
    height, width = frame.image.shape[:2]
    mask = soft_mask(drawing, depths_in_frame(drawing, width, height), None)
    if mask is not None:
        mask = place.warped(mask, border=0)
    lay(place.of(page), place.warped(drawing.ink, border=PAPER), mask, place.scale, drawing.opacity)


def lay_in_scene(page: Gray, drawings: Sequence[Drawing], frame: Frame, view: View, scene: Gray) -> None:
    """Drawings where their faces were, and around them the scene.

    Args:
        page: (H, W) uint8, 0 = ink; changed in place.
        view: the whole frame.
        scene: (h, w) uint8, 0 = ink, as large as the view's area of the page.
    """
    height, width = frame.image.shape[:2]
    left, top, right, bottom = view.area(page.shape, frame)
    opacity = max((drawing.opacity for drawing in drawings), default=0.0)
    if opacity < 1:
        scene = 255 - np.asarray(cv2.convertScaleAbs(255 - scene, alpha=opacity), dtype=np.uint8)
    page[top:bottom, left:right] = scene
    placed = [(drawing, _place(page.shape, drawing, frame, view)) for drawing in drawings]
    masks = [shared_masks(drawing, depths_in_frame(drawing, width, height)) for drawing in drawings]
    for (drawing, place), (_, around) in zip(placed, masks, strict=True):
        if place is not None:  # room for all the faces first, so that the scene covers none
            _keep(place.of(page), place.warped(around, border=255), drawing.opacity)
    for (drawing, place), (own, _) in zip(placed, masks, strict=True):
        if place is not None:
            ink, mask = place.warped(drawing.ink, border=PAPER), place.warped(own, border=0)
            lay(place.of(page), ink, mask, place.scale, drawing.opacity)


def _keep(area: Gray, mask: Gray, opacity: float) -> None:
    """Ink stays where the mask is 255; where it is less it gives way to a drawing of that opacity."""
    lost = np.asarray(cv2.convertScaleAbs(255 - mask, alpha=opacity), dtype=np.uint8)
    area[:] = 255 - np.asarray(cv2.multiply(255 - area, 255 - lost, scale=1 / 255), dtype=np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a square lies on a page."""

    x: tuple[int, int]
    y: tuple[int, int]
    matrix: NDArray[np.float64]
    """(2, 3), square -> the part of the page from (x[0], y[0])."""
    scale: float

    def of(self, page: Gray) -> Gray:
        return page[self.y[0] : self.y[1], self.x[0] : self.x[1]]

    def warped(self, square: Gray, *, border: int) -> Gray:
        """A (512, 512) picture as it lies there."""
        shape = self.y[1] - self.y[0], self.x[1] - self.x[0]
        return warped_square(square, self.matrix, self.scale, shape, border)


def _place(page: tuple[int, ...], drawing: Drawing, frame: Frame, view: View) -> _Place | None:
    """None where nothing of the square lies on the page."""
    height, width = frame.image.shape[:2]
    corner = np.array([view.left, view.top])
    to_page = invert(drawing.portrait.matrix) * view.zoom
    to_page[:, 2] += (view.zoom - 1) / 2 + corner  # pixel centres: page = (frame + 0.5) zoom - 0.5
    corners = transform(to_page, np.array([(-1, -1), (SIZE, -1), (-1, SIZE), (SIZE, SIZE)]))
    low = np.maximum(np.floor(corners.min(0)), np.maximum(corner, 0))
    high = np.minimum(np.ceil(corners.max(0)) + 1, corner + np.array([width, height]) * view.zoom)
    x0, y0 = (int(v) for v in low)
    x1, y1 = (int(v) for v in np.minimum(high, (page[1], page[0])))
    if x1 <= x0 or y1 <= y0:
        return None
    to_page[:, 2] -= (x0, y0)
    scale = math.sqrt(abs(np.linalg.det(to_page[:, :2])))
    return _Place(x=(x0, x1), y=(y0, y1), matrix=to_page, scale=scale)
