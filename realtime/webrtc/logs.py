"""What happens in the server, as lines for its user: one event a line, ``key=value``, never a key or a URL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp.http import HttpProcessingError

OURS = "realtime.webrtc"
OTHERS = ("aiohttp", "aiortc", "aioice", "asyncio")


class _Lines(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say
        self.setFormatter(logging.Formatter("%(asctime)s level=%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
            return  # a stranger's bad request was answered; it writes no lines here
        record.exc_info = record.exc_text = None  # one line; a fault of ours ends in the program's own report
        self._say(" ".join(self.format(record).split()))


@contextmanager
def told(say: Callable[[str], None]) -> Iterator[None]:
    """While this lasts, our events and the warnings of the libraries go to ``say``."""
    handler = _Lines(say)
    levels = {OURS: logging.INFO, **dict.fromkeys(OTHERS, logging.WARNING)}
    before = {name: (logging.getLogger(name).level, logging.getLogger(name).propagate) for name in levels}
    for name, level in levels.items():
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
    try:
        yield
    finally:
        for name, (level, propagate) in before.items():
            logger = logging.getLogger(name)
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate


def on_loop_fault(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """aiortc leaves tasks behind whose connection was closed under them; that is no news."""
    error = context.get("exception")
    kind = type(error).__name__ if error is not None else "none"
    expected = kind in ("InvalidStateError", "ConnectionError", "MediaStreamError", "CancelledError")
    logging.getLogger(OURS).log(
        logging.DEBUG if expected else logging.WARNING, "event=loop-fault error=%s %s", kind, context.get("message")
    )
