"""How the generator's branches are best run: one by one, grouped or each on a stream, as it stands or compiled.

    python -m benchmarks.branches [PRESET ...] [--how eager graph inductor] [--batches 1 16] [--out FOLDER]

The same generator, of random weights, which take as long as trained ones, draws the same pictures in every way:
``eager`` is torch as it stands, ``graph`` the same in one CUDA graph, ``inductor`` compiled and in a CUDA graph. Told
are the wall clock, from arrays to arrays, the GPU's own clock, how often as fast that is as one by one and eager, and
by how many grey levels the drawing differs from that. On a machine without a GPU the CPU draws, in fp32; there a
stream is none, and no graph is captured.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from apdgan.config import PRESETS
from benchmarks import engine as timing
from benchmarks import machine
from engines.choose import describe
from engines.errors import EngineError, EngineLostError, ModelError, UserError
from engines.gpu import find_gpu
from engines.samples import synthetic
from engines.torch_session import BUCKETS

HOW = ("eager", "graph", "inductor")
MOST = BUCKETS[-1]
"""Portraits in one run."""
COLUMNS = ("model", "engine", "branches", "batch", "ms_p50", "ms_p95", "gpu_ms_p50", "as_fast", "grey", "first_ms")


def measure(
    preset: str, hows: Sequence[str], batches: Sequence[int], *, seconds: float, left: Callable[[], float] | None = None
) -> list[dict[str, Any]]:
    """Rows of one preset, for each way and size of batch; one that fails has its ``problem``, one for which no time is
    left is not there. They hold what was drawn, for :func:`compare`.

    Args:
        preset: a name of :func:`apdgan.config.preset`.
        hows: of :data:`HOW`.
        batches: sizes.
        seconds: of timed draws for each row, as :func:`benchmarks.engine.timed` takes them.
        left: seconds until nothing new is begun; None: for ever.
    Raises:
        EngineError: torch is not installed.
    """
    from engines.backends import pytorch

    if (why := pytorch.probe()) is not None:
        raise EngineError(f"engine torch: {why}")
    from apdgan.grouped import BRANCHES

    rows: list[dict[str, Any]] = []
    for how in hows:
        # torch.compile knows no streams.
        for branches in [one for one in BRANCHES if (how, one) != ("inductor", "streams")]:
            for batch in batches:
                if left is not None and left() == 0:
                    return rows
                row = {"model": preset, "branches": branches, "batch": batch}
                try:
                    rows.append(row | _measured(preset, how, branches, batch, seconds))
                except (EngineLostError, RuntimeError) as error:
                    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
                    rows.append(row | {"engine": how, "problem": line})
    return rows


def note(
    report: dict[str, Any],
    drawn: list[dict[str, Any]],
    models: Sequence[Path],
    hows: Sequence[str],
    batches: Sequence[int],
    left: Callable[[], float],
) -> list[dict[str, Any]]:
    """The branches of the models' presets, into a report of :mod:`benchmarks.gpu_check`; or why they are not measured.

    ``drawn``: what an earlier call gave. Returns it with the new rows, as :func:`measure` has them.
    """
    presets: list[str] = []
    for model in models:
        try:
            presets.append(describe(model).preset)
        except (EngineError, ModelError) as error:
            report["passed_over"][f"{model.stem}, branches"] = str(error)
    for preset in [one for one in dict.fromkeys(presets) if one in PRESETS]:
        try:
            drawn = drawn + measure(preset, hows, batches, seconds=0.5, left=left)
        except EngineError as error:
            report["passed_over"][f"{preset}, branches"] = str(error)
        if left() == 0:
            report["passed_over"][f"{preset}, branches, {', '.join(hows)}"] = "out of time, some or all"
        print(f"{preset}, branches, {', '.join(hows)}: done", file=sys.stderr, flush=True)
    report["branches"] = compare(drawn)
    return drawn


def _measured(preset: str, how: str, branches: str, batch: int, seconds: float) -> dict[str, Any]:
    """Figures and, as ``drawn``, what is drawn: (batch, 512, 512) uint8."""
    session = _open(preset, how, branches)
    inputs = synthetic("drawing", batch, seed=7)
    try:
        draw = partial(session.run, inputs)
        first, times, gpu = timing.clocked(draw, partial(session.gpu_ms, batch), seconds)
        drawn = draw().copy()
    finally:
        session.close()
    return {
        "engine": session.name,
        "runs": len(times),
        "first_ms": round(first, 1),
        "ms_p50": round(float(np.percentile(times, 50)), 3),
        "ms_p95": round(float(np.percentile(times, 95)), 3),
        "gpu_ms_p50": round(float(np.median(gpu)), 3) if gpu else None,
        "drawn": drawn,
    }


def _open(preset: str, how: str, branches: str) -> Any:
    """A :class:`engines.torch_session.CompiledSession`; every time with the same weights."""
    import torch

    from apdgan import config
    from apdgan.generator import HierarchicalGenerator
    from apdgan.grouped import with_branches
    from engines.torch_session import CompiledSession

    torch.manual_seed(0)
    generator = with_branches(HierarchicalGenerator(config.preset(preset)).eval(), branches)  # type: ignore[arg-type]
    try:
        gpu = find_gpu().name if torch.cuda.is_available() else None
    except EngineError:
        gpu = None
    return CompiledSession(
        generator=generator,
        how=how,
        precision="fp16" if gpu else "fp32",
        device="cuda" if gpu else "cpu",
        device_name=gpu or "CPU",
    )


def compare(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without what was drawn, each with ``as_fast`` and ``grey`` against that of the same model and batch
    which is eager and one by one, where there is one."""
    plain = {
        (row["model"], row["batch"]): row
        for row in rows
        if row["branches"] == "single" and row["engine"].startswith("eager") and "problem" not in row
    }
    told = []
    for row in rows:
        base = plain.get((row["model"], row["batch"]))
        found = {name: value for name, value in row.items() if name != "drawn"}
        if base is not None and "problem" not in row:
            off = np.abs(row["drawn"].astype(np.int16) - base["drawn"])
            found |= {"as_fast": round(base["ms_p50"] / row["ms_p50"], 2), "grey": round(float(off.mean()), 4)}
        told.append(found)
    return told


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown."""
    heads = ("model", "engine", "branches", "batch", "ms p50", "p95", "GPU ms", "as fast", "off by", "first ms")
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in rows:
        if "problem" in row:
            cells = [*(row[key] for key in COLUMNS[:4]), row["problem"], *("" for _ in COLUMNS[5:])]
        else:
            cells = [row.get(key) for key in COLUMNS]
        lines.append("| " + " | ".join("-" if cell is None else str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.branches", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("presets", nargs="*", default=["paper"], metavar="PRESET", help=f"of {', '.join(PRESETS)}")
    parser.add_argument("--how", nargs="+", choices=HOW, default=list(HOW))
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16], metavar="N", help="default 1 16")
    parser.add_argument("--seconds", type=float, default=2.0, help="of timed draws for each row; default 2")
    parser.add_argument("--out", type=Path, help="write a dated .md and .json into this folder")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: measured; 2: one line says what is wrong."""
    given = sys.argv[1:] if argv is None else list(argv)
    args = _parser().parse_args(given)
    try:
        if unknown := [name for name in args.presets if name not in PRESETS]:
            raise UserError(f"expected presets of {', '.join(PRESETS)}, got {', '.join(unknown)}")
        if min(args.batches) < 1 or max(args.batches) > MOST or not args.seconds > 0:
            raise UserError(f"expected --batches of 1 to {MOST} and --seconds above 0")
        rows: list[dict[str, Any]] = []
        for name in args.presets:
            rows += measure(name, args.how, args.batches, seconds=args.seconds)
        rows = compare(rows)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    of, command = machine.describe(), shlex.join(["python", "-m", "benchmarks.branches", *given])
    report = {"machine": of, "command": command, "rows": rows}
    text = f"# Branches, {str(of['date'])[:10]}\n\n{of['cpu']}, {of['cores']} cores. `{command}`\n\n{table(rows)}"
    print(text, end="")
    if args.out is not None:
        print(machine.write(args.out, "branches", report, text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
