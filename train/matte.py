"""Teach the person matte: ``python -m train.matte --data portraits.npz --out matte.safetensors``.

The data file, made by :mod:`train.matte_data`, holds portraits on plain walls with a segmentation teacher's mattes:
``photo`` (N, 384, 384, 3) uint8 RGB, ``matte`` and ``inside`` (N, 384, 384) uint8 (person; where the picture has
pixels), ``oval`` (N, 36, 2) float32 px (outline of the face). The middle 256 x 256 is the aligned square at half size.
Every training picture is made anew from them by :mod:`train.matte_scenes`.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from apdgan.matte import MatteNet
from train.matte_people import Person, people
from train.matte_scenes import scene

HELD_OUT = 40
"""Portraits kept back, spread over the set, for choosing between checkpoints; of a small set, a quarter."""


class Scenes(IterableDataset[tuple[Tensor, Tensor]]):
    """An endless stream of batches: photo (B, 3, 256, 256) float32 0..255, matte (B, 1, 256, 256) float32 0..1."""

    def __init__(self, *, persons: list[Person], batch: int, seed: int) -> None:
        self.persons, self.batch, self.seed = persons, batch, seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        info = get_worker_info()
        rng = np.random.default_rng([self.seed, info.id if info else 0])
        while True:
            yield collate([scene(self.persons, rng) for _ in range(self.batch)])


def collate(scenes: list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> tuple[Tensor, Tensor]:
    """Pictures of :func:`train.matte_scenes.scene` -> the tensors of one batch."""
    photos = torch.from_numpy(np.stack([s[0] for s in scenes])).permute(0, 3, 1, 2).float()
    mattes = torch.from_numpy(np.stack([s[1] for s in scenes]))[:, None].float() / 255
    return photos.contiguous(memory_format=torch.channels_last), mattes


def loss_terms(logits: Tensor, matte: Tensor) -> dict[str, Tensor]:
    """Named loss terms of a batch.

    Args:
        logits: (B, 1, 128, 128) float32. matte: (B, 1, 256, 256) float32 0..1, the truth.
    Returns:
        ``bce`` (weighted towards the edge) and ``iou`` (1 - soft intersection over union, a picture at a time).
    """
    # Compared where the network decides: at twice the side, the loss costs as much as the network.
    truth = F.interpolate(matte, size=logits.shape[-2:], mode="area")
    around = F.avg_pool2d(F.avg_pool2d(truth, 4), 3, 1, 1, count_include_pad=False)
    around = F.interpolate(around, size=logits.shape[-2:], mode="bilinear", align_corners=False)
    weight = 1 + 3 * (4 * around * (1 - around))
    bce = (F.binary_cross_entropy_with_logits(logits, truth, reduction="none") * weight).mean()
    soft = torch.sigmoid(logits)
    both = (soft * truth).sum((1, 2, 3))
    either = (soft + truth - soft * truth).sum((1, 2, 3))
    return {"bce": bce, "iou": (1 - (both + 1) / (either + 1)).mean()}


def replayed(stream: Iterable[tuple[Tensor, Tensor]], seed: int, keep: int = 64) -> Iterator[tuple[Tensor, Tensor]]:
    """Every batch, then two older ones mixed and mirrored: making scenes costs more than learning from them."""
    rng = np.random.default_rng(seed)
    old: list[tuple[Tensor, Tensor]] = []
    for photo, matte in stream:
        yield photo, matte
        if len(old) >= 8:
            first, second = (old[int(i)] for i in rng.choice(len(old), 2, replace=False))
            half = len(photo) // 2
            yield tuple(torch.cat([a[:half], b[half:]]).flip(3) for a, b in zip(first, second, strict=True))  # type: ignore[misc]
        old.append((photo, matte))
        if len(old) > keep:
            old.pop(int(rng.integers(len(old))))


@torch.no_grad()
def iou(net: MatteNet, batches: list[tuple[Tensor, Tensor]]) -> NDArray[np.float64]:
    """Intersection over union at one half, one figure a picture."""
    net.eval()
    scores = []
    for photo, matte in batches:
        full = F.interpolate(net.logits(photo), size=matte.shape[-2:], mode="bilinear", align_corners=False)
        got, want = full > 0, matte >= 0.5
        scores.append(((got & want).sum((1, 2, 3)) / (got | want).sum((1, 2, 3)).clamp(min=1)).double().numpy())
    return np.concatenate(scores)


@torch.no_grad()
def _average(mean: MatteNet, net: MatteNet, decay: float) -> None:
    """Follow the network's weights and statistics with an exponential moving average."""
    for old, new in zip(mean.state_dict().values(), net.state_dict().values(), strict=True):
        if old.dtype.is_floating_point:
            old.lerp_(new, 1 - decay)
        else:
            old.copy_(new)


