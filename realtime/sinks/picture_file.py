"""Drawings as picture files."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.core import Frame, Ink, SinkError

_OPTIONS = {
    ".png": [cv2.IMWRITE_PNG_COMPRESSION, 4],
    ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95],
    ".jpeg": [cv2.IMWRITE_JPEG_QUALITY, 95],
}
_NUMBER = re.compile(r"%0?\d*d")


class PictureFileSink:
    """Writes ``.png`` or ``.jpg``.

    A plain name holds the first frame as soon as it comes and, from close() on, the last one: for a still that is the
    one drawing, for a clip its end. A name with ``%04d`` gives a file per frame, numbered by the frame's index.
    A file appears whole or not at all. A PNG of a transparent frame holds its ink alone.

    Args:
        path: the file, or the pattern of files; its folder must exist.
    Raises:
        SinkError: another suffix, no such folder, or (later) it cannot be written.
    """

    def __init__(self, *, path: str | Path) -> None:
        self._path = Path(path)
        suffix = self._path.suffix.lower()
        if suffix not in _OPTIONS:
            raise SinkError(f"picture {str(path)!r}: expected a name ending in .png or .jpg, got {suffix!r}; rename it")
        if not self._path.parent.is_dir():
            raise SinkError(f"picture {str(path)!r}: there is no folder {str(self._path.parent)!r}; create it first")
        if self._path.is_dir():
            raise SinkError(f"picture {str(path)!r}: expected a file name, got a directory; add a name such as out.png")
        patterns = _NUMBER.findall(self._path.name)
        if len(patterns) > 1:
            raise SinkError(f"picture {str(path)!r}: expected at most one number such as %04d, got {len(patterns)}")
        self._numbered = bool(patterns)
        self._latest: Frame | None = None
        self._written: Frame | None = None

    def send(self, frame: Frame) -> None:
        self._latest = frame
        if self._numbered or self._written is None:
            self._write(frame)

    def close(self) -> None:
        """Write the last frame, if it is not on disk yet."""
        frame, self._latest = self._latest, None
        if frame is not None and frame is not self._written:
            self._write(frame)

    def _write(self, frame: Frame) -> None:
        name = _NUMBER.sub(lambda match: match[0] % frame.index, self._path.name)
        target = self._path.with_name(name)
        part = target.with_name(target.name + ".part")
        try:
            suffix = self._path.suffix.lower()
            if suffix == ".png" and frame.ink is not None and frame.ink.transparent:
                picture = _ink_alone(frame.ink)
            else:
                picture = np.asarray(cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR), dtype=np.uint8)
            good, encoded = cv2.imencode(suffix, picture, _OPTIONS[suffix])
            if not good:
                raise OSError("the picture cannot be encoded")
            part.write_bytes(encoded.tobytes())  # cv2.imwrite fails on some names that are not ASCII
            part.replace(target)
        except (OSError, cv2.error) as error:
            self._latest = None
            with suppress(OSError):
                part.unlink(missing_ok=True)
            why = getattr(error, "strerror", None) or str(error)
            raise SinkError(
                f"cannot write picture {str(target)!r}: {why}; free some space or choose another folder"
            ) from None
        self._written = frame


def _ink_alone(ink: Ink) -> NDArray[np.uint8]:
    """(H, W, 4) uint8 BGRA: one colour, as opaque as the ink lies thick."""
    picture = np.empty((*ink.page.shape, 4), np.uint8)
    picture[..., :3] = ink.colour[::-1]
    picture[..., 3] = 255 - ink.page
    return picture
