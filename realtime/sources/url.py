"""A network stream: RTSP, HTTP MJPEG, or a clip behind HTTP. A stream that is lost is opened again."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import numpy as np

from realtime.core import PAPER, Frame, PartialSourceError, SourceError, SourceInfo
from realtime.media import MEDIA_ERRORS, Decoder, reason
from realtime.pacer import Pacer
from realtime.reopening import Attempt, Reopening

_PROTOCOLS = ("http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt")


class UrlSource:
    """Frames of a URL, as they arrive.

    What has an end (a clip behind HTTP) is played at its own speed, has pts, and ends. What has none (a camera) has no
    pts; when it is lost it is reopened with exponential back-off, and blank frames are given until it is back.

    Args:
        url: ``rtsp://``, ``http://`` and other streams that FFmpeg reads.
        timeout_s: the first connection fails after this many seconds; a stream that is silent for so long is lost.
        retry_s: pause before the second attempt at reopening; doubled up to 8 s.
    Raises:
        SourceError: the address is none, or nothing can be read from it in time.
        PartialSourceError: (while iterating) a clip broke off.
    """

    def __init__(self, *, url: str, timeout_s: float = 8.0, retry_s: float = 0.5) -> None:
        if not (math.isfinite(timeout_s) and timeout_s > 0):
            raise SourceError(f"url: expected a time-out above 0 seconds, got {timeout_s}; try 8")
        self._url, self._timeout_s, self._retry_s = url, timeout_s, retry_s
        self._shown = re.sub(r"//[^/@]*@", "//***@", url)  # a password must not end up in a log
        parts = _split(url)
        if parts is None or parts[0] not in _PROTOCOLS or not parts[1]:
            raise SourceError(
                f"expected a URL such as rtsp://HOST/PATH or http://HOST/stream.mjpg, got {self._shown!r}; check it"
            )
        self._scheme = parts[0]
        self._stopped = threading.Event()
        self._pacer = Pacer()
        self._decoder = self._first_connection()
        opened = self._decoder
        self._finite = opened.duration_s is not None
        self._info = SourceInfo(
            name=self._shown,
            live=True,
            width=opened.width,
            height=opened.height,
            fps=opened.fps if 1 <= opened.fps <= 240 else 30.0,
            frames=opened.frames if self._finite else None,
            time_base=opened.time_base if self._finite else None,
        )

    @property
    def info(self) -> SourceInfo:
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        paper = np.full((self._info.height, self._info.width, 3), PAPER, dtype=np.uint8)
        try:
            while not self._stopped.is_set():
                for frame in self._connected(index):
                    yield frame
                    index = frame.index + 1
                if self._finite or self._stopped.is_set():
                    return
                self._decoder.close()
                reopening = Reopening(self._open, stopped=self._stopped, first_s=self._retry_s)
                for _ in reopening:
                    yield Frame(image=paper, index=index, captured=time.monotonic(), blank=True)
                    index += 1
                if reopening.result is not None:
                    self._decoder = reopening.result
        finally:
            self._decoder.close()

    def close(self) -> None:
        """End the iteration, also from another thread."""
        self._stopped.set()
        self._pacer.stop()
        self._decoder.close()

    def _connected(self, index: int) -> Iterator[Frame]:
        """Frames until the stream ends or is lost."""
        for image, pts in self._decoder:
            if self._finite and pts is not None and not self._pacer.wait(float(pts)):
                return
            yield Frame(image=image, index=index, captured=time.monotonic(), pts=pts if self._finite else None)
            index += 1
        if self._finite and self._decoder.broken and not self._stopped.is_set():
            raise PartialSourceError(
                f"{self._shown} broke off after {index} frames; expected the whole clip; what came has been used; "
                "try again or download it first"
            )

    def _first_connection(self) -> Decoder:
        """Bounded in time even where a system call (a name that does not resolve) is not."""
        attempt = Attempt(self._open)
        if not attempt.wait(self._timeout_s + 1.0):
            attempt.abandon()
            raise SourceError(self._unreachable(f"no answer within {self._timeout_s:g} s"))
        return attempt.result()

    def _open(self) -> Decoder:
        # Little probing: a camera's pictures are wanted now, and its format is told by the first few.
        options = {"analyzeduration": "1000000"}
        if self._scheme.startswith("rtsp"):
            options["rtsp_transport"] = "tcp"  # lost UDP packets would show as torn pictures
        begun = time.monotonic()
        try:
            return Decoder(self._url, options=options, timeout_s=self._timeout_s, low_delay=True)
        except MEDIA_ERRORS as error:
            late = time.monotonic() - begun >= self._timeout_s
            why = f"no answer within {self._timeout_s:g} s" if late else reason(error)
            raise SourceError(self._unreachable(why)) from None

    def _unreachable(self, why: str) -> str:
        return f"cannot read {self._shown}: {why}; expected a video stream; check the address and that its device is on"


def _split(url: str) -> tuple[str, str] | None:
    """Scheme and host, or None when it is no URL."""
    try:
        parts = urlsplit(url.strip())
        return parts.scheme.lower(), parts.netloc
    except ValueError:
        return None
