"""Portraits for tests of the data tools: made-up ones, and the real face that ships with the program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import TEMPLATE
from train.dataset import FIVE, Pair
from train.folder import write_pair

FACE = Path(__file__).resolve().parents[2] / "realtime" / "data" / "demo_portrait.jpg"


def portrait(seed: int = 0, **changes: object) -> Pair:
    """A made-up portrait: soft colours, ink lines with soft edges, an oval person, a mesh around the template."""
    rng = np.random.default_rng(seed)
    photo = cv2.resize(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8), (512, 512), interpolation=cv2.INTER_CUBIC)
    drawing, matte = np.full((512, 512), 255, np.uint8), np.zeros((512, 512), np.uint8)
    for x, y in rng.integers(60, 450, (12, 2)):
        cv2.line(drawing, (int(x), int(y)), (int(y), int(x)), (0,), 3, cv2.LINE_AA)
    cv2.ellipse(matte, (256, 300), (150, 200), 0, 0, 360, (255,), -1)
    mesh = rng.uniform(150, 370, (478, 2)).astype(np.float32)
    mesh[list(FIVE)] = np.rint(TEMPLATE)
    pair = Pair(photo=photo, matte=matte, points=mesh[list(FIVE)], mesh=mesh, drawing=drawing, name=f"p{seed}")
    return replace(pair, **changes)


def folder(root: Path, *pairs: Pair, split: str = "train") -> Path:
    """A prepared folder with these in it."""
    for pair in pairs:
        write_pair(root, split, pair)
    return root


def face_image(side: int = 400) -> NDArray[np.uint8]:
    """(side, side, 3) uint8 RGB around the real face."""
    image = cv2.cvtColor(cv2.imread(str(FACE)), cv2.COLOR_BGR2RGB)
    middle = image[:, (image.shape[1] - image.shape[0]) // 2 :][:, : image.shape[0]]
    return np.asarray(cv2.resize(middle, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def save(path: Path, picture: NDArray[np.uint8]) -> Path:
    """Write an RGB or grey picture; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bgr = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    assert cv2.imwrite(str(path), bgr)
    return path
