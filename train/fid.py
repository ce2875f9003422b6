"""FID: the distance between two sets of pictures (Heusel et al., NeurIPS 2017), when Inception weights are at hand.

The features are the 2048 values after the last average pool of InceptionV3, in the layout and with the weights of
torchvision's ``inception_v3`` (a state dict, ``.pth`` or ``.safetensors``; its classifier heads are not read). The
original FID runs TensorFlow's Inception of 2015, another network with another resize: figures do not compare with
published ones, only with each other. They also fall as pictures are added: compare sets of one size only.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from train.lpips import as_input

FEATURES = 2048
SIDE = 299

Kernel = int | tuple[int, int]
Step = tuple[str, int, Kernel] | tuple[str, int, Kernel, int]
"""Name, output channels, kernel, and where it is not 1 the stride. A kernel is padded to keep the size at stride 1."""

_STEM: tuple[Step | None, ...] = (
    ("Conv2d_1a_3x3", 32, 3, 2),
    ("Conv2d_2a_3x3", 32, -3),
    ("Conv2d_2b_3x3", 64, 3),
    None,
    ("Conv2d_3b_1x1", 80, 1),
    ("Conv2d_4a_3x3", 192, -3),
    None,
)
"""None: max-pool. A negative kernel is not padded."""


def _a(pool: int) -> list[list[Step]]:
    return [
        [("branch1x1", 64, 1)],
        [("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)],
        [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3)],
        [("branch_pool", pool, 1)],
    ]


def _c(width: int) -> list[list[Step]]:
    row, column, w = (1, 7), (7, 1), width
    kernels: list[tuple[int, Kernel]] = [(w, 1), (w, column), (w, row), (w, column), (192, row)]
    return [
        [("branch1x1", 192, 1)],
        [("branch7x7_1", w, 1), ("branch7x7_2", w, row), ("branch7x7_3", 192, column)],
        [(f"branch7x7dbl_{i}", out, kernel) for i, (out, kernel) in enumerate(kernels, 1)],
        [("branch_pool", 192, 1)],
    ]


_B: list[list[Step]] = [
    [("branch3x3", 384, 3, 2)],
    [("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3), ("branch3x3dbl_3", 96, 3, 2)],
]
_D: list[list[Step]] = [
    [("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2)],
    [
        ("branch7x7x3_1", 192, 1),
        ("branch7x7x3_2", 192, (1, 7)),
        ("branch7x7x3_3", 192, (7, 1)),
        ("branch7x7x3_4", 192, 3, 2),
    ],
]
_E: list[list[Step]] = [
    [("branch1x1", 320, 1)],
    [("branch3x3_1", 384, 1), ("branch3x3_2a", 384, (1, 3)), ("branch3x3_2b", 384, (3, 1))],
    [
        ("branch3x3dbl_1", 448, 1),
        ("branch3x3dbl_2", 384, 3),
        ("branch3x3dbl_3a", 384, (1, 3)),
        ("branch3x3dbl_3b", 384, (3, 1)),
    ],
    [("branch_pool", 192, 1)],
]
"""A name that ends in a and one that ends in b are two ends of one branch, put side by side."""

_BLOCKS: tuple[tuple[str, list[list[Step]]], ...] = (
    ("Mixed_5b", _a(32)),
    ("Mixed_5c", _a(64)),
    ("Mixed_5d", _a(64)),
    ("Mixed_6a", _B),
    ("Mixed_6b", _c(128)),
    ("Mixed_6c", _c(160)),
    ("Mixed_6d", _c(160)),
    ("Mixed_6e", _c(192)),
    ("Mixed_7a", _D),
    ("Mixed_7b", _E),
    ("Mixed_7c", _E),
)


class _ConvNorm(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: Kernel, stride: int) -> None:
        super().__init__()
        padded = isinstance(kernel, tuple) or (kernel > 0 and stride == 1)
        size = kernel if isinstance(kernel, tuple) else (abs(kernel), abs(kernel))
        padding = (size[0] // 2, size[1] // 2) if padded else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, size, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


def _conv(inputs: int, step: Step) -> _ConvNorm:
    return _ConvNorm(inputs, step[1], step[2], step[3] if len(step) == 4 else 1)


class _Mixed(nn.Module):
    """Branches over one input, put side by side."""

    def __init__(self, inputs: int, branches: Sequence[Sequence[Step]]) -> None:
        super().__init__()
        self.names = [[step[0] for step in branch] for branch in branches]
        self.reduces = any(len(step) == 4 for branch in branches for step in branch)
        self.outputs = inputs if self.reduces else 0
        for branch in branches:
            width = inputs
            for step in branch:
                self.add_module(step[0], _conv(width, step))
                width = width if step[0][-1] == "a" else step[1]
            self.outputs += width * (2 if branch[-1][0][-1] == "b" else 1)

    def forward(self, x: Tensor) -> Tensor:
        found = []
        for names in self.names:
            y = F.avg_pool2d(x, 3, 1, 1) if names[0] == "branch_pool" else x
            ends = []
            for name in names:
                z = self.get_submodule(name)(y)
                if name[-1] in "ab":
                    ends.append(z)
                else:
                    y = z
            found += ends or [y]
        return torch.cat(found + [F.max_pool2d(x, 3, 2)] * self.reduces, 1)


class InceptionFeatures(nn.Module):
    """Pictures to the 2048 features that FID compares; keys as in torchvision's state dict, the heads left out."""

    def __init__(self) -> None:
        super().__init__()
        width = 3
        for step in _STEM:
            if step is not None:
                self.add_module(step[0], _conv(width, step))
                width = step[1]
        for name, branches in _BLOCKS:
            block = _Mixed(width, branches)
            self.add_module(name, block)
            width = block.outputs
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 2048) float of (B, 3 or 1, H, W) float in [-1, 1], which is resized to 299 px (bilinear, smoothed)."""
        x = x.expand(-1, 3, -1, -1)
        if x.shape[2:] != (SIDE, SIDE):
            x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        for step in _STEM:
            x = F.max_pool2d(x, 3, 2) if step is None else self.get_submodule(step[0])(x)
        for name, _ in _BLOCKS:
            x = self.get_submodule(name)(x)
        return x.mean((2, 3))


def load_inception(path: Path) -> InceptionFeatures:
    """Read torchvision's ``inception_v3`` state dict, ``.pth`` (nothing in it is run) or ``.safetensors``.

    Raises:
        ValueError: the file is missing, damaged or of another network; names the first tensor that does not fit.
    """
    wanted = "expected the state dict of torchvision's inception_v3"
    try:
        state = _read(path)
    except (OSError, ValueError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise ValueError(f"{path}: {wanted}, got {str(error).splitlines()[0]}") from None
    module = InceptionFeatures()
    for key, own in module.state_dict().items():
        got = state.get(key)
        if isinstance(got, Tensor) and got.shape == own.shape:
            own.copy_(got)
        elif not key.endswith("num_batches_tracked"):
            shape = tuple(got.shape) if isinstance(got, Tensor) else "no such tensor"
            raise ValueError(f"{path}: {wanted} with {key} {tuple(own.shape)}, got {shape}")
    return module.eval()


def drawing_features(path: Path) -> Callable[[NDArray[np.uint8]], NDArray[np.float64]]:
    """Features (2048,) of drawings, uint8 (H, W). Raises ValueError as :func:`load_inception`."""
    network = load_inception(path)

    def features(drawing: NDArray[np.uint8]) -> NDArray[np.float64]:
        with torch.inference_mode():
            return np.asarray(network(as_input(drawing))[0].numpy(), np.float64)

    return features


def _read(path: Path) -> Mapping[str, Any]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load

        state: Any = load(path.read_bytes())
    else:
        with path.open("rb") as file:
            state = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(state, Mapping):
        raise ValueError(f"a {type(state).__name__}")
    return state


def frechet(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Squared Frechet distance of the Gaussians fitted to two sets of features, (N, D) and (M, D) float.

    The trace of the root of the product of both covariances is found as the sum of the singular values of the product
    of the centred sets, which needs no D x D root and is exact also for fewer pictures than features.

    Raises:
        ValueError: a set has fewer than two pictures, or the sets differ in D.
    """
    if min(len(a), len(b)) < 2 or a.shape[1] != b.shape[1]:
        raise ValueError(f"FID: expected two or more pictures on both sides, got features {a.shape} and {b.shape}")
    (mean_a, root_a), (mean_b, root_b) = _moments(a), _moments(b)
    cross = float(np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum())
    return float(((mean_a - mean_b) ** 2).sum() + (root_a**2).sum() + (root_b**2).sum() - 2 * cross)


def _moments(features: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (D,), and R (at most D rows, D) whose R^T R is the covariance."""
    x = np.asarray(features, np.float64)
    mean = x.mean(0)
    root = (x - mean) / np.sqrt(len(x) - 1)
    return mean, np.asarray(np.linalg.qr(root, mode="r") if len(root) > root.shape[1] else root)
