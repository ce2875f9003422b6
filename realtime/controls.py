"""What a user may change while the stream runs. Safe to read and set from any thread."""

from __future__ import annotations

import threading
from typing import Literal, get_args

from realtime.core import ConfigError

Layout = Literal["portrait", "inplace", "square"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)


class Controls:
    """Live settings. Single values are set and read whole; a lock keeps what is checked or changed in two steps.

    Keys and windows set them, the stylizer reads them once a frame, so a change shows on the next frame composed.
    """

    def __init__(
        self,
        *,
        layout: Layout = "portrait",
        smooth: float = 0.5,
        mirror: bool = False,
        paused: bool = False,
        info: bool = False,
    ) -> None:
        """
        Args:
            layout: one of :data:`LAYOUTS`.
            smooth: strength of the temporal filter, 0 (off) to 1.
            mirror: flip the composed picture left to right.
            paused: show paper instead of the drawing.
            info: show figures over the window's picture.
        Raises:
            ConfigError: a layout or a strength that does not exist.
        """
        self._lock = threading.Lock()
        self._layout = _checked_layout(layout)
        self._smooth = _checked_smooth(smooth)
        self.mirror = mirror
        self.paused = paused
        self.info = info
        self.help = False
        """Show the keys over the window's picture."""
        self._recording = False
        self._snapshot = False
        self._status: dict[str, float | int | str] = {}
        self.quit = threading.Event()
        """Set it to end the stream."""

    @property
    def layout(self) -> Layout:
        with self._lock:
            return self._layout

    @layout.setter
    def layout(self, value: str) -> None:
        checked = _checked_layout(value)
        with self._lock:
            self._layout = checked

    def next_layout(self) -> Layout:
        """Go to the next layout and tell which it is."""
        with self._lock:
            self._layout = LAYOUTS[(LAYOUTS.index(self._layout) + 1) % len(LAYOUTS)]
            return self._layout

    @property
    def smooth(self) -> float:
        with self._lock:
            return self._smooth

    @smooth.setter
    def smooth(self, value: float) -> None:
        checked = _checked_smooth(value)
        with self._lock:
            self._smooth = checked

    @property
    def recording(self) -> bool:
        with self._lock:
            return self._recording

    def toggle_record(self) -> bool:
        """Start or stop recording; returns whether it is on now."""
        with self._lock:
            self._recording = not self._recording
            return self._recording

    def stop_recording(self) -> None:
        """Recording is off from now on (also when it could not be started)."""
        with self._lock:
            self._recording = False

    def request_snapshot(self) -> None:
        """Ask for the next composed frame to be saved."""
        with self._lock:
            self._snapshot = True

    def take_snapshot(self) -> bool:
        """True once for each request that is open."""
        with self._lock:
            wanted, self._snapshot = self._snapshot, False
            return wanted

    @property
    def status(self) -> dict[str, float | int | str]:
        """A copy of what the stream last told of itself: fps, age_ms, faces, dropped, engine, device, message."""
        with self._lock:
            return dict(self._status)

    def report(self, **values: float | int | str) -> None:
        """The stream's way to fill :attr:`status`; other keys stay as they are."""
        with self._lock:
            self._status.update(values)


def _checked_layout(value: str) -> Layout:
    for layout in LAYOUTS:
        if value == layout:
            return layout
    raise ConfigError(f"layout: expected one of {', '.join(LAYOUTS)}, got {value!r}")


def _checked_smooth(value: float) -> float:
    number = float(value)
    if not 0.0 <= number <= 1.0:
        raise ConfigError(f"smooth: expected a strength from 0 (off) to 1, got {value}")
    return number
