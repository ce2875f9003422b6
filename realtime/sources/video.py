"""A clip: every picture with its exact presentation time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from realtime.core import Frame, PartialSourceError, SourceError, SourceInfo
from realtime.media import MEDIA_ERRORS, Decoder, reason
from realtime.pacer import Pacer


class VideoSource:
    """Frames of a video file, repeats included, turned upright as the file's metadata asks.

    Args:
        path: the clip, in any container and codec that FFmpeg reads.
        live: play at the clip's own speed, as a camera would. Otherwise frames come as fast as they are taken.
        loop: begin again at the end; index and pts go on rising.
    Raises:
        SourceError: there is no such clip, or nothing of it decodes.
        PartialSourceError: (while iterating, after the last frame that decodes) the clip is cut off or damaged.
    """

    def __init__(self, *, path: str | Path, live: bool = False, loop: bool = False) -> None:
        self._path = _checked(path)
        self._loop = loop
        self._pacer = Pacer()
        self._decoder = self._open()
        opened = self._decoder
        self._info = SourceInfo(
            name=self._path.name,
            live=live,
            width=opened.width,
            height=opened.height,
            fps=opened.fps,
            frames=None if loop else opened.frames,
            time_base=opened.time_base,
            audio=self._path if opened.has_audio else None,
        )

    @property
    def info(self) -> SourceInfo:
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        info = self._info
        step = self._ticks(Fraction(1 / info.fps).limit_denominator(90_000))
        index, offset = 0, Fraction(0)
        try:
            while not self._pacer.stopped:
                last: Fraction | None = None
                first = Fraction(0)
                for image, stored in self._decoder:
                    # Some raw formats store no times; then frames follow each other at the nominal rate.
                    pts = stored if stored is not None else (last + step if last is not None else Fraction(0))
                    first, last = (pts if last is None else first), pts
                    if info.live and not self._pacer.wait(float(offset + pts)):
                        return
                    yield Frame(image=image, index=index, captured=time.monotonic(), pts=offset + pts)
                    index += 1
                if self._pacer.stopped:
                    return
                if self._decoder.broken:
                    raise PartialSourceError(self._cut_off(index))
                if not self._loop or last is None:
                    return
                offset += last + step - first
                self._decoder.close()
                self._decoder = self._open()
        finally:
            self._decoder.close()

    def close(self) -> None:
        """End the iteration, also from another thread."""
        self._pacer.stop()
        self._decoder.close()

    def _open(self) -> Decoder:
        try:
            return Decoder(str(self._path))
        except MEDIA_ERRORS as error:
            raise SourceError(
                f"cannot read video {str(self._path)!r}: {reason(error)}; expected a clip such as .mp4, .mov, .mkv or "
                ".webm; choose another file"
            ) from None

    def _ticks(self, seconds: Fraction) -> Fraction:
        """Seconds as a whole number (at least one) of the clip's ticks."""
        base = self._info.time_base
        return max(base, round(seconds / base) * base) if base else seconds

    def _cut_off(self, decoded: int) -> str:
        of = f" of {self._info.frames}" if self._info.frames else ""
        return (
            f"video {str(self._path)!r} is cut off or damaged: {decoded}{of} frames could be decoded; expected a whole "
            "file; what there was has been used; copy or download the clip again"
        )


def _checked(path: str | Path) -> Path:
    """A path that can be opened as a file."""
    if not str(path).strip() or "\0" in str(path):
        raise SourceError(f"expected the path of a video, got {str(path)!r}; name a file such as clip.mp4")
    file = Path(path)
    problem = None
    try:
        if file.is_dir():
            problem = "it is a directory"
        elif not file.exists():
            problem = "there is no such file"
        elif not file.is_file():
            problem = "it is not a regular file"
        elif file.stat().st_size == 0:
            problem = "the file is empty"
    except OSError as error:
        problem = reason(error)
    if problem:
        raise SourceError(f"cannot read video {str(path)!r}: {problem}; expected a clip; check the path")
    return file
