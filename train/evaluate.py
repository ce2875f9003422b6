"""Measure a model file or checkpoint against stored drawings, and lay photo | reference | drawing on a sheet."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import boxes
from train.dataset import FIVE, Pair, Pairs, load_pairs
from train.metrics import report

Draw = Callable[[Pair], NDArray[np.uint8]]


def drawer_of(path: Path) -> Draw:
    """A function that draws one pair with a checkpoint (torch) or a model file (any engine)."""
    if path.suffix == ".onnx":
        import engines

        engine = engines.load(path)
        return lambda pair: engine.draw(pair.photo[None], boxes(pair.landmarks[list(FIVE)])[None], pair.matte[None])[0]
    import torch

    from apdgan.checkpoint import load
    from apdgan.drawer import PortraitDrawer

    module = PortraitDrawer(load(path)).eval()

    def draw(pair: Pair) -> NDArray[np.uint8]:
        corners = boxes(pair.landmarks[list(FIVE)])
        with torch.inference_mode():
            out = module(*(torch.from_numpy(a.copy()).unsqueeze(0) for a in (pair.photo, corners, pair.matte)))
        return np.asarray(out[0].numpy(), np.uint8)

    return draw


def evaluate(pairs: Pairs, draw: Draw) -> tuple[list[dict[str, float]], list[NDArray[np.uint8]]]:
    """Figures and drawings of every pair."""
    drawings = [draw(pairs[i]) for i in range(len(pairs))]
    return [report(drawing, pairs[i].drawing) for i, drawing in enumerate(drawings)], drawings


def sheet(pairs: Pairs, drawings: list[NDArray[np.uint8]], indices: list[int], side: int) -> NDArray[np.uint8]:
    """Rows of photo | reference | drawing, each ``side`` px square, RGB uint8."""
    rows = []
    for i in indices:
        pair = pairs[i]
        cells = [pair.photo, *(cv2.cvtColor(g, cv2.COLOR_GRAY2RGB) for g in (pair.drawing, drawings[i]))]
        rows.append(np.hstack([cv2.resize(c, (side, side), interpolation=cv2.INTER_AREA) for c in cells]))
    return np.asarray(np.vstack(rows), np.uint8)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m train evaluate``."""
    parser.add_argument("model", type=Path, help="a checkpoint or .onnx")
    parser.add_argument("data", nargs="+", type=Path, help="files made by 'train synthesize'")
    parser.add_argument("--sheet", type=Path, help="picture to write")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--side", type=int, default=384)


def main(args: argparse.Namespace) -> int:
    """Run from parsed options."""
    pairs = load_pairs(args.data)
    figures, drawings = evaluate(pairs, drawer_of(args.model))
    for key in figures[0]:
        values = np.array([f[key] for f in figures])
        print(f"{key:24s} mean {np.nanmean(values):.4f}  worst {np.nanmin(values):.4f} .. {np.nanmax(values):.4f}")
    if args.sheet:
        indices = list(np.linspace(0, len(pairs) - 1, min(args.rows, len(pairs))).round().astype(int))
        picture = sheet(pairs, drawings, indices, args.side)
        cv2.imwrite(str(args.sheet), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return 0
