"""Does the distance-transform loss earn its place where drawings do not lie exactly on their photos?

    python -m benchmarks.dt_loss --train PAIRS ... --held-out PAIRS ... --work FOLDER [--auxiliary FILE] [--out FOLDER]

Every training drawing is moved by 2 to 6 px in a direction of its own, once and for all, as an artist who misses by
that much. The same small generator then learns from the same samples with the paper's L1 terms, without and with the
distance-transform loss in each of its forms, and draws held-out photos, whose drawings are not moved. Told are the
mean ink F1 at 2 px, outline F1 at 1.5 px, chamfer distance and coverage over those pictures.

An arm is a name of ``ARMS`` or ``NAME:WEIGHT``, which puts another weight in place of the paper's 0.1. Chance has its
part in so short a training, so every arm is trained once for each of ``--seeds``: other movements, other starting
weights, another order of pictures; the seeds' own figures are told beside their mean. Each generator is kept in
``--work``, and one that is there is not trained again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from apdgan import checkpoint
from apdgan.alignment import boxes
from apdgan.auxiliary import load_auxiliary
from apdgan.chamfer import ExactChamfer, NetworkChamfer
from apdgan.config import preset
from apdgan.generator import HierarchicalGenerator
from apdgan.losses import ChamferLoss, LossWeights, generator_terms
from benchmarks import machine
from train import metrics
from train.augment import Sample, shift
from train.dataset import Pairs, open_pairs
from train.ema import Average
from train.gan import distances
from train.samples import Batch, Samples
from train.sheets import sheet, spread
from train.turning import Changes

ARMS = ("none", "network", "network+", "exact")
"""``network+``: with a gradient in the second term too."""
SHIFT_PX = (2.0, 6.0)
FIGURES = ("ink_f1", "outline_f1", "chamfer", "coverage", "grey_away")
WARM_UP_STEPS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all arms share."""

    width: int
    steps: int
    batch: int
    lr: float
    seed: int


def movement(seed: int, index: int) -> tuple[int, int]:
    """Whole pixels (dx, dy) that picture ``index`` is off by: 2 to 6 px in any direction."""
    rng = np.random.default_rng([seed, index])
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(*SHIFT_PX)
    return round(length * np.cos(angle)), round(length * np.sin(angle))


def moved_drawing(pairs: Pairs, index: int, seed: int) -> NDArray[np.uint8]:
    """The drawing of a pair, off its photo by :func:`movement`; paper comes in."""
    pair = pairs[index]
    assert pair.drawing is not None
    whole = Sample(photo=pair.photo, drawing=pair.drawing, matte=pair.matte, points=pair.points)
    return shift(whole, *movement(seed, index)).drawing


def chamfer_of(arm: str, auxiliary: Path | None) -> tuple[ChamferLoss | None, LossWeights]:
    """An arm's loss. Raises ValueError for an unknown arm, or networks that are not given."""
    name, _, weight = arm.partition(":")
    if name not in ARMS:
        raise ValueError(f"arm: expected one of {', '.join(ARMS)}, got {arm!r}")
    weights = LossWeights(chamfer=float(weight or 0.1), chamfer2=float(weight or 0.1))
    if name == "none":
        return None, weights
    if name == "exact":
        return ExactChamfer(), weights
    if auxiliary is None:
        raise ValueError(f"arm {name}: expected --auxiliary, the file that 'python -m train auxiliary' made")
    networks = load_auxiliary(auxiliary).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return NetworkChamfer(networks, differentiable=name == "network+"), weights


def batches(pairs: Pairs, setting: Setting) -> Iterator[Batch]:
    """Drawings moved; then pairs are mirrored at random, else as they are."""
    moved = partial(moved_drawing, pairs, seed=setting.seed)
    change = Changes(strength=0.0, paper=True)
    samples = Samples(pairs, seed=setting.seed, stage=0, change=change, more=distances, drawings=moved)
    for step in range(setting.steps):
        items = [samples[step * setting.batch + i] for i in range(setting.batch)]
        yield Batch.of(torch.utils.data.default_collate(items), torch.device("cpu"))


