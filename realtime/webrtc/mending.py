"""What aiortc lacks, put right from outside and in one place: these are its private names, pinned by version.

- Peers with RSA certificates (GStreamer's) cannot shake hands: only ECDSA ciphers are offered.
- A peer that vanishes is noticed after half a minute: nobody is told when a packet comes in.
- A picture is held until the first packet of the next has come: a whole frame of delay. Sound is held for four packets,
  and for good fourteen once one was lost.
- What waits for the decoder has no end: on a machine that cannot keep up the picture gets later and later.
- A packet that is lost and never repeated holds the picture up until 512 others have come: seconds.
- A connection that is closed half made stumbles and leaves its sockets open.
- A machine without a network has no address to offer, though browser and server are on it.
- Browsers hold pictures back to show them evenly, unless each packet says that it is wanted at once.
- Key frames and bit rates asked for by RTCP reach aiortc's own encoder alone; ours are shared by many senders.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from queue import Empty, Queue
from typing import Any

import aioice.ice
from aiortc import RTCPeerConnection, RTCRtpReceiver, RTCRtpSender
from aiortc.codecs import HEADER_EXTENSIONS
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpHeaderExtensionParameters, RTCRtpParameters
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    HeaderExtensions,
    HeaderExtensionsMap,
    RtcpPsfbPacket,
    pack_header_extensions,
    unpack_header_extensions,
    unpack_remb_fci,
)

log = logging.getLogger(__name__)
CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    b"ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:"
    b"ECDHE-RSA-AES256-SHA"
)
"""Those of browsers, for both kinds of certificates."""


_addresses = aioice.ice.get_host_addresses


def addresses_or_loopback(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    """This machine's addresses; 127.0.0.1 where it has no other."""
    return _addresses(use_ipv4, use_ipv6) or ["127.0.0.1"]


aioice.ice.get_host_addresses = addresses_or_loopback


def accept_rsa(connection: RTCPeerConnection) -> None:
    """Offer the ciphers that a peer with an RSA certificate needs. Call it before negotiating."""
    certificates: Iterable[Any] = connection._RTCPeerConnection__certificates  # type: ignore[attr-defined]
    for certificate in certificates:
        make_context = certificate._create_ssl_context

        def widened(srtp_profiles: Any, make_context: Callable[..., Any] = make_context) -> Any:
            context = make_context(srtp_profiles)
            context.set_cipher_list(CIPHERS)
            return context

        certificate._create_ssl_context = widened


def on_packet(connection: RTCPeerConnection, heard: Callable[[], None]) -> None:
    """Have ``heard`` called whenever RTP, RTCP, DTLS or a STUN request comes in. Call it once negotiated."""
    transports = {id(t.sender.transport): t.sender.transport for t in connection.getTransceivers()}
    if connection.sctp is not None:
        transports[id(connection.sctp.transport)] = connection.sctp.transport
    for dtls in transports.values():
        ice: Any = dtls.transport._connection
        for name in ("data_received", "request_received"):
            setattr(ice, name, _after(heard, getattr(ice, name)))


async def close(connection: RTCPeerConnection) -> None:
    """Close it and all that it holds, also where it is half made and aiortc stumbles over what is not there yet."""
    inside: Any = connection
    ices, dtlses = set(inside._RTCPeerConnection__iceTransports), set(inside._RTCPeerConnection__dtlsTransports)
    try:
        await connection.close()
    except AttributeError as error:
        log.warning("event=half-closed error=%s", error)
        for transport in (*dtlses, *ices):
            await transport.stop()


def on_feedback(sender: RTCRtpSender, *, key_frame: Callable[[], None], bit_rate: Callable[[int], None]) -> None:
    """Have ``key_frame`` called when the receiver asks for one, ``bit_rate`` with the bits a second it can take."""
    handle = sender._handle_rtcp_packet

    async def handle_rtcp_packet(packet: Any) -> None:
        if isinstance(packet, RtcpPsfbPacket):
            if packet.fmt in (RTCP_PSFB_FIR, RTCP_PSFB_PLI):
                key_frame()
            elif packet.fmt == RTCP_PSFB_APP:
                try:
                    rate, sources = unpack_remb_fci(packet.fci)
                except ValueError:
                    return
                if sender._ssrc in sources:
                    bit_rate(rate)
        await handle(packet)

    sender._handle_rtcp_packet = handle_rtcp_packet  # type: ignore[method-assign]


PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
HEADER_EXTENSIONS["video"].append(RTCRtpHeaderExtensionParameters(id=4, uri=PLAYOUT_DELAY))


class _ShownAtOnce(HeaderExtensionsMap):
    """Adds to each packet that the receiver is to hold it back by 0 ms at the least and at the most."""

    _id: int | None = None

    def configure(self, parameters: RTCRtpParameters) -> None:
        super().configure(parameters)
        self._id = next((one.id for one in parameters.headerExtensions if one.uri == PLAYOUT_DELAY), None)

    def set(self, values: HeaderExtensions) -> tuple[int, bytes]:
        profile, packed = super().set(values)
        if self._id is None:
            return profile, packed
        return pack_header_extensions([*unpack_header_extensions(profile, packed), (self._id, bytes(3))])


def shown_at_once(sender: RTCRtpSender) -> None:
    """Have a browser show pictures as they come, where it understands that. Call it before negotiating.

    Not for pictures with sound: these are held back for the sound's sake.
    """
    sender._RTCRtpSender__rtp_header_extensions_map = _ShownAtOnce()  # type: ignore[attr-defined]


