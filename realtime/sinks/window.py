"""A window on the desktop, with keys.

Everything happens in the thread that calls :meth:`send` and :meth:`poll`: window toolkits want one thread.
"""

from __future__ import annotations

import os
import socket
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.controls import Controls
from realtime.core import Frame, SinkError

Bytes = NDArray[np.uint8]

KEYS = (
    ("q", "quit"),
    ("space", "pause: paper is shown, never the camera"),
    ("m", "mirror"),
    ("l", "next layout"),
    ("p", "next paper"),
    ("k", "next ink"),
    ("c", "chalk on a board"),
    ("[ ]", "thinner, bolder lines"),
    ("drag", "the line between photo and drawing (layout split)"),
    ("s", "save a snapshot"),
    ("r", "record, and stop recording"),
    ("i", "figures"),
    ("?", "this help"),
)
_FIGURES = ("fps", "age_ms", "faces", "dropped", "engine", "device", "message")
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_WRAP = 48  # characters a line
_X_PORT = 6000


class Gui(Protocol):
    """The part of cv2's window functions that is used."""

    def namedWindow(self, name: str, flags: int, /) -> Any: ...  # noqa: N802
    def resizeWindow(self, name: str, width: int, height: int, /) -> Any: ...  # noqa: N802
    def imshow(self, name: str, image: Any, /) -> Any: ...
    def waitKeyEx(self, delay: int, /) -> int: ...  # noqa: N802
    def getWindowProperty(self, name: str, prop: int, /) -> float: ...  # noqa: N802
    def destroyWindow(self, name: str, /) -> Any: ...  # noqa: N802
    def setMouseCallback(self, name: str, callback: Callable[..., None], /) -> Any: ...  # noqa: N802


class WindowSink:
    """Shows frames and turns keys into changes of ``controls``. The close button ends the stream, as q does.

    Args:
        controls: what the keys act on; its status feeds the figures.
        title: of the window.
        gui: window functions, cv2's own by default.
    Raises:
        SinkError: there is no display, or this build of OpenCV has no windows.
    """

    def __init__(self, *, controls: Controls, title: str = "drawing", gui: Gui | None = None) -> None:
        self._probe: socket.socket | None = None
        if gui is None:
            problem, self._probe = _look()
            if problem:
                raise SinkError(problem)
        self._gui: Gui = gui if gui is not None else cast(Gui, cv2)
        self._controls, self._title = controls, title
        self._size: tuple[int, int] | None = None
        self._last: Bytes | None = None
        self._drawn_state: tuple[object, ...] = ()
        self._closed = False

    def send(self, frame: Frame) -> None:
        """Show the frame (in a copy, when something is written over it) and answer keys."""
        if self._closed:
            return
        height, width = frame.image.shape[:2]
        try:
            if self._size is None:
                flags = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
                self._gui.namedWindow(self._title, flags)
                self._gui.setMouseCallback(self._title, self._mouse)
            elif self._gone():  # showing would only open another one
                self._controls.quit.set()
                return
            if self._size != (width, height):  # a new layout: the user's own size stays until then
                self._gui.resizeWindow(self._title, width, height)
                self._size = (width, height)
            self._last = frame.image
            self._show()
            self._drop_probe()
        except cv2.error as error:
            raise SinkError(f"window: {_line(error)}; expected a desktop; use --sink FILE instead") from None
        self.poll()

    def poll(self) -> None:
        """Answer keys and the close button; called also while no frames come."""
        if self._closed or self._last is None:
            return
        self._key(self._gui.waitKeyEx(1))
        if self._gone():
            self._controls.quit.set()
        elif self._drawn_state != self._overlay_state():
            self._show()

    def close(self) -> None:
        self._drop_probe()
        if not self._closed and self._size is not None:
            with suppress(cv2.error):
                self._gui.destroyWindow(self._title)
                self._gui.waitKeyEx(1)  # lets the toolkit take it off the screen
        self._closed = True

    def _drop_probe(self) -> None:
        # Held until the window is there: an X server whose only visitor leaves resets itself, and turns away the next.
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def _gone(self) -> bool:
        """Whether the user has closed the window."""
        try:
            return self._gui.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error:
            return True  # how OpenCV with Qt says that there is no such window

    def _overlay_state(self) -> tuple[object, ...]:
        controls = self._controls
        return controls.help, controls.info, controls.recording

    def _show(self) -> None:
        assert self._last is not None
        self._drawn_state = self._overlay_state()
        picture = np.asarray(cv2.cvtColor(self._last, cv2.COLOR_RGB2BGR), dtype=np.uint8)
        overlay(picture, self._controls)
        self._gui.imshow(self._title, picture)

    def _mouse(self, _event: int, x: int, _y: int, flags: int, *_: object) -> None:
        """The line of ``split`` follows the mouse while its left button is down; x is in pixels of the picture."""
        if flags & cv2.EVENT_FLAG_LBUTTON and self._controls.layout == "split" and self._size is not None:
            self._controls.split = min(1.0, max(0.0, x / self._size[0]))

    def _key(self, code: int) -> None:
        controls = self._controls
        # Above 16 bits lie modifiers; arrows and the like have codes that no letter has.
        if code < 0 or code & 0xFFFF > 0x7F:
            return
        match chr(code & 0xFFFF).lower():
            case "q":
                controls.quit.set()
            case " ":
                controls.paused = not controls.paused
            case "m":
                controls.mirror = not controls.mirror
            case "l":
                controls.next_layout()
            case "p":
                controls.next_paper()
            case "k":
                controls.next_ink()
            case "c":
                controls.chalk = not controls.chalk
            case "[":
                controls.bolder(-1)
            case "]":
                controls.bolder(1)
            case "s":
                controls.request_snapshot()
            case "r":
                controls.toggle_record()
            case "i":
                controls.info = not controls.info
            case "?" | "h":
                controls.help = not controls.help


