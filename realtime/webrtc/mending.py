"""What aiortc lacks, put right from outside and in one place: these are its private names, pinned by version.

- Peers with RSA certificates (GStreamer's) cannot shake hands: only ECDSA ciphers are offered.
- A peer that vanishes is noticed after half a minute: nobody is told when a packet comes in.
- Key frames and bit rates asked for by RTCP reach aiortc's own encoder alone; ours are shared by many senders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from aiortc import RTCPeerConnection, RTCRtpSender
from aiortc.rtp import RTCP_PSFB_APP, RTCP_PSFB_FIR, RTCP_PSFB_PLI, RtcpPsfbPacket, unpack_remb_fci

CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    b"ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:"
    b"ECDHE-RSA-AES256-SHA"
)
"""Those of browsers, for both kinds of certificates."""


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


def _after(heard: Callable[[], None], call: Callable[..., Any]) -> Callable[..., Any]:
    def both(*args: Any) -> Any:
        heard()
        return call(*args)

    return both
