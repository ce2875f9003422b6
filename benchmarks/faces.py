"""What several faces cost, and whether each keeps its id.

    python -m benchmarks.faces CLIP ... [--counts 1,2,5,8] [--seconds 10] [--model lite] [--out FOLDER]

Clips are laid side by side on a page of 1280x720, as many as there are to be faces (:mod:`benchmarks.mosaics`); the
tiles, and so the faces, have the same size whatever their number, the rest is bare wall. All numbers of faces go
through the synchronous core in turn, frame by frame, so that they share whatever else the machine does.

Told are, for each number of faces, the time of a frame and of its stages (median and p95; *cpu*: of all threads of the
process, which other programs do not lengthen), and the slope of a straight line through the medians, as a share of what
one face takes. And of the ids: *swaps*, an id that was one person's and is another's; *ids* given to one person at
most (1: never lost); *found*: the share of frames and people in which a person's face was found.

Then people who walk (:mod:`benchmarks.people`): two who cross, one who leaves and returns, one half beyond the border.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import engines
from benchmarks import machine, people
from benchmarks.mosaics import FPS, Mosaic, read
from benchmarks.mosaics import frame as frame_of
from benchmarks.who import Who
from engines.errors import UserError
from realtime.aligner import Aligner
from realtime.compositor import Compositor
from realtime.controls import Controls, Layout
from realtime.core import Frame, Portrait
from realtime.each_face import one_thread_each
from realtime.models import face_landmarker
from realtime.smoothing import make_smoother
from realtime.stylizer import Stylizer
from realtime.wiring import MATTE_MODEL

STAGES = ("track", "align", "draw", "smooth", "compose")
WARM_UP = 10
"""Frames at the start that are not timed."""


class Clock:
    """Milliseconds of each stage of each frame: (wall, cpu)."""

    def __init__(self) -> None:
        self.frames: list[dict[str, tuple[float, float]]] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.frames[-1][name] = (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3

    def figures(self) -> dict[str, dict[str, float]]:
        """Of each stage and of the frame: median and p95 of the wall's clock, median of the processors'."""
        timed = self.frames[WARM_UP:] or self.frames
        told = {}
        for name in (*STAGES, "frame"):
            parts = STAGES if name == "frame" else (name,)
            times = np.array([np.sum([one.get(part, (0.0, 0.0)) for part in parts], axis=0) for one in timed])
            told[name] = {
                "ms": float(np.median(times[:, 0])),
                "ms_p95": float(np.percentile(times[:, 0], 95)),
                "cpu_ms": float(np.median(times[:, 1])),
            }
        return told


def open_stylizer(engine: engines.Engine, matter: engines.MatteEngine, *, faces: int, layout: Layout) -> Stylizer:
    """The live program's own core."""
    from realtime.trackers.mediapipe_face import MediaPipeFaceTracker

    one_thread_each()
    return Stylizer(
        tracker=MediaPipeFaceTracker(asset=face_landmarker(), faces=faces),
        aligner=Aligner(matter=matter),
        engine=engine,
        make_smoother=make_smoother,
        compositor=Compositor(),
        controls=Controls(layout=layout),
    )


def measure(
    clips: Sequence[Path],
    counts: Sequence[int],
    engine: engines.Engine,
    matter: engines.MatteEngine,
    *,
    frames: int,
    layout: Layout,
) -> dict[str, Any]:
    """Times and ids by number of faces; and ``slope``: of wall and cpu time, as a share of one face's."""
    size = Mosaic.tile(max(counts))
    pictures = [read(clip, size, frames=frames) for clip in clips]
    mosaics = {n: Mosaic([pictures[i % len(pictures)] for i in range(n)], tiles=max(counts)) for n in counts}
    clocks, who = {n: Clock() for n in counts}, {n: Who(n) for n in counts}
    with ExitStack() as opened:
        cores = {n: opened.enter_context(open_stylizer(engine, matter, faces=n, layout=layout)) for n in counts}
        for n, core in cores.items():
            core.measure = clocks[n].stage
        for index in range(frames):
            for n, core in cores.items():
                clocks[n].frames.append({})
                portraits = _one(core, frame_of(mosaics[n].picture(index), index))
                who[n].add(portraits, mosaics[n].whose)
    told = {n: {"stages": clocks[n].figures(), "ids": who[n].figures()} for n in counts}
    return {"tile": list(size), "frames": frames, "counts": told, "slope": slopes(told)}


def _one(core: Stylizer, frame: Frame) -> list[Portrait]:
    portraits = core.locate(frame)
    core.compose(frame, core.steady(core.draw(portraits)))
    return portraits


