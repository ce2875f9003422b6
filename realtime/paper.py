"""What the ink lies on: plain paper, grained paper, a board, a picture of the user's."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.core import ConfigError
from realtime.look import GRAIN, PLAIN, RGB, Look

Gray = NDArray[np.uint8]
Bytes = NDArray[np.uint8]
T = TypeVar("T", bound=np.generic)

_WARM = np.array([252.0, 249.0, 241.0])
"""RGB of grained paper where it lies flat."""
_SEED = 7
_TILE = 512
"""Fine grain is made on a square of so many px that goes on over its own sides: a key press must not wait for more."""
_BROAD = 8
"""What is uneven broadly has lumps of three times so many px; it is made at a size smaller by this factor."""
_LARGEST_PX = 2560
"""Longer side that a user's picture is kept at."""
_SHEETS = 4
"""Papers kept ready; a key goes round them without making any twice."""


class Papers:
    """Paints pages. Sheets are made once for each paper and size and kept."""

    def __init__(self) -> None:
        self._sheets: dict[tuple[str, bool, int, int], Bytes] = {}
        self._means: dict[tuple[str, bool, int, int], RGB] = {}
        self._dust: Gray | None = None

    def paint(self, page: Gray, look: Look) -> Bytes:
        """Ink on paper: (H, W) uint8, 0 = ink -> (H, W, 3) uint8 RGB. Raises ConfigError for a picture that is gone."""
        if look.chalk:
            page = self._dusty(page)
        if look.paper == PLAIN:
            return _flat(page, look.colour, look.ground)
        sheet = self.sheet(look, page.shape[1], page.shape[0])
        wide = np.asarray(cv2.cvtColor(page, cv2.COLOR_GRAY2RGB), dtype=np.uint8)
        shown = np.asarray(cv2.multiply(sheet, wide, scale=1 / 255), dtype=np.uint8)
        if any(look.colour):
            shown = np.asarray(cv2.add(shown, _flat(page, look.colour, (0, 0, 0))), dtype=np.uint8)
        return shown

    def sheet(self, look: Look, width: int, height: int) -> Bytes:
        """The bare paper, (height, width, 3) uint8 RGB."""
        key = (look.paper, look.chalk, width, height)
        if key not in self._sheets:
            while len(self._sheets) >= _SHEETS:
                self._sheets.pop(next(iter(self._sheets)))
            if look.paper == PLAIN:
                made = np.full((height, width, 3), look.ground, np.uint8)
            elif look.paper == GRAIN:
                made = _grained(np.array(look.ground) if look.chalk else _WARM, width, height)
            else:
                made = _covering(read_paper(look.paper), width, height)
            self._sheets[key] = made
        return self._sheets[key]

    def ground(self, look: Look, width: int, height: int) -> RGB:
        """Mean colour of the bare paper."""
        if look.paper == PLAIN:
            return look.ground
        key = (look.paper, look.chalk, width, height)
        if key not in self._means:
            red, green, blue = (round(float(v)) for v in self.sheet(look, width, height)[::8, ::8].mean((0, 1)))
            self._means[key] = red, green, blue
        return self._means[key]

    def _dusty(self, page: Gray) -> Gray:
        """Chalk skips over the board's pores."""
        if self._dust is None or self._dust.shape != page.shape:
            self._dust = _tiled(_pores(), page.shape)
        return 255 - np.asarray(cv2.multiply(255 - page, self._dust, scale=1 / 255), dtype=np.uint8)


def read_paper(path: str) -> Bytes:
    """The user's picture, (H, W, 3) uint8 RGB, upright, at most _LARGEST_PX long. Raises ConfigError."""
    try:
        changed = Path(path).stat().st_mtime_ns
        image = _decoded(path, changed)
    except (OSError, ValueError, cv2.error) as error:
        reason = (getattr(error, "strerror", None) or "it cannot be read").lower()
        raise ConfigError(
            f"--paper {path!r}: {reason}; expected plain, grain or a picture; check the spelling"
        ) from None
    if image is None:
        raise ConfigError(f"--paper {path!r}: expected plain, grain or a picture; it is none; choose another file")
    return image


