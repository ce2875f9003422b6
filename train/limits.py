"""When a run and its stages are over, and who may end it early."""

from __future__ import annotations

import math
import signal
import threading
import time
from dataclasses import dataclass
from types import FrameType
from typing import Self

from train.config import RunConfig, StageTable
from train.distributed import World
from train.samples import Samples
from train.state import Progress
from train.task import Moment


class Clock:
    """Counts the time a run is training, across resumes."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.start()

    def start(self) -> None:
        """Count from now on; what passed since the last :meth:`read` does not count."""
        self._before = self.progress.spent_s, self.progress.stage_spent_s
        self._since = time.monotonic()

    def read(self, world: World) -> None:
        """Bring the run's progress up to date, alike in every process."""
        passed = time.monotonic() - self._since
        spent, stage_spent = world.largest(*(before + passed for before in self._before))
        self.progress.spent_s, self.progress.stage_spent_s = spent, stage_spent


def run_is_over(config: RunConfig, progress: Progress) -> bool:
    """Whether the whole run's steps or minutes are used up."""
    run = config.run
    out_of_steps = bool(run.steps) and progress.step >= run.steps
    return out_of_steps or (bool(run.minutes) and progress.spent_s >= 60 * run.minutes)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageEnd:
    """Where a stage ends: by the first of both that is reached; 0: by the other alone."""

    steps: int
    minutes: float
    epochs: int
    epoch_samples: int

    @staticmethod
    def of(config: RunConfig, stage: StageTable, samples: Samples, world: World) -> StageEnd:
        """A stage without an end of its own ends with the run."""
        run = config.run
        per_step = run.batch * run.accumulate * world.size
        given = [n for n in (stage.steps, math.ceil(stage.epochs * samples.count / per_step)) if n]
        steps, minutes = min(given, default=0), stage.minutes
        if not steps and not minutes:
            steps, minutes = run.steps, run.minutes
        return StageEnd(steps=steps, minutes=minutes, epochs=stage.epochs, epoch_samples=samples.count)

    def done(self, progress: Progress) -> float:
        """Share of the stage that is over; 1 or more: all."""
        by_steps = progress.stage_step / self.steps if self.steps else 0.0
        return max(by_steps, progress.stage_spent_s / (60 * self.minutes) if self.minutes else 0.0)

    def moment(self, progress: Progress) -> Moment:
        """Where the stage stands, for its learning rate."""
        epoch = progress.samples // self.epoch_samples + 1
        return Moment(step=progress.step, progress=self.done(progress), epoch=epoch, epochs=self.epochs)


class Interrupt:
    """Ctrl-C and a polite kill end the run after the step; a second one ends it at once. A context manager."""

    def __init__(self) -> None:
        self.signal = 0
        """The signal that was heard; 0: none."""
        self.patient = True
        """False while nothing can be lost, and a step's end is far away."""
        self._old: dict[int, object] = {}

    def shared(self, world: World) -> int:
        """The signal that any process heard."""
        self.signal = int(world.largest(self.signal)[0])
        return self.signal

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        if self.signal or not self.patient:
            raise KeyboardInterrupt
        self.signal = number

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._old = {n: signal.signal(n, self._heard) for n in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_error: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
