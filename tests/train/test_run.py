"""The loop: it goes on exactly where it stopped, and whatever happens the last good checkpoint is there."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import psutil
import pytest
import tiny_runs
import torch
from safetensors.torch import load_file

from train import __main__ as program
from train import state
from train.distill import Distill
from train.distributed import World

ROOT = Path(__file__).resolve().parents[2]
NEVER = ("--set", "run.checkpoint_minutes=60")
ALWAYS = ("--set", "run.checkpoint_minutes=0")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tiny_runs.write_pairs(tmp_path / "pairs", 3)


@pytest.fixture
def settings(data: Path, tmp_path: Path) -> Path:
    return tiny_runs.write_run(tmp_path / "run.toml", data, "[loss]\nadversary = 0.05\n")


def distill(settings: Path, out: Path, steps: int, *more: str) -> int:
    return program.main(["distill", str(settings), "--out", str(out), "--steps", str(steps), *more])


def process(settings: Path, out: Path, steps: int, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "train", "distill", str(settings), "--out", str(out), "--steps", str(steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *more], cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def wait_for_step(out: Path, step: int, running: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 120
    while not ((out / "run.json").exists() and json.loads((out / "run.json").read_text())["step"] >= step):
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.02)


def same(a: Path, b: Path, name: str = "state.safetensors") -> bool:
    one, other = load_file(a / name), load_file(b / name)
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_killed_run_goes_on_as_if_it_had_never_stopped(settings: Path, tmp_path: Path) -> None:
    assert distill(settings, tmp_path / "whole", 8, *NEVER) == 0
    with process(settings, tmp_path / "killed", 8, *ALWAYS) as running:
        wait_for_step(tmp_path / "killed", 3, running)
        running.kill()
    assert 3 <= json.loads((tmp_path / "killed" / "run.json").read_text())["step"] < 8
    assert distill(settings, tmp_path / "killed", 8, *NEVER) == 0
    assert same(tmp_path / "whole", tmp_path / "killed")
    assert same(tmp_path / "whole", tmp_path / "killed", "student.safetensors")


def test_another_seed_is_another_run(settings: Path, tmp_path: Path) -> None:
    distill(settings, tmp_path / "a", 2)
    distill(settings, tmp_path / "b", 2, "--set", "run.seed=2")
    assert not same(tmp_path / "a", tmp_path / "b")


def test_workers_do_not_change_what_is_learnt(settings: Path, tmp_path: Path) -> None:
    distill(settings, tmp_path / "none", 4)
    distill(settings, tmp_path / "one", 4, "--set", "run.workers=1")
    assert same(tmp_path / "none", tmp_path / "one")


def test_a_longer_run_goes_on_from_a_finished_one(settings: Path, tmp_path: Path) -> None:
    distill(settings, tmp_path / "run", 2)
    spent = json.loads((tmp_path / "run" / "run.json").read_text())["spent_s"]
    distill(settings, tmp_path / "run", 4)
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["step"] == 4
    assert facts["spent_s"] > spent > 0
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert steps[-1] == 4


def test_a_finished_run_is_left_as_it_is_whatever_is_asked(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert distill(settings, out, 2) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    others = tiny_runs.write_pairs(tmp_path / "others", 2)
    assert distill(settings, out, 2, "--set", f'data.train=["{others}"]') == 0
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    assert "finished after 2 steps" in capsys.readouterr().out


def test_a_run_does_not_go_on_with_other_data_under_the_same_name(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert distill(settings, out, 2) == 0
    told = (out / "run.toml").read_bytes()
    others = tiny_runs.write_pairs(tmp_path / "others", 2)
    assert distill(settings, out, 4, "--set", f'data.train=["{others}"]') == 2
    assert "expected the 3 pairs that this run has learnt from so far, got 2 others" in capsys.readouterr().err
    assert (out / "run.toml").read_bytes() == told


def test_an_empty_drawing_is_named(
    settings: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = next(data.rglob("data/train/*.png"))
    page = cv2.imread(str(picture))
    page[:, 512:] = 255
    cv2.imwrite(str(picture), page)
    assert distill(settings, tmp_path / "out", 3) == 2
    assert f"{picture}: expected a drawing with ink, got an empty one" in capsys.readouterr().err


def test_minutes_end_a_run_too(settings: Path, tmp_path: Path) -> None:
    assert program.main(["distill", str(settings), "--out", str(tmp_path / "run"), "--minutes", "0.01"]) == 0
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert facts["finished"]
    assert facts["spent_s"] >= 0.6
    assert facts["step"] >= 1


def test_a_run_leaves_its_whole_folder(settings: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    distill(settings, out, 2, "--set", f"data.held_out=['{tmp_path / 'pairs'}']")
    names = {path.name for path in out.iterdir()}
    assert {"run.toml", "run.json", "log.jsonl", "state.safetensors", "student.safetensors", "tensorboard"} <= names
    assert not [name for name in names if name.endswith(".part")]
    assert list((out / "samples").glob("*.png"))
    facts = json.loads((out / "run.json").read_text())
    assert len(facts["data"]["train"]["sha256"]) == 64
    assert facts["hardware"]["torch"] == torch.__version__
    line = json.loads((out / "log.jsonl").read_text().splitlines()[-1])
    assert {"step", "minutes", "lr", "loss", "fused"} <= line.keys()
    # The run folder's own settings are settings again.
    assert program.main(["distill", str(out / "run.toml"), "--out", str(tmp_path / "again")]) == 0
    assert same(out, tmp_path / "again")


def test_ctrl_c_saves_everything_and_says_so(settings: Path, tmp_path: Path) -> None:
    with process(settings, tmp_path / "run", 100_000, *ALWAYS) as running:
        wait_for_step(tmp_path / "run", 1, running)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=120)
    assert running.returncode == 130
    assert "Traceback" not in said
    assert "goes on from" in said
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert not facts["finished"]
    assert (tmp_path / "run" / "student.safetensors").exists()


def test_a_loss_that_is_not_finite_ends_the_run_before_it_spoils_the_checkpoint(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    distill(settings, tmp_path / "run", 2)
    before = (tmp_path / "run" / "state.safetensors").read_bytes()
    assert "done, 2 steps; next: python -m engines.export" in capsys.readouterr().err
    assert distill(settings, tmp_path / "run", 400, *NEVER, "--set", "run.lr=1e30") == 2
    said = capsys.readouterr().err
    assert "not finite" in said
    assert said.count("\n") == 1
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == before


def test_the_pictures_of_a_loss_that_is_not_finite_are_named(
    settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = Distill._student

    def spoilt(self: Distill, one: object) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        loss, terms = honest(self, one)  # type: ignore[arg-type]
        return loss * torch.nan, terms

    monkeypatch.setattr(Distill, "_student", spoilt)
    assert distill(settings, tmp_path / "run", 9) == 2
    said = capsys.readouterr().err
    assert "step 1: loss is not finite on p" in said
    assert (tmp_path / "run" / "state.safetensors").exists()


def test_a_full_disk_is_told_and_leaves_the_last_checkpoint(
    settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    distill(settings, out, 2)
    before = (out / "state.safetensors").read_bytes()

    def full(_tensors: object, path: Path, _meta: object) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(state, "save_file", full)
    assert distill(settings, out, 4) == 2
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert "state.safetensors" in said
    assert (out / "state.safetensors").read_bytes() == before
    assert not list(out.glob("*.part")) + list(out.glob(".*.part"))
    monkeypatch.undo()
    assert distill(settings, out, 4) == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_file_that_may_not_grow_is_told_in_one_line(settings: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert distill(settings, out, 2) == 0
    before = (out / "state.safetensors").read_bytes()
    command = f"ulimit -f 64; exec '{sys.executable}' -m train distill '{settings}' --out '{out}' --steps 4"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, text=True, capture_output=True, timeout=120, check=False)
    assert done.returncode == 2, done.stderr
    assert "cannot be saved" in done.stderr
    assert "Traceback" not in done.stderr
    assert (out / "state.safetensors").read_bytes() == before


def test_another_model_does_not_go_on_in_the_same_folder(
    settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    distill(settings, tmp_path / "run", 1)
    assert distill(settings, tmp_path / "run", 2, "--set", "model.width=16") == 2
    assert "choose another [run] out" in capsys.readouterr().err


def test_machines_that_do_not_share_the_run_folder_are_told(
    settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    distill(settings, tmp_path / "run", 1)
    # What the process of a machine that sees no checkpoint would answer.
    monkeypatch.setattr(World, "largest", lambda _self, *own: [max(value, 0.0) for value in own])
    assert distill(settings, tmp_path / "run", 2) == 2
    assert "put it on a shared disk" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_told(settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    distill(settings, tmp_path / "run", 1)
    path = tmp_path / "run" / "state.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    assert distill(settings, tmp_path / "run", 2) == 2
    assert f"{path}: expected" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_cannot_be_read_is_named_and_nothing_is_lost(
    data: Path, settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], workers: int
) -> None:
    bad = data / "data" / "train" / "p1.png"
    bad.write_bytes(bad.read_bytes()[:3000])
    assert distill(settings, tmp_path / "run", 9, "--set", f"run.workers={workers}") == 2
    said = capsys.readouterr().err
    assert "p1.png" in said
    assert "Traceback" not in said
    assert (tmp_path / "run" / "state.safetensors").exists()


@pytest.mark.slow
def test_memory_does_not_grow(settings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Resident memory over 500 steps after 50 of warm-up: less than 24 MiB more (a photo kept a step: 1,500)."""
    resident: dict[int, int] = {}
    honest = state.seed_step

    def measured(seed: int, step: int, rank: int) -> None:
        if step % 50 == 0:
            resident[step] = psutil.Process().memory_info().rss
        honest(seed, step, rank)

    monkeypatch.setattr("train.run.seed_step", measured)
    assert distill(settings, tmp_path / "run", 551, *NEVER) == 0
    assert max(resident) == 550
    assert max(resident[step] for step in resident if step > 300) - resident[50] < 24 * 2**20
