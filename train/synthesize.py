"""Draw prepared photos with the NPR teacher: the paper's pre-training data (CVPR 2019, section 4)."""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from train.npr import draw

Item = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]


def _draw(item: Item) -> NDArray[np.uint8]:
    cv2.setNumThreads(1)
    photo, landmarks, matte = item
    return draw(photo, landmarks, matte)


def synthesize(source: Path, target: Path, *, workers: int = 2) -> int:
    """Write ``source`` again with ``drawing`` (N,512,512) uint8 beside the photos. Returns N.

    Raises:
        ValueError: ``source`` is not a prepared file.
    """
    try:
        with np.load(source, allow_pickle=False) as file:
            data = {key: file[key] for key in file.files}
        items = list(zip(data["photo"], data["landmarks"], data["matte"], strict=True))
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"{source}: expected a file made by 'python -m train prepare', got {error}") from None
    with ProcessPoolExecutor(workers) as pool:
        data["drawing"] = np.stack(list(pool.map(_draw, items, chunksize=8)))
    part = target.with_name(target.name + ".part.npz")
    np.savez(part, **data)
    part.replace(target)
    return len(items)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m train synthesize``."""
    parser.add_argument("source", type=Path, help="file made by 'train prepare'")
    parser.add_argument("out", type=Path, help="file to write (.npz)")
    parser.add_argument("--workers", type=int, default=2)


def main(args: argparse.Namespace) -> int:
    """Run from parsed options."""
    count = synthesize(args.source, args.out, workers=args.workers)
    print(f"{args.out}: {count} drawings")
    return 0
