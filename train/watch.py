"""How a run does while it runs: figures on held-out pairs, and a sheet to look at."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from apdgan.alignment import boxes
from apdgan.drawer import PortraitDrawer
from apdgan.generator import HierarchicalGenerator
from train import metrics
from train.sheets import save_sample, sheet, spread

if TYPE_CHECKING:
    from train.dataset import Pair, Pairs

PICTURES = 8
"""So many held-out pairs are measured, spread over all of them."""
ROWS = 4
"""So many are shown."""
Figure = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]
FIGURES: dict[str, Figure] = {
    "chamfer": metrics.chamfer,
    "ink_f1": metrics.ink_f1,
    "outline_f1": metrics.outline_f1,
}


class Watch:
    """Draws the same few pairs again and again."""

    def __init__(self, pairs: Pairs, *, held_out: bool) -> None:
        """
        Args:
            pairs: what is drawn.
            held_out: False for pairs that are trained on: they are shown, not measured.
        """
        self.held_out = held_out
        self.chosen: list[Pair] = [pairs[i] for i in spread(len(pairs), PICTURES if held_out else ROWS)]

    def look(self, generator: HierarchicalGenerator, folder: Path, step: int) -> dict[str, float]:
        """Draw, save the sheet to the run folder, and measure.

        Args:
            generator: the weights to look at; put in eval mode.
            folder: the run folder.
            step: for the sheet's name.
        Returns:
            ``held_out/NAME`` -> mean over pictures; nothing where there is nothing to measure. What is not finite (no
            ink at all is drawn yet) is left out.
        """
        drawings = draw(generator, self.chosen)
        rows = [[p.photo, p.drawing, d] for p, d in zip(self.chosen, drawings, strict=True)][:ROWS]
        save_sample(folder, step, sheet(rows, ("photo", "wanted", "drawing"), side=320))
        if not self.held_out:
            return {}
        means = {}
        for name, figure in FIGURES.items():
            both = [(d, p.drawing) for p, d in zip(self.chosen, drawings, strict=True) if p.drawing is not None]
            means[f"held_out/{name}"] = float(np.mean([figure(d, wanted) for d, wanted in both])) if both else math.nan
        return {name: value for name, value in means.items() if math.isfinite(value)}


@torch.inference_mode()
def draw(generator: HierarchicalGenerator, pairs: list[Pair]) -> list[NDArray[np.uint8]]:
    """Drawings (512, 512) uint8, one picture at a time."""
    drawer = PortraitDrawer(generator).eval()
    device = next(generator.parameters()).device
    drawn = []
    for pair in pairs:
        arrays = (pair.photo, boxes(pair.points), pair.matte)
        out = drawer(*(torch.from_numpy(np.array(a))[None].to(device) for a in arrays))
        drawn.append(np.asarray(out[0].cpu().numpy(), np.uint8))
    return drawn
