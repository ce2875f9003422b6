"""Weights on disk: our own format round trip, every official form, and every way that a file can be wrong."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import golden_rule as rule
import pytest
import safetensors.torch
import torch

from apdgan import checkpoint
from apdgan.checkpoint import NETWORKS, CheckpointError
from apdgan.config import NORMS, preset
from apdgan.generator import HierarchicalGenerator

Networks = dict[str, Any]
both_pickles = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])


def networks(*, counted: bool = True) -> Networks:
    """What an official file of width 8 holds; without the batch counters where an old torch wrote it."""
    return {
        net: {key: value for key, value in state.items() if counted or "num_batches" not in key}
        for net, state in rule.weights(8).items()
    }


def write(path: Path, value: Any, *, zipped: bool = True) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=zipped)
    return path


def write_members(folder: Path, value: Networks, *, epoch: str = "300", zipped: bool = True) -> Path:
    for net, state in value.items():
        write(folder / f"{epoch}_net_{net}.pth", state, zipped=zipped)
    return folder


def assert_holds_the_rule(generator: HierarchicalGenerator, *, counted: bool = True) -> None:
    assert not generator.training
    for key, value in generator.state_dict().items():
        net, name = key.split(".", 1)
        expected = rule.tensor(net, name, list(value.shape))
        if name.endswith("num_batches_tracked") and not counted:
            expected = torch.tensor(0)
        assert torch.equal(value, expected), key


def complaint(path: str | Path, norm: str | None = None) -> str:
    """The one line that a bad checkpoint is answered with."""
    with pytest.raises(CheckpointError) as caught:
        checkpoint.load(path, norm)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) < 1000
    assert caught.value.__cause__ is None
    return line


# --- official files -------------------------------------------------------------------------------------------------


@both_pickles
@pytest.mark.parametrize("counted", [True, False], ids=["counters", "no counters"])
@pytest.mark.parametrize("norm", NORMS)
def test_the_official_generator_file_is_read(tmp_path: Path, zipped: bool, counted: bool, norm: str) -> None:
    path = write(tmp_path / "300_net_gen.pt", networks(counted=counted), zipped=zipped)
    generator = checkpoint.load(path, norm=norm)
    assert generator.config == preset("paper", norm=norm, width=8)
    assert_holds_the_rule(generator, counted=counted)


@both_pickles
@pytest.mark.parametrize("counted", [True, False], ids=["counters", "no counters"])
@pytest.mark.parametrize("given", ["", *(f"300_net_{net}.pth" for net in ("G", "GLNose", "GCombine"))])
def test_official_files_by_network_are_read(tmp_path: Path, zipped: bool, counted: bool, given: str) -> None:
    write_members(tmp_path, networks(counted=counted), zipped=zipped)
    write(tmp_path / "300_net_D.pth", {"model.0.weight": torch.zeros(1)})  # discriminators lie beside them
    assert_holds_the_rule(checkpoint.load(tmp_path / given, norm="batch"), counted=counted)


def test_a_folder_with_a_generator_file_is_read(tmp_path: Path) -> None:
    write(tmp_path / "300_net_gen.pt", networks())
    write(tmp_path / "300_net_dis.pt", {"D": {}})
    assert_holds_the_rule(checkpoint.load(str(tmp_path)))


def test_official_weights_draw_with_per_picture_statistics_unless_told_otherwise(tmp_path: Path) -> None:
    path = write(tmp_path / "300_net_gen.pt", networks())
    assert checkpoint.load(path).config.norm == "instance"
    assert checkpoint.read_config(path) == preset("paper", norm="instance", width=8)
    assert checkpoint.read_extra(path) == {}


def test_the_width_is_read_off_the_tensors() -> None:
    for width in (8, 24):
        state = {"G": {"model.model.0.weight": torch.zeros(width, 3, 4, 4)}}
        assert checkpoint.infer_config(state) == preset("paper", norm="instance", width=width)


@pytest.mark.parametrize("state", [{}, {"G": {}}, {"G": {"model.model.0.weight": torch.zeros(8, 4, 4, 4)}}])
def test_a_width_that_cannot_be_read_is_an_error(state: Networks) -> None:
    with pytest.raises(CheckpointError, match=r"expected G\.model\.model\.0\.weight \(width, 3, 4, 4\); got "):
        checkpoint.infer_config(state)


def test_the_prefix_of_a_data_parallel_wrapper_is_dropped(tmp_path: Path) -> None:
    wrapped = {net: {f"module.{key}": value for key, value in state.items()} for net, state in networks().items()}
    assert_holds_the_rule(checkpoint.load(write(tmp_path / "1_net_gen.pt", wrapped)))


def test_half_precision_weights_are_widened(tmp_path: Path) -> None:
    half = {n: {k: v.half() if v.is_floating_point() else v for k, v in s.items()} for n, s in networks().items()}
    generator = checkpoint.load(write(tmp_path / "1_net_gen.pt", half))
    assert {p.dtype for p in generator.parameters()} == {torch.float32}


# --- tensors that do not fit ----------------------------------------------------------------------------------------

LAST_UP = "model.model.3.weight"


def without(state: Networks) -> None:
    del state["GLNose"][LAST_UP]


def surplus(state: Networks) -> None:
    state["GLNose"]["model.model.9.weight"] = torch.zeros(2, 5)


def misshapen(state: Networks) -> None:
    state["GLNose"][LAST_UP] = torch.zeros(16, 3, 4, 4)


def textual(state: Networks) -> None:
    state["GLNose"][LAST_UP] = "weights"


def integral(state: Networks) -> None:
    state["GLNose"][LAST_UP] = torch.zeros(16, 1, 4, 4, dtype=torch.int64)


def sparse(state: Networks) -> None:
    state["GLNose"][LAST_UP] = torch.zeros(16, 1, 4, 4).to_sparse()


def poisoned(state: Networks) -> None:
    state["GLNose"][LAST_UP][3, 0, 1, 1] = float("nan")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (without, "expected GLNose.model.model.3.weight (16, 1, 4, 4), got no such tensor"),
        (surplus, "expected no tensor GLNose.model.model.9.weight, got (2, 5)"),
        (misshapen, "expected GLNose.model.model.3.weight (16, 1, 4, 4), got (16, 3, 4, 4)"),
        (textual, "expected GLNose.model.model.3.weight (16, 1, 4, 4), got str"),
        (integral, "expected GLNose.model.model.3.weight (16, 1, 4, 4), got (16, 1, 4, 4) int64"),
        (sparse, "expected GLNose.model.model.3.weight (16, 1, 4, 4), got (16, 1, 4, 4) float32 sparse_coo"),
        (
            poisoned,
            "expected GLNose.model.model.3.weight (16, 1, 4, 4), got (16, 1, 4, 4) with values that are not finite",
        ),
    ],
)
@pytest.mark.parametrize("norm", NORMS)
def test_a_tensor_that_does_not_fit_is_named(
    tmp_path: Path, norm: str, spoil: Callable[[Networks], None], words: str
) -> None:
    state = networks()
    spoil(state)
    assert words in complaint(write(tmp_path / "1_net_gen.pt", state), norm)
    assert words in complaint(write_members(tmp_path, state, epoch="2") / "2_net_G.pth", norm)


def test_many_faults_are_counted_not_listed(tmp_path: Path) -> None:
    state = networks()
    dropped = len(state["GLBG"]) - 1
    state["GLBG"] = {LAST_UP: state["GLBG"][LAST_UP]}
    line = complaint(write(tmp_path / "1_net_gen.pt", state), "batch")
    counters = sum(key.endswith("num_batches_tracked") for key in networks()["GLBG"])
    assert f"and {dropped - counters - 3} more" in line


def test_running_statistics_that_are_not_there_are_not_invented(tmp_path: Path) -> None:
    state = {n: {k: v for k, v in s.items() if "running" not in k} for n, s in networks(counted=False).items()}
    path = write(tmp_path / "1_net_gen.pt", state)
    assert_holds_the_rule(checkpoint.load(path))
    line = complaint(path, "batch")
    assert "running_mean" in line
    assert line.endswith("load it with norm 'instance'")


def test_a_network_missing_or_too_many_is_named(tmp_path: Path) -> None:
    state = networks()
    state["GLChin"] = {}
    assert "got also GLChin" in complaint(write(tmp_path / "1_net_gen.pt", state))
    del state["GLChin"], state["GLHair"]
    assert "got no GLHair" in complaint(write(tmp_path / "1_net_gen.pt", state))
    state["GLHair"] = [1, 2]
    assert "expected GLHair to be a state dict; got list" in complaint(write(tmp_path / "1_net_gen.pt", state))


# --- files of another kind ------------------------------------------------------------------------------------------


def test_a_path_without_a_checkpoint_is_answered_in_one_line(tmp_path: Path) -> None:
    assert "got an empty path" in complaint("")
    assert "No such file" in complaint(tmp_path / "none.safetensors")
    assert "No such file" in complaint(tmp_path / "300_net_G.pth")
    assert "got a folder without any of them" in complaint(tmp_path)


def test_a_folder_that_lacks_a_network_names_the_file(tmp_path: Path) -> None:
    write_members(tmp_path, networks())
    (tmp_path / "300_net_GLMouth.pth").unlink()
    for path in (tmp_path, tmp_path / "300_net_G.pth"):
        assert "got no 300_net_GLMouth.pth" in complaint(path)


def test_a_folder_of_several_epochs_asks_for_one(tmp_path: Path) -> None:
    write(tmp_path / "300_net_gen.pt", networks())
    write_members(tmp_path, networks(), epoch="latest")
    assert "expected one epoch; got 300, latest; name a file of one epoch" in complaint(tmp_path)
    assert_holds_the_rule(checkpoint.load(tmp_path / "latest_net_GLHair.pth"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "got an empty file"),
        (b"hello, I am no checkpoint", "got a file of another kind"),
        (b"12345678{ is not a header", "got a file of another kind"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "got a file of another kind"),
        (b"PK\x03\x04" + bytes(64), "damaged or incomplete"),
        (b"\x80\x02" + bytes(64), "damaged or incomplete"),
        (struct.pack("<Q", 50) + b"{" + b"x" * 49, "damaged or incomplete"),
        (struct.pack("<Q", 5_000_000) + b'{"a":', "damaged or incomplete"),
    ],
)
@pytest.mark.parametrize("name", ["model.safetensors", "300_net_gen.pt"])
def test_bytes_of_another_kind_are_refused(tmp_path: Path, content: bytes, words: str, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    line = complaint(path)
    assert words in line
    assert str(path) in line


def test_a_torch_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    assert "got a file that holds a list" in complaint(write(path, [1, 2]))
    assert "got a file that holds a Tensor" in complaint(write(path, torch.zeros(3)))
    assert "got a file that holds D, DLEyel" in complaint(write(path, {"D": {}, "DLEyel": {}}))
    assert "got a file that holds nothing" in complaint(write(path, {}))
    assert "got a file that holds model." in complaint(write(path, networks()["G"]))


def test_a_zip_that_still_has_to_be_unpacked_says_so(tmp_path: Path) -> None:
    path = tmp_path / "Models1.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("checkpoints/300_net_gen.pt", "x")
    assert "unpack it" in complaint(path)


def test_a_safetensors_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    assert "got a safetensors file of something else" in complaint(path)
    for settings in ("no json", "[]", "{}", '{"family": "paper"}', "null"):
        safetensors.torch.save_file({"a": torch.zeros(1)}, path, {"apdgan.config": settings})
        assert "expected the settings of a generator in its header" in complaint(path)


# --- hostile and damaged files --------------------------------------------------------------------------------------


class Payload:
    """Unpickled with trust, this makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def as_zip(payload: Payload) -> bytes:
    buffer = io.BytesIO()
    torch.save({"G": payload}, buffer)
    return buffer.getvalue()


