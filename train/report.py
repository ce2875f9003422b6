"""The report of a training run: one HTML file with curves, sample sheets, settings, data and hardware.

It is made of what lies in the run folder, and shows what there is: a run without a log, or with one that was cut short
or holds values that are no numbers, has a report too, which says so.
"""

from __future__ import annotations

import argparse
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from train import page
from train.charts import chart, short
from train.sheets import SAMPLES

REPORT = "report.html"
KNOWN = ("run.toml", "run.json", "log.jsonl", "state.safetensors", "student.safetensors", "generator.safetensors")
MOST_SHEETS = 8
_BASE = ("step", "minutes")


@dataclass(slots=True, kw_only=True)
class Log:
    """What ``log.jsonl`` holds."""

    series: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """Name -> (step, value), in order of steps; ``loss`` first."""
    stages: list[tuple[float, str]] = field(default_factory=list)
    """Step at which each stage is first seen, and its name."""
    step: int = 0
    minutes: float = math.nan
    torn: int = 0
    """Lines that cannot be read."""
    odd: dict[str, int] = field(default_factory=dict)
    """Series -> values that are no finite numbers."""


def read_log(path: Path) -> Log:
    """Read a log; an empty one when there is none.

    A line is a JSON object with ``step``; its numbers make the series. Where a run went back to a checkpoint, the
    later lines stand.
    """
    log = Log()
    lines: dict[int, Mapping[str, Any]] = {}
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
            step = int(line["step"])
        except (ValueError, KeyError, TypeError, OverflowError):
            log.torn += bool(text.strip())
            continue
        while lines and next(reversed(lines)) >= step:
            lines.popitem()
        lines[step] = line
    for step, line in lines.items():
        _take(log, step, line)
    first = [name for name in log.series if name == "loss"]
    log.series = {name: log.series[name] for name in [*first, *(n for n in log.series if n != "loss")]}
    return log


def _take(log: Log, step: int, line: Mapping[str, Any]) -> None:
    log.step = step
    for name, value in line.items():
        if name == "minutes" and isinstance(value, int | float):
            log.minutes = float(value)
        elif name == "stage" and (not log.stages or log.stages[-1][1] != str(value)):
            log.stages.append((step, str(value)))
        elif name not in (*_BASE, "stage") and isinstance(value, int | float) and not isinstance(value, bool):
            log.series.setdefault(name, []).append((step, float(value)))
            if not math.isfinite(value):
                log.odd[name] = log.odd.get(name, 0) + 1


def write_report(run: Path) -> Path:
    """Write ``RUN/report.html`` from what lies in the run folder, and return its path.

    Raises:
        ValueError: there is no run in this folder.
        OSError: the page cannot be written; an older one is still there.
    """
    if not run.is_dir() or not any((run / name).exists() for name in (*KNOWN, SAMPLES)):
        raise ValueError(f"{run}: expected the folder of a training run, got {'another' if run.is_dir() else 'none'}")
    log = read_log(run / "log.jsonl")
    record, record_fault = _table(run / "run.json", json.loads)
    config, config_fault = _table(run / "run.toml", tomllib.loads)
    rows = list(_flat(record))
    if log.series and "step" not in record:
        minutes = [("minutes", f"{log.minutes:.1f}")] if math.isfinite(log.minutes) else []
        rows = [("step", f"{log.step:,}"), *minutes, *rows]
    name = run.resolve().name
    faults = "".join(_warning(line) for line in (record_fault, config_fault) if line)
    sections = [
        page.section("Curves", _curves(log)),
        page.section("Samples", _samples(run / SAMPLES)),
        page.section("Run", page.facts(rows) + faults),
        page.section("Settings", _settings(run / "run.toml")),
    ]
    return page.write(run / REPORT, page.page(name, _subtitle(log, record, config), sections))


