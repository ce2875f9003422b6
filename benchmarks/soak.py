"""Two peers drawn for a long time: memory, tasks, threads, descriptors, rate and age over it.

    python -m benchmarks.soak [--minutes 20] [--peers 2] [--clip CLIP] [--out FOLDER]

The product and every peer in a process of its own. Memory is read every five seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.drift import doubt, picture, slope
from benchmarks.senders import Sender
from benchmarks.timecode import percentiles
from benchmarks.wire import ServerProcess

EVERY_S = 5.0
WARM_UP = 0.25
"""Share of the run that is left out of the slope."""
NAMES = {"rss_mb": "resident, MB", "heap_mb": "in use on the C heap, MB"}


async def soak(*, minutes: float, peers: int, clip: Path | None) -> dict[str, Any]:
    """So many peers for so long."""
    server = await ServerProcess.start(limits={"by_load": False})
    before = await server.left()
    senders = [await Sender.start(server.url, clip=clip) for _ in range(peers)]
    points: list[dict[str, float]] = []
    begun = time.monotonic()
    try:
        while (passed := time.monotonic() - begun) < 60 * minutes:
            points.append({"minutes": round(passed / 60, 3), **await server.left()})
            await asyncio.sleep(EVERY_S)
        end = time.monotonic()
        thirds = [begun + (end - begun) * share / 3 for share in range(4)]
        told = [[_figures(one, a, b) for a, b in pairwise(thirds)] for one in senders]
    finally:
        for one in senders:
            await one.stop()
        await asyncio.sleep(3)
        after = await server.left()
        status = await server.stop()
    warm_up = WARM_UP * minutes
    return {
        "minutes": minutes,
        "peers": told,
        "before": before,
        "during": points[-1],
        "after": after,
        "server_exit": status,
        "warm_up_minutes": warm_up,
        "mb_an_hour": {name: round(60 * slope(points, x="minutes", y=name, warm_up=warm_up), 2) for name in NAMES},
        "give_or_take": {name: round(60 * doubt(points, x="minutes", y=name, warm_up=warm_up), 2) for name in NAMES},
        "points": points,
    }


def _figures(sender: Sender, begin: float, end: float) -> dict[str, Any]:
    """Of one peer in a third of the run."""
    return {"fps": round(sender.fps(begin, end), 2), "age_ms": percentiles(sender.ages(begin, end))}


def table(result: dict[str, Any]) -> str:
    m, run = result["machine"], result["run"]
    lost = sum(not thirds[-1]["fps"] for thirds in run["peers"])
    lines = [
        "# A long time",
        "",
        f"{m['date']}, {m['cpu']}, {m['cores']} cores (server and peers together, and other work beside them), Python "
        f"{m['python']}: {len(run['peers'])} peers for {run['minutes']:g} minutes; the server's exit status was "
        f"{run['server_exit']}." + (f" Not well: {lost} of them were lost on the way." if lost else ""),
        "",
        "| the server holds | nobody there yet | both at the end | everybody gone |",
        "|---|---|---|---|",
        *(
            f"| {name} | {run['before'][name]:g} | {run['during'][name]:g} | {run['after'][name]:g} |"
            for name in run["before"]
        ),
        "",
        f"After the first {run['warm_up_minutes']:g} minutes: {run['mb_an_hour']['rss_mb']:+.1f} MB of resident memory "
        f"an hour, give or take {run['give_or_take']['rss_mb']:.1f}; in use on the C heap "
        f"{run['mb_an_hour']['heap_mb']:+.1f} MB, give or take {run['give_or_take']['heap_mb']:.1f}.",
        "",
        "| peer | third | drawings a second | age p50 | p95 |",
        "|---|---|---|---|---|",
    ]
    for number, thirds in enumerate(run["peers"], 1):
        for third, one in enumerate(thirds, 1):
            age = one["age_ms"]
            lines.append(f"| {number} | {third} | {one['fps']:.1f} | {age['p50']:.0f} ms | {age['p95']:.0f} ms |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--peers", type=int, default=2)
    parser.add_argument("--clip", type=Path, help="what the peers show (default: the demo)")
    parser.add_argument("--out", type=Path, help="write a dated .md, .json and .png into this folder")
    args = parser.parse_args(argv)
    told = machine.describe()
    run = asyncio.run(soak(minutes=args.minutes, peers=args.peers, clip=args.clip))
    result = {"machine": told, "run": run}
    print(table(result))
    if args.out is not None:
        stem = machine.write(args.out, "soak", result, table(result))
        title = (
            f"{len(run['peers'])} peers for {run['minutes']:g} minutes: {run['mb_an_hour']['rss_mb']:+.1f} MB an hour"
        )
        warm_up = run["warm_up_minutes"]
        picture(stem.with_suffix(".png"), run["points"], title=title, x="minutes", names=NAMES, warm_up=warm_up)
    return 0


if __name__ == "__main__":
    sys.exit(main())
