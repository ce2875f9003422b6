"""Clips of several people, made from clips of one: whose face is where is known beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.errors import UserError
from realtime.core import Frame
from realtime.sources.video import VideoSource

WIDTH, HEIGHT, FPS = 1280, 720, 30
LONGEST = 300
"""Frames of a clip that are used."""
WALL = 150
"""Grey of a tile in which nobody is."""

Image = NDArray[np.uint8]


def grid(count: int) -> tuple[int, int]:
    """Columns and rows of ``count`` tiles on a page of 16 to 9."""
    columns = next(n for n in range(1, count + 1) if n * max(1, round(n * 2 / 3)) >= count)
    return columns, -(-count // columns)


def read(clip: Path, size: tuple[int, int], *, frames: int = LONGEST) -> list[Image]:
    """A clip's pictures, cut about its middle and scaled to fill ``size`` (width, height); uint8 RGB."""
    with closing(VideoSource(path=clip)) as source:
        pictures = [covering(frame.image, size) for frame, _ in zip(source, range(frames), strict=False)]
    if not pictures:
        raise UserError(f"{clip}: expected a clip with frames, found none; choose another clip")
    return pictures


def covering(image: Image, size: tuple[int, int]) -> Image:
    """(H, W, 3) uint8 -> (height, width, 3): scaled to fill, what stands out cut off evenly."""
    width, height = size
    zoom = max(width / image.shape[1], height / image.shape[0])
    scaled = max(width, round(image.shape[1] * zoom)), max(height, round(image.shape[0] * zoom))
    interpolation = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    image = np.asarray(cv2.resize(image, scaled, interpolation=interpolation), np.uint8)
    x, y = (scaled[0] - width) // 2, (scaled[1] - height) // 2
    return np.ascontiguousarray(image[y : y + height, x : x + width])


def to_and_fro(length: int, index: int) -> int:
    """Which of ``length`` pictures is shown as number ``index``: a clip that turns round at its ends has no cut."""
    at = index % max(1, 2 * length - 2)
    return min(at, 2 * length - 2 - at)


class Mosaic:
    """People side by side. The tiles have one size, whatever their number: so do the faces."""

    def __init__(self, clips: Sequence[Sequence[Image]], *, tiles: int) -> None:
        """
        Args:
            clips: pictures of each person, of the size of a tile (:meth:`tile`).
            tiles: of the page; those left over are bare wall.
        """
        self._clips = clips
        self._columns, self._rows = grid(tiles)

    @staticmethod
    def tile(tiles: int) -> tuple[int, int]:
        """Width and height, px."""
        columns, rows = grid(tiles)
        return WIDTH // columns, HEIGHT // rows

    def picture(self, index: int) -> Image:
        page = np.full((HEIGHT, WIDTH, 3), WALL, np.uint8)
        for number, clip in enumerate(self._clips):
            image = clip[to_and_fro(len(clip), index)]
            x, y = self._corner(number)
            page[y : y + image.shape[0], x : x + image.shape[1]] = image
        return page

    def whose(self, x: float, y: float) -> int:
        """Number of the tile at a point of the page, px."""
        row = min(self._rows - 1, max(0, int(y // (HEIGHT // self._rows))))
        return row * self._columns + min(self._columns - 1, max(0, int(x // (WIDTH // self._columns))))

    def _corner(self, number: int) -> tuple[int, int]:
        row, column = divmod(number, self._columns)
        return column * (WIDTH // self._columns), row * (HEIGHT // self._rows)


def frame(image: Image, index: int) -> Frame:
    """A picture as number ``index`` of a clip of ``FPS`` frames a second."""
    return Frame(image=image, index=index, captured=index / FPS, pts=Fraction(index, FPS))
