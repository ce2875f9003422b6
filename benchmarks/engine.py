"""How fast every engine draws: batch by batch, apart from its start, against what the machine could do at best.

    python -m benchmarks.engine [MODEL ...] [--backends NAME ...] [--batches 1 2 4 8 16] [--out FOLDER]

On a GPU the time is told twice: by the wall clock, from arrays to arrays, and by the GPU's own clock. *roofline* is the
time that the multiplications alone would take at the machine's best rate, measured with one large matrix product (of
the engine's own type on a GPU with torch, else fp32 on the CPU); *of it* is the share of that rate that is reached.
Engines that cannot be used here are named with the reason.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import engines
from benchmarks import machine
from engines.catalogue import find
from engines.choose import describe
from engines.contract import DrawingEngine
from engines.cuda import Cuda
from engines.errors import EngineError, EngineLostError, ModelError, UserError
from engines.gpu import find_gpu, no_gpu
from engines.manifest import Manifest
from engines.samples import synthetic

BATCHES = (1, 2, 4, 8, 16)
WARM_UP = 3
"""Draws of each size that are not timed."""
LEAST_RUNS, MOST_RUNS = 5, 200
PRODUCT = {"cpu": 1536, "cuda": 8192}
"""Side of the matrices whose product tells the machine's best rate."""


def measure(
    model: Path, backend: str, batches: Sequence[int], *, seconds: float, peaks: dict[str, float]
) -> list[dict[str, Any]]:
    """Rows of one engine, one for each size of batch; a size that it has no memory for ends them.

    Args:
        model: an exported file.
        backend: as :func:`engines.load` takes it.
        batches: sizes.
        seconds: of timed draws for each size, at least ``LEAST_RUNS`` and at most ``MOST_RUNS`` draws.
        peaks: 1e12 multiply-accumulates a second, by type; filled here.
    Raises:
        EngineError, ModelError: the engine cannot be used here.
    """
    before, start = _gpu_memory(), time.perf_counter()
    rows: list[dict[str, Any]] = []
    with engines.load(model, backend, log=lambda _line: None) as engine:
        opened_s = time.perf_counter() - start
        for batch in batches:
            inputs = synthetic("drawing", batch, seed=batch)
            arrays: list[Any] = [inputs[name] for name in ("photo", "boxes", "matte")]
            draw = partial(engine.draw, *arrays)
            try:
                first, times, gpu = clocked(draw, partial(_gpu_ms, engine, batch), seconds)
            except EngineLostError as error:
                rows.append({"model": model.stem, "engine": engine.name, "batch": batch, "problem": str(error)})
                break
            row = _row(engine, batch, first, times, gpu, peaks)
            row |= {"model": model.stem, "opened_s": round(opened_s, 2), "memory_mb": _taken(before)}
            rows.append(row)
    return rows


def _row(
    engine: engines.Engine,
    batch: int,
    first: float,
    times: list[float],
    gpu: list[float],
    peaks: dict[str, float],
) -> dict[str, Any]:
    precision = engine.name.rpartition(" ")[2]
    peak = _peak(precision if gpu else "cpu", peaks)
    p10, p50, p95 = np.percentile(times, [10, 50, 95])
    roofline = engine.manifest.gmac * batch / 1e3 / peak * 1e3 if peak else None
    best = float(np.median(gpu)) if gpu else float(p10)
    return {
        "engine": engine.name,
        "device": engine.device,
        "batch": batch,
        "runs": len(times),
        "first_ms": round(first, 2),
        "ms_p10": round(float(p10), 3),
        "ms_p50": round(float(p50), 3),
        "ms_p95": round(float(p95), 3),
        "gpu_ms_p50": round(best, 3) if gpu else None,
        "faces_per_s": round(batch / float(p50) * 1e3, 1),
        "roofline_ms": None if roofline is None else round(roofline, 4),
        "of_roofline": None if roofline is None else round(roofline / best, 3),
    }


def clocked(
    draw: Callable[[], object], gpu_ms: Callable[[], float | None], seconds: float
) -> tuple[float, list[float], list[float]]:
    """ms of the first draw, of each timed one, and of as many by the GPU's own clock; none where it tells nothing."""
    first = _ms(draw)
    for _ in range(WARM_UP):
        draw()
    times = timed(draw, seconds)
    return first, times, [ms for ms in (gpu_ms() for _ in times) if ms is not None]


