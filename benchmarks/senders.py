"""Senders in processes of their own: aiortc peers that do what the page does, with a clip for a camera.

Each draws a time code into its pictures, the server keeps it (:mod:`benchmarks.timecode`), and every drawing that comes
back is noted with its age.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import aiohttp
import av
import cv2
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from numpy.typing import NDArray

from benchmarks.mosaics import covering
from benchmarks.timecode import BITS, draw_row, read_row
from realtime.webrtc import mending

SIZE = (640, 480)
FPS = 25
PICTURES = 100
"""Of the clip, shown forwards and backwards."""
START_S = 120.0
PERIOD_MS = 1 << BITS
INK = 100
"""Of luma: darker than any paper."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A drawing that came back."""

    at: float
    """Seconds of ``time.monotonic()``, which is the same in all processes of a machine."""
    age_ms: int | None
    """Since its picture was made; None where no time can be read, as in what a busy server draws much smaller."""


def pictures(clip: Path | None) -> list[NDArray[np.uint8]]:
    """The first ones of a clip, or of the demo; (H, W, 3) uint8."""
    from realtime.sources.demo import DemoSource
    from realtime.sources.video import VideoSource

    width, height = SIZE
    source = (
        DemoSource(fps=FPS, seconds=PICTURES / FPS, live=False, width=width, height=height)
        if clip is None
        else VideoSource(path=clip)
    )
    with closing(source):
        return [covering(frame.image, SIZE) for frame in itertools.islice(source, PICTURES)]


class Clip(MediaStreamTrack):
    """Pictures at a steady pace, each with the time in it."""

    kind = "video"

    def __init__(self, shown: Sequence[NDArray[np.uint8]]) -> None:
        super().__init__()
        self._pictures = itertools.cycle([*shown, *shown[-2:0:-1]])
        self._count, self._begun = 0, time.monotonic()

    async def recv(self) -> av.VideoFrame:
        self._count += 1
        await asyncio.sleep(max(0.0, self._begun + self._count / FPS - time.monotonic()))
        if self.readyState != "live":
            raise MediaStreamError
        image = next(self._pictures).copy()
        draw_row(image, round(time.monotonic() * 1000))
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = self._count * 90_000 // FPS, Fraction(1, 90_000)
        return frame


def is_drawing(frame: av.VideoFrame) -> bool:
    """Whether there is ink on it; else it is paper."""
    return bool((_luma(frame) < INK).any())


def _luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    plane = frame.planes[0]
    return np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]


def age_of(frame: av.VideoFrame) -> int | None:
    """Milliseconds since its picture was made; None where no time is found in it."""
    luma = _luma(frame)
    if luma.shape[1] != SIZE[0]:  # a busy server draws smaller
        luma = np.asarray(cv2.resize(luma, SIZE, interpolation=cv2.INTER_AREA), np.uint8)
    made = read_row(luma[..., None])
    return None if made is None else (round(time.monotonic() * 1000) - made) % PERIOD_MS


async def send(url: str, *, clip: Path | None, token: str | None) -> None:
    """Be drawn until the end of standard input; a line for every drawing that comes back."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tasks: list[asyncio.Task[None]] = []
    shown = 0

    async def receive(track: MediaStreamTrack) -> None:
        nonlocal shown
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.VideoFrame)
                shown += 1
                if not is_drawing(frame):
                    continue
                age = age_of(frame)
                print(f"got {time.monotonic():.4f} {-1 if age is None else age}", flush=True)

    @peer.on("track")
    def take(track: MediaStreamTrack) -> None:
        tasks.append(asyncio.create_task(receive(track)))

    camera = Clip(pictures(clip))
    peer.addTrack(camera)
    await peer.setLocalDescription(await peer.createOffer())
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with aiohttp.ClientSession(headers=headers) as http:
        async with http.post(f"{url}/offer", json={"sdp": peer.localDescription.sdp}) as response:
            answer = await response.json()
            if response.status != 201:
                raise RuntimeError(f"expected 201, got {response.status}: {answer}")
        await peer.setRemoteDescription(RTCSessionDescription(sdp=answer["sdp"], type="answer"))
        print("session " + answer["session"], flush=True)
        tasks.append(asyncio.create_task(_unstick(peer, lambda: shown)))
        await asyncio.to_thread(sys.stdin.read)
        with suppress(aiohttp.ClientError):
            async with http.delete(url + answer["session"]):
                pass
    camera.stop()
    await peer.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _unstick(peer: RTCPeerConnection, shown: Callable[[], int]) -> None:
    """A browser goes on when packets are lost for good; of itself aiortc waits for them."""
    stuck = mending.Unsticking(peer.getReceivers()[0])
    while True:
        await asyncio.sleep(0.1)
        await stuck.look(frames=shown(), now=time.monotonic())


@dataclass(kw_only=True)
class Sender:
    """As :func:`send`, from outside."""

    process: asyncio.subprocess.Process
    arrivals: list[Arrival] = field(default_factory=list)
    session: str = ""

    @classmethod
    async def start(
        cls, url: str, *, clip: Path | None = None, token: str | None = None, prefix: Sequence[str] = ()
    ) -> Sender:
        """Returns once the first drawing has come back."""
        options = json.dumps({"url": url, "clip": None if clip is None else str(clip), "token": token})
        process = await asyncio.create_subprocess_exec(
            *prefix,
            *(sys.executable, "-m", "benchmarks.senders", options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        sender = cls(process=process)
        sender._reader = asyncio.create_task(sender._read())
        async with asyncio.timeout(START_S):
            while not sender.arrivals:
                if process.returncode is not None:
                    raise RuntimeError("the sender ended by itself")
                await asyncio.sleep(0.05)
        return sender

    def between(self, begin: float, end: float) -> list[Arrival]:
        """Drawings that came back in that time."""
        return [one for one in self.arrivals if begin <= one.at < end]

    def ages(self, begin: float, end: float) -> list[float]:
        """Milliseconds, of those that tell."""
        return [float(one.age_ms) for one in self.between(begin, end) if one.age_ms is not None]

    def fps(self, begin: float, end: float) -> float:
        return len(self.between(begin, end)) / (end - begin)

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    async def stop(self) -> None:
        """Leave as one should; be killed if that does not help."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()
        try:
            async with asyncio.timeout(10):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()
        self._reader.cancel()

    async def _read(self) -> None:
        assert self.process.stdout is not None
        while line := (await self.process.stdout.readline()).decode():
            word, _, rest = line.strip().partition(" ")
            if word == "got":
                at, age = rest.split()
                self.arrivals.append(Arrival(at=float(at), age_ms=None if int(age) < 0 else int(age)))
            elif word == "session":
                self.session = rest

    _reader: asyncio.Task[None] = field(init=False, repr=False)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.senders", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("options", metavar="JSON")
    options = json.loads(parser.parse_args(argv).options)
    clip = None if options["clip"] is None else Path(options["clip"])
    asyncio.run(send(options["url"], clip=clip, token=options["token"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
