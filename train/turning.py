"""The paper's augmentation of a pair: mirror, small rotations and scalings, boxes moved with the picture.

The paper rotates and scales offline and mirrors in its loader (CVPR 2019, section 4); here all three are drawn anew for
every sample. A line drawing is resampled by area, so that thin strokes turn soft but not broken.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE, transform
from train.augment import Sample, augment, flip

ROTATE_DEGREES, SCALE = 5.0, 0.05
"""Largest turn and relative change of size where a run says nothing: the paper's are called small, without a figure."""


def turn(sample: Sample, *, degrees: float, scale: float) -> Sample:
    """Rotate and scale about the centre of the square; what comes in is white paper, not person.

    Args:
        sample: the pair.
        degrees: counter-clockwise.
        scale: 1 keeps the size.
    """
    matrix = np.asarray(cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), degrees, scale), np.float64)

    def warp(image: NDArray[np.uint8], fill: int) -> NDArray[np.uint8]:
        border = (fill, fill, fill)
        moved = cv2.warpAffine(image, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderValue=border)
        return np.asarray(moved, np.uint8)

    return Sample(
        photo=warp(sample.photo, 255),
        drawing=warp(sample.drawing, 255),
        matte=warp(sample.matte, 0),
        points=transform(matrix, sample.points).astype(np.float32),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """How a stage's samples differ from its pairs; called with the sample's own generator of randomness."""

    strength: float
    """Share of samples that :func:`train.augment.augment` makes look like a webcam's."""
    degrees: float = 0.0
    """Largest turn."""
    scale: float = 0.0
    """Largest relative change of size."""
    paper: bool = False
    """Mirror only, as the paper's loader; else :func:`augment`, which shifts by whole pixels too."""

    def __call__(self, rng: np.random.Generator, sample: Sample) -> Sample:
        if self.degrees or self.scale:
            degrees, scale = rng.uniform(-1, 1, 2) * (self.degrees, self.scale)
            sample = turn(sample, degrees=float(degrees), scale=float(1 + scale))
        if self.paper and not self.strength:
            return flip(sample) if rng.random() < 0.5 else sample
        return augment(rng, sample, strength=self.strength)
