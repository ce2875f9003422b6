"""Reading a model's identity without any runtime, and refusing what is no model in one line."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from tiny_models import MANIFEST, tiny_graph, write

from engines.errors import ModelError
from engines.manifest import Manifest, read_manifest, read_metadata, write_manifest

onnx = pytest.importorskip("onnx", reason="models are written with onnx, a package for developers")


@pytest.mark.parametrize("bf16_ok", [None, True, False])
def test_a_manifest_comes_back_as_it_was_written(tiny: Path, bf16_ok: bool | None) -> None:
    manifest = dataclasses.replace(MANIFEST, style="brush & pen, 100 %, é", bf16_ok=bf16_ok)
    write_manifest(tiny, manifest)
    assert read_manifest(tiny) == manifest


def test_rewriting_the_manifest_leaves_graph_and_foreign_metadata_alone(tiny: Path) -> None:
    before = onnx.load(tiny)
    entry = before.metadata_props.add()
    entry.key, entry.value = "foreign", "kept"
    onnx.save(before, tiny)
    write_manifest(tiny, dataclasses.replace(MANIFEST, version="8"))
    after = onnx.load(tiny)
    assert after.graph == before.graph
    assert read_metadata(tiny.read_bytes())["foreign"] == "kept"
    assert read_manifest(tiny).version == "8"
    assert [p.name for p in tiny.parent.iterdir()] == [tiny.name]


def test_metadata_is_read_as_the_onnx_package_reads_it(tiny: Path) -> None:
    assert read_metadata(tiny.read_bytes()) == {p.key: p.value for p in onnx.load(tiny).metadata_props}


def test_a_file_cut_short_anywhere_is_refused_in_one_line(tiny: Path) -> None:
    whole = tiny.read_bytes()
    for length in [0, 1, 7, *range(20, len(whole), 97), len(whole) - 1]:
        tiny.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"tiny\.onnx: ") as caught:
            read_manifest(tiny)
        assert "\n" not in str(caught.value)
    assert "cut short" in str(caught.value), "one byte is missing"


@pytest.mark.parametrize("content", [b"hello, this is text", b"\x00" * 64, b"\xff" * 64, b"version https://git-lfs"])
def test_another_kind_of_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "text.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not an ONNX file"):
        read_manifest(path)


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        read_manifest(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="directory"):
        read_manifest(tmp_path)


def test_an_onnx_file_of_others_is_told_from_ours(tmp_path: Path) -> None:
    path = write(tmp_path / "foreign.onnx", tiny_graph("drawing"), None)
    with pytest.raises(ModelError, match="holds no manifest"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("kind", "painting", "drawing or matte"),
        ("norm", "group", "batch or instance"),
        ("width", "wide", "invalid literal"),
        ("width", "0", "width >= 1"),
        ("gmac", "nan", "gmac >= 0"),
        ("weights_sha256", "abc", "64 hex digits"),
        ("bf16_ok", "maybe", "true, false or unknown"),
        ("manifest", "99", "update this program"),
        ("licence", None, "lacks licence"),
    ],
)
def test_every_value_is_checked(key: str, value: str | None, message: str) -> None:
    metadata = MANIFEST.to_metadata()
    if value is None:
        del metadata[key]
    else:
        metadata[key] = value
    with pytest.raises(ValueError, match=message):
        Manifest.from_metadata(metadata)
