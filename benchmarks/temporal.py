"""What the filter over time does to drawings, beside no filter and beside a plain mean.

    python -m benchmarks.temporal CLIP ... [--model lite] [--frames N] [--first FILE.json] [--out FOLDER]

Faces are tracked and aligned exactly as the live program does it, one engine draws them, and every setting steadies the
same drawings. All frames pass through the filters, as in a live run; frames that a clip merely repeats are not counted.
:mod:`benchmarks.steadiness` tells what the columns are. Times are of one thread's own clock (``time.thread_time``).

``--first`` names the figures of an earlier run, for example of this very file in a checkout of an older commit: its
warp error without a filter is put beside this one's.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import engines
from apdgan.alignment import boxes
from benchmarks import machine
from benchmarks.flicker import changes, located, repeats
from benchmarks.steadiness import Flow, History, Ink, PlainAverage, Steadiness, frames_to_half
from engines.errors import UserError
from realtime.core import Drawing, Portrait, Smoother
from realtime.pressure import pressed
from realtime.smoothing import make_smoother

DEFAULT_STRENGTH = 0.5
SHIFT_FRAMES = 24
"""Frames at a clip's beginning that the synthetic shift is tried on."""
COLUMNS = (
    "warp_error",
    "still_toggles",
    "ghosts",
    "difference",
    "lag_frames",
    "frames_to_half",
    "haze",
    "ms",
    "ms_p95",
)


class _Off:
    """No filter."""

    def smooth(self, drawing: Drawing, strength: float) -> Drawing:  # noqa: ARG002
        return drawing


SETTINGS: dict[str, tuple[Callable[[], Smoother], float]] = {
    "off": (_Off, 0.0),
    "filter": (make_smoother, DEFAULT_STRENGTH),
    "mean": (PlainAverage, 0.5),
}


@dataclass(slots=True, kw_only=True)
class _Face:
    """One face through every setting."""

    smoothers: dict[str, Smoother] = field(
        default_factory=lambda: {name: make() for name, (make, _) in SETTINGS.items()}
    )
    history: History = field(default_factory=History)
    before: tuple[Portrait, dict[str, Ink]] | None = None


def measure(clip: Path, engine: engines.Engine, *, frames: int | None = None) -> dict[str, Any]:
    """All settings on one clip.

    Args:
        clip: a video file.
        engine: draws.
        frames: read so many frames; None reads all.
    Returns:
        ``clip``, ``frames``, ``repeats``, ``pairs`` (compared) and ``settings``: name -> figures.
    Raises:
        UserError: the clip cannot be read, or no face is in two of its frames in a row.
    """
    repeated = repeats(changes(clip, frames))
    counts = {name: Steadiness() for name in SETTINGS}
    seconds: dict[str, list[float]] = {name: [] for name in SETTINGS}
    faces: dict[int, _Face] = {}
    beginning: list[Drawing] = []
    flow, pairs = Flow(), 0
    for frame, portraits in located(clip, frames, engine):
        faces = {portrait.face_id: faces.get(portrait.face_id) or _Face() for portrait in portraits}
        for portrait in portraits:
            face, drawing = faces[portrait.face_id], _drawn(engine, portrait)
            if len(beginning) < SHIFT_FRAMES:
                beginning.append(drawing)
            now = {}
            for name, (_, strength) in SETTINGS.items():
                start = time.thread_time()
                now[name] = face.smoothers[name].smooth(drawing, strength).ink
                seconds[name].append(time.thread_time() - start)
            if repeated[frame.index]:
                continue
            history = face.history.add(drawing.ink)
            if face.before is not None:
                last, pairs = face.before, pairs + 1
                change = flow(last[0].photo, portrait.photo)
                for name, count in counts.items():
                    count.add(last[1][name], now[name], history, change)
            face.before = portrait, now
    if not pairs:
        raise UserError(f"{clip}: expected a face in two frames in a row, found none; choose another clip")
    settings = {name: count.figures() for name, count in counts.items()}
    for name, figures in settings.items():
        figures["frames_to_half"] = frames_to_half(*SETTINGS[name], beginning)
        figures["ms"], figures["ms_p95"] = (1e3 * float(np.percentile(seconds[name], at)) for at in (50, 95))
    return {
        "clip": clip.name,
        "frames": len(repeated),
        "repeats": int(repeated.sum()),
        "pairs": pairs,
        "settings": settings,
    }


def _drawn(engine: engines.Engine, portrait: Portrait) -> Drawing:
    ink = engine.draw(portrait.photo[None], boxes(portrait.landmarks)[None], portrait.matte[None])[0]
    return Drawing(ink=pressed(ink), portrait=portrait)


