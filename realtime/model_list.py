"""The drawing models that can be named, as a table for people and as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import textwrap
from collections.abc import Callable
from typing import Any

import engines
from engines.catalogue import DEFAULT

Say = Callable[[str], None]

MB = 1e6
HEADS = ("", "style", "preset", "GMAC", "MB", "licence")
RIGHT = ("GMAC", "MB")
LOUD = "NON-COMMERCIAL"
INDENT = "    "
WIDEST = 120


def list_models(say: Say) -> bool:
    """The models folder as a table; what each was trained on stands below it. Always True: it can be listed."""
    models = _drawing_models()
    rows = [HEADS, *(_row(model) for model in models)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADS))]
    width = min(shutil.get_terminal_size().columns, WIDEST)
    for row, model in zip(rows, (None, *models), strict=True):
        cells = [
            cell.rjust(size) if head in RIGHT else cell.ljust(size)
            for cell, size, head in zip(row, widths, HEADS, strict=True)
        ]
        say("  ".join(cells).rstrip())
        if model is not None:
            told = f"trained on {model.manifest.data}" if model.manifest else f"cannot be used: {model.problem}"
            told = f"the default; {told}" if model.name == DEFAULT else told
            say(textwrap.fill(told, width, initial_indent=INDENT, subsequent_indent=INDENT))
    say("another: --model PATH of a file written by python -m engines.export")
    return True


def list_models_json(say: Say) -> bool:
    """The same, with everything that the models say of themselves, as one JSON list."""
    say(json.dumps([_plain(model) for model in _drawing_models()], indent=2))
    return True


def licence_warning(name: str, manifest: engines.Manifest) -> str | None:
    """What whoever chose this model must know; None: nothing."""
    if not manifest.non_commercial:
        return None
    return f"model {name}: {LOUD} use only (licence: {manifest.licence}); without --model, {DEFAULT} draws"


def _drawing_models() -> list[engines.ModelInfo]:
    """Those that draw, and those that cannot be used, with the reason."""
    return [model for model in engines.list_models() if model.manifest is None or model.manifest.kind == "drawing"]


def _row(model: engines.ModelInfo) -> tuple[str, ...]:
    name, size = f"--model {model.name}", f"{model.size / MB:.1f}"
    manifest = model.manifest
    if manifest is None:
        return name, "?", "?", "?", size, "?"
    licence = manifest.licence
    if manifest.non_commercial:
        said = "non-commercial" in licence.lower()
        licence = re.sub("non-commercial", LOUD, licence, flags=re.IGNORECASE) if said else f"{LOUD}: {licence}"
    return name, manifest.style, manifest.preset, f"{manifest.gmac:.1f}", size, licence


def _plain(model: engines.ModelInfo) -> dict[str, Any]:
    known: dict[str, Any] = {"name": model.name, "default": model.name == DEFAULT, "bytes": model.size}
    if model.manifest is None:
        return known | {"problem": model.problem}
    return known | dataclasses.asdict(model.manifest) | {"non_commercial": model.manifest.non_commercial}
