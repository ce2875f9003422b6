"""The student learns, resumes and never loses its last good checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from apdgan.alignment import TEMPLATE, boxes
from apdgan.checkpoint import load
from train.dataset import FIVE
from train.distill import bce, dice, thin, train


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    photo = np.full((2, 512, 512, 3), 200, np.uint8)
    drawing = np.full((2, 512, 512), 255, np.uint8)
    for i in range(2):
        for _ in range(30):
            x, y = rng.integers(0, 470, 2)
            photo[i, y : y + 12, x : x + 40] = 20
            drawing[i, y : y + 12, x : x + 40] = 0
    mesh = np.zeros((2, 478, 2), np.float32)
    mesh[:, list(FIVE)] = TEMPLATE
    path = tmp_path / "pairs.npz"
    matte = np.full((2, 512, 512), 255, np.uint8)
    np.savez(path, photo=photo, drawing=drawing, matte=matte, landmarks=mesh, name=np.array(["a", "b"]))
    return path


def run(data: Path, out: Path, steps: int, lr: float = 3e-3) -> None:
    train(
        files=[data], out=out, name="lite", norm="batch", width=16, minutes=10, steps=steps, batch=2, lr=lr, seed=1,
        strength=0.0, start=None, threads=1,
    )  # fmt: skip


def test_the_loss_falls_and_the_student_loads(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "run", 50)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["fused"] < 0.6 * 3.0
    assert lines[-1]["step"] == 50
    student = load(tmp_path / "run" / "student.safetensors").eval()
    with np.load(data) as file:
        photo, drawing = file["photo"][:1], file["drawing"][:1]
    x = torch.from_numpy(photo).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.inference_mode():
        out = student(x, torch.from_numpy(boxes(TEMPLATE))[None], torch.ones(1, 1, 512, 512, dtype=torch.bool))
    ink = out.fused[0, 0].numpy() < 0
    both, either = (ink & (drawing[0] < 128)).sum(), (ink | (drawing[0] < 128)).sum()
    assert both / either > 0.35  # all paper would be 0, all ink 0.05


def test_a_stopped_run_goes_on(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "run", 3)
    run(data, tmp_path / "run", 6)
    from safetensors import safe_open

    with safe_open(tmp_path / "run" / "state.safetensors", "pt") as file:
        assert file.metadata()["step"] == "6"
        assert float(file.metadata()["spent_s"]) > 0


def test_a_loss_that_is_not_finite_stops_before_it_spoils_the_checkpoint(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "run", 2)
    before = (tmp_path / "run" / "state.safetensors").read_bytes()
    with pytest.raises(SystemExit, match="not finite"):
        run(data, tmp_path / "run", 40, lr=1e30)
    assert (tmp_path / "run" / "state.safetensors").read_bytes() == before


def test_losses_are_zero_for_the_target_itself() -> None:
    ink = (torch.rand(2, 1, 32, 32) > 0.7).float()
    assert float(bce(1 - 2 * ink, ink)) < 1e-3
    assert float(dice(1 - 2 * ink, ink)) < 1e-3
    assert float(dice(2 * ink - 1, ink)) > 0.9


def test_solid_masses_are_no_lines() -> None:
    ink = torch.zeros(1, 1, 64, 64)
    ink[..., 10:40, 10:40] = 1
    ink[..., 50:52, 5:60] = 1
    assert float(thin(ink)[..., 10:40, 10:40].sum()) == 0
    assert float(thin(ink)[..., 50:52, 5:60].mean()) == 1
