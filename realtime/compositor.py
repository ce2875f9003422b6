"""From drawings to the picture that the sinks get: which layout, how large, on which paper.

``portrait``: each drawing square as large as the page lets it be, several side by side. ``inplace``: every drawing
where its face was, on a page framed as the input. ``frame``: the same with the body and the room drawn around it.
``square``: the drawing itself, nothing softened. ``side-by-side`` and ``split`` show the photo beside the drawing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE
from realtime.cells import Framing
from realtime.controls import PHOTO_LAYOUTS, Layout
from realtime.core import PAPER, Drawing, Frame, Ink
from realtime.layouts import close_view, goes_on, lay_in_cell, lay_in_place, lay_in_scene, whole_view
from realtime.look import Look
from realtime.paper import Papers
from realtime.photo import PhotoDoor, seen
from realtime.scene_lines import SceneLines
from realtime.soft_edges import run_out
from realtime.weight import weighed

Gray = NDArray[np.uint8]
Bytes = NDArray[np.uint8]
Patch = tuple[int, int, Bytes]
"""x and y on the page, and a picture, (h, w, 3) uint8 RGB, that is shown there."""
PLAIN_LOOK = Look()
LINE_PX = 1.0 / 360
"""Width of the line that splits the page, as a share of its shorter side: 2 px at 720p."""


class Compositor:
    """Composes frames that come in order.

    The page keeps the size that the first frame gave it, whatever layout is chosen later: a file or a virtual camera
    cannot change its size on the way.
    """

    def __init__(self, *, size: tuple[int, int] | None = None, even: bool = True) -> None:
        """
        Args:
            size: (width, height) of the output in pixels. Without it 512 x 512 for ``square``, the input's size for
                ``inplace``, ``frame`` and ``split``, for ``portrait`` the input's size, enlarged until a square of 512
                fits into it, and for ``side-by-side`` two squares of the input's shorter side, of 512 at least.
            even: round odd sides up by one pixel of paper, as video codecs want it.
        """
        self._size = size
        self._even = even
        self._page: tuple[int, int] | None = None
        self._papers = Papers()
        self._framing = Framing()
        self._scene = SceneLines()
        self._door = PhotoDoor()

    def paper(self, frame: Frame, layout: Layout, *, look: Look = PLAIN_LOOK) -> Frame:
        """Bare paper of the output's size, with the frame's index and times. What comes next starts afresh."""
        self._framing.forget()
        self._scene.forget()
        self._door.close()
        return self._finished(self._blank(frame, layout), [], frame, look)

    def compose(
        self,
        frame: Frame,
        drawings: Sequence[Drawing],
        layout: Layout,
        mirror: bool,
        *,
        look: Look = PLAIN_LOOK,
        split: float = 0.5,
    ) -> Frame:
        """Put the drawings on paper.

        Args:
            frame: where index, times and the framing come from. ``frame`` draws what it shows; ``side-by-side`` and
                ``split`` alone show it, and only what :mod:`realtime.photo` lets through.
            drawings: any number of them; where they overlap the darker ink wins.
            layout: see the module.
            mirror: flip what is drawn and shown; halves stay where they are.
            look: paper, ink and weight.
            split: share of the width, 0 to 1, that shows the photo in ``split``.
        """
        page = self._blank(frame, layout)
        if layout not in PHOTO_LAYOUTS:
            self._door.close()
        if layout != "frame":
            self._scene.forget()
        match layout:
            case "inplace":
                self._lay_in_place(page, drawings, frame)
            case "frame":
                self._lay_in_scene(page, drawings, frame)
            case "side-by-side":
                return self._finished(*self._beside(page, drawings, frame, mirror, look), frame, look)
            case "split":
                return self._finished(*self._split(page, drawings, frame, mirror, look, split), frame, look)
            case "portrait" | "square":
                for drawing, cell in self._framing.place(drawings, page.shape[1], page.shape[0], frame.time):
                    lay_in_cell(page, drawing, frame, cell, soft=layout == "portrait")
        return self._finished(weighed(_mirrored(page, mirror), look.weight), [], frame, look)

    def _lay_in_place(self, page: Gray, drawings: Sequence[Drawing], frame: Frame) -> None:
        view = whole_view(page.shape, frame)
        for drawing in drawings:
            lay_in_place(page, drawing, frame, view)
        run_out(page, view.area(page.shape, frame))

    def _lay_in_scene(self, page: Gray, drawings: Sequence[Drawing], frame: Frame) -> None:
        if not drawings:  # nobody there: paper, as in every layout
            self._scene.forget()
            return
        view = whole_view(page.shape, frame)
        left, top, right, bottom = view.area(page.shape, frame)
        scene = self._scene.draw(frame.image, right - left, bottom - top)
        lay_in_scene(page, drawings, frame, view, scene)
        run_out(page, (left, top, right, bottom))

    def _beside(
        self, page: Gray, drawings: Sequence[Drawing], frame: Frame, mirror: bool, look: Look
    ) -> tuple[Gray, list[Patch]]:
        """Upright squares around the faces: their photos on the left half, the drawings on the right one."""
        half = page.shape[1] // 2
        right = page[:, page.shape[1] - half :]
        patches: list[Patch] = []
        placed = self._framing.place(drawings, half, page.shape[0], frame.time)
        pictures = self._door.pictures(frame, [drawing for drawing, _ in placed])
        for (drawing, cell), picture in zip(placed, pictures, strict=True):
            x, y, side = cell.whole()
            view = close_view(drawing, frame, side)
            lay_in_place(right[y : y + side, x : x + side], drawing, frame, view)
            run_out(right, (x, y, x + side, y + side), goes_on(drawing, view, side))
            if picture is not None:
                shown = seen(picture, view, side, side)
                patches.append((half - x - side, y, shown[:, ::-1]) if mirror else (x, y, shown))
        right[:] = _mirrored(right, mirror)
        return weighed(page, look.weight), patches

    def _split(
        self, page: Gray, drawings: Sequence[Drawing], frame: Frame, mirror: bool, look: Look, split: float
    ) -> tuple[Gray, list[Patch]]:
        """The photo left of the line, the drawing in its place right of it."""
        self._lay_in_place(page, drawings, frame)
        page = weighed(_mirrored(page, mirror), look.weight)
        cut = round(split * page.shape[1])
        page[:, :cut] = PAPER
        # The newest picture that any of the faces was found in.
        pictures = self._door.pictures(frame, sorted(drawings, key=lambda drawing: drawing.held))
        picture = next((one for one in pictures if one is not None), None)
        if picture is None or cut <= 0:
            return page, []
        view = whole_view(page.shape, frame)
        left, top, right, bottom = view.area(page.shape, frame)
        shown = seen(picture, view, page.shape[1], page.shape[0])[top:bottom, left:right]
        if mirror:
            left, shown = page.shape[1] - right, shown[:, ::-1]
        return page, [(left, top, shown[:, : max(0, cut - left)]), *_line(cut, page.shape, look)]

    def _blank(self, frame: Frame, layout: Layout) -> Gray:
        width, height = self._page_size(frame, layout)
        return np.full((height, width), PAPER, np.uint8)

    def _page_size(self, frame: Frame, layout: Layout) -> tuple[int, int]:
        if self._page is None:
            height, width = frame.image.shape[:2]
            if layout == "square":
                width = height = SIZE
            elif layout == "side-by-side":
                height = max(SIZE, min(width, height))
                width = 2 * height
            elif layout == "portrait" and min(width, height) < SIZE:
                larger = SIZE / min(width, height)
                width, height = round(width * larger), round(height * larger)
            wanted = self._size or (width, height)
            odd = 1 if self._even else 0
            self._page = (wanted[0] + (wanted[0] & odd), wanted[1] + (wanted[1] & odd))
        return self._page

    def _finished(self, page: Gray, patches: Sequence[Patch], frame: Frame, look: Look) -> Frame:
        image = self._papers.paint(page, look)
        for x, y, patch in patches:
            image[y : y + patch.shape[0], x : x + patch.shape[1]] = patch
        ink = Ink(
            page=page,
            colour=look.colour,
            paper=self._papers.ground(look, page.shape[1], page.shape[0]),
            transparent=look.transparent and not patches,
        )
        return Frame(image=image, index=frame.index, captured=frame.captured, pts=frame.pts, ink=ink)


def _mirrored(page: Gray, mirror: bool) -> Gray:
    return np.ascontiguousarray(page[:, ::-1]) if mirror else page


def _line(cut: int, page: tuple[int, ...], look: Look) -> list[Patch]:
    """The line between the two, none at the page's edge."""
    wide = max(1, round(min(page) * LINE_PX))
    x = cut - wide // 2
    if x <= 0 or x + wide >= page[1]:
        return []
    return [(x, 0, np.full((page[0], wide, 3), look.colour, np.uint8))]
