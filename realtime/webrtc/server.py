"""The server as a program: started and stopped from a thread that knows nothing of asyncio."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from aiohttp import web

from realtime.core import ConfigError
from realtime.webrtc.app import make_app, make_runner
from realtime.webrtc.lobby import Lobby
from realtime.webrtc.logs import on_loop_fault, told
from realtime.webrtc.pipeline import Parts
from realtime.webrtc.settings import Settings

log = logging.getLogger(__name__)


class Server:
    """Runs until it is stopped. A context manager: leaving it closes what it was opened with."""

    option = "--serve"
    """What its user named the address by."""

    def __init__(
        self, *, settings: Settings, parts: Parts | None, say: Callable[[str], None], opened: ExitStack
    ) -> None:
        """
        Args:
            settings: how it runs; any address but loopback must have a token (:meth:`Settings.guarded`).
            parts: of the peers' pipelines.
            say: takes lines for the user.
            opened: closed in the end.
        """
        assert settings.loopback or settings.token, "an address that others reach needs a token"
        self.settings = settings
        self.port = settings.port
        """The one that it listens on, once it does."""
        self._parts = parts
        self._say = say
        self._opened = opened
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._stopped = False

    def run(self) -> None:
        """Serve until :meth:`stop`. Raises ConfigError when the address cannot be had."""
        with told(self._say):
            asyncio.run(self._serve())

    def stop(self) -> None:
        """Tell every peer and end. May be called from a signal handler or another thread, also before run()."""
        self._stopped = True
        if self._loop is not None and self._stop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stop.set)

    def report(self) -> None:
        """There is nothing to add."""

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(on_loop_fault)
        lobby, app = self._doors()
        runner = make_runner(app)
        await runner.setup()
        try:
            await self._listen(runner)
            self._say(self.greeting())
            if not self._stopped:
                await self._stop.wait()
            self._say("stopping: telling the peers")
        finally:
            await lobby.close()
            await runner.cleanup()

    def _doors(self) -> tuple[Lobby, web.Application]:
        lobby = Lobby(parts=self._parts, settings=self.settings)
        return lobby, make_app(lobby=lobby)

    async def _listen(self, runner: web.AppRunner) -> None:
        settings = self.settings
        try:
            site = web.TCPSite(runner, settings.host, settings.port, ssl_context=_tls(settings))
            await site.start()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigError(
                f"{self.option} {settings.host}:{settings.port}: {reason}; expected an address that is free; "
                "give another"
            ) from None
        self.port = runner.addresses[0][1]

    def greeting(self) -> str:
        """Where to go: with the token as a link, once; it is written nowhere else."""
        host = f"[{self.settings.host}]" if ":" in self.settings.host else self.settings.host
        link = f"{self.settings.scheme}://{host}:{self.port}/"
        return f"serving  {link}{'#token=' + self.settings.token if self.settings.token else ''}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()


def _tls(settings: Settings) -> ssl.SSLContext | None:
    if settings.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"--certificate {str(settings.certificate)!r}: expected a PEM certificate and key; got {error}; check both"
        ) from None
    return context
