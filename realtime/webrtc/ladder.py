"""What a peer gives up when the machine is too busy, in this order: size, then rate. Latency it keeps.

::

    full size -> 3/4 -> 1/2 (never below 360 px) -> 30 -> 24 -> 20 -> 16 -> 12 -> 8 -> 5 -> 3 -> 2 a second

It goes down after a second and a half that is bad throughout, and up after five good seconds; a rung that did not hold
is tried again after twice as long, up to a minute. A look is bad when a fifth of the pictures was overtaken on the way,
or when drawings come too late. Where pictures are overtaken the rate falls at once to what is drawn anyway, so that
nothing waits; for their age it falls by one rung at a time, to 12 at the least, and where that did not make drawings
younger (a slow engine, all alone), no further.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

SCALES = (1.0, 0.75, 0.5)
RATES = (30.0, 24.0, 20.0, 16.0, 12.0, 8.0, 5.0, 3.0, 2.0)
SMALLEST_PX = 360
"""Shorter side: below it thin lines are lost, and nothing much is saved."""
KEPT = 0.8
"""Share of the pictures that must be drawn."""
LATE_S, EASY_S = 0.15, 0.12
"""Age of drawings, from decoded to encoded: above the first is too late, below the second there is room."""
LOOK_S = 0.5
"""Seconds from one look to the next."""
SLOWEST_FOR_AGE = 12.0
"""Pictures a second: below it they hardly wait for each other, and fewer of them make none younger."""
BAD_LOOKS = 3
GOOD_LOOKS, MOST_GOOD_LOOKS = 10, 120
HELPED = 0.9
"""Drawings must get so much younger by a lower rate for the next lower one to be worth it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """What a peer gets."""

    scale: float = 1.0
    """Of the drawing's sides as it is sent."""
    fps: float = math.inf
    """Pictures a second that are drawn at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What was measured of one peer since the last look."""

    seconds: float
    came: int
    """Pictures that its camera sent."""
    drawn: int
    age_s: float
    """Of its drawings."""
    shorter_px: int
    """Shorter side of its drawing at full size."""

    @property
    def wanted(self) -> float:
        return self.came / self.seconds


class Ladder:
    """Where one peer stands. Has no clock: it is told of one look after the other."""

    def __init__(self) -> None:
        self.rung = Rung()
        self._bad = self._good = 0
        self._patience = GOOD_LOOKS
        self._climbed = False
        self._age_before: float | None = None

    @property
    def slowed(self) -> bool:
        """Whether it gets fewer pictures than its camera may send."""
        return self.rung.fps < math.inf

    def look(self, look: Look) -> Rung:
        """Take in what was measured, and step where need be."""
        wanted = min(look.wanted, self.rung.fps)
        starved = look.drawn + 1 < KEPT * wanted * look.seconds  # one may be on its way
        late = look.age_s > LATE_S
        if starved or late:
            self._bad, self._good = self._bad + 1, 0
            if self._bad >= BAD_LOOKS:
                self._bad = 0
                self._down(look, starved=starved)
        elif look.age_s < EASY_S or not self.slowed:
            self._bad, self._good = 0, self._good + 1
            if self._good >= self._patience:
                self._good = 0
                self._up(look)
        else:
            self._bad = self._good = 0
        return self.rung

    def _down(self, look: Look, *, starved: bool) -> None:
        lower = [rung for rung in rungs(look.shorter_px, look.wanted) if _below(rung, self.rung)]
        if not lower:
            return
        to = lower[0]
        if to.fps < self.rung.fps and starved:
            to = next((rung for rung in lower if rung.fps * KEPT * look.seconds <= look.drawn), lower[-1])
        elif to.fps < self.rung.fps:
            if to.fps < SLOWEST_FOR_AGE:
                return
            if self._age_before is not None and look.age_s > HELPED * self._age_before:
                return
            self._age_before = look.age_s
        if self._climbed:
            self._patience = min(MOST_GOOD_LOOKS, 2 * self._patience)
        self._climbed = False
        self.rung = to

    def _up(self, look: Look) -> None:
        higher = [rung for rung in rungs(look.shorter_px, math.inf) if _below(self.rung, rung)]
        if self._climbed:  # the last one held
            self._patience = GOOD_LOOKS
        self._climbed = bool(higher)
        self._age_before = None
        if higher:
            self.rung = higher[-1]


def rungs(shorter_px: int, wanted: float) -> Iterator[Rung]:
    """From the top: sizes that are not too small, then rates below what the camera sends (pictures a second)."""
    scales = [scale for scale in SCALES if scale == 1.0 or scale * shorter_px >= SMALLEST_PX]
    for scale in scales:
        yield Rung(scale=scale)
    for fps in RATES:
        if fps < 0.95 * wanted:
            yield Rung(scale=scales[-1], fps=fps)


def _below(one: Rung, other: Rung) -> bool:
    return (one.fps, one.scale) < (other.fps, other.scale)
