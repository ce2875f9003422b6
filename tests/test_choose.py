"""Which source and sink run, named or not."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from realtime.choose import Plan, SinkChoice, SourceChoice, choose, sink_choice, source_choice
from realtime.config import StreamConfig
from realtime.core import SinkError, SourceError


def plan(*, camera: int | None = None, display: bool = False, **options: object) -> Plan:
    config = StreamConfig(**options)  # type: ignore[arg-type]
    return choose(config, find_camera=lambda: camera, has_display=lambda: display)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"\x00\x00\x00\x20ftypisom")
    return path


def test_with_camera_and_display_they_are_used_and_said() -> None:
    chosen = plan(camera=2, display=True)
    assert (chosen.source, chosen.sinks) == (SourceChoice(kind="camera", value="2"), (SinkChoice(kind="window"),))
    assert chosen.seconds is None
    assert chosen.sheet is None
    assert [line.split(":")[0] for line in chosen.said] == ["source", "sink"]
    assert all("--" in line for line in chosen.said)


def test_with_neither_the_demo_goes_into_a_file_for_ten_seconds() -> None:
    chosen = plan()
    assert (chosen.source.kind, chosen.sinks[0].value, chosen.seconds) == ("demo", str(Path("out/demo.mp4")), 10.0)
    assert chosen.sheet == Path("out/demo.png")
    assert not chosen.live


def test_nothing_is_asked_of_the_machine_that_the_user_has_said() -> None:
    def refuse() -> NoReturn:
        raise AssertionError("not to be asked")

    chosen = choose(StreamConfig(source="demo", sink=("null",)), find_camera=refuse, has_display=refuse)
    assert chosen.said == ()


@pytest.mark.parametrize(("limit", "seconds"), [({"seconds": 3.0}, 3.0), ({"frames": 5}, None)])
def test_a_limit_of_the_user_replaces_the_ten_seconds(limit: dict[str, float], seconds: float | None) -> None:
    assert plan(**limit).seconds == seconds


def test_a_clip_without_a_sink_or_display_is_drawn_whole_beside_its_name(clip: Path) -> None:
    chosen = plan(source=str(clip))
    assert (chosen.sinks[0].value, chosen.seconds) == (str(Path("out/clip.mp4")), None)
    assert plan(source=str(clip), loop=True).seconds == 10.0


def test_a_file_is_played_at_its_own_speed_only_where_somebody_watches(clip: Path) -> None:
    assert plan(source=str(clip), sink=("window",)).live
    assert plan(source=str(clip), sink=("virtual-camera", "null")).live
    assert not plan(source=str(clip), sink=("null",)).live
    assert plan(source=str(clip), sink=("null",), live=True).live
    assert not plan(source=str(clip), sink=("window",), live=False).live
    assert plan(source=str(clip), display=True).live


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("camera", "camera", "0"),
        ("camera:2", "camera", "2"),
        ("demo", "demo", ""),
        ("rtsp://host/stream", "url", "rtsp://host/stream"),
        ("http://host:8080/video", "url", "http://host:8080/video"),
    ],
)
def test_sources_by_name(text: str, kind: str, value: str) -> None:
    assert source_choice(text) == SourceChoice(kind=kind, value=value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "start", "kind"),
    [
        ("a.jpg", b"\xff\xd8\xff\xe0", "picture"),
        ("a.mp4", b"\xff\xd8\xff\xe0", "picture"),
        ("a", b"\x89PNG\r\n\x1a\n", "picture"),
        ("a.bin", b"RIFF\x00\x00\x00\x00WEBPVP8 ", "picture"),
        ("a.avi", b"RIFF\x00\x00\x00\x00AVI LIST", "video"),
        ("a.png", b"no picture", "picture"),
        ("a.mp4", b"no clip", "video"),
    ],
)
def test_files_are_known_by_content_then_by_suffix(tmp_path: Path, name: str, start: bytes, kind: str) -> None:
    path = tmp_path / name
    path.write_bytes(start)
    assert source_choice(str(path)).kind == kind


@pytest.mark.parametrize("text", ["camera:x", "camera:-1", "camera:", "missing.mp4", ".", "webcam", "nul\0byte"])
def test_a_source_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SourceError, match="expected"):
        source_choice(text)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    with pytest.raises(SourceError, match="empty"):
        source_choice(str(tmp_path / "empty.png"))


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("window", "window", ""),
        ("null", "null", ""),
        ("virtual-camera", "virtual-camera", ""),
        ("virtual-camera:/dev/video2", "virtual-camera", "/dev/video2"),
        ("a.mp4", "video", "a.mp4"),
        ("a.MKV", "video", "a.MKV"),
        ("a.webm", "video", "a.webm"),
        ("a.mov", "video", "a.mov"),
        ("a.SVG", "vector", "a.SVG"),
        ("a.png", "picture", "a.png"),
        ("a.JPG", "picture", "a.JPG"),
    ],
)
def test_sinks_by_name(text: str, kind: str, value: str) -> None:
    assert sink_choice(text) == SinkChoice(kind=kind, value=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["a.gif", "mp4", "screen", "virtual-camera:", "no/such/folder/a.mp4"])
def test_a_sink_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SinkError, match="expected"):
        sink_choice(text)


def test_a_directory_is_no_sink(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(SinkError, match="directory"):
        sink_choice(str(tmp_path / "a.mp4"))


def test_a_source_is_never_overwritten_and_no_file_is_written_twice(clip: Path) -> None:
    with pytest.raises(SinkError, match="in use"):
        plan(source=str(clip), sink=(str(clip.parent / "." / clip.name),))
    with pytest.raises(SinkError, match="in use"):
        plan(source="demo", sink=(str(clip), str(clip)))
    with pytest.raises(SinkError, match="in use"):
        plan(source="demo", sink=("a.svg", "./a.svg"))


def test_a_transparent_run_without_a_display_goes_into_a_clip_that_can_hold_it() -> None:
    assert plan(transparent=True).sinks[0].value == str(Path("out/demo.webm"))
