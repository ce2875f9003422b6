"""Rubbish by the thousand at a server that draws a good peer: what it answers, what it keeps, how the peer fares.

    python -m benchmarks.attack [--requests 10000] [--rate 125] [--seed 20] [--clip CLIP] [--out FOLDER]

Server, good peer and attacker are processes of their own on one machine. The server is the product with its limits as
shipped; the attacker has the token and comes from 250 addresses, so that what it sends reaches the parsers instead of
the limit on requests. Every request has a connection of its own. Afterwards each way of knocking that must be refused
is tried by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from benchmarks import machine
from benchmarks.knock import NO_ANSWER, ask, refusals
from benchmarks.rubbish import Own, Request, Rubbish
from benchmarks.senders import Sender
from benchmarks.wire import ServerProcess

TOKEN = "correct-horse-battery-staple"
AT_ONCE = 32
WARM_UP = 300
"""Requests before anything is counted: pools of threads fill."""
ROUNDS, QUIET_S = 8, 8.0
"""The attack comes in so many waves, with so much quiet around each: others on the machine disturb both."""
CONNECT_S = 15.0 + 3.0
"""Limits.connect_s, and what the clock needs: sessions that lead to nothing are gone then."""
Figures = dict[str, Any]


async def good_offers() -> tuple[list[str], str]:
    """As the page, a publisher with sound, and one with video alone make them; and a watcher's."""
    texts = []
    for kinds in ("vd", "va", "v", "w"):
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        if kinds == "w":
            peer.addTransceiver("video", direction="recvonly")
        if "v" in kinds:
            peer.addTransceiver(VideoStreamTrack(), direction="sendrecv" if "d" in kinds else "sendonly")
        if "a" in kinds:
            peer.addTransceiver(AudioStreamTrack(), direction="sendonly")
        if "d" in kinds:
            peer.createDataChannel("control")
        await peer.setLocalDescription(await peer.createOffer())
        texts.append(peer.localDescription.sdp)
        await peer.close()
    return texts[:3], texts[3]


class Attack:
    """Sends at a steady rate, some at once; counts what is answered."""

    def __init__(self, *, url: str, seed: int, offers: list[str], watching: str, token: str | None) -> None:
        self._url = url
        self._host = urlsplit(url).netloc
        self._own: Own | None = None
        self._offers = offers
        self._rubbish = Rubbish(seed=seed, offers=offers, watching=watching, token=token, own=lambda: self._own)
        self._room = asyncio.Semaphore(AT_ONCE)
        self._sent = 0
        self.codes: Counter[tuple[str, int]] = Counter()
        self.silent: list[Request] = []
        """Those after which nothing at all happened."""

    async def run(self, count: int, *, per_s: float) -> float:
        """Seconds that it took."""
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for index in range(count):
                await asyncio.sleep(max(0.0, begun + index / per_s - time.monotonic()))
                await self._room.acquire()
                good = self._sent % 50 == 0  # a session of its own for the fragments, now and then
                group.create_task(self._one(self._rubbish.good() if good else self._rubbish.next()))
                self._sent += 1
        return time.monotonic() - begun

    async def _one(self, request: Request) -> None:
        try:
            status, head, _ = await ask(self._url, request.raw(self._host), number=self._sent)
            self.codes[request.kind, status] += 1
            if request.kind == "good" and status == 201:
                low = {name.lower(): value for name, value in re.findall(r"(?im)^(location|etag): *(\S+)", head)}
                user = re.search(r"a=ice-ufrag:(\S+)", self._offers[0])
                assert user is not None
                self._own = Own(path=low["location"], etag=low["etag"], user=user[1])
        except TimeoutError:
            self.silent.append(request)
        finally:
            self._room.release()


async def holds(server: ServerProcess) -> dict[str, float]:
    """What the server holds, with the sessions that it tells of."""
    host = urlsplit(server.url).netloc
    request = Request(kind="", method="GET", path="/stats", headers=(("Authorization", f"Bearer {TOKEN}"),))
    _, _, body = await ask(server.url, request.raw(host))
    return {**await server.left(), "sessions": len(json.loads(body)["sessions"])}