def save(net: MatteNet, path: Path, facts: dict[str, object]) -> None:
    """Write the weights as safetensors with ``facts`` beside them as JSON metadata."""
    tensors = {name: value.contiguous() for name, value in net.state_dict().items()}
    save_file(tensors, path, metadata={"facts": json.dumps(facts)})


def _split(data: Path) -> tuple[list[Person], list[Person]]:
    """Portraits to learn from, and those held out."""
    with np.load(data) as arrays:
        persons = people(arrays["photo"], arrays["matte"], arrays["inside"], arrays["oval"])
    held = set(np.linspace(0, len(persons) - 1, min(HELD_OUT, len(persons) // 4)).astype(int).tolist())
    return [p for i, p in enumerate(persons) if i not in held], [p for i, p in enumerate(persons) if i in held]


def _step(net: MatteNet, optimiser: torch.optim.Optimizer, photo: Tensor, matte: Tensor) -> dict[str, float]:
    """One step of gradient descent; returns the loss terms."""
    net.train()
    terms = loss_terms(net.logits(photo), matte)
    optimiser.zero_grad(set_to_none=True)
    torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
    optimiser.step()
    return {name: value.item() for name, value in terms.items()}


def train(
    *,
    data: Path,
    out: Path,
    start: Path | None = None,
    minutes: float = 25,
    steps: int | None = None,
    checks: int = 240,
    batch: int = 16,
    rate: float = 3e-3,
    seed: int = 1,
    workers: int = 1,
) -> float:
    """Train, from the weights ``start`` if given, and keep the averaged weights that score best on held-out portraits.

    The schedule lasts ``minutes``, or exactly ``steps``, which repeats. ``checks`` scenes are scored ten times.

    Returns:
        The mean IoU on the held-out scenes.
    """
    torch.manual_seed(seed)
    cv2.setNumThreads(0)  # before the first call: a pool of threads does not survive the fork of the scene makers
    seen, kept = _split(data)
    rng = np.random.default_rng(7)
    check = [collate([scene(kept, rng) for _ in range(min(20, checks))]) for _ in range(0, checks, 20)]
    net = MatteNet()
    if start:
        net.load_state_dict(load_file(start))
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-2)
    stream = DataLoader(Scenes(persons=seen, batch=batch, seed=seed), batch_size=None, num_workers=workers)
    began, best, next_check = time.monotonic(), 0.0, 0.1
    for step, (photo, matte) in enumerate(replayed(stream, seed), 1):
        passed = (time.monotonic() - began) / 60
        done = min(1.0, step / steps if steps else passed / minutes)
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, step / 100) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        terms = _step(net, optimiser, photo, matte)
        _average(mean, net, min(0.998, step / (step + 10)))
        if done < next_check:
            continue
        next_check = min(1.0, done + 0.1)
        score = iou(mean, check)
        said = "  ".join(f"{name} {value:.3f}" for name, value in terms.items())
        print(
            f"{passed:5.1f} min  step {step}  {said}  held-out IoU {score.mean():.4f}, worst {score.min():.4f}",
            flush=True,
        )
        if score.mean() > best:
            best = float(score.mean())
            save(mean, out, {"seed": seed, "minutes": passed, "step": step, "batch": batch, "held_out_iou": best})
        if done >= 1:
            return best
    raise AssertionError("the stream of scenes is endless")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m train.matte", description="Teach the person matte.")
    parser.add_argument("--data", type=Path, required=True, help="portraits.npz, described at the top of this file")
    parser.add_argument("--out", type=Path, required=True, help="weights to write, .safetensors")
    parser.add_argument("--start", type=Path, help="weights to go on from, .safetensors")
    parser.add_argument("--minutes", type=float, default=25, help="length of the cosine schedule")
    parser.add_argument("--steps", type=int, help="length in steps instead, which repeats exactly")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that make scenes")
    options = parser.parse_args(argv)
    for name, path in (("--data", options.data), ("--start", options.start)):
        if path and not path.is_file():
            parser.error(f"{name}: expected a file, got {path}, which is not one; see --help")
    if not options.out.parent.is_dir():
        parser.error(f"--out: expected a file in a folder that exists, got {options.out}; make the folder first")
    torch.set_num_threads(1)
    best = train(
        data=options.data,
        out=options.out,
        start=options.start,
        minutes=options.minutes,
        steps=options.steps,
        batch=options.batch,
        rate=options.rate,
        seed=options.seed,
        workers=options.workers,
    )
    print(f"wrote {options.out}: held-out IoU {best:.4f}")


if __name__ == "__main__":
    main()
