"""From what the user said, or did not say, to what will run: a :class:`Plan`. Opens no device and writes no file.

A source or sink is named by one string; its kind is found here, so that a mistyped name is refused before anything slow
has been loaded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from realtime.config import StreamConfig
from realtime.core import ConfigError, SinkError, SourceError
from realtime.webrtc.settings import DEFAULT_ADDRESS, parse_address

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".mov")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
VECTOR_SUFFIXES = (".svg",)
FILE_SUFFIXES = (*VIDEO_SUFFIXES, *PICTURE_SUFFIXES, *VECTOR_SUFFIXES)
CLEAR_SUFFIXES = (".png", ".svg", ".webm", ".mov")
"""Files that can leave the paper out."""
SOURCES = "camera[:N], demo, whip[:HOST:PORT], a URL, or the path of a picture or clip"
SINKS = f"window, virtual-camera[:DEVICE], whip:URL, null, or a path ending in {' '.join(FILE_SUFFIXES)}"
OUT = Path("out")
DEMO_SECONDS = 10.0

PICTURE_STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"MM\x00*", b"\x00\x00\x00\x0cjP  ")
"""First bytes of JPEG, PNG, BMP, TIFF and JPEG 2000. WebP hides behind RIFF, as AVI does."""
PICTURE_INPUT_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".jp2")

SourceKind = Literal["camera", "demo", "whip", "url", "picture", "video"]
SinkKind = Literal["window", "virtual-camera", "whip", "null", "video", "picture", "vector"]
FILE_KINDS: tuple[SinkKind, ...] = ("video", "picture", "vector")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceChoice:
    kind: SourceKind
    value: str = ""
    """Camera number, address of the WHIP endpoint, URL or path; empty for the demo."""

    def __str__(self) -> str:
        return f"{self.kind} {self.value}".rstrip() if self.kind in ("camera", "whip") else self.value or self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkChoice:
    kind: SinkKind
    value: str = ""
    """Virtual camera device or path; empty: none given."""

    def __str__(self) -> str:
        return f"{self.kind} {self.value}".rstrip() if self.kind == "virtual-camera" else self.value or self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will run."""

    source: SourceChoice
    sinks: tuple[SinkChoice, ...]
    live: bool
    """Files and the demo: play them at their own speed and drop what comes too late."""
    seconds: float | None
    sheet: Path | None
    """Where a contact sheet of the finished clip goes."""
    said: tuple[str, ...]
    """What was chosen for the user and how to choose otherwise, one line each."""


