"""How late, how fast and how steady live drawing is on this machine.

    python -m benchmarks.latency [--clip FILE] [--seconds 60] [--json FILE] [--out FOLDER]

A 1280x720 clip (without ``--clip``: the demo, rendered first) is played in a loop as a 30 fps camera into a sink that
keeps nothing. Told are: the time of each stage, the age of a drawing at the sink, drops, rate, memory; how long a fresh
process takes to its first drawing; and what the model takes beside the full-size network in eager torch, which is what
the original computes for each frame.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import psutil

import engines
from apdgan import alignment
from benchmarks import machine
from engines.errors import UserError
from realtime.config import StreamConfig
from realtime.sinks.video_file import VideoFileSink
from realtime.sources.demo import DemoSource
from realtime.wiring import build

ROOT = Path(__file__).resolve().parents[1]
CLIP_SECONDS = 10.0
STARTS = 3
START_TIMEOUT_S = 120.0
SAMPLE_S = 1.0
MB = 2**20


def render_demo(target: Path, *, seconds: float) -> None:
    """The demo as a clip, 1280x720 at 30 fps."""
    with closing(DemoSource(seconds=seconds, live=False)) as source:
        info = source.info
        with closing(VideoFileSink(path=target, fps=info.fps, time_base=info.time_base, audio=None)) as sink:
            for frame in source:
                sink.send(frame)


def measure_stream(
    clip: Path, *, seconds: float, engine: str, model: str, say: Callable[[str], None]
) -> dict[str, Any]:
    """Stats of the run, plus ``series``: [second, age ms (median of 60 frames), resident MB] once a second."""
    config = StreamConfig(
        source=str(clip), sink=("null",), live=True, loop=True, seconds=seconds, engine=engine, model=model
    )
    process = psutil.Process()
    series: list[tuple[float, float, float]] = []
    done = threading.Event()
    with build(config, say=say) as program:

        def sample() -> None:
            begun = time.monotonic()
            while not done.wait(SAMPLE_S):
                age = float(program.stats.recent()["age_ms"])
                series.append((round(time.monotonic() - begun, 1), age, round(process.memory_info().rss / MB, 1)))

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        try:
            program.run()
        finally:
            done.set()
            sampler.join()
    return {**program.stats.as_dict(), "trend": trend(series), "series": series}


def trend(series: Sequence[tuple[float, float, float]]) -> dict[str, float]:
    """Medians of the first and last fifth of the samples, the first second left out: what grows shows here."""
    settled = series[1:]
    if len(settled) < 2:
        return {}
    part = max(1, len(settled) // 5)
    first, last = settled[:part], settled[-part:]
    return {
        "age_ms_start": round(median(age for _, age, _ in first), 1),
        "age_ms_end": round(median(age for _, age, _ in last), 1),
        "rss_mb_start": round(median(rss for _, _, rss in first), 1),
        "rss_mb_end": round(median(rss for _, _, rss in last), 1),
    }


def measure_start(clip: Path, *, engine: str, model: str) -> float:
    """Seconds from starting run_stream.py to its first drawing on disk. Raises RuntimeError when none comes."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "first.png"
        argv = ["--source", str(clip), "--live", "--sink", str(target), "--frames", "1"]
        command = [sys.executable, str(ROOT / "run_stream.py"), *argv, "--engine", engine, "--model", model]
        begun = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
            while not target.exists():
                if child.poll() is not None or time.monotonic() - begun > START_TIMEOUT_S:
                    child.kill()
                    raise RuntimeError(f"no first drawing: {child.stderr.read() if child.stderr else ''}")
                time.sleep(0.005)
            took = time.monotonic() - begun
        drawing = cv2.imread(str(target), cv2.IMREAD_GRAYSCALE)
    if drawing is None or drawing.min() > 128:
        raise RuntimeError("the first frame holds no ink; use a clip that begins with a face")
    return took


def milliseconds(call: Callable[[], object], *, times: int) -> float:
    """Median over ``times`` calls, after one that does not count."""
    call()
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        call()
        taken.append((time.perf_counter() - begun) * 1000)
    return round(median(taken), 2)