def at_once(receiver: RTCRtpReceiver) -> None:
    """Have pictures decoded as soon as their last packet, which its marker tells (RFC 3550 section 5.1), is there.

    And sound packet by packet: whoever passes it on holds it back anyway, for the picture's sake.
    """
    inside: Any = receiver
    handle = inside._handle_rtp_packet
    ready = complete_frames if inside._RTCRtpReceiver__kind == "video" else packets_of_sound

    async def handle_rtp_packet(packet: Any, arrival_time_ms: int) -> None:
        await handle(packet, arrival_time_ms)
        for payload_type, frame in ready(inside._RTCRtpReceiver__jitter_buffer):
            codec = inside._RTCRtpReceiver__codecs.get(payload_type)
            if codec is not None and inside._RTCRtpReceiver__decoder_thread:
                frame.timestamp = inside._RTCRtpReceiver__timestamp_mapper.map(frame.timestamp)
                inside._RTCRtpReceiver__decoder_queue.put((codec, frame))

    inside._handle_rtp_packet = handle_rtp_packet


def complete_frames(buffer: Any) -> Iterator[tuple[int, JitterFrame]]:
    """Take whole pictures, in order, each with its payload type, out of an aiortc jitter buffer."""
    packets: list[Any] = []
    while buffer._origin is not None and len(packets) < buffer.capacity:
        packet = buffer._packets[(buffer._origin + len(packets)) % buffer.capacity]
        if packet is None:
            return
        begins_another = bool(packets) and packet.timestamp != packets[0].timestamp
        if not begins_another:
            packets.append(packet)
        if begins_another or packet.marker:
            buffer.remove(len(packets))
            data = b"".join(one._data for one in packets)
            yield packets[0].payload_type, JitterFrame(data=data, timestamp=packets[0].timestamp)
            packets = []


OUT_OF_ORDER = 3
"""Packets of sound that may wait for one before them: then that is given up."""


def packets_of_sound(buffer: Any) -> Iterator[tuple[int, JitterFrame]]:
    """Take sound, in order, each packet with its payload type, out of an aiortc jitter buffer."""
    while buffer._origin is not None and any(buffer._packets):
        packet = buffer._packets[buffer._origin % buffer.capacity]
        if packet is None and sum(one is not None for one in buffer._packets) < OUT_OF_ORDER:
            return
        buffer.remove(1)
        if packet is not None:
            yield packet.payload_type, JitterFrame(data=packet._data, timestamp=packet.timestamp)


class Unsticking:
    """Watches one video receiver: asks again for what was lost, and after a while goes on without it; and lets pictures
    go that wait for the decoder, when there are too many."""

    AGAIN_S = 0.1
    GIVE_UP_S = 0.4
    BACKLOG = 15
    """Pictures that wait for the decoder at most: half a second."""

    def __init__(self, receiver: RTCRtpReceiver) -> None:
        self._receiver: Any = receiver
        self._frames = -1
        self._since = 0.0
        self._asked = 0.0

    async def look(self, *, frames: int, now: float) -> int:
        """To be called a few times a second. Returns how many pictures it has let go undecoded.

        Args:
            frames: pictures received so far.
            now: seconds.
        """
        gone = _drained(self._receiver._RTCRtpReceiver__decoder_queue, most=self.BACKLOG)
        if gone:
            for source in self._media():
                await self._receiver._send_rtcp_pli(source)
        buffer = self._receiver._RTCRtpReceiver__jitter_buffer
        nack = self._receiver._RTCRtpReceiver__nack_generator
        if frames != self._frames or not _has_gap(buffer):
            self._frames, self._since = frames, now
            return gone
        if now - self._since >= self.GIVE_UP_S:
            self._since = now
            nack.missing.clear()
            buffer.remove(buffer.capacity)
            # Onwards from here: what is repeated of the time before comes too late.
            buffer._origin = None if nack.max_seq is None else (nack.max_seq + 1) % (1 << 16)
            for source in self._media():
                await self._receiver._send_rtcp_pli(source)
        elif nack.missing and now - self._asked >= self.AGAIN_S:
            self._asked = now
            for source in self._media():
                await self._receiver._send_rtcp_nack(source, sorted(nack.missing))
        return gone

    def _media(self) -> list[int]:
        """Sources of pictures, without those of repeated packets."""
        sources = [one.source for one in self._receiver.getSynchronizationSources()]
        return [source for source in sources if source not in self._receiver._RTCRtpReceiver__rtx_ssrc]


def _drained(waiting: Queue[Any], *, most: int) -> int:
    """Empty a queue of more than so many; what ends its reader stays. How many are gone."""
    if waiting.qsize() <= most:
        return 0
    gone, ended = 0, False
    with suppress(Empty):
        while not ended:
            ended = waiting.get_nowait() is None
            gone += not ended
    if ended:
        waiting.put(None)
    return gone


def _has_gap(buffer: Any) -> bool:
    """Whether packets in an aiortc jitter buffer wait behind one that is not there."""
    if buffer._origin is None:
        return False
    places = [(buffer._origin + offset) % buffer.capacity for offset in range(buffer.capacity)]
    gone = False
    for place in places:
        if buffer._packets[place] is None:
            gone = True
        elif gone:
            return True
    return False


def _after(heard: Callable[[], None], call: Callable[..., Any]) -> Callable[..., Any]:
    def both(*args: Any) -> Any:
        heard()
        return call(*args)

    return both
