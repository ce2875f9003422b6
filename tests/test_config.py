"""argv and TOML become one checked configuration, or one clear line."""

from __future__ import annotations

from pathlib import Path

import pytest

from realtime.config import ACTIONS, OPTIONS, StreamConfig, parse
from realtime.core import ConfigError
from realtime.look import INKS


def test_nothing_said_gives_the_defaults() -> None:
    assert parse([]) == (StreamConfig(), None)


def test_every_option_arrives() -> None:
    argv = (
        "--source clip.mp4 --sink window --sink out.mp4 --engine onnxruntime --model other --layout inplace "
        "--smooth 0.25 --mirror --paper grain --ink #1A1a1a --weight -0.5 --chalk --transparent "
        "--split 0.3 --size 640x480 --fps 25 --frames 7 --seconds 1.5 --faces 3 --live --loop --stats s.json"
    )
    config, action = parse(argv.split())
    assert action is None
    assert config == StreamConfig(
        source="clip.mp4",
        sink=("window", "out.mp4"),
        engine="onnxruntime",
        model="other",
        layout="inplace",
        smooth=0.25,
        mirror=True,
        paper="grain",
        ink=(26, 26, 26),
        weight=-0.5,
        chalk=True,
        transparent=True,
        split=0.3,
        size=(640, 480),
        fps=25.0,
        frames=7,
        seconds=1.5,
        faces=3,
        live=True,
        loop=True,
        stats=Path("s.json"),
    )


@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_is_told_apart_from_a_run(action: str) -> None:
    assert parse([f"--{action}"])[1] == action


@pytest.mark.parametrize(
    "argv",
    [
        "--fps 0",
        "--fps -30",
        "--fps nan",
        "--fps fast",
        "--fps 1e9",
        "--smooth 1.5",
        "--smooth -0.1",
        "--size 640",
        "--size 0x0",
        "--size 640x-480",
        "--size 99999x480",
        "--frames 0",
        "--frames 2.5",
        "--seconds 0",
        "--seconds inf",
        "--faces 0",
        "--faces 17",
        "--layout sideways",
        "--paper=",
        "--ink pink",
        "--ink #12345",
        "--weight 1.5",
        "--weight bold",
        "--split -0.1",
        "--split 1.1",
        "--source=",
        "--sink=",
        "--model=",
        "--stats=",
        "--config=",
        "--unknown",
        "--sour demo",
        "clip.mp4",
        "--doctor --list-models",
        "--fps",
    ],
)
def test_a_bad_value_is_refused_in_one_line_that_says_what_was_expected(argv: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(argv.split())
    assert "expected" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_toml_is_read_and_argv_wins(tmp_path: Path) -> None:
    file = tmp_path / "live.toml"
    file.write_text(
        'source = "demo"\nsink = ["window", "null"]\nsmooth = 0.2\nmirror = true\nsize = "640x480"\nfaces = 2\n'
        'ink = "sepia"\nchalk = true\nweight = 0.5\npaper = "grain"\nsplit = 0.4\n'
    )
    config, _ = parse(["--config", str(file), "--smooth", "0.9", "--no-mirror", "--sink", "null"])
    assert config == StreamConfig(
        source="demo",
        sink=("null",),
        smooth=0.9,
        mirror=False,
        size=(640, 480),
        faces=2,
        paper="grain",
        ink=INKS["sepia"],
        weight=0.5,
        chalk=True,
        split=0.4,
    )


@pytest.mark.parametrize(
    "text",
    [
        "nonsense = 1",
        "fps = true",
        "mirror = 1",
        'mirror = "yes"',
        "sink = []",
        "sink = [1]",
        "faces = 1.5",
        "source = 3",
        "x =",
        "chalk = 1",
        "ink = 3",
        "ink = [1, 2]",
        'weight = "bold"',
    ],
)
def test_a_bad_toml_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="expected"):
        parse(["--config", str(file)])


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_toml_file_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "file.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match="TOML"):
        parse(["--config", str(file)])


def test_help_names_every_option_and_key(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert [name for name in (*OPTIONS, *ACTIONS) if f"--{name}" not in text] == []
    assert "q quit" in text