def mean_over_clips(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """setting -> figure -> mean; every clip counts alike."""
    return {
        name: {key: float(np.mean([one["settings"][name][key] for one in results])) for key in COLUMNS}
        for name in results[0]["settings"]
    }


def table(report: Mapping[str, Any]) -> str:
    """Markdown: one table for each clip, the mean, and what it comes to."""
    told = report["machine"]
    lines = [
        f"# Drawings over time, {told['date'][:10]}",
        "",
        f"{told['cpu']}, {told['cores']} cores, load {told['load']}, {told['system']}, Python {told['python']}; "
        f"{report['engine']}; commit {report['commit']}.",
        f"`{report['command']}`",
        "",
        "Columns are told in `benchmarks/steadiness.py`. *off*: no filter; *filter*: as shipped, strength "
        f"{DEFAULT_STRENGTH}; *mean*: a recursive mean of weight 0.5.",
        "",
    ]
    for one in report["clips"]:
        lines += [
            f"{one['clip']}: {one['pairs']} pairs of {one['frames']} frames ({one['repeats']} repeats left out)",
            "",
        ]
        lines += [*_rows(one["settings"]), ""]
    lines += ["Mean over clips", "", *_rows(report["mean"]), "", *_ratios(report)]
    return "\n".join(lines) + "\n"


def _rows(settings: Mapping[str, Mapping[str, float]]) -> list[str]:
    head = ["warp error", "still toggles", "ghosts", "difference", "lag", "to half", "haze", "ms", "ms p95"]
    lines = ["| setting | " + " | ".join(head) + " |", "|---|" + "---|" * len(head)]
    digits = (4, 4, 4, 4, 1, 1, 3, 2, 2)
    for name, figures in settings.items():
        cells = (f"{figures[key]:.{places}f}" for key, places in zip(COLUMNS, digits, strict=True))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _ratios(report: Mapping[str, Any]) -> list[str]:
    mean = report["mean"]
    off, kept, plain = (mean[name] for name in ("off", "filter", "mean"))
    lines = [
        f"- warp error of the filter: {_share(kept, off, 'warp_error')} of no filter's "
        f"(a plain mean: {_share(plain, off, 'warp_error')})",
        f"- still toggles of the filter: {_share(kept, off, 'still_toggles')} of no filter's",
        f"- ghosts of the filter: {_share(kept, plain, 'ghosts')} of a plain mean's; difference "
        f"{_share(kept, plain, 'difference')}",
    ]
    if (first := report.get("first")) is not None:
        lines.append(
            f"- warp error of the filter: {kept['warp_error'] / first['warp_error']:.0%} of what it was without one "
            f"at commit {first['commit']}, weights {first['weights']}: {first['warp_error']:.4f}"
        )
    return lines


def _share(one: Mapping[str, float], other: Mapping[str, float], key: str) -> str:
    return f"{one[key] / other[key]:.0%}" if other[key] else "-"


def _first(path: Path) -> dict[str, Any]:
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        kept = {key: earlier[key] for key in ("commit", "weights", "command")}
        return {**kept, "warp_error": earlier["mean"]["off"]["warp_error"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"--first: expected the .json of an earlier run, got {path} ({error!r}); run it first"
        ) from error


def _commit() -> str:
    """The commit of this checkout, short; a + behind it tells that what draws has been changed since."""
    try:
        head, changed = (
            subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()
            for words in (
                ("rev-parse", "--short", "HEAD"),
                ("status", "--porcelain", "--", "apdgan", "engines", "models", "realtime"),
            )
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + "+" * bool(changed)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.temporal", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--model", default="lite", help="file, or name in models/ (default lite)")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--frames", type=int, help="read so many frames of each clip (default: all)")
    parser.add_argument("--first", type=Path, metavar="FILE", help="the .json of an earlier run, to be put beside")
    parser.add_argument("--out", type=Path, help="write a dated .md and .json into this folder")
    args = parser.parse_args(argv)
    arguments = sys.argv[1:] if argv is None else list(argv)
    shown = [Path(part).name if "/" in part else part for part in arguments]
    cv2.setNumThreads(1)
    try:
        if args.frames is not None and args.frames < 2:
            raise UserError(f"--frames: expected 2 or more, got {args.frames}; leave it out for the whole clip")
        report: dict[str, Any] = {
            "machine": machine.describe(),
            "command": f"python -m benchmarks.temporal {shlex.join(shown)}",
            "commit": _commit(),
            "first": None if args.first is None else _first(args.first),
        }
        with engines.load(args.model, backend=args.engine, log=print) as engine:
            report["engine"] = f"{engine.name} on {engine.device}, model {args.model}"
            report["weights"] = engine.manifest.weights_sha256[:8]
            report["clips"] = []
            for clip in args.clips:
                report["clips"].append(measure(clip, engine, frames=args.frames))
                print(f"{clip.name}: done", flush=True)
        report["mean"] = mean_over_clips(report["clips"])
        text = table(report)
        print(f"\n{text}")
        if args.out is not None:
            machine.write(args.out, "temporal", report, text)
    except (UserError, OSError) as error:
        print(f"temporal: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
