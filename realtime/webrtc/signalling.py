"""The wire: WHIP (RFC 9725) to send, WHEP (draft-ietf-wish-whep) to watch, and the page's own offer.

Section numbers are RFC 9725's. A session's URL is its own key: 192 random bits that only its peer was told.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from aiohttp import web

from realtime.webrtc.guard import Guard, address_of, read_text
from realtime.webrtc.lobby import Lobby
from realtime.webrtc.offers import RefusedError, read_fragment, read_offer
from realtime.webrtc.remote import Remote
from realtime.webrtc.session import Kind, Session
from realtime.webrtc.settings import IceServer

log = logging.getLogger(__name__)
SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Signalling:
    """Handlers of everything that opens, changes and ends sessions."""

    def __init__(self, *, lobby: Lobby, guard: Guard) -> None:
        self._lobby = lobby
        self._guard = guard
        self._limits = lobby.settings.limits

    def add_to(self, app: web.Application) -> None:
        self.add_publishing_to(app)
        app.router.add_post("/whep/{stream}", self.watch)
        app.router.add_options("/whep/{stream}", self.options)
        app.router.add_post("/offer", self.offer)

    def add_publishing_to(self, app: web.Application) -> None:
        """WHIP alone."""
        router = app.router
        for path in ("/whip", "/whip/{stream}"):
            router.add_post(path, self.publish)
            router.add_options(path, self.options)
        router.add_patch("/session/{id}", self.patch)
        router.add_delete("/session/{id}", self.delete)
        router.add_options("/session/{id}", self.session_options)

    async def publish(self, request: web.Request) -> web.Response:
        """``POST /whip``: section 4.2."""
        await self._guard.check_token(request)
        return await self._created(request, "publish", _name(request.match_info.get("stream")))

    async def watch(self, request: web.Request) -> web.Response:
        """``POST /whep/{stream}``. A name that cannot be guessed needs no token: knowing it is being invited."""
        name = _name(request.match_info["stream"])
        show = self._lobby.shows.get(name or "")
        if show is None or not show.secret:
            await self._guard.check_token(request)
        return await self._created(request, "watch", name)

    async def offer(self, request: web.Request) -> web.Response:
        """``POST /offer``: the page's, JSON both ways."""
        await self._guard.check_token(request)
        text = await read_text(request, limits=self._limits, kind="application/json")
        try:
            sdp = str(dict(json.loads(text))["sdp"])
        except (ValueError, TypeError, KeyError, RecursionError):
            raise RefusedError(400, 'offer: expected {"sdp": "..."}') from None
        session, answer = await self._open(request, "page", None, sdp)
        told = {
            "type": "answer",
            "sdp": answer,
            "session": f"/session/{session.id}",
            "stream": session.show.name,
            "watch": f"/watch/{session.show.name}",
        }
        return web.json_response(told, status=201, headers={"Location": f"/session/{session.id}"})

    async def patch(self, request: web.Request) -> web.Response:
        """Trickle ICE: section 4.3.1 and 4.3.2."""
        session = self._session(request)
        text = await read_text(request, limits=self._limits, kind=FRAGMENT)
        match = request.headers.get("If-Match")
        if match is None:
            raise RefusedError(428, "if-match: expected the session's entity tag")
        if match.strip() != "*" and session.etag not in [tag.strip() for tag in match.split(",")]:
            raise RefusedError(412, "if-match: expected the session's entity tag, got another")
        await session.trickle(read_fragment(text))
        return web.Response(status=204)

    async def delete(self, request: web.Request) -> web.Response:
        """Section 4.2: the session ends. Asked again, the answer is the same."""
        if self._lobby.find(request.match_info["id"]) is not None or not self._lobby.was_here(request.match_info["id"]):
            await self._session(request).end("its peer ended it")
        return web.Response(status=200)

    async def options(self, request: web.Request) -> web.Response:
        """Section 4.2. Nothing is allowed across origins; who only asks for that is told no servers (section 4.6)."""
        response = web.Response(status=200, headers={"Accept-Post": SDP, "Allow": "POST, OPTIONS"})
        if "Access-Control-Request-Method" not in request.headers:
            self._add_ice_servers(response, with_secrets=False)
        return response

    async def session_options(self, _request: web.Request) -> web.Response:
        return web.Response(status=200, headers={"Accept-Patch": FRAGMENT, "Allow": "PATCH, DELETE, OPTIONS"})

    async def _created(self, request: web.Request, kind: Kind, name: str | None) -> web.Response:
        text = await read_text(request, limits=self._limits, kind=SDP)
        session, answer = await self._open(request, kind, name, text)
        response = web.Response(status=201, text=answer, content_type=SDP)
        response.headers["Location"] = f"/session/{session.id}"
        response.headers["ETag"] = session.etag
        response.headers["Accept-Patch"] = FRAGMENT
        if kind == "publish" and self._lobby.parts is not None:
            response.headers.add("Link", f'</watch/{session.show.name}>; rel="alternate"; type="text/html"')
        self._add_ice_servers(response, with_secrets=True)
        return response

    async def _open(self, request: web.Request, kind: Kind, name: str | None, sdp: str) -> tuple[Session, str]:
        offer = read_offer(sdp, most_candidates=self._limits.candidates, publishes=kind != "watch")
        session, answer = await self._lobby.open(kind=kind, name=name, offer=offer, address=address_of(request))
        if kind == "page":
            remote = Remote(session=session, message_bytes=self._limits.message_bytes)
            session.on_channel = remote.serve
            session.on_close = remote.close
        return session, answer

    def _session(self, request: web.Request) -> Session:
        session = self._lobby.find(request.match_info["id"])
        if session is None:
            raise RefusedError(404, "session: there is none of this URL now")
        return session

    def _add_ice_servers(self, response: web.Response, *, with_secrets: bool) -> None:
        """Section 4.6; credentials only for who has been let in."""
        for server in self._lobby.settings.ice_servers:
            if with_secrets or server.username is None:
                response.headers.add("Link", _ice_link(server))


def ice_servers_for_page(servers: tuple[IceServer, ...]) -> list[dict[str, Any]]:
    """As RTCPeerConnection takes them."""
    return [
        {"urls": one.url} | ({"username": one.username, "credential": one.credential} if one.username else {})
        for one in servers
    ]


def _ice_link(server: IceServer) -> str:
    link = f'<{server.url}>; rel="ice-server"'
    if server.username is not None:
        link += f'; username="{server.username}"; credential="{server.credential}"; credential-type="password"'
    return link


def _name(text: str | None) -> str | None:
    if text is not None and not _NAME.fullmatch(text):
        raise RefusedError(400, "stream: expected a name of up to 64 letters, digits, - and _")
    return text
