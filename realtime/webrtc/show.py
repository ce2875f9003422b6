"""One peer's drawing as others see it: the camera's pictures and sound come in, drawing and sound go out."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable
from typing import Any

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from realtime.webrtc.broadcast import Broadcast
from realtime.webrtc.pipeline import Parts, Pipeline
from realtime.webrtc.sound import Sound


class Show:
    """Opened with a publisher's session and closed with it. Belongs to the event loop."""

    def __init__(self, *, parts: Parts, name: str | None, on_failure: Callable[[Exception], None]) -> None:
        """
        Args:
            parts: of the pipeline.
            name: under which it can be watched; None makes one that cannot be guessed, so that the name is the key.
            on_failure: called on the event loop when no more can be drawn.
        """
        loop = asyncio.get_running_loop()
        self.name = name or secrets.token_urlsafe(16)
        self.secret = name is None
        self.broadcast = Broadcast(loop=loop)
        self.sound = Sound(latency=lambda: self.broadcast.latency)
        self.pipeline = Pipeline(
            parts=parts,
            broadcast=self.broadcast,
            on_failure=lambda error: _call(loop, on_failure, error),
        )
        self._tasks: list[asyncio.Task[None]] = []

    def receive(self, track: MediaStreamTrack) -> None:
        """Take what a track of the publisher brings. Its queue has no end: it is always drained, the newest is kept."""
        take: Callable[[Any], None] = self.sound.send if track.kind == "audio" else self.pipeline.inlet.offer
        self._tasks.append(asyncio.create_task(_drain(track, take)))

    def figures(self) -> dict[str, Any]:
        """What can be told of it, ready for JSON."""
        return {
            **self.pipeline.figures(),
            "now": self.pipeline.stats.recent(),
            "watchers": self.broadcast.watchers,
            "bits": self.broadcast.bits,
            "latency_ms": round(self.broadcast.latency * 1000, 1),
            "sound_delay_ms": round(self.sound.delay * 1000, 1),
            "style": self.pipeline.pen.style,
            "layout": self.pipeline.controls.layout,
            "paused": self.pipeline.controls.paused,
            "quality": self.quality(),
        }

    def quality(self) -> dict[str, float | None]:
        """What it gets of size and rate, as long as the machine is too busy for all: see the ladder."""
        rung = self.pipeline.ladder.rung
        return {"scale": rung.scale, "fps": None if math.isinf(rung.fps) else rung.fps}

    async def close(self) -> None:
        """The last that watchers get is paper. May be called twice."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await asyncio.to_thread(self.pipeline.close)
        await asyncio.sleep(0)  # what the pipeline handed over last
        self.broadcast.close()
        self.sound.close()


async def _drain(track: MediaStreamTrack, take: Callable[[Any], None]) -> None:
    while True:
        try:
            take(await track.recv())
        except MediaStreamError:
            return


def _call(loop: asyncio.AbstractEventLoop, call: Callable[[Exception], None], error: Exception) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call, error)
