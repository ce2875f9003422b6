"""Getting back what was lost: try again with exponential back-off, while the caller goes on drawing paper."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from realtime.core import SourceError

TICK_S = 0.2
"""While a source is being reopened it gives one blank frame each tick: 5 a second."""


class Closable(Protocol):
    def close(self) -> None: ...


T = TypeVar("T", bound=Closable)


class Attempt(Generic[T]):
    """One call of ``opener`` in a thread of its own, so that a device or a network that hangs holds nobody up."""

    def __init__(self, opener: Callable[[], T]) -> None:
        self._opener = opener
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._abandoned = False
        self._result: T | None = None
        self._error: BaseException | None = None
        threading.Thread(target=self._run, name="open", daemon=True).start()

    def _run(self) -> None:
        try:
            result = self._opener()
        except BaseException as error:  # a thread's edge: result() raises it again
            self._error = error
        else:
            with self._lock:
                self._result = result
                if self._abandoned:
                    result.close()
        self._done.set()

    def wait(self, seconds: float) -> bool:
        """True when the attempt has ended, well or badly, within ``seconds``."""
        return self._done.wait(seconds)

    def result(self) -> T:
        """What was opened. Raises what the opener raised. Call after :meth:`wait` said True."""
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def abandon(self) -> None:
        """Nobody waits any more: what is opened, now or later, is closed."""
        with self._lock:
            self._abandoned = True
            if self._result is not None:
                self._result.close()


class Reopening(Generic[T]):
    """Iterate over it to get one tick every :data:`TICK_S` until the source is back; then read :attr:`result`.

    Args:
        opener: opens the source or raises SourceError.
        stopped: set from outside to give up.
        first_s, longest_s: pause before the second attempt, doubled after each up to the longest.
    """

    def __init__(
        self, opener: Callable[[], T], *, stopped: threading.Event, first_s: float = 0.5, longest_s: float = 8.0
    ) -> None:
        self._opener = opener
        self._stopped = stopped
        self._pause = first_s
        self._longest = longest_s
        self.result: T | None = None
        """What was opened; None when the iteration ended because ``stopped`` was set."""

    def __iter__(self) -> Iterator[None]:
        due = time.monotonic()
        attempt: Attempt[T] | None = None
        try:
            while not self._stopped.is_set():
                if attempt is None and time.monotonic() >= due:
                    attempt = Attempt(self._opener)
                if attempt is not None and attempt.wait(0):
                    try:
                        self.result, attempt = attempt.result(), None
                        return
                    except SourceError:
                        attempt = None
                        due = time.monotonic() + self._pause
                        self._pause = min(self._longest, self._pause * 2)
                yield
                if attempt is not None:
                    attempt.wait(TICK_S)
                else:
                    self._stopped.wait(TICK_S)
        finally:
            if attempt is not None:
                attempt.abandon()
