"""The hand-over between two threads: room for one item, so nothing can queue and latency cannot grow."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class SlotClosed(Exception):  # noqa: N818  no error: the way a stream ends
    """The other side has gone: there is nothing more to take, or nobody to take it."""


class Slot(Generic[T]):
    """One item between a writer and a reader."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._items: list[T] = []  # none or one
        self._finished = False
        self._cancelled = False

    def put(self, item: T) -> None:
        """Wait until the slot is empty, then leave the item. SlotClosed when the reader has gone."""
        with self._changed:
            self._changed.wait_for(lambda: self._cancelled or not self._items)
            self._leave(item)

    def offer(self, item: T) -> bool:
        """Leave the item at once; True when it took the place of one that was not read. SlotClosed as for put."""
        with self._changed:
            overtaken = bool(self._items)
            self._leave(item)
            return overtaken

    def get(self, timeout: float | None = None) -> T:
        """Wait for an item and take it.

        Raises:
            TimeoutError: none came within ``timeout`` seconds.
            SlotClosed: the writer has finished and nothing is left, or the slot was cancelled.
        """
        with self._changed:
            ready = self._changed.wait_for(lambda: self._cancelled or self._finished or bool(self._items), timeout)
            if self._cancelled:
                raise SlotClosed
            if self._items:
                self._changed.notify_all()
                return self._items.pop()
            if ready:
                raise SlotClosed
            raise TimeoutError

    def finish(self) -> None:
        """The writer has no more; what is left can still be read."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def cancel(self) -> None:
        """Nobody reads any more: what is left is thrown away and both sides wake."""
        with self._changed:
            self._cancelled = True
            self._items.clear()
            self._changed.notify_all()

    def _leave(self, item: T) -> None:
        if self._cancelled:
            raise SlotClosed
        self._items[:] = [item]
        self._changed.notify_all()
