"""Bad lines, peers that vanish, networks that are gone for a while: how soon all is well again.

    python -m benchmarks.outage [--clip CLIP] [--parts loss vanish page] [--out FOLDER]

- ``loss``: an aiortc peer, and the page in Chromium, whose datagrams (all kinds, both ways) are lost or overtaken; how
  late their drawings are meanwhile, and how soon after it has ended one comes whose picture was made later.
- ``vanish``: SIGKILL and SIGSTOP of a peer's process; how soon the server has room again.
- ``page``: the page in a real Chromium, with the server in a network namespace of its own behind a bridge; nothing
  passes for three seconds, because the bridge is down (nobody is told) or the browser's own link is (it is told). Needs
  root and ``ip``.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import aiohttp

from benchmarks import machine
from benchmarks.chromium import Tab, chromium, find_chromium
from benchmarks.namespaces import can_cut, ip, two_machines
from benchmarks.roundtrip import FPS, SIZE, render_camera
from benchmarks.senders import Sender
from benchmarks.timecode import camera_script, percentiles
from benchmarks.wire import ServerProcess

LINES = ((0.01, 0.02), (0.05, 0.05), (0.2, 0.1), (0.0, 0.3), (1.0, 0.0))
"""Shares lost and late, each way."""
LOSS_S = 6.0
GONE_S = 3.0
"""Of a line on which nothing passes."""
GOOD_S = 4.0
RECOVERY_S, SLOT_S = 2.0, 6.0
"""What is promised."""
PATIENCE_S = 40.0
TOKEN = "correct-horse-battery-staple"
Figures = dict[str, Any]


# -- loss --


class Watch(Protocol):
    """One who is drawn and notes what comes back, by a clock of its own."""

    name: str

    async def now(self) -> float:
        """Seconds."""
        ...

    async def arrivals(self) -> list[tuple[float, float]]:
        """Seconds at which drawings came, and their age in milliseconds."""
        ...


class OfSender:
    """An aiortc peer."""

    name = "aiortc"

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    async def now(self) -> float:
        return time.monotonic()

    async def arrivals(self) -> list[tuple[float, float]]:
        return [(one.at, float(one.age_ms)) for one in self._sender.arrivals if one.age_ms is not None]


class OfPage:
    """The page in Chromium."""

    name = "Chromium"

    def __init__(self, tab: Tab) -> None:
        self._tab = tab

    async def now(self) -> float:
        return float(await self._tab.run("performance.now()")) / 1000

    async def arrivals(self) -> list[tuple[float, float]]:
        return [(at / 1000, float(age)) for at, age in await self._tab.run("window.trips")]


async def bad_lines(*, clip: Path | None) -> list[Figures]:
    """Every client through every line, each followed by a good one."""
    server = await ServerProcess.start(limits={"by_load": False})
    told = []
    try:
        sender = await Sender.start(server.url, clip=clip)
        told += [await _bad_line(server, OfSender(sender), loss=loss, late=late) for loss, late in LINES]
        await sender.stop()
        if find_chromium() is not None:
            with tempfile.TemporaryDirectory() as folder:
                camera = Path(folder) / "camera.mjpeg"
                render_camera(camera, clip=clip)
                async with chromium(camera=camera) as browser, browser.tab("about:blank") as tab:
                    await _drawn(tab, server.url)
                    told += [await _bad_line(server, OfPage(tab), loss=loss, late=late) for loss, late in LINES]
    finally:
        await server.stop()
    return told


async def _bad_line(server: ServerProcess, watch: Watch, *, loss: float, late: float) -> Figures:
    begun = await watch.now()
    await asyncio.sleep(GOOD_S)
    good = await watch.now()
    server.line(loss=loss, late=late)
    await asyncio.sleep(GONE_S if loss == 1.0 else LOSS_S)
    server.line()
    end = await watch.now()
    await asyncio.sleep(RECOVERY_S + GOOD_S)
    all_of_it = await watch.arrivals()

    def ages(a: float, b: float) -> list[float]:
        return [age for at, age in all_of_it if a <= at < b]

    times = [good, *(at for at, _ in all_of_it if good <= at < end), end]
    fresh = [at for at, age in all_of_it if at - age / 1000 >= end]
    after = end + RECOVERY_S
    return {
        "client": watch.name,
        "loss": loss,
        "late": late,
        "seconds": round(end - good),
        "fps_before": round(len(ages(begun, good)) / (good - begun), 1),
        "fps_during": round(len(ages(good, end)) / (end - good), 1),
        "fps_after": round(len(ages(after, after + GOOD_S)) / GOOD_S, 1),
        "age_ms_before": percentiles(ages(begun, good)),
        "age_ms_during": percentiles(ages(good, end)),
        "age_ms_most": max(ages(good, end), default=0.0),
        "age_ms_after": percentiles(ages(after, after + GOOD_S)),
        "longest_still_s": round(_longest_gap(times), 2),
        "recovered_s": round(fresh[0] - end, 2) if fresh else None,
    }


def _longest_gap(times: Sequence[float]) -> float:
    return max((b - a for a, b in pairwise(times)), default=0.0)


# -- vanishing --


async def vanishing(*, clip: Path | None) -> list[Figures]:
    """Seconds from the signal until the server has room again."""
    server = await ServerProcess.start(limits={"by_load": False})
    told = []
    try:
        async with aiohttp.ClientSession() as http:
            for number in (signal.SIGKILL, signal.SIGSTOP):
                sender = await Sender.start(server.url, clip=clip)
                await asyncio.sleep(2)
                begun = time.monotonic()
                sender.signal(number)
                while await _sessions(http, server.url):
                    if time.monotonic() - begun > PATIENCE_S:
                        break
                    await asyncio.sleep(0.05)
                told.append({"signal": number.name, "free_after_s": round(time.monotonic() - begun, 2)})
                sender.signal(signal.SIGKILL)
                await sender.stop()
    finally:
        await server.stop()
    return told


async def _sessions(http: aiohttp.ClientSession, url: str) -> int:
    async with http.get(f"{url}/stats") as response:
        return len((await response.json())["sessions"])


# -- the page --


OUTAGES = {
    "the bridge between them is down": (("-n", "apdraw-mid", "link", "set", "br0"),),
    "the browser's own link is down": (("link", "set", "apdraw0"),),
}


async def page(*, clip: Path | None) -> list[Figures]:
    """Every outage, in a fresh tab each."""
    told = []
    with tempfile.TemporaryDirectory() as folder:
        camera = Path(folder) / "camera.mjpeg"
        render_camera(camera, clip=clip)
        async with two_machines() as (prefix, host):
            server = await ServerProcess.start(
                host=host, port=8080, token=TOKEN, prefix=prefix, limits={"by_load": False}
            )
            trusted = f"--unsafely-treat-insecure-origin-as-secure={server.url}"
            try:
                for what, links in OUTAGES.items():
                    async with chromium(camera=camera, more=[trusted]) as browser, browser.tab("about:blank") as tab:
                        told.append({"what": what, **await _outage(tab, server.url, links)})
            finally:
                await server.stop()
    return told


async def _drawn(tab: Tab, url: str) -> None:
    """Open the page and start, with the time in the camera's pictures."""
    await tab.call("Page.addScriptToEvaluateOnNewDocument", source=camera_script(*SIZE, FPS))
    await tab.call("Page.navigate", url=url)
    await tab.until("document.readyState === 'complete' && window.trips !== undefined")
    await tab.run("document.getElementById('start').click()")
    await tab.until("window.firstDrawing !== null")
    await asyncio.sleep(GOOD_S)


