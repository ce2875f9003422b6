"""Portraits for the person matte: ``python -m train.matte_data PHOTOS OUT.npz --segmenter selfie_segmentation.tflite``.

Each portrait is put on a canvas of one and a half squares (the aligned square is its middle), so that a scene may move
and shrink the person and still find shoulders there. Canvases are kept at half size, which is what the network sees.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE, fit_similarity, transform
from train.dataset import FIVE
from train.pictures import read_photo
from train.readers import pictures_of

CANVAS = SIZE * 3 // 4
"""Side of a stored canvas, pixels: 1.5 squares at half size."""
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149,
        150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
"""Mesh indices of the face's outline, in order."""

Teacher = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
"""Picture (H, W, 3) uint8 RGB -> soft matte (H, W) uint8."""


def canvas(image: NDArray[np.uint8], mesh: NDArray[np.floating], teacher: Teacher) -> dict[str, NDArray[Any]]:
    """One entry of the data file.

    The teacher sees the aligned square, as it would live, and the whole picture, where it sees the shoulders; inside
    the square the two mattes are mixed. Beyond the picture its border is drawn out, so that shoulders go on.

    Args:
        image: (H, W, 3) uint8 RGB. mesh: (478, 2) float, picture pixels.
    Returns:
        photo (384, 384, 3) uint8, matte and inside (384, 384) uint8, oval (36, 2) float32 px.
    """
    matrix = fit_similarity(mesh[list(FIVE)])
    half = (matrix + np.array([0, 0, SIZE / 4])) / 2
    size, border = (CANVAS, CANVAS), cv2.BORDER_REPLICATE
    square = cv2.warpAffine(image, matrix, (SIZE, SIZE), flags=cv2.INTER_CUBIC, borderMode=border)
    near = cv2.resize(teacher(np.asarray(square, np.uint8)), (SIZE // 2, SIZE // 2), interpolation=cv2.INTER_AREA)
    matte = cv2.warpAffine(teacher(image), half, size, borderMode=border).astype(np.float32)
    rim = np.minimum(np.arange(SIZE // 2), np.arange(SIZE // 2)[::-1])
    share = 0.6 * np.clip(np.minimum.outer(rim, rim) / 24, 0, 1)
    middle = slice(SIZE // 8, SIZE // 8 + SIZE // 2)
    matte[middle, middle] += (near - matte[middle, middle]) * share
    return {
        "photo": np.asarray(cv2.warpAffine(image, half, size, borderMode=border)),
        "matte": np.rint(matte).astype(np.uint8),
        "inside": np.asarray(
            cv2.warpAffine(np.full(image.shape[:2], 255, np.uint8), half, size, flags=cv2.INTER_NEAREST)
        ),
        "oval": transform(half, mesh[list(OVAL)]).astype(np.float32),
    }


def make(photos: Sequence[Path], out: Path, *, segmenter: Path, landmarker: Path | None = None) -> list[str]:
    """Write ``out``; returns a line ``file: reason`` for every picture left out.

    Raises:
        UserError: an asset is missing or does not load.
    """
    from train.faces import Faces

    found: list[dict[str, NDArray[Any]]] = []
    skipped = []
    with Faces(landmarker=landmarker, segmenter=segmenter) as faces:
        for path in photos:
            try:
                image = read_photo(path)
            except ValueError as error:
                skipped.append(str(error))
                continue
            mesh = faces.mesh(image)
            if mesh is None:
                skipped.append(f"{path}: expected a face, found none")
            else:
                found.append(canvas(image, mesh, faces.matte))
    if found:
        arrays: dict[str, Any] = {key: np.stack([one[key] for one in found]) for key in found[0]}
        np.savez(out, **arrays)
    return skipped


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: written; 2: one line says what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m train.matte_data", description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="folder of portraits on plain walls")
    parser.add_argument("out", type=Path, help="file to write (.npz)")
    parser.add_argument("--segmenter", type=Path, required=True, help="selfie_segmentation.tflite")
    parser.add_argument("--landmarker", type=Path, help="face_landmarker.task (default: found by itself)")
    args = parser.parse_args(argv)
    if not args.photos.is_dir():
        parser.error(f"photos: expected a folder, got {args.photos}")
    files = pictures_of(args.photos)
    try:
        skipped = make(files, args.out, segmenter=args.segmenter, landmarker=args.landmarker)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for line in skipped:
        print(line)
    print(f"{args.out}: {len(files) - len(skipped)} portraits, {len(skipped)} left out")
    return 0 if len(files) > len(skipped) else 2


if __name__ == "__main__":
    sys.exit(main())
