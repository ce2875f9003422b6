"""Align photos, or photos with drawings, into a folder in the paper's layout; varied copies where asked."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE, fit_similarity, transform
from train.dataset import FIVE, Pair, held_out, similarity, square_matrix, unsharp, warp
from train.faces import Faces
from train.folder import SPLITS, read_points, write_pair, write_whole
from train.pictures import check_drawing, clean_drawing, grey, read_grey, read_photo
from train.pool import default_workers, each
from train.readers import Item, find_items

DRAWN, PHOTOGRAPHED = 0.8, 0.5
"""Of a drawing more than the first of all pixels are black or white, of most photos less than the second."""
FURTHEST = 96.0
"""A picture said to be aligned whose landmarks would move a corner further than this (px) is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is done to every item; a folder is continued only with the same."""

    vary: int | None = None
    """Seed of a varied copy in place of the photo itself: moved, scaled 0.72 to 1.12, sharpened."""
    clean: bool = False
    """Drawings are scans on grey paper: see :func:`train.pictures.clean_drawing`."""


def vary(rng: np.random.Generator, aligned_scale: float) -> tuple[NDArray[np.float64], float, float]:
    """A movement within the square (2, 3), and amount (0 = none) and sigma (px) of a sharpening.

    An enlarged photo is soft in proportion to its enlargement, and the teacher draws soft photos in heavy lines.
    """
    scale = float(np.exp(rng.uniform(np.log(0.72), np.log(1.12))))
    move = similarity(scale, float(rng.normal(0, 5)), float(rng.normal(0, 8)), float(rng.normal(0, 8)))
    if rng.random() >= 0.75:
        return move, 0.0, 1.0
    amount = float(rng.uniform(0.3, 1.6))
    return move, amount, float(np.clip(0.6 * aligned_scale * scale, 0.8, 3) * rng.uniform(0.7, 1.2))


def make_pair(item: Item, faces: Faces, options: Options) -> Pair:
    """Read, align, matte and vary one item.

    Raises:
        ValueError: what is wrong with it, in one line that names the file.
    """
    image, drawing = _read(item, options)
    height, width = image.shape[:2]
    mesh = faces.mesh(image)
    if item.points is not None:
        points = read_points(item.points)
    elif mesh is not None:
        points = mesh[list(FIVE)]
    else:
        raise ValueError(f"{item.photo}: expected a face, found none")
    if item.aligned:
        _check_aligned(points, item.photo)
        base = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    else:
        base = square_matrix(points, width, height)
    pair = Pair(
        photo=warp(image, base),
        matte=np.zeros((SIZE, SIZE), np.uint8),
        points=transform(base, points).astype(np.float32),
        mesh=None if mesh is None else transform(base, mesh).astype(np.float32),
        drawing=None if drawing is None else warp(drawing, base),
        name=item.name,
    )
    pair = replace(pair, matte=_matte(item, pair.photo, _inside(width, height, base), faces))
    if options.vary is not None:
        pair = _varied(pair, image, drawing, base, np.random.default_rng([options.vary, item.number]), options.vary)
    if pair.drawing is not None:
        check_drawing(pair.drawing, str(item.drawing or item.photo))
    return pair


def _read(item: Item, options: Options) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """Photo and drawing as they are in their files, of one size."""
    image, drawing = read_photo(item.photo), None
    height, width = image.shape[:2]
    if item.aligned:
        if height != SIZE or width not in (SIZE, 2 * SIZE):
            raise ValueError(f"{item.photo}: expected a 1024x512 pair or a 512x512 photo, got {width}x{height}")
        if width == 2 * SIZE:
            image, right = np.ascontiguousarray(image[:, :SIZE]), image[:, SIZE:]
            if _penned(image) > DRAWN and _penned(right) < PHOTOGRAPHED:
                raise ValueError(f"{item.photo}: expected photo | drawing, got drawing | photo; swap the halves")
            drawing = grey(right)
    elif item.drawing is not None:
        drawing = read_grey(item.drawing)
        h, w = drawing.shape
        if abs(w * height - h * width) > 0.01 * w * height:
            raise ValueError(f"{item.drawing}: expected a drawing of its photo's shape {width}x{height}, got {w}x{h}")
        if (h, w) != (height, width):
            how = cv2.INTER_AREA if h > height else cv2.INTER_CUBIC
            drawing = np.asarray(cv2.resize(drawing, (width, height), interpolation=how), np.uint8)
    if drawing is not None and options.clean:
        drawing = clean_drawing(drawing)
    return image, drawing


def _penned(image: NDArray[np.uint8]) -> float:
    """Share of pixels that are black or white, as pen on paper is; (H, W, 3) uint8."""
    return float(((image.min(-1) > 200) | (image.max(-1) < 55)).mean())


def _check_aligned(points: NDArray[np.float32], path: Path) -> None:
    corners = np.array([(0, 0), (SIZE, 0), (0, SIZE), (SIZE, SIZE)], np.float64)
    moved = np.linalg.norm(transform(fit_similarity(points), corners) - corners, axis=1).max()
    if moved > FURTHEST:
        raise ValueError(
            f"{path}: expected a face aligned to the template, got one {moved:.0f} px off; prepare the photos anew"
        )


def _inside(width: int, height: int, matrix: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(512, 512), where the picture lies in the square."""
    full = np.full((height, width), 255, np.uint8)
    return np.asarray(cv2.warpAffine(full, matrix, (SIZE, SIZE), flags=cv2.INTER_NEAREST)) > 0