def as_legacy(payload: Payload) -> bytes:
    buffer = io.BytesIO()
    torch.save({"G": payload}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def as_pickle(payload: Payload) -> bytes:
    return pickle.dumps(payload, protocol=2)


def as_new_pickle(payload: Payload) -> bytes:
    return pickle.dumps(payload, protocol=5)


@pytest.mark.parametrize("name", ["300_net_gen.pt", "300_net_GLNose.pth", "model.safetensors"])
@pytest.mark.parametrize("form", [as_zip, as_legacy, as_pickle, as_new_pickle])
def test_a_malicious_pickle_is_refused_and_nothing_runs(
    tmp_path: Path, form: Callable[[Payload], bytes], name: str
) -> None:
    marker = tmp_path / "the payload ran"
    write_members(tmp_path, networks())
    path = tmp_path / name
    path.write_bytes(form(Payload(marker)))
    line = complaint(path)
    assert not marker.exists()
    with pytest.raises(CheckpointError):
        checkpoint.read_config(path)
    assert not marker.exists()
    if form is not as_new_pickle:  # torch gives that one up before it reaches the name of the function
        assert f"wants to run {os.name}.mkdir; nothing was run" in line


@pytest.mark.parametrize("form", [as_zip, as_legacy])
def test_the_payload_of_the_test_above_is_live(tmp_path: Path, form: Callable[[Payload], bytes]) -> None:
    marker = tmp_path / "the payload ran"
    torch.load(io.BytesIO(form(Payload(marker))), weights_only=False)
    assert marker.is_dir()


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of a good file in each format."""
    folder = tmp_path_factory.mktemp("forms")
    checkpoint.save(folder / "own", HierarchicalGenerator(preset("paper", width=8)))
    write(folder / "zip", networks())
    write(folder / "legacy", networks(), zipped=False)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("form", ["own", "zip", "legacy"])
@pytest.mark.parametrize("share", [0.00001, 0.001, 0.1, 0.5, 0.9, 0.99999])
def test_a_truncated_file_is_refused(tmp_path: Path, forms: dict[str, bytes], form: str, share: float) -> None:
    path = tmp_path / "file"
    path.write_bytes(forms[form][: int(len(forms[form]) * share)])
    assert str(path) in complaint(path)


@pytest.mark.parametrize("form", ["own", "zip", "legacy"])
def test_damaged_bytes_never_raise_anything_else(tmp_path: Path, forms: dict[str, bytes], form: str) -> None:
    path, good, refused = tmp_path / "file", forms[form], 0
    rng = torch.Generator().manual_seed(0)
    for i in range(40):
        bad = bytearray(good)
        # Half of the wounds among the first bytes, where every format keeps its structure.
        start = int(torch.randint(2000 if i % 2 else len(bad) - 16, (), generator=rng))
        bad[start : start + 16] = bytes(torch.randint(256, (16,), generator=rng).tolist())
        path.write_bytes(bad)
        try:
            checkpoint.load(path)
        except CheckpointError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017
    assert refused > 5


# --- our own format -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["paper", "lite"])
@pytest.mark.parametrize("norm", NORMS)
def test_what_is_saved_is_loaded(tmp_path: Path, family: str, norm: str) -> None:
    path = tmp_path / "model.safetensors"
    generator = HierarchicalGenerator(preset(family, norm=norm, width=8))
    checkpoint.save(path, generator, {"style": "pen", "licence": "CC0"})
    loaded = checkpoint.load(path)
    assert loaded.config == generator.config == checkpoint.read_config(path)
    assert checkpoint.read_extra(path) == {"style": "pen", "licence": "CC0"}
    assert not loaded.training
    expected = generator.state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, expected[key]), key


def test_an_imported_file_saved_as_our_own_can_change_its_norm(tmp_path: Path) -> None:
    official = write(tmp_path / "300_net_gen.pt", networks())
    own = tmp_path / "own.safetensors"
    checkpoint.save(own, checkpoint.load(official, norm="batch"))
    assert checkpoint.load(own).config.norm == "batch"
    as_instance = checkpoint.load(own, norm="instance")
    assert as_instance.config.norm == "instance"
    assert_holds_the_rule(as_instance)
    checkpoint.save(own, as_instance)
    assert "load it with norm 'instance'" in complaint(own, "batch")


def test_tensors_of_our_own_format_are_checked_too(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    generator = HierarchicalGenerator(preset("lite", width=8))
    state = generator.state_dict()
    state["GLBG.leave.bias"] = torch.zeros(3)
    header = {"apdgan.config": json.dumps(generator.config.to_dict())}
    safetensors.torch.save_file(state, path, header)
    assert "expected GLBG.leave.bias (64), got (3)" in complaint(path).replace(",)", ")")


@pytest.mark.parametrize("change", [{"width": -1}, {"fusion": {"kind": "magic", "width": 8}}])
def test_settings_that_build_nothing_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "own.safetensors"
    settings = preset("lite", width=8).to_dict()
    settings["nets"]["G"]["channels"] = [-8, 8] if "width" in change else [8, 8]
    settings |= change
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, {"apdgan.config": json.dumps(settings)})
    assert "expected the settings of a generator in its header" in complaint(path)


def test_a_header_that_claims_a_huge_model_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    settings = preset("paper", width=100_000).to_dict()
    safetensors.torch.save_file({"a": torch.zeros(1)}, path, {"apdgan.config": json.dumps(settings)})
    assert "not this generator" in complaint(path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_a_save_that_fails_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "model.safetensors"
    generator = HierarchicalGenerator(preset("lite", width=8))
    checkpoint.save(path, generator)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=f"cannot write the checkpoint: {os.strerror(number)}"):
        checkpoint.save(path, HierarchicalGenerator(preset("lite", width=16)))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_hold_a_checkpoint_is_answered_in_one_line(tmp_path: Path) -> None:
    generator = HierarchicalGenerator(preset("lite", width=8))
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "none" / "model.safetensors", tmp_path / "file" / "model.safetensors", tmp_path):
        with pytest.raises(CheckpointError, match="cannot write the checkpoint"):
            checkpoint.save(path, generator)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_networks_are_the_generators_children() -> None:
    with torch.device("meta"):
        generator = HierarchicalGenerator(preset("paper"))
    assert tuple(name for name, _ in generator.named_children()) == NETWORKS
