"""What a user may ask for: argv and a TOML file become one checked :class:`StreamConfig`.

Every option is one row of OPTIONS. A TOML file uses the same names without the dashes (those in ACTIONS are for argv
alone); argv wins over the file, the file over the defaults. Nothing here opens a device or a file other than the TOML
one: whether a path exists is found out by whoever opens it.
"""

from __future__ import annotations

import argparse
import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from engines.catalogue import DEFAULT
from realtime.controls import LAYOUTS, Layout
from realtime.core import ConfigError
from realtime.look import INKS, PLAIN, RGB, parse_ink
from realtime.webrtc.settings import DEFAULT_ADDRESS, IceServer, parse_address, parse_ice_server

MOST_FACES = 16
MOST_PIXELS_A_SIDE = 7680
SHORTEST_TOKEN = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """One run of the program. None means: choose for me, and say what was chosen."""

    source: str | None = None
    """camera[:N], demo, whip[:HOST:PORT], a URL, or the path of a picture or clip."""
    sink: tuple[str, ...] = ()
    """Each of window, virtual-camera[:DEVICE], null, or a path whose suffix tells its kind."""
    engine: str = "auto"
    """Known to :mod:`engines`, which refuses what it does not know."""
    model: str = DEFAULT
    """Name of a file in models/, or a path."""
    layout: Layout = "portrait"
    smooth: float = 0.5
    """0 (off) to 1."""
    mirror: bool = False
    paper: str = PLAIN
    """plain, grain, or the path of a picture."""
    ink: RGB = INKS["black"]
    weight: float = 0.0
    """-1 (thinner lines) to 1 (bolder)."""
    chalk: bool = False
    transparent: bool = False
    split: float = 0.5
    """Share of the width, 0 to 1, that shows the photo in the layout split."""
    size: tuple[int, int] | None = None
    """Width and height of what comes out, in pixels; None: as the layout and the source have it."""
    fps: float | None = None
    """Frames per second asked of a camera, of the demo and of a picture that is held up."""
    frames: int | None = None
    """Stop after so many drawings."""
    seconds: float | None = None
    """Stop after so much time: of the clock for a live source, of the clip for a file."""
    faces: int = 1
    live: bool | None = None
    """Late frames are dropped; None: as the sinks have it (a window shows a file at its own speed)."""
    loop: bool = False
    stats: Path | None = None
    serve: tuple[str, int] | None = None
    """Host and port to serve browsers and WHIP/WHEP clients on; then source, sinks and limits of a run are not used."""
    token: str | None = None
    """What whoever sends to the server must show; made up when others than this machine can reach it."""
    certificate: Path | None = None
    key: Path | None = None
    """PEM files: with them the server speaks TLS."""
    ice_server: tuple[IceServer, ...] = ()
    peers: int | None = None
    """Cameras that the server draws at once."""


def _refuse(name: str, expected: str, got: object, do: str) -> NoReturn:
    raise ConfigError(f"--{name}: expected {expected}; got {got!r}; {do}")


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        _refuse(name, "some text", value, "leave it out to have it chosen for you")
    return value


def _one_of(choices: Sequence[str]) -> Callable[[str, object], str]:
    def parse(name: str, value: object) -> str:
        if value not in choices:
            _refuse(name, " or ".join(choices), value, "choose one of these")
        return str(value)

    return parse


def _number(low: float, high: float, *, above: bool = False) -> Callable[[str, object], float]:
    """``above``: the low end itself is refused."""
    start = "more than" if above else "from"

    def parse(name: str, value: object) -> float:
        try:
            number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
        except ValueError:
            number = math.nan
        if not (low < number <= high if above else low <= number <= high):
            _refuse(name, f"a number {start} {low:g} to {high:g}", value, "give one in that range")
        return number

    return parse


