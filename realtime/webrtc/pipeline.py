"""A peer's own threads: its tracker, aligner, filters, compositor and settings around the shared engine.

The work is the same :class:`realtime.stream.Stream` that a window gets, from the newest picture of the inlet to the
broadcast. When the camera's picture changes its shape (a phone is turned) the stream ends and another goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.aligner import Aligner
from realtime.compositor import Compositor
from realtime.controls import Controls
from realtime.core import Frame, Matter, Smoother, Tracker
from realtime.stream import Stream
from realtime.stylizer import Stylizer
from realtime.timing import Stats
from realtime.webrtc.broadcast import Broadcast
from realtime.webrtc.inlet import Inlet
from realtime.webrtc.ladder import Ladder
from realtime.webrtc.pen import Pen, Styles

log = logging.getLogger(__name__)
JOIN_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What every peer's pipeline is made of."""

    styles: Styles
    make_tracker: Callable[[], Tracker]
    make_smoother: Callable[[], Smoother]
    matter: Matter | None
    controls: Callable[[], Controls]
    """Settings that a peer begins with."""
    make_stylizer: Callable[..., Stylizer] = Stylizer
    """Measurements put their own in here."""


class Pipeline:
    """Runs from its start until it is closed or fails. The drawing is paper before, between and after."""

    def __init__(
        self, *, parts: Parts, inlet: Inlet, broadcast: Broadcast, on_failure: Callable[[Exception], None]
    ) -> None:
        """
        Args:
            parts: shared by all peers.
            inlet: gives the pictures.
            broadcast: takes the drawings.
            on_failure: called from this pipeline's thread when it can go on no more.
        """
        self._parts = parts
        self._broadcast = broadcast
        self._on_failure = on_failure
        self.inlet = inlet
        self.controls = parts.controls()
        self.styles = parts.styles
        self.pen: Pen = parts.styles.pen()
        self.ladder = Ladder()
        """What is given up while the machine is too busy; whoever measures that (:mod:`realtime.webrtc.load`) steps."""
        self.stats = Stats(engine=self.pen.name, device=self.pen.device)
        self._thread = threading.Thread(target=self._run, name="peer", daemon=True)
        self._started = False

    def start(self) -> None:
        """Once the peer is connected: an offer that leads to nothing costs no tracker."""
        if not self._started and not self.inlet.closed:
            self._started = True
            self._thread.start()

    def figures(self) -> dict[str, Any]:
        """As :meth:`realtime.timing.Stats.as_dict`, with what was overtaken before the stream saw it."""
        told = self.stats.as_dict()
        told |= {"engine": self.pen.name, "device": self.pen.device}  # as of now: styles change, and engines break
        told["engine_changes"] = [one for one in self.styles.changes if one["style"] == self.pen.style]
        told["frames_received"] = self.inlet.received
        told["dropped"] += self.inlet.overtaken
        told["spared"] = self.inlet.spared
        return told

    def close(self) -> None:
        """End the threads; blocks until they have, so call it off the event loop. May be called twice."""
        self.controls.quit.set()
        self.inlet.close()
        if self._started:
            self._thread.join(JOIN_S)
        else:
            self.pen.close()

    def _run(self) -> None:
        try:
            with closing(self._parts.make_tracker()) as tracker:
                while not (self.controls.quit.is_set() or self.inlet.closed):
                    self._stream(tracker).run()
        except Exception as error:  # a thread's edge: the session is told, and nobody is left with a photo
            log.warning("event=pipeline-failed error=%s %s", type(error).__name__, error)
            self._on_failure(error)
        finally:
            self._broadcast.paper()
            self.pen.close()

    def _stream(self, tracker: Tracker) -> Stream:
        parts = self._parts
        stylizer = parts.make_stylizer(
            tracker=tracker,
            aligner=Aligner(matter=parts.matter),
            engine=self.pen,
            make_smoother=parts.make_smoother,
            compositor=Compositor(),
            controls=self.controls,
        )
        return Stream(
            source=self.inlet.source(
                watched=lambda: self._broadcast.watched,
                at_start=self._broadcast.paper,
                rate=lambda: self.ladder.rung.fps,
            ),
            stylizer=stylizer,
            sinks=[_Outlet(self._broadcast)],
            stats=self.stats,
            controls=self.controls,
        )


class OneAtATime:
    """A person-matte model that several peers call."""

    def __init__(self, matter: Matter) -> None:
        self._matter = matter
        self._lock = threading.Lock()

    def matte(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        with self._lock:
            return self._matter.matte(photo)


class _Outlet:
    """The broadcast as a sink that outlives its streams."""

    def __init__(self, broadcast: Broadcast) -> None:
        self._broadcast = broadcast

    def send(self, frame: Frame) -> None:
        self._broadcast.send(frame)

    def close(self) -> None:
        """Whoever made the broadcast closes it."""
