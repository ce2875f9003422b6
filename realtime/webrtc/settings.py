"""How the server is run and what it allows. Plain values; nothing of any library."""

from __future__ import annotations

import ipaddress
import re
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path

from realtime.core import ConfigError

DEFAULT_ADDRESS = ("127.0.0.1", 8080)
_ADDRESS = re.compile(
    r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]*[^\s:/\[\]\d][^\s:/\[\]]*|[\d.]+\.[\d.]+)?:?(?P<port>(?<![^:])\d{1,5})?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one server takes on. Everything beyond is refused with a status that says so."""

    peers: int = 4
    """Cameras drawn at once."""
    by_load: bool = True
    """Refuse cameras also when the machine, by measure (:mod:`realtime.webrtc.load`), has no room for one more."""
    watchers: int = 32
    """Connections that only watch, MJPEG among them."""
    per_address: int = 12
    """Sessions of one address."""
    body_bytes: int = 64 * 1024
    """A request's body."""
    body_s: float = 5.0
    """Seconds within which a request, head and body, has arrived."""
    candidates: int = 50
    """ICE candidates of one session, offered and trickled."""
    connect_s: float = 15.0
    """Seconds from the answer to the first connection."""
    silence_s: float = 5.0
    """Seconds without RTP, RTCP or STUN after which a peer counts as gone."""
    requests_per_s: float = 10.0
    """Requests of one address that change something, in the long run."""
    requests_at_once: int = 60
    """The same, in a burst."""
    message_bytes: int = 4096
    """A message on the data channel."""
    wrong_token_s: tuple[float, float] = (0.2, 0.8)
    """A wrong token is answered after so long, at random in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IceServer:
    """A STUN or TURN server."""

    url: str
    """``stun:HOST[:PORT]`` or ``turn:HOST[:PORT]``."""
    username: str | None = None
    credential: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """One server."""

    host: str = DEFAULT_ADDRESS[0]
    port: int = DEFAULT_ADDRESS[1]
    """0 takes any free one."""
    token: str | None = None
    """Whoever wants to send must show it; None only on loopback."""
    certificate: Path | None = None
    """PEM chain; with it the server speaks TLS."""
    key: Path | None = None
    ice_servers: tuple[IceServer, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def guarded(self) -> Settings:
        """The same with a token, made up where none is given, unless only this machine can reach it."""
        return self if self.loopback or self.token is not None else replace(self, token=new_token())

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)

    @property
    def scheme(self) -> str:
        return "https" if self.certificate is not None else "http"


def new_token() -> str:
    """One that cannot be guessed."""
    return secrets.token_urlsafe(24)


def is_loopback(host: str) -> bool:
    """True for addresses, and the name, that only this machine reaches."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def parse_address(text: str) -> tuple[str, int]:
    """``HOST``, ``HOST:PORT``, ``:PORT``, ``PORT`` or ``[IPv6]:PORT``. Raises ConfigError."""
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or not found[0] or int(found["port"] or 0) > 65535:
        raise ConfigError(f"--serve: expected HOST:PORT; got {text!r}; write for example 127.0.0.1:8080")
    host, port = (found["host"] or "").strip("[]"), found["port"]
    return host or DEFAULT_ADDRESS[0], int(port) if port else DEFAULT_ADDRESS[1]


def parse_ice_server(text: str) -> IceServer:
    """``stun:HOST`` or ``turn:USER:PASSWORD@HOST[:PORT]``. Raises ConfigError."""
    scheme, _, rest = text.partition(":")
    credentials, at, host = rest.rpartition("@")
    if scheme not in ("stun", "stuns", "turn", "turns") or not host or any(c.isspace() or c in '<>"' for c in text):
        raise ConfigError(
            f"--ice-server: expected stun:HOST or turn:USER:PASSWORD@HOST; got {scheme!r}:...; write for example "
            "stun:stun.example.org:3478"
        )
    user, _, password = credentials.partition(":")
    return IceServer(url=f"{scheme}:{host}", username=user if at else None, credential=password if at else None)
