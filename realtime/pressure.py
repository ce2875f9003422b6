"""Faint lines drawn with the pen's full pressure.

Where light is soft a network draws a jaw or a chin a pixel wide and grey, or as dots. Steadied over time, and made
larger, such a line would be lost, and a face without its outline is what an eye notices first. So what is thin and
faint becomes ink. Areas, and strokes of three px and more that are ink already, stay as they are; a black hairline
becomes a little firmer, hatching a little darker.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Ink = NDArray[np.uint8]

JOINED_PX = 1.0
"""Standard deviation of the blur that makes a line of a row of dots, px of the square."""
THIN_PX = 7
"""What is at least so wide is no line."""
ALIKE_PX = 5
"""Within so many px the pressure is the same, so that a line keeps its profile."""
NOISE, LINE = 10, 30
"""Darkness of a blurred line, 0 to 255, from which it is pressed, and from which with all the strength."""
PRESSED = 200
"""How dark its middle becomes."""
STROKE = 160
"""Darkness of a blurred line from which it is pressed less, down to not at all at PRESSED: a stroke that is ink."""
MOST = 8.0
"""Times as dark, at the most."""
SOFT, SHARP = 30, 195
"""Flanks: what is pressed to the first is paper, what is pressed to the second is as dark as the middle."""

_WIDE = np.ones((THIN_PX, THIN_PX), np.uint8)
_NEAR = np.ones((ALIKE_PX, ALIKE_PX), np.uint8)
_UNIT = 32
"""The factor 1, in whole numbers."""


def _pressure() -> Ink:
    """(256,): from the darkness of the line to the factor, in units of 1 / _UNIT."""
    dark = np.arange(256, dtype=np.float64)
    factor = np.clip(PRESSED / np.maximum(dark, 1), 1, MOST - 1 / _UNIT)
    factor *= np.clip((dark - NOISE) / (LINE - NOISE), 0, 1)
    factor *= np.clip((PRESSED - dark) / (PRESSED - STROKE), 0, 1)
    return np.rint(factor * _UNIT).astype(np.uint8)


def _flanks() -> Ink:
    """(256,): steeper, from SOFT and SHARP to paper and PRESSED."""
    dark = np.arange(256, dtype=np.float64)
    return np.rint(np.clip((dark - SOFT) / (SHARP - SOFT), 0, 1) * PRESSED).astype(np.uint8)


_FACTORS, _STEEPER = _pressure(), _flanks()


def pressed(ink: Ink) -> Ink:
    """The drawing with its faint thin lines as ink.

    Args:
        ink: (512, 512) uint8, 0 = ink, 255 = paper; not changed.
    Returns:
        (512, 512) uint8, nowhere lighter than ``ink``.
    """
    joined = cv2.GaussianBlur(255 - ink, (5, 5), JOINED_PX)
    lines = cv2.morphologyEx(joined, cv2.MORPH_TOPHAT, _WIDE)
    factor = cv2.LUT(cv2.dilate(lines, _NEAR), _FACTORS)
    lines = cv2.LUT(cv2.multiply(lines, factor, scale=1 / _UNIT), _STEEPER)
    return np.asarray(np.minimum(ink, 255 - lines), dtype=np.uint8)
