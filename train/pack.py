"""Put prepared folders into files small enough to carry to a machine without a network."""

from __future__ import annotations

import argparse
import io
import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from train.dataset import Pair, Pairs, open_pairs
from train.metrics import ink_iou
from train.parts import MESH, MESH_STEPS, PACK
from train.pool import progress


class Rung(NamedTuple):
    """How finely a pack keeps its pictures."""

    photo: int
    """WebP quality, 1 to 100."""
    levels: int
    """Grey levels of a drawing, kept without loss; an even number, so that ink stays ink to the pixel."""


LADDER = (Rung(95, 256), Rung(90, 256), Rung(90, 16), Rung(85, 16), Rung(85, 8), Rung(80, 8), Rung(75, 8), Rung(70, 8),
          Rung(65, 6), Rung(60, 4), Rung(50, 4))  # fmt: skip
"""Best first. Drawings keep their edges exactly on every rung; what is given up is the greys beside them."""
USUAL = LADDER[1]
MATTE_QUALITY = 75
TRIED = 48
"""Items from which the quality is estimated before all are encoded with it."""
MIB = 1 << 20
SPARE = 64 << 10
"""Bytes kept free in a file for its names and headers."""


class Encoded:
    """One item's bytes, and what else a file says of it."""

    def __init__(self, pair: Pair, rung: Rung, label: str = "") -> None:
        """
        Raises:
            ValueError: the mesh lies further off than a pack can say.
        """
        self.name, self.points, self.mesh, self.label = pair.name, pair.points, pair.mesh, label
        self.photo = webp(pair.photo, rung.photo)
        self.matte = webp(pair.matte, MATTE_QUALITY)
        self.drawing = b"" if pair.drawing is None else webp(quantised(pair.drawing, rung.levels), None)
        furthest = 0.0 if pair.mesh is None else float(np.abs(pair.mesh).max())
        if furthest * MESH_STEPS > np.iinfo(np.int16).max:
            raise ValueError(
                f"{pair.name}: expected a face mesh in or near the square, got a point at {furthest:.0f} px"
            )

    @property
    def size(self) -> int:
        """Bytes in the file."""
        own = MESH[0] * MESH[1] * 2 + 4 * (len(self.name) + len(self.label)) + 96
        return len(self.photo) + len(self.matte) + len(self.drawing) + own


def quantised(drawing: NDArray[np.uint8], levels: int) -> NDArray[np.uint8]:
    """The nearest of evenly spaced greys from 0 to 255; same shape and dtype."""
    steps = levels - 1
    table = np.rint(np.rint(np.arange(256) / 255 * steps) * 255 / steps).astype(np.uint8)
    return np.asarray(table[drawing])


def webp(picture: NDArray[np.uint8], quality: int | None) -> bytes:
    """(H, W) or (H, W, 3) uint8 as WebP; ``quality`` None keeps every value."""
    buffer = io.BytesIO()
    options: dict[str, Any] = {"lossless": True, "quality": 60} if quality is None else {"quality": quality}
    Image.fromarray(picture).save(buffer, "WEBP", method=4, **options)
    return buffer.getvalue()


def arrays_of(items: Sequence[Encoded], about: Mapping[str, object]) -> dict[str, NDArray[Any]]:
    """What one file holds; :class:`train.parts.PackPart` reads it."""
    meshes = [np.zeros(MESH) if item.mesh is None else item.mesh for item in items]
    arrays: dict[str, NDArray[Any]] = {
        "format": np.array(f"{PACK} {json.dumps(dict(about), sort_keys=True)}"),
        "names": np.array([item.name for item in items]),
        "labels": np.array([item.label for item in items]),
        "points": np.stack([item.points for item in items]).astype(np.float32),
        "has_mesh": np.array([item.mesh is not None for item in items]),
        "mesh": np.rint(np.stack(meshes) * MESH_STEPS).astype(np.int16),
    }
    for kind in ("photo", "matte", "drawing"):
        pieces: list[bytes] = [getattr(item, kind) for item in items]
        arrays[kind] = np.frombuffer(b"".join(pieces), np.uint8)
        arrays[f"{kind}_ends"] = np.cumsum([len(piece) for piece in pieces])
    return arrays


def choose_rung(pairs: Pairs, budget: int) -> Rung:
    """The best of ``LADDER`` that should fit all items into ``budget`` bytes, by a sample of them.

    Raises:
        ValueError: none does, by far.
    """
    items = [pairs[i] for i in sampled(len(pairs))]

    def size(rung: Rung) -> float:
        return float(np.mean([Encoded(pair, rung).size for pair in items])) * len(pairs)

    place = bisect_left(LADDER, True, key=lambda rung: size(rung) <= budget)
    if place == len(LADDER) and size(LADDER[-1]) > 1.05 * budget:
        raise ValueError(
            f"expected {len(pairs)} portraits to fit into {budget / MIB:.3g} MiB, but they take "
            f"{size(LADDER[-1]) / MIB:.3g} MiB at the lowest quality; raise --max-mib or --files"
        )
    return LADDER[min(place, len(LADDER) - 1)]


def sampled(count: int) -> list[int]:
    """At most ``TRIED`` indices, spread over all."""
    return [int(i) for i in np.unique(np.linspace(0, count - 1, min(TRIED, count)).round())]


