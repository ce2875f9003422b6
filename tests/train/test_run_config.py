"""A run's settings: every mistake is one line that names the file, the key and what was expected."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import tiny_runs

from train import __main__ as program
from train.config import RunConfig, read_config
from train.distill import TABLES
from train.gan import TABLES as GAN_TABLES
from train.toml import write_toml


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "pairs"
    folder.mkdir()
    return folder


def read(path: Path, *overrides: str) -> RunConfig:
    return read_config(path, TABLES, ("run.out=somewhere", "run.steps=3", *overrides))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("[loss]\nadversery = 1", r"\[loss\] adversery: no such key; expected one of adversary"),
        ("[loss]\nadversary = 'much'", r"\[loss\] adversary: expected a number, got 'much'"),
        ("[loss]\nsharpen = [1.0]", r"\[loss\] sharpen: expected a list of 2 values"),
        ("[lost]\n", r"\[lost\] is not known; expected run, model, data"),
        ("[card]\nlicense = 'x'", r"\[card\] license: no such key; expected one of style, licence"),
        ("[[stage]]\nname = 'a'\nepoch = 3", r"\[\[stage\]\] 1 epoch: no such key"),
        ("[[stage]]\nsteps = 2\nloss = {l2 = 1}", r"\[\[stage\]\] 1: loss l2: no such key"),
        ("[[stage]]\n[[stage]]\nsteps = 2", r"\[\[stage\]\] train: expected steps, epochs or minutes"),
        ("[[stage]]\nsteps = 2\ndata = ['nowhere.npz']", r"nowhere.npz: expected a file or folder of that name"),
        ("stage = 3", r"expected"),
        ("[loss", r"expected TOML"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(tmp_path: Path, data: Path, more: str, told: str) -> None:
    path = tiny_runs.write_run(tmp_path / "my run.toml", data, more)
    with pytest.raises(ValueError, match=told) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("run.batch=0", r"\[run\] batch: expected 1 or more, got 0"),
        ("run.batch=2.5", r"\[run\] batch: expected a whole number, got 2.5"),
        ("run.batch=true", r"\[run\] batch: expected a whole number, got True"),
        ("run.precision=fp16", r"\[run\] precision: expected fp32 or bf16, got 'fp16'"),
        ("run.schedule=linear", r"schedule: expected cosine or constant or paper, got 'linear'"),
        ("run.device=tpu", r"\[run\] device: expected auto, cpu or cuda"),
        ("run.ema=1.0", r"\[run\] ema: expected 0 to below 1"),
        ("data.strength=2", r"\[data\] strength: expected 0 to 1"),
        ("data.train=[]", r"\[data\] train: expected one or more files or folders"),
        ("model.start=gone.safetensors", r"gone.safetensors: expected a file or folder of that name, got none"),
        ("run.out=", r"\[run\] out: expected the run folder"),
        ("batch=2", r"--set batch=2: expected TABLE.KEY=VALUE"),
        ("run.batch", r"--set run.batch: expected TABLE.KEY=VALUE"),
        ("run.steps=0", r"\[run\]: expected minutes or steps to end the run"),
    ],
)
def test_a_value_that_cannot_be_is_told(tmp_path: Path, data: Path, override: str, told: str) -> None:
    path = tiny_runs.write_run(tmp_path / "run.toml", data)
    with pytest.raises(ValueError, match=told):
        read(path, override)


def test_values_may_be_set_beside_the_file(tmp_path: Path, data: Path) -> None:
    path = tiny_runs.write_run(tmp_path / "run.toml", data, "[[stage]]\nsteps = 2\n[[stage]]\nsteps = 3\n")
    config = read(path, "stage.1.lr=1e-5", "model.preset=studio", "loss.sharpen=[2, 0.5]", "run.lr=1")
    assert [stage.lr for stage in config.stages] == [None, 1e-5]
    assert config.model.preset == "studio"
    assert config.extra["loss"].sharpen == (2.0, 0.5)
    assert config.run.lr == 1.0
    assert isinstance(config.run.lr, float)
    assert read_config(path, TABLES, ("run.steps=9",), out="there", minutes=2.0, steps=None).run.minutes == 2.0


def test_a_stage_changes_only_the_losses_it_names(tmp_path: Path, data: Path) -> None:
    more = (
        "[loss]\nl1 = 50\n[[stage]]\nname = 'a'\nsteps = 1\nloss = {mode = 'none'}\n[[stage]]\nname = 'b'\nsteps = 1\n"
    )
    path = tiny_runs.write_run(tmp_path / "run.toml", data, more)
    config = read_config(path, GAN_TABLES, ("run.out=x",))
    first, second = (config.stage_table("loss", stage) for stage in config.stages)
    assert (first.mode, second.mode) == ("none", "exact")
    assert first.l1 == second.l1 == 50.0
    assert first.chamfer == second.chamfer == 0.1


def test_what_is_written_reads_the_same(tmp_path: Path, data: Path) -> None:
    more = '[card]\nstyle = "a \\"pen\\"\\n"\n' + "[[stage]]\nname = 'ä'\nsteps = 2\nloss = {adversary = 0.5}\n"
    config = read(tiny_runs.write_run(tmp_path / "run.toml", data, more))
    write_toml(tmp_path / "again.toml", config.to_dict())
    assert read_config(tmp_path / "again.toml", TABLES) == config
    assert tomllib.loads((tmp_path / "again.toml").read_text(encoding="utf-8"))["card"]["style"] == 'a "pen"\n'


def test_a_missing_file_is_told_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["distill", str(tmp_path / "none.toml"), "--out", "x"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"train distill: {tmp_path / 'none.toml'}: expected a run's TOML file, got none")
    assert said.count("\n") == 1


def test_a_folder_without_pairs_is_told(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny_runs.write_run(tmp_path / "run.toml", data)
    assert program.main(["distill", str(path), "--out", str(tmp_path / "run"), "--steps", "1"]) == 2
    said = capsys.readouterr().err
    assert str(data) in said
    assert said.count("\n") == 1
