"""How busy the machine is, by measure: what each peer gets of it, and whether there is room for one more.

Twice a second each drawing is looked at, and its peer steps on its :mod:`~realtime.webrtc.ladder`. From the same looks
comes what a picture costs: processor time of this process, and time of the engine. So many peers fit as can be given
:data:`PROMISED_FPS` pictures a second each, of what other programs leave; who comes beyond that is refused, so that
those who are here keep that rate.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from realtime.webrtc.ladder import BAD_LOOKS, KEPT, Look
from realtime.webrtc.show import Show

PROMISED_FPS = 15.0
"""What everybody who is drawn keeps when another comes; a camera that sends less keeps what it sends."""
FULL = 0.9
"""Share of the processors and of the engine that is given away."""
EASE = 0.2
"""Share of the newest look in what a picture costs."""
FEW = 5
"""Pictures in one look below which nothing is learnt of their cost."""
PATIENCE = 4
"""Looks at a drawing that has just begun which say nothing: models are loaded, a face is being found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Seconds since whenever."""

    now: float
    ours: float
    """Of processor time of this process."""
    everybody: float
    """The same of all processes, on the processors that this one may use."""
    engine: float
    """That the engine was at work."""
    pictures: int
    """Drawn so far."""


class Load:
    """Looks every now and then (see :meth:`look`) and remembers. Belongs to the event loop."""

    def __init__(self, *, engine_s: Callable[[], float], cores: int | None = None) -> None:
        """
        Args:
            engine_s: seconds that engines have been at work.
            cores: processors that may be used; None asks the system.
        """
        self._engine_s = engine_s
        self.cores = cores or len(_mine())
        self.cost_s = 0.0
        """Processor time of one picture; 0 while unknown."""
        self.engine_s = 0.0
        """Engine time of one picture."""
        self.others = 0.0
        """Processors that other programs keep busy."""
        self.crowded = False
        """Somebody gets less than was promised."""
        self._last: Clocks | None = None
        self._watches: dict[Show, _Watch] = {}

    @property
    def room(self) -> float:
        """Peers that fit, by measure; infinite while nothing is known."""
        processors = FULL * max(0.0, self.cores - self.others)
        by_processor = processors / (PROMISED_FPS * self.cost_s) if self.cost_s else math.inf
        by_engine = FULL / (PROMISED_FPS * self.engine_s) if self.engine_s else math.inf
        return min(by_processor, by_engine)

    def full(self, drawn: int) -> bool:
        """Whether one more, beside so many, would take from them what was promised. The first is always let in."""
        return drawn > 0 and (self.crowded or drawn + 1 > self.room)

    def look(self, shows: Sequence[Show]) -> None:
        """To be called every :data:`~realtime.webrtc.ladder.LOOK_S`, with everybody who is drawn."""
        pictures = sum(show.pipeline.stats.frames_out for show in shows)
        clocks = Clocks(
            now=time.monotonic(),
            ours=time.process_time(),
            everybody=_everybody(),
            engine=self._engine_s(),
            pictures=pictures,
        )
        self.learn(clocks)
        self._watches = {show: self._watches.get(show) or _Watch() for show in shows}
        short = [watch.look(show, clocks.now) for show, watch in self._watches.items()]
        self.crowded = any(short)

    def learn(self, clocks: Clocks) -> None:
        """Take in the difference to the last time."""
        last, self._last = self._last, clocks
        if last is None or clocks.now <= last.now:
            return
        seconds, pictures = clocks.now - last.now, clocks.pictures - last.pictures
        ours = clocks.ours - last.ours
        others = max(0.0, clocks.everybody - last.everybody - ours) / seconds
        self.others += EASE * (others - self.others)
        if pictures >= FEW:
            self.cost_s = _eased(self.cost_s, ours / pictures)
            self.engine_s = _eased(self.engine_s, (clocks.engine - last.engine) / pictures)


class _Watch:
    """Looks at one drawing."""

    def __init__(self) -> None:
        self._last: tuple[float, int, int] | None = None
        self._looks = 0
        self._short = 0

    def look(self, show: Show, now: float) -> bool:
        """Step on its ladder; True when it gets less than was promised, for the third time in a row."""
        pipeline, broadcast = show.pipeline, show.broadcast
        last, self._last = self._last, (now, pipeline.inlet.received, pipeline.stats.frames_out)
        latest = broadcast.latest
        if last is None or latest is None or not broadcast.watched or pipeline.inlet.received == last[1]:
            self._looks = self._short = 0
            return False
        self._looks += 1
        if self._looks <= PATIENCE:
            return False
        look = Look(
            seconds=now - last[0],
            came=pipeline.inlet.received - last[1],
            drawn=pipeline.stats.frames_out - last[2],
            age_s=broadcast.latency,
            shorter_px=min(latest.image.shape[:2]),
        )
        broadcast.scale = pipeline.ladder.look(look).scale
        short = look.drawn + 1 < KEPT * min(look.wanted, PROMISED_FPS) * look.seconds
        self._short = self._short + 1 if short else 0
        return self._short >= BAD_LOOKS


def _eased(value: float, newest: float) -> float:
    return newest if value == 0.0 else value + EASE * (newest - value)


def _mine() -> Sequence[int]:
    """Numbers of the processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return range(os.cpu_count() or 1)


def _everybody() -> float:
    """Seconds that our processors have been busy since the system started."""
    mine = set(_mine())
    busy = 0.0
    for number, times in enumerate(psutil.cpu_times(percpu=True)):
        if number in mine:
            idle = times.idle + getattr(times, "iowait", 0.0)
            busy += sum(times) - idle - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return busy
