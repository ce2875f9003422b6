"""The doors, put together."""

from __future__ import annotations

from aiohttp import web

from realtime.webrtc.guard import Guard
from realtime.webrtc.lobby import Lobby
from realtime.webrtc.outside import Outside
from realtime.webrtc.pages import Pages
from realtime.webrtc.signalling import Signalling

IDLE_S = 10.0
"""A connection that says nothing whole for so long is closed: also one whose head dribbles."""


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


def make_intake_app(*, lobby: Lobby) -> web.Application:
    """The doors of one who takes pictures and shows nothing: WHIP alone."""
    guard = Guard(settings=lobby.settings)
    app = web.Application(middlewares=[guard.middleware()], client_max_size=lobby.settings.limits.body_bytes)
    Signalling(lobby=lobby, guard=guard).add_publishing_to(app)
    return app


def make_runner(app: web.Application, *, idle_s: float = IDLE_S) -> web.AppRunner:
    """No access log: its lines would hold session URLs."""
    return web.AppRunner(app, access_log=None, keepalive_timeout=idle_s, shutdown_timeout=2.0)
