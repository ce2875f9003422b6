"""Publishing as a WHIP client: to this program's own server, and to what is none."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from serving import run, serving, until, whep
from test_webrtc_outside import Running

from realtime.choose import sink_choice
from realtime.core import Frame, SinkError
from realtime.webrtc.settings import Settings
from realtime.webrtc.whip_sink import WhipSink


def frames() -> Iterator[Frame]:
    index = 0
    while True:
        image = np.full((240, 320, 3), 255, np.uint8)
        image[100:140, 40 + index % 100 : 80 + index % 100] = 0
        yield Frame(image=image, index=index, captured=time.monotonic())
        index += 1


def send_for_ever(sink: WhipSink) -> None:
    for frame in frames():
        sink.send(frame)
        time.sleep(0.02)


@contextmanager
def sending(sink: WhipSink) -> Iterator[threading.Event]:
    stop = threading.Event()

    def send() -> None:
        for frame in frames():
            if stop.wait(0.04):
                return
            sink.send(frame)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join()


def test_a_drawing_is_published_and_others_can_watch_it() -> None:
    async def scenario() -> None:
        async with serving(token="correct-horse-battery") as served:
            sink = await asyncio.to_thread(WhipSink, url=f"{served.url}/whip/studio", token="correct-horse-battery")
            try:
                with sending(sink):
                    async with whep(served, "studio", Authorization="Bearer correct-horse-battery") as watcher:
                        await watcher.drawing()
            finally:
                await asyncio.to_thread(sink.close)
            await asyncio.to_thread(sink.close)
            await until(lambda: not served.lobby.sessions)

    run(scenario())


def test_a_redirection_is_followed_and_the_offer_says_all_that_it_must() -> None:
    async def scenario() -> None:
        async with serving() as served:
            seen: list[str] = []

            async def elsewhere(request: web.Request) -> web.Response:
                seen.append(await request.text())
                return web.Response(status=307, headers={"Location": f"{served.url}/whip/studio"})

            app = web.Application()
            app.router.add_post("/whip", elsewhere)
            async with TestServer(app, host="127.0.0.1") as first:
                sink = await asyncio.to_thread(WhipSink, url=str(first.make_url("/whip")), token=None)
                await asyncio.to_thread(sink.close)
            await until(lambda: not served.lobby.sessions)  # DELETE went where the redirection had led
            (offer,) = seen
            assert offer.count("a=rtcp-mux-only\r\n") == offer.count("m=video") == 1
            assert "a=sendonly" in offer
            assert "a=setup:actpass" in offer

    run(scenario())


def test_a_wrong_token_is_refused_in_words() -> None:
    async def scenario() -> None:
        async with serving(token="correct-horse-battery") as served:
            with pytest.raises(SinkError, match="expected 201 Created, got 401; set WHIP_TOKEN"):
                await asyncio.to_thread(WhipSink, url=f"{served.url}/whip/studio", token="wrong")

    run(scenario())


def test_nobody_there_is_told_in_words_without_the_query() -> None:
    with pytest.raises(SinkError, match="expected a WHIP endpoint") as refused:
        WhipSink(url="http://127.0.0.1:9/whip?key=secret", token=None)
    assert "secret" not in str(refused.value)


def test_a_server_that_stops_ends_the_sending() -> None:
    with Running(Settings(port=0)) as running:
        sink = WhipSink(url=f"http://127.0.0.1:{running.server.port}/whip", token=None)
        with closing(sink):
            running.server.stop()
            with pytest.raises(SinkError, match="the connection was lost"):
                send_for_ever(sink)


def test_a_whip_sink_is_named_by_its_url() -> None:
    choice = sink_choice("whip:https://host/whip/x")
    assert (choice.kind, choice.value) == ("whip", "https://host/whip/x")
    with pytest.raises(SinkError, match="expected whip: and a URL"):
        sink_choice("whip:host")
