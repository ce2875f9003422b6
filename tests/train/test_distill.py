"""A student learns a teacher's drawings, whoever the teacher is."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_runs
import torch
from safetensors.torch import load_file, save_file

from apdgan.alignment import TEMPLATE, boxes
from apdgan.checkpoint import load, read_extra, save
from apdgan.config import preset
from apdgan.generator import GeneratorOutput, HierarchicalGenerator
from apdgan.regions import BACKGROUND, FOREGROUND, PARTS
from train import __main__ as program
from train.dataset import open_pairs
from train.distill import bce, dice, doubt, losses, thin, tone
from train.watch import draw


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tiny_runs.write_pairs(tmp_path / "pairs", 2)


def distill(tmp_path: Path, data: Path, *more: str, toml: str = "", steps: int = 1) -> int:
    settings = tiny_runs.write_run(tmp_path / "run.toml", data, toml)
    options = [word for text in more for word in ("--set", text)]
    return program.main(["distill", str(settings), "--out", str(tmp_path / "run"), "--steps", str(steps), *options])


def log(tmp_path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_the_loss_falls_and_the_student_draws(tmp_path: Path, data: Path) -> None:
    assert distill(tmp_path, data, "run.batch=2", "run.lr=3e-3", "model.width=16", steps=60) == 0
    assert log(tmp_path)[-1]["step"] == 60
    student = load(tmp_path / "run" / "student.safetensors")
    pairs = list(open_pairs([data]))
    for drawn, pair in zip(draw(student, pairs), pairs, strict=True):
        assert pair.drawing is not None
        ink, wanted = drawn < 128, pair.drawing < 128
        assert (ink & wanted).sum() / (ink | wanted).sum() > 0.25  # all paper would be 0, all ink 0.1


def test_every_term_is_in_the_log_and_the_card_in_the_weights(tmp_path: Path, data: Path) -> None:
    toml = "[loss]\nadversary = 0.05\n[consistency]\nweight = 1.0\n[card]\nlicence = 'free'\n"
    assert distill(tmp_path, data, toml=toml) == 0
    terms = log(tmp_path)[-1]
    assert {"fused", "dice", "global", "foreground", "GLNose", "parts", "judge", "adversary", "steady"} <= terms.keys()
    assert all(np.isfinite(value) for value in terms.values() if isinstance(value, float))
    extra = read_extra(tmp_path / "run" / "student.safetensors")
    assert extra["licence"] == "free"
    assert extra["step"] == "1"


def test_half_precision_and_accumulated_gradients_train(tmp_path: Path, data: Path) -> None:
    assert distill(tmp_path, data, "run.precision=bf16", "run.accumulate=2", toml="[loss]\nadversary = 0.05\n") == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["samples"] == 2
    weights = load_file(tmp_path / "run" / "student.safetensors")
    assert all(value.dtype == torch.float32 for value in weights.values() if value.is_floating_point())


def test_a_checkpoint_teaches(tmp_path: Path, data: Path) -> None:
    teacher = HierarchicalGenerator(preset("lite", width=8)).eval()
    save(tmp_path / "teacher.safetensors", teacher)
    for photo in (data / "data" / "train").glob("*.png"):  # there are no drawings but the teacher's
        cv2.imwrite(str(photo), cv2.imread(str(photo))[:, :512])
    assert distill(tmp_path, data, f"data.teacher={tmp_path / 'teacher.safetensors'}") == 0
    drawn = sorted((tmp_path / "run" / "teacher").rglob("*.png"))
    assert len(drawn) == 2
    wanted = draw(teacher, list(open_pairs([data], drawings=False)))
    for path, drawing in zip(drawn, wanted, strict=True):
        assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), drawing)


def test_the_drawing_teacher_says_what_it_needs(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert distill(tmp_path, data, "data.teacher=npr") == 2
    said = capsys.readouterr().err
    assert "expected a face mesh" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("kind", ["checkpoint", "tensors", "run"])
def test_a_run_starts_from_weights_of_any_kind(tmp_path: Path, data: Path, kind: str) -> None:
    torch.manual_seed(5)
    model = HierarchicalGenerator(preset("lite", width=8))
    path = tmp_path / "start.safetensors"
    if kind == "checkpoint":
        save(path, model)
    else:
        prefix = "average." if kind == "run" else ""
        save_file({prefix + key: value.contiguous() for key, value in model.state_dict().items()}, path)
    assert distill(tmp_path, data, f"model.start={path}", "run.lr=0.0", "loss.sharpen=[1, 0]") == 0
    student = load(tmp_path / "run" / "student.safetensors").state_dict()
    assert all(torch.equal(student[key], value) for key, value in model.named_parameters())


def test_weights_that_do_not_fit_are_refused_unless_a_part_is_wanted(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "start.safetensors"
    model = HierarchicalGenerator(preset("lite", width=16))
    save(path, model)
    assert distill(tmp_path, data, f"model.start={path}") == 2
    said = capsys.readouterr().err
    assert "start_partial = true" in said
    assert "expected G." in said
    assert distill(tmp_path, data, f"model.start={path}", "model.start_partial=true") == 0


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


def test_tone_is_about_how_dark_it_is_not_where_the_strokes_lie() -> None:
    ink = torch.zeros(1, 1, 64, 64)
    ink[..., ::4] = 1
    moved, paler, grey = torch.roll(ink, 2, -1), ink.clone(), torch.full_like(ink, 0.25)
    paler[..., ::8] = 0
    assert float(tone(1 - 2 * moved, ink)) == 0
    assert float(tone(1 - 2 * grey, ink)) == 0
    assert float(tone(1 - 2 * paler, ink)) == pytest.approx(2 / 8)


def test_a_hand_that_hatches_is_taught_by_tone_and_by_what_the_judge_sees(tmp_path: Path, data: Path) -> None:
    plain = ["run.workers=0", "loss.adversary=0.5"]
    assert distill(tmp_path, data, *plain) == 0
    before = log(tmp_path)[-1]
    (tmp_path / "run").rename(tmp_path / "plain")
    terms = ("loss.pixel=0.25", "loss.tone=2.0", "loss.doubt=0.5", "loss.matching=3.0")
    assert distill(tmp_path, data, *plain, *terms) == 0
    after = log(tmp_path)[-1]
    assert after["fused"] == pytest.approx(0.25 * before["fused"])
    assert after["adversary"] == pytest.approx(before["adversary"])
    assert after["tone"] > 0
    assert 0 < after["doubt"] < 0.5
    assert after["matching"] > 0
    assert "tone" not in before


def test_steadiness_is_asked_of_the_drawing_as_it_will_be_shipped(tmp_path: Path, data: Path) -> None:
    steady = []
    for gain in (1.0, 6.0):
        assert distill(tmp_path, data, "run.workers=0", "consistency.weight=1.0", f"loss.sharpen=[{gain}, 0.0]") == 0
        steady.append(log(tmp_path)[-1])
        (tmp_path / "run").rename(tmp_path / f"gain {gain}")
    assert steady[0]["fused"] == pytest.approx(steady[1]["fused"])
    assert steady[1]["steady"] > 1.1 * steady[0]["steady"] > 0


def test_doubt_is_grey_away_from_edges() -> None:
    ink = torch.zeros(1, 1, 32, 32)
    ink[..., 16:] = 1
    grey, edge = 1 - 2 * ink, 1 - 2 * ink
    assert float(doubt(grey, ink)) == 0
    edge[..., 15:17] = 0
    assert float(doubt(edge, ink)) == 0
    grey[..., :8] = 0
    flat = 28 * 32  # all but two columns to each side of the edge
    assert float(doubt(grey, ink)) == pytest.approx((7 + 8 / 9 + 5 / 9) * 32 / flat)  # the border softened
    halftone = 1 - 2 * (torch.arange(32)[:, None] + torch.arange(32)).remainder(2).float()
    assert float(doubt(halftone.expand_as(ink), ink)) > 0.95
    assert float(doubt(-0.5 * torch.ones_like(ink), ink)) == pytest.approx(0.75)


def test_matching_needs_a_judge_and_gets_one(tmp_path: Path, data: Path) -> None:
    assert distill(tmp_path, data, "loss.matching=1.0") == 0
    assert log(tmp_path)[-1]["matching"] > 0
    assert log(tmp_path)[-1]["adversary"] == 0


def test_a_missing_nose_or_chin_costs_more_where_that_is_asked_and_the_other_does_not() -> None:
    corners = torch.from_numpy(boxes(TEMPLATE))[None]
    nose, chin = torch.zeros(1, 1, 512, 512), torch.zeros(1, 1, 512, 512)
    x, y = corners[0, 2].tolist()
    nose[..., y + 40 : y + 42, x + 20 : x + 80] = 1
    chin[..., 460:462, 200:300] = 1
    paper = torch.ones(1, 1, 512, 512)
    raw = {region.name: torch.ones(1, 1, region.height, region.width) for region in PARTS}
    raw |= {FOREGROUND: paper, BACKGROUND: paper}
    drawn = GeneratorOutput(fused=paper, global_=paper, local_map=paper, raw=raw)

    def costs(ink: torch.Tensor, **factors: float) -> float:
        return float(losses(drawn, ink, corners, torch.ones_like(ink), **factors)["fused"])

    assert costs(nose, nose=4.0) > 1.5 * costs(nose)
    assert costs(chin, nose=4.0) == pytest.approx(costs(chin))
    assert costs(chin, jaw=4.0) > 1.5 * costs(chin)
    assert costs(nose, jaw=4.0) == pytest.approx(costs(nose))
