"""One engine for many peers: what arrives within a moment is drawn as one batch.

::

    peer thread --draw--> Seat --\\
    peer thread --draw--> Seat ----> one worker thread --draw--> Engine
    peer thread --draw--> Seat --/

A seat waits for its own drawing, so it has at most one request here and nothing queues: whoever feeds a seat keeps the
newest portrait only. The worker waits for the others no longer than the window, and not at all once every seat that
is taken has asked. A CPU draws the pictures of a batch one after the other: there nobody is waited for, and each seat
has its drawing as soon as that is done.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.contract import Engine
from engines.manifest import Manifest

WINDOW_MS = 2.0
MOST = 16
"""Portraits in one batch at most."""

Bytes = NDArray[np.uint8]


@dataclass(slots=True, kw_only=True, eq=False)
class _Request:
    photo: Bytes
    boxes: NDArray[np.int32]
    matte: Bytes
    done: threading.Event = field(default_factory=threading.Event)
    drawing: Bytes | None = None
    error: BaseException | None = None


class Batcher:
    """Owns the thread that an engine is called from; does not close the engine."""

    def __init__(
        self, *, engine: Engine, window_ms: float = WINDOW_MS, most: int | None = None, buckets: Sequence[int] = ()
    ) -> None:
        """
        Args:
            engine: called from one thread, with batches of 1 to ``most``.
            window_ms: how long the first request of a batch waits for others.
            most: portraits in one batch; None: :data:`MOST`, on a CPU one.
            buckets: sizes that the engine was built for; a batch is filled up to the next with its own first portrait.
                None are needed on a CPU.
        """
        self.engine = engine
        self._window = window_ms / 1000
        self._given_most = most
        self._buckets = tuple(sorted(buckets))
        self._changed = threading.Condition()
        self._waiting: list[_Request] = []
        self._seats = 0
        self._closed = False
        self.batches = 0
        self.portraits = 0
        self.busy_s = 0.0
        """Seconds that the engine has been drawing."""
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    @property
    def _most(self) -> int:
        """Asked anew for every batch: an engine may move from the CPU to a card while it is in use."""
        return self._given_most or (1 if self.engine.device.startswith("CPU") else MOST)

    def seat(self) -> Seat:
        """A place for one peer: an engine of its own, as far as it can see."""
        with self._changed:
            self._seats += 1
        return Seat(batcher=self)

    def leave(self) -> None:
        """A seat is free again."""
        with self._changed:
            self._seats -= 1
            self._changed.notify_all()

    def draw(self, photo: Bytes, boxes: NDArray[np.int32], matte: Bytes) -> Bytes:
        """As :meth:`engines.contract.DrawingEngine.draw`, from any thread. ValueError when the batcher is closed."""
        request = _Request(photo=photo, boxes=boxes, matte=matte)
        with self._changed:
            if self._closed:
                raise ValueError("the batcher is closed; expected to draw before that; make another")
            self._waiting.append(request)
            self._changed.notify_all()
        request.done.wait()
        if request.error is not None:
            raise request.error
        assert request.drawing is not None
        return request.drawing

    def close(self) -> None:
        """What waits is drawn, then the thread ends. May be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next():
            try:
                self._draw(batch)
            except BaseException as error:  # a thread's edge: every peer that waits gets it
                for request in batch:
                    request.error = error
            for request in batch:
                request.done.set()

    def _next(self) -> list[_Request]:
        """The next batch, first come first served; empty when there will be none any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting)
            until = time.monotonic() + self._window
            while not self._closed and len(self._waiting) < self._seats and self._count() < self._most:
                if not self._changed.wait(until - time.monotonic()) or time.monotonic() >= until:
                    break
            batch: list[_Request] = []
            size = 0
            while self._waiting and (not batch or size + len(self._waiting[0].photo) <= self._most):
                batch.append(self._waiting.pop(0))
                size += len(batch[-1].photo)
            return batch

    def _count(self) -> int:
        return sum(len(request.photo) for request in self._waiting)

    def _draw(self, batch: list[_Request]) -> None:
        sizes = [len(request.photo) for request in batch]
        total = sum(sizes)
        fill = max(0, next((bucket for bucket in self._buckets if bucket >= total), total) - total)
        photo, boxes, matte = (
            np.concatenate([*arrays, np.repeat(arrays[0][:1], fill, 0)])
            for arrays in ([r.photo for r in batch], [r.boxes for r in batch], [r.matte for r in batch])
        )
        begun = time.perf_counter()
        drawn = self.engine.draw(photo, boxes, matte)
        self.busy_s += time.perf_counter() - begun
        self.batches += 1
        self.portraits += total
        for request, part in zip(batch, np.split(drawn[:total], np.cumsum(sizes)[:-1]), strict=True):
            request.drawing = part


class Seat:
    """An :class:`engines.Engine` for one peer. close() frees the place, not the engine, and is idempotent."""

    def __init__(self, *, batcher: Batcher) -> None:
        self._batcher: Batcher | None = batcher
        self.name = batcher.engine.name
        self.device = batcher.engine.device

    @property
    def manifest(self) -> Manifest:
        return self._open().engine.manifest

    def draw(self, photo: Bytes, boxes: NDArray[np.int32], matte: Bytes) -> Bytes:
        return self._open().draw(photo, boxes, matte)

    def close(self) -> None:
        batcher, self._batcher = self._batcher, None
        if batcher is not None:
            batcher.leave()

    def _open(self) -> Batcher:
        if self._batcher is None:
            raise ValueError("this seat is closed; take another")
        return self._batcher

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
