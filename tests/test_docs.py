"""What the training guide tells a user to type can be typed, and what it tells to write can be read."""

from __future__ import annotations

import argparse
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUIDE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = [line for kind, text in FENCE.findall(GUIDE) if not kind for line in text.splitlines() if " -m " in line]
FILES = [text for kind, text in FENCE.findall(GUIDE) if kind == "toml"]


def name_of(text: str) -> str:
    """File and command of a TOML block, as its first line says: ``# python -m train gan artist.toml``."""
    return text.splitlines()[0].removeprefix("# python -m train ")


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_is_understood(line: str) -> None:
    words = shlex.split(line)
    module, argv = words[words.index("-m") + 1], words[words.index("-m") + 2 :]
    if module == "train":
        parser = argparse.ArgumentParser()
        import_module(f"train.{argv[0]}").add_arguments(parser)
        parser.parse_args(argv[1:])
    else:
        import_module(module)._parser().parse_args(argv)


def test_the_live_command_is_understood() -> None:
    from realtime.config import parse

    lines = re.findall(r"^python run_stream.py (.*)$", GUIDE, re.MULTILINE)
    assert len(lines) >= 3
    for line in lines:
        assert parse(shlex.split(line))[0].model


@pytest.mark.parametrize("text", FILES, ids=name_of)
def test_every_settings_file_is_read(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="training needs torch, a package for developers")
    from train.config import read_config

    monkeypatch.chdir(tmp_path)
    for folder in ("pairs/data/train", "pairs/data/test", "data/npr", "runs/artist", "models"):
        Path(folder).mkdir(parents=True)
    for file in ("runs/artist/generator.safetensors", "models/lite.onnx"):
        Path(file).touch()
    command, name = name_of(text).split()
    Path(name).write_text(text)
    config = read_config(Path(name), import_module(f"train.{command}").TABLES)
    assert config.out == Path("runs") / Path(name).stem
    assert config.card.style


def test_what_is_linked_is_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", GUIDE) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
    heads = {
        re.sub(r"[^\w -]", "", head).strip().lower().replace(" ", "-")
        for head in re.findall(r"^#+ (.*)$", GUIDE, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", GUIDE)) <= heads


def test_every_command_of_the_gpu_guide_is_understood() -> None:
    guide = (ROOT / "docs" / "gpu.md").read_text(encoding="utf-8")
    lines = [line for kind, text in FENCE.findall(guide) if not kind for line in text.splitlines()]
    modules = [shlex.split(line) for line in lines if line.startswith("python -m ")]
    assert len(modules) >= 5
    for words in modules:
        import_module(words[2])._parser().parse_args(words[3:])
    from realtime.config import parse

    for line in re.findall(r"^python run_stream.py (.*?) *(?:#.*)?$", guide, re.MULTILINE):
        parse(shlex.split(line))
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", guide) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []
