"""Which of the faces found are drawn: not those in profile, and not those that have mostly left the frame.

A tracker goes on guessing where an eye would be behind the nose, and where a chin would be beyond the border; what is
drawn from such landmarks is no likeness. Such a face counts as lost, so it fades. Who is drawn may turn or go a little
further than who is not, so that nobody flickers at the limit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from realtime.core import Face, Frame

MESH_TO_FIVE = (468, 473, 4, 61, 291)
"""Irises, nose tip and mouth corners among MediaPipe's 478 points: they lie nearest to the authors' five."""
PROFILE = (1.1, 1.4)
"""The nose tip lies beside the middle of the eyes by so many eye distances, as the picture shows them: a face turned by
about 60 degrees is not begun, one by about 67 is let go."""
INSIDE = (0.6, 0.45)
"""Share of the landmarks that lie in the frame: with less a face is not begun, is let go."""


class Presence:
    """Decides for frames that come in order."""

    def __init__(self) -> None:
        self._drawn: set[int] = set()

    def keep(self, frame: Frame, faces: Sequence[Face]) -> list[Face]:
        """The faces that are to be drawn."""
        kept = [face for face in faces if self._fit(frame, face)]
        self._drawn = {face.id for face in kept}
        return kept

    def _fit(self, frame: Frame, face: Face) -> bool:
        known = face.id in self._drawn
        height, width = frame.image.shape[:2]
        inside = ((face.landmarks >= 0) & (face.landmarks <= (width - 1, height - 1))).all(1).mean()
        return bool(inside >= INSIDE[known] and turned(face) <= PROFILE[known])


def turned(face: Face) -> float:
    """How far the nose tip lies beside the middle of the eyes, in eye distances; about 0.6 times the yaw's tangent."""
    left, right, nose = face.landmarks[list(MESH_TO_FIVE[:3]) if len(face.landmarks) == 478 else [0, 1, 2]]
    across = (right - left).astype(np.float64)
    length = float(across @ across)
    return abs(float((nose - (left + right) / 2) @ across)) / length if length > 0 else float("inf")
