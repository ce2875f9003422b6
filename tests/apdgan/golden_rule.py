"""The closed rules behind ``tests/data/golden``: weights, photo, mask and landmarks that two programs can both make.

The stored numbers are outputs of the authors' own PyTorch code run on these inputs, so agreeing with them is agreeing
with the original. Nothing here reads a file but :func:`shapes` and :func:`stored`.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
TOLERANCE = 1e-4
WIDTHS = (8, 64)
CASES = (0, 1)
MODES = {"eval": "batch", "batchstat": "instance"}
"""Stored mode -> the norm that reproduces it: running statistics, or statistics of the one picture."""

State = dict[str, torch.Tensor]


def shapes(width: int) -> dict[str, dict[str, list[int]]]:
    """Network -> key -> shape of the original's state dicts at a base width."""
    shapes: dict[str, dict[str, list[int]]] = json.loads((GOLDEN / f"gen_ngf{width}_shapes.json").read_text())
    return shapes


def tensor(net: str, key: str, shape: list[int]) -> torch.Tensor:
    """One weight by the rule: noise seeded by its own name, scaled so that activations stay of order one."""
    if key.endswith("num_batches_tracked"):
        return torch.tensor(7)
    seed = zlib.crc32(f"{net}.{key}".encode())
    n = np.random.RandomState(seed).standard_normal(int(np.prod(shape))).reshape(shape)
    if key.endswith("running_mean"):
        n = 0.1 * n
    elif key.endswith("running_var"):
        n = 0.25 + 0.1 * np.abs(n)
    elif key.endswith("bias"):
        n = 0.05 * n
    elif len(shape) == 1:
        n = 1 + 0.1 * n
    else:
        n = n * np.sqrt(2 / (max(shape[0], shape[1]) * shape[2] * shape[3]))
    return torch.from_numpy(n.astype(np.float32))


def weights(width: int) -> dict[str, State]:
    """What ``<epoch>_net_gen.pt`` holds: network -> state dict, every tensor by the rule."""
    return {n: {k: tensor(n, k, s) for k, s in keys.items()} for n, keys in shapes(width).items()}


def photo(case: int) -> NDArray[np.uint8]:
    """(512, 512, 3) uint8 RGB."""
    y, x = np.mgrid[:512, :512].astype(np.float64)
    i, channels = case, []
    for c in range(3):
        wave = np.sin(2 * np.pi * ((3 + i + c) * x + (5 - c) * y) / 512 + 0.7 * c + i)
        channels.append(127.5 + 127.5 * wave * np.cos(2 * np.pi * (2 + c) * x * y / 512**2))
    return np.clip(np.floor(np.stack(channels, axis=-1)), 0, 255).astype(np.uint8)


def mask(case: int) -> NDArray[np.uint8]:
    """(512, 512) uint8, 255 = person: an ellipse, its border included."""
    y, x = np.mgrid[:512, :512].astype(np.float64)
    inside = ((x - (256 + 4 * case)) / (150 + 10 * case)) ** 2 + ((y - 300) / 230) ** 2 <= 1
    return np.where(inside, 255, 0).astype(np.uint8)


def landmarks(case: int) -> NDArray[np.float64]:
    """(5, 2) float64, pixels."""
    i = case
    return np.array(
        [(198 + i, 247 - i), (314 - 2 * i, 247 + 2 * i), (255 + 3 * i, 320 + i), (204 + i, 366), (308, 367 + i)],
        dtype=np.float64,
    )


def stored(width: int, case: int) -> dict[str, NDArray[np.float32]]:
    """The original's maps, ``<mode>/<map>/sub<step>`` -> every step-th row and column; and ``center``."""
    with np.load(GOLDEN / "rule_synth" / f"ngf{width}_c{case}.npz") as file:
        return {key: file[key] for key in file.files}


def meta(width: int, case: int) -> dict[str, dict[str, float] | str]:
    """``<mode>/<map>`` -> mean, std, min, max of the full map; and ``img_sha256`` of the photo."""
    cases = json.loads((GOLDEN / "rule_synth" / "meta.json").read_text())["cases"]
    case_meta: dict[str, dict[str, float] | str] = cases[f"ngf{width}/c{case}"]
    return case_meta
