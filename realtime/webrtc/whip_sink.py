"""A sink that publishes by WHIP (RFC 9725), as a client: to mediamtx, LiveKit, Cloudflare, or this program elsewhere.

Frames come from the stream's thread; the connection lives on an event loop in a thread of its own.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar
from urllib.parse import urljoin

import aiohttp
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription

from realtime.core import Frame, SinkError
from realtime.webrtc import mending
from realtime.webrtc.broadcast import Broadcast
from realtime.webrtc.offers import answered_codec
from realtime.webrtc.tracks import DrawingTrack

CONNECT_S = 15.0
CLOSE_S = 5.0
T = TypeVar("T")


class WhipSink:
    """Publishes until it is closed."""

    def __init__(self, *, url: str, token: str | None) -> None:
        """
        Args:
            url: of the WHIP endpoint.
            token: sent as a bearer token; None sends none.
        Raises:
            SinkError: nobody there, refused, or no connection in time.
        """
        self._url = url
        self._token = token
        self._session: str | None = None
        self._lost = False
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="whip", daemon=True)
        self._thread.start()
        try:
            self._wait(self._open(), CONNECT_S + 5)
        except BaseException:
            self.close()
            raise

    def send(self, frame: Frame) -> None:
        """Raises SinkError when the connection has been lost."""
        if self._lost:
            raise SinkError(f"sink {self._shown}: the connection was lost; expected it to stay; start again")
        self._broadcast.send(frame)

    def close(self) -> None:
        """Tell the other side. May be called twice."""
        if self._closed:
            return
        self._closed = True
        with suppress(Exception):  # whatever it says, this is the end
            self._wait(self._shut(), CLOSE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_S)

    @property
    def _shown(self) -> str:
        """Without what may be a key in it."""
        return repr("whip:" + self._url.partition("?")[0])

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _wait(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result(seconds)

    async def _open(self) -> None:
        self._broadcast = Broadcast(loop=self._loop)
        self._track = DrawingTrack(broadcast=self._broadcast)
        self._http = aiohttp.ClientSession(headers={"Authorization": f"Bearer {self._token}"} if self._token else {})
        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=await self._ice_servers()))
        mending.accept_rsa(self._connection)
        transceiver = self._connection.addTransceiver(self._track, direction="sendonly")
        mending.on_feedback(transceiver.sender, key_frame=self._track.want_key_frame, bit_rate=self._track.set_bit_rate)
        connected = asyncio.Event()

        @self._connection.on("connectionstatechange")
        def note() -> None:
            state = self._connection.connectionState
            self._lost = state in ("failed", "closed")
            if state == "connected" or self._lost:
                connected.set()

        await self._connection.setLocalDescription(await self._connection.createOffer())
        # Section 4.4.1: RTCP comes on the port of RTP and nowhere else.
        offer = self._connection.localDescription.sdp.replace("a=rtcp-mux\r\n", "a=rtcp-mux\r\na=rtcp-mux-only\r\n")
        answer = await self._post(offer)
        self._track.codec = answered_codec(answer)
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))
            async with asyncio.timeout(CONNECT_S):
                await connected.wait()
        except (TimeoutError, ValueError):
            self._lost = True
        if self._lost:
            raise SinkError(f"sink {self._shown}: no connection came about; expected one; check UDP and --ice-server")

    async def _ice_servers(self) -> list[RTCIceServer]:
        """Section 4.6: asked for beforehand, because aiortc gathers once."""
        found: list[RTCIceServer] = []
        with suppress(aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(CLOSE_S), self._http.options(self._url) as response:
                for link in response.headers.getall("Link", []):
                    if server := re.match(r'<((?:stun|turn)s?:[^>]+)>.*rel="?ice-server', link):
                        pairs = dict(re.findall(r'(username|credential)="([^"]*)"', link))
                        found.append(RTCIceServer(urls=server[1], **pairs))
        return found

    async def _post(self, offer: str) -> str:
        headers = {"Content-Type": "application/sdp"}
        try:
            async with asyncio.timeout(CONNECT_S), self._http.post(self._url, data=offer, headers=headers) as response:
                body = await response.text()
        except (aiohttp.ClientError, ValueError, TimeoutError) as error:
            why = str(error) or type(error).__name__
            raise SinkError(f"sink {self._shown}: {why}; expected a WHIP endpoint; check the address") from None
        if response.status != 201:
            hint = "set WHIP_TOKEN" if response.status in (401, 403) else "check address and server"
            raise SinkError(f"sink {self._shown}: expected 201 Created, got {response.status}; {hint}")
        # Relative to where a redirection led.
        self._session = urljoin(str(response.url), response.headers.get("Location", ""))
        return body

    async def _shut(self) -> None:
        if self._session is not None:
            with suppress(aiohttp.ClientError):
                async with self._http.delete(self._session):
                    pass
        self._broadcast.close()
        await self._connection.close()
        await self._http.close()
