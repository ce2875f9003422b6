"""Measure checkpoints, model files, runs or folders of drawings, any number side by side.

Every portrait of the data is drawn by each and compared with its reference: the drawing that lies beside the photo, or
one of a folder of published drawings. Figures are those of :mod:`train.metrics`, LPIPS and FID where their weights are
given. Told are means with the worst picture of each; each picture in a CSV; a sheet; a page with all of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from train.dataset import Pairs, open_pairs
from train.metrics import alone, report
from train.sheets import save_sheet, sheet, spread
from train.subjects import Drawing, Folder, Subject, open_subjects
from train.tables import REFERENCE, Result, table, write_csv, write_page

Lpips = Callable[[Drawing, Sequence[Drawing]], list[float]]
"""Distance of each drawing from the reference."""
Features = Callable[[Drawing], NDArray[np.float64]]
"""(2048,) of one drawing."""


def evaluate(
    pairs: Pairs,
    subjects: Sequence[Subject],
    *,
    against: Folder | None = None,
    lpips: Lpips | None = None,
    features: Features | None = None,
    rows: int = 8,
) -> Result:
    """Draw and measure every portrait.

    Args:
        pairs: portraits, with drawings or without.
        subjects: what draws them.
        against: references that take the place of the pairs' own drawings.
        lpips: the distance; None leaves it out.
        features: what FID is computed of; None leaves it out.
        rows: of the sheet, spread over the pictures measured.
    Raises:
        ValueError: no portrait is left, a folder lacks a drawing, or a file cannot be read; names it.
    """
    result = Result(labels=[subject.label for subject in subjects])
    known = _known(pairs, against)
    result.without = [name for i, name in enumerate(pairs.names) if i not in set(known)]
    shown = {known[i] for i in spread(len(known), rows)}
    seen: dict[str, list[NDArray[np.float64]]] = {label: [] for label in (REFERENCE, *result.labels)}
    for i in track(known, "drawing", console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True):
        pair = pairs[i]
        reference = pair.drawing if against is None else against.draw(pair)
        drawings = [subject.draw(pair) for subject in subjects]
        _measure(result, pair.name, reference, drawings, lpips)
        if features is not None and reference is not None:
            for label, drawing in zip(seen, [reference, *drawings], strict=True):
                seen[label].append(features(drawing))
        if i in shown:
            result.rows.append([pair.photo, reference, *drawings])
    _finish(result, seen)
    return result


def _known(pairs: Pairs, against: Folder | None) -> list[int]:
    """The portraits that have a reference; all, when there is none at all."""
    if against is None:
        return [i for i, pair in enumerate(pairs) if pair.drawing is not None] or list(range(len(pairs)))
    known = [i for i, name in enumerate(pairs.names) if against.find(name)]
    if not known:
        raise ValueError(
            f"{against.path}: expected a drawing of a portrait, under the portrait's name, got none "
            f"(the first portrait is {pairs.names[0]!r})"
        )
    return known


def _measure(
    result: Result, name: str, reference: Drawing | None, drawings: Sequence[Drawing], lpips: Lpips | None
) -> None:
    result.names.append(name)
    rows = [alone(d) if reference is None else report(d, reference) for d in drawings]
    if lpips is not None and reference is not None:
        rows = [{"lpips": value, **row} for row, value in zip(rows, lpips(reference, drawings), strict=True)]
    for label, row in zip(result.labels, rows, strict=True):
        result.figures.setdefault(label, []).append(row)
    result.figures.setdefault(REFERENCE, []).append(alone(reference) if reference is not None else {})


def _finish(result: Result, seen: Mapping[str, Sequence[NDArray[np.float64]]]) -> None:
    if not any(result.figures[REFERENCE]):
        del result.figures[REFERENCE]
        result.rows = [[row[0], *row[2:]] for row in result.rows]
        result.notes.append("no references: these portraits have no drawings (--against FOLDER gives some)")
    if len(seen[REFERENCE]) >= 2:
        from train.fid import frechet

        wanted = np.stack(seen[REFERENCE])
        result.fid = {label: frechet(np.stack(seen[label]), wanted) for label in result.labels}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m train evaluate``."""
    parser.add_argument("models", nargs="+", type=Path, help="checkpoint, .onnx, run folder, folder of drawings")
    parser.add_argument("--data", nargs="+", type=Path, required=True, help="prepared folders or packs")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="references, under the names of their photos")
    parser.add_argument("--lpips", type=Path, metavar="FILE", help="LPIPS weights (.npz)")
    parser.add_argument("--inception", type=Path, metavar="FILE", help="torchvision's inception_v3, for FID")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="figures of every picture")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="picture to write")
    parser.add_argument("--html", type=Path, metavar="FILE", help="page to write: figures and sheet in one file")
    parser.add_argument("--rows", type=int, default=8, help="of the sheet")
    parser.add_argument("--side", type=int, default=384, help="pixels of a picture of the sheet")
    parser.add_argument("--engine", default="auto", help="what runs the models")
    parser.add_argument("--threads", type=int)


def main(args: argparse.Namespace) -> int:
    """Run from parsed options."""
    if args.rows < 1 or not 16 <= args.side <= 2048:
        raise ValueError(f"--rows, --side: expected 1 or more, and 16 to 2048; got {args.rows}, {args.side}")
    for path in filter(None, (args.csv, args.sheet, args.html)):
        if not path.parent.is_dir():
            raise ValueError(f"{path}: expected an existing folder, got {path.parent}; make it first")
    pairs = open_pairs(args.data, drawings=False)
    against = Folder(REFERENCE, args.against) if args.against else None
    lpips, features = _networks(args)
    with ExitStack() as opened:
        subjects = open_subjects(args.models, opened, engine=args.engine, threads=args.threads)
        for subject in subjects:
            print(subject.told)
        result = evaluate(pairs, subjects, against=against, lpips=lpips, features=features, rows=args.rows)
    _tell(result, args)
    print(f"\n{table(result)}\n")
    for note in result.notes:
        print(note)
    if args.csv:
        write_csv(args.csv, result)
    page = sheet(result.rows, result.heads, side=args.side)
    if args.sheet:
        save_sheet(args.sheet, page)
    if args.html:
        write_page(args.html, result, [s.told for s in subjects], pairs.fingerprint(), page)
    return 0


def _networks(args: argparse.Namespace) -> tuple[Lpips | None, Features | None]:
    """What needs weights, where they are given."""
    lpips, features = None, None
    if args.lpips:
        from train.lpips import drawing_distances

        lpips = drawing_distances(args.lpips)
    if args.inception:
        from train.fid import drawing_features

        features = drawing_features(args.inception)
    return lpips, features


def _tell(result: Result, args: argparse.Namespace) -> None:
    """Add to the notes what is missing from the figures."""
    if REFERENCE in result.figures:
        if args.lpips is None:
            result.notes.append("LPIPS not computed: no weights were given (--lpips FILE.npz)")
        if args.inception is None:
            result.notes.append("FID not computed: no Inception weights were given (--inception FILE)")
        elif not result.fid:
            result.notes.append("FID not computed: it needs two pictures or more")
        else:
            result.notes.append("FID by torchvision's Inception: not comparable with FID by TensorFlow's")
    if result.without:
        names = ", ".join(result.without[:3]) + (", ..." if len(result.without) > 3 else "")
        result.notes.append(f"left out, no reference: {len(result.without)} ({names})")