def source_choice(text: str) -> SourceChoice:
    """The kind of source that ``text`` names. Raises SourceError when it names none."""
    if text == "demo":
        return SourceChoice(kind="demo")
    if camera := re.fullmatch(r"camera(?::(.*))?", text):
        number = camera[1] if camera[1] is not None else "0"
        if not number.isdecimal():
            raise SourceError(f"source {text!r}: expected camera or camera:N with a whole number; see --list-devices")
        return SourceChoice(kind="camera", value=number)
    if whip := re.fullmatch(r"whip(?::(.*))?", text):
        try:
            host, port = parse_address(whip[1]) if whip[1] is not None else DEFAULT_ADDRESS
        except ConfigError:
            raise SourceError(
                f"source {text!r}: expected whip or whip:HOST:PORT; write for example whip:127.0.0.1:8080"
            ) from None
        return SourceChoice(kind="whip", value=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        return SourceChoice(kind="url", value=text)
    return SourceChoice(kind=_kind_of_file(Path(text)), value=text)


def _kind_of_file(path: Path) -> SourceKind:
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise SourceError(f"source {str(path)!r}: {reason}; expected {SOURCES}; check the spelling") from None
    if not start:
        raise SourceError(f"source {str(path)!r}: the file is empty; expected a picture or clip; choose another file")
    webp = start[:4] == b"RIFF" and start[8:12] == b"WEBP"
    if webp or start.startswith(PICTURE_STARTS) or path.suffix.lower() in PICTURE_INPUT_SUFFIXES:
        return "picture"
    return "video"


def sink_choice(text: str) -> SinkChoice:
    """The kind of sink that ``text`` names. Raises SinkError when it names none, or a file that cannot be made."""
    if text == "window":
        return SinkChoice(kind="window")
    if text == "null":
        return SinkChoice(kind="null")
    if camera := re.fullmatch(r"virtual-camera(?::(.+))?", text):
        return SinkChoice(kind="virtual-camera", value=camera[1] or "")
    if text.startswith("whip:"):
        if not re.match(r"https?://[^/\s]+", url := text.removeprefix("whip:")):
            raise SinkError(f"sink {text!r}: expected whip: and a URL; write for example whip:https://host/whip/name")
        return SinkChoice(kind="whip", value=url)
    path = Path(text)
    suffix = path.suffix.lower()
    if suffix not in FILE_SUFFIXES:
        raise SinkError(f"sink {text!r}: unknown kind; expected {SINKS}; change the ending")
    if path.is_dir():
        raise SinkError(f"sink {text!r}: is a directory; expected a file name; choose another")
    if not path.parent.is_dir():
        raise SinkError(f"sink {text!r}: there is no folder {str(path.parent)!r}; expected one; make it first")
    kind: SinkKind = "video" if suffix in VIDEO_SUFFIXES else "picture" if suffix in PICTURE_SUFFIXES else "vector"
    return SinkChoice(kind=kind, value=text)


def choose(config: StreamConfig, *, find_camera: Callable[[], int | None], has_display: Callable[[], bool]) -> Plan:
    """Fill in what the user left open. The two questions are asked only where the answer matters.

    Args:
        config: what the user said.
        find_camera: number of the default camera, None where there is none.
        has_display: whether a window can be opened.
    Raises:
        SourceError, SinkError: what the user said names nothing that can be opened or written.
    """
    said: list[str] = []
    if config.source is not None:
        source = source_choice(config.source)
    elif (camera := find_camera()) is not None:
        source = SourceChoice(kind="camera", value=str(camera))
        said.append(f"source: camera {camera}, the first; another with --source camera:N, demo, a URL or a path")
    else:
        source = SourceChoice(kind="demo")
        said.append("source: demo, because no camera was found; another with --source camera:N, a URL or a path")
    if config.sink:
        sinks = tuple(sink_choice(text) for text in config.sink)
        _refuse_overwriting(source, sinks)
        watched = any(sink.kind in ("window", "virtual-camera", "whip") for sink in sinks)
        live = watched if config.live is None else config.live
        return Plan(source=source, sinks=sinks, live=live, seconds=config.seconds, sheet=None, said=tuple(said))
    if has_display():
        said.append("sink: window; another with --sink virtual-camera, null or a path such as drawing.mp4")
        live = config.live is None or config.live
        sinks = (SinkChoice(kind="window"),)
        return Plan(source=source, sinks=sinks, live=live, seconds=config.seconds, sheet=None, said=tuple(said))
    return _into_a_file(config, source, said)


def _into_a_file(config: StreamConfig, source: SourceChoice, said: list[str]) -> Plan:
    """No display: the drawing goes to out/, and an endless source stops after DEMO_SECONDS."""
    live = bool(config.live)
    still = source.kind == "picture" and not live
    endless = source.kind in ("camera", "demo", "whip", "url") or config.loop or (source.kind == "picture" and live)
    name = Path(source.value).stem if source.kind in ("picture", "video") else "demo"
    target = OUT / f"{name}{'.png' if still else '.webm' if config.transparent else '.mp4'}"
    seconds = config.seconds
    length = ""
    if seconds is None and config.frames is None and endless:
        seconds = DEMO_SECONDS
        length = f" for {seconds:g} seconds"
    said.append(
        f"sink: {target}{length}, because there is no display; another with --sink virtual-camera, null or a path"
    )
    sinks = (SinkChoice(kind="picture" if still else "video", value=str(target)),)
    _refuse_overwriting(source, sinks)
    sheet = None if still else target.with_suffix(".png")
    return Plan(source=source, sinks=sinks, live=live, seconds=seconds, sheet=sheet, said=tuple(said))


def _refuse_overwriting(source: SourceChoice, sinks: tuple[SinkChoice, ...]) -> None:
    taken = {Path(source.value).resolve()} if source.kind in ("picture", "video") else set()
    for sink in sinks:
        if sink.kind not in FILE_KINDS:
            continue
        path = Path(sink.value).resolve()
        if path in taken:
            raise SinkError(f"sink {sink.value!r}: in use already in this run; expected a file of its own; rename it")
        taken.add(path)
