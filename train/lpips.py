"""LPIPS: how different two pictures look to a network that learned to see (Zhang et al., CVPR 2018).

Features of AlexNet or VGG16 after five of its ReLUs are scaled to length 1 at every pixel; their squared differences
are weighed by channel, averaged over the picture and summed over the five. The network is frozen, but the distance can
be differentiated by the pictures, so the same module serves as metric (``alex``) and as perceptual loss (``vgg``).

Weights come as one ``.npz``: ``conv<i>.weight`` (O, I, k, k), ``conv<i>.bias`` (O,) for every convolution in order, and
``lin<j>`` (C,), the channel weights of tap j; any float type.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

Network = Literal["alex", "vgg"]

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""Pictures in [-1, 1] become (x - SHIFT) / SCALE, per colour."""
SMALLEST_SIDE = 32
"""Pixels; a smaller picture would be pooled away."""
_TINY = 1e-10


class _Conv(NamedTuple):
    inputs: int
    outputs: int
    size: int
    stride: int = 1
    padding: int = 1
    pool: int = 0
    """Side of the max-pool (stride 2) before this convolution; 0: none."""
    tap: bool = True
    """Compared after its ReLU."""


_ALEX = (
    _Conv(3, 64, 11, stride=4, padding=2),
    _Conv(64, 192, 5, padding=2, pool=3),
    _Conv(192, 384, 3, pool=3),
    _Conv(384, 256, 3),
    _Conv(256, 256, 3),
)


def _vgg() -> tuple[_Conv, ...]:
    found, inputs = [], 3
    for block, (width, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))):
        for i in range(depth):
            found.append(_Conv(inputs, width, 3, pool=2 if block and not i else 0, tap=i == depth - 1))
            inputs = width
    return tuple(found)


LAYERS: dict[Network, tuple[_Conv, ...]] = {"alex": _ALEX, "vgg": _vgg()}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One array of the file."""

    key: str
    shape: tuple[int, ...]


def _wanted(network: Network) -> list[_Wanted]:
    layers = LAYERS[network]
    found = [_Wanted(f"conv{i}.weight", (c.outputs, c.inputs, c.size, c.size)) for i, c in enumerate(layers)]
    found += [_Wanted(f"conv{i}.bias", (c.outputs,)) for i, c in enumerate(layers)]
    return found + [_Wanted(f"lin{j}", (c.outputs,)) for j, c in enumerate(c for c in layers if c.tap)]


class Lpips(nn.Module):
    """The distance. Fresh from the constructor its weights are random; :func:`load_lpips` fills them."""

    shift: Tensor
    scale: Tensor

    def __init__(self, network: Network = "alex") -> None:
        super().__init__()
        self.network = network
        layers = LAYERS[network]
        self.convs = nn.ModuleList(nn.Conv2d(c.inputs, c.outputs, c.size, c.stride, c.padding) for c in layers)
        self.lins = nn.ParameterList(torch.full((c.outputs,), 1 / c.outputs) for c in layers if c.tap)
        self.register_buffer("shift", torch.tensor(SHIFT)[:, None, None], persistent=False)
        self.register_buffer("scale", torch.tensor(SCALE)[:, None, None], persistent=False)
        self.requires_grad_(False)

    def taps(self, x: Tensor) -> list[Tensor]:
        """Features at the five taps, each (B, C, h, w), of length 1 over C at every pixel.

        Args:
            x: (B, 3, H, W) RGB or (B, 1, H, W) grey, float in [-1, 1], sides of 32 px or more.
        """
        if x.ndim != 4 or x.shape[1] not in (1, 3) or min(x.shape[2:]) < SMALLEST_SIDE:
            raise ValueError(f"LPIPS: expected (B, 3 or 1, H, W) with sides of 32 px or more, got {tuple(x.shape)}")
        x = (x - self.shift) / self.scale
        found = []
        for layer, conv in zip(LAYERS[self.network], self.convs, strict=True):
            x = F.max_pool2d(x, layer.pool, 2) if layer.pool else x
            x = F.relu(conv(x))
            if layer.tap:
                found.append(x * torch.rsqrt(x.square().sum(1, keepdim=True) + _TINY))
        return found

    def between(self, a: list[Tensor], b: list[Tensor]) -> Tensor:
        """Distance (B,) of two results of :meth:`taps`: a reference's need be found only once."""
        each = [
            ((one - other).square() * lin[:, None, None]).sum(1).mean((1, 2))
            for one, other, lin in zip(a, b, self.lins, strict=True)
        ]
        return torch.stack(each).sum(0)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distance (B,) float, 0 = the same, of pictures as :meth:`taps` takes them."""
        return self.between(self.taps(a), self.taps(b))


def as_input(picture: NDArray[np.uint8]) -> Tensor:
    """A drawing (H, W) or photo (H, W, 3), uint8, as :class:`Lpips` takes it: (1, 1 or 3, H, W) float in [-1, 1]."""
    planes = picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
    return torch.from_numpy(planes[None].astype(np.float32)) / 127.5 - 1


def load_lpips(path: Path) -> Lpips:
    """Read the weights of either network; which one it is, the file's shapes tell.

    Raises:
        ValueError: the file is missing, damaged or of another kind; names the first array that does not fit.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: np.asarray(file[key], np.float32) for key in file.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: expected LPIPS weights as .npz, got {error}; choose another file") from None
    network: Network = "vgg" if "conv5.weight" in arrays else "alex"
    for want in _wanted(network):
        shape = arrays[want.key].shape if want.key in arrays else "no such array"
        if shape != want.shape:
            raise ValueError(f"{path}: expected {want.key} {want.shape} of LPIPS {network}, got {shape}")
    return _filled(Lpips(network), arrays)


def _filled(module: Lpips, arrays: dict[str, NDArray[np.float32]]) -> Lpips:
    for i, conv in enumerate(module.convs):
        assert isinstance(conv, nn.Conv2d)
        assert conv.bias is not None
        conv.weight.copy_(torch.from_numpy(arrays[f"conv{i}.weight"]))
        conv.bias.copy_(torch.from_numpy(arrays[f"conv{i}.bias"]))
    for j, lin in enumerate(module.lins):
        lin.copy_(torch.from_numpy(arrays[f"lin{j}"]))
    return module.eval()


def drawing_distances(path: Path) -> Callable[[NDArray[np.uint8], Sequence[NDArray[np.uint8]]], list[float]]:
    """LPIPS of drawings, uint8 (H, W): a function of a reference and what is compared with it.

    Raises:
        ValueError: as :func:`load_lpips`.
    """
    network = load_lpips(path)

    def distances(reference: NDArray[np.uint8], drawings: Sequence[NDArray[np.uint8]]) -> list[float]:
        with torch.inference_mode():
            wanted = network.taps(as_input(reference))
            return [float(network.between(network.taps(as_input(drawing)), wanted)) for drawing in drawings]

    return distances
