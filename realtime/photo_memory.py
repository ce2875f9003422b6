"""What of a face's past still holds: where its photo has moved to, and where it shows something else.

Kept is the photo that the ink of the past was drawn from, carried along with it. Dense motion from there to the photo
now (DIS flow, Kroeger et al., ECCV 2016) says where each point has gone; what the motion does not explain (a lid that
closed, a hand before the mouth) is gone. A lamp that is switched is neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
Motion = NDArray[np.float32]

SIDE = 256
"""Photos are compared at this size, px; all px here are of it."""
REST = (10.0, 0.15)
"""Grey levels of change, and px of it at an edge, up to which the photo is at rest: compression and noise make them."""
SAME = (6.0, 0.8)
"""The same, of what may be left once motion is taken off, for the photo to show the same thing."""
LAMP = 0.65
"""Share of a change that is taken for light where it is the same all around. The rest speaks: a hand is flat too."""
STILL_PX = 0.15
"""Motion up to this is none: it is left to grow until it can be told from noise."""
AROUND = 25
"""Side of what counts as all around."""
REACH = 5
"""Side of what a change says something about: lines are wider than the change that moves them."""
ANOTHER = 0.25
"""With a smaller share of the square the same, it is another picture."""
_LIGHT_SIDE = 32
_LIGHT_LEVELS = 12.0
"""Scale of the robust fit of the light: a point this far off counts a quarter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """How the past of a face lies under its present."""

    same: Plane
    """(SIDE, SIDE) float32, 0 to 1: the photo there shows what it showed."""
    unrest: Plane
    """(SIDE, SIDE) float32, 0 to 1: the photo is not at rest."""
    motion: Motion | None
    """(SIDE, SIDE, 2) float32 px, x and y: where in the past each point of the present lay, minus where it lies now.
    None when all is at rest."""


class PhotoMemory:
    """Remembers the photo of one face."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
        self._flow.setFinestScale(1)  # a line that is carried half a pixel amiss is drawn twice
        self._flow.setPatchStride(5)
        self._now: Plane | None = None
        self._kept: Plane | None = None
        self._carried: Plane | None = None

    def forget(self) -> None:
        """The next photo is the first."""
        self._kept = None

    def look(self, photo: NDArray[np.uint8]) -> Past | None:
        """What holds of the past; None when nothing does: it is the first photo, or another picture.

        Args:
            photo: (512, 512, 3) uint8 RGB. Call :meth:`keep` before the next one.
        """
        grey = cv2.resize(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        grey = np.asarray(grey, np.uint8)
        now = grey.astype(np.float32)
        self._now, self._carried = now, None
        if self._kept is None:
            return None
        kept = _relit(self._kept, now)
        # Half of the range within 3 px: grey levels a px.
        edges = cv2.blur(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, _NEXT), (3, 3)) * np.float32(0.5)
        unrest: Plane = np.clip(_change(now, kept) * 2 / (REST[0] + REST[1] * edges) - 1, 0, 1)
        motion = None
        if float(unrest.max()) > 0:
            unrest = np.asarray(cv2.blur(cv2.dilate(unrest, _REACH), (REACH, REACH)), np.float32)
            before = cv2.addWeighted(kept, 1, kept, 0, 0, dtype=cv2.CV_8U)
            x, y = cv2.split(self._flow.calc(grey, before, _NO_GUESS))
            # A place in part at rest moves as a whole.
            far = cv2.dilate(cv2.max(np.abs(x), np.abs(y)), _REACH)
            moving = np.minimum(unrest * np.float32(4), 1) * (far > STILL_PX)
            motion = cv2.merge((x * moving, y * moving))
            kept = warped(kept, motion)
        self._carried = kept
        left = _change(now, kept) / (SAME[0] + SAME[1] * edges)
        same: Plane = np.clip(2 - cv2.dilate(left, _REACH), 0, 1)
        if float(same.mean()) < ANOTHER:
            self._carried = None
            return None
        return Past(same=same, unrest=unrest, motion=motion)

    def keep(self, share: Plane | None) -> None:
        """Remember ``share`` (SIDE, SIDE) of the past and the rest of the photo just looked at; None: that alone."""
        assert self._now is not None
        if share is None or self._carried is None:
            self._kept = self._now
        else:
            self._kept = self._now + share * (self._carried - self._now)


_NO_GUESS: Any = None  # of the motion; OpenCV's stubs know of no None
_PLACES = np.dstack(np.meshgrid(*(np.arange(SIDE, dtype=np.float32),) * 2))
_NEXT, _REACH = (np.ones((side, side), np.uint8) for side in (3, REACH))


def warped(plane: Plane, motion: Motion) -> Plane:
    """A plane (SIDE, SIDE) seen from where ``motion`` (SIDE, SIDE, 2; px of it) leads."""
    seen = cv2.remap(plane, _PLACES + motion, _NO_GUESS, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen, np.float32)


def _change(now: Plane, before: Plane) -> Plane:
    """Grey levels by which the photo differs, light that changed all around mostly left out; (SIDE, SIDE) float32."""
    difference = cv2.blur(now - before, (3, 3))
    return np.abs(cv2.addWeighted(difference, 1, cv2.blur(difference, (AROUND, AROUND)), -LAMP, 0))


def _relit(before: Plane, now: Plane) -> Plane:
    """``before`` under the light of ``now``: gain and offset of the whole picture, fitted robustly.

    Cameras and lamps change both. What moved counts little (Geman-McClure weights).
    """
    size = (_LIGHT_SIDE, _LIGHT_SIDE)
    a, b = (cv2.resize(one, size, interpolation=cv2.INTER_AREA).ravel() for one in (before, now))
    weight = np.ones_like(a)
    for _ in range(4):
        total = float(weight.sum())
        mean_a, mean_b = float(weight @ a) / total, float(weight @ b) / total
        spread = float(weight @ (a - mean_a) ** 2)
        together = float(weight @ ((a - mean_a) * (b - mean_b)))
        gain = min(4.0, max(0.25, together / spread)) if spread > total else 1.0
        weight = 1 / (1 + ((b - mean_b - gain * (a - mean_a)) / _LIGHT_LEVELS) ** 2) ** 2
    lit = np.float32(gain) * before + np.float32(mean_b - gain * mean_a)
    return np.clip(lit, 0, 255, out=lit)  # as the camera does
