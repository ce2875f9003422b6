"""A source that is published to: a WHIP endpoint (RFC 9725) whose newest picture is drawn by the ordinary live program.

::

    publisher --WHIP--> Server (an event loop in a thread of its own) --newest--> Inlet --> WhipSource --> Stream

Nothing is shown to anybody by it: it has no page, nobody can watch, sound is passed over. One publisher at a time; when
that is silent or gone paper is drawn, and the next one, or the same again, is let in.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
from aiohttp import web
from av import VideoFrame
from numpy.typing import NDArray

from realtime.core import PAPER, Frame, SourceError, SourceInfo
from realtime.letterbox import letterbox
from realtime.slot import SlotClosed
from realtime.webrtc.app import make_intake_app
from realtime.webrtc.inlet import FPS, QUIET_S, Inlet, Size, alike, drawn_size, to_rgb
from realtime.webrtc.lobby import Lobby
from realtime.webrtc.server import Server
from realtime.webrtc.settings import Settings
from realtime.webrtc.show import Intake

PAPER_SIZE = (1280, 720)
"""Width and height, px, of the paper before anybody has published."""
START_S = 10.0
STOP_S = 8.0


class WhipSource:
    """Frames of whoever publishes, newest first: nothing is buffered.

    All frames after the first picture have its size; a picture of another shape (a phone that is turned, another
    publisher) is laid on paper of that size. While none comes, blank frames are given, two a second.
    """

    def __init__(self, *, settings: Settings, say: Callable[[str], None]) -> None:
        """
        Args:
            settings: address, token and limits, but for the number of cameras, which is one; any address but loopback
                must have a token.
            say: told once where to publish, and with which token.
        Raises:
            SourceError: the address cannot be had.
        """
        self._inlet = Inlet()
        self._say = say
        self._ready = threading.Event()
        self._error: Exception | None = None
        settings = replace(settings, limits=replace(settings.limits, peers=1))
        self._endpoint = _Endpoint(settings=settings, inlet=self._inlet, say=self._hear)
        self._thread = threading.Thread(target=self._serve, name="whip", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_S) or self._error is not None:
            self.close()
            raise SourceError(str(self._error or "source whip: it did not start; expected it to; try again"))

    @property
    def info(self) -> SourceInfo:
        width, height = PAPER_SIZE
        return SourceInfo(name="whip", live=True, width=width, height=height, fps=FPS)

    @property
    def port(self) -> int:
        """The one that is listened on."""
        return self._endpoint.port

    def __iter__(self) -> Iterator[Frame]:
        size: Size | None = None
        while True:
            try:
                arrival = self._inlet.take(QUIET_S)
            except TimeoutError:
                width, height = size or PAPER_SIZE
                paper = np.full((height, width, 3), PAPER, np.uint8)
                yield Frame(image=paper, index=self._inlet.next_index(), captured=time.monotonic(), blank=True)
                continue
            except SlotClosed:
                if self._error is not None:
                    raise SourceError(f"source whip: it ended: {self._error}; expected it to stay") from None
                return
            size = size or drawn_size(arrival.picture.width, arrival.picture.height)
            image = fitted(arrival.picture, size)
            yield Frame(image=image, index=self._inlet.next_index(), captured=arrival.captured)

    def close(self) -> None:
        """Tell the publisher, end the iteration, free the address; also from another thread. May be called twice."""
        self._inlet.close()
        self._endpoint.stop()
        if self._thread is not threading.current_thread():
            self._thread.join(STOP_S)

    def _serve(self) -> None:
        try:
            self._endpoint.run()
        except Exception as error:  # a thread's edge: the constructor or the iteration raises it again
            self._error = error
        finally:
            self._inlet.close()
            self._ready.set()

    def _hear(self, line: str) -> None:
        """Events of the server would break the one line that a live run has."""
        if line == self._endpoint.greeting():
            self._say(line)
            self._ready.set()


def fitted(picture: VideoFrame, size: Size) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB of that size, (width, height): a picture of another shape lies on paper."""
    own = drawn_size(picture.width, picture.height)
    return to_rgb(picture, size) if alike(own, size) else letterbox(to_rgb(picture, own), *size)


class _Endpoint(Server):
    """Takes pictures in and shows nothing."""

    option = "--source whip"

    def __init__(self, *, settings: Settings, inlet: Inlet, say: Callable[[str], None]) -> None:
        super().__init__(settings=settings, parts=None, say=say, opened=ExitStack())
        self._inlet = inlet

    def _doors(self) -> tuple[Lobby, web.Application]:
        lobby = Lobby(settings=self.settings, make_intake=lambda name: Intake(name=name, inlet=self._inlet))
        return lobby, make_intake_app(lobby=lobby)

    def greeting(self) -> str:
        """Where to publish; the token is written nowhere else."""
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        token = f", bearer token {self.settings.token}" if self.settings.token else ""
        return f"source: publish by WHIP to {self.settings.scheme}://{host}:{self.port}/whip{token}"
