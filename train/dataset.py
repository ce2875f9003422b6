"""Aligned portraits: :func:`open_pairs` reads prepared folders and packs alike; and the warp into the square.

A prepared folder is in the paper's layout (CVPR 2019, section 4; REFERENCE facts in README)::

    OUT/data/train/NAME.png      1024x512 photo | drawing, or a 512x512 photo alone; data/test/ likewise
    OUT/landmark/ALL/NAME.txt    five lines "x y"
    OUT/mask/ALL/NAME.png        512x512, white = person
    OUT/mesh/ALL/NAME.npy        ours: float32 (478, 2), where known

``python -m train pack`` puts folders into ``.npz`` files small enough to carry (:mod:`train.pack`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE, fit_similarity, is_aligned, transform
from train.folder import SPLITS, FolderPart
from train.parts import FIVE, PACK, ArraysPart, PackPart, Pair, Part, load_arrays

__all__ = [
    "FIVE",
    "HOLD_OUT",
    "Aligned",
    "Pair",
    "Pairs",
    "align_photo",
    "held_out",
    "load_pairs",
    "mixed_indices",
    "open_pairs",
    "similarity",
    "square_matrix",
    "unsharp",
    "warp",
]

HOLD_OUT = (10, 7)
"""Photo i of the sorted folder is held out when i % 10 == 7: never trained on, measured on."""


def held_out(index: int) -> bool:
    """Whether photo ``index`` of the sorted folder is kept for measuring."""
    return index % HOLD_OUT[0] == HOLD_OUT[1]


class Pairs(Sequence[Pair]):
    """Random access to the portraits of several folders and files; each is decoded when it is asked for."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = list(parts)
        self._index = [(part, i) for part in self._parts for i in range(len(part.names))]
        self._fingerprint = ""

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int) -> Pair:  # type: ignore[override]
        """Decode one. Raises ValueError naming the file and what is wrong with it."""
        part, i = self._index[index]
        return part.read(i)

    @property
    def names(self) -> list[str]:
        """Name of each item; the same name may come from two folders."""
        return [part.names[i] for part, i in self._index]

    @property
    def labels(self) -> list[str]:
        """Set of each item, as a pack tells it; empty elsewhere."""
        return [part.labels[i] for part, i in self._index]

    @property
    def paths(self) -> list[Path]:
        """Folder or file of each item."""
        return [part.path for part, _ in self._index]

    def fingerprint(self) -> str:
        """sha256 hex over the content of all items in their order, wherever they lie."""
        if not self._fingerprint:
            digest = hashlib.sha256()
            for part in self._parts:
                part.digest(digest)
            self._fingerprint = digest.hexdigest()
        return self._fingerprint

    def check(self) -> list[str]:
        """Decode everything once (about 10 ms an item); a line ``file: expected ..., got ...`` for each bad one."""
        bad = []
        for i in range(len(self)):
            try:
                self[i]
            except ValueError as error:
                bad.append(str(error))
        return bad


def open_pairs(paths: Iterable[Path], *, drawings: bool = True) -> Pairs:
    """Open prepared folders and packs, mixed, in the order given.

    A folder stands for its ``data/train`` (for ``data/test`` where that is all it has); one split is chosen by its own
    path, ``FOLDER/data/test``. ``PACK.npz:LABEL`` takes one of the sets that a pack holds.

    Everything but the pictures' pixels is checked here, before a run starts: a bad file stops it (``prepare`` is what
    lists bad files and goes on). :meth:`Pairs.check` decodes the pixels too.

    Args:
        drawings: every item must have a drawing.
    Raises:
        ValueError: names the file, what was expected and what to do.
    """
    parts = [_open(Path(path)) for path in paths]
    pairs = Pairs(parts)
    if not len(pairs):
        raise ValueError("expected prepared folders or packs, got none")
    for part in parts if drawings else ():
        missing = [name for i, name in enumerate(part.names) if not part.has_drawing(i)]
        if missing:
            raise ValueError(
                f"{part.path}: expected drawings beside the photos, got none for {missing[0]!r} and {len(missing) - 1} "
                "more; run 'python -m train synthesize' first"
            )
    return pairs


