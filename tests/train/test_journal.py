"""What a run says of itself."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console

from train.journal import Journal, Terms


def steps(folder: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_lines_that_a_killed_run_left_behind_its_checkpoint_are_dropped(tmp_path: Path) -> None:
    with Journal(tmp_path, step=0, total=0) as journal:
        for step in (50, 100, 150):
            journal.write({"step": step, "loss": 1.0})
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 200, "lo')  # cut short by the kill
    with Journal(tmp_path, step=100, total=0) as journal:
        assert steps(tmp_path) == [50, 100]
        journal.write({"step": 150, "loss": 2.0})
    assert steps(tmp_path) == [50, 100, 150]


def test_figures_go_to_tensorboard_under_their_names(tmp_path: Path) -> None:
    with Journal(tmp_path, step=0, total=0) as journal:
        journal.write({"step": 1, "stage": "a", "G_L1": 0.5})
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"G_L1" in events.read_bytes()


def test_without_tensorboard_the_log_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with Journal(tmp_path, step=0, total=0) as journal:
        journal.write({"step": 1, "loss": 0.5})
    assert steps(tmp_path) == [1]
    assert "tensorboard is not installed" in capsys.readouterr().err


def test_a_process_that_must_not_write_writes_nothing(tmp_path: Path) -> None:
    with Journal(tmp_path, step=0, total=0, alone=False) as journal:
        journal.write({"step": 1, "loss": 0.5})
        journal.say("hello")
    assert not list(tmp_path.iterdir())


def test_a_terminal_sees_steps_and_losses(tmp_path: Path) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    terms = Terms()
    terms.add({"loss": torch.tensor(0.25)})
    with Journal(tmp_path, step=0, total=10, console=console) as journal:
        journal.show(step=3, done=3, terms=terms)
    assert "step 3" in screen.getvalue()
    assert "loss 0.250" in screen.getvalue()


def test_terms_are_the_mean_of_young_runs_and_smooth_in_old_ones() -> None:
    terms = Terms()
    for value in (1.0, 3.0):
        terms.add({"a": torch.tensor(value)})
    assert terms.read() == {"a": 2.0}
    for _ in range(500):
        terms.add({"a": torch.tensor(7.0)})
    assert terms.read()["a"] == pytest.approx(7.0, abs=0.01)


def test_a_nan_stays_in_the_terms_until_it_is_asked_for() -> None:
    terms = Terms()
    for value in (1.0, float("nan"), 1.0):
        terms.add({"a": torch.tensor(1.0), "b": torch.tensor(value)})
    assert terms.bad() == "b"
