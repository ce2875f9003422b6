"""Multiply-accumulates of a network, counted while it runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from apdgan.alignment import SIZE, TEMPLATE, boxes
from apdgan.generator import HierarchicalGenerator
from apdgan.layers import ShuffleFusion


def generator_gmac(generator: HierarchicalGenerator) -> dict[str, float]:
    """GMAC of each sub-network for one 512 x 512 portrait, and their ``total``. Cuts and pastes move data only."""
    totals = dict.fromkeys((name for name, _ in generator.named_children()), 0.0)

    def hook_for(name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            if isinstance(module, nn.ConvTranspose2d):
                totals[name] += inputs[0].numel() * module.weight[0].numel() / 1e9
            elif isinstance(module, nn.Conv2d):
                totals[name] += output.numel() * module.weight[0].numel() / 1e9

        return hook

    handles = [
        module.register_forward_hook(hook_for(name))
        for name, net in generator.named_children()
        for module in net.modules()
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
    ]
    fusion = generator.GCombine
    if isinstance(fusion, ShuffleFusion) and fusion.along:
        outputs, kernel = len(fusion.strokes), fusion.strokes[0].numel()
        totals["GCombine"] += SIZE * SIZE * outputs * kernel / 1e9
    try:
        with torch.inference_mode():
            photo = torch.zeros(1, 3, SIZE, SIZE)
            corners = torch.from_numpy(boxes(TEMPLATE)).unsqueeze(0)
            generator(photo, corners, torch.ones(1, 1, SIZE, SIZE, dtype=torch.bool))
    finally:
        for handle in handles:
            handle.remove()
    totals["total"] = sum(totals.values())
    return totals