def train(arm: str, pairs: Pairs, setting: Setting, auxiliary: Path | None) -> tuple[HierarchicalGenerator, float]:
    """The averaged generator, and the CPU seconds of a step."""
    chamfer, weights = chamfer_of(arm, auxiliary)
    torch.manual_seed(setting.seed)
    generator = HierarchicalGenerator(preset("lite", width=setting.width))
    generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average, optimizer = Average(generator, decay=0.98), torch.optim.Adam(generator.parameters(), betas=(0.9, 0.99))
    began = time.process_time()
    for step, batch in enumerate(batches(pairs, setting)):
        done = step / setting.steps
        for group in optimizer.param_groups:
            group["lr"] = setting.lr * min(1, (step + 1) / WARM_UP_STEPS) * (0.5 + 0.5 * np.cos(np.pi * done) + 0.01)
        out = generator(batch.photo, batch.corners, batch.fg)
        maps = batch.more["to_black"], batch.more["to_white"]
        given: dict[str, Any] = {"weights": weights, "chamfer": chamfer, "maps": maps}
        terms = generator_terms(out, batch.drawing, batch.photo, batch.corners, batch.fg, None, **given)
        optimizer.zero_grad()
        terms["G"].backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(generator.parameters(), 50.0)
        optimizer.step()
        average.follow(generator, step + 1)
        if step % 25 == 24:
            told = "  ".join(f"{name} {float(value.detach()):.2f}" for name, value in terms.items())
            print(f"{arm} {step + 1}/{setting.steps}  {told}", flush=True)
    generator.load_state_dict(average.tensors)
    return generator.eval(), (time.process_time() - began) / setting.steps


@torch.inference_mode()
def draw(generator: HierarchicalGenerator, photo: NDArray[np.uint8], points: Any, matte: Any) -> NDArray[np.uint8]:
    """(512, 512) uint8."""
    x = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1
    fg = torch.from_numpy(matte >= 128)[None, None]
    fused: Tensor = generator(x, torch.from_numpy(boxes(points))[None], fg).fused
    return np.asarray(((fused[0, 0] + 1) * 127.5).clamp(0, 255).to(torch.uint8).numpy())


def measure(generator: HierarchicalGenerator, pairs: Pairs, most: int) -> dict[str, float]:
    """Means over up to ``most`` held-out pictures."""
    found: dict[str, list[float]] = {name: [] for name in FIGURES}
    for i in spread(len(pairs), most):
        pair = pairs[i]
        assert pair.drawing is not None
        figures = metrics.report(draw(generator, pair.photo, pair.points, pair.matte), pair.drawing)
        for name in FIGURES:
            found[name].append(min(figures[name], 100.0))
    return {name: float(np.mean(values)) for name, values in found.items()}


def file_of(arm: str, seed: int, work: Path, suffix: str) -> Path:
    """A file of an arm with a seed."""
    return work / f"{arm.replace(':', '-').replace('+', '-both')}-seed{seed}{suffix}"


def picture(arms: Sequence[str], seed: int, work: Path, photos: Sequence[Path]) -> NDArray[np.uint8]:
    """What each arm makes of prepared photos."""
    pairs = open_pairs(photos, drawings=False)
    generators = [checkpoint.load(file_of(arm, seed, work, ".safetensors")) for arm in arms]
    rows = [[p.photo, *(draw(g, p.photo, p.points, p.matte) for g in generators)] for p in pairs]
    return sheet(rows, ("photo", *arms), side=384)


def run_arm(arm: str, args: argparse.Namespace, setting: Setting) -> dict[str, Any]:
    """Train and measure an arm with one seed, or read what an earlier call left."""
    record = file_of(arm, setting.seed, args.work, ".json")
    if record.exists():
        return dict(json.loads(record.read_text(encoding="utf-8")))
    generator, seconds = train(arm, open_pairs(args.train), setting, args.auxiliary)
    checkpoint.save(file_of(arm, setting.seed, args.work, ".safetensors"), generator)
    figures = measure(generator, open_pairs(args.held_out), args.most)
    result = {"arm": arm, "seed": setting.seed, "cpu_s_step": round(seconds, 3), **figures}
    record.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return result