def _open(path: Path) -> Part:
    if path.is_dir():
        for split in SPLITS:
            if (path / "data" / split).is_dir():
                return FolderPart(path, split)
        if path.parent.name == "data":
            return FolderPart(path.parent.parent, path.name)
        raise ValueError(f"{path}: expected data/train in a prepared folder, got none; run 'python -m train prepare'")
    label = None
    if not path.exists() and ".npz:" in path.name:
        name, _, label = path.name.rpartition(":")
        path = path.with_name(name)
    if not path.exists():
        raise ValueError(f"{path}: expected a prepared folder or a pack, got no such file")
    arrays = load_arrays(path, None, "a prepared folder or a pack (.npz)")
    if str(arrays.get("format", "")).startswith(PACK):
        return PackPart(path, arrays, label)
    if {"photo", "landmarks", "matte", "name"} <= arrays.keys():
        return ArraysPart(path, arrays)
    raise ValueError(
        f"{path}: expected a pack, got the arrays {', '.join(sorted(arrays))[:60]}; run 'python -m train pack'"
    )


def load_pairs(files: Iterable[Path]) -> Pairs:
    """As :func:`open_pairs`, every item with a drawing. Kept for callers of before."""
    return open_pairs(files)


def mixed_indices(rng: np.random.Generator, count: int) -> Iterator[int]:
    """Endless shuffled passes over ``range(count)``."""
    while True:
        yield from (int(i) for i in rng.permutation(count))


def similarity(scale: float, degrees: float, dx: float, dy: float) -> NDArray[np.float64]:
    """(2, 3) matrix about the centre of the square."""
    centre = (SIZE / 2, SIZE / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(centre, degrees, scale), np.float64)
    matrix[:, 2] += (dx, dy)
    return matrix


class Aligned(NamedTuple):
    """A picture in the square."""

    photo: NDArray[np.uint8]
    """(512, 512, 3) uint8 RGB, white outside the picture."""
    mesh: NDArray[np.float32]
    """(478, 2) float32, px of the square."""
    inside: NDArray[np.bool_]
    """(512, 512) bool, where the picture was."""
    scale: float
    """Pixels of the square for one of the picture."""


def align_photo(
    image: NDArray[np.uint8], mesh: NDArray[np.floating], extra: NDArray[np.float64] | None = None
) -> Aligned:
    """Warp a picture into the square.

    Args:
        image: (H, W, 3) uint8 RGB.
        mesh: (478, 2) float, picture pixels.
        extra: (2, 3) movement within the square (augmentation before the teacher draws).
    """
    height, width = image.shape[:2]
    matrix = square_matrix(mesh[list(FIVE)], width, height, extra)
    inside = cv2.warpAffine(np.full((height, width), 255, np.uint8), matrix, (SIZE, SIZE), flags=cv2.INTER_NEAREST)
    mesh_in_square = transform(matrix, mesh).astype(np.float32)
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return Aligned(warp(image, matrix), mesh_in_square, np.asarray(inside) > 0, scale)


def square_matrix(
    points: NDArray[np.floating], width: int, height: int, extra: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """(2, 3) float64, picture -> square, from its five points; the identity for a picture that is already aligned.

    Args:
        points: (5, 2) float, picture pixels.
        extra: (2, 3) movement within the square that follows.
    """
    matrix = fit_similarity(points)
    if is_aligned(matrix, width, height):
        matrix = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    if extra is None:
        return matrix
    return np.hstack([extra[:, :2] @ matrix[:, :2], (extra[:, :2] @ matrix[:, 2] + extra[:, 2])[:, None]])


def warp(image: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A picture, colour (H, W, 3) or grey (H, W) uint8, in the square: cubic, white outside."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.7:  # a strong reduction would alias
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.45 / scale), np.uint8)
    out = cv2.warpAffine(image, matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderValue=(255, 255, 255))
    return np.asarray(out, np.uint8)


def unsharp(photo: NDArray[np.uint8], amount: float, sigma: float) -> NDArray[np.uint8]:
    """Sharpen: what an enlarged picture lost in edge contrast. Same shape and dtype."""
    soft = cv2.GaussianBlur(photo, (0, 0), sigma).astype(np.float32)
    sharp = photo + (photo.astype(np.float32) - soft) * amount
    return np.clip(sharp, 0, 255).astype(np.uint8)
