"""The paper's training, small: its stages, its losses by name, and that it learns."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tiny_runs
import torch
from safetensors.torch import load_file, save_file

from apdgan.auxiliary import AuxiliaryNetworks
from apdgan.checkpoint import load
from train import __main__ as program
from train.dataset import open_pairs
from train.watch import draw

TINY = "[discriminator]\nwidth = 8\n"
PAPER = ("model.preset=paper", "model.norm=batch")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tiny_runs.write_pairs(tmp_path / "pairs", 2)


def gan(tmp_path: Path, data: Path, *more: str, toml: str = TINY, name: str = "run") -> int:
    settings = tiny_runs.write_run(tmp_path / f"{name}.toml", data, toml)
    options = [word for text in more for word in ("--set", text)]
    return program.main(["gan", str(settings), "--out", str(tmp_path / name), *options])


def log(tmp_path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]


def test_the_paper_s_own_setting_logs_every_term(tmp_path: Path, data: Path) -> None:
    assert gan(tmp_path, data, *PAPER, "run.steps=2", "loss.mode=exact") == 0
    line = log(tmp_path)[-1]
    adversarial = {"D", "D_real", "D_fake", "D_real_local", "D_fake_local", "G_GAN", "G_GAN_local"}
    assert adversarial | {"G", "G_L1", "G_local", "G_chamfer", "G_chamfer2"} <= line.keys()
    assert all(math.isfinite(value) for value in line.values() if isinstance(value, float))
    parts = sum(line[name] for name in ("G_GAN", "G_L1", "G_local", "G_chamfer", "G_chamfer2"))
    assert line["loss"] == pytest.approx(parts, rel=1e-4)
    assert load(tmp_path / "run" / "generator.safetensors").config.norm == "batch"


def test_the_last_epoch_of_the_paper_changes_no_weight(tmp_path: Path, data: Path) -> None:
    stages = TINY + '[[stage]]\nname = "whole"\nepochs = 2\n'
    assert gan(tmp_path, data, "run.steps=2", toml=stages, name="first") == 0  # two pairs: the first epoch
    assert gan(tmp_path, data, toml=stages, name="both") == 0
    one, two = (load_file(tmp_path / name / "state.safetensors") for name in ("first", "both"))
    weights = [key for key in one if key.startswith("model.") and key.endswith(("weight", "bias"))]
    assert all(torch.equal(one[key], two[key]) for key in weights)
    assert not torch.equal(one["model.generator.G.enter.1.running_mean"], two["model.generator.G.enter.1.running_mean"])
    facts = json.loads((tmp_path / "both" / "run.json").read_text())
    assert (facts["step"], facts["finished"]) == (4, True)


def test_stages_follow_each_other_with_data_and_losses_of_their_own(tmp_path: Path, data: Path) -> None:
    real = tiny_runs.write_pairs(tmp_path / "real", 3)
    stages = (
        f"{TINY}[[stage]]\nname = 'pretrain'\nsteps = 1\nloss = {{mode = 'none'}}\n"
        f"[[stage]]\nname = 'fine-tune'\nsteps = 2\ndata = ['{real.as_posix()}']\n"
    )
    assert gan(tmp_path, data, toml=stages) == 0
    facts = json.loads((tmp_path / "run" / "run.json").read_text())
    assert {name: stage["pairs"] for name, stage in facts["data"].items()} == {"pretrain": 2, "fine-tune": 3}
    assert (facts["step"], facts["stage"], facts["stage_step"], facts["samples"]) == (3, 1, 2, 2)
    assert "G_chamfer" in log(tmp_path)[-1]


def test_a_run_stopped_between_stages_goes_on_with_the_next(tmp_path: Path, data: Path) -> None:
    stages = f"{TINY}[[stage]]\nname = 'a'\nsteps = 1\n[[stage]]\nname = 'b'\nsteps = 2\n"
    assert gan(tmp_path, data, *PAPER, toml=stages, name="whole") == 0
    for steps in ("1", "2", "9"):  # with the paper's dropout
        assert gan(tmp_path, data, *PAPER, f"run.steps={steps}", toml=stages, name="parts") == 0
    one, two = (load_file(tmp_path / name / "state.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_the_frozen_networks_of_the_paper_lead_the_generator(tmp_path: Path, data: Path) -> None:
    torch.manual_seed(2)
    networks = AuxiliaryNetworks(width=2)
    path = tmp_path / "auxiliary.safetensors"
    save_file({key: value.contiguous() for key, value in networks.state_dict().items()}, path)
    before = path.read_bytes()
    chosen = ("loss.mode=network", f"loss.auxiliary={path}")
    assert gan(tmp_path, data, "run.steps=1", *chosen) == 0
    line = log(tmp_path)[-1]
    assert line["G_chamfer"] > 0
    assert line["G_chamfer2"] >= 0
    assert path.read_bytes() == before
    assert not [key for key in load_file(tmp_path / "run" / "state.safetensors") if "DT1" in key]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("loss.mode=fuzzy", "[loss] mode: expected none, network, exact, got 'fuzzy'"),
        ("loss.mode=network", "[loss] auxiliary: expected the file"),
        ("loss.reach_px=5", "chamfer reach: expected a multiple of 2 px, got 5"),
        ("model.preset=pencil", "preset: expected one of"),
    ],
)
def test_a_setting_that_cannot_be_is_told_before_the_run(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str], more: str, told: str
) -> None:
    assert gan(tmp_path, data, "run.steps=1", more) == 2
    said = capsys.readouterr().err
    assert told in said
    assert said.count("\n") == 1
    assert not (tmp_path / "run" / "state.safetensors").exists()


def test_discriminators_start_from_another_run(tmp_path: Path, data: Path) -> None:
    assert gan(tmp_path, data, "run.steps=1", name="first") == 0
    state = tmp_path / "first" / "state.safetensors"
    start = (f"discriminator.start={state}", f"model.start={state}", "run.lr=0.0")
    assert gan(tmp_path, data, "run.steps=1", *start, name="second") == 0
    one, two = load_file(state), load_file(tmp_path / "second" / "state.safetensors")
    key = "model.discriminator.DLNose.model.2.weight"
    assert torch.equal(one[key], two[key])
    assert torch.equal(one["average.G.leave.weight"], two["model.generator.G.leave.weight"])


@pytest.mark.slow
def test_from_nothing_it_learns_four_pairs_by_heart(tmp_path: Path) -> None:
    pairs = tiny_runs.write_pairs(tmp_path / "four", 4, plain=True)
    stages = "[discriminator]\nwidth = 4\n[[stage]]\nsteps = 100\nlr = 3e-3\n[[stage]]\nsteps = 30\nlr = 6e-4\n"
    chosen = ("run.batch=2", "run.schedule=constant", "loss.mode=none", "data.rotate_degrees=0.0", "data.scale=0.0")
    assert gan(tmp_path, pairs, *chosen, toml=stages) == 0
    drawn = draw(load(tmp_path / "run" / "generator.safetensors"), list(open_pairs([pairs])))
    apart = [np.abs(d / 127.5 - p.drawing / 127.5).mean() for d, p in zip(drawn, open_pairs([pairs]), strict=True)]
    assert float(np.mean(apart)) <= 0.05  # of -1..1; all paper would be 0.25
    assert all(math.isfinite(line[name]) for line in log(tmp_path) for name in ("D", "D_real", "D_fake", "G_GAN"))
    assert 0.1 < log(tmp_path)[-1]["D"] < 20  # neither side has given up
