"""Teach the person matte: ``python -m train.matte --data portraits.npz --out matte.safetensors``.

The data file holds portraits of one person each on plain walls, with a segmentation teacher's mattes:
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
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from apdgan.matte import MatteNet
from train.matte_people import Person, people
from train.matte_scenes import scene

HELD_OUT = 40
"""Portraits kept back, spread over the set, for choosing between checkpoints."""


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
    full = F.interpolate(logits, size=matte.shape[-2:], mode="bilinear", align_corners=False)
    local = F.avg_pool2d(matte, 15, 1, 7, count_include_pad=False)
    weight = 1 + 3 * (4 * local * (1 - local))
    bce = (F.binary_cross_entropy_with_logits(full, matte, reduction="none") * weight).mean()
    soft = torch.sigmoid(full)
    both = (soft * matte).sum((1, 2, 3))
    either = (soft + matte - soft * matte).sum((1, 2, 3))
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


def train(*, data: Path, out: Path, minutes: float, batch: int, rate: float, seed: int, workers: int) -> float:
    """Train for ``minutes`` and keep the averaged weights that score best on the held-out portraits.

    Returns:
        The mean IoU on the held-out scenes.
    """
    torch.manual_seed(seed)
    cv2.setNumThreads(0)  # before the first call: a pool of threads does not survive the fork of the scene makers
    with np.load(data) as arrays:
        persons = people(arrays["photo"], arrays["matte"], arrays["inside"], arrays["oval"])
    held = set(np.linspace(0, len(persons) - 1, HELD_OUT).astype(int).tolist())
    seen = [p for i, p in enumerate(persons) if i not in held]
    kept = [p for i, p in enumerate(persons) if i in held]
    rng = np.random.default_rng(7)
    check = [collate([scene(kept, rng) for _ in range(20)]) for _ in range(12)]

    net = MatteNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = copy.deepcopy(net)
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-2)
    stream = DataLoader(Scenes(persons=seen, batch=batch, seed=seed), batch_size=None, num_workers=workers)
    start, best, next_check, totals = time.monotonic(), 0.0, 0.1, dict[str, float]()
    for step, (photo, matte) in enumerate(replayed(stream, seed), 1):
        done = (time.monotonic() - start) / (minutes * 60)
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, step / 100) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1))))
        net.train()
        terms = loss_terms(net.logits(photo), matte)
        loss = terms["bce"] + terms["iou"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
        optimiser.step()
        _average(mean, net, min(0.998, step / (step + 10)))
        for name, value in terms.items():
            totals[name] = 0.98 * totals.get(name, value.item()) + 0.02 * value.item()
        if done >= next_check:
            next_check = min(done + 0.1, 1.0) if done < 1 else 2.0
            score = iou(mean, check)
            print(
                f"{done * minutes:5.1f} min  step {step}  "
                + "  ".join(f"{k} {v:.4f}" for k, v in totals.items())
                + f"  held-out IoU {score.mean():.4f}, worst {score.min():.4f}",
                flush=True,
            )
            if score.mean() > best:
                best = float(score.mean())
                save(mean, out, {"seed": seed, "minutes": minutes, "step": step, "batch": batch, "held_out_iou": best})
        if done >= 1:
            return best
    raise AssertionError("the stream of scenes is endless")


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m train.matte", description="Teach the person matte.")
    parser.add_argument("--data", type=Path, required=True, help="portraits.npz, described at the top of this file")
    parser.add_argument("--out", type=Path, required=True, help="weights to write, .safetensors")
    parser.add_argument("--minutes", type=float, default=22, help="length of the cosine schedule")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that make scenes")
    options = parser.parse_args(argv)
    if not options.data.is_file():
        parser.error(f"--data: expected an .npz file of portraits, got {options.data}, which is not a file")
    torch.set_num_threads(1)
    best = train(
        data=options.data,
        out=options.out,
        minutes=options.minutes,
        batch=options.batch,
        rate=options.rate,
        seed=options.seed,
        workers=options.workers,
    )
    print(f"wrote {options.out}: held-out IoU {best:.4f}")


if __name__ == "__main__":
    main()
