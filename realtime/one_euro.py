"""The One-Euro filter: calm when a value stands still, prompt when it moves."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

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