def slopes(told: Mapping[int, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """For each stage and the frame: ms that one more face takes, by a straight line, and its share of one face's."""
    counts = sorted(told)
    found: dict[str, dict[str, float]] = {}
    for key in ("ms", "cpu_ms") if len(counts) > 1 and counts[0] == 1 else ():
        for name in (*STAGES, "frame"):
            times = [told[n]["stages"][name][key] for n in counts]
            slope = float(np.polyfit(counts, times, 1)[0])
            found.setdefault(name, {}).update({key: slope, f"{key}_share": slope / max(times[0], 1e-9)})
    return found


def table(report: Mapping[str, Any]) -> str:
    """Markdown."""
    on, crowd = report["machine"], report["crowd"]
    lines = [
        f"# Several faces, {on['date'][:10]}",
        "",
        f"{on['cpu']}, {on['cores']} cores, load {on['load']}, {on['system']}, Python {on['python']}; "
        f"{report['engine']}; layout {report['layout']}.",
        f"`{report['command']}`",
        "",
        f"{crowd['frames']} frames of 1280x720, each person in a tile of {crowd['tile'][0]}x{crowd['tile'][1]}. "
        "Each cell: median / p95 ms of the wall's clock (median of the processors').",
        "",
        "| faces | " + " | ".join((*STAGES, "frame")) + " | found | most ids of one | swaps |",
        "|---|" + "---|" * (len(STAGES) + 4),
    ]
    for n, one in crowd["counts"].items():
        cells = (
            f"{f['ms']:.1f} / {f['ms_p95']:.1f} ({f['cpu_ms']:.1f})"
            for f in (one["stages"][name] for name in (*STAGES, "frame"))
        )
        ids = one["ids"]
        lines.append(f"| {n} | {' | '.join(cells)} | {ids['found']:.0%} | {ids['most_ids']} | {ids['swaps']} |")
    if crowd["slope"]:
        shares = (
            f"{f['ms']:.1f} ms, {f['ms_share']:.0%} ({f['cpu_ms']:.1f} ms, {f['cpu_ms_share']:.0%})"
            for f in (crowd["slope"][name] for name in (*STAGES, "frame"))
        )
        lines.append(f"| one more | {' | '.join(shares)} | | | |")
        frame = crowd["slope"]["frame"]
        lines += [
            "",
            f"- one more face takes {frame['ms_share']:.0%} of what one face takes ({frame['cpu_ms_share']:.0%} of "
            "its processor time)",
        ]
    lines += [
        "",
        "| people who walk | found | most ids of one | swaps | not found for, frames | strays |",
        "|---|" + "---|" * 5,
    ]
    for name, ids in report["walks"].items():
        cells = (ids[key] for key in ("most_ids", "swaps", "longest_wait", "strays"))
        lines.append(f"| {name} | {ids['found']:.0%} | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faces", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--counts", default="1,2,5,8", help="numbers of faces (default 1,2,5,8)")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the mosaics (default 10)")
    parser.add_argument("--layout", choices=("inplace", "portrait", "frame"), default="inplace")
    parser.add_argument("--model", default="lite", help="file, or name in models/ (default lite)")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--out", type=Path, help="write a dated .md and .json into this folder")
    args = parser.parse_args(argv)
    arguments = sys.argv[1:] if argv is None else list(argv)
    shown = [Path(part).name if "/" in part else part for part in arguments]
    try:
        counts = _counts(args.counts)
        report: dict[str, Any] = {
            "machine": machine.describe(),
            "command": f"python -m benchmarks.faces {shlex.join(shown)}",
            "layout": args.layout,
        }
        with (
            engines.load(args.model, backend=args.engine, log=print) as engine,
            engines.load_matte(MATTE_MODEL) as matter,
        ):
            report["engine"] = f"{engine.name} on {engine.device}, model {args.model}"
            frames = max(2, round(args.seconds * FPS))
            report["crowd"] = measure(args.clips, counts, engine, matter, frames=frames, layout=args.layout)
            report["walks"] = people.measure(
                args.clips, engine, lambda: open_stylizer(engine, matter, faces=2, layout=args.layout)
            )
    except (UserError, OSError) as error:
        print(f"faces: {error}", file=sys.stderr)
        return 2
    text = table(report)
    print(f"\n{text}")
    if args.out is not None:
        machine.write(args.out, "faces", report, text)
    return 0


def _counts(text: str) -> list[int]:
    try:
        counts = sorted({int(one) for one in text.split(",")})
    except ValueError:
        counts = []
    if not counts or counts[0] < 1 or counts[-1] > 8:
        raise UserError(f"--counts: expected numbers of 1 to 8, got {text!r}; write for example 1,2,5")
    return counts


if __name__ == "__main__":
    sys.exit(main())
