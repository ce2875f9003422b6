"""A tracker that is told where the faces are: for tests, demos and repeatable measurements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Self

from realtime.core import Face, Frame


class ScriptedTracker:
    """Gives the faces of a script, by frame index."""

    def __init__(self, *, faces: Sequence[Sequence[Face]] | Callable[[int], Sequence[Face]]) -> None:
        """
        Args:
            faces: the faces of frame 0, 1, ... (none after its end), or a function of the frame index.
        """
        self._faces = faces

    def track(self, frame: Frame) -> Sequence[Face]:
        if callable(self._faces):
            return self._faces(frame.index)
        return self._faces[frame.index] if frame.index < len(self._faces) else ()

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
