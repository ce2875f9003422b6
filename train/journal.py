"""What a run says of itself: a bar on a terminal, ``log.jsonl``, TensorBoard, ``run.json``."""

from __future__ import annotations

import json
import math
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

SMOOTHING = 0.98
"""Of the logged terms, a step."""
LOG_STEPS = 50
BAR_S = 0.5
LINE_S = 60.0


class Terms:
    """Loss terms, smoothed over some 50 steps; kept on their device so that a GPU need not wait for the log."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._values = torch.zeros(0)
        self._steps = 0

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Take in one step's terms, scalars without gradient. A NaN stays."""
        values = torch.stack(list(terms.values()))
        if list(terms) != self._names:
            self._names, self._values, self._steps = list(terms), torch.zeros_like(values), 0
        self._steps += 1
        self._values = self._values.lerp(values, max(1 - SMOOTHING, 1 / self._steps))

    def read(self) -> dict[str, float]:
        """Name -> smoothed value."""
        return dict(zip(self._names, self._values.tolist(), strict=True))

    def bad(self) -> str | None:
        """The name of a term that was not finite, or None."""
        return next((name for name, value in self.read().items() if not math.isfinite(value)), None)


class Journal:
    """Writes the log of a run. A context manager; everything is bounded by what the run folder holds."""

    def __init__(
        self, folder: Path, *, step: int, total: float, alone: bool = True, console: Console | None = None
    ) -> None:
        """
        Args:
            folder: the run folder.
            step: where the run goes on: lines of later steps, which a killed run left behind, are dropped.
            total: steps or seconds of the bar's end; 0: unknown.
            alone: False in the processes that must not write.
            console: where the bar goes; where that is no terminal a line goes there every ``LINE_S``.
        """
        self._log, self._alone = folder / "log.jsonl", alone
        if alone:
            self._forget_after(step)
        self._board = _board(folder / "tensorboard", step) if alone else None
        out = console or Console(stderr=True, highlight=False)
        columns = [TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()]
        self._bar = Progress(*columns, console=out, auto_refresh=False, disable=not (alone and out.is_terminal))
        self._task = self._bar.add_task("training", total=total or None)
        self._due = time.monotonic() + LINE_S if self._bar.disable else 0.0
        self._last = time.monotonic(), step
        self._rate = 0.0

    def _forget_after(self, step: int) -> None:
        if self._log.exists():
            kept = [line for line in self._log.read_text().splitlines() if _step_of(line) <= step]
            self._log.write_text("".join(line + "\n" for line in kept))

    def show(self, *, step: int, done: float, terms: Terms) -> None:
        """Move the bar, twice a second at most."""
        now = time.monotonic()
        if not self._alone or now < self._due:
            return
        self._due = now + (LINE_S if self._bar.disable else BAR_S)
        since, before = self._last
        if now - since > 2 and step > before:
            self._rate, self._last = (step - before) / (now - since), (now, step)
        main = "  ".join(f"{name} {value:.3f}" for name, value in list(terms.read().items())[:4])
        told = f"step {step}  {self._rate:.2f}/s  {main}"
        if self._bar.disable:
            self.say(told)
        else:
            self._bar.update(self._task, completed=done, description=told, refresh=True)

    def write(self, line: Mapping[str, Any]) -> None:
        """One line of the log, numbers rounded; numbers go to TensorBoard too, under their names."""
        if not self._alone:
            return
        plain = {k: round(v, 6) if isinstance(v, float) else v for k, v in line.items()}
        with self._log.open("a", encoding="utf-8") as file:
            print(json.dumps(plain), file=file)
        if self._board is not None:
            for name, value in line.items():
                if isinstance(value, float):
                    self._board.add_scalar(name, value, line["step"])

    def say(self, text: str) -> None:
        """A line for the person who watches."""
        if self._alone:
            self._bar.console.print(text, markup=False, soft_wrap=True)

    def __enter__(self) -> Journal:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()
        if self._board is not None:
            self._board.close()


def progress_bar(*, alone: bool = True) -> Progress:
    """A bar for what comes before a run's steps; drawn on a terminal only."""
    console = Console(stderr=True, highlight=False)
    return Progress(console=console, disable=not (alone and console.is_terminal), transient=True)


def _step_of(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):  # a line cut short by a kill
        return 2**62


def _board(folder: Path, step: int) -> Any:
    """TensorBoard's writer, or None where it is not installed: the log holds the same figures."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        Console(stderr=True).print("tensorboard is not installed: curves are in log.jsonl only", markup=False)
        return None
    return SummaryWriter(str(folder), purge_step=step)


def hardware(device: torch.device) -> dict[str, str]:
    """What a run ran on."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "none"
    return {
        "gpu": gpu,
        "machine": platform.machine(),
        "threads": str(torch.get_num_threads()),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
