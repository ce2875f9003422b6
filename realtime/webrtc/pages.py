"""The static page and what it is made of: files of this package, nothing from elsewhere."""

from __future__ import annotations

from importlib import resources
from types import MappingProxyType

from aiohttp import web

from realtime.webrtc.guard import Guard
from realtime.webrtc.lobby import Lobby
from realtime.webrtc.offers import RefusedError
from realtime.webrtc.signalling import ice_servers_for_page

TYPES = MappingProxyType(
    {
        "html": "text/html",
        "css": "text/css",
        "js": "text/javascript",
        "svg": "image/svg+xml",
        "webmanifest": "application/manifest+json",
    }
)


class Pages:
    """Reads the files once."""

    def __init__(self, *, lobby: Lobby, guard: Guard) -> None:
        self._lobby = lobby
        self._guard = guard
        folder = resources.files("realtime.webrtc") / "static"
        self._files = {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.is_file()}

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/", self.index)
        app.router.add_get("/watch/{stream}", self.watch)
        app.router.add_get("/static/{name}", self.static)
        app.router.add_get("/config", self.config)

    async def index(self, _request: web.Request) -> web.Response:
        return self._file("index.html")

    async def watch(self, _request: web.Request) -> web.Response:
        return self._file("watch.html")

    async def static(self, request: web.Request) -> web.Response:
        return self._file(request.match_info["name"])

    async def config(self, request: web.Request) -> web.Response:
        """What the page needs before it can offer. TURN credentials are for who may send."""
        servers = self._lobby.settings.ice_servers
        if "Authorization" in request.headers:
            await self._guard.check_token(request)  # a wrong one is not told at once
        allowed = self._guard.has_token(request)
        shown = servers if allowed else tuple(one for one in servers if one.username is None)
        return web.json_response({"iceServers": ice_servers_for_page(shown), "allowed": allowed})

    def _file(self, name: str) -> web.Response:
        if name not in self._files:
            raise RefusedError(404, "page: there is none of this name")
        kind = TYPES[name.rpartition(".")[2]]
        return web.Response(
            body=self._files[name], content_type=kind, charset="utf-8", headers={"Cache-Control": "no-cache"}
        )
