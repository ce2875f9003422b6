"""The doorkeeper: who may ask for what, how often and from where. One middleware before every handler."""

from __future__ import annotations

import asyncio
import hmac
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from realtime.webrtc.offers import RefusedError
from realtime.webrtc.settings import Limits, Settings, is_loopback

log = logging.getLogger(__name__)
CHANGING = ("POST", "PATCH", "DELETE")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(self), display-capture=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
ADDRESSES = 10_000
"""Addresses remembered for the rate limit at most; the ones not seen for longest go first."""


class Buckets:
    """A token bucket for each address."""

    def __init__(self, *, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._most = limits.requests_per_s, float(limits.requests_at_once)
        self._clock = clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, address: str) -> bool:
        """Whether this address may go on."""
        now = self._clock()
        left, since = self._left.pop(address, (self._most, now))
        left = min(self._most, left + (now - since) * self._rate)
        self._left[address] = (max(0.0, left - 1), now)
        while len(self._left) > ADDRESSES:
            self._left.popitem(last=False)
        return left >= 1


class Guard:
    """Checks requests by the settings."""

    def __init__(self, *, settings: Settings) -> None:
        self._settings = settings
        self._buckets = Buckets(limits=settings.limits)

    def middleware(self) -> Middleware:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                self._check(request)
                response = await handler(request)
            except RefusedError as refusal:
                response = _told(refusal)
            except web.HTTPException as error:
                response = web.json_response({"error": error.reason}, status=error.status)
                if "Allow" in error.headers:
                    response.headers["Allow"] = error.headers["Allow"]
            if not response.prepared:
                response.headers.update(HEADERS)
                response.headers.setdefault("Cache-Control", "no-store")
            return response

        return guard

    def _check(self, request: web.Request) -> None:
        """Raises RefusedError: a name that is not ours, a page of another origin, too many requests."""
        host = urlsplit(f"//{request.host}").hostname or ""
        if self._settings.loopback and not is_loopback(host):
            # A page elsewhere may point its own name at this machine (DNS rebinding); it cannot change this header.
            raise RefusedError(421, "host: expected localhost or 127.0.0.1; open the address that the server printed")
        if request.method not in CHANGING:
            return
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise RefusedError(403, "origin: expected this server's own page")
        if not self._buckets.take(address_of(request)):
            raise RefusedError(429, "too many requests; wait a second", retry_after=1)

    async def check_token(self, request: web.Request) -> None:
        """Raises RefusedError 401 after a while, unless the request carries the token, or none is needed."""
        if self._settings.token is None or self.has_token(request):
            return
        # Guessing costs what changing does, whatever was asked for.
        if request.method not in CHANGING and not self._buckets.take(address_of(request)):
            raise RefusedError(429, "too many requests; wait a second", retry_after=1)
        await asyncio.sleep(random.uniform(*self._settings.limits.wrong_token_s))
        raise RefusedError(401, "token: expected the one that the server printed as a link; open that link")

    def has_token(self, request: web.Request) -> bool:
        if self._settings.token is None:
            return True
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        given = token.strip().encode("utf-8", "surrogateescape")
        return hmac.compare_digest(given, self._settings.token.encode()) and scheme.lower() == "bearer"


def address_of(request: web.Request) -> str:
    """Of the connection itself: headers of proxies can be made up."""
    return request.remote or "unknown"


async def read_text(request: web.Request, *, limits: Limits, kind: str) -> str:
    """The body as text. Raises RefusedError: 415 of another kind, 413 too long, 408 too slow, 400 not UTF-8."""
    if request.content_type != kind:
        raise RefusedError(415, f"content type: expected {kind}, got {request.content_type}")
    if (request.content_length or 0) > limits.body_bytes:
        raise RefusedError(413, f"body: expected at most {limits.body_bytes} bytes")
    body = b""
    try:
        async with asyncio.timeout(limits.body_s):
            async for chunk in request.content.iter_chunked(16 * 1024):
                body += chunk
                if len(body) > limits.body_bytes:
                    raise RefusedError(413, f"body: expected at most {limits.body_bytes} bytes")
        return body.decode()
    except TimeoutError:
        raise RefusedError(408, f"body: expected it within {limits.body_s:g} s") from None
    except UnicodeDecodeError:
        raise RefusedError(400, "body: expected UTF-8") from None


def _told(refusal: RefusedError) -> web.Response:
    headers = {}
    if refusal.retry_after is not None:
        headers["Retry-After"] = str(refusal.retry_after)
    if refusal.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    response = web.json_response({"error": str(refusal)}, status=refusal.status, headers=headers)
    if refusal.status in (408, 413):
        response.force_close()
    return response
