"""The stored two optimiser steps of the original's training: their inputs by closed rules, and their numbers."""

from __future__ import annotations

import json
from typing import TypeVar

import golden_rule as rule
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from apdgan import alignment
from apdgan.auxiliary import AuxiliaryNetworks
from apdgan.config import preset
from apdgan.discriminator import HierarchicalDiscriminator
from apdgan.generator import HierarchicalGenerator

M = TypeVar("M", bound=nn.Module)
WIDTH = 8
"""Base width of all networks, the four auxiliary ones too."""


def losses(step: int) -> dict[str, float]:
    """Term -> the original's value, weighted as it logs it."""
    stored: dict[str, float] = json.loads((rule.GOLDEN / "train_losses.json").read_text())[f"step{step}"]
    return stored


def distances() -> dict[str, NDArray[np.float32]]:
    """dt1gt and dt2gt (2, 1, 128, 128), every fourth row and column; and the box centres (2, 4, 2)."""
    with np.load(rule.GOLDEN / "train_losses_dt.npz", allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def shapes(name: str) -> dict[str, list[int]]:
    """Key -> shape of one network of the original, ``D`` or ``aux_unet512``, at width 64."""
    stored: dict[str, list[int]] = json.loads((rule.GOLDEN / f"{name}_shapes.json").read_text())
    return stored


def drawing(case: int) -> NDArray[np.uint8]:
    """(512, 512) uint8: a ring, a hatching above it, a bar."""
    y, x = np.mgrid[:512, :512].astype(np.float64)
    out = np.full((512, 512), 255, np.uint8)
    out[np.abs(np.hypot(x - 256, y - 300) - (140 + 20 * case)) < 3] = 0
    out[(np.abs(np.sin((x + 2 * y) / (23 + case))) < 0.08) & (y < 200)] = 0
    out[360:372, 220:290] = 0
    return out


def batch() -> dict[str, Tensor]:
    """Both cases: photo (2, 3, 512, 512), drawing (2, 1, 512, 512), boxes (2, 4, 2), fg (2, 1, 512, 512) bool."""

    def normal(pictures: list[NDArray[np.uint8]]) -> Tensor:
        return (torch.from_numpy(np.stack(pictures)) / 255 - 0.5) / 0.5

    return {
        "photo": normal([rule.photo(i) for i in rule.CASES]).permute(0, 3, 1, 2),
        "drawing": normal([drawing(i) for i in rule.CASES])[:, None],
        "boxes": torch.from_numpy(np.stack([alignment.boxes(rule.landmarks(i)) for i in rule.CASES])),
        "fg": torch.from_numpy(np.stack([rule.mask(i) >= 128 for i in rule.CASES]))[:, None],
    }


def by_rule(module: M) -> M:
    """Every weight by the rule, dropout silenced, training mode."""
    state = {key: rule.tensor(*key.split(".", 1), list(value.shape)) for key, value in module.state_dict().items()}
    module.load_state_dict(state)
    for child in module.modules():
        if isinstance(child, nn.Dropout):
            child.p = 0.0
    return module.train()


def generator() -> HierarchicalGenerator:
    return by_rule(HierarchicalGenerator(preset("paper", width=WIDTH, norm="batch")))


def discriminator() -> HierarchicalDiscriminator:
    return by_rule(HierarchicalDiscriminator(width=WIDTH))


def auxiliary() -> AuxiliaryNetworks:
    return by_rule(AuxiliaryNetworks(width=WIDTH))
