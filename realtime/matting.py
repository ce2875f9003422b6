"""A matte that does not waver: where the photo shows the same, at rest or moved, the person is where he was.

A matte network changes its mind at the border of hair from frame to frame, and the outline of the drawing follows it.
So what was found before is carried along with the motion of the photo (DIS flow, Kroeger et al., ECCV 2016), and a
fresh matte weighs little where that motion explains what the photo shows now, all where it does not. It costs less
than the network, which then need not be asked for every frame.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE
from realtime.light import contrast, relit
from realtime.motion import Plane, edges, shrunk

SIDE = 128
"""Photos are compared at this size; px and grey levels here are of it, in good light."""
_MATTE_SIDE = 256
"""Mattes are kept at this one: the network decides at 128."""
STILL, MOVED = 4.0, 12.0
"""Grey levels of change up to which a place is at rest, and from which it has moved."""
SAME, ANOTHER = 6.0, 14.0
"""Grey levels left once motion is taken off, up to which a place shows the same, and from which something else; at an
edge ``EDGE`` px of it more."""
EDGE = 0.3
AT_REST, CARRIED = 0.1, 0.2
"""Share of a fresh matte that comes in where nothing moves, and where motion explains what the photo shows."""

_NONE: Any = None  # no second map, no guess of the motion; OpenCV's stubs know of no None
_GRID, _MATTE_GRID = (np.dstack(np.meshgrid(*(np.arange(side, dtype=np.float32),) * 2)) for side in (SIDE, _MATTE_SIDE))
_NEAR, _AROUND = (np.ones((side, side), np.uint8) for side in (9, 7))


class SteadyMatte:
    """Steadies the mattes of one face."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(1)
        self._matte: Plane | None = None
        self._first: NDArray[np.uint8] | None = None
        # The photo that the matte is of, carried along with it; and how much of a fresh matte is due where.
        self._photo, self._due, self._now = (np.zeros((SIDE, SIDE), np.float32) for _ in range(3))

    def carry(self, photo: NDArray[np.uint8]) -> float:
        """Carry the matte along to the next photo, (512, 512, 3) uint8 RGB.

        Returns:
            The share of the square, 0 to 1, that motion does not explain; 1 before the first matte.
        """
        grey = shrunk(photo, SIDE)
        self._now = grey.astype(np.float32)
        self._first = None
        if self._matte is None:
            return 1.0
        before = relit(self._photo, self._now)  # a lamp that dims moves nobody
        plain = contrast(self._now)
        moved = np.clip((_change(self._now, before, _AROUND) / plain - STILL) / (MOVED - STILL), 0, 1)
        share, unknown = np.float32(AT_REST), 0.0
        if float(moved.max()) > 0:
            moving = np.minimum(cv2.blur(moved, (5, 5)) * 4, 1)
            motion = self._flow.calc(grey, before.astype(np.uint8), _NONE) * moving[..., None]
            source = _GRID + motion
            before = _seen(before, source)
            left = (_change(self._now, before, _NEAR) - EDGE * edges(grey)) / plain
            other = np.clip((left - SAME) / (ANOTHER - SAME), 0, 1)
            other[((source < 0) | (source > SIDE - 1)).any(-1)] = 1
            unknown = float(other.mean())
            share = AT_REST + (CARRIED - AT_REST + (1 - CARRIED) * other) * moved
            wide = cv2.resize(motion, (_MATTE_SIDE, _MATTE_SIDE), interpolation=cv2.INTER_LINEAR)
            self._matte = _seen(self._matte, _MATTE_GRID + wide * np.float32(_MATTE_SIDE / SIDE))
        self._photo = before
        self._due = np.maximum(self._due, share)
        return unknown

    def take(self, fresh: NDArray[np.uint8]) -> None:
        """Let in what the network says of the photo that was carried to last: (512, 512) uint8, 255 = person."""
        matte = cv2.resize(fresh, (_MATTE_SIDE, _MATTE_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        if self._matte is None:
            self._matte, self._photo, self._first = matte, self._now, fresh
        else:
            share = cv2.blur(self._due, (5, 5))
            self._photo = self._photo + share * (self._now - self._photo)
            wide = cv2.resize(share, (_MATTE_SIDE, _MATTE_SIDE), interpolation=cv2.INTER_LINEAR)
            self._matte = self._matte + wide * (matte - self._matte)
        self._due = np.zeros((SIDE, SIDE), np.float32)

    @property
    def matte(self) -> NDArray[np.uint8]:
        """The steadied matte (512, 512) uint8; all person before the first one, which passes as it is."""
        if self._first is not None:
            return self._first
        if self._matte is None:
            return np.full((SIZE, SIZE), 255, np.uint8)
        small = cv2.convertScaleAbs(self._matte)
        return np.asarray(cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), np.uint8)


def _change(now: Plane, before: Plane, reach: NDArray[np.uint8]) -> Plane:
    """Grey levels by which the photo differs here or nearby."""
    return np.asarray(cv2.dilate(cv2.blur(np.abs(now - before), (3, 3)), reach), np.float32)


def _seen(plane: Plane, source: Plane) -> Plane:
    """A plane seen from where ``source`` (..., 2), px of it, leads."""
    return np.asarray(cv2.remap(plane, source, _NONE, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
