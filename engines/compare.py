"""Figures that say whether two drawings are the same. numpy only; drawings are uint8, 0 = ink, ink = grey < 128."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

INK_BELOW = 128
FP32_MAX = 1
"""Grey levels by which an fp32 engine may differ from the reference."""
SAME_MEAN = 0.5
"""Mean difference (grey levels, per photo) up to which a reduced precision draws the same."""
SAME_INK_IOU = 0.985
"""Ink IoU (per photo) from which a reduced precision draws the same."""
HALF_MEAN = 1.0
"""As ``SAME_MEAN``, of fp16 on a GPU."""
HALF_INK_IOU = 0.995
"""As ``SAME_INK_IOU``, of fp16 on a GPU."""
FASTER = 0.95
"""A reduced precision is worth having from this share of the fp32 time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far one drawing is from the reference."""

    max: int
    """Grey levels."""
    mean: float
    """Grey levels."""
    off_by_more_than_2: float
    """Share of pixels, 0 to 1."""
    ink_iou: float
    """0 to 1."""


def difference(drawing: NDArray[np.uint8], reference: NDArray[np.uint8]) -> Difference:
    """Compare two drawings (or mattes) of one shape."""
    gap = np.abs(drawing.astype(np.int16) - reference.astype(np.int16))
    return Difference(
        max=int(gap.max()),
        mean=float(gap.mean()),
        off_by_more_than_2=float((gap > 2).mean()),
        ink_iou=ink_iou(drawing, reference),
    )


def ink_iou(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Intersection over union of the ink of two drawings; 1 when neither has any."""
    ink_a, ink_b = a < INK_BELOW, b < INK_BELOW
    union = np.count_nonzero(ink_a | ink_b)
    return float(np.count_nonzero(ink_a & ink_b) / union) if union else 1.0  # numpy's own kinds end up in files


def worst(differences: list[Difference]) -> Difference:
    """Each figure at its worst over several photos."""
    return Difference(
        max=max(d.max for d in differences),
        mean=max(d.mean for d in differences),
        off_by_more_than_2=max(d.off_by_more_than_2 for d in differences),
        ink_iou=min(d.ink_iou for d in differences),
    )
