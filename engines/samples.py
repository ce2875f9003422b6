"""Pictures to try a model on: a folder of portraits, or synthetic ones. numpy; cv2 to read files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE, TEMPLATE, boxes, read_landmarks
from engines.contract import BLANK_BOXES, INPUTS
from engines.errors import EngineError, UserError
from engines.manifest import Kind

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def synthetic(kind: Kind, batch: int, seed: int = 0) -> dict[str, NDArray[np.generic]]:
    """Inputs of a graph: smooth random colours, boxes a little off the template, an oval person."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:512, :512] / 512.0
    waves = [
        [np.sin(2 * np.pi * (rng.uniform(1, 9) * x + rng.uniform(1, 9) * y) + rng.uniform(0, 6)) for _ in range(3)]
        for _ in range(batch)
    ]
    noise = rng.normal(0, 12, (batch, 512, 512, 3))
    photo = np.clip(np.moveaxis(np.array(waves), 1, -1) * 100 + 128 + noise, 0, 255).astype(np.uint8)
    boxes = np.repeat(BLANK_BOXES, batch, axis=0) + rng.integers(-6, 7, (batch, 4, 2), dtype=np.int32)
    oval = ((x - 0.5) / 0.35) ** 2 + ((y - 0.6) / 0.5) ** 2 < 1
    matte = np.repeat((oval * 255).astype(np.uint8)[None], batch, axis=0)
    arrays: dict[str, NDArray[np.generic]] = {"photo": photo, "boxes": boxes, "matte": matte}
    return {name: arrays[name] for name in INPUTS[kind]}


def read_photos(folder: Path) -> Iterator[tuple[str, dict[str, NDArray[np.generic]]]]:
    """Aligned portraits of a folder, in the order of their names.

    The folder holds 512 x 512 pictures, or ``photo/`` with them, ``landmark/NAME.txt`` (five lines x y) and
    ``mask/NAME.png`` (white = person). Without landmarks the template's are taken, without a mask all is person.

    Yields:
        (name, inputs of a drawing graph with a batch of one).
    Raises:
        UserError: no such folder, no picture in it, or a picture or landmark file that cannot be used.
    """
    try:
        import cv2
    except ImportError:
        raise EngineError("reading photos needs OpenCV; pip install opencv-contrib-python") from None
    where = folder / "photo" if (folder / "photo").is_dir() else folder
    paths = sorted(p for p in where.glob("*") if p.suffix.lower() in PICTURES)
    if not paths:
        raise UserError(f"{folder}: expected a folder of 512 x 512 pictures, or one with photo/, landmark/ and mask/")
    for path in paths:
        photo = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if photo is None or photo.shape != (SIZE, SIZE, 3):
            got = "no readable picture" if photo is None else f"{photo.shape[1]} x {photo.shape[0]}"
            raise UserError(f"{path}: expected an aligned 512 x 512 picture, got {got}")
        text, mask = folder / "landmark" / f"{path.stem}.txt", folder / "mask" / f"{path.stem}.png"
        try:
            points = read_landmarks(text) if text.is_file() else TEMPLATE
        except ValueError as error:
            raise UserError(str(error)) from None
        matte = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE) if mask.is_file() else np.full((SIZE, SIZE), 255, np.uint8)
        if matte is None or matte.shape != (SIZE, SIZE):
            raise UserError(f"{mask}: expected a 512 x 512 grey picture")
        yield (
            path.stem,
            {
                "photo": cv2.cvtColor(photo, cv2.COLOR_BGR2RGB)[None].astype(np.uint8),
                "boxes": boxes(points)[None],
                "matte": matte[None].astype(np.uint8),
            },
        )
