"""Drawings of a teacher for pictures that have none: each picture once, into the run folder, at its first use.

The teacher sees the photo as it is; the student learns the same drawing from the photo made worse.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from apdgan.alignment import boxes
from apdgan.checkpoint import load
from apdgan.drawer import PortraitDrawer
from train.distributed import World
from train.journal import progress_bar
from train.state import write_whole

if TYPE_CHECKING:
    from train.dataset import Pair, Pairs

Image = NDArray[np.uint8]
Draw = Callable[["Pair"], Image]
"""A pair (:class:`train.dataset.Pair`) -> its drawing (512, 512) uint8, 0 = ink."""


class TaughtPairs:
    """A teacher's drawings by pair number, read from disk when asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, number: int) -> Path:
        """The file of a pair."""
        return self.folder / f"{number:06d}.png"

    def __call__(self, number: int) -> Image:
        image = cv2.imread(str(self.path(number)), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise ValueError(f"{self.path(number)}: expected a drawing, got none; remove {self.folder} to draw again")
        return np.asarray(image, np.uint8)


def draw_all(teacher: str, pairs: Pairs, folder: Path, world: World) -> TaughtPairs:
    """Draw what is not drawn yet, each process its share.

    Args:
        teacher: ``npr``, or the path of a checkpoint.
        pairs: whose photos are drawn.
        folder: the run folder.
        world: this process among its siblings.
    Raises:
        ValueError: the checkpoint is none, or a pair has no face mesh, which the NPR teacher needs.
    """
    content = hashlib.sha256(f"{teacher} {_digest(teacher)} {pairs.fingerprint()}".encode())
    drawn = TaughtPairs(folder / "teacher" / content.hexdigest()[:16])
    drawn.folder.mkdir(parents=True, exist_ok=True)
    missing = [i for i in range(world.rank, len(pairs), world.size) if not drawn.path(i).exists()]
    draw = None
    with progress_bar(alone=world.first) as bar:
        for i in bar.track(missing, description="the teacher draws"):
            draw = draw or _teacher(teacher, world.device)
            ok, data = cv2.imencode(".png", draw(pairs[i]))
            assert ok
            write_whole(drawn.path(i), partial(_put, data.tobytes()))
    world.largest(0.0)  # wait for the siblings
    return drawn


def _put(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def _digest(teacher: str) -> str:
    path = Path(teacher)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _teacher(teacher: str, device: torch.device) -> Draw:
    if teacher == "npr":
        return _npr
    return _Network(Path(teacher), device)


def _npr(pair: Pair) -> Image:
    from train.npr import draw

    if pair.mesh is None:
        raise ValueError(f"{pair.name}: expected a face mesh for the NPR teacher; run 'python -m train prepare'")
    return draw(pair.photo, pair.mesh, pair.matte)


class _Network:
    """A checkpoint that draws, in the way it was saved to draw."""

    def __init__(self, path: Path, device: torch.device) -> None:
        self.drawer, self.device = PortraitDrawer(load(path)).to(device).eval(), device

    @torch.inference_mode()
    def __call__(self, pair: Pair) -> Image:
        arrays = (pair.photo, boxes(pair.points), pair.matte)
        drawing = self.drawer(*(torch.from_numpy(array)[None].to(self.device) for array in arrays))
        return np.asarray(drawing[0].cpu().numpy())
