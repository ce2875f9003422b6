"""Which face of this frame is which face of the last one: stable ids by where the landmarks lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realtime.one_euro import share

Points = NDArray[np.float64]
"""(N, 2) px."""

MOST_POINTS = 60
"""So many of a face's landmarks are enough, about."""
REMEMBER_S = 1.0
"""A face that comes back near its place within this time is the same face: people pass behind one another."""
REACH = 0.8
"""How far landmarks may lie from where they are looked for, in face sizes, plus the log2 of how much the face grew."""
ONWARD_S = 0.6
"""A face that is not seen is looked for where it was going, for so long."""
_SPEED_HZ = 3.0
"""Low-pass of the speed of faces."""


@dataclass(slots=True, kw_only=True)
class _Known:
    """A face as it was last seen."""

    landmarks: Points
    time: float
    speed: NDArray[np.float64]
    """(2,) px a second."""

    def expected(self, time: float) -> Points:
        """Where its landmarks are looked for."""
        return self.landmarks + self.speed * min(time - self.time, ONWARD_S)

    def seen(self, landmarks: Points, time: float) -> None:
        step = time - self.time
        if step > 0:
            went = (landmarks.mean(0) - self.landmarks.mean(0)) / step
            self.speed = self.speed + share(_SPEED_HZ, step) * (went - self.speed)
        self.landmarks, self.time = landmarks, time


class Identities:
    """Gives each face an id that stays while it is followed and is never used again."""

    def __init__(self) -> None:
        self._next = 0
        self._known: dict[int, _Known] = {}

    def assign(self, landmarks: Sequence[NDArray[np.float32]], time: float) -> list[int]:
        """One id for each face.

        Args:
            landmarks: (N, 2) float32 px each; N is the same for all.
            time: seconds; a step backwards forgets everybody.
        """
        self._known = {face: known for face, known in self._known.items() if 0 <= time - known.time <= REMEMBER_S}
        points = [one[:: max(1, len(one) // MOST_POINTS)].astype(np.float64) for one in landmarks]
        known = list(self._known)
        away = distances(points, [self._known[face].expected(time) for face in known])
        pairs = sorted((float(away[i, k]), i, face) for i in range(len(points)) for k, face in enumerate(known))
        ids: dict[int, int] = {}
        for distance, index, face in pairs:  # the nearest pair first: two faces never take one another's id
            if distance <= REACH and index not in ids and face not in ids.values():
                ids[index] = face
                self._known[face].seen(points[index], time)
        for index, one in enumerate(points):
            if index not in ids:
                ids[index] = self._next
                self._known[self._next] = _Known(landmarks=one, time=time, speed=np.zeros(2))
                self._next += 1
        return [ids[index] for index in range(len(points))]


def distances(faces: Sequence[Points], others: Sequence[Points]) -> NDArray[np.float64]:
    """How far faces lie from others, each from each: (faces, others).

    The mean over all points, in sizes of the larger, tells place and shape; the log2 of the sizes' ratio comes on top.
    """
    if not faces or not others:
        return np.zeros((len(faces), len(others)))
    a, b = np.stack(faces)[:, None], np.stack(others)[None]
    size, other = (np.maximum(1.0, np.ptp(one, axis=2).max(-1)) for one in (a, b))
    far = np.linalg.norm(a - b, axis=-1).mean(-1)
    return np.asarray(far / np.maximum(size, other) + np.abs(np.log2(size / other)), np.float64)