def grouped(pairs: Pairs, labels: Sequence[str], rung: Rung, most: int) -> list[list[Encoded]]:
    """The items in their order, as many to a group as fit into ``most`` bytes.

    Raises:
        ValueError: an item cannot be read, or does not fit alone.
    """
    groups: list[list[Encoded]] = [[]]
    size = 0
    for i, label in enumerate(progress(labels, f"packing, photos at {rung.photo}")):
        item = Encoded(pairs[i], rung, label)
        if item.size > most:
            raise ValueError(f"--max-mib: expected room for {item.name!r} of {item.size / MIB:.2f} MiB, got less")
        if size + item.size > most:
            groups.append([])
            size = 0
        groups[-1].append(item)
        size += item.size
    return groups


def pack(
    pairs: Pairs, out: Path, *, labels: Sequence[str], max_mib: float = 30.0, files: int | None = None
) -> tuple[list[Path], Rung]:
    """Write ``OUT.npz``, or ``OUT-00.npz``, ``OUT-01.npz`` ... where one file does not hold all. All of them or none.

    Args:
        labels: of each item, to open some of a pack alone (``OUT-00.npz:LABEL``).
        max_mib: the most that a file may weigh, MiB.
        files: the most files: the quality is the best that fits. None: as many as it takes at a usual quality.
    Returns:
        The files, and how finely they keep pictures.
    Raises:
        ValueError: an item cannot be read, they do not fit at any quality, or a file of that name is there.
        OSError: the disk is full.
    """
    if max_mib <= SPARE / MIB or (files is not None and files < 1):
        raise ValueError(f"expected --max-mib above {SPARE / MIB} and --files of 1 or more, got {max_mib} and {files}")
    stem = out.name.removesuffix(".npz")
    taken = [p for p in (out.with_name(f"{stem}.npz"), *out.parent.glob(f"{stem}-[0-9][0-9].npz")) if p.exists()]
    if taken:
        raise ValueError(f"{taken[0]}: expected no file of that name yet; remove it or choose another")
    most = int(max_mib * MIB) - SPARE
    first = USUAL if files is None else choose_rung(pairs, files * most)
    for rung in LADDER[LADDER.index(first) :]:  # the estimate may be a little too good
        groups = grouped(pairs, labels, rung, most)
        if files is None or len(groups) <= files:
            break
    else:
        raise ValueError(f"{out}: {len(pairs)} portraits take {len(groups)} files at the lowest quality; raise --files")
    numbered = [f"{stem}.npz"] if len(groups) == 1 else [f"{stem}-{i:02d}.npz" for i in range(len(groups))]
    about = {"photo_quality": rung.photo, "drawing_levels": rung.levels, "matte_quality": MATTE_QUALITY}
    targets = [out.with_name(name) for name in numbered]
    _write(targets, [arrays_of(group, about | {"files": len(groups)}) for group in groups])
    return targets, rung


def _write(targets: Sequence[Path], contents: Sequence[dict[str, NDArray[Any]]]) -> None:
    """Every file beside its place first, then all renamed."""
    parts = [target.with_name(target.name + ".part") for target in targets]
    try:
        for part, arrays in zip(parts, contents, strict=True):
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
        for part, target in zip(parts, targets, strict=True):
            part.replace(target)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)


def label_of(path: Path) -> str:
    """What to call an input: its own name, without ``data/train``."""
    folder = path.parent.parent if path.parent.name == "data" else path
    return folder.name.removesuffix(".npz")


def _input(text: str) -> tuple[str, Path]:
    """``LABEL=PATH`` or ``PATH``."""
    label, equals, path = text.partition("=")
    return (label, Path(path)) if equals and not Path(text).exists() else ("", Path(text))


def compare(source: Pairs, packed: Pairs) -> dict[str, float]:
    """What packing cost, on a sample: mean absolute error of photo, matte and drawing (of 255), and the ink's IoU."""
    figures: dict[str, list[float]] = {"photo": [], "matte": [], "drawing": [], "ink_iou": []}
    for i in sampled(len(source)):
        one, other = source[i], packed[i]
        for key in ("photo", "matte", "drawing"):
            a, b = getattr(one, key), getattr(other, key)
            if a is not None:
                figures[key].append(float(np.abs(a.astype(np.int16) - b).mean()))
        if one.drawing is not None and other.drawing is not None:
            figures["ink_iou"].append(ink_iou(one.drawing, other.drawing))
    return {key: float(np.mean(values)) for key, values in figures.items() if values}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m train pack``."""
    parser.add_argument("out", type=Path, help="file to write; OUT-00.npz, OUT-01.npz ... where it takes several")
    parser.add_argument("inputs", nargs="+", metavar="[LABEL=]INPUT", help="prepared folders or packs")
    parser.add_argument("--max-mib", type=float, default=30.0, help="size of a file (default: %(default)s)")
    parser.add_argument("--files", type=int, help="the most files; the quality is then the best that fits")


def main(args: argparse.Namespace) -> int:
    """Run from parsed options."""
    inputs = [_input(text) for text in args.inputs]
    pairs = open_pairs([path for _, path in inputs], drawings=False)
    labels: list[str] = []
    for label, path in inputs:
        own = open_pairs([path], drawings=False).labels
        labels += [label or one or label_of(path) for one in own]
    files, rung = pack(pairs, args.out, labels=labels, max_mib=args.max_mib, files=args.files)
    for path in files:
        held = open_pairs([path], drawings=False)
        sets = ", ".join(f"{count} {label}" for label, count in Counter(held.labels).items())
        print(f"{path}: {path.stat().st_size / MIB:.2f} MiB, {len(held)} portraits: {sets}")
    cost = compare(pairs, open_pairs(files, drawings=False))
    told = ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in cost.items())
    print(f"photos at WebP quality {rung.photo}, drawings in {rung.levels} greys; mean error (of 255): {told}")
    return 0