def _gpu_ms(engine: engines.Engine, batch: int) -> float | None:
    return engine.gpu_ms(batch) if isinstance(engine, DrawingEngine) else None


def timed(draw: Callable[[], object], seconds: float) -> list[float]:
    """ms of each of some draws: as many as take ``seconds``, at least ``LEAST_RUNS`` and at most ``MOST_RUNS``."""
    times: list[float] = []
    until = time.perf_counter() + seconds
    while len(times) < LEAST_RUNS or (time.perf_counter() < until and len(times) < MOST_RUNS):
        times.append(_ms(draw))
    return times


def _ms(draw: Callable[[], object]) -> float:
    start = time.perf_counter()
    draw()
    return (time.perf_counter() - start) * 1e3


def _peak(precision: str, peaks: dict[str, float]) -> float | None:
    """1e12 multiply-accumulates a second of one large product, measured once; None where it cannot be."""
    if precision not in peaks:
        peaks[precision] = (_cpu_peak() if precision == "cpu" else _gpu_peak(precision)) or 0.0
    return peaks[precision] or None


def _cpu_peak() -> float:
    n = PRODUCT["cpu"]
    a = np.random.default_rng(0).random((n, n), dtype=np.float32)
    return n**3 / _best_of(lambda: a @ a) / 1e12


def _gpu_peak(precision: str) -> float | None:
    try:
        import torch
    except ImportError:
        return None
    if not torch.cuda.is_available():
        return None
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    n = PRODUCT["cuda"]
    a = torch.randn(n, n, dtype=dtype, device="cuda")

    def product() -> None:
        a @ a
        torch.cuda.synchronize()

    return n**3 / _best_of(product) / 1e12


def _best_of(work: Any, runs: int = 8) -> float:
    """Seconds of the fastest of some runs, after one that is not timed."""
    work()
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def _gpu_memory() -> int | None:
    """Bytes free on the GPU; None where there is none, or nothing that can ask."""
    if no_gpu() is not None:
        return None
    try:
        cuda = Cuda()
    except EngineError:
        return None
    try:
        return cuda.memory()[0]
    finally:
        cuda.close()


def _taken(before: int | None) -> float | None:
    """MB of GPU memory that went since ``before``."""
    now = _gpu_memory()
    return None if before is None or now is None else round((before - now) / 2**20, 1)


def run(models: Sequence[str], backends: Sequence[str], batches: Sequence[int], seconds: float) -> dict[str, Any]:
    """Everything, as a report: ``rows``, ``passed_over``, ``peaks``, ``machine``, ``gpu``."""
    rows: list[dict[str, Any]] = []
    passed: dict[str, str] = {}
    peaks: dict[str, float] = {}
    known: dict[str, Manifest] = {}
    for name in models:
        model = find(name)
        known[model.stem] = describe(model)
        for backend in backends:
            try:
                rows += measure(model, backend, batches, seconds=seconds, peaks=peaks)
            except (EngineError, ModelError) as error:
                if backend not in engines.engine_names():
                    raise
                passed[f"{model.stem}, {backend}"] = str(error)
            print(f"{model.stem}, {backend}: done", file=sys.stderr, flush=True)
    return {
        "machine": machine.describe(),
        "gpu": _gpu(),
        "models": {name: {"preset": m.preset, "gmac": m.gmac} for name, m in known.items()},
        "peaks_tmac": {name: round(value, 3) for name, value in peaks.items() if value},
        "rows": rows,
        "passed_over": passed,
    }


def _gpu() -> str:
    try:
        gpu = find_gpu()
    except EngineError as error:
        return f"none: {error}"
    capability, cuda = (".".join(map(str, pair)) for pair in (gpu.compute_capability, gpu.cuda))
    return f"{gpu.name}, {gpu.memory / 2**30:.0f} GiB, compute capability {capability}, driver for CUDA {cuda}"


