"""Where each point of a face's photo has gone since the one before: dense motion, at the cost that the moment is worth.

DIS flow (Kroeger et al., ECCV 2016) finds it. Ink that is carried along a head that moves is drawn anew in each frame,
and a line half a pixel amiss trembles; there the flow is looked for more finely, and least squares of the photo's own
slopes (Lucas and Kanade, IJCAI 1981) take off what is left of it, tile by tile.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Motion = NDArray[np.float32]

TILE = 4
"""Side of the tiles that the refinement moves, px: what is carried is carried in such tiles."""
FARTHEST = 1.0
"""So much is taken off at most, px."""
FLAT = 10.0
"""Squared grey levels a px that are added to the slopes': where the photo has none, the flow stays as it was found."""

_NONE: Any = None  # no guess of the motion, no second map; OpenCV's stubs know of no None
_NEXT = np.ones((3, 3), np.uint8)


def shrunk(photo: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """A square photo (512, 512, 3) uint8 RGB as (side, side) uint8 grey."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA), np.uint8)


def edges(grey: NDArray[np.uint8]) -> Plane:
    """Grey levels a px, half of the range within 3 px: what a px of motion changes at the most."""
    return np.asarray(cv2.blur(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, _NEXT), (3, 3)) * np.float32(0.5), np.float32)


class DenseMotion:
    """Finds motion in squares of ``side`` px."""

    def __init__(self, side: int) -> None:
        self._tiles = (side // TILE,) * 2
        self._grid: Plane = np.dstack(np.meshgrid(*(np.arange(side, dtype=np.float32),) * 2))
        self._coarse, self._fine = (cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST) for _ in range(2))
        self._fine.setFinestScale(0)
        self._fine.setPatchStride(5)

    def __call__(self, now: NDArray[np.uint8], before: NDArray[np.uint8], *, fine: bool) -> Motion:
        """(side, side, 2) float32 px, x and y: where in ``before`` each point of ``now`` lay, minus where it lies now.

        Args:
            now, before: (side, side) uint8, grey.
            fine: look closely, which takes some ten times as long.
        """
        if not fine:
            return np.asarray(self._coarse.calc(now, before, _NONE), np.float32)
        return self._refined(self._fine.calc(now, before, _NONE), now, before)

    def _refined(self, motion: Any, now: NDArray[np.uint8], before: NDArray[np.uint8]) -> Motion:
        here, there = (np.asarray(cv2.blur(one.astype(np.float32), (3, 3)), np.float32) for one in (now, before))
        x, y = (cv2.Sobel(here, cv2.CV_32F, *way, scale=1 / 8) for way in ((1, 0), (0, 1)))
        xx, yy, xy = self._mean(x * x) + np.float32(FLAT), self._mean(y * y) + np.float32(FLAT), self._mean(x * y)
        scale = 1 / (xx * yy - xy * xy)
        left = here - self.seen(there, motion)
        x_left, y_left = self._mean(x * left), self._mean(y * left)
        step = cv2.merge(((yy * x_left - xy * y_left) * scale, (xx * y_left - xy * x_left) * scale))
        np.clip(step, -FARTHEST, FARTHEST, out=step)
        more = cv2.resize(step, self._grid.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(motion + more, np.float32)

    def _mean(self, plane: Plane) -> Plane:
        """Of each tile."""
        return np.asarray(cv2.resize(plane, self._tiles, interpolation=cv2.INTER_AREA), np.float32)

    def seen(self, plane: Plane, motion: Motion) -> Plane:
        """A plane (side, side) float32 seen from where ``motion`` leads."""
        source = self._grid + motion
        seen = cv2.remap(plane, source, _NONE, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(seen, np.float32)
