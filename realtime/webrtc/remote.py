"""The page's remote control: settings come in over its data channel, figures go out.

Messages are JSON. In: ``{"set": {"layout": "frame", "smooth": 0.7}}``. Out: ``{"settings": {...}}`` after each change
and at first, ``{"error": "..."}`` for what cannot be used, ``{"figures": {...}}`` every second.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from aiortc import RTCDataChannel

from realtime.controls import LAYOUTS, PHOTO_LAYOUTS
from realtime.core import ConfigError
from realtime.look import INKS, PAPERS
from realtime.webrtc.pipeline import Pipeline
from realtime.webrtc.session import Session
from realtime.webrtc.show import Show

log = logging.getLogger(__name__)
FIGURES_S = 1.0
MOST_A_SECOND = 40
OFFERED_LAYOUTS = tuple(layout for layout in LAYOUTS if layout not in PHOTO_LAYOUTS)
"""The page lays the photo beside the drawing by itself: no photo is sent back, and no watcher could see one."""


class Remote:
    """Serves one page for as long as its channel is open. Belongs to the event loop."""

    def __init__(self, *, session: Session, message_bytes: int) -> None:
        assert isinstance(session.show, Show), "a page's session has a drawing of its own"
        self._session = session
        self._show = session.show
        self._pipeline = self._show.pipeline
        self._message_bytes = message_bytes
        self._channel: RTCDataChannel | None = None
        self._task: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[str] = asyncio.Queue(maxsize=MOST_A_SECOND)

    def serve(self, channel: RTCDataChannel) -> None:
        """The first channel of a session is the remote control; others are closed."""
        if self._channel is not None:
            channel.close()
            return
        self._channel = channel
        channel.on("message", self._on_message)
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def settings(self) -> dict[str, Any]:
        controls = self._pipeline.controls
        look = controls.look
        return {
            "style": self._pipeline.pen.style,
            "layout": controls.layout,
            "smooth": controls.smooth,
            "ink": "#{:02x}{:02x}{:02x}".format(*look.ink),
            "paper": look.paper,
            "weight": look.weight,
            "chalk": look.chalk,
            "mirror": controls.mirror,
            "paused": controls.paused,
        }

    def _on_message(self, message: str | bytes) -> None:
        if not isinstance(message, str) or len(message) > self._message_bytes or self._messages.full():
            self._send({"error": f"message: expected text of at most {self._message_bytes} bytes, not too many"})
            return
        self._messages.put_nowait(message)

    async def _run(self) -> None:
        self._send({"settings": self.settings(), "choices": choices(self._pipeline)})
        told = asyncio.get_running_loop().time()
        while True:
            try:
                async with asyncio.timeout_at(told + FIGURES_S):
                    await self._take(await self._messages.get())
            except TimeoutError:
                told += FIGURES_S
                self._send({"figures": self._show.figures()["now"] | self._more_figures()})

    def _more_figures(self) -> dict[str, Any]:
        show = self._show
        return {
            "watchers": show.broadcast.watchers,
            "latency_ms": round(show.broadcast.latency * 1000),
            "quality": show.quality(),
        }

    async def _take(self, message: str) -> None:
        try:
            wanted = json.loads(message)["set"]
            for name, value in dict(wanted).items():
                await self._set(str(name), value)
        except ConfigError as error:
            self._send({"error": str(error)})
        except (ValueError, TypeError, KeyError, RecursionError):
            self._send({"error": 'message: expected {"set": {name: value}}'})
        self._send({"settings": self.settings()})

    async def _set(self, name: str, value: Any) -> None:
        if name == "style":
            await asyncio.to_thread(self._pipeline.pen.choose, str(value))
        elif name == "hidden":
            self._session.rest(bool(value))
        elif name in SETTERS:
            SETTERS[name](self._pipeline.controls, value)
        else:
            raise ConfigError(f"setting: expected one of style, hidden, {', '.join(SETTERS)}; got {name!r}")

    def _send(self, message: Mapping[str, Any]) -> None:
        # A peer that reads nothing must not fill our memory.
        if self._channel is not None and self._channel.readyState == "open" and self._channel.bufferedAmount < 1 << 16:
            self._channel.send(json.dumps(message))


def choices(pipeline: Pipeline) -> dict[str, Any]:
    """What a page can offer its user."""
    return {
        "styles": [{"name": style.name, "text": style.text} for style in pipeline.styles.styles],
        "layouts": OFFERED_LAYOUTS,
        "papers": PAPERS,
        "inks": {name: "#{:02x}{:02x}{:02x}".format(*rgb) for name, rgb in INKS.items()},
        "engine": pipeline.pen.name,
    }


def _one_of(allowed: tuple[str, ...], name: str, value: Any) -> str:
    if value not in allowed:  # a paper by path would read this machine's files
        raise ConfigError(f"{name}: expected one of {', '.join(allowed)}; got {value!r}")
    return str(value)


def _setter(attribute: str, read: Callable[[Any], Any]) -> Callable[[Any, Any], None]:
    def put(controls: Any, value: Any) -> None:
        setattr(controls, attribute, read(value))

    return put


SETTERS: Mapping[str, Callable[[Any, Any], None]] = {
    "layout": _setter("layout", lambda value: _one_of(OFFERED_LAYOUTS, "layout", value)),
    "paper": _setter("paper", lambda value: _one_of(PAPERS, "paper", value)),
    "ink": _setter("ink", str),
    "smooth": _setter("smooth", float),
    "weight": _setter("weight", float),
    "chalk": _setter("chalk", bool),
    "mirror": _setter("mirror", bool),
    "paused": _setter("paused", bool),
}
"""Names that a page may set."""
