"""The auxiliary networks: the authors' tensors, and their files."""

from __future__ import annotations

from pathlib import Path

import golden_training as golden
import pytest
import safetensors.torch
import torch

from apdgan.auxiliary import AUXILIARY, AuxiliaryNet, AuxiliaryNetworks, load_auxiliary
from apdgan.checkpoint import CheckpointError


def test_tensors_carry_the_authors_names_and_shapes() -> None:
    with torch.device("meta"):
        network = AuxiliaryNet()
    assert {key: list(value.shape) for key, value in network.state_dict().items()} == golden.shapes("aux_unet512")
    assert sum(p.numel() for p in network.parameters()) == 66_992_769


def test_dropout_sits_on_the_four_middle_blocks() -> None:
    names = [name for name, module in AuxiliaryNet(width=1).named_modules() if isinstance(module, torch.nn.Dropout)]
    assert sorted(name.count("model.3.") for name in names) == [3, 4, 5, 6]  # levels 4 to 7 of 0 to 8


@pytest.mark.parametrize("kind", ["ours", "official"])
def test_files_load_at_the_width_they_hold(tmp_path: Path, kind: str) -> None:
    original = AuxiliaryNetworks(width=2)
    path = tmp_path
    if kind == "ours":
        path = tmp_path / "auxiliary.safetensors"
        safetensors.torch.save_file(original.state_dict(), path)
    else:
        for name in AUXILIARY:
            torch.save(original.get_submodule(name).state_dict(), tmp_path / f"latest_net_{name}.pth")
    loaded = load_auxiliary(path).state_dict()
    assert loaded.keys() == original.state_dict().keys()
    assert all(torch.equal(loaded[key], value) for key, value in original.state_dict().items())


def test_a_file_of_other_networks_is_told(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file({"G.model.model.0.weight": torch.zeros(1, 3, 4, 4)}, path)
    with pytest.raises(CheckpointError, match="expected the networks DT1, DT2, Line1, Line2; got no DT1"):
        load_auxiliary(path)
