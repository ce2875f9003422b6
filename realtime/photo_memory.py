"""What of a face's past still holds: where its photo has moved to, and where it shows something else.

Kept is the photo that the ink of the past was drawn from, carried along with it. Dense motion from there to the photo
now (:mod:`realtime.motion`) says where each point has gone; what the motion does not explain (a lid that closed, a hand
before the mouth) is gone. A lamp that is switched is neither.

Whether a head moves, or lids and lips in one that rests, is told by how much of the square is not at rest. Of a head
the most is carried, and as exactly as can be; where little moves what is around it stays undisturbed.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.light import contrast, relit
from realtime.motion import DenseMotion, Motion, Plane, edges, shrunk

SIDE = 256
"""Photos are compared at this size, px; all px here are of it."""
REST = (11.0, 0.165)
"""Grey levels of change, and px of it at an edge, up to which the photo is at rest: compression and noise make them.
Grey levels are of a face in good light, fewer in the dark (:func:`realtime.light.contrast`)."""
SAME = (6.0, 0.8)
"""The same, of what may be left once motion is taken off, for the photo to show the same thing."""
LAMP = 0.65
"""Share of a change that is taken for light where it is the same all around. The rest speaks: a hand is flat too."""
STILL_PX = 0.15
"""Motion up to this is none: it is left to grow until it can be told from noise."""
AROUND = 25
"""Side of what counts as all around."""
ALIKE, UNLIKE = 0.7, 0.9
"""Share of the change around that is left once motion is taken off, up to which it was motion, and from which not."""
GOING = (0.19, 0.28)
"""Share of the square that is not at rest, up to which small places move in a face that rests, and from which on it is
the head that goes."""
REACH = 5
"""Side of what a change says something about: lines are wider than the change that moves them."""
AT_REST, AS_IT_GOES = (3, 2.0), (11, 30.0)
"""That side for what is not at rest, and how much faster than its unrest the motion of a place comes to count; in a
face that rests, and in a head that goes."""
ANOTHER = 0.25
"""With a smaller share of the square the same, it is another picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """How the past of a face lies under its present."""

    same: Plane
    """(SIDE, SIDE) float32, 0 to 1: the photo there shows what it showed."""
    unrest: Plane
    """(SIDE, SIDE) float32, 0 to 1: the photo is not at rest."""
    going: float
    """0: small places move at most; 1: the head goes."""
    motion: Motion | None
    """(SIDE, SIDE, 2) float32 px, x and y: where in the past each point of the present lay, minus where it lies now.
    None when all is at rest."""


class PhotoMemory:
    """Remembers the photo of one face."""

    def __init__(self) -> None:
        self._motion = DenseMotion(SIDE)
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
        grey = shrunk(photo, SIDE)
        now = grey.astype(np.float32)
        self._now, self._carried = now, None
        if self._kept is None:
            return None
        kept = relit(self._kept, now)
        change, steep, plain = _change(now, kept), edges(grey), contrast(now)
        unrest: Plane = np.clip(change * 2 / (plain * REST[0] + REST[1] * steep) - 1, 0, 1)
        left, motion, going = change, None, 0.0
        if float(unrest.max()) > 0:
            unrest, going, eager = _spread(unrest)
            motion = self._moved(grey, kept, np.minimum(unrest * np.float32(eager), 1), fine=going > 0)
            carried = self._motion.seen(kept, motion)
            left = _change(now, carried)
            if going > 0:
                # A hand that comes in, or a lamp, makes a flow too; what it does not explain did not move.
                moved = np.clip((UNLIKE - _mean(left) / (_mean(change) + 1)) / (UNLIKE - ALIKE), 0, 1)
                motion, carried = motion * moved[..., None], kept + moved * (carried - kept)
                left = left + (1 - moved) * (change - left)
                going *= cv2.mean(moved * unrest)[0] / cv2.mean(unrest)[0]
            kept = carried
        self._carried = kept
        left = left / (plain * SAME[0] + SAME[1] * steep)
        same: Plane = np.clip(2 - cv2.dilate(left, _REACH), 0, 1)
        if float(same.mean()) < ANOTHER:
            self._carried = None
            return None
        return Past(same=same, unrest=unrest, going=going, motion=motion)

    def _moved(self, now: NDArray[np.uint8], kept: Plane, share: Plane, *, fine: bool) -> Motion:
        """``share`` of the motion, none where it is too little to be told from noise."""
        before = np.asarray(cv2.addWeighted(kept, 1, kept, 0, 0, dtype=cv2.CV_8U), np.uint8)
        x, y = cv2.split(self._motion(now, before, fine=fine))
        # A place in part at rest moves as a whole.
        far = cv2.dilate(cv2.max(np.abs(x), np.abs(y)), _REACH)
        share = share * (far > STILL_PX)
        return np.asarray(cv2.merge((x * share, y * share)), np.float32)

    def keep(self, share: Plane | None) -> None:
        """Remember ``share`` (SIDE, SIDE) of the past and the rest of the photo just looked at; None: that alone."""
        assert self._now is not None
        if share is None or self._carried is None:
            self._kept = self._now
        else:
            self._kept = self._now + share * (self._carried - self._now)


_REACH = np.ones((REACH, REACH), np.uint8)


def _spread(unrest: Plane) -> tuple[Plane, float, float]:
    """What is not at rest with what is around it, how much it is the head that goes, and how eagerly motion counts."""
    (small, calm), (large, eager) = AT_REST, AS_IT_GOES
    wide = _around(unrest, large)
    going = min(1.0, max(0.0, (float(wide.mean()) - GOING[0]) / (GOING[1] - GOING[0])))
    if going < 1:
        narrow = _around(unrest, small)
        wide = narrow + np.float32(going) * (wide - narrow)
    return wide, going, calm + going * (eager - calm)


def _around(plane: Plane, side: int) -> Plane:
    return np.asarray(cv2.blur(cv2.dilate(plane, np.ones((side, side), np.uint8)), (side, side)), np.float32)


def _mean(plane: Plane) -> Plane:
    """Of what is all around."""
    return np.asarray(cv2.blur(plane, (AROUND, AROUND)), np.float32)


def _change(now: Plane, before: Plane) -> Plane:
    """Grey levels by which the photo differs, light that changed all around mostly left out; (SIDE, SIDE) float32."""
    difference: Plane = np.asarray(cv2.blur(now - before, (3, 3)), np.float32)
    return np.abs(cv2.addWeighted(difference, 1, _mean(difference), -LAMP, 0))