async def _outage(tab: Tab, url: str, links: Sequence[Sequence[str]]) -> Figures:
    await _drawn(tab, f"{url}/#token={TOKEN}")
    before = await tab.run("performance.now()")
    words = ["window.said = [];", "const status = document.getElementById('status');"]
    words.append(
        "new MutationObserver(() => window.said.push(status.textContent)).observe(status, { childList: true });"
    )
    await tab.run(f"(() => {{ {' '.join(words)} }})()")
    for link in links:
        ip(*link, "down")
    await asyncio.sleep(GONE_S)
    for link in links:
        ip(*link, "up")
    end = await tab.run("performance.now()")
    try:
        await tab.until(f"window.trips.some(([now, age]) => now - age >= {end})", seconds=PATIENCE_S)
    except TimeoutError:
        return {"seconds": GONE_S, "back_after_s": None, "said": await tab.run("window.said")}
    back = await tab.run(f"window.trips.find(([now, age]) => now - age >= {end})[0]") - end
    await asyncio.sleep(2 * GOOD_S)
    trips = await tab.run("window.trips")
    now = await tab.run("performance.now()")
    return {
        "seconds": GONE_S,
        "back_after_s": round(back / 1000, 2),
        "fps_before": round(sum(before - 1000 * GOOD_S <= at < before for at, _ in trips) / GOOD_S, 1),
        "fps_after": round(sum(now - 1000 * GOOD_S <= at for at, _ in trips) / GOOD_S, 1),
        "said": await tab.run("window.said"),
        "says": await tab.run("document.getElementById('status').textContent"),
    }


