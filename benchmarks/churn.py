"""Connects and disconnects in a row, and what is left of them: memory, tasks, threads, descriptors.

    python -m benchmarks.churn [--count 500] [--hopeless 0.2] [--out FOLDER]

Real aiortc peers come and go in the server's own process, with a face drawn by nobody: what is measured is the server's
book-keeping and the libraries under it. So many of them (a share) never connect.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import sys
import threading
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import psutil
from aiohttp.test_utils import TestServer
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from benchmarks import machine
from realtime.allocator import bound_heaps
from realtime.controls import Controls
from realtime.smoothing import make_smoother
from realtime.trackers.scripted import ScriptedTracker
from realtime.webrtc.app import make_app
from realtime.webrtc.lobby import Lobby
from realtime.webrtc.pen import Style, Styles
from realtime.webrtc.pipeline import Parts
from realtime.webrtc.settings import Limits, Settings

WARM_UP = 0.2
"""Share of the run that is left out of the slope: pools and caches fill."""


class _Blank:
    """An engine that nobody calls: no face is ever found."""

    name, device, manifest = "none", "none", None

    def __enter__(self) -> _Blank:
        return self

    def __exit__(self, *_exc: object) -> None:
        pass


class _Camera(MediaStreamTrack):
    kind = "video"
    count = 0

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(1 / 25)
        self.count += 1
        frame = av.VideoFrame(width=320, height=240)
        frame.pts, frame.time_base = self.count * 3600, Fraction(1, 90_000)
        return frame


def left() -> dict[str, float]:
    """What the process holds now."""
    gc.collect()
    process = psutil.Process()
    return {
        "rss_mb": round(process.memory_info().rss / 2**20, 2),
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
        "descriptors": process.num_fds(),
    }


async def visit(http: aiohttp.ClientSession, url: str, *, hopeless: bool) -> bool:
    """One peer comes, is drawn upon paper, and goes. True when it got a picture."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    got = asyncio.Event()

    @peer.on("track")
    def take(track: MediaStreamTrack) -> None:
        async def first() -> None:
            await track.recv()
            got.set()

        tasks.append(asyncio.create_task(first()))

    tasks: list[asyncio.Task[None]] = []
    camera = _Camera()
    peer.addTrack(camera)
    peer.createDataChannel("control")
    await peer.setLocalDescription(await peer.createOffer())
    sdp = peer.localDescription.sdp
    if hopeless:
        sdp = re.sub(r"a=candidate:.*\r\n", "", sdp)
    async with http.post(f"{url}/offer", json={"sdp": sdp}) as response:
        answer = await response.json()
        assert response.status == 201, answer
    if not hopeless:
        await peer.setRemoteDescription(RTCSessionDescription(sdp=answer["sdp"], type="answer"))
        async with asyncio.timeout(30):
            await got.wait()
        async with http.delete(url + answer["session"]) as response:
            assert response.status == 200
    camera.stop()
    await peer.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    return got.is_set()


async def churn(*, count: int, hopeless: float) -> dict[str, Any]:
    """So many visits, one after the other."""
    bound_heaps()  # as the product does
    styles = Styles(styles=[Style(name="none", text="")], load=lambda _name: _Blank(), first="none")  # type: ignore[arg-type, return-value]
    parts = Parts(
        styles=styles,
        make_tracker=lambda: ScriptedTracker(faces=[]),
        make_smoother=make_smoother,
        matter=None,
        controls=Controls,
    )
    limits = Limits(requests_at_once=10**6, per_address=1000, peers=64, connect_s=2.0)
    lobby = Lobby(parts=parts, settings=Settings(limits=limits))
    server = TestServer(make_app(lobby=lobby), host="127.0.0.1")
    await server.start_server()
    points: list[dict[str, float]] = []
    every = max(1, round(1 / hopeless)) if hopeless > 0 else 0
    drawn, begun = 0, time.monotonic()
    async with aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{server.port}"
        await visit(http, url, hopeless=False)
        before = left()
        for index in range(count):
            drawn += await visit(http, url, hopeless=bool(every) and index % every == every - 1)
            if index % max(1, count // 50) == 0:
                points.append({"visit": index, **left()})
        while lobby.sessions:
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        after = left()
    await lobby.close()
    await server.close()
    styles.close()
    steady = points[round(len(points) * WARM_UP) :]
    slope = (
        float(np.polyfit([p["visit"] for p in steady], [p["rss_mb"] for p in steady], 1)[0]) if len(steady) > 2 else 0
    )
    return {
        "visits": count,
        "drawn": drawn,
        "seconds": round(time.monotonic() - begun, 1),
        "before": before,
        "after": after,
        "rss_kb_a_visit": round(slope * 1024, 2),
        "points": points,
    }


def table(result: dict[str, Any]) -> str:
    m, run = result["machine"], result["run"]
    lines = [
        "# Connects and disconnects",
        "",
        f"{m['date']}, {m['cpu']}, {m['cores']} cores, Python {m['python']}: {run['visits']} visits in "
        f"{run['seconds']} s, {run['drawn']} of them got a picture, the others were hopeless on purpose.",
        "",
        "| | before | after |",
        "|---|---|---|",
        *(f"| {name} | {run['before'][name]:g} | {run['after'][name]:g} |" for name in run["before"]),
        "",
        f"Memory after warm-up: {run['rss_kb_a_visit']:+.1f} KiB a visit.",
    ]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.churn", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--hopeless", type=float, default=0.2, help="share that never connects (default 0.2)")
    parser.add_argument("--out", type=Path, help="write a dated .md and .json into this folder")
    args = parser.parse_args(argv)
    result = {"machine": machine.describe(), "run": asyncio.run(churn(count=args.count, hopeless=args.hopeless))}
    print(table(result))
    if args.out is not None:
        stem = args.out / f"churn-{str(result['machine']['date'])[:10]}-{machine.slug(result['machine'])}"
        stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        stem.with_suffix(".md").write_text(table(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