def measure_ratio(*, engine: str, model: str) -> dict[str, Any]:
    """The model on its engine and the preset ``paper`` in eager torch, one portrait each, in this same process."""
    random = np.random.default_rng(0)
    photo = random.integers(0, 256, (1, alignment.SIZE, alignment.SIZE, 3), dtype=np.uint8)
    matte = np.full((1, alignment.SIZE, alignment.SIZE), 255, dtype=np.uint8)
    boxes = alignment.boxes(alignment.TEMPLATE)[None]
    with engines.load(model, backend=engine, log=lambda _line: None) as opened:
        ours = milliseconds(lambda: opened.draw(photo, boxes, matte), times=30)
        found: dict[str, Any] = {"model_ms": ours, "engine": opened.name, "model": str(model)}
    try:
        import torch
    except ImportError:
        return {**found, "paper_eager_ms": None, "ratio": None, "why": "torch is not installed (make setup-dev)"}
    from apdgan.config import preset
    from apdgan.drawer import PortraitDrawer
    from apdgan.generator import HierarchicalGenerator

    drawer = PortraitDrawer(HierarchicalGenerator(preset("paper"))).eval()
    inputs = [torch.from_numpy(array) for array in (photo, boxes, matte)]
    with torch.inference_mode():
        paper = milliseconds(lambda: drawer(*inputs), times=3)
    return {**found, "paper_eager_ms": paper, "ratio": round(paper / ours, 1), "threads": torch.get_num_threads()}


def table(result: dict[str, Any]) -> str:
    """Markdown."""
    on, run, start, ratio = (result[key] for key in ("machine", "stream", "first_drawing_s", "ratio"))
    lines = [
        f"# Latency, {on['date']}",
        "",
        f"{on['cpu']}, {on['cores']} cores, load {on['load']} at the start; {on['system']}, Python {on['python']}.",
        f"{result['clip']} looped as a live camera for {result['seconds']:g} s on {run['engine']}, {run['device']}.",
        "",
        "| | p50 | p95 | p99 |",
        "|---|---|---|---|",
    ]
    for name, values in {"**age at the sink, ms**": run["age_ms"], **run["stages_ms"]}.items():
        lines.append(f"| {name} | {values['p50']:.1f} | {values['p95']:.1f} | {values['p99']:.1f} |")
    lines += [
        "",
        f"- frames: {run['frames_in']} in, {run['frames_out']} out, {run['dropped']} dropped; **{run['fps']:.1f} fps**",
        f"- memory: {run['rss_mb']:.0f} MB at its peak",
    ]
    if grown := run["trend"]:
        lines += [
            f"- age, first fifth to last fifth of the run: {grown['age_ms_start']} to {grown['age_ms_end']} ms",
            f"- memory, the same: {grown['rss_mb_start']} to {grown['rss_mb_end']} MB",
        ]
    lines.append(f"- first drawing after start: {', '.join(f'{s:.1f}' for s in start)} s (so many fresh processes)")
    if ratio["ratio"] is None:
        lines.append(f"- {ratio['model']} draws in {ratio['model_ms']} ms; not compared: {ratio['why']}")
    else:
        lines.append(
            f"- {ratio['model']} draws in {ratio['model_ms']} ms ({ratio['engine']}), preset paper in eager torch in "
            f"{ratio['paper_eager_ms']} ms: **{ratio['ratio']} times faster**"
        )
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clip", type=Path, help="a 1280x720 clip that begins with a face (default: the demo)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the run (default 60)")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--model", default="lite")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--out", type=Path, help="write a dated .md and .json into this folder")
    args = parser.parse_args(argv)
    result: dict[str, Any] = {"machine": machine.describe(), "seconds": args.seconds}
    chosen = {"engine": args.engine, "model": args.model}
    try:
        with tempfile.TemporaryDirectory() as folder:
            clip = args.clip or Path(folder) / "demo.mp4"
            if args.clip is None:
                render_demo(clip, seconds=CLIP_SECONDS)
            result["clip"] = clip.name
            result["stream"] = measure_stream(clip, seconds=args.seconds, say=print, **chosen)
            result["first_drawing_s"] = [round(measure_start(clip, **chosen), 2) for _ in range(STARTS)]
        result["ratio"] = measure_ratio(**chosen)
    except (UserError, RuntimeError) as error:
        print(f"latency: {error}", file=sys.stderr)
        return 2
    print(table(result))
    text = json.dumps(result, indent=1) + "\n"
    if args.json is not None:
        args.json.write_text(text, encoding="utf-8")
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        stem = args.out / f"latency-{result['machine']['date'][:10]}-{machine.slug(result['machine'])}"
        stem.with_suffix(".json").write_text(text, encoding="utf-8")
        stem.with_suffix(".md").write_text(table(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
