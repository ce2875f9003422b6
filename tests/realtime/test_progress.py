"""The line that a terminal shows while the program draws."""

from __future__ import annotations

import io

from rich.console import Console

from realtime.progress import ProgressLine

STATUS = {"frames": 3, "fps": 29.7, "age_ms": 41.2, "dropped": 2, "faces": 1}


def shown(*, terminal: bool, total: int | None) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120)
    with ProgressLine(status=lambda: STATUS, total=total, console=console) as line:
        line(3)
    return out.getvalue()


def test_a_terminal_sees_rate_age_and_drops() -> None:
    assert "30 fps  41 ms old  2 dropped  1 faces" in shown(terminal=True, total=None)


def test_a_file_has_a_bar_with_its_length() -> None:
    assert "3/90" in shown(terminal=True, total=90)
    assert "/90" not in shown(terminal=True, total=None)


def test_a_build_that_goes_on_meanwhile_has_a_bar() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=160)
    with ProgressLine(status=lambda: STATUS, total=None, build=lambda: ("lite.plan", 0.5), console=console) as line:
        line(3)
    assert "building lite.plan ██████░░░░░░ 50%" in out.getvalue()


def test_a_log_is_left_alone() -> None:
    assert shown(terminal=False, total=90) == ""
