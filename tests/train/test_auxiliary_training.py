"""``train auxiliary``: what the four networks are taught, that they learn it, and how their error is told."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_runs
import torch
from numpy.typing import NDArray
from torch import Tensor

from apdgan.auxiliary import AUXILIARY, AuxiliaryNetworks, load_auxiliary
from apdgan.chamfer import NetworkChamfer
from apdgan.distance import LINE_PX, distance_px, line_maps
from train import __main__ as program
from train.augment import Sample
from train.auxiliary import Targets, line_loss, measure, soften


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    data = tiny_runs.write_pairs(tmp_path / "pairs", 2)
    path = tiny_runs.write_run(tmp_path / "run.toml", data)
    path.write_text(path.read_text().replace("width = 8", "width = 2") + f'held_out = ["{data.as_posix()}"]\n')
    return path


def rings() -> NDArray[np.uint8]:
    drawing = np.full((512, 512), 255, np.uint8)
    cv2.circle(drawing, (250, 260), 120, 0, 3)
    cv2.circle(drawing, (250, 260), 50, 0, -1)
    cv2.line(drawing, (220, 260), (280, 260), 255, 3)
    return drawing


def sample(drawing: NDArray[np.uint8]) -> Sample:
    photo = np.repeat(drawing[..., None], 3, 2)
    return Sample(photo=photo, drawing=drawing, matte=drawing, points=np.zeros((5, 2), np.float32))


def perfect(drawing: NDArray[np.uint8]) -> AuxiliaryNetworks:
    """Networks that know the answer."""
    targets = {name: torch.from_numpy(t)[None] for name, t in Targets(line_px=LINE_PX)(sample(drawing)).items()}

    class Known(AuxiliaryNetworks):
        def ask(self, name: str, drawing: Tensor) -> Tensor:
            return targets[name].expand(len(drawing), -1, -1, -1)

    return Known(width=1)


def test_the_targets_are_the_natural_ones() -> None:
    drawing = rings()
    wanted = Targets(line_px=LINE_PX)(sample(drawing))
    assert tuple(wanted) == AUXILIARY
    assert all(one.shape == (1, 512, 512) and one.dtype == np.float32 for one in wanted.values())
    exact = distance_px(drawing <= 127)
    np.testing.assert_allclose((wanted["DT1"][0] / 2 + 0.5) * exact.max(), exact, atol=1e-3)
    black, white = line_maps(drawing)
    assert black.any()
    assert white.any()
    assert np.array_equal(wanted["Line1"][0] < 0, black)
    assert np.array_equal(wanted["Line2"][0] >= 0, white)


def test_perfect_networks_have_no_error_and_give_the_exact_loss() -> None:
    drawing = rings()
    networks = perfect(drawing)
    figures = measure(networks, [drawing, drawing, drawing], line_px=LINE_PX)
    assert figures.pop("Line1_f1") == figures.pop("Line2_f1") == 1
    assert max(figures.values()) < 1e-3
    x = torch.from_numpy(drawing)[None, None].float() / 127.5 - 1
    assert [float(v) for v in NetworkChamfer(networks)(x, x)] == [0, 0]


def test_an_error_is_told_in_pixels() -> None:
    networks = perfect(rings())
    told = measure(networks, [np.roll(rings(), 4, 1)], line_px=LINE_PX)
    assert 1 < told["DT1_px"] < 4
    assert 1 < told["DT1_near_px"] < 4
    assert told["Line1_f1"] < 0.8


def test_the_rare_line_weighs_as_much_as_the_rest() -> None:
    wanted = torch.ones(1, 1, 64, 64)
    wanted[..., 30] = -1
    missed, invented = wanted.clone(), wanted.clone()
    missed[..., 30] = 0.9
    invented[..., 10] = -0.9
    assert (
        float(line_loss(missed, wanted))
        > 2 * float(line_loss(invented, wanted))
        > 2 * float(line_loss(wanted * 0.99, wanted))
    )


def test_a_softened_drawing_is_grey_and_depends_on_its_randomness_alone() -> None:
    first, again, other = (soften(np.random.default_rng(seed), rings()) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert ((first > 30) & (first < 220)).mean() > 0.005


def test_a_run_learns_and_tells_its_error(settings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    rate = ["--set", "run.lr=0.005", "--set", "run.schedule=constant"]
    assert program.main(["auxiliary", str(settings), "--out", str(out), "--steps", "1", *rate]) == 0
    before = json.loads((out / "auxiliary.json").read_text())
    assert program.main(["auxiliary", str(settings), "--out", str(out), "--steps", "25", *rate]) == 0
    after = json.loads((out / "auxiliary.json").read_text())
    assert after["drawings"] == 2
    assert after["training"]["DT1_px"] < 0.7 * before["training"]["DT1_px"]
    assert after["training"].keys() == after["evaluation"].keys()
    assert "DT1_px" in capsys.readouterr().out

    networks = load_auxiliary(out / "auxiliary.safetensors")
    drawn = torch.zeros(1, 1, 512, 512, requires_grad=True)
    first, _ = NetworkChamfer(networks)(drawn, -torch.ones(1, 1, 512, 512))
    first.backward()
    assert drawn.grad is not None
    assert bool(drawn.grad.isfinite().all())
