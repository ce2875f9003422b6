"""What can be measured: a checkpoint, a model file, a run, or a folder of drawings. Each draws when it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

import engines
from apdgan.alignment import boxes
from engines.runs import open_run
from train.parts import Pair
from train.pictures import SUFFIXES, square
from train.tables import REFERENCE

Drawing = NDArray[np.uint8]

PHOTO = "_photo"
"""``NAME_photo.png`` may lie beside the drawing ``NAME_artist.png``."""


class Subject(Protocol):
    """Draws, or has drawn, portraits."""

    @property
    def label(self) -> str:
        """Short, and different from all others beside it."""

    @property
    def told(self) -> str:
        """What it is and what runs it, in words."""

    def draw(self, pair: Pair) -> Drawing:
        """(512, 512) uint8, 0 = ink. Raises ValueError when it has none of this portrait."""


class Model:
    """A checkpoint or model file on an engine."""

    def __init__(self, label: str, engine: engines.Engine) -> None:
        self.label = label
        self.told = f"{label}: {engine.name} on {engine.device}"
        self._engine = engine

    def draw(self, pair: Pair) -> Drawing:
        drawn = self._engine.draw(pair.photo[None], boxes(pair.points)[None], pair.matte[None])
        return np.asarray(drawn[0], np.uint8)


class Folder:
    """Drawings that lie in a folder under the names of their photos."""

    def __init__(self, label: str, path: Path) -> None:
        """Raises ValueError when there is no picture in it."""
        self.label, self.path = label, path
        try:
            files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
        except OSError as error:
            raise ValueError(f"{path}: expected a folder of drawings, got {error.strerror or error}") from None
        self._files = [file for file in files if not file.stem.endswith(PHOTO)]
        if not self._files:
            raise ValueError(f"{path}: expected drawings ({', '.join(SUFFIXES)}) in this folder, got none")
        self.told = f"{label}: {len(self._files)} drawings of {path}"

    def find(self, name: str) -> Path | None:
        """The drawing of a photo: of the same name, or of that name (without ``_photo``), ``_`` and more.

        Raises ValueError when there are several.
        """
        stem = Path(name).stem if Path(name).suffix.lower() in SUFFIXES else name
        same = [file for file in self._files if file.stem == stem]
        begins = stem.removesuffix(PHOTO)
        found = same or [file for file in self._files if file.stem == begins or file.stem.startswith(f"{begins}_")]
        if len(found) > 1:
            raise ValueError(f"{self.path}: expected one drawing of {name!r}, got {found[0].name} and {found[1].name}")
        return found[0] if found else None

    def draw(self, pair: Pair) -> Drawing:
        file = self.find(pair.name)
        if file is None:
            raise ValueError(
                f"{self.path}: expected a drawing of {pair.name!r}, got none; add it or leave the photo out"
            )
        return square(file.read_bytes(), "L", str(file))


def open_subjects(
    paths: Sequence[Path], opened: ExitStack, *, engine: str = "auto", threads: int | None = None
) -> list[Subject]:
    """Open everything that is to be measured side by side.

    Args:
        paths: checkpoints (ours, or the official files), ``.onnx`` files, names of models in ``models/``, run folders,
            folders of drawings.
        opened: closes the engines.
        engine: what runs the models, as :func:`engines.load` takes it.
        threads: CPU threads of each.
    Raises:
        ValueError: one of them is nothing of these; names it.
    """
    return [
        _open(path, label, lambda model: opened.enter_context(engines.load(model, engine, threads=threads)))
        for path, label in zip(paths, labels(paths), strict=True)
    ]


def _open(path: Path, label: str, load: Callable[[Path], engines.Engine]) -> Subject:
    if not path.is_dir():
        return Model(label, load(path))
    weights = open_run(path).weights
    if weights != path or any(file.suffix in (".pt", ".pth") for file in path.iterdir()):
        return Model(label, load(weights))
    return Folder(label, path)


def labels(paths: Sequence[Path]) -> list[str]:
    """The last part of each path, without suffix; more parts where two would be the same.

    Raises ValueError when one path is given twice.
    """
    whole = [path.resolve() for path in paths]
    for i, path in enumerate(whole):
        if path in whole[:i]:
            raise ValueError(f"{paths[i]}: expected different models, got this one twice; name each once")
    found = []
    for path in whole:
        count = 1
        while count < len(path.parts) and _taken(path, count, whole):
            count += 1
        found.append("/".join([*path.parts[-count:-1], path.name if path.is_dir() else path.stem]))
    if len(set(found)) < len(found):  # a.onnx beside a.safetensors
        found = [f"{label}{path.suffix}" for label, path in zip(found, whole, strict=True)]
    return found


def _taken(path: Path, count: int, others: Sequence[Path]) -> bool:
    """Whether the last ``count`` parts do not tell a path from all others, and from the references."""
    last = path.parts[-count:]
    return last == (REFERENCE,) or any(last == other.parts[-count:] for other in others if other != path)