# -- told --


def table(result: Figures) -> str:
    """The figures for people."""
    m = result["machine"]
    lines = [
        "# Bad lines and lost ones",
        "",
        f"{m['date']}, {m['cpu']}, {m['cores']} cores (server and peer together), Python {m['python']}; "
        f"{SIZE[0]}x{SIZE[1]}, clip {result['clip']}.",
    ]
    if result.get("loss"):
        lines += [
            "",
            "| client | lost, each way | overtaken | for | drawings a second before | during | after | "
            "age p95 before | during | at most | after | longest still | first fresh drawing after its end |",
            "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        for one in result["loss"]:
            recovered = "never" if one["recovered_s"] is None else f"{one['recovered_s']:.2f} s"
            age = {when: f"{one[f'age_ms_{when}']['p95']:.0f} ms" for when in ("before", "during", "after")}
            cells = [one["client"], f"{one['loss']:.0%}", f"{one['late']:.0%}", f"{one['seconds']:g} s"]
            cells += [f"{one[f'fps_{when}']:.1f}" for when in ("before", "during", "after")]
            cells += [age["before"], age["during"], f"{one['age_ms_most']:.0f} ms", age["after"]]
            cells += [f"{one['longest_still_s']:.2f} s", recovered]
            lines.append("| " + " | ".join(cells) + " |")
    if result.get("vanish"):
        lines += ["", "| the peer's process | room again after |", "|---|---|"]
        lines += [f"| {one['signal']} | {one['free_after_s']:.2f} s |" for one in result["vanish"]]
    if result.get("page"):
        lines += ["", "| the page in Chromium | drawn again | the page said | pictures a second before | after |"]
        lines += ["|---|---|---|---|---|"]
        for one in result["page"]:
            back = "never" if one["back_after_s"] is None else f"{one['back_after_s']:.2f} s after its end"
            said = "; ".join(dict.fromkeys(one["said"])) or "nothing: the connection held"
            lines.append(
                f"| {one['what']} for {one['seconds']:g} s | {back} | {said} | {one.get('fps_before', 0):.1f} | "
                f"{one.get('fps_after', 0):.1f} |"
            )
    return "\n".join(lines) + "\n"


def failures(result: Figures) -> list[str]:
    """Promises that were not kept, in words."""
    told = []
    for one in result.get("loss", []):
        if one["recovered_s"] is None or one["recovered_s"] > RECOVERY_S:
            told.append(f"{one['client']}, after {one['loss']:.0%} lost: a fresh drawing after {one['recovered_s']} s")
    for one in result.get("vanish", []):
        if one["free_after_s"] > SLOT_S:
            told.append(f"{one['signal']}: room after {one['free_after_s']} s")
    for one in result.get("page", []):
        if one["back_after_s"] is None:
            told.append(f"the page did not come back: {one['what']}")
    return told


async def measure(*, parts: Sequence[str], clip: Path | None) -> Figures:
    told: Figures = {}
    if "loss" in parts:
        told["loss"] = await bad_lines(clip=clip)
    if "vanish" in parts:
        told["vanish"] = await vanishing(clip=clip)
    if "page" in parts:
        told["page"] = await page(clip=clip)
    return told


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outage", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clip", type=Path, help="what is shown (default: the demo)")
    parser.add_argument("--parts", nargs="+", choices=("loss", "vanish", "page"), default=["loss", "vanish", "page"])
    parser.add_argument("--out", type=Path, help="write a dated .md and .json into this folder")
    args = parser.parse_args(argv)
    if "page" in args.parts and (not can_cut() or find_chromium() is None):
        print("outage: page: expected root, ip and Chromium; leave the part out with --parts", file=sys.stderr)
        return 2
    told = machine.describe()
    result = {"machine": told, "clip": "demo" if args.clip is None else args.clip.name}
    result |= asyncio.run(measure(parts=args.parts, clip=args.clip))
    print(table(result))
    for line in failures(result):
        print(line, file=sys.stderr)
    if args.out is not None:
        machine.write(args.out, "outage", result, table(result))
    return 1 if failures(result) else 0


if __name__ == "__main__":
    sys.exit(main())
