"""What is shown of a face that was lost: its last drawing, held for a moment, then fading to paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from realtime.core import Drawing

HOLD_S = 0.1
"""A tracker that misses a face for a frame or two is not seen at all."""
GONE_S = 0.4
"""After this long nothing is left of the last drawing."""


class Fading:
    """Remembers the last drawing of each face and lets it go by time, so a file fades the same way on every run."""

    def __init__(self) -> None:
        self._last: dict[int, tuple[float, Drawing]] = {}
        self._time = float("-inf")

    def clear(self) -> None:
        """Forget everything: nothing of what was shown comes back."""
        self._last.clear()

    def add(self, drawings: Sequence[Drawing], time: float) -> list[Drawing]:
        """The drawings of this frame, and after them what still fades.

        Args:
            drawings: the faces drawn in this frame.
            time: seconds; a step backwards (a clip that starts again) forgets what faded.
        """
        if time < self._time:
            self.clear()
        self._time = time
        present = {drawing.portrait.face_id for drawing in drawings}
        if present - self._last.keys():
            # A new face takes the place of the old one: two of the same person, one fading, would be a ghost.
            self._last = {face: entry for face, entry in self._last.items() if face in present}
        self._last.update({drawing.portrait.face_id: (time, drawing) for drawing in drawings})
        self._last = {face: entry for face, entry in self._last.items() if time - entry[0] < GONE_S}
        lost = [
            replace(drawing, opacity=drawing.opacity * _opacity(time - seen), held=True)
            for face, (seen, drawing) in self._last.items()
            if face not in present
        ]
        return [*drawings, *lost]


def _opacity(age: float) -> float:
    return min(1.0, max(0.0, (GONE_S - age) / (GONE_S - HOLD_S)))
