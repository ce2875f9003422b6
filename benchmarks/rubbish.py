"""Requests that were good once: offers, fragments, JSON, headers and paths, changed by dice with a seed."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

SDP, FRAGMENT, JSON = "application/sdp", "application/trickle-ice-sdpfrag", "application/json"
CANDIDATE = "a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host"
METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW", "get", "P\x00ST", "")
PATHS = (
    *(
        "/whip/%00",
        "/whip/..%2f",
        "/whep/" + "x" * 70,
        "/static/%2e%2e/server.py",
        "/mjpeg/x",
        "//whip",
        "*",
        "/" * 3000,
    ),
    *(
        "http://evil.example/whip",
        "/session/" + "x" * 32,
        "/session/x/drawing.svg",
        "/whip?a=" + "b" * 9000,
        "/metrics",
    ),
)
ODD = ("", "\x00", "é", "x" * 9000, "-1", "1e9", "99999999999999999999", "a, b", "chunked", '"', "\t", "null", "*")
HEADER_NAMES = (
    *("Content-Type", "Content-Length", "Transfer-Encoding", "Host", "Origin", "Authorization", "If-Match", "Expect"),
    *("Connection", "Upgrade", "Accept-Encoding", "Content-Encoding", "Range", "Cookie", "X Y", "", "Forwarded"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A session that the attacker opened rightly."""

    path: str
    etag: str
    user: str
    """ICE user name fragment of its offer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, as it goes over the wire."""

    kind: str
    """What was changed, for counting."""
    method: str
    path: str
    headers: Sequence[tuple[str, str]] = field(default_factory=tuple)
    body: bytes = b""

    def raw(self, host: str) -> bytes:
        """Bytes of HTTP/1.1; what the headers say already is not said again."""
        given = {name.lower() for name, _ in self.headers}
        usual = (("Host", host), ("Connection", "close"), ("Content-Length", str(len(self.body))))
        lines = [*(pair for pair in usual if pair[0].lower() not in given), *self.headers]
        head = f"{self.method} {self.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines)
        return head.encode("utf-8", "surrogateescape") + b"\r\n" + self.body


def mutated(text: str, dice: random.Random) -> str:
    """One to five small changes: lines lost, doubled, swapped, numbers and letters changed."""
    lines = text.split("\r\n")
    for _ in range(dice.randint(1, 5)):
        lines = lines or [""]
        at, other = dice.randrange(len(lines)), dice.randrange(len(lines))
        match dice.randrange(7):
            case 0:
                del lines[at]
            case 1:
                lines.insert(other, lines[at])
            case 2:
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = re.sub(r"\d+", lambda _: dice.choice(("-1", "0", "65536", "9" * 30)), lines[at], count=1)
            case 4:
                lines[at] = lines[at][: dice.randrange(len(lines[at]) + 1)]
            case 5:
                lines[at] = lines[at] * dice.choice((2, 50))
            case _:
                lines[at] = lines[at].replace(
                    dice.choice("abcdesiv:= "), dice.choice(("\x00", "é", " ", ":", "\u2028", ""))
                )
    return "\r\n".join(lines)


class Rubbish:
    """Requests without end; the same seed brings the same ones."""

    def __init__(
        self, *, seed: int, offers: Sequence[str], watching: str, token: str | None, own: Callable[[], Own | None]
    ) -> None:
        """
        Args:
            seed: of the dice.
            offers: good ones that send.
            watching: a good one that watches.
            token: shown in most requests; None where none is needed.
            own: a session of the attacker's, if there is one now.
        """
        self._dice = random.Random(seed)
        self._offers, self._watching, self._token, self._own = offers, watching, token, own

    def next(self) -> Request:
        dice = self._dice
        make = dice.choices(
            (self._offer, self._publish, self._watch, self._fragment, self._json, self._headers, self._place),
            weights=(25, 25, 5, 20, 10, 10, 5),
        )[0]
        request = make()
        if self._token is not None and dice.random() < 0.95:
            request = replace(request, headers=(("Authorization", f"Bearer {self._token}"), *request.headers))
        return request

    def good(self) -> Request:
        """One that is accepted while there is room."""
        headers = [("Content-Type", SDP)]
        if self._token is not None:
            headers.append(("Authorization", f"Bearer {self._token}"))
        return Request(kind="good", method="POST", path="/whip", headers=headers, body=self._offers[0].encode())

    def _offer(self) -> Request:
        sdp = mutated(self._dice.choice(self._offers), self._dice)
        body = json.dumps({"type": "offer", "sdp": sdp}).encode()
        return Request(kind="offer", method="POST", path="/offer", headers=(("Content-Type", JSON),), body=body)

    def _publish(self) -> Request:
        body = mutated(self._dice.choice(self._offers), self._dice).encode()
        return Request(kind="whip", method="POST", path="/whip", headers=(("Content-Type", SDP),), body=body)

    def _watch(self) -> Request:
        body = mutated(self._watching, self._dice).encode()
        path = "/whep/" + self._dice.choice(("nobody", "studio", "x" * 22))
        return Request(kind="whep", method="POST", path=path, headers=(("Content-Type", SDP),), body=body)

    def _fragment(self) -> Request:
        dice, own = self._dice, self._own()
        user = own.user if own is not None else "abcd"
        good = "\r\n".join([f"a=ice-ufrag:{user}", "a=ice-pwd:" + 22 * "x", "m=video 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0"])
        body = mutated("\r\n".join([good, *[CANDIDATE] * dice.randrange(4)]), dice).encode()
        etag = own.etag if own is not None and dice.random() < 0.8 else dice.choice(('"x"', "W/x", "*", "", '"'))
        path = own.path if own is not None else "/session/" + "x" * 32
        headers = (("Content-Type", FRAGMENT), ("If-Match", etag))
        return Request(kind="sdpfrag", method="PATCH", path=path, headers=headers, body=body)

    def _json(self) -> Request:
        dice = self._dice
        text = json.dumps({"type": "offer", "sdp": dice.choice(self._offers)})
        cut = dice.randrange(len(text))
        changed = (
            lambda: mutated(text, dice).encode(),
            lambda: (text[:cut] + dice.choice('{}[]",:0') + text[cut + 1 :]).encode(),
            lambda: dice.randbytes(dice.randrange(300)),
            lambda: b"[" * dice.choice((10, 5000, 60_000)),
            lambda: json.dumps({"sdp": dice.choice((None, 0, [], {}, True, 1e308, "", "\ud800"))}).encode(),
        )
        body = dice.choice(changed)()
        return Request(kind="json", method="POST", path="/offer", headers=(("Content-Type", JSON),), body=body)

    def _headers(self) -> Request:
        dice = self._dice
        body = dice.choice(self._offers).encode()
        good = [("Content-Type", SDP), ("If-Match", '"x"'), ("Origin", "http://127.0.0.1")]
        for _ in range(dice.randint(1, 4)):
            good.insert(dice.randrange(len(good)), (dice.choice(HEADER_NAMES), dice.choice(ODD)))
        good += [("X-Many", "y")] * dice.choice((0, 0, 0, 300))
        return Request(kind="headers", method="POST", path="/whip", headers=good, body=body)

    def _place(self) -> Request:
        dice = self._dice
        headers = (("Content-Type", dice.choice((SDP, FRAGMENT, JSON, "x/y"))),)
        return Request(kind="place", method=dice.choice(METHODS), path=dice.choice(PATHS), headers=headers, body=b"v=0")
