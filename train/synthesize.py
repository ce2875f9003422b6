"""Draw prepared photos with the NPR teacher: the paper's pre-training data (CVPR 2019, section 4)."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.dataset import Pairs, open_pairs
from train.faces import Faces
from train.folder import SPLITS, write_pair
from train.npr import draw, with_pen_strokes
from train.pictures import check_drawing
from train.pool import default_workers, each
from train.prepare import check_same, list_skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One portrait on its way to its drawing."""

    source: Path
    index: int
    name: str
    out: Path
    split: str
    hair: bool = False
    """Draw the hair alone, into the drawing that is there."""


class Desk:
    """What a process needs: the photos (or pairs), opened once, and a tracker once a photo without a mesh is met."""

    def __init__(self, landmarker: Path | None) -> None:
        self._landmarker = landmarker
        self._opened: dict[Path, Pairs] = {}
        self._faces: Faces | None = None

    def pairs(self, source: Path, *, drawings: bool) -> Pairs:
        """The source, opened when first asked for."""
        if source not in self._opened:
            self._opened[source] = open_pairs([source], drawings=drawings)
        return self._opened[source]

    def mesh(self, photo: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(478, 2) float32 px. Raises ValueError when no face is found."""
        if self._faces is None:
            self._faces = Faces(landmarker=self._landmarker, mattes=False)
        mesh = self._faces.mesh(photo)
        if mesh is None:
            raise ValueError("expected a face, found none")
        return mesh

    def close(self) -> None:
        """Release the tracker. May be called twice."""
        if self._faces is not None:
            self._faces.close()


def _work(desk: Desk, job: Job) -> str | None:
    """None when it was drawn and written, else the line that goes to ``skipped.txt``."""
    try:
        pair = desk.pairs(job.source, drawings=job.hair)[job.index]
        mesh = desk.mesh(pair.photo) if pair.mesh is None else pair.mesh
        if job.hair and pair.drawing is not None:
            drawn = with_pen_strokes(pair.drawing, pair.photo, mesh, pair.matte)
        else:
            drawn = draw(pair.photo, mesh, pair.matte)
        drawing = check_drawing(drawn, "teacher")
        write_pair(job.out, job.split, replace(pair, mesh=mesh, drawing=drawing))
    except ValueError as error:
        return f"{job.source}/{job.name}: {error}"
    return None


def sources_of(path: Path) -> list[tuple[Path, str]]:
    """What is in a folder or pack, each with the split that it goes to."""
    found = [(path / "data" / split, split) for split in SPLITS if (path / "data" / split).is_dir()]
    if found:
        return found
    return [(path, path.name if path.parent.name == "data" and path.name in SPLITS else "train")]


def synthesize(
    source: Path, out: Path, *, hair: bool = False, workers: int = 1, landmarker: Path | None = None
) -> tuple[int, Sequence[str]]:
    """Write the photos of ``source`` again as pairs, going on where an earlier run stopped.

    Args:
        source: a prepared folder (all its splits) or a pack; drawings that it holds are left where they are.
        hair: draw the hair alone, as a thin pen does, into the drawings that ``source`` holds.
        landmarker: ``face_landmarker.task`` for photos without a mesh; None asks the asset store.
    Returns:
        How many of the photos ``out`` holds now, and a line ``file: reason`` for each one left out.
    Raises:
        ValueError: ``source`` is not a prepared folder or pack.
        OSError: the disk is full or cannot be written; what is there is whole.
    """
    jobs, count = [], 0
    for path, split in sources_of(source):
        names = open_pairs([path], drawings=hair).names
        count += len(names)
        jobs += [
            Job(source=path, index=i, name=name, out=out, split=split, hair=hair)
            for i, name in enumerate(names)
            if not (out / "data" / split / f"{name}.png").exists()
        ]
    told = each(_work, jobs, setup=Desk, arguments=(landmarker,), workers=workers, told=f"drawing {out.name}")
    skipped = [line for line in told if line is not None]
    return count - len(skipped), skipped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m train synthesize``."""
    parser.add_argument("source", type=Path, help="prepared folder or pack")
    parser.add_argument("out", type=Path, help="folder to write; one that was begun is continued")
    parser.add_argument(
        "--hair",
        action="store_true",
        help="keep the drawings, of an artist's hand, and draw their hair anew: thin strokes",
    )
    parser.add_argument("--landmarker", type=Path, help="face_landmarker.task (default: found by itself)")
    parser.add_argument("--workers", type=int, default=default_workers(), help="processes (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Run from parsed options."""
    if args.out.resolve() == args.source.resolve():
        raise ValueError(f"{args.out}: expected another folder than the photos'")
    sources = sources_of(args.source)
    names = [open_pairs([path], drawings=args.hair).names for path, _ in sources]  # told before anything is written
    check_same(args.out, {"photos": str(args.source.resolve()), "teacher": "npr hair" if args.hair else "npr"})
    count, skipped = synthesize(args.source, args.out, hair=args.hair, workers=args.workers, landmarker=args.landmarker)
    list_skipped(
        args.out, skipped, [path / name for (path, _), own in zip(sources, names, strict=True) for name in own]
    )
    for line in skipped:
        print(line)
    print(f"{args.out}: {count} drawings, {len(skipped)} left out")
    return 0 if count else 2