async def measure(*, requests: int, rate: float, seed: int, clip: Path | None) -> Figures:
    """The whole of it."""
    server = await ServerProcess.start(token=TOKEN, limits={"by_load": False})
    good = await Sender.start(server.url, clip=clip, token=TOKEN)
    try:
        offers, watching = await good_offers()
        attack = Attack(url=server.url, seed=seed, offers=offers, watching=watching, token=TOKEN)
        await attack.run(WARM_UP, per_s=rate)
        await asyncio.sleep(CONNECT_S)
        attack.codes.clear()
        server.lines.clear()
        before = await holds(server)
        quiet, waves, seconds = [await _quiet()], [], 0.0
        for _ in range(ROUNDS):
            begun = time.monotonic()
            seconds += await attack.run(requests // ROUNDS, per_s=rate)
            waves.append((begun, time.monotonic()))
            quiet.append(await _quiet())
        await asyncio.sleep(CONNECT_S)
        after = await holds(server)
        refused = await refusals(server.url, offer=offers[0], session=good.session, token=TOKEN)
        still_there = bool(good.between(time.monotonic() - 2, time.monotonic()))
        alive = server.alive
    finally:
        await good.stop()
        status = await server.stop()
    fps_quiet, fps_during = (_fps(good, spans) for spans in (quiet, waves))
    age = sorted(one for span in waves for one in good.ages(*span))
    return {
        "requests": requests,
        "seed": seed,
        "seconds": round(seconds, 1),
        "answers": {str(code): count for code, count in sorted(_by_code(attack.codes).items())},
        "by_kind": _by_kind(attack.codes),
        "silent": [f"{one.kind} {one.method} {one.path[:40]}" for one in attack.silent],
        "lines": _lines(server.lines),
        "server_alive": alive,
        "server_exit": status,
        "good_peer": {
            "fps_quiet": round(fps_quiet, 2),
            "fps_during": round(fps_during, 2),
            "share": round(fps_during / max(0.01, fps_quiet), 3),
            "age_ms_p95_during": age[int(0.95 * len(age))] if age else None,
            "still_drawn": still_there,
        },
        "before": before,
        "after": after,
        "refusals": refused,
    }


async def _quiet() -> tuple[float, float]:
    begun = time.monotonic()
    await asyncio.sleep(QUIET_S)
    return begun, time.monotonic()


def _fps(peer: Sender, spans: Sequence[tuple[float, float]]) -> float:
    return sum(len(peer.between(*span)) for span in spans) / sum(end - begin for begin, end in spans)


def _lines(said: Sequence[str]) -> dict[str, int]:
    """How often the server said what: events by name, faults of libraries by logger and first words."""
    names = (re.search(r"event=(\S+)|level=(?:WARNING|ERROR) (\S+ (?:\S+ ){0,4})", line) for line in said)
    return dict(Counter("other" if found is None else (found[1] or found[2].strip()) for found in names).most_common())


def _by_code(codes: Counter[tuple[str, int]]) -> Counter[int]:
    told: Counter[int] = Counter()
    for (_, code), count in codes.items():
        told[code] += count
    return told


def _by_kind(codes: Counter[tuple[str, int]]) -> dict[str, dict[str, int]]:
    return {
        kind: {str(code): count for (one, code), count in sorted(codes.items()) if one == kind}
        for kind in sorted({kind for kind, _ in codes})
    }


def failures(run: Figures) -> list[str]:
    """What must not be, in words; empty when all is well."""
    told = [f"{count} answers {code}" for code, count in run["answers"].items() if int(code) >= 500 and code != "503"]
    if run["silent"]:
        told.append(f"{len(run['silent'])} requests without any end")
    if not run["server_alive"] or run["server_exit"] != 0:
        told.append("the server ended by itself")
    if run["good_peer"]["share"] < 0.9 or not run["good_peer"]["still_drawn"]:
        told.append(f"the good peer kept {run['good_peer']['share']:.0%} of its rate")
    told += [
        f"{name}: {run['before'][name]:g} before, {run['after'][name]:g} after"
        for name in ("tasks", "threads", "descriptors", "sessions")
        if run["after"][name] > run["before"][name]
    ]
    told += [f"{one['what']}: got {one['got']}" for one in run["refusals"] if one["got"] not in one["expected"]]
    return told


def table(result: Figures) -> str:
    """The figures for people."""
    m, run = result["machine"], result["run"]
    peer = run["good_peer"]
    bad = failures(run)
    lines = [
        "# Rubbish by the thousand",
        "",
        f"{m['date']}, {m['cpu']}, {m['cores']} cores (server, good peer and attacker together), Python {m['python']}: "
        f"{run['requests']} requests of seed {run['seed']} in {run['seconds']:g} s. "
        + ("All is well." if not bad else "Not well: " + "; ".join(bad) + "."),
        "",
        f"They came in {ROUNDS} waves. The good peer got {peer['fps_quiet']:.1f} drawings a second between them and "
        f"{peer['fps_during']:.1f} in them: {peer['share']:.0%}; age p95 in them {peer['age_ms_p95_during']} ms.",
        "",
        "| changed | " + " | ".join(_name(code) for code in run["answers"]) + " |",
        "|---|" + "---|" * len(run["answers"]),
        *(
            f"| {kind} | " + " | ".join(str(codes.get(code, "")) for code in run["answers"]) + " |"
            for kind, codes in run["by_kind"].items()
        ),
        "",
        "Lines of its log: " + (", ".join(f"{name} {count}" for name, count in run["lines"].items()) or "none") + ".",
        "",
        "| the server holds | before | after |",
        "|---|---|---|",
        *(f"| {name} | {run['before'][name]:g} | {run['after'][name]:g} |" for name in run["before"]),
        "",
        "| refused by itself | answer | after |",
        "|---|---|---|",
        *(f"| {one['what']} | {_name(one['got'])} | {one['seconds']:.2f} s |" for one in run["refusals"]),
    ]
    return "\n".join(lines) + "\n"


def _name(code: str | int) -> str:
    return "connection closed" if int(code) == NO_ANSWER else str(code)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=125.0, help="requests a second (default 125)")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--clip", type=Path, help="what the good peer shows (default: the demo)")
    parser.add_argument("--out", type=Path, help="write a dated .md and .json into this folder")
    args = parser.parse_args(argv)
    told = machine.describe()
    run = asyncio.run(measure(requests=args.requests, rate=args.rate, seed=args.seed, clip=args.clip))
    result = {"machine": told, "run": run}
    print(table(result))
    if args.out is not None:
        machine.write(args.out, "attack", result, table(result))
    return 1 if failures(run) else 0


if __name__ == "__main__":
    sys.exit(main())
