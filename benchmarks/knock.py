"""One request over a connection of its own, and each way of knocking that must be refused."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from benchmarks.rubbish import SDP, Request

ADDRESSES = 250
ANSWER_S = 12.0
NO_ANSWER = 0


async def ask(url: str, raw: bytes, *, number: int = 0) -> tuple[int, str, bytes]:
    """Status, head and body of the answer; status 0 where the connection was closed without one.

    Args:
        url: of the server.
        raw: what is written.
        number: which of this machine's loopback addresses it comes from.
    Raises:
        TimeoutError: neither an answer nor an end of the connection came.
    """
    parts = urlsplit(url)
    local = (f"127.0.0.{2 + number % ADDRESSES}", 0)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, local_addr=local)
    try:
        with suppress(ConnectionError):
            writer.write(raw)
            await writer.drain()
        async with asyncio.timeout(ANSWER_S):
            data = b""
            with suppress(ConnectionError):
                while not _whole(data) and (chunk := await reader.read(65536)):
                    data += chunk
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
    head, _, body = data.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.\d (\d{3})", head)
    return (int(found[1]) if found else NO_ANSWER), head.decode("latin-1"), body


def _whole(data: bytes) -> bool:
    """Whether an answer has come in full; one to HEAD ends with the connection."""
    head, end, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return bool(end) and (b" 204 " in head[:16] or (length is not None and len(body) >= int(length[1])))


async def refusals(url: str, *, offer: str, session: str, token: str) -> list[dict[str, Any]]:
    """Each way of knocking that must be refused: what was expected, what came."""
    host = urlsplit(url).netloc
    bearer = ("Authorization", f"Bearer {token}")
    sdp = ("Content-Type", SDP)
    long = b"v=0\r\n" + b"a=x\r\n" * 2_000_000
    told: list[dict[str, Any]] = []

    async def knock(what: str, expected: Sequence[int], request: Request) -> None:
        begun = time.monotonic()
        status, _, _ = await ask(url, request.raw(host))
        told.append(
            {"what": what, "expected": list(expected), "got": status, "seconds": round(time.monotonic() - begun, 2)}
        )

    def post(*headers: tuple[str, str], body: bytes = offer.encode()) -> Request:
        return Request(kind="refusal", method="POST", path="/whip", headers=headers, body=body)

    await knock("no token", [401], post(sdp))
    await knock("a wrong token", [401], post(sdp, ("Authorization", "Bearer no")))
    other = session[:-1] + ("A" if session[-1] != "A" else "B")
    for method in ("DELETE", "PATCH"):
        fragment = (("Content-Type", "application/trickle-ice-sdpfrag"), ("If-Match", "*"), bearer)
        guess = Request(kind="refusal", method=method, path=other, headers=fragment, body=b"a=ice-ufrag:x\r\n")
        await knock(f"another's session URL, one letter off: {method}", [404], guess)
    foreign = ("Origin", "https://evil.example")
    await knock("a page of another origin, with the token", [403], post(sdp, bearer, foreign))
    await knock("a body of 10 MB", [413, NO_ANSWER], post(sdp, bearer, body=long))
    for what, raw in (
        ("slow loris, head", f"POST /whip HTTP/1.1\r\nHost: {host}\r\nX: ".encode()),
        ("slow loris, body", post(sdp, bearer, ("Content-Length", "9999")).raw(host)[:-20]),
    ):
        begun = time.monotonic()
        status = await _dribble(url, raw)
        told.append(
            {"what": what, "expected": [408, NO_ANSWER], "got": status, "seconds": round(time.monotonic() - begun, 2)}
        )
    return told


async def _dribble(url: str, raw: bytes) -> int:
    """A byte every 0.2 s, until an answer or the end of the connection comes. TimeoutError after 30 s."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(raw)
    data = b""
    async with asyncio.timeout(30):
        with suppress(ConnectionError):
            while not data and not reader.at_eof():
                with suppress(TimeoutError):
                    data += await asyncio.wait_for(reader.read(1000), 0.2)
                writer.write(b"a")
    writer.close()
    found = re.match(rb"HTTP/1\.\d (\d{3})", data)
    return int(found[1]) if found else NO_ANSWER
