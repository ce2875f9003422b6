"""A peer's camera as a source: the newest picture only, at a size that is drawn well, paper when none comes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.core import PAPER, Frame, SourceInfo
from realtime.slot import Slot, SlotClosed

QUIET_S = 0.5
"""When no picture comes for so long, paper is sent, and again each time so much has passed."""
LARGEST = (1280, 720)
"""Longer and shorter side, px: what H.264 level 3.1 holds. Larger pictures are made smaller."""
SMALLEST = 16
FPS = 30.0
BT601 = (2, 5, 6)
"""FFmpeg's numbers for these colours; 2 is unmarked."""
STUDIO = (0, 1)
"""The same for the range; 0 is unmarked."""
LEEWAY = 1.05
"""A camera that is asked for as many pictures as are drawn must not lose some of them to its unsteadiness."""

Size = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A decoded picture and when it came."""

    picture: av.VideoFrame
    captured: float
    """Seconds of ``time.monotonic()`` at the end of decode."""


class Inlet:
    """Where the event loop leaves pictures; it survives changes of their size."""

    def __init__(self) -> None:
        self._slot: Slot[Arrival] = Slot()
        self._index = 0
        self._kept: Arrival | None = None
        self.received = 0
        self.overtaken = 0
        self.spared = 0
        """Pictures that were passed over because fewer were wanted."""
        self.closed = False

    def offer(self, picture: av.VideoFrame) -> None:
        """Leave a picture; an older one that nobody has taken is gone."""
        self.received += 1
        try:
            self.overtaken += self._slot.offer(Arrival(picture=picture, captured=time.monotonic()))
        except SlotClosed:
            self.closed = True

    def close(self) -> None:
        self.closed = True
        self._slot.cancel()

    def source(
        self, *, watched: Callable[[], bool], at_start: Callable[[], None], rate: Callable[[], float] = lambda: math.inf
    ) -> PeerSource:
        """A source of pictures of one size: it ends when they change, and the next goes on from there."""
        return PeerSource(inlet=self, watched=watched, at_start=at_start, rate=rate)

    def take(self, timeout: float) -> Arrival:
        """The next picture. TimeoutError, SlotClosed."""
        if self._kept is not None:
            kept, self._kept = self._kept, None
            return kept
        return self._slot.get(timeout)

    def keep(self, arrival: Arrival) -> None:
        self._kept = arrival

    def next_index(self) -> int:
        self._index += 1
        return self._index - 1


class PeerSource:
    """Frames of one size."""

    def __init__(
        self, *, inlet: Inlet, watched: Callable[[], bool], at_start: Callable[[], None], rate: Callable[[], float]
    ) -> None:
        """
        Args:
            inlet: where pictures come from.
            watched: whether anybody would see a drawing; while not, pictures are passed over.
            at_start: called while the first picture is waited for; before that nothing is known of their size.
            rate: pictures a second that are taken at most, asked anew with each.
        """
        self._inlet = inlet
        self._watched = watched
        self._at_start = at_start
        self._allowance = Allowance(rate=rate)
        self._size: Size | None = None
        self.info = SourceInfo(name="peer", live=True, width=640, height=480, fps=FPS)

    def __iter__(self) -> Iterator[Frame]:
        while True:
            try:
                arrival = self._inlet.take(QUIET_S)
            except TimeoutError:
                if self._size is None:
                    self._at_start()
                elif self._watched():
                    yield self._paper(*self._size)
                continue
            except SlotClosed:
                return
            if not self._watched():
                continue
            if not self._allowance.take(arrival.captured):
                self._inlet.spared += 1
                continue
            size = drawn_size(arrival.picture.width, arrival.picture.height)
            if self._size is not None and not alike(size, self._size):
                self._inlet.keep(arrival)
                return
            self._size = self._size or size
            yield Frame(
                image=to_rgb(arrival.picture, self._size), index=self._inlet.next_index(), captured=arrival.captured
            )

    def close(self) -> None:
        """The inlet stays open for the next source."""

    def _paper(self, width: int, height: int) -> Frame:
        image = np.full((height, width, 3), PAPER, np.uint8)
        return Frame(image=image, index=self._inlet.next_index(), captured=time.monotonic(), blank=True)


class Allowance:
    """Lets so many a second through, evenly; what came late may be made up for by one."""

    MOST = 2.0

    def __init__(self, *, rate: Callable[[], float]) -> None:
        self._rate = rate
        self._left = self.MOST
        self._last = -math.inf

    def take(self, now: float) -> bool:
        """Whether this one, at so many seconds, is let through."""
        rate = self._rate()
        if math.isinf(rate):
            return True
        self._left = min(self.MOST, self._left + (now - self._last) * rate * LEEWAY)
        self._last = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


def drawn_size(width: int, height: int) -> Size:
    """As given, or as much smaller as fits."""
    longer, shorter = max(width, height), min(width, height)
    scale = min(1.0, LARGEST[0] / longer, LARGEST[1] / shorter)
    return max(SMALLEST, round(width * scale)), max(SMALLEST, round(height * scale))


def to_rgb(picture: av.VideoFrame, size: Size) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 of that size, (width, height)."""
    if size == (picture.width, picture.height) and _plain(picture):
        # As browsers send it. OpenCV does it in half of FFmpeg's time, which starts threads for every picture.
        return np.asarray(cv2.cvtColor(picture.to_ndarray(), cv2.COLOR_YUV2RGB_I420), dtype=np.uint8)
    return np.asarray(picture.to_ndarray(format="rgb24", width=size[0], height=size[1]), dtype=np.uint8)


def _plain(picture: av.VideoFrame) -> bool:
    """What OpenCV takes it for: 4:2:0 of even sides, BT.601 of studio range, or unmarked, which means the same."""
    return (
        picture.format.name == "yuv420p"
        and picture.width % 2 == picture.height % 2 == 0
        and int(picture.colorspace) in BT601
        and int(picture.color_range) in STUDIO
    )


def alike(a: Size, b: Size) -> bool:
    """Of one shape: a browser that sends fewer pixels for a while changes nothing that is seen."""
    return abs(Fraction(*a) / Fraction(*b) - 1) < 0.02
