"""An exponential moving average of a network's weights: what a run is for."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

WARM_UP_STEPS = 20
"""The average follows the young network closely: decay is at most step / (step + 20)."""


class Average:
    """Follows one network. ``tensors`` are its averaged state, keys as in ``network.state_dict()``."""

    def __init__(self, network: nn.Module, *, decay: float) -> None:
        """
        Args:
            decay: of the average, 0 to below 1; 0 keeps the network's own last weights.
        """
        self.decay = decay
        self.tensors = {key: value.detach().clone() for key, value in network.state_dict().items()}

    @torch.no_grad()
    def follow(self, network: nn.Module, step: int) -> None:
        """Take in the network after its ``step``-th step (counted from 1)."""
        keep = min(self.decay, step / (step + WARM_UP_STEPS))
        old: list[Tensor] = []
        new: list[Tensor] = []
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                old.append(self.tensors[key])
                new.append(value)
            else:  # counters
                self.tensors[key].copy_(value)
        torch._foreach_lerp_(old, new, 1 - keep)

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from saved tensors."""
        for key, value in self.tensors.items():
            value.copy_(tensors[key])
