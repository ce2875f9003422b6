"""Peers of benchmarks: aiortc clients that send an encoded clip and read a time code off what comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import aiohttp
import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from benchmarks.roundtrip import covering
from benchmarks.timecode import draw_row, percentiles, read_row
from realtime.core import Frame
from realtime.webrtc import mending
from realtime.webrtc.encoder import VideoEncoder

SIZE = (320, 240)
FPS = 30
CLIP_S = 8
KEY_FRAME = FPS // 2
"""Which picture of each second is a key frame; the first of all is one by itself."""


def encoded(
    clip: Path | None, *, code: Callable[[int], int] = lambda index: index, most: int = CLIP_S * FPS
) -> list[bytes]:
    """VP8 of every picture; a key frame every second.

    Args:
        clip: begins with a face; None takes the demo.
        code: what the time code of a picture tells, by its number.
        most: pictures at most.
    """
    from realtime.sources.demo import DemoSource
    from realtime.sources.video import VideoSource

    width, height = SIZE
    source = (
        DemoSource(fps=FPS, seconds=CLIP_S, live=False, width=width, height=height)
        if clip is None
        else VideoSource(path=clip)
    )
    encoder = VideoEncoder(codec="VP8", width=width, height=height, bit_rate=800_000)
    made: list[bytes] = []
    with closing(source):
        frames: Iterator[Frame] = islice(iter(source), most)
        for index, frame in enumerate(frames):
            image = covering(frame.image, SIZE)
            draw_row(image, code(index))
            made += [bytes(p) for p in encoder.encode(image, index / FPS, key_frame=index % FPS == KEY_FRAME)]
    return made


class Camera(MediaStreamTrack):
    """Plays what was encoded, over and over, and notes when each picture was sent."""

    kind = "video"

    def __init__(self, packets: Sequence[bytes]) -> None:
        super().__init__()
        self._packets = packets
        self._count = 0
        self.begun = time.monotonic()
        self.sent: dict[int, float] = {}

    async def recv(self) -> av.Packet[Any]:
        await asyncio.sleep(max(0.0, self.begun + self._count / FPS - time.monotonic()))
        if self.readyState != "live":
            raise MediaStreamError
        packet = av.Packet(self._packets[self._count % len(self._packets)])
        packet.pts, packet.time_base = self._count * (90_000 // FPS), Fraction(1, 90_000)
        self.sent[self._count % len(self._packets)] = time.monotonic()
        self._count += 1
        return packet


class Peer:
    """One that is drawn."""

    def __init__(self, packets: Sequence[bytes]) -> None:
        self.camera = Camera(packets)
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.seen: list[tuple[float, float | None]] = []
        """When a drawing was there, and how long after its picture was sent, seconds."""
        self._tasks: list[asyncio.Task[None]] = []
        self.connection.addTrack(self.camera)
        self.connection.on("track", lambda track: self._tasks.append(asyncio.create_task(self._receive(track))))

    async def enter(self, http: aiohttp.ClientSession, url: str) -> tuple[int, str | None]:
        """Status and Retry-After."""
        await self.connection.setLocalDescription(await self.connection.createOffer())
        async with http.post(f"{url}/offer", json={"sdp": self.connection.localDescription.sdp}) as response:
            if response.status != 201:
                return response.status, response.headers.get("Retry-After")
            answer = await response.json()
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp=answer["sdp"], type="answer"))
        for transceiver in self.connection.getTransceivers():
            mending.at_once(transceiver.receiver)
        return 201, None

    async def _receive(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            now = time.monotonic()
            code = read_row(frame.to_ndarray(format="gray"), width=SIZE[0])  # type: ignore[union-attr]
            sent = None if code is None else self.camera.sent.get(code)
            self.seen.append((now, None if sent is None else now - sent))

    def figures(self, begun: float, ended: float) -> dict[str, Any]:
        """Of what was seen within that time."""
        trips = [trip for at, trip in self.seen if begun <= at < ended]
        return {
            "fps": round(len(trips) / (ended - begun), 1),
            "round_trip_ms": percentiles([1000 * trip for trip in trips if trip is not None and trip < CLIP_S / 2]),
        }

    async def leave(self) -> None:
        self.camera.stop()
        await self.connection.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
