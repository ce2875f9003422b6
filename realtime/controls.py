"""What a user may change while the stream runs. Safe to read and set from any thread."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Literal, get_args

from realtime.core import ConfigError
from realtime.look import INKS, PAPERS, RGB, Look, checked_split, checked_weight, parse_ink
from realtime.paper import checked_paper

Layout = Literal["portrait", "inplace", "frame", "square", "side-by-side", "split"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
PHOTO_LAYOUTS: tuple[Layout, ...] = ("side-by-side", "split")
"""Those that show the photo beside the drawing. A key leads into them only after one has been asked for by name."""
WEIGHT_STEP = 0.25


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
        look: Look | None = None,
        split: float = 0.5,
    ) -> None:
        """
        Args:
            layout: one of :data:`LAYOUTS`.
            smooth: strength of the temporal filter, 0 (off) to 1.
            mirror: flip the composed picture left to right.
            paused: show paper instead of the drawing.
            info: show figures over the window's picture.
            look: paper, ink and weight of the lines.
            split: share of the width, 0 to 1, that shows the photo in the layout ``split``.
        Raises:
            ConfigError: a value that cannot be used.
        """
        self._lock = threading.Lock()
        self._layout = _checked_layout(layout)
        self._photo_asked_for = self._layout in PHOTO_LAYOUTS
        self._look = _checked_look(look or Look())
        self._papers = tuple(dict.fromkeys((*PAPERS, self._look.paper)))
        self._split = checked_split(split)
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
            self._photo_asked_for = self._photo_asked_for or checked in PHOTO_LAYOUTS

    def next_layout(self) -> Layout:
        """Go to the next layout and tell which it is; those with the photo come only after one was set by name."""
        with self._lock:
            known = LAYOUTS if self._photo_asked_for else tuple(one for one in LAYOUTS if one not in PHOTO_LAYOUTS)
            self._layout = known[(known.index(self._layout) + 1) % len(known)]
            return self._layout

    @property
    def look(self) -> Look:
        """All of the look at once; set it whole, or a part by the properties below."""
        with self._lock:
            return self._look

    @look.setter
    def look(self, value: Look) -> None:
        checked = _checked_look(value)
        with self._lock:
            self._look = checked
            self._papers = tuple(dict.fromkeys((*self._papers, checked.paper)))

    @property
    def paper(self) -> str:
        return self.look.paper

    @paper.setter
    def paper(self, value: str) -> None:
        self.look = replace(self.look, paper=value)

    @property
    def ink(self) -> RGB:
        return self.look.ink

    @ink.setter
    def ink(self, value: str | RGB) -> None:
        self.look = replace(self.look, ink=parse_ink(value))

    @property
    def weight(self) -> float:
        return self.look.weight

    @weight.setter
    def weight(self, value: float) -> None:
        self.look = replace(self.look, weight=value)

    @property
    def chalk(self) -> bool:
        return self.look.chalk

    @chalk.setter
    def chalk(self, value: bool) -> None:
        self.look = replace(self.look, chalk=value)

    @property
    def transparent(self) -> bool:
        return self.look.transparent

    @transparent.setter
    def transparent(self, value: bool) -> None:
        self.look = replace(self.look, transparent=value)

    @property
    def split(self) -> float:
        with self._lock:
            return self._split

    @split.setter
    def split(self, value: float) -> None:
        checked = checked_split(value)
        with self._lock:
            self._split = checked

    def next_paper(self) -> str:
        """Go to the next paper (plain, grain, and pictures that were set) and tell which it is."""
        with self._lock:
            index = self._papers.index(self._look.paper)
            self._look = replace(self._look, paper=self._papers[(index + 1) % len(self._papers)])
            return self._look.paper

    def next_ink(self) -> RGB:
        """Go to the next ink that has a name."""
        inks = list(INKS.values())
        with self._lock:
            ink = self._look.ink
            self._look = replace(self._look, ink=inks[(inks.index(ink) + 1) % len(inks)] if ink in inks else inks[0])
            return self._look.ink

    def bolder(self, steps: int) -> float:
        """Make lines bolder by so many steps (thinner by negative ones), within the limits."""
        with self._lock:
            weight = min(1.0, max(-1.0, self._look.weight + steps * WEIGHT_STEP))
            self._look = replace(self._look, weight=weight)
            return weight

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


def _checked_look(look: Look) -> Look:
    """Raises ConfigError; a picture for paper is read here, so that it is refused before anything is drawn on it."""
    return replace(look, paper=checked_paper(look.paper), ink=parse_ink(look.ink), weight=checked_weight(look.weight))
