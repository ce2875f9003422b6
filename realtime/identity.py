"""Which face of this frame is which face of the last one: stable ids by place and size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

REMEMBER_S = 0.5
"""A face that comes back near its place within this time is the same face."""
REACH = 0.8
"""How far a face may have gone, in face sizes, plus the log2 of how much it grew."""


class Identities:
    """Gives each face an id that stays while it is followed and is never used again."""

    def __init__(self) -> None:
        self._next = 0
        self._known: dict[int, tuple[float, NDArray[np.float64]]] = {}

    def assign(self, landmarks: Sequence[NDArray[np.float32]], time: float) -> list[int]:
        """One id for each face.

        Args:
            landmarks: (N, 2) float32 px each.
            time: seconds; a step backwards forgets everybody.
        """
        self._known = {face: seen for face, seen in self._known.items() if 0 <= time - seen[0] <= REMEMBER_S}
        places = [_place(points) for points in landmarks]
        pairs = sorted(
            (_distance(place, seen), index, face)
            for index, place in enumerate(places)
            for face, (_, seen) in self._known.items()
        )
        ids: dict[int, int] = {}
        for distance, index, face in pairs:  # the nearest pair first: two faces never take one another's id
            if distance <= REACH and index not in ids and face not in ids.values():
                ids[index] = face
        for index in range(len(places)):
            if index not in ids:
                ids[index] = self._next
                self._next += 1
            self._known[ids[index]] = (time, places[index])
        return [ids[index] for index in range(len(places))]


def _place(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Centre x, centre y and size of a face's bounding box."""
    low, high = points.min(0).astype(np.float64), points.max(0).astype(np.float64)
    return np.array([*((low + high) / 2), max(1.0, float((high - low).max()))])


def _distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.hypot(*(a[:2] - b[:2])) / max(a[2], b[2]) + abs(np.log2(a[2] / b[2])))
