"""The light on a picture: cameras and lamps change it, and nothing has moved."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]

_SIDE = 32
_LEVELS = 12.0
"""Scale of the robust fit, grey levels: a point this far off counts a quarter."""
_GOOD = 34.0
"""Standard deviation of the grey of a face from which on the light is good."""
_DIMMEST = 0.3


def contrast(photo: Plane) -> float:
    """How far the changes of a photo stand out, (side, side) grey with the face in its middle: 1 in good light, less in
    the dark, where what moves changes by a few grey levels only, and noise by fewer still."""
    fifth = len(photo) // 5
    spread = float(cv2.meanStdDev(photo[fifth:-fifth, fifth:-fifth])[1][0, 0])
    return min(1.0, max(_DIMMEST, (spread / _GOOD) ** 2))


def relit(before: Plane, now: Plane) -> Plane:
    """``before`` under the light of ``now``: gain and offset of the whole picture, fitted robustly.

    Cameras and lamps change both. What moved counts little (Geman-McClure weights).
    """
    size = (_SIDE, _SIDE)
    a, b = (cv2.resize(one, size, interpolation=cv2.INTER_AREA).ravel() for one in (before, now))
    weight = np.ones_like(a)
    for _ in range(4):
        total = float(weight.sum())
        mean_a, mean_b = float(weight @ a) / total, float(weight @ b) / total
        spread = float(weight @ (a - mean_a) ** 2)
        together = float(weight @ ((a - mean_a) * (b - mean_b)))
        gain = min(4.0, max(0.25, together / spread)) if spread > total else 1.0
        weight = 1 / (1 + ((b - mean_b - gain * (a - mean_a)) / _LEVELS) ** 2) ** 2
    lit = np.float32(gain) * before + np.float32(mean_b - gain * mean_a)
    return np.clip(lit, 0, 255, out=lit)  # as the camera does
