"""Connects and disconnects in a row, and what is left of them: memory, tasks, threads, descriptors.

    python -m benchmarks.churn [--count 500] [--hopeless 0.05] [--out FOLDER]

The product, with its models, in a process of its own; real aiortc peers come, wait for their first drawing and go: by
DELETE, or by closing their connection without a word to the server, in turn. So many of them (a share) never connect.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from benchmarks import machine
from benchmarks.drift import doubt, picture, slope
from benchmarks.senders import Clip, is_drawing, pictures
from benchmarks.wire import ServerProcess

WARM_UP, WARM_UP_SHARE = 200, 0.4
"""Visits that are left out of the slope, at most that share of all: pools, caches and the allocator's heaps fill."""
POINTS = 25
CONNECT_S = 15.0 + 3.0
"""Limits.connect_s, and what the clock needs: the hopeless are gone then, and all others before."""
NAMES = {"rss_mb": "resident, MB", "heap_mb": "in use on the C heap, MB"}


async def visit(http: aiohttp.ClientSession, url: str, camera: Clip, *, hopeless: bool, told: bool) -> bool:
    """One peer comes, is drawn, and goes. True when it got a drawing.

    Args:
        http: shared by all visits.
        url: of the server.
        camera: what it shows.
        hopeless: it offers no way to reach it.
        told: it says when it goes; else its connection closes and nothing more.
    """
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    drawn = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []

    @peer.on("track")
    def take(track: MediaStreamTrack) -> None:
        async def first() -> None:
            while not drawn.is_set():
                frame = await track.recv()
                if isinstance(frame, av.VideoFrame) and is_drawing(frame):
                    drawn.set()

        tasks.append(asyncio.create_task(first()))

    peer.addTrack(camera)
    peer.createDataChannel("control")
    await peer.setLocalDescription(await peer.createOffer())
    sdp = peer.localDescription.sdp
    if hopeless:
        sdp = re.sub(r"a=candidate:.*\r\n", "", sdp)
    while True:
        async with http.post(f"{url}/offer", json={"sdp": sdp}) as response:
            answer = await response.json()
        if response.status != 503:
            break
        await asyncio.sleep(1)  # the hopeless still take the room
    assert response.status == 201, answer
    if not hopeless:
        await peer.setRemoteDescription(RTCSessionDescription(sdp=answer["sdp"], type="answer"))
        async with asyncio.timeout(60):
            await drawn.wait()
        if told:
            async with http.delete(url + answer["session"]) as response:
                assert response.status == 200
    camera.stop()
    await peer.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    return drawn.is_set()


async def quiet(server: ServerProcess, before: Mapping[str, float]) -> dict[str, float]:
    """What is left once no visit is under way any more: what a session holds while it lasts is not left of it."""
    end = time.monotonic() + CONNECT_S
    while True:
        held = await server.left()
        if all(held[name] <= before[name] for name in ("tasks", "threads")):
            await asyncio.sleep(0.5)  # the allocator gives back what it can
            return await server.left()
        if time.monotonic() > end:
            return held
        await asyncio.sleep(0.5)


async def churn(*, count: int, hopeless: float) -> dict[str, Any]:
    """So many visits, one after the other."""
    shown = pictures(None)
    server = await ServerProcess.start(limits={"by_load": False})
    points: list[dict[str, float]] = []
    every = max(1, round(1 / hopeless)) if hopeless > 0 else 0
    step = max(1, count // POINTS)
    drawn, begun = 0, time.monotonic()
    try:
        async with aiohttp.ClientSession() as http:
            for told in (True, False):
                await visit(http, server.url, Clip(shown), hopeless=False, told=told)
            await asyncio.sleep(2)
            before = await server.left()
            for index in range(count):
                lost = bool(every) and index % every == every - 1
                drawn += await visit(http, server.url, Clip(shown), hopeless=lost, told=index % 2 == 0)
                if index % step == step // 2:
                    points.append({"visits": index, **await quiet(server, before)})
        seconds = time.monotonic() - begun
        await asyncio.sleep(CONNECT_S)
        after = await server.left()
    finally:
        await server.stop()
    warm_up = min(WARM_UP, WARM_UP_SHARE * count)
    return {
        "visits": count,
        "drawn": drawn,
        "seconds": round(seconds, 1),
        "before": before,
        "after": after,
        "warm_up_visits": warm_up,
        "kb_a_visit": {name: round(1024 * slope(points, x="visits", y=name, warm_up=warm_up), 2) for name in NAMES},
        "give_or_take": {name: round(1024 * doubt(points, x="visits", y=name, warm_up=warm_up), 2) for name in NAMES},
        "points": points,
    }


def table(result: dict[str, Any]) -> str:
    m, run = result["machine"], result["run"]
    lines = [
        "# Connects and disconnects",
        "",
        f"{m['date']}, {m['cpu']}, {m['cores']} cores, Python {m['python']}: {run['visits']} visits in "
        f"{run['seconds']} s, {run['drawn']} of them got a drawing, the others were hopeless on purpose.",
        "",
        "| | before | after |",
        "|---|---|---|",
        *(f"| {name} | {run['before'][name]:g} | {run['after'][name]:g} |" for name in run["before"]),
        "",
        f"After the first {run['warm_up_visits']:g} visits: {run['kb_a_visit']['rss_mb']:+.1f} KiB of resident memory "
        f"a visit, give or take {run['give_or_take']['rss_mb']:.1f}; in use on the C heap "
        f"{run['kb_a_visit']['heap_mb']:+.1f} KiB, give or take {run['give_or_take']['heap_mb']:.1f}.",
    ]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.churn", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--hopeless", type=float, default=0.05, help="share that never connects (default 0.05)")
    parser.add_argument("--out", type=Path, help="write a dated .md, .json and .png into this folder")
    args = parser.parse_args(argv)
    result = {"machine": machine.describe(), "run": asyncio.run(churn(count=args.count, hopeless=args.hopeless))}
    print(table(result))
    if args.out is not None:
        run = result["run"]
        stem = machine.write(args.out, "churn", result, table(result))
        title = f"Connects and disconnects: {run['kb_a_visit']['rss_mb']:+.1f} KiB of resident memory a visit"
        warm_up = run["warm_up_visits"]
        picture(stem.with_suffix(".png"), run["points"], title=title, x="visits", names=NAMES, warm_up=warm_up)
    return 0


if __name__ == "__main__":
    sys.exit(main())
