"""How fast the paper's training steps here, and how long its 126,000 would take.

    python -m benchmarks.training [--preset paper] [--width 64] [--batch 1] [--steps 20] [--out FOLDER]

One step is what ``python -m train gan`` does: the generator draws, seven discriminators learn, the generator learns, at
512 x 512, the distance-transform loss in its ``exact`` mode. Pictures are made up and already in memory, so that the
networks are timed and not the disk. fp32, bf16, and both compiled where that works; warm-up (and compiling) apart;
median and 95th percentile of the step; peak memory. 126,000 steps = 300 epochs of 420 augmented pairs (CVPR 2019).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from apdgan.alignment import SIZE, TEMPLATE, boxes
from benchmarks import machine
from train.config import build_config
from train.distributed import World
from train.gan import TABLES, Gan
from train.samples import Batch
from train.task import Pass

PAPER_STEPS = 126_000
VARIANTS = (("fp32", False), ("bf16", False), ("fp32", True), ("bf16", True))
WARM_UP = 3
"""Steps that are not counted: memory is asked for, kernels are chosen, graphs compiled."""


def made_up(batch: int, device: torch.device) -> Batch:
    """Pictures of the right sizes."""
    random = torch.Generator().manual_seed(0)
    photo = torch.rand(batch, 3, SIZE, SIZE, generator=random) * 2 - 1
    drawing = (torch.rand(batch, 1, SIZE // 8, SIZE // 8, generator=random) > 0.2).float() * 2 - 1
    corners = torch.from_numpy(boxes(TEMPLATE))[None].repeat(batch, 1, 1)
    matte = torch.zeros(batch, 1, SIZE, SIZE)
    matte[..., 60:, 100:412] = 1
    return Batch(
        photo=photo.contiguous(memory_format=torch.channels_last).to(device),
        drawing=torch.nn.functional.interpolate(drawing, scale_factor=8.0).to(device),
        corners=corners.to(device),
        matte=matte.to(device),
        numbers=tuple(range(batch)),
        more={},
    )


def measure(
    *, preset: str, width: int | None, batch: int, precision: str, compiled: bool, steps: int, judge_width: int
) -> dict[str, Any]:
    """Time one variant. ms a step, steps a second, memory in MiB (a GPU's peak; on a CPU the process's, at the end)."""
    model: dict[str, Any] = {"preset": preset, "norm": "batch"}
    if width is not None:
        model["width"] = width
    settings = {
        "run": {"out": "unused", "steps": steps, "batch": batch, "precision": precision},
        "model": model,
        "data": {"train": ["."]},
        "discriminator": {"width": judge_width},
    }
    world = World.join()
    on_gpu = world.device.type == "cuda"
    task = Gan(build_config(settings, TABLES), world)
    task.chamfer = task.chamfer_of(task.loss)
    for network in task.networks.values():
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if compiled:
            network.compile(dynamic=False)
    phases = task.phases()
    data = made_up(batch, world.device)
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()

    def step(number: int) -> float:
        began = time.perf_counter()
        one = Pass(
            batch=data,
            step=number,
            memory={},
            autocast=lambda: torch.autocast(world.device.type, dtype=torch.bfloat16, enabled=precision == "bf16"),
            keep=True,
        )
        for phase in phases:
            phase.optimizer.zero_grad(set_to_none=True)
            loss, _ = phase.loss(one)
            loss.backward()  # type: ignore[no-untyped-call]
            phase.optimizer.step()
        if on_gpu:
            torch.cuda.synchronize()
        return (time.perf_counter() - began) * 1000

    warm = [step(i) for i in range(WARM_UP)]
    times = np.array([step(i) for i in range(steps)])
    peak = torch.cuda.max_memory_allocated() if on_gpu else psutil.Process().memory_info().rss
    middle = float(np.median(times))
    return {
        "precision": precision,
        "compiled": compiled,
        "ms": round(middle, 2),
        "ms_p95": round(float(np.percentile(times, 95)), 2),
        "warm_up_s": round(sum(warm) / 1000, 2),
        "steps_per_s": round(1000 / middle, 3),
        "memory_mib": round(peak / 2**20),
        "hours_of_paper": round(PAPER_STEPS * middle / batch / 3.6e6, 2),
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    rows = ["| precision | compiled | ms a step (p95) | steps/s | memory MiB | 126,000 pictures |", "|-|-|-|-|-|-|"]
    for v in report["variants"]:
        kind = f"| {v['precision']} | {'yes' if v['compiled'] else 'no'} |"
        if "problem" in v:
            rows.append(f"{kind} {v['problem']} | | | |")
            continue
        rows.append(
            f"{kind} {v['ms']} ({v['ms_p95']}) | {v['steps_per_s']} | {v['memory_mib']} | {v['hours_of_paper']} h |"
        )
    what = f"`{report['preset']}`, width {report['width'] or 'its own'}, batch {report['batch']}, {report['device']}"
    return f"# Training: {what}\n\n{report['machine']['date']}, `{report['command']}`\n\n" + "\n".join(rows) + "\n"


def run(args: argparse.Namespace) -> dict[str, Any]:
    """All variants, one after the other."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    variants = []
    for precision, compiled in VARIANTS:
        if compiled and not args.compile:
            continue
        try:
            torch.compiler.reset()
            variants.append(
                measure(
                    preset=args.preset,
                    width=args.width,
                    batch=args.batch,
                    precision=precision,
                    compiled=compiled,
                    steps=args.steps,
                    judge_width=args.judge_width,
                )
            )
        except RuntimeError as error:  # no compiler, or memory too small: the other variants still count
            problem = str(error).splitlines()[0][:120]
            variants.append({"precision": precision, "compiled": compiled, "problem": problem})
        print(json.dumps(variants[-1]), flush=True)
    return {
        "preset": args.preset,
        "width": args.width,
        "batch": args.batch,
        "device": device,
        "torch": torch.__version__,
        "machine": machine.describe(),
        "command": "python -m benchmarks.training " + " ".join(sys.argv[1:]),
        "variants": variants,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="paper", choices=("paper", "studio", "lite"))
    parser.add_argument("--width", type=int, help="base width of the generator (default: the preset's)")
    parser.add_argument("--judge-width", type=int, default=64, help="base width of the discriminators")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--compile", action="store_true", help="torch.compile too (needs a C++ compiler or Triton)")
    parser.add_argument("--out", type=Path, help="folder for a dated .md and .json")
    args = parser.parse_args(argv)
    report = run(args)
    print(table(report))
    if args.out:
        args.out.mkdir(parents=True, exist_ok=True)
        place = "gpu" if torch.cuda.is_available() else machine.slug(report["machine"])
        stem = args.out / f"training-{args.preset}-{report['machine']['date'][:10]}-{place}"
        stem.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        stem.with_suffix(".md").write_text(table(report), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
