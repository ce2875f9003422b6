"""Teach a student generator stored drawings: ``python -m train distill DATA.npz ... --out RUN``.

Small on purpose: binary cross-entropy and Dice on every level of the hierarchy (fused, global, each local network on
its own region), AdamW with a cosine, an exponential moving average, time-boxed, resumable. Checkpoints are safetensors
and JSON, written whole or not at all.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from apdgan.alignment import boxes
from apdgan.checkpoint import save
from apdgan.config import preset
from apdgan.generator import GeneratorOutput, HierarchicalGenerator
from apdgan.layers import ShuffleFusion
from apdgan.regions import BACKGROUND, FOREGROUND, PARTS, cut, outside_parts
from train.adversary import Adversary
from train.augment import Sample, augment
from train.dataset import FIVE, load_pairs, mixed_indices


class Pairs(IterableDataset[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int32]]]):
    """Endless augmented samples of stored (photo, drawing, matte, landmarks); a pure function of seed and worker."""

    def __init__(self, *, files: list[Path], seed: int, strength: float) -> None:
        self.files, self.seed, self.strength = files, seed, strength
        self.data = load_pairs(files)

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int32]]]:
        info = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        for i in mixed_indices(rng, len(self.data)):
            pair = self.data[i]
            sample = Sample(photo=pair.photo, drawing=pair.drawing, matte=pair.matte, points=pair.landmarks[list(FIVE)])
            s = augment(rng, sample, strength=self.strength)
            yield s.photo, s.drawing, s.matte, boxes(s.points)


def bce(x: Tensor, ink: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of a map x in [-1, 1] (ink is -1) against ink in 0..1; mean over ``weight``."""
    p = ((1 - x.float()) / 2).clamp(1e-4, 1 - 1e-4)
    loss = F.binary_cross_entropy(p, ink, reduction="none")
    return loss.mean() if weight is None else (loss * weight).sum() / weight.sum().clamp_min(1)


def dice(x: Tensor, ink: Tensor) -> Tensor:
    """1 - Dice overlap of ink, per picture, mean."""
    p = (1 - x.float()) / 2
    both, total = (p * ink).sum((1, 2, 3)), (p * p + ink * ink).sum((1, 2, 3))
    return (1 - (2 * both + 1) / (total + 1)).mean()


def thin(ink: Tensor) -> Tensor:
    """Ink of strokes narrower than about 5 px: what is left of it without its solid masses. (B, 1, H, W) 0..1."""
    solid = F.max_pool2d(-F.max_pool2d(-ink, 5, 1, 2), 9, 1, 4)
    return ink * (1 - solid)


def losses(out: GeneratorOutput, ink: Tensor, corners: Tensor, fg: Tensor) -> dict[str, Tensor]:
    """Named, weighted terms. ink (B, 1, 512, 512) float 0..1."""
    inside = outside_parts(corners, ink) * fg
    # Thin lines are few: pixels on or beside ink count more than open paper, and the lines themselves more than what is
    # beside them, because a line that could lie a pixel to either side would else not be drawn at all.
    near = 1 + 2 * F.max_pool2d(ink, 7, 1, 3) + 2 * thin(ink)
    terms = {
        "fused": bce(out.fused, ink, near),
        "dice": 0.5 * dice(out.fused, ink),
        "global": 0.4 * bce(out.global_, ink, near),
        "foreground": 0.4 * bce(out.raw[FOREGROUND], ink, inside * near),
        "background": 0.1 * bce(out.raw[BACKGROUND], ink, (1 - fg.float()) * near),
    }
    for region in PARTS:
        target = cut(ink, corners, region)
        terms[region.name] = 0.15 * (bce(out.raw[region.name], target) + 0.5 * dice(out.raw[region.name], target))
        fused = cut(out.fused, corners, region)
        terms["parts"] = terms.get("parts", torch.zeros(())) + 0.1 * bce(fused, target)
    return terms


