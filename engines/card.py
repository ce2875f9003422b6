"""The card of a model: a page beside the file that says what it is, under which licence, and how it came to be."""

from __future__ import annotations

import csv
import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from engines.compare import Difference
from engines.errors import ModelError
from engines.manifest import Manifest
from engines.runs import Run

MARK = "<!-- written by engines.export; a card without this line is kept as it is -->"
WIDTH = 120
PORTS = {
    "drawing": "`photo` uint8 `[B,512,512,3]` RGB, `boxes` int32 `[B,4,2]`, `matte` uint8 `[B,512,512]` -> `drawing` "
    "uint8 `[B,512,512]`, 0 = ink.",
    "matte": "`photo` uint8 `[B,512,512,3]` RGB -> `matte` uint8 `[B,512,512]`, 255 = person.",
}
NORMS = {"batch": "running statistics", "instance": "the statistics of each picture"}

_FOLDERS = re.compile(r"(?<![\w.:/\\])(?:[A-Za-z]:)?[\\/]+(?:[^\\/\s\"']+[\\/]+)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What only the export itself knows."""

    file: str
    """Name of the model file."""
    size: int
    """Bytes."""
    parameters: int
    against_eager: Difference


def write_card(path: Path, manifest: Manifest, facts: Facts, run: Run, *, picture: str | None, command: str) -> bool:
    """Write a card, unless one that a person wrote is there. True: written.

    Args:
        path: the ``.md`` file.
        manifest: of the model.
        facts: of its file.
        run: where it comes from.
        picture: name of a picture beside the card.
        command: the export's own command line.
    Raises:
        ModelError: the figures cannot be read, or the card cannot be written.
    """
    if path.is_file() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        return False
    try:
        sections = [
            _head(manifest, facts),
            f"![drawings of {manifest.style}]({picture})" if picture else "",
            _licence(manifest, run),
            _making(run, command),
            _figures(run, facts),
            "## Limits\n\nNot stated yet: say here what it draws badly.",
            MARK,
        ]
    except ModelError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{run.folder}/run.json: expected the record that training writes, got {error!r}") from None
    try:
        path.write_text("\n\n".join(filter(None, sections)) + "\n", encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{path}: cannot write the card: {error.strerror}; choose another folder") from None
    return True


def _head(manifest: Manifest, facts: Facts) -> str:
    name = Path(facts.file).stem
    use = f" `python run_stream.py --model {name}` draws with it." if manifest.kind == "drawing" else ""
    halves = " (its kernels stored as fp16, computed with as fp32)" if manifest.weights == "fp16" else ""
    text = (
        f"`{facts.file}`: {PORTS[manifest.kind]} Preset `{manifest.preset}` at width {manifest.width}, "
        f"{facts.parameters / 1e6:.2f} M parameters, {manifest.gmac:.2f} GMAC, {facts.size / 1e6:.1f} MB{halves}. "
        f"Normalised by {NORMS[manifest.norm]} (`{manifest.norm}`). Version {manifest.version}.{use}"
    )
    return f"# {name}: {manifest.style}\n\n{_wrap(text)}"


def _licence(manifest: Manifest, run: Run) -> str:
    lines = [f"Licence: {_sentence(manifest.licence)}", f"Trained on: {_sentence(manifest.data)}"]
    data = run.record.get("data")
    if isinstance(data, Mapping) and data:
        stages = [
            f"{stage}: {facts.get('pairs')} pairs, sha256 `{facts.get('sha256')}`" for stage, facts in data.items()
        ]
        lines.append(f"What the run read, by stage: {'; '.join(stages)}.")
    lines.append(f"Weights: sha256 `{manifest.weights_sha256}`.")
    text = "\n\n".join(_wrap(line) for line in lines)
    warning = "**Non-commercial use only.**\n\n" if manifest.non_commercial else ""
    return f"## Data and licence\n\n{warning}{text}"


def _making(run: Run, command: str) -> str:
    parts = ["## How it was made"]
    if run.record:
        parts.append(_wrap(_story(run.record)))
    elif run.folder is None:
        parts.append(f"From the checkpoint `{run.weights.name}`.")
    parts.append(f"```\n{_without_folders(command)}\n```")
    if run.config_text:
        parts.append(f"The run's settings:\n\n```toml\n{_without_folders(run.config_text).strip()}\n```")
    return "\n\n".join(parts)


def _story(record: Mapping[str, Any]) -> str:
    """What run.json tells, in a sentence or two; what it lacks is left out."""
    parts = [f"Trained with `python -m train {record.get('command', '...')}`"]
    if "begun" in record:
        parts.append(f"begun {record['begun']}")
    if "step" in record:
        parts.append(f"{record['step']:,} steps{'' if record.get('finished', True) else ' (not to its end)'}")
    if "spent_s" in record:
        parts.append(f"{float(record['spent_s']) / 60:.0f} minutes")
    if int(record.get("processes", 1)) > 1:
        parts.append(f"{record['processes']} processes")
    hardware = record.get("hardware")
    told = ", ".join(f"{key} {value}" for key, value in hardware.items()) if isinstance(hardware, Mapping) else ""
    return f"{', '.join(parts)}.{f' Ran on: {told}.' if told else ''}"


def _figures(run: Run, facts: Facts) -> str:
    d = facts.against_eager
    same = (
        f"The file against the network it was exported from (ONNX Runtime, eager torch): at most {d.max} grey "
        f"level{'s' * (d.max != 1)} off, mean {d.mean:.5f}."
    )
    tail = (
        f"{same} Whether OpenVINO bf16 draws the same, and faster, is measured afterwards and recorded in the file: "
        f"`python -m engines.verify {Path(facts.file).stem} --photos FOLDER --record`."
    )
    if run.figures is None:
        return f"## Figures\n\n{_wrap(f'Not evaluated. {tail}')}"
    return f"## Figures\n\n{_table(read_figures(run.figures))}\n\n{_wrap(tail)}"


def _table(figures: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """A row for each figure: of each model the mean and, in brackets, the range over the pictures."""
    names = list(dict.fromkeys(name for values in figures.values() for name in values))
    pictures = max(len(values) for of_model in figures.values() for values in of_model.values())
    lines = [f"| {pictures} pictures | {' | '.join(figures)} |", "|---" * (len(figures) + 1) + "|"]
    for name in names:
        cells = [
            f"{fmean(values[name]):.4g} ({min(values[name]):.4g} to {max(values[name]):.4g})" if name in values else ""
            for values in figures.values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def read_figures(path: Path) -> dict[str, dict[str, list[float]]]:
    """Model -> figure -> its values over the pictures, of a table that ``train evaluate --csv`` wrote.

    Raises:
        ModelError: the file cannot be read.
    """
    found: dict[str, dict[str, list[float]]] = {}
    try:
        for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines(), strict=True):
            of_model = found.setdefault(row.pop("model"), {})
            row.pop("picture")
            for name, value in row.items():
                if value and math.isfinite(number := float(value)):
                    of_model.setdefault(name, []).append(number)
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise ModelError(f"{path}: expected the table of train evaluate --csv, got {error!r}; measure again") from None
    if not any(found.values()):
        raise ModelError(f"{path}: expected the table of train evaluate --csv, got one without figures; measure again")
    return found


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _without_folders(text: str) -> str:
    """Absolute paths shortened to their last part: a card tells nothing of the machine that it was written on."""
    return _FOLDERS.sub("", text)


def _wrap(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
