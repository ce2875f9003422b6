"""Real time for what is read faster: a clip, the demo, a picture played as if a camera gave them."""

from __future__ import annotations

import threading
import time

_FALLEN_BEHIND_S = 0.5


class Pacer:
    """Holds frames back until their time has come, as a camera would. :meth:`stop` wakes it at once."""

    def __init__(self) -> None:
        self._stopped = threading.Event()
        self._origin: float | None = None

    def wait(self, seconds: float) -> bool:
        """Sleep until ``seconds`` after the first call's moment. False when stopped."""
        now = time.monotonic()
        if self._origin is None:
            self._origin = now - seconds
        due = self._origin + seconds
        if now - due > _FALLEN_BEHIND_S:
            self._origin += now - due  # the machine slept: go on from here, do not rush through what was missed
        return not self._stopped.wait(max(0.0, due - now))

    @property
    def stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        self._stopped.set()