def train(
    *,
    files: list[Path],
    out: Path,
    name: str,
    norm: str,
    width: int | None,
    minutes: float,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    strength: float,
    start: Path | None,
    threads: int,
    sharpen: tuple[float, float] = (3.0, 0.15),
    adversary: float = 0.0,
) -> None:
    """Train until ``minutes`` or ``steps`` are over; resumes from ``out`` if it holds a run.

    The saved student's last step is steepened and lightened by ``sharpen``: cross-entropy leaves its doubt grey, a pen
    has none, and weighing lines more than paper draws them a little wide.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    model = HierarchicalGenerator(preset(name, norm=norm, width=width))
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if start is not None:
        model.load_state_dict(load_file(start))
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.99), weight_decay=1e-3)
    judge = Adversary() if adversary else None
    step, spent = _resume(out, model, average, optimizer)

    data = Pairs(files=files, seed=seed + step, strength=strength)
    loader = DataLoader(data, batch_size=batch, num_workers=1, prefetch_factor=4)
    began = time.monotonic() - spent
    saved = time.monotonic()
    running: dict[str, float] = {}
    for photo, drawing, matte, corners in loader:
        used = (time.monotonic() - began) / 60
        progress = max(step / steps if steps else 0.0, used / minutes)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * progress) + 0.005)
        x = photo.permute(0, 3, 1, 2).float().div_(127.5).sub_(1).contiguous(memory_format=torch.channels_last)
        ink, fg = 1 - drawing.unsqueeze(1).float() / 255, matte.unsqueeze(1) >= 128
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = model(x, corners, fg)
        if not torch.isfinite(result.fused).all():
            raise SystemExit(f"step {step}: the drawing is not finite; the last good checkpoint is in {out}")
        terms = losses(result, ink, corners, fg)
        if judge is not None:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                terms["adversary"] = adversary * judge.judge(x, result.fused, 1 - 2 * ink)
        loss = torch.stack(list(terms.values())).sum()
        if not torch.isfinite(loss):
            raise SystemExit(f"step {step}: the loss is not finite; the last good checkpoint is in {out}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        decay = min(0.998, step / (step + 20))
        with torch.no_grad():
            for key, value in model.state_dict().items():
                if value.is_floating_point():
                    average[key].lerp_(value, 1 - decay)
                else:
                    average[key].copy_(value)
        for key, value in terms.items():
            running[key] = running.get(key, 0.0) * 0.98 + float(value.detach()) * 0.02
        if step % 50 == 0:
            line = {"step": step, "minutes": round(used, 2), "loss": round(sum(running.values()), 4)}
            line |= {k: round(v, 4) for k, v in running.items()}
            with (out / "log.jsonl").open("a") as log:
                print(json.dumps(line), file=log)
        if time.monotonic() - saved > 120:
            _checkpoint(out, model, average, optimizer, step, time.monotonic() - began, sharpen)
            saved = time.monotonic()
    _checkpoint(out, model, average, optimizer, step, time.monotonic() - began, sharpen)


def _checkpoint(
    out: Path,
    model: HierarchicalGenerator,
    average: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    step: int,
    spent: float,
    sharpen: tuple[float, float],
) -> None:
    tensors = {f"model.{k}": v.contiguous() for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v.contiguous() for k, v in average.items()}
    for i, state in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{i}.{k}": torch.as_tensor(v).contiguous() for k, v in state.items()}
    part = out / "state.part"
    save_file(tensors, part, metadata={"step": str(step), "spent_s": str(spent)})
    part.replace(out / "state.safetensors")
    student = HierarchicalGenerator(model.config)
    student.load_state_dict(average)
    if isinstance(student.GCombine, ShuffleFusion):
        student.GCombine.sharpen(*sharpen)
    save(out / "student.safetensors", student, {"step": str(step)})


def _resume(
    out: Path, model: HierarchicalGenerator, average: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    path = out / "state.safetensors"
    if not path.exists():
        return 0, 0.0
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        meta = file.metadata()
    tensors = load_file(path)
    model.load_state_dict({k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    for key in average:
        average[key].copy_(tensors[f"average.{key}"])
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("adam."):
            _, index, field = key.split(".")
            state.setdefault(int(index), {})[field] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return int(meta["step"]), float(meta["spent_s"])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m train distill``."""
    parser.add_argument("data", nargs="+", type=Path, help="files made by 'train synthesize'")
    parser.add_argument("--out", type=Path, required=True, help="run folder; a run found there goes on")
    parser.add_argument("--preset", default="lite")
    parser.add_argument("--norm", default="batch", choices=("batch", "instance"))
    parser.add_argument("--width", type=int, help="base width (default: the preset's)")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--steps", type=int, default=0, help="0: by minutes alone")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--strength", type=float, default=0.85, help="share of samples with photometric augmentation")
    parser.add_argument("--start", type=Path, help="checkpoint whose weights to start from")
    parser.add_argument(
        "--sharpen",
        type=float,
        nargs=2,
        default=(3.0, 0.15),
        metavar=("GAIN", "LIGHTEN"),
        help="steepness of the saved student's last step, and how far it leans to paper",
    )
    parser.add_argument("--adversary", type=float, default=0.0, help="weight of the PatchGAN term; 0: none")
    parser.add_argument("--threads", type=int, default=2)


def main(args: argparse.Namespace) -> int:
    """Run from parsed options."""
    train(
        files=args.data,
        out=args.out,
        name=args.preset,
        norm=args.norm,
        width=args.width,
        minutes=args.minutes,
        steps=args.steps,
        batch=args.batch,
        lr=args.lr,
        seed=args.seed,
        strength=args.strength,
        start=args.start,
        threads=args.threads,
        sharpen=(args.sharpen[0], args.sharpen[1]),
        adversary=args.adversary,
    )
    return 0
