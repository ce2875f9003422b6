"""SDP from strangers: read, checked and cleaned before any of it reaches a connection.

Whatever is wrong ends in a :class:`RefusedError` with the HTTP status that RFC 9725 asks for; nothing is open by then.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain, pairwise

from aiortc import RTCIceCandidate
from aiortc.codecs import CODECS
from aiortc.rtcpeerconnection import find_common_codecs
from aiortc.sdp import MediaDescription, SessionDescription, candidate_from_sdp

from realtime.core import ConfigError
from realtime.webrtc.encoder import Codec

MOST_LINES = 1500
TRANSPORT = frozenset({"ice-ufrag", "ice-pwd", "ice-options", "fingerprint", "setup", "rtcp-mux"})
"""Attributes that a bundle has in common (RFC 8859)."""
_PORT_0 = re.compile(r"^(m=\S+) 0 ")
_MDNS = re.compile(r"^a=candidate:\S+ \S+ \S+ \S+ \S+\.local ", re.IGNORECASE)


class RefusedError(ConfigError):
    """A request that is not granted, with the status that says why."""

    def __init__(self, status: int, text: str, *, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What is used of an offer."""

    sdp: str
    """Cleaned: host names that would have to be asked for in the network, and the end of candidates, are left out; the
    connection learns addresses from the checks that arrive, and our own deadline ends a hopeless one."""
    audio: bool
    candidates: int
    user: str
    """ICE user name fragment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fragment:
    """A trickle ICE SDP fragment (RFC 8840)."""

    user: str
    password: str
    candidates: tuple[RTCIceCandidate, ...]
    """Those that can be used; the others are passed over, as RFC 9725 section 4.3.2 asks."""
    named: int
    """Candidates named, usable or not."""


def read_offer(text: str, *, most_candidates: int, publishes: bool) -> Offer:
    """Raises RefusedError: 400 what cannot be understood, 406 what cannot be answered, 422 what is not supported."""
    lines = text.splitlines()
    if len(lines) > MOST_LINES:
        raise RefusedError(400, f"offer: expected at most {MOST_LINES} lines, got {len(lines)}")
    kept = [line for line in _written_out(lines) if line != "a=end-of-candidates" and not _MDNS.match(line)]
    sdp = "\r\n".join(kept) + "\r\n"
    try:
        description = SessionDescription.parse(sdp)
        media = description.media
        bundles = [list(map(str, group.items)) for group in description.group if group.semantic == "BUNDLE"]
        users = [m.ice.usernameFragment if m.ice and m.ice.password else None for m in media]
        usable = all(users) and all(m.dtls is not None and m.dtls.fingerprints for m in media)
        usable = usable and all(isinstance(m.rtp.muxId, str) for m in media)
    except Exception:  # a parser of others, fed by strangers: whatever it stumbles over is a bad offer
        raise RefusedError(400, "offer: expected SDP, got something that cannot be read") from None
    if not media or not usable:
        raise RefusedError(400, "offer: expected media with ICE credentials and a DTLS fingerprint")
    kinds = [m.kind for m in media]
    if len(set(kinds)) < len(kinds) or not set(kinds) <= {"audio", "video", "application"} or "video" not in kinds:
        raise RefusedError(
            406, f"offer: expected one video, at most one audio and one data section; got {' '.join(kinds)}"
        )
    mids = sorted(str(m.rtp.muxId) for m in media)
    alone = len(media) == 1 and not bundles
    if len(set(mids)) < len(media) or not (alone or [sorted(bundle) for bundle in bundles] == [mids]):
        raise RefusedError(406, "offer: expected all sections in one BUNDLE group")
    for section in media:
        _check_section(section, publishes=publishes)
    named = sum(line.startswith("a=candidate:") for line in lines)
    if named > most_candidates:
        raise RefusedError(400, f"offer: expected at most {most_candidates} candidates, got {named}")
    return Offer(sdp=sdp, audio="audio" in kinds, candidates=named, user=str(users[0]))


def _written_out(lines: list[str]) -> list[str]:
    """The same offer with all that it implies.

    A section that is only there bundled (``a=bundle-only``, port 0: RFC 9143 section 6, what the "max-bundle" policy of
    RFC 9429 writes) leaves out what the bundle's first one says of their transport. Who sends RTCP on the port of RTP
    and nowhere else may say nothing but that (RFC 8858 section 4).
    """
    lines = ["a=rtcp-mux" if line == "a=rtcp-mux-only" else line for line in lines]
    starts = [index for index, line in enumerate(lines) if line.startswith("m=")]
    if not starts:
        return lines
    sections = [lines[start:end] for start, end in pairwise([*starts, len(lines)])]
    bundle = next((line.split()[1:] for line in lines if line.startswith("a=group:BUNDLE ")), [])
    leader = next((one for one in sections if bundle and f"a=mid:{bundle[0]}" in one), [])
    for section in sections:
        if section is leader or "a=bundle-only" not in section or not any(f"a=mid:{mid}" in section for mid in bundle):
            continue
        section[0] = _PORT_0.sub(r"\1 9 ", section[0])
        said = {_attribute(line) for line in section}
        section += [line for line in leader if _attribute(line) in TRANSPORT - said]
    return [*lines[: starts[0]], *chain.from_iterable(sections)]


def _attribute(line: str) -> str:
    return line[2:].partition(":")[0] if line.startswith("a=") else ""


def _check_section(section: MediaDescription, *, publishes: bool) -> None:
    if section.port == 0:
        raise RefusedError(406, f"offer: expected its {section.kind} section to be used, got port 0")
    if section.kind == "application":
        return
    if not section.rtcp_mux:
        raise RefusedError(406, f"offer: expected RTP and RTCP of {section.kind} on one port (a=rtcp-mux)")
    try:
        common = find_common_codecs(CODECS[section.kind], section.rtp.codecs)
    except Exception:  # as above
        raise RefusedError(400, f"offer: expected parameters of {section.kind} codecs, got something else") from None
    if not common:
        raise RefusedError(406, f"offer: expected VP8 or H.264 and Opus, got no {section.kind} codec of ours")
    wanted = ("sendonly", "sendrecv") if publishes else ("recvonly", "sendrecv")
    if section.kind == "video" and (section.direction or "sendrecv") not in wanted:
        raise RefusedError(406, f"offer: expected {' or '.join(wanted)} video, got {section.direction}")


def read_fragment(text: str) -> Fragment:
    """Raises RefusedError: 400 what cannot be understood."""
    user = password = ""
    mid, index, named = None, -1, 0
    candidates: list[RTCIceCandidate] = []
    for line in text.splitlines():
        name, _, value = line.strip().partition(":")
        if line.startswith("m="):
            mid, index = None, index + 1
        elif name == "a=ice-ufrag":
            user = user or value
        elif name == "a=ice-pwd":
            password = password or value
        elif name == "a=mid":
            mid = value
        elif name == "a=candidate":
            named += 1
            candidate = _candidate(value)
            if candidate is not None:
                candidate.sdpMid, candidate.sdpMLineIndex = mid, max(index, 0)
                candidates.append(candidate)
        elif line.strip() and not re.match(r"^[a-z]=", line):
            raise RefusedError(400, "fragment: expected lines of SDP, got something that cannot be read")
    if not user or not password:
        raise RefusedError(400, "fragment: expected ice-ufrag and ice-pwd (RFC 8840 section 9)")
    return Fragment(user=user, password=password, candidates=tuple(candidates), named=named)


def _candidate(value: str) -> RTCIceCandidate | None:
    """None for one that cannot be used: TCP, or a name instead of an address."""
    try:
        candidate = candidate_from_sdp(value)
    except Exception:  # as above
        raise RefusedError(400, "fragment: expected a candidate (RFC 8839 section 5.1), got something else") from None
    good = candidate.protocol.lower() == "udp" and candidate.component == 1 and 0 < candidate.port < 65536
    return candidate if good and not candidate.ip.endswith(".local") else None


def answered_codec(answer: str) -> Codec:
    """The video codec that an answer of ours settled on."""
    for section in SessionDescription.parse(answer).media:
        if section.kind == "video":
            return "H264" if section.rtp.codecs[0].name == "H264" else "VP8"
    raise AssertionError("an answer without video")
