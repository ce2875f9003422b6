"""What measurements of the wire have in common: the server in a process of its own, and senders in theirs.

A sender is an aiortc peer that does what the page does with a clip for a camera. It draws a time code into each
picture, the server keeps it (:mod:`benchmarks.timecode`), and each drawing that comes back is noted with its age.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import psutil
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from numpy.typing import NDArray

from benchmarks.line import Line
from benchmarks.mosaics import covering
from benchmarks.timecode import BITS, TimecodeStylizer, draw_row, read_row
from realtime.allocator import heap_in_use

SIZE = (640, 480)
FPS = 25
PICTURES = 100
"""Of the clip, shown forwards and backwards."""
START_S = 120.0
PERIOD_MS = 1 << BITS


# -- the server --


def serve(*, host: str, port: int, token: str | None, engine: str, limits: Mapping[str, Any]) -> None:
    """The product, which tells what it holds for every line ``left`` on its standard input, and ends with that.

    Args:
        host, port, token, engine: as :func:`realtime.webrtc.wiring.build_server` takes them.
        limits: those of :class:`realtime.webrtc.settings.Limits` that differ from what is shipped.
    """
    from realtime.look import Look
    from realtime.webrtc.wiring import build_server

    lock = threading.Lock()

    def say(line: str) -> None:
        with lock:  # the log and the answers come from different threads
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    with build_server(
        address=(host, port),
        token=token,
        certificate=None,
        key=None,
        ice_servers=(),
        peers=None,
        model="lite",
        engine=engine,
        faces=1,
        layout="inplace",
        smooth=0.5,
        mirror=False,
        look=Look(),
        say=say,
        warn=say,
        make_stylizer=TimecodeStylizer,
    ) as server:
        server.settings = replace(server.settings, limits=replace(server.settings.limits, **limits))
        signal.signal(signal.SIGTERM, lambda *_: server.stop())

        def answer() -> None:
            for line in sys.stdin:
                if line.strip() == "left" and server._loop is not None:
                    say("left " + json.dumps(left(server._loop)))
            server.stop()

        threading.Thread(target=answer, name="answer", daemon=True).start()
        server.run()


def left(loop: asyncio.AbstractEventLoop) -> dict[str, float]:
    """What this process holds now: MB of memory in all and on the C heap, tasks, threads, descriptors."""

    async def count() -> int:
        return len(asyncio.all_tasks()) - 1

    gc.collect()
    process, heap = psutil.Process(), heap_in_use()
    return {
        "rss_mb": round(process.memory_info().rss / 2**20, 2),
        "heap_mb": -1.0 if heap is None else round(heap / 2**20, 2),
        "tasks": asyncio.run_coroutine_threadsafe(count(), loop).result(10),
        "threads": threading.active_count(),
        "descriptors": process.num_fds(),
    }


class ServerProcess:
    """As :func:`serve`, from outside."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.url = url
        self.pid = process.pid
        self._process = process
        self.lines: list[str] = []
        """What else it said."""
        self._told: asyncio.Queue[dict[str, float]] = asyncio.Queue()
        self._reader = asyncio.create_task(self._read())

    @classmethod
    async def start(
        cls,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        token: str | None = None,
        limits: Mapping[str, Any] | None = None,
        prefix: Sequence[str] = (),
    ) -> ServerProcess:
        """``prefix`` comes before the command, for example to run it in another network namespace."""
        chosen = {"host": host, "port": port, "token": token, "engine": "auto", "limits": dict(limits or {})}
        options = json.dumps(chosen)
        process = await asyncio.create_subprocess_exec(
            *prefix,
            *(sys.executable, "-m", "benchmarks.wire", "--serve", options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        async with asyncio.timeout(START_S):
            while line := (await process.stdout.readline()).decode():
                if line.startswith("serving"):
                    return cls(process, line.split()[1].partition("#")[0].rstrip("/"))
        raise RuntimeError("the server did not start")

    async def left(self) -> dict[str, float]:
        assert self._process.stdin is not None
        self._process.stdin.write(b"left\n")
        try:
            async with asyncio.timeout(30):
                return await self._told.get()
        except TimeoutError:
            said = "\n".join(self.lines[-20:])
            raise RuntimeError(f"the server says nothing; alive: {self.alive}; last:\n{said}") from None

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def stop(self) -> int:
        """Its exit status."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        await self._process.wait()
        self._reader.cancel()
        return int(self._process.returncode or 0)

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := (await self._process.stdout.readline()).decode():
            if line.startswith("left "):
                self._told.put_nowait(json.loads(line[5:]))
            else:
                self.lines.append(line.strip())


# -- a sender --


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A drawing that came back."""

    at: float
    """Seconds of ``time.monotonic()``, which is the same in all processes of a machine."""
    age_ms: int | None
    """Since its picture was made; None where it bears no time: paper."""


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


def age_of(frame: av.VideoFrame) -> int | None:
    """Milliseconds since its picture was made; None where no time is found in it."""
    plane = frame.planes[0]
    luma = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
    made = read_row(luma[..., None])
    return None if made is None else (round(time.monotonic() * 1000) - made) % PERIOD_MS


async def send(url: str, *, clip: Path | None, token: str | None) -> None:
    """Be drawn until the end of standard input; a line for every drawing that comes back.

    A line of input such as ``{"loss": 0.05, "late": 0.1}`` makes the connection worse or better: see
    :mod:`benchmarks.line`.
    """
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    tasks: list[asyncio.Task[None]] = []

    async def receive(track: MediaStreamTrack) -> None:
        with suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.VideoFrame)
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
        line = Line(peer)
        while told := await asyncio.to_thread(sys.stdin.readline):
            wanted = json.loads(told)
            line.loss, line.late = wanted["loss"], wanted["late"]
        with suppress(aiohttp.ClientError):
            async with http.delete(url + answer["session"]):
                pass
    camera.stop()
    await peer.close()
    await asyncio.gather(*tasks, return_exceptions=True)


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
            *(sys.executable, "-m", "benchmarks.wire", "--send", options),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        sender = cls(process=process)
        sender._reader = asyncio.create_task(sender._read())
        async with asyncio.timeout(START_S):
            while not any(one.age_ms is not None for one in sender.arrivals):
                if process.returncode is not None:
                    raise RuntimeError("the sender ended by itself")
                await asyncio.sleep(0.05)
        return sender

    def between(self, begin: float, end: float) -> list[Arrival]:
        """Drawings that came back in that time, paper left out."""
        return [one for one in self.arrivals if begin <= one.at < end and one.age_ms is not None]

    def fps(self, begin: float, end: float) -> float:
        return len(self.between(begin, end)) / (end - begin)

    def line(self, *, loss: float = 0.0, late: float = 0.0) -> None:
        """From now on such shares of its datagrams are lost, or come late, each way."""
        assert self.process.stdin is not None
        self.process.stdin.write((json.dumps({"loss": loss, "late": late}) + "\n").encode())

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
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wire", description=(__doc__ or "").split("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--serve", metavar="JSON", help="be the server")
    what.add_argument("--send", metavar="JSON", help="be a sender")
    args = parser.parse_args(argv)
    if args.serve is not None:
        serve(**json.loads(args.serve))
    else:
        options = json.loads(args.send)
        clip = None if options["clip"] is None else Path(options["clip"])
        asyncio.run(send(options["url"], clip=clip, token=options["token"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
