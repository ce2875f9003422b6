"""Many peers on one machine: what each gets, what that costs, what drawing them together gained, and who is refused.

    python -m benchmarks.peers [--clip CLIP] [--peers 1 2 4 8] [--seconds 12] [--out FOLDER]

The server is the product with everybody let in; the peers are aiortc clients in another process on the same cores, each
sending the clip at 320 x 240, encoded beforehand, 30 pictures a second, and reading a time code off what comes back.
Last, the door as it ships: peers come one after the other until one is refused.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import aiohttp

from benchmarks import machine
from benchmarks.clip_peers import FPS, SIZE, Peer, encoded
from benchmarks.product import product
from benchmarks.roundtrip import cpu_s, url_of
from benchmarks.timecode import TimecodeStylizer
from engines.batcher import MOST, Batcher
from realtime.webrtc.settings import Limits

WARM_UP_S = 6.0
"""Faces are found, and the ladder takes its first steps."""
ARRIVAL_S = 8.0
"""Between two who come to the door as it ships."""
DOOR_MOST = 8
DOOR = "--door"


def serve(*, most: int | None, everybody: bool, work_ms: float) -> None:
    """The product with the time code kept; runs until it is stopped."""
    import os
    import signal

    from run_stream import QUIET

    os.environ.update(QUIET)

    from realtime.webrtc import pen

    TimecodeStylizer.work_ms = work_ms
    with mock.patch.object(pen, "Batcher", partial(Batcher, most=most)), product() as server:
        limits = Limits(peers=64, per_address=128, requests_at_once=10**6, by_load=not everybody)
        server.settings = replace(server.settings, limits=limits)
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        server.run()


@contextmanager
def serving(*, most: int = 0, everybody: bool = True, work_ms: float = 0.0) -> Iterator[tuple[str, int]]:
    """URL and process of a server of its own.

    Args:
        most: portraits in one batch; 0 leaves it to the product.
        everybody: let everybody in, however busy the machine is.
        work_ms: by so much every drawing takes longer.
    """
    command = [sys.executable, "-m", "benchmarks.peers", "--serve", str(most), str(int(everybody)), str(work_ms)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield url_of(server).rstrip("/"), server.pid
        finally:
            server.terminate()
            server.wait(30)


async def together(url: str, *, count: int, seconds: float, packets: Sequence[bytes]) -> list[dict[str, Any]]:
    """So many at once: what each got."""
    peers = [Peer(packets) for _ in range(count)]
    async with aiohttp.ClientSession() as http:
        for peer in peers:
            status, _ = await peer.enter(http, url)
            assert status == 201, status
        await asyncio.sleep(WARM_UP_S)
        print("measuring", flush=True)
        begun = time.monotonic()
        await asyncio.sleep(seconds)
        ended = time.monotonic()
        print("measured", flush=True)
        async with http.get(f"{url}/stats") as response:
            shows = [one["show"] for one in (await response.json())["sessions"]]
        await asyncio.gather(*(peer.leave() for peer in peers))
    told = [{"age_ms": show["age_ms"], "quality": show["quality"], "dropped": show["dropped"]} for show in shows]
    return [peer.figures(begun, ended) | figures for peer, figures in zip(peers, told, strict=True)]


async def one_by_one(url: str, *, packets: Sequence[bytes]) -> dict[str, Any]:
    """They come until one is refused; then what each of those inside has, before and after others are turned away."""
    peers: list[Peer] = []
    async with aiohttp.ClientSession() as http:
        refusal: dict[str, Any] | None = None
        while refusal is None and len(peers) < DOOR_MOST:
            peer = Peer(packets)
            status, retry_after = await peer.enter(http, url)
            if status == 201:
                peers.append(peer)
                await asyncio.sleep(ARRIVAL_S)
            else:
                refusal = {"status": status, "retry_after_s": retry_after}
                await peer.leave()
        async with http.get(f"{url}/stats") as response:
            load = (await response.json())["load"]
        begun = time.monotonic()
        turned_away = 0
        for _ in range(10):
            peer = Peer(packets)
            turned_away += (await peer.enter(http, url))[0] == 503
            await peer.leave()
            await asyncio.sleep(1)
        ended = time.monotonic()
        inside = [one.figures(begun - ARRIVAL_S, begun) for one in peers]
        then = [one.figures(begun, ended) for one in peers]
        await asyncio.gather(*(peer.leave() for peer in peers))
    return {"let_in": len(peers), "refusal": refusal, "turned_away_of_10": turned_away, "load": load} | {
        "before": inside,
        "while_turning_away": then,
    }


def measure(url: str, pid: int, *, count: int, seconds: float, clip: Path | None) -> dict[str, Any]:
    """Clients in a process of their own."""
    command = [sys.executable, "-m", "benchmarks.peers", "--clients", url, "--peers", str(count)]
    command += ["--seconds", str(seconds), *([] if clip is None else ["--clip", str(clip)])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as clients:
        assert clients.stdout is not None
        marks: dict[str, tuple[float, float, float]] = {}
        peers: list[dict[str, Any]] = []
        for line in clients.stdout:
            if line.startswith("measur"):
                marks[line.strip()] = time.monotonic(), cpu_s(pid), cpu_s(clients.pid)
            elif line.startswith("["):
                peers = json.loads(line)
    assert len(peers) == count, "the clients failed"
    a, b = marks["measuring"], marks["measured"]
    pictures = sum(peer["fps"] for peer in peers)
    return {
        "peers": peers,
        "fps": [peer["fps"] for peer in peers],
        "pictures_per_s": round(pictures, 1),
        "server_cores": round((b[1] - a[1]) / (b[0] - a[0]), 2),
        "clients_cores": round((b[2] - a[2]) / (b[0] - a[0]), 2),
        "server_cpu_ms_a_picture": round(1000 * (b[1] - a[1]) / (b[0] - a[0]) / max(1.0, pictures), 1),
    }


def batches(url: str) -> tuple[int, int]:
    """Batches and portraits so far."""

    async def ask() -> dict[str, Any]:
        async with aiohttp.ClientSession() as http, http.get(f"{url}/stats") as response:
            return dict(await response.json())

    told = asyncio.run(ask())["engines"]["lite"]
    return told["batches"], told["portraits"]


def run_all(*, counts: Sequence[int], seconds: float, clip: Path | None) -> dict[str, Any]:
    result: dict[str, Any] = {
        "machine": machine.describe(),
        "clip": "demo" if clip is None else clip.name,
        "seconds": seconds,
        "runs": [],
    }
    for most in (1, MOST):
        with serving(most=most) as (url, pid):
            for count in counts if most == 1 else [count for count in counts if count > 1]:
                before = batches(url)
                run = measure(url, pid, count=count, seconds=seconds, clip=clip)
                after = batches(url)
                run["batch"] = round((after[1] - before[1]) / max(1, after[0] - before[0]), 2)
                result["runs"].append({"count": count, "together": most > 1} | run)
                print(json.dumps(result["runs"][-1]), flush=True)
    with serving(everybody=False) as (url, _):
        command = [sys.executable, "-m", "benchmarks.peers", "--clients", url, DOOR]
        command += [] if clip is None else ["--clip", str(clip)]
        told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        result["door"] = json.loads(told.splitlines()[-1])
    return result


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    m = result["machine"]
    lines = [
        "# Many peers",
        "",
        f"{m['date']}, {m['cpu']}, {m['cores']} cores (clients and server together), load before {m['load']}, Python "
        f"{m['python']}; each sends {result['clip']} at {SIZE[0]}x{SIZE[1]}, {FPS} pictures a second, for "
        f"{result['seconds']:g} s after {WARM_UP_S:g} s; lite engine. Everybody is let in here.",
        "",
        "| peers | drawn | portraits a batch | fps each | all | age p50 (worst peer) | age p95 | round trip p50 | "
        "p95 | server | clients | server a picture | at the end |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in result["runs"]:
        peers = run["peers"]
        rates = {peer["quality"]["fps"] for peer in peers}
        end = ", ".join("full rate" if rate is None else f"at most {rate:g}" for rate in sorted(rates, key=str))
        worst = {
            name: {p: max(peer[name][p] for peer in peers) for p in ("p50", "p95")}
            for name in ("age_ms", "round_trip_ms")
        }
        fps = f"{min(run['fps']):.1f}" + (f" to {max(run['fps']):.1f}" if len(peers) > 1 else "")
        lines.append(
            f"| {run['count']} | {'together' if run['together'] else 'one by one'} | {run['batch']:.2f} | {fps} | "
            f"{run['pictures_per_s']:.1f} | {worst['age_ms']['p50']:.0f} ms | {worst['age_ms']['p95']:.0f} ms | "
            f"{worst['round_trip_ms']['p50']:.0f} ms | {worst['round_trip_ms']['p95']:.0f} ms | "
            f"{run['server_cores']:.2f} cores | {run['clients_cores']:.2f} cores | "
            f"{run['server_cpu_ms_a_picture']:.0f} ms | {end} |"
        )
    door = result["door"]
    load = door["load"]
    lines += [
        "",
        "Age is the server's own, from decoded to encoded, since each peer came; the round trip is from a picture's "
        "sending to its drawing decoded, in the measured time. One by one is what the product does on a CPU.",
        "",
        f"The door as it ships: {door['let_in']} let in, then {_refusal(door)}; of 10 more, "
        f"{door['turned_away_of_10']} turned away. Those inside had {_rates(door['before'])} fps before and "
        f"{_rates(door['while_turning_away'])} fps meanwhile. By measure there was room for {load['room_for']} "
        f"(a picture costs {load['processor_ms_a_picture']} ms, others use {load['others_cores']} cores).",
    ]
    return "\n".join(lines) + "\n"


def _refusal(door: dict[str, Any]) -> str:
    if door["refusal"] is None:
        return "nobody was refused"
    return f"{door['refusal']['status']} with Retry-After {door['refusal']['retry_after_s']}"


def _rates(peers: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{peer['fps']:.1f}" for peer in peers)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clip", type=Path, help="a clip that begins with a face (default: the demo)")
    parser.add_argument("--peers", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--out", type=Path, help="write a dated .md and .json into this folder")
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--clients", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument(DOOR, action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.serve is not None:
        most, everybody, work_ms = args.serve
        serve(most=int(most) or None, everybody=everybody == "1", work_ms=float(work_ms))
        return 0
    if args.clients is not None:
        packets = encoded(args.clip)
        if args.door:
            print(json.dumps(asyncio.run(one_by_one(args.clients, packets=packets))))
        else:
            seen = together(args.clients, count=args.peers[0], seconds=args.seconds, packets=packets)
            print(json.dumps(asyncio.run(seen)))
        return 0
    result = run_all(counts=args.peers, seconds=args.seconds, clip=args.clip)
    print(table(result))
    if args.out is not None:
        machine.write(args.out, "peers", result, table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