@functools.lru_cache(maxsize=2)
def _decoded(path: str, _changed: int) -> Bytes | None:
    """Kept, because it is read when it is chosen and needed when the next frame is composed, which must not wait."""
    data = np.fromfile(path, np.uint8)  # cv2.imread fails on some names that are not ASCII
    image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if len(data) else None
    if image is None:
        return None
    scale = _LARGEST_PX / max(image.shape[:2])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(image, dtype=np.uint8)


def checked_paper(name: str) -> str:
    """The name, once it is known that it can be used. Raises ConfigError."""
    if name not in (PLAIN, GRAIN):
        read_paper(name)
        return str(Path(name))
    return name


def _flat(page: Gray, ink: RGB, ground: RGB) -> Bytes:
    wide = np.asarray(cv2.cvtColor(page, cv2.COLOR_GRAY2RGB), dtype=np.uint8)
    if not any(ink) and ground == (255, 255, 255):
        return wide
    share = np.arange(256)[:, None] / 255
    table = np.rint(np.array(ground) * share + np.array(ink) * (1 - share)).astype(np.uint8)
    return np.asarray(cv2.LUT(wide, table[None]), dtype=np.uint8)


def _covering(image: Bytes, width: int, height: int) -> Bytes:
    """As large as covers the page, what is left over cut off evenly: nothing is stretched."""
    scale = max(width / image.shape[1], height / image.shape[0])
    size = max(width, round(image.shape[1] * scale)), max(height, round(image.shape[0] * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    large = cv2.resize(image, size, interpolation=how)
    x, y = (size[0] - width) // 2, (size[1] - height) // 2
    return np.ascontiguousarray(large[y : y + height, x : x + width], dtype=np.uint8)


def _grained(ground: NDArray[np.float64], width: int, height: int) -> Bytes:
    """Cold-pressed paper: fine tooth, broad unevenness, some fibres' worth of speckle."""
    coarse = _lumps((-(-height // _BROAD), -(-width // _BROAD)), 3.0)
    broad = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    # 128 stands for flat; a table for each colour keeps this quick enough for a key press at 1080p.
    relief = cv2.addWeighted(broad, 8 * 1.6, _tiled(_tooth(), broad.shape), 8.0, 128)
    lumps = np.asarray(cv2.convertScaleAbs(np.maximum(relief, 0)), dtype=np.uint8)
    heights = (np.arange(256)[:, None] - 128) / 8
    table = np.clip(np.rint(ground + heights), 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(cv2.cvtColor(lumps, cv2.COLOR_GRAY2RGB), table[None]), dtype=np.uint8)


@functools.cache
def _tooth() -> NDArray[np.float32]:
    """(_TILE, _TILE) float32, grey levels."""
    tile = (_TILE, _TILE)
    return np.asarray(2.2 * _lumps(tile, 0.7) + 1.8 * _lumps(tile, 2.2), dtype=np.float32)


@functools.cache
def _pores() -> Gray:
    """(_TILE, _TILE) uint8, how much of the chalk stays, 255 = all."""
    return np.clip(228 + 30 * _lumps((_TILE, _TILE), 0.8), 120, 255).astype(np.uint8)


def _tiled(tile: NDArray[T], shape: tuple[int, ...]) -> NDArray[T]:
    """A page of tiles."""
    rows, columns = (-(-side // _TILE) for side in shape)
    return np.ascontiguousarray(np.tile(tile, (rows, columns))[: shape[0], : shape[1]])


def _lumps(shape: tuple[int, int], size: float) -> NDArray[np.float32]:
    """Lumps of about ``size`` px with mean 0 and deviation 1, the same on every run; they go on over the sides."""
    white = np.random.default_rng(_SEED).standard_normal(shape, np.float32)
    reach = min(*shape, int(4 * size) + 1)
    wide = cv2.GaussianBlur(np.pad(white, reach, mode="wrap"), (0, 0), size)
    lumps = wide[reach:-reach, reach:-reach]
    return np.asarray((lumps - lumps.mean()) / max(1e-6, float(lumps.std())), dtype=np.float32)
