"""The models that can be named: what is shown of them, what may be shipped, what must be said."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest

import engines
import run_stream
from engines.catalogue import DEFAULT, MODELS
from engines.manifest import NOT_STATED, read_manifest, write_manifest
from realtime import model_list, wiring
from realtime.config import StreamConfig

MOST_MB, MOST_MB_EACH = 32, 16
LITE = MODELS / "lite.onnx"
GMAC = read_manifest(LITE).gmac
Lines = list[str]


@pytest.fixture
def bold(tmp_path: Path) -> Path:
    """The default model under another name, with a licence that forbids commercial use."""
    pytest.importorskip("onnx", reason="manifests are written with onnx, a package for developers")
    path = tmp_path / "bold.onnx"
    shutil.copyfile(MODELS / f"{DEFAULT}.onnx", path)
    manifest = read_manifest(path)
    words = {"style": "bold ink", "licence": "CC BY-NC 4.0", "data": "FS2K, drawings by artists, non-commercial"}
    write_manifest(path, dataclasses.replace(manifest, **words))
    return path


@pytest.fixture
def five(bold: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder with the default, two non-commercial models, a matte and a file that is broken."""
    folder = bold.parent
    shutil.copyfile(LITE, folder / "lite.onnx")
    shutil.copyfile(MODELS / "matte.onnx", folder / "matte.onnx")
    shutil.copyfile(bold, folder / "shy.onnx")
    shy = dataclasses.replace(read_manifest(bold), licence="Non-commercial use only")
    write_manifest(folder / "shy.onnx", shy)
    (folder / "torn.onnx").write_bytes(bold.read_bytes()[:5000])
    found = engines.list_models(folder)
    monkeypatch.setattr(engines, "list_models", lambda: found)
    return folder


def heard(listing) -> Lines:
    lines: Lines = []
    assert listing(lines.append)
    return "\n".join(lines).splitlines()


# -- what is shown -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("five")
def test_the_table_tells_name_style_licence_cost_and_origin() -> None:
    lines = heard(model_list.list_models)
    head = lines[0].split()
    assert head == ["style", "preset", "GMAC", "MB", "licence"]
    lite = next(line for line in lines if line.startswith("--model lite "))
    bold = next(line for line in lines if line.startswith("--model bold "))
    assert lite.index("lite", 9) == bold.index("lite"), "columns stand below each other"
    assert lite.split()[-3:] == [f"{GMAC:.1f}", f"{LITE.stat().st_size / 1e6:.1f}", "Apache-2.0"]
    assert bold.endswith("NON-COMMERCIAL: CC BY-NC 4.0")
    assert any(line.startswith("--model shy ") and line.endswith(" NON-COMMERCIAL use only") for line in lines)
    assert "NON-COMMERCIAL" not in lite
    assert lines[lines.index(lite) + 1].startswith("    the default; trained on 4")
    assert lines[lines.index(bold) + 1] == "    trained on FS2K, drawings by artists, non-commercial"
    assert any(line.startswith("--model torn ") and "?" in line for line in lines)
    assert "cut short" in " ".join(lines)
    assert not any("--model matte" in line for line in lines), "it draws nothing"
    assert "engines.export" in lines[-1]


@pytest.mark.usefixtures("five")
def test_json_tells_the_same_and_more() -> None:
    models = {model["name"]: model for model in json.loads("\n".join(heard(model_list.list_models_json)))}
    assert set(models) == {"bold", "lite", "shy", "torn"}
    assert (models["lite"]["default"], models["lite"]["non_commercial"]) == (True, False)
    assert (models["bold"]["default"], models["bold"]["non_commercial"]) == (False, True)
    assert models["bold"]["style"] == "bold ink"
    assert models["bold"]["bytes"] > 1e6
    assert len(models["bold"]["weights_sha256"]) == 64
    assert "cut short" in models["torn"]["problem"]


def test_a_narrow_terminal_gets_narrow_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert (
        max(len(line) for line in heard(model_list.list_models) if line.startswith("    ") and "GMAC" not in line) <= 60
    )


# -- what must be said -------------------------------------------------------------------------------------------------


def test_a_non_commercial_model_says_so_in_one_line_on_stderr(bold: Path, capfd: pytest.CaptureFixture[str]) -> None:
    argv = ["--source", "demo", "--sink", "null", "--frames", "1", "--model"]
    assert run_stream.main([*argv, str(bold)]) == 0
    out, err = capfd.readouterr()
    assert err == (
        "run_stream.py: model bold: NON-COMMERCIAL use only (licence: CC BY-NC 4.0); without --model, lite draws\n"
    )
    assert "NON-COMMERCIAL" not in out
    assert run_stream.main([*argv, "lite"]) == 0
    assert capfd.readouterr().err == ""


def test_where_nobody_listens_for_warnings_it_is_said_with_the_rest(bold: Path) -> None:
    lines: Lines = []
    config = StreamConfig(source="demo", sink=("null",), model=str(bold), frames=1)
    with wiring.build(config, say=lines.append):
        pass
    assert len([line for line in lines if "NON-COMMERCIAL" in line]) == 1


# -- what may be shipped -----------------------------------------------------------------------------------------------


def test_the_default_may_be_used_for_anything() -> None:
    assert StreamConfig().model == DEFAULT
    default = {model.name: model for model in engines.list_models()}[DEFAULT].manifest
    assert default is not None
    assert not default.non_commercial
    assert default.licence == "Apache-2.0"
    assert NOT_STATED not in (default.data, default.style)
    assert "FS2K" not in default.data


def test_whatever_learnt_from_fs2k_is_marked_non_commercial() -> None:
    for model in engines.list_models():
        assert model.manifest is not None
        card = model.path.with_suffix(".md").read_text(encoding="utf-8")
        assert model.manifest.non_commercial or "FS2K" not in model.manifest.data, model.name
        assert "non-commercial" in card.lower() or not model.manifest.non_commercial, f"{model.name}: its card"
        assert model.manifest.licence in card


def test_what_ships_is_small_enough() -> None:
    sizes = {model.name: model.size / 1e6 for model in engines.list_models()}
    assert max(sizes.values()) <= MOST_MB_EACH
    assert sum(path.stat().st_size for path in MODELS.iterdir()) / 1e6 <= MOST_MB
