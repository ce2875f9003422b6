"""A tracker that is not waited for: where it is late, the faces that it found last are given, with their age.

The tracker works in a thread of its own, on the newest frame. As long as it answers within the time from one frame to
the next it is waited for, so that every frame has landmarks of its own; a slower one is asked and not waited for. Who
draws carries the landmarks on by the motion of the picture (:mod:`realtime.registration`), for ``LATEST_S`` at most:
then a face counts as lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from realtime.core import Face, Frame, Tracker

LATEST_S = 0.75
"""Older landmarks say nothing any more."""
FIRST_S = 2.0
"""The first frame is waited for so long: before it there is nothing to draw."""
END_S = 2.0
"""A tracker that hangs for longer at the end is left to die with the process."""


class PunctualTracker:
    """Puts a :class:`realtime.core.Tracker` into a thread of its own."""

    def __init__(self, *, tracker: Tracker, frame_s: float, on_delay: Callable[[float], None]) -> None:
        """
        Args:
            tracker: called from one thread, with frames in order, not with every one.
            frame_s: seconds from one frame to the next; a tracker that takes no longer is waited for.
            on_delay: told for every frame by how many seconds its landmarks are older than it; 0 when in time.
        """
        self._tracker = tracker
        self._patience = frame_s
        self._on_delay = on_delay
        self._changed = threading.Condition()
        self._next: Frame | None = None
        self._busy = self._ended = False
        self._found: tuple[Frame, Sequence[Face]] | None = None
        self._took = 0.0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="faces", daemon=True)
        self._thread.start()

    def track(self, frame: Frame) -> Sequence[Face]:
        """The faces of this frame, or of the last one for which there are any, with their age."""
        with self._changed:
            wait = self._patience_now()
            self._next = frame
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._error is not None or self._is_of(frame), wait)
            if self._error is not None:
                raise self._error
            found = self._found
        if found is None:
            return ()
        age = frame.time - found[0].time
        self._on_delay(age)
        if not 0 <= age <= LATEST_S:
            return ()
        return found[1] if found[0] is frame else [replace(face, age=age) for face in found[1]]

    def end(self) -> bool:
        """Let the thread go; False when the tracker hangs in it. The tracker itself is not closed."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join(END_S)
        return not self._thread.is_alive()

    def close(self) -> None:
        """End, and close the tracker, unless it hangs: what another thread works in must not be closed."""
        if self.end():
            self._tracker.close()

    def _patience_now(self) -> float:
        """Seconds that the frame to come is waited for."""
        if self._busy:  # with an older frame: late already, it takes up the newest when it is done
            return 0.0
        if self._found is None:
            return FIRST_S
        return self._patience if self._took <= self._patience else 0.0

    def _is_of(self, frame: Frame) -> bool:
        return self._found is not None and self._found[0] is frame

    def _work(self) -> None:
        try:
            while (frame := self._take()) is not None:
                start = time.perf_counter()
                faces = self._tracker.track(frame)
                with self._changed:
                    self._found, self._took = (frame, faces), time.perf_counter() - start
                    self._busy = False
                    self._changed.notify_all()
        except BaseException as error:  # a thread's edge: track() raises it again
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _take(self) -> Frame | None:
        """The newest frame; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._next is not None)
            if self._ended:
                return None
            frame, self._next = self._next, None
            self._busy = True
            return frame
