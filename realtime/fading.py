"""How faces come and go on the page: a new one rises, a lost one is held for a moment, then fades to paper."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE, invert, transform
from realtime.core import Drawing

HOLD_S = 0.1
"""A tracker that misses a face for a frame or two is not seen at all."""
GONE_S = 0.4
"""After this long nothing is left of the last drawing."""
RISE_S = 0.2
"""A face that joins others is whole after so long. Where nobody is, one is there at once."""
NEAR = 1.0
"""A new face this near to one that fades takes its place, in widths of the square."""


@dataclass(slots=True, kw_only=True)
class _Shown:
    """One face on the page."""

    drawing: Drawing
    seen: float
    since: float
    """When it came up; -inf for one that was simply there."""

    def at(self, time: float) -> float:
        """Opacity, 0 to 1."""
        risen = min(1.0, (time - self.since) / RISE_S)
        left = min(1.0, max(0.0, (GONE_S - (time - self.seen)) / (GONE_S - HOLD_S)))
        return risen * left


class Fading:
    """Remembers the last drawing of each face and lets it go by time, so a file fades the same way on every run."""

    def __init__(self) -> None:
        self._shown: dict[int, _Shown] = {}
        self._time = float("-inf")

    def clear(self) -> None:
        """Forget everything: nothing of what was shown comes back."""
        self._shown.clear()

    def add(self, drawings: Sequence[Drawing], time: float) -> list[Drawing]:
        """The drawings of this frame, and after them what still fades.

        Args:
            drawings: the faces drawn in this frame.
            time: seconds; a step backwards (a clip that starts again) forgets what faded.
        """
        if time < self._time:
            self.clear()
        self._time = time
        present = {drawing.portrait.face_id: drawing for drawing in drawings}
        self._shown = {face: one for face, one in self._shown.items() if time - one.seen < GONE_S}
        alone = not self._shown
        for face, drawing in present.items():
            since = (
                self._shown[face].since if face in self._shown else self._begin(drawing, present.keys(), alone, time)
            )
            self._shown[face] = _Shown(drawing=drawing, seen=time, since=since)
        shown = []
        for face, one in self._shown.items():
            faded = replace(one.drawing, opacity=one.drawing.opacity * one.at(time), held=face not in present)
            shown.append(one.drawing if one.at(time) >= 1 and face in present else faded)
        return sorted(shown, key=lambda drawing: drawing.held)

    def _begin(self, drawing: Drawing, present: Collection[int], alone: bool, time: float) -> float:
        """When a new face came up. It takes the place of one that fades: two of one person would be a ghost."""
        fading = [(_apart(drawing, one.drawing), face) for face, one in self._shown.items() if face not in present]
        apart, nearest = min(fading, default=(float("inf"), -1))
        if apart <= NEAR:
            return time - RISE_S * self._shown.pop(nearest).at(time)
        return float("-inf") if alone else time


def _apart(a: Drawing, b: Drawing) -> float:
    """Distance of two squares' middles on the frame, in widths of the larger."""
    (x, width), (y, other) = (_place(one) for one in (a, b))
    return float(np.linalg.norm(x - y)) / max(width, other)


def _place(drawing: Drawing) -> tuple[NDArray[np.float64], float]:
    matrix = drawing.portrait.matrix.astype(np.float64)
    middle = transform(invert(matrix), np.array([[SIZE / 2, SIZE / 2]]))[0]
    return middle, SIZE / math.sqrt(max(1e-12, abs(float(np.linalg.det(matrix[:, :2])))))
