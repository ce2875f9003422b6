"""What is told while a plan is built: why, and how far it is. A bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Say = Callable[[str], None]
Progress = Callable[[float], None]
"""Takes the share that is done, 0 to 1."""
STEP = 0.25
"""A line is said each time that so much more is done."""


class Building:
    """Shows builds that somebody waits for."""

    def __init__(self, say: Say, *, console: Any = None) -> None:
        """
        Args:
            say: takes one line.
            console: a rich console; None: of stderr, where rich is installed.
        """
        self.say = say
        self._console = console

    @contextmanager
    def of(self, what: str, why: str) -> Iterator[Progress]:
        """Within it, ``what`` is built because of ``why``; gives what takes the share that is done."""
        console = _terminal() if self._console is None else self._console
        if console is None or not console.is_terminal:
            yield _Lines(what, self.say)
            return
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bar

        words = TextColumn("building {task.description}", markup=False)
        with Bar(words, BarColumn(), TaskProgressColumn(), console=console, transient=True) as bar:
            task = bar.add_task(f"{what}, {why}", total=1.0)
            yield lambda share: bar.update(task, completed=share)


class BackgroundBuilding(Building):
    """Notes builds that go on while something else draws and owns the terminal."""

    def __init__(self, say: Say) -> None:
        super().__init__(say)
        self.now: tuple[str, float] | None = None
        """What is built, and the share that is done; None: nothing."""

    @contextmanager
    def of(self, what: str, why: str) -> Iterator[Progress]:
        del why  # has been said
        lines = _Lines(what, self.say)
        self.now = what, 0.0

        def note(share: float) -> None:
            self.now = what, share
            lines(share)

        try:
            yield note
        finally:
            self.now = None


class _Lines:
    """One at every step; the end is told by whoever goes on with what was built."""

    def __init__(self, what: str, say: Say) -> None:
        self._what, self._say = what, say
        self._next = STEP

    def __call__(self, share: float) -> None:
        if self._next <= share < 1:
            self._say(f"{self._what}: {share:.0%} built")
            self._next = (share // STEP + 1) * STEP


def _terminal() -> Any:
    """stderr as rich sees it; None where it is no terminal, or rich is not installed."""
    if not sys.stderr.isatty():
        return None
    try:
        from rich.console import Console
    except ImportError:
        return None
    return Console(stderr=True, highlight=False)
