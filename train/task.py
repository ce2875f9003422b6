"""What a training command gives the loop: networks, and the phases of one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn
from torch.optim import Optimizer

from train.config import RunConfig, StageTable
from train.samples import Batch, Samples

Terms = dict[str, Tensor]
"""Named scalars of the log, already weighted."""


@dataclass(slots=True, kw_only=True)
class Pass:
    """One batch on its way through the phases of a step."""

    batch: Batch
    step: int
    """Number of the step, from 0: with the seed, all that randomness outside torch may depend on."""
    autocast: Callable[[], AbstractContextManager[object]]
    """The run's precision: networks are asked inside of it, losses are computed outside."""
    keep: bool
    """False: gradients are accumulated, and what a phase draws is not used by the next."""
    memory: dict[str, Any]
    """What a phase leaves for the next one (the drawing, with its graph). Empty again when gradients are accumulated:
    each phase then goes over all batches of the step, and draws anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A loss, the weights it trains and their optimiser. A GAN's step has two: judge, then generator."""

    name: str
    optimizer: Optimizer
    loss: Callable[[Pass], tuple[Tensor, Terms]]
    """What to lower (a mean over the batch), and the terms of the log."""
    lr: float | None = None
    """A learning rate of its own; None: the run's, by its schedule."""
    clip: float = 0.0
    """Largest norm of its gradient; 0: as it is."""

    @property
    def parameters(self) -> list[nn.Parameter]:
        """What the optimiser moves."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Where a stage stands, for its learning rate."""

    step: int
    """Of the run, from 0."""
    progress: float
    """Of the stage, 0 to 1."""
    epoch: int
    """Of the stage, from 1."""
    epochs: int
    """Of the stage; 0 when it does not end by epochs."""


class Task(Protocol):
    """A training command as the loop sees it. Networks are built in the constructor, on the world's device."""

    networks: Mapping[str, nn.Module]
    """All that is saved, started alike in every process, and has its batch norm shared."""
    averaged: str
    """The network whose average is kept and exported."""
    weights: str
    """File name of the exported weights."""
    lr: float
    """Default of ``[run] lr``."""
    schedule: str
    """Default of ``[run] schedule``."""

    def phases(self) -> Sequence[Phase]:
        """In the order of a step; the same objects every time."""
        ...

    def begin(self, config: RunConfig, stage: StageTable, number: int) -> Samples:
        """Set the losses of a stage and open its data."""
        ...

    def export(self, average: Mapping[str, Tensor]) -> nn.Module:
        """A new network with the averaged weights, on the CPU, as it is to be shipped; most often a generator."""
        ...
