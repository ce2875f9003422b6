"""One peer connection from its offer to its end, and the clock that ends it.

A session ends when its peer says so, when the connection fails, when it does not come about in time, when nothing at
all has been heard for a while, or when the server stops. It ends once, and frees all that it held.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal, TypeAlias

from aiortc import RTCConfiguration, RTCDataChannel, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from realtime.webrtc import mending
from realtime.webrtc.offers import Fragment, Offer, RefusedError, answered_codec
from realtime.webrtc.settings import Settings
from realtime.webrtc.show import Intake
from realtime.webrtc.tracks import DrawingTrack, SoundTrack

log = logging.getLogger(__name__)
Kind = Literal["page", "publish", "watch"]
OnEnd: TypeAlias = "Callable[[Session, asyncio.Task[None]], None]"
TICK_S = 0.1
CLOSE_S = 5.0


class Session:
    """A page (sends its camera, gets its drawing), a publisher (sends), or a watcher (gets)."""

    def __init__(self, *, kind: Kind, show: Intake, address: str, settings: Settings, on_end: OnEnd) -> None:
        """
        Args:
            kind: see the class.
            show: its own, or for a watcher the one that it watches.
            address: of the peer, for the caps.
            settings: of the server.
            on_end: called once, on the event loop, with what closes the session.
        """
        self.id = secrets.token_urlsafe(24)
        self.etag = f'"{secrets.token_urlsafe(12)}"'
        self.kind: Kind = kind
        self.show = show
        self.address = address
        self.ended: str | None = None
        """Why, in words, once it has."""
        self.connected = False
        self.on_channel: Callable[[RTCDataChannel], None] = lambda _channel: None
        self.on_close: Callable[[], Awaitable[None]] | None = None
        self._limits = settings.limits
        self._on_end = on_end
        self._candidates = 0
        self._user = ""
        self._born = self._heard = time.monotonic()
        self._drawing = DrawingTrack(broadcast=show.broadcast)
        self._connection = RTCPeerConnection(
            RTCConfiguration(
                iceServers=[
                    RTCIceServer(urls=one.url, username=one.username, credential=one.credential)
                    for one in settings.ice_servers
                ]
            )
        )
        self._clock: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    async def answer(self, offer: Offer) -> str:
        """The SDP answer with all candidates of ours. Raises RefusedError; the session has ended then."""
        connection = self._connection
        mending.accept_rsa(connection)
        connection.on("track", self._on_track)
        connection.on("datachannel", self._on_datachannel)
        connection.on("connectionstatechange", self._on_state)
        self._candidates, self._user = offer.candidates, offer.user
        try:
            async with asyncio.timeout(self._limits.connect_s):
                await connection.setRemoteDescription(RTCSessionDescription(sdp=offer.sdp, type="offer"))
                self._add_tracks(offer)
                answer = await connection.createAnswer()
                await connection.setLocalDescription(answer)
            self._drawing.codec = answered_codec(connection.localDescription.sdp)
            mending.on_packet(connection, self._hear)
        except Exception as error:  # aiortc and a stranger's SDP: whatever it does not take is not acceptable
            log.debug("event=offer-not-taken error=%s %s", type(error).__name__, error)
            await self.end("its offer could not be answered")
            raise RefusedError(
                406, "offer: expected one that can be answered; its parts contradict each other"
            ) from None
        for transceiver in connection.getTransceivers() if self.kind != "watch" else ():
            mending.at_once(transceiver.receiver)
        self._born = self._heard = time.monotonic()
        self._clock = asyncio.create_task(self._watch_the_clock())
        return str(connection.localDescription.sdp)

    async def trickle(self, fragment: Fragment) -> None:
        """Take more candidates (RFC 9725 section 4.3.2). Raises RefusedError."""
        if fragment.user != self._user:
            raise RefusedError(
                422, "fragment: expected the offer's ice-ufrag; ICE restarts are not supported, offer anew"
            )
        self._candidates += fragment.named
        if self._candidates > self._limits.candidates:
            raise RefusedError(400, f"fragment: expected at most {self._limits.candidates} candidates in a session")
        for candidate in fragment.candidates:
            await self._connection.addIceCandidate(candidate)

    def rest(self, resting: bool) -> None:
        """The page is hidden, or seen again: its own drawing need not be sent."""
        self._drawing.rest(resting)

    @property
    def seconds_silent(self) -> float:
        return time.monotonic() - self._heard

    def figures(self) -> dict[str, Any]:
        """What can be told of it, ready for JSON; no part of its URL."""
        watcher = self._drawing.watcher
        return {
            "kind": self.kind,
            "connected": self.connected,
            "seconds": round(time.monotonic() - self._born, 1),
            "silent_s": round(self.seconds_silent, 1),
            "codec": self._drawing.codec,
            "frames_sent": watcher.sent if watcher is not None else 0,
            "receiver_bits_per_s": watcher.bit_rate if watcher is not None else 0,
        }

    async def end(self, why: str) -> None:
        """Close everything. Whoever calls it later waits for the same end."""
        if self._closing is None:
            self.ended = why
            log.info("event=session-ended kind=%s connected=%s why=%r", self.kind, self.connected, why)
            self._closing = asyncio.create_task(self._close())
            self._on_end(self, self._closing)
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
        if self.on_close is not None:
            await self.on_close()
        self._drawing.stop()
        if self.kind != "watch":
            await self.show.close()
        try:
            async with asyncio.timeout(CLOSE_S):
                await mending.close(self._connection)
        except TimeoutError:
            log.warning("event=slow-close seconds=%g", CLOSE_S)

    def _add_tracks(self, offer: Offer) -> None:
        """After the remote description, so that they take the offered sections."""
        if self.kind == "publish":
            return
        sender = self._connection.addTrack(self._drawing)
        if self.kind == "page":
            mending.shown_at_once(sender)
        mending.on_feedback(sender, key_frame=self._drawing.want_key_frame, bit_rate=self._drawing.set_bit_rate)
        if self.kind == "watch" and offer.audio:
            self._connection.addTrack(SoundTrack(sound=self.show.sound))

    def _on_track(self, track: MediaStreamTrack) -> None:
        if self.kind != "watch":
            self.show.receive(track)

    def _on_datachannel(self, channel: RTCDataChannel) -> None:
        self.on_channel(channel)

    async def _on_state(self) -> None:
        state = self._connection.connectionState
        if state == "connected":
            self.connected = True
            self._heard = time.monotonic()
            if self.kind != "watch":
                self.show.start()
        elif state in ("failed", "closed"):
            await self.end("the peer closed it" if self.connected else "no connection came about")

    def _hear(self) -> None:
        self._heard = time.monotonic()

    async def _watch_the_clock(self) -> None:
        receivers = [t.receiver for t in self._connection.getTransceivers() if t.kind == "video"]
        unsticking = [mending.Unsticking(receiver) for receiver in receivers if self.kind != "watch"]
        while True:
            await asyncio.sleep(TICK_S)
            now = time.monotonic()
            for one in unsticking:
                try:
                    inlet = self.show.inlet
                    gone = await one.look(frames=inlet.received, now=now)
                    inlet.overtaken += gone
                except Exception as error:  # a library's inside may change; the clock must not stop for that
                    log.warning("event=cannot-unstick error=%s", type(error).__name__)
                    unsticking = []
            if not self.connected and now - self._born > self._limits.connect_s:
                why = f"no connection came about within {self._limits.connect_s:g} s"
            elif self.connected and now - self._heard > self._limits.silence_s:
                why = f"nothing was heard for {self._limits.silence_s:g} s"
            else:
                continue
            self._clock = None  # it must not cancel itself
            await self.end(why)
            return
