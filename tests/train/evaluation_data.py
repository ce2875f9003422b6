"""Small prepared data and models for the tests of evaluate, sheets and reports."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from apdgan.alignment import TEMPLATE
from apdgan.checkpoint import save
from apdgan.config import preset
from apdgan.generator import HierarchicalGenerator
from train.dataset import FIVE


def page(i: int) -> np.ndarray:
    """A drawing (512, 512): circle, lines, a solid patch."""
    out = np.full((512, 512), 255, np.uint8)
    cv2.circle(out, (256, 250 + 10 * i), 120, (0,), 3)
    cv2.line(out, (100, 400 + i), (400, 440), (0,), 2)
    out[60:120, 180 + 20 * i : 330] = 0
    return out


def write_pairs(path: Path, names: list[str], *, drawings: bool = True) -> Path:
    mesh = np.zeros((len(names), 478, 2), np.float32)
    mesh[:, list(FIVE)] = TEMPLATE
    pages = np.stack([page(i) for i in range(len(names))])
    arrays = {
        "photo": np.repeat(pages[..., None] // 2 + 60, 3, axis=3).astype(np.uint8),
        "matte": np.full((len(names), 512, 512), 255, np.uint8),
        "landmarks": mesh,
        "name": np.array(names),
    }
    np.savez(path, **arrays, **({"drawing": pages} if drawings else {}))
    return path


def write_drawings(folder: Path, names: list[str], *, shift: int = 0) -> Path:
    """The drawings of :func:`write_pairs`, moved ``shift`` px to the right."""
    folder.mkdir()
    for i, name in enumerate(names):
        cv2.imwrite(str(folder / f"{name}.png"), np.roll(page(i), shift, axis=1))
    return folder


def write_model(path: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    save(path, HierarchicalGenerator(preset("lite", width=8)))
    return path
