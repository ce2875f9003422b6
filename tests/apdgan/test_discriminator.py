"""The seven discriminators: the authors' tensors, what each of them sees, and their files."""

from __future__ import annotations

from pathlib import Path

import golden_training as golden
import pytest
import torch

from apdgan.checkpoint import CheckpointError
from apdgan.discriminator import (
    LOCAL,
    NAMES,
    HierarchicalDiscriminator,
    PatchDiscriminator,
    load_discriminator,
    local_views,
)

SIZES = {"D": (62, 62), "DLEyel": (8, 12), "DLEyer": (8, 12), "DLNose": (10, 10), "DLMouth": (8, 14)}


def test_tensors_carry_the_authors_names_and_shapes() -> None:
    with torch.device("meta"):
        state = PatchDiscriminator().state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == golden.shapes("D")


def test_a_patch_of_70_px_decides_one_value() -> None:
    network = PatchDiscriminator(width=2, norm="instance").double()
    for child in network.modules():  # per-picture statistics would let every pixel reach every value
        if isinstance(child, torch.nn.InstanceNorm2d):
            child.forward = lambda x: x
    picture = torch.rand(1, 4, 160, 160, dtype=torch.float64, requires_grad=True)
    network(picture)[0, 0, 8, 8].backward()
    assert picture.grad is not None
    rows = picture.grad.abs().sum((0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 70


def test_every_region_is_judged_by_its_own_network() -> None:
    batch = golden.batch()
    with torch.no_grad():
        logits = golden.discriminator()(batch["photo"], batch["drawing"], batch["boxes"], batch["fg"])
    assert tuple(logits) == NAMES
    sizes = {name: tuple(value.shape[2:]) for name, value in logits.items()}
    assert sizes == SIZES | dict.fromkeys(("DLHair", "DLBG"), SIZES["D"])


def test_hair_sees_neither_parts_nor_background_and_every_pixel_is_seen_once() -> None:
    batch = golden.batch()
    views = local_views(torch.ones_like(batch["drawing"]), batch["boxes"], batch["fg"])
    assert tuple(views) == LOCAL
    hair, background = (views[name] > 0 for name in ("GLHair", "GLBG"))
    assert torch.equal(background, ~batch["fg"])
    assert not (hair & background).any()
    x, y = (int(v) for v in batch["boxes"][0, 2])
    assert not hair[0, 0, y : y + 96, x : x + 96].any()
    assert set(views["GLHair"].unique().tolist()) == {-1.0, 1.0}


def test_raw_outputs_take_the_place_of_the_pictures_regions() -> None:
    batch = golden.batch()
    raw = {name: torch.rand_like(view) for name, view in local_views(batch["drawing"], *_where(batch)).items()}
    views = local_views(batch["drawing"], *_where(batch), raw)
    assert views["GLNose"] is raw["GLNose"]
    torch.testing.assert_close(views["GLBG"], raw["GLBG"].where(~batch["fg"], -1.0))


def _where(batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    return batch["boxes"], batch["fg"]


@pytest.mark.parametrize("layout", ["one file", "a folder", "a member"])
def test_official_files_load(tmp_path: Path, layout: str) -> None:
    original = golden.discriminator()
    states = {name: original.get_submodule(name).state_dict() for name in NAMES}
    path = tmp_path / "300_net_dis.pt"
    if layout == "one file":
        torch.save(states, path)
    else:
        for name, state in states.items():
            old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
            torch.save({f"module.{k}": v for k, v in old.items()}, tmp_path / f"300_net_{name}.pth")
        path = tmp_path if layout == "a folder" else tmp_path / "300_net_DLNose.pth"
    loaded = load_discriminator(path).state_dict()
    for key, value in original.state_dict().items():
        assert torch.equal(loaded[key], value) or key.endswith("num_batches_tracked"), key


def _without_one(states: dict[str, dict[str, torch.Tensor]]) -> object:
    return {name: state for name, state in states.items() if name != "DLHair"}


def _of_another_width(states: dict[str, dict[str, torch.Tensor]]) -> object:
    return states | {"DLBG": PatchDiscriminator(width=4).state_dict()}


def _not_finite(states: dict[str, dict[str, torch.Tensor]]) -> object:
    return states | {"D": {key: value * float("nan") for key, value in states["D"].items()}}


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_without_one, "expected the networks D, .* got no DLHair"),
        (_of_another_width, r"expected DLBG\.model\.0\.bias \(8,\), got \(4,\)"),
        (_not_finite, "D holds values that are not finite"),
        (lambda _states: [1, 2], "expected state dicts; got a file that holds a list"),
        (lambda _states: {"D": "weights"}, "expected the networks"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(tmp_path: Path, spoil: object, told: str) -> None:
    original = HierarchicalDiscriminator(width=8)
    path = tmp_path / "1_net_dis.pt"
    assert callable(spoil)
    torch.save(spoil({name: original.get_submodule(name).state_dict() for name in NAMES}), path)
    with pytest.raises(CheckpointError, match=told) as caught:
        load_discriminator(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_missing_and_damaged_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="No such file"):
        load_discriminator(tmp_path / "none.pt")
    with pytest.raises(CheckpointError, match="of one epoch; got none"):
        load_discriminator(tmp_path)
    (tmp_path / "1_net_D.pth").write_bytes(b"\x80\x02cos\nsystem\n")
    with pytest.raises(CheckpointError, match=r"got no 1_net_DLEyel\.pth"):
        load_discriminator(tmp_path)
    (tmp_path / "x.safetensors").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="expected a safetensors file"):
        load_discriminator(tmp_path / "x.safetensors")
