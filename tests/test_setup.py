"""The set-up script: nothing twice, and a clear word where something is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from realtime import shared_libraries
from tools import setup


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Every command that would have been run."""
    ran: list[list[str]] = []

    def note(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        ran.append(command)
        return subprocess.CompletedProcess(command, 0, stdout="")

    monkeypatch.setattr(subprocess, "run", note)
    return ran


def test_an_environment_is_installed_once(tmp_path: Path, commands: list[list[str]]) -> None:
    python = setup.environment_python(tmp_path)
    python.parent.mkdir(parents=True)
    python.touch()
    setup.install(tmp_path, "webrtc")
    assert len(commands) == 1
    assert "constraints.txt" in " ".join(commands[0])
    assert commands[0][-1].endswith("[webrtc]")
    setup.install(tmp_path, "webrtc")
    assert len(commands) == 1
    setup.install(tmp_path, "dev")
    assert len(commands) == 2


def test_a_new_environment_is_made_first(tmp_path: Path, commands: list[list[str]]) -> None:
    setup.install(tmp_path, "webrtc")
    assert commands[0][:3] == [sys.executable, "-m", "venv"]


def test_an_installation_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], **_options: object) -> None:
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(subprocess, "run", fail)
    assert setup.main(["--venv", str(tmp_path)]) == 2
    assert not (tmp_path / "installed.sha256").exists()


def test_a_missing_library_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shared_libraries, "missing", lambda _python: ["libEGL.so.1"])
    monkeypatch.setattr(setup.shutil, "which", lambda _name: None)
    assert not setup.provide_libraries(Path(sys.executable))
    assert "apt-get install -y libegl1" in capsys.readouterr().err


def test_root_on_debian_gets_the_library_installed(monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]) -> None:
    answers = iter([["libEGL.so.1"], []])
    monkeypatch.setattr(shared_libraries, "missing", lambda _python: next(answers))
    monkeypatch.setattr(setup.shutil, "which", lambda _name: "/usr/bin/apt-get")
    monkeypatch.setattr(setup.os, "geteuid", lambda: 0, raising=False)
    assert setup.provide_libraries(Path(sys.executable))
    assert commands[-1] == ["apt-get", "install", "-y", "libegl1"]


def test_run_hands_everything_that_follows_to_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]
) -> None:
    monkeypatch.setattr(setup, "provide_libraries", lambda _python: True)
    assert setup.main(["--venv", str(tmp_path), "--run", "--source", "demo"]) == 0
    assert commands[-1][1:] == [str(setup.ROOT / "run_stream.py"), "--source", "demo"]
