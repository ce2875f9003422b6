"""The training benchmark measures real steps and says what it could not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import training
from benchmarks.training import PAPER_STEPS, made_up, main, measure


def test_a_small_network_is_timed_and_the_papers_run_computed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "WARM_UP", 1)
    assert main(["--preset", "lite", "--width", "8", "--judge-width", "4", "--steps", "2", "--out", str(tmp_path)]) == 0
    report = json.loads(next(tmp_path.glob("*.json")).read_text())
    assert [v["precision"] for v in report["variants"]] == ["fp32", "bf16"]
    for variant in report["variants"]:
        assert variant["ms"] > 0
        assert variant["ms_p95"] >= variant["ms"]
        assert variant["hours_of_paper"] == pytest.approx(PAPER_STEPS * variant["ms"] / 3.6e6, rel=0.02, abs=0.01)
    text = next(tmp_path.glob("*.md")).read_text()
    assert "| bf16 | no |" in text
    assert "126,000 pictures" in text


def test_the_steps_move_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    build = training.Gan

    def spy(*args: object) -> object:
        made.append(build(*args))  # type: ignore[arg-type]
        made.append({k: v.clone() for k, v in made[0].generator.state_dict().items()})
        return made[0]

    monkeypatch.setattr(training, "Gan", spy)
    monkeypatch.setattr(training, "WARM_UP", 0)
    measure(preset="lite", width=8, batch=1, precision="fp32", compiled=False, steps=1, judge_width=4)
    after = made[0].generator.state_dict()
    assert any(not torch.equal(after[k], v) for k, v in made[1].items() if v.is_floating_point())


def test_what_fails_is_told_in_its_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(**_settings: object) -> dict[str, object]:
        raise RuntimeError("out of memory\nand a long tale")

    monkeypatch.setattr(training, "measure", fail)
    assert main(["--steps", "1"]) == 0
    assert "| fp32 | no | out of memory |" in capsys.readouterr().out


def test_made_up_pictures_have_the_sizes_of_real_ones() -> None:
    batch = made_up(2, torch.device("cpu"))
    assert batch.photo.shape == (2, 3, 512, 512)
    assert batch.drawing.shape == (2, 1, 512, 512)
    assert set(batch.drawing.unique().tolist()) == {-1.0, 1.0}
    assert batch.corners.shape == (2, 4, 2)
    assert bool(batch.fg.any())
    assert not bool(batch.fg.all())
