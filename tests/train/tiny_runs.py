"""Pairs and settings small enough to train in a test."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from apdgan.alignment import TEMPLATE

TINY = """
[run]
batch = 1
threads = 1
workers = 0
ema = 0.9
[model]
preset = "lite"
width = 8
[data]
train = ["{data}"]
strength = 0.0
"""
"""Settings of a run of a second; more is added behind it."""


def write_pairs(folder: Path, count: int = 2, *, plain: bool = False) -> Path:
    """A prepared folder in the paper's layout: dark shapes on a light photo, black in the drawing. Returns it.

    ``plain``: fewer and larger shapes on a smooth photo, quick to learn.
    """
    for name in ("data/train", "landmark/ALL", "mask/ALL"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    matte = cv2.ellipse(np.zeros((512, 512), np.uint8), (256, 300), (170, 240), 0, 0, 360, 255, -1)
    for i in range(count):
        rng = np.random.default_rng(i)
        # Noise everywhere: on a part without any texture, batch norm would enlarge nothing but rounding.
        side, shapes, high, wide = (16, 25, 24, 60) if plain else (512, 60, 12, 40)
        photo = rng.integers(160, 235, (side, side, 3)).astype(np.uint8)
        photo = cv2.resize(photo, (512, 512), interpolation=cv2.INTER_LINEAR)
        drawing = np.full((512, 512, 3), 255, np.uint8)
        for _ in range(shapes):
            x, y = (int(v) for v in rng.integers(0, 450, 2))
            photo[y : y + high, x : x + wide] = rng.integers(0, 40, (high, wide, 1))
            drawing[y : y + high, x : x + wide] = 0
        cv2.imwrite(str(folder / "data" / "train" / f"p{i}.png"), np.hstack([photo, drawing]))
        cv2.imwrite(str(folder / "mask" / "ALL" / f"p{i}.png"), matte)
        lines = [f"{round(x)} {round(y)}" for x, y in TEMPLATE]
        (folder / "landmark" / "ALL" / f"p{i}.txt").write_text("\n".join(lines) + "\n")
    return folder


def write_run(path: Path, data: Path, more: str = "") -> Path:
    """A run's file: :data:`TINY` and what is said besides. Returns it."""
    path.write_text(TINY.format(data=data.as_posix()) + more, encoding="utf-8")
    return path
