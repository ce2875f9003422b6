"""A peer's sound, passed on as late as its picture, so that lips meet words."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from av import AudioFrame

BACKLOG = 150
"""Frames that wait for one listener at most: three seconds of 20 ms."""
HEAD_START_S = 0.033
"""So much later than a picture is sound by itself: a packet holds 20 ms and is sent when the last of them has been
heard, and Opus looks 6.5 ms ahead, at the sender and here again."""
EASE = 0.02
"""Share of the newest latency in the delay: it drifts, it does not jump."""


class Listener:
    """One who listens. Belongs to the event loop."""

    def __init__(self, *, sound: Sound) -> None:
        self._sound = sound
        self._frames: deque[tuple[float, AudioFrame]] = deque(maxlen=BACKLOG)
        self._arrived = asyncio.Event()
        self._closed = False

    async def next(self) -> AudioFrame | None:
        """The next frame when it is due; None when there will be none any more."""
        while not self._frames:
            if self._closed:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        due, frame = self._frames.popleft()
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        return frame

    def offer(self, due: float, frame: AudioFrame) -> None:
        self._frames.append((due, frame))
        self._arrived.set()

    def close(self) -> None:
        """May be called twice."""
        self._closed = True
        self._arrived.set()
        self._sound.leave(self)


class Sound:
    """Hands each frame of a peer's sound to all who listen. Belongs to the event loop."""

    def __init__(self, *, latency: Callable[[], float]) -> None:
        """
        Args:
            latency: seconds that the picture takes from the end of decode to its sending.
        """
        self._latency = latency
        self._listeners: list[Listener] = []
        self._closed = False
        self.delay = 0.0
        """Seconds that sound waits here."""

    def listen(self) -> Listener:
        listener = Listener(sound=self)
        if self._closed:
            listener._closed = True
        else:
            self._listeners.append(listener)
        return listener

    def leave(self, listener: Listener) -> None:
        if listener in self._listeners:
            self._listeners.remove(listener)

    def send(self, frame: AudioFrame) -> None:
        self.delay += EASE * (max(0.0, self._latency() - HEAD_START_S) - self.delay)
        due = time.monotonic() + self.delay
        for listener in self._listeners[:]:
            listener.offer(due, frame)

    def close(self) -> None:
        """May be called twice."""
        self._closed = True
        for listener in self._listeners[:]:
            listener.close()
