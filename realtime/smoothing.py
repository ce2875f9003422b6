"""Steadiness over time: a One-Euro filter for where a face is, and a filter for the ink in its aligned square."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.core import Drawing

RESET_S = 0.5
"""After a gap longer than this the past says nothing about the present."""


class OneEuro:
    """One-Euro filter (Casiez, Roussel, Vogel 2012) of a vector: calm when it stands still, prompt when it moves.

    A first-order low-pass whose cutoff rises with the filtered speed of the whole vector:
    ``cutoff = min_cutoff + beta * |speed|``. The first value passes unchanged, so a single picture is not filtered.
    """

    def __init__(self, *, min_cutoff_hz: float, beta: float, speed_cutoff_hz: float = 1.0) -> None:
        """
        Args:
            min_cutoff_hz: cutoff at rest, Hz; lower is calmer and slower.
            beta: Hz of cutoff gained for each unit a second of speed (units of the vector).
            speed_cutoff_hz: cutoff of the speed's own low-pass, Hz.
        """
        self._min_cutoff = min_cutoff_hz
        self._beta = beta
        self._speed_cutoff = speed_cutoff_hz
        self._time = 0.0
        self._value: NDArray[np.float64] | None = None
        self._speed = np.zeros(1)

    def __call__(self, value: NDArray[np.float64], time: float) -> NDArray[np.float64]:
        """The filtered value at ``time`` seconds. A step backwards, or a gap of ``RESET_S``, starts afresh."""
        step = time - self._time
        if self._value is None or not 0 <= step <= RESET_S:
            self._value, self._speed = np.array(value, dtype=np.float64), np.zeros(np.shape(value))
        elif step > 0:  # the same instant twice adds nothing
            speed = (value - self._value) / step
            self._speed = self._speed + share(self._speed_cutoff, step) * (speed - self._speed)
            cutoff = self._min_cutoff + self._beta * float(np.linalg.norm(self._speed))
            self._value = self._value + share(cutoff, step) * (value - self._value)
        self._time = time
        return self._value


def share(cutoff_hz: float, step_s: float) -> float:
    """Weight of the new value in a first-order low-pass."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff_hz * step_s))


class InkSmoother:
    """Keeps ink where the photo underneath has not changed and lets it go where it has. One per face.

    The photo is compared at 128 x 128 with the photo that the kept ink belongs to. Where they agree the new drawing
    comes in slowly, where they differ (an eyelid, a lip, a turning head) at once. Where most of the square has changed,
    everything is let go.
    """

    SIDE = 128
    STILL = 3.0
    """Grey levels of change that sensor noise makes: nothing has moved."""
    MOVED = 9.0
    """Grey levels from which something has moved."""
    TURNED = 14.0
    """Mean change of the whole square from which nothing is kept."""
    HOLD = 0.85
    """Share of the old ink that stays each frame at strength 1, where nothing moves."""

    def __init__(self) -> None:
        self._ink: NDArray[np.float32] | None = None
        self._photo: NDArray[np.float32] = np.zeros((self.SIDE, self.SIDE), np.float32)

    def smooth(self, drawing: Drawing, strength: float) -> Drawing:
        """The steadied drawing; ``strength`` 0 gives the drawing itself, 1 the calmest."""
        photo = _small_grey(drawing.portrait.photo, self.SIDE)
        ink = drawing.ink.astype(np.float32)
        if self._ink is None or strength <= 0:
            self._ink, self._photo = ink, photo
            return drawing
        change = np.abs(photo - self._photo)
        if float(change.mean()) > self.TURNED:
            self._ink, self._photo = ink, photo
            return drawing
        keep = self._keep(change, strength)
        self._photo = photo + keep * (self._photo - photo)
        wide = cv2.resize(keep, ink.shape[::-1], interpolation=cv2.INTER_LINEAR)
        self._ink = np.asarray(ink + wide * (self._ink - ink), dtype=np.float32)
        return replace(drawing, ink=np.rint(self._ink).astype(np.uint8))

    def _keep(self, change: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
        """Share of the old that stays, (SIDE, SIDE) float32: the largest change within 5 pixels decides."""
        # Lines are wider than the change that moves them, so it reaches a little around itself.
        reach = cv2.dilate(cv2.blur(change, (3, 3)), np.ones((5, 5), np.uint8))
        still = np.clip((self.MOVED - reach) / (self.MOVED - self.STILL), 0, 1)
        return np.asarray(cv2.blur(still * np.float32(self.HOLD * strength), (3, 3)), dtype=np.float32)


def make_smoother() -> InkSmoother:
    """A smoother for one face."""
    return InkSmoother()


def _small_grey(photo: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Averaged grey with its mean taken off: a lamp that dims is no movement."""
    small = cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(grey - grey.mean(), dtype=np.float32)
