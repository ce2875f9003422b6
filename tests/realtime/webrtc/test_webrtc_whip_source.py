"""A source that is published to: what is drawn of whom, and what never comes in."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
from serving import Served, run, until, whip

from realtime.choose import Plan, source_choice
from realtime.config import StreamConfig, parse
from realtime.core import Frame, SourceError
from realtime.webrtc.settings import Limits, Settings
from realtime.webrtc.whip_source import PAPER_SIZE, WhipSource, fitted
from realtime.wiring import open_source


class Watching:
    """Reads a source in a thread of its own, as a stream does."""

    def __init__(self, source: WhipSource) -> None:
        self.frames: list[Frame] = []
        self.error: Exception | None = None
        self._source = source
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        try:
            for frame in self._source:
                self.frames.append(frame)
                del self.frames[:-50]
        except Exception as error:
            self.error = error

    def last(self, test: Callable[[Frame], bool]) -> Callable[[], bool]:
        return lambda: bool(self.frames) and test(self.frames[-1])


@asynccontextmanager
async def published_to(*, token: str | None = None) -> AsyncIterator[tuple[Served, WhipSource, Watching]]:
    said: list[str] = []
    settings = Settings(port=0, token=token, limits=Limits(wrong_token_s=(0.0, 0.01)))
    source = await asyncio.to_thread(WhipSource, settings=settings, say=said.append)
    watching = Watching(source)
    try:
        assert len(said) == 1
        assert f":{source.port}/whip" in said[0]
        assert token is None or token in said[0]
        async with aiohttp.ClientSession() as http:
            nothing: Any = None
            url = f"http://127.0.0.1:{source.port}"
            yield Served(url=url, lobby=nothing, http=http, engine=nothing, trackers=[]), source, watching
    finally:
        await asyncio.to_thread(source.close)
        await asyncio.to_thread(watching.thread.join, 10)
        assert not watching.thread.is_alive()
        assert watching.error is None


def is_grey(frame: Frame) -> bool:
    return not frame.blank and 80 < frame.image.mean() < 125


def test_paper_until_somebody_publishes_after_they_have_gone_and_then_the_next_one() -> None:
    async def scenario() -> None:
        async with published_to() as (there, _source, watching):
            await until(watching.last(lambda frame: frame.blank))
            assert watching.frames[-1].image.shape == (PAPER_SIZE[1], PAPER_SIZE[0], 3)
            async with whip(there, kinds="va") as sender:
                await until(watching.last(is_grey))
                assert watching.frames[-1].image.shape == (240, 320, 3)
                async with there.http.delete(there.url + sender.location) as response:
                    assert response.status == 200
            await until(watching.last(lambda frame: frame.blank))
            assert watching.frames[-1].image.shape == (240, 320, 3)
            async with whip(there, "/whip/studio", codec="H264") as sender:
                await until(watching.last(is_grey))
                sender.camera.covered = True
                await until(watching.last(lambda frame: frame.blank))
            indices = [frame.index for frame in watching.frames]
            assert indices == sorted(set(indices))

    run(scenario())


def test_one_publishes_at_a_time_and_nobody_can_watch() -> None:
    async def scenario() -> None:
        async with published_to() as (there, _source, watching), whip(there) as sender:
            await until(watching.last(is_grey))
            response = await there.post_sdp("/whip", sender.connection.localDescription.sdp)
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
            assert (await there.post_sdp("/whep/studio", "v=0")).status == 404
            for path in ("/", "/stats", "/mjpeg/studio", f"{sender.location}/drawing.png", "/static/page.js"):
                async with there.http.get(there.url + path) as response:
                    assert response.status in (404, 405)

    run(scenario())


def test_a_token_must_be_shown() -> None:
    async def scenario() -> None:
        async with published_to(token="correct-horse-battery") as (there, _source, watching):
            assert (await there.post_sdp("/whip", "v=0", Authorization="Bearer wrong")).status == 401
            async with whip(there, Authorization="Bearer correct-horse-battery"):
                await until(watching.last(is_grey))

    run(scenario())


def test_a_picture_of_another_shape_lies_on_paper_of_the_size_that_there_was() -> None:
    def picture(width: int, height: int) -> av.VideoFrame:
        return av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8), format="rgb24")

    turned = fitted(picture(240, 320), (320, 240))
    assert turned.shape == (240, 320, 3)
    assert (turned[:, :60] == 255).all()
    assert (abs(turned[:, 80:240].astype(int) - 90) < 4).all()
    assert (abs(fitted(picture(640, 480), (320, 240)).astype(int) - 90) < 4).all()


def test_an_address_in_use_is_told_in_words() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SourceError, match=rf"--source whip 127.0.0.1:{port}: .*expected an address that is free"):
            WhipSource(settings=Settings(port=port), say=print)


def test_it_is_named_on_the_command_line_and_opened_by_its_address() -> None:
    assert str(source_choice("whip")) == "whip 127.0.0.1:8080"
    assert source_choice("whip:0.0.0.0:9").value == "0.0.0.0:9"
    assert source_choice("whip:[::1]:9").value == "[::1]:9"
    with pytest.raises(SourceError, match="expected whip or whip:HOST:PORT"):
        source_choice("whip:http://host/whip")
    config = parse(["--source", "whip:127.0.0.1:0"])[0]
    with closing(open_source(plan_of(config), config, print)) as source:
        assert source.info.live


def test_others_than_this_machine_need_a_token_that_is_said_once() -> None:
    said: list[str] = []
    config = parse(["--source", "whip:0.0.0.0:0"])[0]
    with closing(open_source(plan_of(config), config, said.append)):
        pass
    (line,) = said
    assert len(line.rpartition("bearer token ")[2]) >= 32


def plan_of(config: StreamConfig) -> Plan:
    assert config.source is not None
    return Plan(source=source_choice(config.source), sinks=(), live=True, seconds=None, sheet=None, said=())
