"""One thing made ahead, for whoever comes next: loading a tracker takes longer than connecting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar


class Closing(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=Closing)


class Spare(Generic[T]):
    """Keeps one ready; makes the next in a thread of its own when that is taken."""

    def __init__(self, *, make: Callable[[], T]) -> None:
        """The first is made at once, so that what is wrong is found before anybody comes: raises what ``make`` does."""
        self._make = make
        self._lock = threading.Lock()
        self._ready: T | None = make()
        self._closed = False

    def take(self) -> T:
        """The one that is ready, or else a new one. Raises what ``make`` does."""
        with self._lock:
            taken, self._ready = self._ready, None
        threading.Thread(target=self._refill, name="spare", daemon=True).start()
        return taken if taken is not None else self._make()

    def close(self) -> None:
        """Close the one that is ready. May be called twice."""
        with self._lock:
            self._closed = True
            ready, self._ready = self._ready, None
        if ready is not None:
            ready.close()

    def _refill(self) -> None:
        try:
            made = self._make()
        except Exception:  # a thread's edge: the next who takes makes its own, and is told
            return
        with self._lock:
            if self._ready is None and not self._closed:
                self._ready = made
                return
        made.close()