def _matte(item: Item, photo: NDArray[np.uint8], inside: NDArray[np.bool_], faces: Faces) -> NDArray[np.uint8]:
    if item.matte is None:
        return np.where(inside, faces.matte(photo), 0).astype(np.uint8)
    matte = read_grey(item.matte)
    if matte.shape != (SIZE, SIZE):
        raise ValueError(f"{item.matte}: expected a mask of 512x512, got {matte.shape[1]}x{matte.shape[0]}")
    return matte


def _varied(
    pair: Pair,
    image: NDArray[np.uint8],
    drawing: NDArray[np.uint8] | None,
    base: NDArray[np.float64],
    rng: np.random.Generator,
    seed: int,
) -> Pair:
    """Another take of the same person; pixels are resampled once, from the picture's own."""
    move, amount, sigma = vary(rng, float(np.hypot(base[0, 0], base[1, 0])))
    matrix = np.hstack([move[:, :2] @ base[:, :2], (move[:, :2] @ base[:, 2] + move[:, 2])[:, None]])
    inside = _inside(image.shape[1], image.shape[0], matrix)
    photo = warp(image, matrix)
    return Pair(
        photo=np.where(inside[..., None], unsharp(photo, amount, sigma), photo),
        matte=np.where(inside, cv2.warpAffine(pair.matte, move, (SIZE, SIZE)), 0).astype(np.uint8),
        points=transform(move, pair.points).astype(np.float32),
        mesh=None if pair.mesh is None else transform(move, pair.mesh).astype(np.float32),
        drawing=None if drawing is None else warp(drawing, matrix),
        name=f"{pair.name}-v{seed}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One item on its way into a folder."""

    item: Item
    out: Path
    split: str
    options: Options


def _work(faces: Faces, job: Job) -> str | None:
    """None when it was written, else the line that goes to ``skipped.txt``, which begins with the photo."""
    try:
        write_pair(job.out, job.split, make_pair(job.item, faces, job.options))
    except ValueError as error:
        told = str(error)
        return told if told.startswith(f"{job.item.photo}: ") else f"{job.item.photo}: {told}"
    return None


def _open_faces(landmarker: Path | None, segmenter: Path | None) -> Faces:
    return Faces(landmarker=landmarker, segmenter=segmenter)


def prepare(
    items: Sequence[Item],
    out: Path,
    *,
    split: str = "train",
    options: Options | None = None,
    segmenter: Path | None = None,
    landmarker: Path | None = None,
    workers: int = 1,
) -> tuple[int, list[str]]:
    """Write ``out``, going on where an earlier run stopped.

    Args:
        items: of :func:`train.readers.find_items`; one that tells its own split keeps it.
        split: ``train`` or ``test``.
        segmenter: MediaPipe's ``selfie_segmentation.tflite``; None takes the matte network that is used live.
        landmarker: ``face_landmarker.task``; None asks the asset store.
    Returns:
        How many of the items the folder holds now, and a line ``file: reason`` for each one left out.
    Raises:
        ValueError: an asset or option cannot be used.
        OSError: the disk is full or cannot be written; what is there is whole.
    """
    options = options or Options()
    jobs, done, skipped = [], 0, []
    for item in items:
        job = Job(item=item, out=out, split=item.split or split, options=options)
        name = item.name if options.vary is None else f"{item.name}-v{options.vary}"
        there = [s for s in SPLITS if (out / "data" / s / f"{name}.png").exists()]
        if there == [job.split]:
            done += 1
        elif there:
            skipped.append(f"{item.photo}: expected it in {job.split} alone, but {out}/data/{there[0]} holds it")
        else:
            jobs.append(job)
    told = each(
        _work, jobs, setup=_open_faces, arguments=(landmarker, segmenter), workers=workers, told=f"preparing {out.name}"
    )
    skipped += [line for line in told if line is not None]
    return len(items) - len(skipped), skipped


def list_skipped(out: Path, lines: Sequence[str], seen: Sequence[Path]) -> None:
    """Keep ``OUT/skipped.txt``: these lines, and what an earlier run said of pictures that were not seen now."""
    path = out / "skipped.txt"
    before = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    begins = tuple(f"{photo}: " for photo in seen)
    kept = [line for line in before if line not in lines and not line.startswith(begins)]
    if kept or lines or path.exists():
        write_whole(path, "".join(f"{line}\n" for line in [*kept, *lines]).encode())


def check_same(out: Path, told: dict[str, object]) -> None:
    """A folder holds what was made in one way: remember how in ``OUT/prepare.json``, or compare.

    Raises:
        ValueError: the folder was made otherwise.
    """
    path = out / "prepare.json"
    if not path.exists():
        write_whole(path, (json.dumps(told, indent=1) + "\n").encode())
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: expected JSON, got {error}; remove it if the folder is to be continued") from None
    for key, value in told.items():
        if not isinstance(before, dict) or before.get(key) != value:
            got = before.get(key) if isinstance(before, dict) else before
            raise ValueError(f"{out}: expected a folder made with {key} {value!r}, got {got!r}; choose another folder")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m train prepare``."""
    parser.add_argument("photos", type=Path, help="folder of photos, of pairs, or in the paper's layout")
    parser.add_argument("out", type=Path, help="folder to write; one that was begun is continued")
    parser.add_argument("--split", choices=SPLITS, help="default: the folder's own, else train (held-out: test)")
    parser.add_argument("--only", choices=("all", "train", "held-out"), default="all", help="every tenth is held out")
    parser.add_argument("--style", type=int, help="of FS2K: 0 thin pen, 1 bold ink, 2 textured")
    parser.add_argument(
        "--clean",
        action=argparse.BooleanOptionalAction,
        help="make drawings on grey paper black on white (default: where styles are told, as in FS2K)",
    )
    parser.add_argument("--vary", type=int, metavar="SEED", help="a varied copy of each, NAME-vSEED, instead of itself")
    parser.add_argument("--segmenter", type=Path, help="selfie_segmentation.tflite (default: our own matte network)")
    parser.add_argument("--landmarker", type=Path, help="face_landmarker.task (default: found by itself)")
    parser.add_argument("--workers", type=int, default=default_workers(), help="processes (default: %(default)s)")


def main(args: argparse.Namespace) -> int:
    """Run from parsed options."""
    found = find_items(args.photos, style=args.style)
    clean = args.clean if args.clean is not None else any(item.style is not None for item in found.items)
    items = [i for i in found.items if args.only == "all" or held_out(i.number) == (args.only == "held-out")]
    if not items:
        raise ValueError(f"{args.photos}: expected pictures for --only {args.only}, found none")
    if args.out.resolve() == args.photos.resolve():
        raise ValueError(f"{args.out}: expected another folder than the photos'")
    told = {"photos": str(args.photos.resolve()), "style": args.style, "clean": clean}
    check_same(args.out, told | {"segmenter": args.segmenter.name if args.segmenter else None})
    count, skipped = prepare(
        [replace(item, split=args.split) if args.split else item for item in items],
        args.out,
        split="test" if args.only == "held-out" else "train",
        options=Options(vary=args.vary, clean=clean),
        segmenter=args.segmenter,
        landmarker=args.landmarker,
        workers=args.workers,
    )
    skipped = [*found.skipped, *skipped]
    list_skipped(args.out, skipped, [item.photo for item in items])
    for line in skipped:
        print(line)
    print(f"{args.out}: {count} portraits, {len(skipped)} left out (read as {found.kind})")
    return 0 if count else 2
