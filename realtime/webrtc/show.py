"""What a publisher sends, and what becomes of it: pictures and sound come in, drawing and sound go out."""

from __future__ import annotations

import asyncio
import math
import secrets
from collections.abc import Callable
from typing import Any

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from realtime.webrtc.broadcast import Broadcast
from realtime.webrtc.inlet import Inlet
from realtime.webrtc.pipeline import Parts, Pipeline
from realtime.webrtc.sound import Sound


class Intake:
    """Takes in what one publisher sends; opened with its session and closed with it. Belongs to the event loop."""

    def __init__(self, *, name: str | None, inlet: Inlet) -> None:
        """
        Args:
            name: under which it can be watched; None makes one that cannot be guessed, so that the name is the key.
            inlet: takes the pictures.
        """
        self.name = name or secrets.token_urlsafe(16)
        self.secret = name is None
        self.inlet = inlet
        self.broadcast = Broadcast(loop=asyncio.get_running_loop())
        self.sound = Sound(latency=lambda: self.broadcast.latency)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """The publisher is connected."""

    def receive(self, track: MediaStreamTrack) -> None:
        """Take what a track of the publisher brings. Its queue has no end: it is always drained, the newest is kept."""
        take: Callable[[Any], None] = self.sound.send if track.kind == "audio" else self.inlet.offer
        self._tasks.append(asyncio.create_task(_drain(track, take)))

    def figures(self) -> dict[str, Any]:
        """What can be told of it, ready for JSON."""
        return {"frames_received": self.inlet.received}

    async def close(self) -> None:
        """May be called twice."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._finish()
        self.broadcast.close()
        self.sound.close()

    async def _finish(self) -> None:
        """Before watchers are told that this is the end."""


class Show(Intake):
    """One peer's drawing as others see it."""

    def __init__(self, *, parts: Parts, name: str | None, on_failure: Callable[[Exception], None]) -> None:
        """
        Args:
            parts: of the pipeline.
            name: as in the base class.
            on_failure: called on the event loop when no more can be drawn.
        """
        loop = asyncio.get_running_loop()
        super().__init__(name=name, inlet=Inlet())
        self.pipeline = Pipeline(
            parts=parts,
            inlet=self.inlet,
            broadcast=self.broadcast,
            on_failure=lambda error: _call(loop, on_failure, error),
        )

    def start(self) -> None:
        self.pipeline.start()

    def figures(self) -> dict[str, Any]:
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

    async def _finish(self) -> None:
        """The last that watchers get is paper."""
        await asyncio.to_thread(self.pipeline.close)
        await asyncio.sleep(0)  # what the pipeline handed over last


async def _drain(track: MediaStreamTrack, take: Callable[[Any], None]) -> None:
    while True:
        try:
            take(await track.recv())
        except MediaStreamError:
            return


def _call(loop: asyncio.AbstractEventLoop, call: Callable[[Exception], None], error: Exception) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(call, error)
