"""Takes frames and keeps none: for measuring."""

from __future__ import annotations

from realtime.core import Frame


class NullSink:
    """Counts what it is sent."""

    def __init__(self) -> None:
        self.frames = 0

    def send(self, frame: Frame) -> None:  # noqa: ARG002  (the contract's name)
        self.frames += 1

    def close(self) -> None:
        """Nothing to release."""
