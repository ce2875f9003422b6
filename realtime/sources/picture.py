"""One picture, as a still or as a camera that never moves."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from realtime.core import PAPER, Frame, SourceError, SourceInfo
from realtime.pacer import Pacer

MAX_MEGAPIXELS = 64
"""More than this is refused before it is decoded: a few bytes can claim to be gigabytes of picture."""
LIVE_FPS = 30


class PictureSource:
    """One frame of a picture file: PNG, JPEG, WebP, BMP and whatever else Pillow reads.

    The picture is turned as its EXIF orientation asks, laid on white where it is transparent, and taken to 8 bits.

    Args:
        path: the picture.
        live: repeat it like a camera, 30 times a second, instead of giving one still.
    Raises:
        SourceError: there is no such picture, or it cannot be decoded.
    """

    def __init__(self, *, path: str | Path, live: bool = False) -> None:
        self._image = _read(path)
        self._pacer = Pacer()
        height, width = self._image.shape[:2]
        self._info = SourceInfo(
            name=Path(path).name,
            live=live,
            width=width,
            height=height,
            fps=float(LIVE_FPS),
            frames=None if live else 1,
            time_base=Fraction(1, LIVE_FPS),
            still=not live,
        )

    @property
    def info(self) -> SourceInfo:
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while not self._pacer.stopped:
            pts = Fraction(index, LIVE_FPS)
            if self._info.live and not self._pacer.wait(float(pts)):
                return
            yield Frame(image=self._image, index=index, captured=time.monotonic(), pts=pts)
            index += 1
            if not self._info.live:
                return

    def close(self) -> None:
        """End the iteration, also from another thread."""
        self._pacer.stop()


def _read(path: str | Path) -> NDArray[np.uint8]:
    if not str(path).strip() or "\0" in str(path):
        raise SourceError(f"expected the path of a picture, got {str(path)!r}; name a file such as portrait.jpg")
    try:
        if Path(path).is_dir():
            raise IsADirectoryError("it is a directory")
        if Path(path).exists() and Path(path).stat().st_size == 0:
            raise UnidentifiedImageError("the file is empty")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of large or odd pictures; size is checked here
            with Image.open(path) as picture:
                _check_size(picture, path)
                return _rgb(picture)
    except SourceError:
        raise
    except FileNotFoundError:
        problem = "there is no such file"
    except UnidentifiedImageError as error:
        problem = "the file is empty" if "empty" in str(error) else "it is not a picture that can be read"
    except Image.DecompressionBombError:
        problem = f"it has more than {MAX_MEGAPIXELS} megapixels"
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:  # what Pillow's decoders raise
        problem = " ".join(str(getattr(error, "strerror", None) or error).split()).lower()
    raise SourceError(
        f"cannot read picture {str(path)!r}: {problem}; expected a .png, .jpg, .webp or .bmp; choose another file"
    )


def _check_size(picture: Image.Image, path: str | Path) -> None:
    if picture.width * picture.height > MAX_MEGAPIXELS * 1_000_000:
        raise SourceError(
            f"picture {str(path)!r} is too large: expected up to {MAX_MEGAPIXELS} megapixels, got "
            f"{picture.width}x{picture.height}; scale it down"
        )


def _rgb(picture: Image.Image) -> NDArray[np.uint8]:
    """Decode to (H, W, 3) uint8 RGB, upright, on white."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith(("I", "F")):  # 16-bit or float grey, which Pillow would clip instead of scale
        grey = np.asarray(upright).astype(np.float64)
        top = 1.0 if upright.mode == "F" and grey.max(initial=0) <= 1 else 65535.0
        eight = np.clip(grey / top * 255 + 0.5, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(np.repeat(eight[..., None], 3, axis=2))
    if upright.has_transparency_data:
        layer = upright.convert("RGBA")
        page = Image.new("RGBA", layer.size, (PAPER, PAPER, PAPER, 255))
        upright = Image.alpha_composite(page, layer)
    return np.array(upright.convert("RGB"), dtype=np.uint8)
