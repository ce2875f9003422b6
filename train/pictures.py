"""Picture files read with care: bounded, whole, and told by name when something is wrong with one."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from apdgan.alignment import SIZE

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
MOST_PIXELS = 80_000_000
"""A larger picture is refused before it is decoded (80 million pixels take 240 MB)."""
DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
"""What a damaged file makes its decoder raise."""
INK = 128
"""What is darker is ink."""


def decode(data: bytes, mode: str, where: str) -> NDArray[np.uint8]:
    """A picture's pixels as its camera held them upright: (H, W, 3) for mode ``RGB``, (H, W) for ``L``.

    Raises:
        ValueError: begins with ``where``: not a picture, damaged, cut short, or of more than ``MOST_PIXELS``.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as picture:
                _bound(picture.size, where)
                upright = ImageOps.exif_transpose(picture)
                return np.array(_shown(upright).convert(mode), np.uint8)
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise _named(error, where, len(data)) from None


def size_of(path: Path) -> tuple[int, int]:
    """Width and height from a picture's header. Raises ValueError as :func:`decode`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as picture:
                return _bound(picture.size, str(path))
    except (*DAMAGE, Image.DecompressionBombError) as error:
        raise _named(error, str(path), path.stat().st_size if path.is_file() else 1) from None


def read_photo(path: Path) -> NDArray[np.uint8]:
    """A photo, (H, W, 3) uint8 RGB. Raises ValueError naming the file."""
    return decode(_bytes(path), "RGB", str(path))


def read_grey(path: Path) -> NDArray[np.uint8]:
    """A drawing or mask, (H, W) uint8. Raises ValueError naming the file."""
    return decode(_bytes(path), "L", str(path))


def square(data: bytes, mode: str, where: str) -> NDArray[np.uint8]:
    """A decoded 512 x 512 picture; ValueError for another size."""
    picture = decode(data, mode, where)
    if picture.shape[:2] != (SIZE, SIZE):
        raise ValueError(f"{where}: expected 512x512, got {picture.shape[1]}x{picture.shape[0]}")
    return picture


def grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 -> (H, W): the channel itself where all are equal, else ITU-R 601 luma."""
    first = picture[..., 0]
    if (first == picture[..., 1]).all() and (first == picture[..., 2]).all():
        return np.ascontiguousarray(first)
    return np.array(Image.fromarray(picture).convert("L"), np.uint8)


def check_drawing(drawing: NDArray[np.uint8], where: str) -> NDArray[np.uint8]:
    """The drawing itself; ValueError when nothing in it is ink."""
    if drawing.min() >= INK:
        raise ValueError(f"{where}: expected a drawing with ink, got an empty one (nothing darker than {INK})")
    return drawing


def clean_drawing(drawing: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Black ink on white paper from a scan on grey, uneven paper.

    The paper is the local background (largest value within 9x9, Gaussian of sigma 15 px); what is left of it is
    stretched so that 0.25 becomes ink and 0.92 paper.

    Args:
        drawing: (H, W) uint8, darker is ink.
    Returns:
        (H, W) uint8, 0 = ink, 255 = paper.
    """
    paper = cv2.GaussianBlur(cv2.dilate(drawing, np.ones((9, 9), np.uint8)).astype(np.float32), (0, 0), 15)
    share = drawing / np.maximum(paper, 1.0)
    return np.asarray(np.rint(np.clip((share - 0.25) / (0.92 - 0.25), 0, 1) * 255), np.uint8)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{path}: expected a picture, got no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: expected a picture, got {error.strerror}") from None


def _shown(picture: Image.Image) -> Image.Image:
    """What a viewer shows: transparent parts on white, 16 bits as 8."""
    if picture.mode.startswith("I"):
        wide = np.array(picture).astype(np.float64)
        return Image.fromarray(np.rint(wide * (255 / 65535 if wide.max() > 255 else 1)).clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return picture


def _bound(size: tuple[int, int], where: str) -> tuple[int, int]:
    if size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"{where}: expected at most {MOST_PIXELS // 10**6} million pixels, got {size[0]}x{size[1]}")
    return size


def _named(error: Exception, where: str, size: int) -> ValueError:
    told = " ".join(str(error).split())
    if told.startswith(where):
        return ValueError(told)
    if isinstance(error, FileNotFoundError):
        told = "no such file"
    elif not size:
        told = "an empty file"
    elif isinstance(error, UnidentifiedImageError):
        told = "a file that is none, or damaged"
    elif isinstance(error, Image.DecompressionBombError):
        told = f"one of more than {MOST_PIXELS // 10**6} million pixels"
    return ValueError(f"{where}: expected a picture, got {told}")