def overlay(picture: Bytes, controls: Controls) -> None:
    """Write help, figures and marks onto a BGR picture, in place."""
    lines: list[str] = []
    if controls.help:
        lines += [f"{key}:  {what}" for key, what in KEYS]
    elif controls.info:
        status = controls.status
        for name in _FIGURES:
            if name in status:
                lines += textwrap.wrap(f"{name}: {_shown(status[name])}", _WRAP)
        lines += [f"layout: {controls.layout}", "paused" if controls.paused else "? for help"]
    if lines:
        _write(picture, lines)
    if controls.recording:
        radius = max(5, picture.shape[0] // 70)
        cv2.circle(picture, (picture.shape[1] - 3 * radius, 3 * radius), radius, (40, 40, 220), -1, cv2.LINE_AA)


def _write(picture: Bytes, lines: list[str]) -> None:
    """Dark text on a light panel, readable on paper and on ink, no larger than the picture allows."""
    height, width = picture.shape[:2]
    widest = max(cv2.getTextSize(line, _FONT, 1.0, 1)[0][0] for line in lines)
    scale = min(max(0.4, height / 1100), 0.92 * width / max(1, widest), 0.9 * height / (38 * (len(lines) + 1)))
    step = max(1, round(38 * scale))
    right, bottom = min(width, round(widest * scale) + 2 * step), min(height, step * (len(lines) + 1))
    panel = picture[:bottom, :right]
    panel[:] = (panel.astype(np.uint16) * 2 // 10 + 204).astype(np.uint8)
    for number, line in enumerate(lines, start=1):
        cv2.putText(picture, line, (step // 2, number * step), _FONT, scale, (60, 40, 30), 1, cv2.LINE_AA)


def _shown(value: float | int | str) -> str:
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def display_problem() -> str | None:
    """Why no window can be shown here, as one line that tells what to do; None when one can.

    OpenCV ends the whole process when it cannot reach a display, so this looks before it does.
    """
    problem, probe = _look()
    if probe is not None:
        probe.close()
    return problem


def _look() -> tuple[str | None, socket.socket | None]:
    """The problem, or the connection by which the display answered (none on systems that need no looking)."""
    gui = next(
        (row.split(":", 1)[1].strip() for row in cv2.getBuildInformation().splitlines() if "GUI:" in row), "NONE"
    )
    if gui.upper().startswith("NONE"):
        why = "this build of OpenCV has no windows (headless)"
        return f"window: {why}; `pip install opencv-python`, or use --sink FILE", None
    if not sys.platform.startswith("linux"):
        return None, None
    display = os.environ.get("DISPLAY", "")
    if not display:
        wayland = os.environ.get("WAYLAND_DISPLAY")
        why = "WAYLAND_DISPLAY is set, but OpenCV needs Xwayland" if wayland else "DISPLAY is not set"
        return f"window: no display ({why}); run on a desktop, log in with `ssh -X`, or use --sink FILE", None
    probe = _connect(display)
    for _ in range(3):  # a server that is resetting itself is back in no time
        if probe is None:
            time.sleep(0.1)
            probe = _connect(display)
    if probe is None:
        return f"window: the display {display!r} does not answer; check DISPLAY, or use --sink FILE", None
    return None, probe


def _connect(display: str) -> socket.socket | None:
    """A connection to the X server there, if one listens."""
    host, _, rest = display.rpartition(":")
    number = rest.split(".")[0]
    if not number.isdecimal():
        return None
    if host and host != "unix" and not host.startswith("/"):
        with suppress(OSError):
            return socket.create_connection((host, _X_PORT + int(number)), timeout=2.0)
        return None
    path = f"/tmp/.X11-unix/X{number}"  # where X servers put it; XQuartz names its own path
    for address in (f"{host}:{rest}" if host.startswith("/") else path, "\0" + path):
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.settimeout(2.0)
            server.connect(address)
        except OSError:
            server.close()
        else:
            return server
    return None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
