"""One process or many: gradients and batch-norm statistics shared over plain ``torch.distributed`` (torchrun).

Two processes with batch B compute what one does with batch 2B: gradients are averaged over processes, and batch norm
takes its statistics over all of them, by a differentiable sum (``nn.SyncBatchNorm`` refuses CPUs). Terms that divide by
a sum over the batch divide by the mean of that sum over processes (:func:`shared_mean`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """This process among its siblings."""

    rank: int = 0
    size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """True in the one process that writes."""
        return self.rank == 0

    @staticmethod
    def join(device: str = "auto") -> World:
        """Join the siblings that torchrun started, or be alone.

        Args:
            device: auto (a GPU where there is one), cpu or cuda.
        Raises:
            ValueError: cuda is asked for and there is none.
        """
        if device == "cuda" and not torch.cuda.is_available():
            raise ValueError("[run] device: expected a CUDA device, got none; say 'cpu' or 'auto'")
        on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if on_gpu:
            torch.cuda.set_device(local)
        place = torch.device("cuda", local) if on_gpu else torch.device("cpu")
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size > 1 and not dist.is_initialized():
            dist.init_process_group("nccl" if on_gpu else "gloo")
        return World(rank=dist.get_rank() if size > 1 else 0, size=size, device=place)

    def leave(self) -> None:
        """Say goodbye, so that no sibling waits."""
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    def same(self, modules: Iterable[nn.Module]) -> None:
        """Every process takes the first one's weights."""
        if self.size > 1:
            for module in modules:
                for value in module.state_dict().values():
                    dist.broadcast(value, 0)

    def largest(self, *values: float) -> list[float]:
        """The largest of each value over processes, so that all decide alike."""
        if self.size == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(shared, dist.ReduceOp.MAX)
        return [float(v) for v in shared]

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Mean over processes, in one message a type."""
        if self.size == 1:
            return
        groups: dict[torch.dtype, list[Tensor]] = {}
        for parameter in parameters:
            if parameter.grad is not None:
                groups.setdefault(parameter.grad.dtype, []).append(parameter.grad)
        for gradients in groups.values():
            flat = torch.cat([g.flatten() for g in gradients])
            dist.all_reduce(flat)
            flat /= self.size
            for gradient, part in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))

    def average(self, value: Tensor) -> Tensor:
        """Mean over processes, in place; no gradient."""
        if self.size > 1:
            dist.all_reduce(value)
            value /= self.size
        return value


def shared_mean(value: Tensor) -> Tensor:
    """Mean of a constant over processes, so that a sum divided by it is exact over all of them. Alone: itself."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:  # noqa: ARG004
        total = value.detach().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total


def sum_over_processes(value: Tensor) -> Tensor:
    """Sum of a tensor over processes; its gradient is summed over them likewise."""
    total: Tensor = _SumOverProcesses.apply(value)  # type: ignore[no-untyped-call]
    return total


class SharedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose training statistics are those of all processes' pictures together. Same keys, same buffers."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) float of any type -> the same; statistics are computed in float32."""
        if not self.training or not dist.is_initialized():
            return super().forward(x)
        wide = x.float()
        # Every process holds as many pixels: the batch of a run is the same everywhere.
        count = wide.numel() // wide.shape[1] * dist.get_world_size()
        mean = sum_over_processes(wide.sum((0, 2, 3))) / count
        apart = wide - mean[None, :, None, None]
        variance = sum_over_processes(apart.square().sum((0, 2, 3))) / count
        self._remember(mean.detach(), variance.detach() * (count / max(count - 1, 1)))
        scale = self.weight.float() * torch.rsqrt(variance + self.eps)
        return (apart * scale[None, :, None, None] + self.bias.float()[None, :, None, None]).to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        momentum = 0.1 if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        self.running_var.lerp_(variance.to(self.running_var), momentum)


def share_batch_norm(module: nn.Module) -> int:
    """Turn every ``nn.BatchNorm2d`` in a module into :class:`SharedBatchNorm2d`, in place. Returns how many.

    Parameters and buffers stay the same objects under the same keys, so that an optimiser may exist already.
    """
    found = [m for m in module.modules() if type(m) is nn.BatchNorm2d]
    for norm in found:
        norm.__class__ = SharedBatchNorm2d
    return len(found)