def over_seeds(arms: Sequence[dict[str, Any]], name: str, key: str) -> list[float]:
    """A figure of an arm by its seeds."""
    return [float(one[key]) for one in arms if one["arm"] == name]


def cell(values: Sequence[float], digits: int) -> str:
    """Their mean, and each."""
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ({', '.join(f'{v:.{digits}f}' for v in values)})"


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    here, s = result["machine"], result["setting"]
    lines = [
        f"# The distance-transform loss on drawings that are 2 to 6 px off, {here['date'][:10]}",
        "",
        f"{here['cpu']}, 1 thread; {here['system']}, Python {here['python']}.",
        f"Generator: lite, width {s['width']}; {s['steps']} steps of {s['batch']} pictures; {result['pairs']} pairs "
        f"learnt from, {result['held_out']} held out.",
        "",
        "| loss | ink F1 at 2 px | outline F1 at 1.5 px | chamfer, px | ink coverage, % | CPU s / step |",
        "|---|---|---|---|---|---|",
    ]
    arms = result["arms"]
    for name in dict.fromkeys(one["arm"] for one in arms):
        told = [cell(over_seeds(arms, name, key), n) for key, n in (("ink_f1", 3), ("outline_f1", 3), ("chamfer", 2))]
        told.append(cell([100 * v for v in over_seeds(arms, name, "coverage")], 1))
        told.append(f"{np.mean(over_seeds(arms, name, 'cpu_s_step')):.2f}")
        lines.append(f"| {name} | {' | '.join(told)} |")
    if len({one["seed"] for one in arms}) > 1:
        lines += ["", "Mean over the seeds, and in brackets each."]
    if errors := result["auxiliary"]:
        lines += ["", "The four networks on held-out drawings, against the exact transform, as the loss asks them:", ""]
        lines += ["| " + " | ".join(errors) + " |", "|" + "---|" * len(errors)]
        lines += ["| " + " | ".join(f"{value:.2f}" for value in errors.values()) + " |"]
    return "\n".join(lines) + "\n"


def errors_of(auxiliary: Path | None) -> dict[str, float]:
    """What ``train auxiliary`` measured of its networks, where it did."""
    record = auxiliary.with_name("auxiliary.json") if auxiliary else None
    if record is None or not record.is_file():
        return {}
    return dict(json.loads(record.read_text(encoding="utf-8"))["training"])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dt_loss", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--train", type=Path, nargs="+", required=True, help="prepared pairs or packs")
    parser.add_argument("--held-out", type=Path, nargs="+", required=True, help="prepared pairs of other people")
    parser.add_argument("--work", type=Path, required=True, help="folder for the generators")
    parser.add_argument("--auxiliary", type=Path, help="file of the four networks")
    parser.add_argument("--arms", nargs="+", default=list(ARMS))
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--most", type=int, default=80, help="held-out pictures that are measured")
    parser.add_argument("--show", type=Path, nargs="+", help="prepared photos that all arms draw for the picture")
    parser.add_argument("--out", type=Path, help="write a dated .md and .json, and the picture, into this folder")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    shared = {"width": args.width, "steps": args.steps, "batch": args.batch, "lr": args.lr}
    try:
        sizes = {"pairs": len(open_pairs(args.train)), "held_out": min(args.most, len(open_pairs(args.held_out)))}
        arms = [run_arm(arm, args, Setting(**shared, seed=seed)) for seed in args.seeds for arm in args.arms]
    except (ValueError, OSError) as error:
        print(f"dt_loss: {error}", file=sys.stderr)
        return 2
    result: dict[str, Any] = {"machine": machine.describe(), "setting": shared, **sizes, "arms": arms}
    result["auxiliary"] = errors_of(args.auxiliary)
    print(table(result))
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        stem = args.out / f"dt-loss-{result['machine']['date'][:10]}"
        stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        stem.with_suffix(".md").write_text(table(result), encoding="utf-8")
        if args.show:
            page = picture(args.arms, args.seeds[0], args.work, args.show)
            Image.fromarray(page).save(stem.with_suffix(".png"), optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
