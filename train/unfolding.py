"""Go on from a model file: its folded convolutions become convolution and batch norm again.

An exported graph holds each norm inside the convolution before it. Taken apart anew, the norm is given the mean and
variance that its input has on some pictures, and a weight and bias that undo them: the network then draws as the file
does, and its norms are where training can use them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import default_collate

from apdgan.generator import HierarchicalGenerator
from engines.weights import read_kernels
from train.config import RunConfig
from train.samples import Batch, Samples, open_data
from train.state import start_from
from train.turning import Changes

PICTURES = 16
"""So many tell the norms what their inputs are like."""
_NO_DRAWING = np.full((512, 512), 255, np.uint8)


@torch.no_grad()
def unfold(
    generator: HierarchicalGenerator,
    kernels: Mapping[str, NDArray[np.float32]],
    pictures: tuple[Tensor, Tensor, Tensor],
    *,
    partial: bool = False,
) -> int:
    """Fill a generator, in place, with what a model file holds.

    Args:
        generator: of the file's preset and width, norm "batch"; is left in training mode.
        kernels: of :func:`engines.weights.read_kernels`.
        pictures: photo, boxes and person as :meth:`HierarchicalGenerator.forward` takes them, a batch of some: what
            the norms' statistics are taken from.
        partial: leave what the file does not have, or in another shape, as it is.
    Returns:
        How many kernels and biases were taken.
    Raises:
        ValueError: a kernel is missing or of another shape, by name.
    """
    norms = _folded(generator)
    taken = set()
    for name, tensor in generator.named_parameters():
        if name.rpartition(".")[0] in norms.values():
            continue
        if name not in kernels or kernels[name].shape != tuple(tensor.shape):
            if partial:
                continue
            got = kernels[name].shape if name in kernels else "none"
            raise ValueError(f"expected {name} {tuple(tensor.shape)}, got {got}; choose the file's preset and width")
        tensor.copy_(torch.tensor(kernels[name]))
        taken.add(name)
    hooks = [
        generator.get_submodule(norm).register_forward_pre_hook(_Undo(torch.tensor(kernels[f"{conv}.bias"])))
        for conv, norm in norms.items()
        if f"{conv}.weight" in taken
    ]
    generator.train()
    try:
        generator(*pictures)  # in the order of the graph: each norm is set before what follows it sees anything
    finally:
        for hook in hooks:
            hook.remove()
    return len(taken)


def _folded(generator: HierarchicalGenerator) -> dict[str, str]:
    """Name of each convolution that a norm follows -> name of that norm."""
    found = {}
    for name, part in generator.named_modules():
        if isinstance(part, nn.Sequential):
            for (a, first), (b, second) in pairwise(part.named_children()):
                if isinstance(first, nn.Conv2d | nn.ConvTranspose2d) and isinstance(second, nn.BatchNorm2d):
                    found[f"{name}.{a}"] = f"{name}.{b}"
    return found


class _Undo:
    """Before a norm runs for the first time: make it add a bias and nothing else, on this input."""

    def __init__(self, bias: Tensor) -> None:
        self.bias = bias

    def __call__(self, norm: nn.Module, inputs: tuple[Tensor]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        var, mean = torch.var_mean(inputs[0].float(), (0, 2, 3), correction=0)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(var)
        norm.weight.copy_((var + norm.eps).sqrt())
        norm.bias.copy_(mean + self.bias.to(mean))


def start_generator(generator: HierarchicalGenerator, config: RunConfig) -> bool:
    """Fill a generator from ``[model] start``: a checkpoint of any kind, or a model file.

    Returns:
        True for a model file, whose last step is as it was shipped: sharpened.
    Raises:
        ValueError: what does not fit, by name.
    """
    start = Path(str(config.model.start))
    if start.suffix != ".onnx":
        start_from(generator, start, partial=config.model.start_partial)
        return False
    stage = config.stages[0]
    samples = Samples(
        open_data(config.stage_data(stage), drawings=False),
        seed=config.run.seed,
        stage=0,
        change=Changes(strength=config.data.strength),
        drawings=lambda _number: _NO_DRAWING,
    )
    items = [samples[i] for i in range(PICTURES)]
    if faults := [str(item["fault"]) for item in items if "fault" in item]:
        raise ValueError(faults[0])
    batch = Batch.of(default_collate(items), torch.device("cpu"))
    person = batch.matte if generator.config.soft_matte else batch.fg
    kernels = read_kernels(start)
    try:
        pictures = (batch.photo, batch.corners, person)
        taken = unfold(generator, kernels, pictures, partial=config.model.start_partial)
        if not taken:
            raise ValueError("expected weights of this kind of network, got none that fits")
    except ValueError as error:
        raise ValueError(f"{start}: {error}") from None
    return True