def table(report: dict[str, Any]) -> str:
    """Markdown."""
    of = report["machine"]
    peaks = ", ".join(f"{name} {value:g}" for name, value in report["peaks_tmac"].items())
    lines = [
        f"# Engines, {of['date']}",
        "",
        f"{of['cpu']}, {of['cores']} cores, load {of['load']}; {of['system']}, Python {of['python']}. GPU: "
        f"{report['gpu']}. Best rate of a matrix product, 1e12 multiply-accumulates a second: "
        f"{peaks or 'not measured'}.",
        "",
        "| model | engine | batch | ms p50 | p95 | GPU ms | faces/s | roofline ms | of it | opened s | first ms | MB |",
        "|" + "---|" * 12,
    ]
    for row in report["rows"]:
        if "problem" in row:
            lines.append(f"| {row['model']} | {row['engine']} | {row['batch']} | {row['problem']} |" + " |" * 8)
            continue
        share = row["of_roofline"]
        cells = [
            *(row[key] for key in ("model", "engine", "batch", "ms_p50", "ms_p95", "gpu_ms_p50", "faces_per_s")),
            row["roofline_ms"],
            None if share is None else f"{share:.0%}",
            *(row[key] for key in ("opened_s", "first_ms", "memory_mb")),
        ]
        lines.append("| " + " | ".join("-" if cell is None else str(cell) for cell in cells) + " |")
    lines += ["", *(f"- {what}: {why}" for what, why in report["passed_over"].items())]
    return "\n".join(lines).rstrip() + "\n"


def plot(report: dict[str, Any], path: Path) -> str | None:
    """Draw time over batch, a line for each engine, a panel for each model. None, or why there is no picture."""
    try:
        import matplotlib
    except ImportError:
        return "no picture: pip install matplotlib"
    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = [row for row in report["rows"] if "problem" not in row]
    models = list(dict.fromkeys(row["model"] for row in rows))
    if not models:
        return "no picture: nothing was measured"
    figure, axes = pyplot.subplots(1, len(models), figsize=(5.5 * len(models), 4.5), squeeze=False)
    for axis, model in zip(axes[0], models, strict=True):
        of_model = [row for row in rows if row["model"] == model]
        for name in dict.fromkeys(row["engine"] for row in of_model):
            line = [(row["batch"], row["ms_p50"]) for row in of_model if row["engine"] == name]
            axis.plot(*zip(*line, strict=True), marker="o", label=name)
        ideal = {row["batch"]: row["roofline_ms"] for row in of_model if row["gpu_ms_p50"] and row["roofline_ms"]}
        if ideal:
            axis.plot(list(ideal), list(ideal.values()), color="grey", linestyle=":", label="roofline")
        axis.set(title=model, xlabel="portraits in a batch", ylabel="ms, wall clock, p50", xscale="log", yscale="log")
        batches = sorted({row["batch"] for row in of_model})
        axis.set_xticks(batches, list(map(str, batches)))
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
    return None


def write(report: dict[str, Any], folder: Path, name: str, *, picture: bool = True) -> Path:
    """A dated .md, .json and, where it is wanted, .png. Returns the .md."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{name}-{report['machine']['date'][:10]}"
    stem.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    problem = plot(report, stem.with_suffix(".png")) if picture else "no picture yet"
    tail = problem if problem else f"![time over batch]({stem.name}.png)"
    stem.with_suffix(".md").write_text(f"{table(report)}\n{tail}\n", encoding="utf-8")
    return stem.with_suffix(".md")


def usable() -> list[str]:
    """Every backend with every precision, of those that can be used here; the reference runtime first."""
    problems = engines.available()
    names = [name for name in engines.engine_names() if name != "auto" and problems[name.partition("-")[0]] is None]
    exact = [name for name in names if not any(other.startswith(f"{name}-") for other in names)]
    return sorted(exact, key=lambda name: name != "onnxruntime")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=["lite"], metavar="MODEL", help="default lite")
    parser.add_argument("--backends", nargs="+", metavar="NAME", help="default: all that can be used here")
    parser.add_argument("--batches", nargs="+", type=int, default=list(BATCHES), metavar="N", help="default 1 2 4 8 16")
    parser.add_argument("--seconds", type=float, default=3.0, help="of timed draws for each size; default 3")
    parser.add_argument("--out", type=Path, help="write a dated .md, .json and .png into this folder")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: measured; 2: one line says what is wrong."""
    given = sys.argv[1:] if argv is None else list(argv)
    args = _parser().parse_args(given)
    try:
        if min(args.batches) < 1 or not args.seconds > 0:
            raise UserError("expected --batches of 1 or more and --seconds above 0")
        report = run(args.models, args.backends or usable(), args.batches, args.seconds)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    report["command"] = shlex.join(["python", "-m", "benchmarks.engine", *given])
    print(table(report), end="")
    if args.out is not None:
        print(write(report, args.out, "engine"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
