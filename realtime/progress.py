"""What a run says of itself while it goes: a bar for a file, one changing line for a live source, nothing in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

BAR = 12
"""Characters of a build's bar."""
REFRESH_S = 0.2
"""Drawing is what the machine is for: the terminal is written to five times a second."""


class ProgressLine:
    """A context manager that is called with the number of frames delivered, after each, by the thread that delivers."""

    def __init__(
        self,
        *,
        status: Callable[[], Mapping[str, float | int | str]],
        total: int | None,
        build: Callable[[], tuple[str, float] | None] = lambda: None,
        console: Console | None = None,
    ) -> None:
        """
        Args:
            status: frames, fps, age_ms, dropped and faces of the last moments.
            build: what is built meanwhile, and the share of it that is done, 0 to 1; None: nothing.
            total: frames that will be delivered; None where nobody knows: a line instead of a bar.
            console: where to write; on anything but a terminal nothing is written.
        """
        self._status, self._build = status, build
        columns = [TextColumn("{task.description}")]
        bar = [BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()] if total else []
        out = console or Console(highlight=False)
        self._bar = Progress(
            *columns, *bar, console=out, transient=True, auto_refresh=False, disable=not out.is_terminal
        )
        self._task = self._bar.add_task("drawing", total=total)
        self._due = 0.0

    def __call__(self, delivered: int) -> None:
        now = time.monotonic()
        if self._bar.disable or now < self._due:
            return
        self._due = now + REFRESH_S
        status = self._status()
        fps, age_ms = (round(float(status[name])) for name in ("fps", "age_ms"))
        text = f"{fps} fps  {age_ms} ms old  {status['dropped']} dropped  {status['faces']} faces"
        if (build := self._build()) is not None:
            done = round(BAR * build[1])
            text += f"  building {build[0]} {'█' * done}{'░' * (BAR - done)} {build[1]:.0%}"
        self._bar.update(self._task, completed=delivered, description=text, refresh=True)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
