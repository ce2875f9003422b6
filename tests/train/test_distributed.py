"""Two processes learn what one learns with the double batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import sgd_steps
import tiny_runs
import torch
from safetensors.torch import load_file
from torch import nn

from train import __main__ as program
from train.distributed import SharedBatchNorm2d, share_batch_norm

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-4


def torchrun(*arguments: str) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, capture_output=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_weights_of_two_processes_are_those_of_one_with_the_double_batch(tmp_path: Path) -> None:
    script = str(Path(sgd_steps.__file__))
    sgd_steps.main(2, tmp_path / "one.safetensors")
    torchrun(script, "1", str(tmp_path / "two.safetensors"))
    one, two = load_file(tmp_path / "one.safetensors"), load_file(tmp_path / "two.safetensors")
    assert one.keys() == two.keys()
    assert float(one["moved"]) > 100 * TOLERANCE  # the weights had every occasion to differ
    apart = {key: float((one[key].float() - two[key].float()).abs().max()) for key in one}
    assert max(apart.values()) <= TOLERANCE, sorted(apart.items(), key=lambda item: -item[1])[:5]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("distill", "[loss]\nadversary = 0.05\n"),
        ("gan", "[loss]\nmode = 'exact'\n[discriminator]\nwidth = 8\n"),
    ],
)
def test_a_run_of_two_processes_learns_what_one_does(tmp_path: Path, command: str, more: str) -> None:
    """Losses over three steps.

    The weights would say little: Adam moves a weight whose gradient is rounding alone as far as any other (the same run
    with other kernels of the same library ends 4e-4 away).
    """
    settings = tiny_runs.write_run(tmp_path / "run.toml", tiny_runs.write_pairs(tmp_path / "pairs", 4), more)
    keys = ("run.device=cpu", "run.schedule=constant", "run.lr=2e-4")
    options = [command, str(settings), "--steps", "3", *(word for key in keys for word in ("--set", key))]
    assert program.main([*options, "--out", str(tmp_path / "one"), "--set", "run.batch=2"]) == 0
    torchrun("-m", "train", *options, "--out", str(tmp_path / "two"), "--set", "run.batch=1")
    one, two = (json.loads((tmp_path / name / "log.jsonl").read_text().splitlines()[-1]) for name in ("one", "two"))
    assert two["loss"] == pytest.approx(one["loss"], rel=TOLERANCE)
    for term in one.keys() - {"minutes", "stage"}:
        assert two[term] == pytest.approx(one[term], rel=10 * TOLERANCE), term
    assert json.loads((tmp_path / "two" / "run.json").read_text())["processes"] == 2


def test_sharing_batch_norm_changes_neither_weights_nor_keys() -> None:
    module = nn.Sequential(nn.Conv2d(1, 3, 1), nn.BatchNorm2d(3), nn.InstanceNorm2d(3))
    before = {key: value.clone() for key, value in module.state_dict().items()}
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    assert share_batch_norm(module) == 1
    assert isinstance(module[1], SharedBatchNorm2d)
    assert list(module.state_dict()) == list(before)
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    assert any(parameter is module[1].weight for parameter in optimizer.param_groups[0]["params"])


def test_alone_a_shared_batch_norm_is_the_plain_one() -> None:
    plain, shared = nn.BatchNorm2d(2), nn.BatchNorm2d(2)
    share_batch_norm(nn.Sequential(shared))
    x = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(1))
    assert torch.equal(plain(x), shared(x))
    assert torch.equal(plain.running_var, shared.running_var)
