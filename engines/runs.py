"""A training run's folder, as an export reads it: its weights, what it says of itself, and under which rights.

::

    RUN/run.toml                 the run as it was set up; [card] holds the words for the model file
    RUN/run.json                 steps, time, hardware, fingerprint of the data
    RUN/student.safetensors      the weights (of `train distill`), or
    RUN/generator.safetensors    (of `train gan`)
    RUN/evaluation.csv           figures, if `train evaluate --csv` wrote them there
    RUN/samples/*.png            sheets; the newest is the card's picture

Only the weights must be there.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engines.errors import ModelError
from engines.manifest import NOT_STATED, read_manifest, says_non_commercial

CHECKPOINTS = ("student.safetensors", "generator.safetensors")
STATED = ("style", "licence", "data", "data_rights", "version")
"""What only a person can say of a model: keys of ``[card]`` in run.toml, options, words in a checkpoint."""
OFFICIAL = {
    "style": "APDrawingGAN",
    "licence": "its authors' own terms, not in the file: ask them",
    "data": "its authors' portraits",
}
"""What can be said of the published checkpoints, which say nothing of themselves."""
NON_COMMERCIAL = "non-commercial use only"

_UPSTREAM = ("start", "teacher")
"""Keys of a run.toml that may name a checkpoint which a run learnt from."""
_NO_CHECKPOINT = ("drawings", "npr")
"""Teachers that are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What an export takes its words and its card from; of a bare checkpoint only the weights are known."""

    weights: Path
    folder: Path | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    """run.toml, parsed."""
    config_text: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    """run.json, parsed."""
    figures: Path | None = None
    picture: Path | None = None

    @property
    def name(self) -> str:
        """The model's name, if none is given."""
        return self.folder.resolve().name if self.folder else self.weights.stem

    def stated(self) -> dict[str, str]:
        """The words of ``[card]``. Raises ModelError naming file and key."""
        return _card(self.config, f"{self.folder}/run.toml") if self.folder else {}

    def upstream(self) -> list[Path]:
        """Checkpoints that this run started from or was taught by, as run.toml names them."""
        return _upstream(self.config)


def open_run(source: Path) -> Run:
    """Read a run folder, or take a checkpoint (a file, or a folder of official files) as it is.

    Raises:
        ModelError: nothing there, a run folder without weights or with several, or a file in it that cannot be read.
    """
    if not source.exists():
        raise ModelError(f"{source}: expected a run folder or a checkpoint, found nothing there")
    if not source.is_dir() or not _is_run(source):
        return Run(weights=source)
    found = [source / name for name in CHECKPOINTS if (source / name).is_file()]
    if len(found) != 1:
        got = "both" if found else "neither; train it further, until its first checkpoint"
        raise ModelError(f"{source}: expected a run with {' or '.join(CHECKPOINTS)}, got {got}")
    figures = source / "evaluation.csv"
    pictures = sorted((source / "samples").glob("*.png"), key=lambda path: (path.stat().st_mtime, path.name))
    text = _text(source / "run.toml")
    return Run(
        weights=found[0],
        folder=source,
        config=_parsed(source / "run.toml", tomllib.loads, text),
        config_text=text,
        record=_parsed(source / "run.json", json.loads, _text(source / "run.json")),
        figures=figures if figures.is_file() else None,
        picture=pictures[-1] if pictures else None,
    )


def licences_of(checkpoints: Iterable[Path], behind: frozenset[Path] = frozenset()) -> dict[str, str]:
    """Licence of each checkpoint that is there, as its run's ``[card]`` or it itself says; empty: not said.

    What a checkpoint was learnt from counts too, as far back as there are run.toml files to tell.

    Args:
        checkpoints: files, or folders of official files.
        behind: those already looked at.
    Raises:
        CheckpointError, ModelError: one cannot be read, or claims more than what it was learnt from allows.
    """
    from apdgan.checkpoint import read_extra

    found = {}
    for path in checkpoints:
        if not path.exists() or path.resolve() in behind:
            continue
        if path.suffix == ".onnx":
            licence = read_manifest(path).licence
            found[str(path)] = "" if licence == NOT_STATED else licence
            continue
        setup = path.parent / "run.toml"
        config = _parsed(setup, tomllib.loads, _text(setup))
        words = read_extra(path) | _card(config, str(setup))
        licences = licences_of(_upstream(config), behind | {path.resolve()})
        licence = checked_rights(words, licences)["licence"]
        found[str(path)] = "" if licence == NOT_STATED else licence
    return found


def checked_rights(words: Mapping[str, str], upstream: Mapping[str, str]) -> dict[str, str]:
    """Words for a manifest whose licence is true to the data, and to the models that were learnt from.

    Args:
        words: as far as known, keys as in :data:`STATED`.
        upstream: name -> licence of every checkpoint behind this one.
    Raises:
        ModelError: the licence allows what the data or a model upstream does not.
    """
    sources = {name: licence for name, licence in upstream.items() if says_non_commercial(licence)}
    rights = words.get("data_rights", "")
    if says_non_commercial(rights) or says_non_commercial(words.get("data", "")):
        sources = {"the data": rights or words["data"], **sources}
    licence = words.get("licence", NON_COMMERCIAL if sources else NOT_STATED)
    if sources and not says_non_commercial(licence):
        name, why = next(iter(sources.items()))
        raise ModelError(
            f"licence: expected one that says non-commercial, because {name} is ({why}); got {licence!r}; "
            f"state another, for instance --licence {NON_COMMERCIAL!r}"
        )
    data = words.get("data", NOT_STATED)
    told = data if not rights or rights in data else f"{data} ({rights})"
    return {"style": words.get("style", NOT_STATED), "licence": licence, "data": told} | {
        "version": words.get("version", "1")
    }


def _card(config: Mapping[str, Any], where: str) -> dict[str, str]:
    card = config.get("card", {})
    if not isinstance(card, Mapping):
        raise ModelError(f"{where}: [card]: expected a table with {', '.join(STATED)}, got {card!r}")
    for key, value in card.items():
        if key not in STATED:
            raise ModelError(f"{where}: [card] {key}: no such key; expected one of {', '.join(STATED)}")
        if not isinstance(value, str):
            raise ModelError(f"{where}: [card] {key}: expected a text, got {value!r}")
    return {key: value.strip() for key, value in card.items() if value.strip()}


def _upstream(config: Mapping[str, Any]) -> list[Path]:
    tables = [row for table in config.values() for row in (table if isinstance(table, list) else [table])]
    names = [row.get(key) for row in tables if isinstance(row, Mapping) for key in _UPSTREAM]
    return [Path(name) for name in names if isinstance(name, str) and name and name not in _NO_CHECKPOINT]


def _is_run(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("run.toml", "run.json", "state.safetensors", *CHECKPOINTS))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8") if path.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); mend or remove it") from None


def _parsed(path: Path, parse: Any, text: str) -> dict[str, Any]:
    try:
        value = parse(text) if text else {}
    except ValueError as error:  # of TOML and of JSON
        raise ModelError(f"{path}: cannot be read ({error}); mend or remove it") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path}: expected a table, got {type(value).__name__}; mend or remove it")
    return value
