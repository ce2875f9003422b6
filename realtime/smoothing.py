"""Steadiness over time of the ink in its aligned square: kept where the photo shows the same, let go where it does not.

A drawing is a few lines, and every tremble of them is seen; a mean over time would blur them and leave ghosts. So the
mean is taken along the motion of the photo, in a plane of its own, and what is shown is its sign, which gives way only
to a clear majority: lines stay crisp, and change in one go.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.core import Drawing
from realtime.one_euro import RESET_S, OneEuro, share
from realtime.photo_memory import PhotoMemory, Plane, warped

__all__ = ["RESET_S", "InkSmoother", "OneEuro", "make_smoother", "share"]

Ink = NDArray[np.uint8]

_HALF = 127.5
_ONES = np.ones((512, 512), np.float32)


class InkSmoother:
    """Steadies the ink of one face.

    Ink is taken as -1 and paper as 1. Carried along with the photo is the recursive mean of what the engine drew; where
    the photo is at rest, the choice between ink and paper that was made before has a vote of its own. Neither may say
    what the engine does not draw now, here or nearby (neighbourhood clamping, as in temporal anti-aliasing: Karis,
    SIGGRAPH 2014): a line may be held where it was, but nothing outlives its line.
    """

    MEMORY = (10.0, 2.0)
    """Frames that the mean reaches back where the photo is at rest, and where it moves, at strength 0.5; they grow with
    the square of the strength."""
    LOYALTY = 0.95
    """Weight of the choice that was made, against 1 of the mean, from strength 0.5 on; below 1 a new one can win."""
    SHARP = 1.5
    """What the engine drew goes into the mean this much steeper, so that a faint line can win too."""
    STEEP = 8.0
    """The choice is what mean and choice vote for, this steep."""
    CONTRAST = 1.5
    """What is shown is the same, this steep: edges come out about as soft as the engine draws them."""
    SURE = 0.25
    """At the least: a choice is shown this far from the middle."""
    NEARBY = 7
    """Side of what counts as nearby, px."""

    def __init__(self) -> None:
        self._memory = PhotoMemory()
        self._mean, self._spare, self._choice = (np.zeros((512, 512), np.float32) for _ in range(3))
        # Scratch is kept: fresh megabytes cost more than what is done with them.
        self._drawn, self._a, self._b = (np.zeros((512, 512), np.float32) for _ in range(3))

    def smooth(self, drawing: Drawing, strength: float) -> Drawing:
        """The steadied drawing; ``strength`` 0 gives the drawing itself, 1 the calmest."""
        if strength <= 0:
            self._memory.forget()
            return drawing
        past = self._memory.look(drawing.portrait.photo)
        if past is None:
            self._memory.keep(None)
            _signed(drawing.ink, self._mean)
            _times(self._mean, self.STEEP, self._choice)
            return drawing
        rest, moving = self.MEMORY
        memory = np.float32((2 * strength) ** 2) * (rest + past.unrest * np.float32(moving - rest))
        kept = past.same * memory / (memory + 1)
        self._memory.keep(kept)
        loyalty = past.same * (1 - past.unrest) * np.float32(self.LOYALTY * min(1.0, 2 * strength))
        # Where nothing is kept, and as strength goes to 0, the drawing itself is shown.
        weight = past.same * np.float32(min(1.0, 4 * strength))
        drawn = _signed(drawing.ink, self._drawn)
        around = np.ones((self.NEARBY, self.NEARBY), np.uint8)
        if past.motion is not None:
            self._carry(past.motion)
        for bound, hold in ((cv2.dilate(drawing.ink, around), cv2.min), (cv2.erode(drawing.ink, around), cv2.max)):
            signed = _signed(_ink(bound), self._a)
            hold(self._mean, signed, dst=self._mean)
            hold(self._choice, signed, dst=self._choice)
        _mix(self._mean, _times(drawn, self.SHARP, self._b), _wide(kept, self._a))
        cv2.blendLinear(self._mean, self._choice, _ONES, _wide(loyalty, self._a), dst=self._b)
        _times(self._b, self.STEEP, self._choice)
        shown = _times(self._mean, self.CONTRAST, self._b)
        # The mean, on its choice's side of the middle.
        slope = np.multiply(self._choice, np.float32((1 + self.SURE) / 2), out=self._a)
        cv2.max(shown, np.subtract(slope, np.float32((1 - self.SURE) / 2), out=slope), dst=shown)
        cv2.min(shown, np.add(slope, np.float32(1 - self.SURE), out=slope), dst=shown)
        _mix(shown, drawn, _wide(weight, self._a))
        return replace(drawing, ink=_ink(cv2.addWeighted(shown, _HALF, shown, 0, _HALF, dtype=cv2.CV_8U)))

    def _carry(self, motion: tuple[Plane, Plane]) -> None:
        """Put the mean where it lies now."""
        x, y = (_wide(one, into) for one, into in zip(motion, (self._a, self._b), strict=True))
        np.multiply(x, 2, out=x)
        np.multiply(y, 2, out=y)
        warped(self._mean, x, y, self._spare)
        self._mean, self._spare = self._spare, self._mean


def make_smoother() -> InkSmoother:
    """A smoother for one face."""
    return InkSmoother()


def _ink(plane: NDArray[Any]) -> Ink:
    return np.asarray(plane, np.uint8)


def _signed(ink: Ink, out: Plane) -> Plane:
    """0 .. 255 to -1 .. 1."""
    return np.asarray(cv2.addWeighted(ink, 1 / _HALF, ink, 0, -1, dst=out, dtype=cv2.CV_32F), np.float32)


def _mix(plane: Plane, other: Plane, share: Plane) -> None:
    """plane = other + share * (plane - other)."""
    cv2.subtract(plane, other, dst=plane)
    cv2.multiply(plane, share, dst=plane)
    cv2.add(plane, other, dst=plane)


def _times(plane: Plane, factor: float, out: Plane) -> Plane:
    """Multiplied, and held within -1 .. 1."""
    return np.clip(np.multiply(plane, np.float32(factor), out=out), -1, 1, out=out)


def _wide(plane: Plane, out: Plane) -> Plane:
    """From the photo's small side to the drawing's."""
    return np.asarray(cv2.resize(plane, (512, 512), dst=out, interpolation=cv2.INTER_LINEAR), np.float32)
