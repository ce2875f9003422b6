"""Weights of an exported network: their fingerprint, the rounding that halves a file, and the way back from a file."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from engines.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

M = TypeVar("M", bound="nn.Module")

_COUNTER = "num_batches_tracked"
_FP16_MAX = 65504.0
_NETWORK = "generator."
"""Before the names of the network's own tensors in a graph."""
HALF = ".half"
"""After the name of a constant that a file stores in fp16."""


def weights_sha256(state: Mapping[str, Any]) -> str:
    """64 hex digits over the tensors of a state dict: names, types, shapes and bytes, in the order of their names.

    Training counters are left out: they change nothing that is drawn.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        if name.endswith(_COUNTER):
            continue
        array = state[name].detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def halved(module: M) -> M:
    """A copy whose kernels fp16 holds exactly: what a file with fp16-stored weights draws with, itself still fp32.

    Batch norms are folded into the convolution before them first, because the folded kernels are what a graph holds.
    Kernels are rounded; biases and whatever else has one dimension stay as they are. Folding is done in float64, so
    that the result, and its fingerprint, is the same on every machine.

    Args:
        module: in eval mode; convolution and norm stand side by side in an ``nn.Sequential``.
    Raises:
        ModelError: a weight is beyond what fp16 can hold.
    """
    import torch

    halves = folded(module)
    with torch.no_grad():
        for name, weight in halves.named_parameters():
            if weight.ndim < 2:
                continue
            if float(weight.abs().max()) > _FP16_MAX:
                raise ModelError(f"weights: {name} is beyond what fp16 can hold; export with --weights fp32")
            weight.copy_(weight.half().float())
    return halves


def folded(module: M) -> M:
    """A copy with every batch norm folded into the convolution before it, in float64; otherwise as :func:`halved`."""
    from torch import nn

    copied = copy.deepcopy(module).eval()
    for sequence in [part for part in copied.modules() if isinstance(part, nn.Sequential)]:
        for i, (first, second) in enumerate(pairwise(list(sequence))):
            if isinstance(first, nn.Conv2d | nn.ConvTranspose2d) and isinstance(second, nn.BatchNorm2d):
                _fold(first, second)
                sequence[i + 1] = nn.Identity()
    return copied


def _fold(conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> None:
    """conv <- norm(conv), in place."""
    import torch
    from torch import nn

    assert norm.running_mean is not None
    assert norm.running_var is not None
    transposed = isinstance(conv, nn.ConvTranspose2d)
    assert not transposed or conv.groups == 1, "the output channels of a grouped transposed convolution lie elsewhere"
    with torch.no_grad():
        scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
        bias = -norm.running_mean.double() if conv.bias is None else conv.bias.double() - norm.running_mean.double()
        conv.bias = nn.Parameter((bias * scale + norm.bias.double()).float())
        shape = (1, -1, 1, 1) if transposed else (-1, 1, 1, 1)
        conv.weight.copy_((conv.weight.double() * scale.view(shape)).float())


def read_kernels(path: Path) -> dict[str, NDArray[np.float32]]:
    """The kernels and biases of an exported drawing model, by the names that its network has for them.

    Norms are folded into the convolutions before them, whose bias, which the network lacks, is named like any other:
    ``G.enter.0.weight`` and ``G.enter.0.bias``.

    Raises:
        ModelError: the file cannot be read, or is no drawing model of ours.
    """
    from engines.manifest import read_manifest

    if read_manifest(path).kind != "drawing":
        raise ModelError(f"{path}: expected a drawing model, got one of another kind")
    import onnx
    from onnx import numpy_helper

    found = {}
    for tensor in onnx.load(path).graph.initializer:
        if not tensor.name.startswith(_NETWORK):
            continue
        name = tensor.name.removeprefix(_NETWORK).removesuffix(HALF)
        name = name.replace(".weight_bias", ".bias")
        found[name] = np.asarray(numpy_helper.to_array(tensor), np.float32)
    return found
