"""Photos made ready for a network: aligned squares with landmarks and mattes, then the teacher's drawings beside them.

One ``.npz`` holds arrays of equal length: ``photo`` (N,512,512,3) uint8 RGB, ``landmarks`` (N,478,2) float32 px of the
square, ``matte`` (N,512,512) uint8, ``name`` (N,) str and, once synthesized, ``drawing`` (N,512,512) uint8, 0 = ink.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE, fit_similarity, is_aligned, transform

FIVE = (468, 473, 4, 61, 291)
"""Mesh indices that match the authors' five landmarks best: irises, nose tip, mouth corners."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One aligned photo, with its drawing where there is one."""

    photo: NDArray[np.uint8]
    landmarks: NDArray[np.float32]
    matte: NDArray[np.uint8]
    drawing: NDArray[np.uint8]
    name: str


class Pairs:
    """Random access to the pairs of several files."""

    def __init__(self, parts: Sequence[dict[str, NDArray[np.generic]]]) -> None:
        self._parts = parts
        self._index = [(p, i) for p, part in enumerate(parts) for i in range(len(part["name"]))]

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, index: int) -> Pair:
        p, i = self._index[index]
        part = self._parts[p]
        return Pair(
            photo=np.asarray(part["photo"][i], np.uint8),
            landmarks=np.asarray(part["landmarks"][i], np.float32),
            matte=np.asarray(part["matte"][i], np.uint8),
            drawing=np.asarray(part["drawing"][i], np.uint8),
            name=str(part["name"][i]),
        )


def load_pairs(files: Iterable[Path]) -> Pairs:
    """Read synthesized files. Raises ValueError naming the file and what it lacks."""
    parts = []
    for path in files:
        try:
            with np.load(path, allow_pickle=False) as file:
                part = {key: file[key] for key in ("photo", "landmarks", "matte", "drawing", "name")}
        except KeyError as error:
            raise ValueError(f"{path}: expected {error} in it; run 'python -m train synthesize' first") from None
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: expected a file made by 'python -m train synthesize', got {error}") from None
        parts.append(part)
    return Pairs(parts)


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
    matrix = fit_similarity(mesh[list(FIVE)])
    if is_aligned(matrix, width, height):
        matrix = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    if extra is not None:
        matrix = np.hstack([extra[:, :2] @ matrix[:, :2], (extra[:, :2] @ matrix[:, 2] + extra[:, 2])[:, None]])
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    if scale < 0.7:  # a strong reduction would alias
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), 0.45 / scale), np.uint8)
    photo = cv2.warpAffine(image, matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderValue=(255, 255, 255))
    inside = cv2.warpAffine(np.full((height, width), 255, np.uint8), matrix, (SIZE, SIZE), flags=cv2.INTER_NEAREST)
    mesh_in_square = transform(matrix, mesh).astype(np.float32)
    return Aligned(np.asarray(photo, np.uint8), mesh_in_square, np.asarray(inside) > 0, scale)


def unsharp(photo: NDArray[np.uint8], amount: float, sigma: float) -> NDArray[np.uint8]:
    """Sharpen: what an enlarged picture lost in edge contrast. Same shape and dtype."""
    soft = cv2.GaussianBlur(photo, (0, 0), sigma).astype(np.float32)
    sharp = photo + (photo.astype(np.float32) - soft) * amount
    return np.clip(sharp, 0, 255).astype(np.uint8)
