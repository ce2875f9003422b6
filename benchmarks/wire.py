"""The server in a process of its own, for measurements: it tells what it holds, and can have a bad line."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import psutil
from aiortc import RTCPeerConnection

from benchmarks.line import Line
from benchmarks.product import product
from realtime.allocator import heap_in_use
from realtime.webrtc import mending

START_S = 120.0


def serve(*, host: str, port: int, token: str | None, engine: str, limits: Mapping[str, Any]) -> None:
    """The product, which does what its standard input says, and ends with that.

    A line ``left`` has it tell what it holds; one such as ``line {"loss": 0.05, "late": 0.1}`` makes all connections
    that it has worse or better (:mod:`benchmarks.line`).

    Args:
        host, port, token, engine: as :func:`benchmarks.product.product` takes them.
        limits: those of :class:`realtime.webrtc.settings.Limits` that differ from what is shipped.
    """
    lock = threading.Lock()

    def say(line: str) -> None:
        with lock:  # the log and the answers come from different threads
            sys.stdout.write(line + "\n")
            sys.stdout.flush()

    with product(host=host, port=port, token=token, engine=engine, say=say) as server:
        server.settings = replace(server.settings, limits=replace(server.settings.limits, **limits))
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        lines = Lines()

        def answer() -> None:
            for line in sys.stdin:
                word, _, rest = line.strip().partition(" ")
                if word == "left" and server._loop is not None:
                    say("left " + json.dumps(left(server._loop)))
                elif word == "line":
                    lines.set(**json.loads(rest))
            server.stop()

        threading.Thread(target=answer, name="answer", daemon=True).start()
        server.run()


class Lines:
    """A bad line before every connection that the server makes from now on."""

    def __init__(self) -> None:
        self._lines: weakref.WeakSet[Line] = weakref.WeakSet()
        negotiated = mending.on_packet

        def on_packet(connection: RTCPeerConnection, heard: Callable[[], None]) -> None:
            negotiated(connection, heard)
            connection.line = Line(connection)  # type: ignore[attr-defined]
            self._lines.add(connection.line)  # type: ignore[attr-defined]

        mending.on_packet = on_packet

    def set(self, *, loss: float, late: float) -> None:
        for line in list(self._lines):
            line.loss, line.late = loss, late


def left(loop: asyncio.AbstractEventLoop) -> dict[str, float]:
    """What this process holds now: MB of memory in all and on the C heap, tasks, threads, descriptors.

    Threads of the event loop's pool are not counted: it keeps the few that it has made.
    """

    async def count() -> int:
        return len(asyncio.all_tasks()) - 1

    gc.collect()
    process, heap = psutil.Process(), heap_in_use()
    return {
        "rss_mb": round(process.memory_info().rss / 2**20, 2),
        "heap_mb": -1.0 if heap is None else round(heap / 2**20, 2),
        "tasks": asyncio.run_coroutine_threadsafe(count(), loop).result(10),
        "threads": sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate()),
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
            *(sys.executable, "-m", "benchmarks.wire", options),
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

    def line(self, *, loss: float = 0.0, late: float = 0.0) -> None:
        """From now on such shares of all datagrams are lost, or come late, each way."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"line {json.dumps({'loss': loss, 'late': late})}\n".encode())

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


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wire", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("options", metavar="JSON")
    serve(**json.loads(parser.parse_args(argv).options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
