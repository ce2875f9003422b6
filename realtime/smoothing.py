"""Steadiness over time of the ink in its aligned square: kept where the photo shows the same, let go where it does not.

A drawing is a few lines, and every tremble of them is seen; a mean over time would blur them and leave ghosts. So the
mean is taken along the motion of the photo, in a plane of its own, and what is shown is its sign, which gives way only
to a clear majority: lines stay crisp, and change in one go.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.core import Drawing
from realtime.one_euro import RESET_S, OneEuro, share
from realtime.photo_memory import Past, PhotoMemory, Plane

__all__ = ["RESET_S", "InkSmoother", "OneEuro", "make_smoother", "share"]

Ink = NDArray[np.uint8]

_HALF = 127.5
_LINE = np.arange(512, dtype=np.float32)
_ONES = np.ones((512, 512), np.float32)


class InkSmoother:
    """Steadies the ink of one face.

    Ink is taken as -1 and paper as 1. Carried along with the photo is the recursive mean of what the engine drew. Where
    the photo moves, that mean may not say what the engine does not draw nearby (neighbourhood clamping, as in temporal
    anti-aliasing: Karis, SIGGRAPH 2014), so nothing that is dragged along outlives its line. Where the photo is at
    rest, the choice between ink and paper that was made before has a vote of its own.
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
    CONTRAST = 1.3
    """What is shown is the same, this steep: edges come out about as soft as the engine draws them."""
    NEARBY = 5
    """Side of what counts as nearby, px."""
    GIVE = 85
    """Grey levels a frame by which the past gives way, where it is at rest, to what the engine draws nearby."""

    def __init__(self) -> None:
        self._memory = PhotoMemory()
        self._mean, self._choice = (np.zeros((512, 512), np.float32) for _ in range(2))
        # Scratch is kept: fresh megabytes cost more than what is done with them.
        self._drawn, self._a, self._b, self._c = (np.zeros((512, 512), np.float32) for _ in range(4))
        self._low = self._high = np.zeros((512, 512), np.uint8)

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
            self._low = self._high = drawing.ink
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
        low, high = cv2.erode(drawing.ink, around), cv2.dilate(drawing.ink, around)
        if past.motion is not None:
            self._carry(past.motion, past.unrest, low, high)
        self._low, self._high = cv2.min(low, cv2.add(self._low, self.GIVE)), cv2.max(high, cv2.subtract(self._high, self.GIVE))
        _hold(self._mean, self._low, self._high, self._a)
        _hold(self._choice, self._low, self._high, self._a)
        _mix(self._mean, _times(drawn, self.SHARP, self._b), _wide(kept, self._a))
        vote = cv2.blendLinear(self._mean, self._choice, _ONES, _wide(loyalty, self._a), dst=self._b)
        _times(vote, self.STEEP, self._choice)
        shown = _times(self._mean, self.CONTRAST, self._b)
        # The mean, on its choice's side of the middle.
        cv2.max(shown, self._choice * np.float32(0.75) - np.float32(0.25), dst=shown)
        cv2.min(shown, self._choice * np.float32(0.75) + np.float32(0.25), dst=shown)
        _mix(shown, drawn, _wide(weight, self._a))
        return replace(drawing, ink=cv2.addWeighted(shown, _HALF, shown, 0, _HALF, dtype=cv2.CV_8U))

    def _carry(self, motion: tuple[Plane, Plane], unrest: Plane, low: Ink, high: Ink) -> None:
        """Put the mean where it lies now."""
        x, y = (_wide(one, into) for one, into in zip(motion, (self._a, self._b), strict=True))
        for place, line in ((x, _LINE), (y, _LINE[:, None])):
            place *= 2
            place += line
        there = cv2.remap(self._mean, x, y, cv2.INTER_LINEAR, dst=self._c, borderMode=cv2.BORDER_REPLICATE)
        np.copyto(self._mean, there)
        _hold(self._mean, low, high, self._a)
        _mix(self._mean, there, _wide(unrest, self._a))


def make_smoother() -> InkSmoother:
    """A smoother for one face."""
    return InkSmoother()


def _signed(ink: Ink, out: Plane) -> Plane:
    """0 .. 255 to -1 .. 1."""
    return np.asarray(cv2.addWeighted(ink, 1 / _HALF, ink, 0, -1, dst=out, dtype=cv2.CV_32F), np.float32)


def _hold(plane: Plane, low: Ink, high: Ink, work: Plane) -> None:
    """Hold a plane within bounds, 0 .. 255 each."""
    cv2.min(plane, _signed(high, work), dst=plane)
    cv2.max(plane, _signed(low, work), dst=plane)


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
