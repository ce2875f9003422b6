"""A matte that does not waver: where the photo has not changed, the person has not either.

A matte network changes its mind at the border of hair from frame to frame, and the outline of the drawing follows it.
The square stands still on the head, so what was found there before still holds wherever the photo is as it was.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 128
"""Photos are compared at this size."""
STILL, MOVED = 4.0, 12.0
"""Grey levels of change up to which a place is at rest, and from which it has moved."""
AT_REST = 0.07
"""Share of a fresh matte that comes in where nothing moves."""


class SteadyMatte:
    """Steadies the mattes of one face."""

    def __init__(self) -> None:
        self._matte: NDArray[np.float32] | None = None
        self._photo: NDArray[np.float32] = np.zeros((SIDE, SIDE), np.float32)

    def __call__(self, photo: NDArray[np.uint8], fresh: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The steadied matte.

        Args:
            photo: (512, 512, 3) uint8 RGB, the aligned square.
            fresh: (512, 512) uint8, what the network says of it, 255 = person.
        Returns:
            (512, 512) uint8; of the first photo ``fresh`` itself.
        """
        small = cv2.resize(photo, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.float32)
        if self._matte is None:
            self._matte, self._photo = fresh.astype(np.float32), grey
            return fresh
        level = float(grey.mean() - self._photo.mean())  # a lamp that dims moves nobody
        change = cv2.dilate(cv2.blur(np.abs(grey - self._photo - level), (3, 3)), np.ones((7, 7), np.uint8))
        moved = np.clip((change - STILL) / (MOVED - STILL), 0, 1)
        share = cv2.blur(AT_REST + (1 - AT_REST) * moved, (5, 5))
        self._photo = np.asarray(self._photo + share * (grey - self._photo), np.float32)
        wide = cv2.resize(share, fresh.shape[::-1], interpolation=cv2.INTER_LINEAR)
        self._matte = np.asarray(self._matte + wide * (fresh - self._matte), np.float32)
        return np.asarray(np.rint(self._matte), np.uint8)
