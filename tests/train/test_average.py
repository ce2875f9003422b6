"""The mean of checkpoints: what it is, and which ones have none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from apdgan.checkpoint import load, read_extra, save
from apdgan.config import preset
from apdgan.generator import HierarchicalGenerator
from train import __main__ as program


def write(path: Path, *, seed: int, width: int = 8, crest: float = 2.0, said: dict[str, str] | None = None) -> Path:
    torch.manual_seed(seed)
    save(path, HierarchicalGenerator(preset("lite", width=width, crest=crest)), said)
    return path


def test_shares_weigh_every_tensor_and_the_first_ones_last_step_is_kept(tmp_path: Path) -> None:
    said = {"licence": "Apache-2.0", "step": "7"}
    a = write(tmp_path / "a.safetensors", seed=1, crest=9.0, said=said)
    b = write(tmp_path / "b.safetensors", seed=2, said={"licence": "Apache-2.0"})
    out = tmp_path / "mean.safetensors"
    assert program.main(["average", str(a), str(b), "--shares", "3", "1", "--out", str(out)]) == 0
    one, other, mean = (load(path).state_dict() for path in (a, b, out))
    for key, value in mean.items():
        assert torch.allclose(value.double(), 0.75 * one[key].double() + 0.25 * other[key].double(), atol=1e-6), key
    assert any(not torch.equal(value, one[key]) for key, value in mean.items())
    assert load(out).config.fusion.crest == 9.0
    assert read_extra(out) == said


@pytest.mark.parametrize(
    ("how", "shares", "why"),
    [
        ({"width": 16}, ["1", "1"], "expected the network of"),
        ({"said": {"licence": "non-commercial"}}, ["1", "1"], "expected the licence and data"),
        ({}, ["1", "0"], "a share above 0 for each, got 2 and shares 1, 0"),
        ({}, ["1"], "a share above 0 for each"),
    ],
)
def test_what_has_no_mean_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: dict[str, object], shares: list[str], why: str
) -> None:
    a = write(tmp_path / "a.safetensors", seed=1)
    b = write(tmp_path / "b.safetensors", seed=2, **how)  # type: ignore[arg-type]
    out = tmp_path / "mean.safetensors"
    assert program.main(["average", str(a), str(b), "--shares", *shares, "--out", str(out)]) == 2
    assert why in capsys.readouterr().err
    assert not out.exists()
