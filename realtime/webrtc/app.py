"""The doors, put together."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from aiohttp import web

from realtime.webrtc.guard import Guard
from realtime.webrtc.lobby import Lobby
from realtime.webrtc.outside import Outside
from realtime.webrtc.pages import Pages
from realtime.webrtc.signalling import Signalling

KEEP_ALIVE_S = 15.0


def make_app(*, lobby: Lobby) -> web.Application:
    """Everything that the server answers to."""
    guard = Guard(settings=lobby.settings)
    app = web.Application(middlewares=[guard.middleware()], client_max_size=lobby.settings.limits.body_bytes)
    for doors in (
        Signalling(lobby=lobby, guard=guard),
        Outside(lobby=lobby, guard=guard),
        Pages(lobby=lobby, guard=guard),
    ):
        doors.add_to(app)
    return app


def make_runner(app: web.Application) -> web.AppRunner:
    """No access log: its lines would hold session URLs."""
    return web.AppRunner(app, access_log=None, keepalive_timeout=KEEP_ALIVE_S, shutdown_timeout=2.0)


async def close_the_slow(runner: web.AppRunner, *, seconds: float) -> None:
    """Close connections that take longer than so many seconds to say what they want; aiohttp waits for ever."""
    waiting: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
    while True:
        await asyncio.sleep(min(1.0, seconds / 2))
        now = time.monotonic()
        for connection in list(runner.server.connections if runner.server is not None else ()):
            if getattr(connection, "_current_request", None) is not None:
                waiting.pop(connection, None)
            elif now - waiting.setdefault(connection, now) > max(seconds, KEEP_ALIVE_S * _served(connection)):
                with suppress(Exception):  # it may be closing by itself
                    connection.force_close()
                    if connection.transport is not None:
                        connection.transport.close()


def _served(connection: Any) -> bool:
    """Whether it has been answered before: then it may be idle as long as any."""
    return getattr(connection, "_keepalive_handle", None) is not None
