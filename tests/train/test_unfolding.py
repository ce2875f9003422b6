"""A shipped model file is a place to go on from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tiny_runs
import torch

from apdgan import checkpoint
from apdgan.config import preset
from apdgan.generator import HierarchicalGenerator
from engines.errors import ModelError
from engines.export import export_drawing
from engines.manifest import Weights
from engines.runs import licences_of
from engines.weights import read_kernels
from train import __main__ as program
from train.config import build_config
from train.distill import TABLES, Distill
from train.distributed import World


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tiny_runs.write_pairs(tmp_path / "pairs", 2)


def network() -> HierarchicalGenerator:
    """A width-8 lite with norms that have seen something."""
    torch.manual_seed(3)
    generator = HierarchicalGenerator(preset("lite", width=8))
    for module in generator.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.3, 0.3),
                (module.running_var, 0.5, 2.0),
                (module.weight, 0.6, 1.5),
                (module.bias, -0.3, 0.3),
            ):
                assert tensor is not None
                torch.nn.init.uniform_(tensor, low, high)
    return generator.eval()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[Weights, Path]:
    """The network as model files; the smaller one is not for everybody."""
    folder = tmp_path_factory.mktemp("models")
    checkpoint.save(folder / "g.safetensors", network())
    licences: dict[Weights, str] = {"fp32": "free", "fp16": "non-commercial use only"}
    return {
        weights: export_drawing(
            folder / "g.safetensors", folder / f"{weights}.onnx", weights=weights, stated={"licence": licence}
        ).path
        for weights, licence in licences.items()
    }


def start(data: Path, file: Path, **model: object) -> Distill:
    settings = {
        "run": {"out": "unused", "steps": 1},
        "model": {"preset": "lite", "width": 8, "start": str(file), **model},
        "data": {"train": [str(data)]},
        "loss": {"sharpen": [1.0, 0.0]},
    }
    return Distill(build_config(settings, TABLES), World.join("cpu"))


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    corners = torch.tensor([[[145, 199], [254, 199], [208, 248], [192, 331]]], dtype=torch.int32)
    return torch.rand(1, 3, 512, 512) * 2 - 1, corners, torch.ones(1, 1, 512, 512)


@pytest.mark.parametrize(("weights", "tolerance"), [("fp32", 1e-3), ("fp16", 5e-3)])
def test_a_run_that_starts_from_a_model_file_draws_as_it_does(
    data: Path, files: dict[Weights, Path], weights: Weights, tolerance: float
) -> None:
    student = start(data, files[weights]).student.eval()
    with torch.inference_mode():
        wanted, got = network()(*inputs()).fused, student(*inputs()).fused
    assert float(wanted.std()) > 0.005
    np.testing.assert_allclose(got, wanted, atol=tolerance)


def test_its_norms_are_norms_again(data: Path, files: dict[Weights, Path]) -> None:
    student = start(data, files["fp32"]).student
    norms = [m for m in student.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len({round(float(norm.weight.detach().mean()), 3) for norm in norms}) > 10
    student.eval()
    for norm in norms:  # the statistics are those of its inputs: what it does, it does by weight and bias
        assert norm.running_var is not None
        spread = (norm.running_var + norm.eps).sqrt().numpy()
        np.testing.assert_allclose(norm.weight.detach().numpy(), spread, rtol=0.2)


def test_the_last_step_is_taken_back_before_it_is_sharpened_anew(data: Path, files: dict[Weights, Path]) -> None:
    settings = {"run": {"out": "x", "steps": 1}, "data": {"train": [str(data)]}, "loss": {"sharpen": [3.0, 0.2]}}
    model = {"preset": "lite", "width": 8, "start": str(files["fp32"])}
    task = Distill(build_config(settings | {"model": model}, TABLES), World.join("cpu"))
    shipped = task.export(task.student.state_dict()).eval()
    with torch.inference_mode():
        np.testing.assert_allclose(shipped(*inputs()).fused, network()(*inputs()).fused, atol=2e-3)


def test_a_file_of_another_width_is_told_by_name(data: Path, files: dict[Weights, Path]) -> None:
    told = r"fp32\.onnx: expected G\.enter\.0\.weight \(16, 48, 3, 3\), got \(8, 48, 3, 3\)"
    with pytest.raises(ValueError, match=told):
        start(data, files["fp32"], width=16)


def test_of_another_preset_what_fits_is_taken_when_asked_for(data: Path, files: dict[Weights, Path]) -> None:
    state = start(data, files["fp32"], preset="studio", start_partial=True).student.state_dict()
    kernels = read_kernels(files["fp32"])
    assert np.array_equal(state["G.enter.0.weight"].numpy(), kernels["G.enter.0.weight"])
    assert state["GLHair.enter.0.weight"].shape != kernels["GLHair.enter.0.weight"].shape


def test_a_matte_model_is_no_start(data: Path) -> None:
    with pytest.raises(ModelError, match="expected a drawing model"):
        start(data, Path("models/matte.onnx"), width=32)


def test_a_run_from_a_file_trains(tmp_path: Path, data: Path, files: dict[Weights, Path]) -> None:
    run = tiny_runs.write_run(tmp_path / "run.toml", data)
    words = ["--out", str(tmp_path / "run"), "--steps", "1", "--set", f"model.start='{files['fp32'].as_posix()}'"]
    assert program.main(["distill", str(run), *words]) == 0
    assert (tmp_path / "run" / "student.safetensors").is_file()


def test_the_licence_of_a_file_binds_what_starts_from_it(files: dict[Weights, Path]) -> None:
    assert licences_of([files["fp16"]]) == {str(files["fp16"]): "non-commercial use only"}
