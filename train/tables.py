"""Figures of an evaluation told: a Markdown table, a CSV of every picture, a page."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train import page
from train.metrics import FIGURES

Row = dict[str, float]
Picture = NDArray[np.uint8]

REFERENCE = "reference"


@dataclass(slots=True, kw_only=True)
class Result:
    """Figures of every picture; the lists run beside ``names``."""

    labels: list[str]
    names: list[str] = field(default_factory=list)
    figures: dict[str, list[Row]] = field(default_factory=dict)
    """Label -> figures by name, of each picture; REFERENCE holds the references' own."""
    fid: dict[str, float] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)
    """Names of portraits that have no reference, which are left out when others have one."""
    notes: list[str] = field(default_factory=list)
    """What was not computed, and why."""
    rows: list[list[Picture | None]] = field(default_factory=list)
    """Cells of the sheet."""

    def values(self, label: str, figure: str) -> NDArray[np.float64]:
        """(N,) of one figure; nan where a picture has none."""
        return np.array([row.get(figure, math.nan) for row in self.figures[label]])

    def mean(self, label: str, figure: str) -> float:
        """Mean over the pictures that have the figure; nan when none has."""
        values = self.values(label, figure)
        known = values[~np.isnan(values)]
        return float(known.mean()) if len(known) else math.nan

    @property
    def heads(self) -> list[str]:
        """Names of the sheet's columns."""
        return ["photo", *([REFERENCE] if REFERENCE in self.figures else []), *self.labels]

    @property
    def columns(self) -> list[str]:
        """Names of a table's columns: what was measured, then the references."""
        return [*self.labels, *([REFERENCE] if REFERENCE in self.figures else [])]

    @property
    def known(self) -> list[str]:
        """Figures that some picture has, in the order of tables."""
        every = {name for rows in self.figures.values() for row in rows for name in row}
        return [name for name in FIGURES if name in every]

    def worst(self, label: str, figure: str) -> int | None:
        """Which picture is worst; where no way is better, the one furthest from its reference (None without)."""
        values, better = self.values(label, figure), FIGURES[figure].better
        if better == "reference":
            if REFERENCE not in self.figures:
                return None
            values = np.abs(values - self.values(REFERENCE, figure))
        bad = -values if better == "higher" else values
        return None if np.isnan(bad).all() else int(np.nanargmax(bad))


def table(result: Result) -> str:
    """Markdown: a row for each figure; mean and, in brackets, the worst with its picture."""
    columns = result.columns
    lines = [f"| {len(result.names)} pictures | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for name, figure in FIGURES.items():
        cells = [_cell(result, label, name) for label in columns]
        if any(cells):
            arrow = {"lower": " ↓", "higher": " ↑", "reference": ""}[figure.better]
            lines.append(f"| {figure.title}{arrow} | {' | '.join(cells)} |")
    if result.fid:
        cells = [f"{result.fid[label]:.2f}" if label in result.fid else "" for label in columns]
        lines.append(f"| FID, of {len(result.names)} pictures ↓ | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(result: Result, label: str, name: str) -> str:
    mean, digits = result.mean(label, name), FIGURES[name].digits
    if math.isnan(mean):
        return ""
    worst = None if label == REFERENCE else result.worst(label, name)
    if worst is None:
        return f"{mean:.{digits}f}"
    return f"{mean:.{digits}f} ({result.values(label, name)[worst]:.{digits}f} {result.names[worst]})"


def write_csv(path: Path, result: Result) -> None:
    """One line for each picture and model. Raises OSError."""
    known = result.known
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["picture", "model", *known])
        for i, picture in enumerate(result.names):
            for label in result.labels:
                row = result.figures[label][i]
                writer.writerow([picture, label, *(f"{row[name]:.6g}" if name in row else "" for name in known)])


def write_page(path: Path, result: Result, told: Sequence[str], fingerprint: str, sheet: NDArray[np.uint8]) -> Path:
    """A page of an evaluation: means, the sheet, every picture's figures.

    Args:
        path: the file to write.
        result: of :func:`train.evaluate.evaluate`.
        told: what was measured, a line each.
        fingerprint: of the data.
        sheet: (H, W, 3) uint8 RGB.
    Raises:
        OSError: it cannot be written.
    """
    columns, known = result.columns, result.known
    means = [[page.text(FIGURES[n].title), *(_mean(result, c, n) for c in columns)] for n in known]
    if result.fid:
        means.append(["FID", *(f"{result.fid[c]:.2f}" if c in result.fid else "" for c in columns)])
    each = [
        [page.text(picture), page.text(label)] + [f"{result.values(label, n)[i]:.{FIGURES[n].digits}f}" for n in known]
        for i, picture in enumerate(result.names)
        for label in result.labels
    ]
    told_so = ["mean; in small type the worst picture", *result.notes]
    notes = "".join(f'<p class="quiet">{page.text(note)}</p>' for note in told_so)
    measured = [(str(i), line) for i, line in enumerate(told, 1)]
    sections = [
        page.section("Figures", page.table(["", *columns], means) + notes),
        page.section("Sheet", page.figure(sheet, f"{len(result.rows)} of {len(result.names)} pictures", quality=90)),
        page.section("Measured", page.facts([*measured, ("data", fingerprint)])),
        page.fold("every picture", page.table(["picture", "model", *(FIGURES[n].title for n in known)], each)),
    ]
    return page.write(path, page.page("Evaluation", f"{len(result.names)} pictures", sections))


def _mean(result: Result, label: str, name: str) -> str:
    mean, digits = result.mean(label, name), FIGURES[name].digits
    if math.isnan(mean):
        return ""
    worst = result.worst(label, name) if label in result.labels else None
    if worst is None:
        return f"{mean:.{digits}f}"
    value = result.values(label, name)[worst]
    return f"{mean:.{digits}f} <small>{value:.{digits}f} {page.text(result.names[worst])}</small>"