def _subtitle(log: Log, record: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    model = config.get("model")
    parts = [str(record.get("command", ""))]
    parts += [str(model.get("preset", ""))] if isinstance(model, Mapping) else []
    step = record.get("step", log.step)
    parts += [f"{step:,} steps"] if isinstance(step, int) and step else []
    spent = record.get("spent_s")
    minutes = spent / 60 if isinstance(spent, int | float) else log.minutes
    parts += [f"{minutes:.0f} min"] if math.isfinite(minutes) else []
    if log.series.get("loss"):
        parts.append(f"loss {short(log.series['loss'][-1][1])}")
    return " · ".join(part for part in parts if part)


def _curves(log: Log) -> str:
    if not log.series:
        return '<p class="quiet">no log yet</p>' + (_warning(_torn(log)) if log.torn else "")
    stages = log.stages if len(log.stages) > 1 else []
    out, small = [], []
    for name, points in log.series.items():
        last = next((value for _, value in reversed(points) if math.isfinite(value)), math.nan)
        head = f"<h3>{page.text(name)}<b>{short(last)}</b></h3>"
        if name == "loss":
            drawn = chart(points, title=name, width=1060, height=280, stages=stages)
            out.append(f'<div class="card wide">{head}{drawn}</div>')
        else:
            small.append(f'<div class="card">{head}{chart(points, title=name, stages=stages)}</div>')
    out.append(f'<div class="curves">{"".join(small)}</div>')
    if log.odd:
        told = ", ".join(f"{name} ({log.odd[name]})" for name in log.series if name in log.odd)
        out.append(_warning(f"values that are no numbers, left out: {told}"))
    if log.torn:
        out.append(_warning(_torn(log)))
    return "\n".join(out)


def _torn(log: Log) -> str:
    return f"lines of log.jsonl that cannot be read, left out: {log.torn}"


def _samples(folder: Path) -> str:
    """The newest sheet, and earlier ones behind a fold."""
    files = sorted(folder.glob("*.png"))
    if not files:
        return ""
    earlier = [files[i] for i in sorted({round(k * (len(files) - 1) / MOST_SHEETS) for k in range(MOST_SHEETS)})]
    earlier = [file for file in earlier if file != files[-1]]
    out = _sheet(files[-1], 85)
    if earlier:
        out += page.fold(f"{len(earlier)} earlier of {len(files)}", "".join(_sheet(f, 70) for f in reversed(earlier)))
    return out


def _sheet(file: Path, quality: int) -> str:
    try:
        with Image.open(file) as picture:
            pixels = np.array(picture.convert("RGB"), np.uint8)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError):
        return _warning(f"{file.name} cannot be read")
    step = file.stem.removeprefix("step-")
    return page.figure(pixels, f"step {int(step):,}" if step.isdecimal() else file.stem, quality=quality)


def _settings(file: Path) -> str:
    if not file.is_file():
        return ""
    return f'<div class="card"><pre>{page.text(file.read_text(encoding="utf-8", errors="replace").strip())}</pre></div>'


def _warning(line: str) -> str:
    return f'<p class="warn">{page.text(line)}</p>'


def _table(path: Path, parse: Any) -> tuple[Mapping[str, Any], str]:
    """What a file holds, and what is wrong with it, in words."""
    if not path.is_file():
        return {}, ""
    try:
        value = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return {}, f"{path.name} cannot be read: {error}"
    return (value, "") if isinstance(value, Mapping) else ({}, f"{path.name} holds no table")


def _flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Names and values of a nest of tables, in words."""
    for key, one in value.items():
        name = f"{before}{key}".replace("_", " ")
        if isinstance(one, Mapping):
            yield from _flat(one, f"{name}, ")
        elif isinstance(one, float):
            yield name, f"{one:,.6g}" if math.isfinite(one) else str(one)
        elif isinstance(one, bool):
            yield name, "yes" if one else "no"
        elif isinstance(one, int):
            yield name, f"{one:,}"
        elif isinstance(one, list):
            yield name, ", ".join(map(str, one))
        elif one is not None:
            yield name, str(one)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m train report``."""
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")


def main(args: argparse.Namespace) -> int:
    """Run from parsed options."""
    for run in args.runs:
        print(write_report(run))
    return 0
