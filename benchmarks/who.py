"""Whose id is whose: what is counted of ids where it is known who is where."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence

import numpy as np

from apdgan.alignment import SIZE, invert, transform
from realtime.core import Portrait


class Who:
    """Counts over frames in order."""

    def __init__(self, people: int) -> None:
        self._people = range(people)
        self._owner: dict[int, int] = {}
        self._ids: dict[int, set[int]] = defaultdict(set)
        self._waited: Counter[int] = Counter()
        self._there = self._found = self._swaps = self._strays = self._longest = 0

    def add(
        self,
        portraits: Sequence[Portrait],
        whose: Callable[[float, float], int | None],
        there: Collection[int] | None = None,
    ) -> None:
        """One frame.

        Args:
            portraits: the faces that were found.
            whose: number of the person at a point of the frame, px; None where it is nobody, or cannot be told.
            there: numbers of the people who are to be found; None for all.
        """
        found = set()
        for portrait in portraits:
            x, y = transform(invert(portrait.matrix.astype(np.float64)), np.array([[SIZE / 2, SIZE / 2]]))[0]
            person = whose(float(x), float(y))
            if person not in self._people:
                self._strays += 1
                continue
            assert person is not None
            found.add(person)
            self._ids[person].add(portrait.face_id)
            self._swaps += self._owner.get(portrait.face_id, person) != person
            self._owner[portrait.face_id] = person
        expected = set(self._people if there is None else there)
        self._there += len(expected)
        self._found += len(found & expected)
        for person in self._people:
            self._waited[person] = self._waited[person] + 1 if person in expected - found else 0
            self._longest = max(self._longest, self._waited[person])

    def figures(self) -> dict[str, float]:
        """``found``: share of the people who were there; ``most_ids``: of one person; ``swaps``: ids that went from one
        person to another; ``strays``: faces where nobody is; ``longest_wait``: frames for which one who was there was
        not found."""
        return {
            "found": self._found / max(self._there, 1),
            "most_ids": max((len(ids) for ids in self._ids.values()), default=0),
            "swaps": self._swaps,
            "strays": self._strays,
            "longest_wait": self._longest,
        }
