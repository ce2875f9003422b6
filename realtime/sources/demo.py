"""A portrait that moves by a script: a source for trying out, testing and timing the program without any device."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from fractions import Fraction

from realtime.core import Frame, SourceError, SourceInfo
from realtime.pacer import Pacer
from realtime.puppet import Puppet


class DemoSource:
    """The moving portrait. Frame ``k`` is the same picture in every run.

    Args:
        fps: frames per second, above 0.
        seconds: length; None goes on for ever.
        live: pace the frames like a camera; otherwise they come as fast as they are taken.
        width, height: px, 64 to 4096.
    Raises:
        SourceError: a value out of these ranges.
    """

    def __init__(
        self,
        *,
        fps: float = 30.0,
        seconds: float | None = None,
        live: bool = True,
        width: int = 1280,
        height: int = 720,
    ) -> None:
        if not (math.isfinite(fps) and 0 < fps <= 1000):
            raise SourceError(f"demo: expected frames per second above 0 and up to 1000, got {fps}; try 30")
        if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
            raise SourceError(f"demo: expected a length above 0 seconds, got {seconds}; leave it out to go on for ever")
        if not (64 <= width <= 4096 and 64 <= height <= 4096):
            raise SourceError(f"demo: expected sides of 64 to 4096 px, got {width}x{height}; try 1280x720")
        self._period = 1 / Fraction(fps).limit_denominator(1001)
        frames = None if seconds is None else max(1, round(seconds / self._period))
        self._puppet = Puppet(width=width, height=height, fps=float(1 / self._period))
        self._pacer = Pacer()
        self._info = SourceInfo(
            name="demo",
            live=live,
            width=width,
            height=height,
            fps=float(1 / self._period),
            frames=frames,
            time_base=self._period,
        )

    @property
    def info(self) -> SourceInfo:
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while not self._pacer.stopped and (self._info.frames is None or index < self._info.frames):
            image = self._puppet.render(index)
            pts = index * self._period
            if self._info.live and not self._pacer.wait(float(pts)):
                return
            yield Frame(image=image, index=index, captured=time.monotonic(), pts=pts)
            index += 1

    def close(self) -> None:
        """End the iteration, also from another thread."""
        self._pacer.stop()