def _count(low: int, high: int) -> Callable[[str, object], int]:
    def parse(name: str, value: object) -> int:
        try:
            number = int(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else low - 1
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            _refuse(name, f"a whole number from {low} to {high}", value, "give one in that range")
        return number

    return parse


def _size(name: str, value: object) -> tuple[int, int]:
    parts = value.lower().split("x") if isinstance(value, str) else []
    if len(parts) != 2 or not all(part.isdecimal() for part in parts):
        _refuse(name, "WIDTHxHEIGHT", value, "write for example 1280x720")
    width, height = int(parts[0]), int(parts[1])
    if not (16 <= width <= MOST_PIXELS_A_SIDE and 16 <= height <= MOST_PIXELS_A_SIDE):
        _refuse(name, f"sides from 16 to {MOST_PIXELS_A_SIDE}", value, "write for example 1280x720")
    return width, height


def _switch(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        _refuse(name, "true or false", value, "write it without quotes")
    return value


def _sinks(name: str, value: object) -> tuple[str, ...]:
    several = [value] if isinstance(value, str) else value
    if not isinstance(several, Sequence) or not several:
        _refuse(name, "one place to send the drawing, or a list of them", value, "write for example window")
    return tuple(_text(name, one) for one in several)


def _ink(name: str, value: object) -> RGB:
    try:
        return parse_ink(value)
    except ConfigError:
        _refuse(name, f"{', '.join(INKS)} or a colour such as #1a1a1a", value, "choose one of these")


def _address(_name: str, value: object) -> tuple[str, int]:
    return parse_address(value if isinstance(value, str) else "")


def _token_text(name: str, value: object) -> str:
    text = _text(name, value)
    if len(text) < SHORTEST_TOKEN or not re.fullmatch(r"[\x21-\x7e]+", text):
        raise ConfigError(f"--token: expected {SHORTEST_TOKEN} letters, digits or signs at least; give a longer one")
    return text


def _ice_servers(name: str, value: object) -> tuple[IceServer, ...]:
    return tuple(parse_ice_server(one) for one in _sinks(name, value))


def _path(name: str, value: object) -> Path:
    return Path(_text(name, value))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Option:
    parse: Callable[[str, Any], Any]
    metavar: str | None
    """None for a switch."""
    help: str


OPTIONS: Mapping[str, _Option] = {
    "source": _Option(
        parse=_text,
        metavar="SOURCE",
        help="camera[:N], demo, whip[:HOST:PORT] (be published to), a URL (rtsp, http), or the path of a picture or "
        "clip",
    ),
    "sink": _Option(
        parse=_sinks,
        metavar="SINK",
        help="window, virtual-camera[:DEVICE], whip:URL, null, or a path ending in .mp4 .mkv .webm .mov .png .jpg "
        ".svg; may be repeated",
    ),
    "engine": _Option(
        parse=_text,
        metavar="ENGINE",
        help="auto, openvino[-fp32|-bf16], onnxruntime or torch (default auto); --doctor tells which work",
    ),
    "model": _Option(
        parse=_text, metavar="MODEL", help=f"name of a model that --list-models shows, or a path (default {DEFAULT})"
    ),
    "layout": _Option(
        parse=_one_of(LAYOUTS),
        metavar="LAYOUT",
        help="portrait: the drawing fills the height; inplace: drawn where the face is; frame: with the body and the "
        "room; square: the 512 drawing itself; side-by-side, split: the photo is shown beside the drawing",
    ),
    "smooth": _Option(parse=_number(0, 1), metavar="0..1", help="how much the lines are steadied (default 0.5)"),
    "mirror": _Option(parse=_switch, metavar=None, help="flip left and right, as in a looking-glass"),
    "paper": _Option(parse=_text, metavar="PAPER", help="plain, grain, or a picture that covers the page"),
    "ink": _Option(parse=_ink, metavar="COLOUR", help="#rrggbb or black, sepia, blue (default black)"),
    "weight": _Option(parse=_number(-1, 1), metavar="-1..1", help="thinner or bolder lines (default 0)"),
    "chalk": _Option(parse=_switch, metavar=None, help="white chalk on a dark board"),
    "transparent": _Option(parse=_switch, metavar=None, help="leave the paper out of .png, .svg, .webm and .mov files"),
    "split": _Option(parse=_number(0, 1), metavar="0..1", help="where layout split puts its line (default 0.5)"),
    "size": _Option(parse=_size, metavar="WxH", help="size of what comes out, for example 1280x720"),
    "fps": _Option(
        parse=_number(0, 240, above=True), metavar="N", help="frames per second at most (default 30 or the file's)"
    ),
    "frames": _Option(parse=_count(1, 10**9), metavar="N", help="stop after N drawings"),
    "seconds": _Option(parse=_number(0, 10**7, above=True), metavar="S", help="stop after S seconds"),
    "faces": _Option(parse=_count(1, MOST_FACES), metavar="N", help="draw up to N faces (default 1)"),
    "live": _Option(parse=_switch, metavar=None, help="play a file or the demo as a camera would: late frames drop"),
    "loop": _Option(parse=_switch, metavar=None, help="start a file again when it ends"),
    "serve": _Option(
        parse=_address,
        metavar="HOST:PORT",
        help="serve a page for browsers, WHIP and WHEP instead (default 127.0.0.1:8080)",
    ),
    "token": _Option(
        parse=_token_text,
        metavar="TOKEN",
        help="what senders must show to the server or to --source whip (default: made up)",
    ),
    "certificate": _Option(parse=_path, metavar="FILE", help="PEM certificate: the server speaks TLS"),
    "key": _Option(parse=_path, metavar="FILE", help="PEM key of the certificate"),
    "ice-server": _Option(
        parse=_ice_servers, metavar="URL", help="stun:HOST or turn:USER:PASSWORD@HOST; may be repeated"
    ),
    "peers": _Option(parse=_count(1, 256), metavar="N", help="cameras that the server draws at once (default 4)"),
    "stats": _Option(parse=_path, metavar="FILE", help="write the measured figures to FILE as JSON"),
}

SEVERAL = ("sink", "ice-server")
"""Options that may be repeated."""

ACTIONS = {
    "list-devices": "list cameras and virtual cameras, then stop",
    "list-models": "list the drawing models with style, licence and size, then stop",
    "list-models-json": "the same as JSON",
    "doctor": "check what this machine has and lacks, and how late the picture is; then stop",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; expected the options that --help lists")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="run_stream.py",
        description="Draws you live, in pen. Without options: your camera in a window, or else a demo in out/demo.mp4.",
        epilog="In the window: q quit, space pause, m mirror, l layout, p paper, k ink, c chalk, "
        "[ ] thinner, bolder, s snapshot, r record, i info, ? help; drag the line of split.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    for name, option in OPTIONS.items():
        if option.metavar is None:
            parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, help=option.help)
        else:
            action = "append" if name in SEVERAL else "store"
            # --serve may stand alone
            bare: dict[str, Any] = {"nargs": "?", "const": "{}:{}".format(*DEFAULT_ADDRESS)} if name == "serve" else {}
            parser.add_argument(f"--{name}", action=action, metavar=option.metavar, help=option.help, **bare)
    parser.add_argument("--config", metavar="FILE", help="read options from a TOML file; those given here win")
    for name, text in ACTIONS.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    return parser


def _read_toml(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        _refuse("config", "a TOML file that can be read", str(path), f"mend it or leave it out ({reason})")
    unknown = sorted(set(table) - set(OPTIONS))
    if unknown:
        raise ConfigError(f"{path}: unknown option {unknown[0]!r}; expected {', '.join(OPTIONS)}; take it out")
    return table


def parse(argv: Sequence[str]) -> tuple[StreamConfig, str | None]:
    """The checked configuration, and which of ACTIONS was asked for instead of a run.

    Raises ConfigError for any value that cannot be used, SystemExit(0) after ``--help``.
    """
    given = vars(_parser().parse_args(list(argv)))
    wanted = [name for name in ACTIONS if given.pop(name.replace("-", "_"), False)]
    if len(wanted) > 1:
        raise ConfigError(f"expected one of --{' --'.join(ACTIONS)}; got --{' --'.join(wanted)}; ask for one at a time")
    config_file = given.pop("config", None)
    values: dict[str, object] = _read_toml(_path("config", config_file)) if config_file is not None else {}
    values.update({name.replace("_", "-"): value for name, value in given.items()})
    checked = {name.replace("-", "_"): OPTIONS[name].parse(name, value) for name, value in values.items()}
    return StreamConfig(**checked), wanted[0] if wanted else None


assert {field.name.replace("_", "-") for field in fields(StreamConfig)} == set(OPTIONS), (
    "every option has a field and every field an option"
)
