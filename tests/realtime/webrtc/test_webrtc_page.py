"""The page's connection with a real peer: drawing back, settings, paper, changes of size, the end."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from serving import Camera, InkEngine, is_drawn, is_paper, page, run, serving, until


def said(peer: Any, key: str) -> list[Any]:
    return [json.loads(one)[key] for one in peer.messages if key in json.loads(one)]


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_the_camera_goes_in_and_the_drawing_comes_back(codec: str) -> None:
    async def scenario() -> None:
        async with serving() as served, page(served, codec=codec) as peer:
            await peer.drawing()
            session = served.lobby.sessions[0]
            assert session.figures()["codec"] == codec
            assert session.connected
            assert peer.newest.shape == (240, 320)

    run(scenario())


def test_nothing_of_the_photo_is_ever_sent() -> None:
    async def scenario() -> None:
        seen: list[bool] = []
        async with serving() as served, page(served) as peer:
            for step in range(3):
                await peer.drawing()
                peer.channel.send(json.dumps({"set": {"paused": True}}))
                await peer.paper()
                peer.channel.send(json.dumps({"set": {"paused": False}}))
                seen += [
                    is_paper(f.to_ndarray(format="gray")) or bool(f.to_ndarray(format="gray").min() < 60)
                    for f in peer.frames
                ]
                assert step < 3
        assert all(seen)  # the camera's grey, 90 to 120, fills no picture

    run(scenario())


def test_settings_come_over_the_data_channel_and_are_told_back() -> None:
    async def scenario() -> None:
        async with serving() as served, page(served) as peer:
            await peer.drawing()
            await until(lambda: bool(said(peer, "choices")))
            assert [style["name"] for style in said(peer, "choices")[0]["styles"]] == ["lite", "dark"]
            peer.channel.send(json.dumps({"set": {"layout": "frame", "smooth": 0.7, "ink": "sepia", "mirror": True}}))
            await until(lambda: said(peer, "settings")[-1]["layout"] == "frame")
            told = said(peer, "settings")[-1]
            assert (told["smooth"], told["ink"], told["mirror"]) == (0.7, "#5c3618", True)
            await until(lambda: bool(said(peer, "figures")))
            assert said(peer, "figures")[-1]["engine"] == "fake"

    run(scenario())


@pytest.mark.parametrize(
    "wanted",
    [
        {"paper": "/etc/passwd"},
        {"layout": "split"},
        {"layout": "side-by-side"},
        {"smooth": 7},
        {"smooth": "NaN"},
        {"style": "../../x"},
        {"nothing": 1},
        {"ink": ["x"]},
    ],
)
def test_what_cannot_be_set_is_refused_in_words(wanted: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with serving() as served, page(served) as peer:
            await until(lambda: bool(said(peer, "settings")))
            before = said(peer, "settings")[0]
            peer.channel.send(json.dumps({"set": wanted}))
            await until(lambda: bool(said(peer, "error")))
            await until(lambda: len(said(peer, "settings")) > 1)
            assert said(peer, "settings")[-1] == before

    run(scenario())


def test_nonsense_on_the_data_channel_is_refused_and_the_drawing_goes_on() -> None:
    async def scenario() -> None:
        async with serving() as served, page(served) as peer:
            await peer.drawing()
            for nonsense in ("", "[]", "{}", '{"set": 3}', "[" * 2000, "x" * 5000, '{"set": {"smooth": []}}'):
                peer.channel.send(nonsense)
            await until(lambda: len(said(peer, "error")) >= 7)
            peer.frames.clear()
            await peer.drawing()

    run(scenario())


def test_another_style_draws_from_the_next_frame_on() -> None:
    async def scenario() -> None:
        async with serving() as served, page(served) as peer:
            await peer.drawing()
            assert peer.newest[120, 160] < 40
            peer.channel.send(json.dumps({"set": {"style": "dark"}}))
            await until(lambda: bool(peer.newest[120, 160] > 215))
            assert said(peer, "settings")[-1]["style"] == "dark"

    run(scenario())


def test_a_camera_that_is_turned_goes_on_in_its_new_shape() -> None:
    async def scenario() -> None:
        camera = Camera(width=320, height=240)
        async with serving() as served, page(served, camera=camera) as peer:
            await peer.drawing()
            camera.size = (160, 120)  # the same shape, fewer pixels: nothing changes
            await asyncio.sleep(0.5)
            await peer.drawing()
            assert peer.newest.shape == (240, 320)
            camera.size = (240, 320)
            await until(lambda: peer.newest.shape == (320, 240) and is_drawn(peer.newest))
            assert served.trackers[0].shapes == [(240, 320, 3), (320, 240, 3)]
            assert len(served.trackers) == 1

    run(scenario())


def test_a_camera_that_falls_silent_leaves_paper() -> None:
    async def scenario() -> None:
        async with serving() as served, page(served) as peer:
            await peer.drawing()
            peer.camera.covered = True
            await peer.paper()
            peer.camera.covered = False
            await peer.drawing()

    run(scenario())


def test_a_fault_of_the_engine_leaves_paper_and_ends_the_session_alone() -> None:
    async def scenario() -> None:
        async with serving() as served, page(served) as peer:
            await peer.drawing()
            served.engine.fail = True
            await until(lambda: not served.lobby.sessions)
            await until(lambda: peer.connection.connectionState == "closed")
            served.engine.fail = False
            async with page(served) as next_peer:
                await next_peer.drawing()

    run(scenario())


def test_the_newest_frame_wins_however_slow_the_engine() -> None:
    async def scenario() -> None:
        async with serving(engine=InkEngine(seconds=0.15)) as served, page(served) as peer:
            await peer.drawing()
            await asyncio.sleep(3)
            told = served.lobby.sessions[0].show.figures()
            assert told["dropped"] > 10
            assert told["in_flight"] <= 4
            assert told["age_ms"]["p95"] < 2000

    run(scenario())


def test_a_hidden_page_rests_and_comes_back() -> None:
    async def scenario() -> None:
        async with serving() as served, page(served) as peer:
            await peer.drawing()
            peer.channel.send(json.dumps({"set": {"hidden": True}}))
            await until(lambda: served.lobby.sessions[0].show.broadcast.watchers == 0)
            await asyncio.sleep(0.3)
            drawn = served.engine.drawn
            await asyncio.sleep(0.5)
            assert served.engine.drawn == drawn
            peer.frames.clear()
            peer.channel.send(json.dumps({"set": {"hidden": False}}))
            await peer.drawing()

    run(scenario())


def test_a_page_that_leaves_frees_everything() -> None:
    async def scenario() -> None:
        async with serving() as served:
            async with page(served) as peer:
                await peer.drawing()
                async with served.http.delete(served.url + peer.location) as response:
                    assert response.status == 200
                assert served.lobby.sessions == []
            await until(lambda: served.trackers[0].closed)

    run(scenario())


def test_a_style_that_takes_long_to_load_holds_up_nobody_else() -> None:
    async def scenario() -> None:
        async with serving() as served, page(served) as peer:
            await peer.drawing()
            styles = served.lobby.parts.styles
            loading, go_on = threading.Event(), threading.Event()
            load = styles._load

            def slow(name: str) -> Any:
                loading.set()
                assert go_on.wait(30)
                return load(name)

            styles._load = slow
            peer.channel.send(json.dumps({"set": {"style": "dark"}}))
            await asyncio.to_thread(loading.wait, 30)
            async with page(served) as other:
                await other.drawing()
                async with served.http.get(f"{served.url}/stats") as response:
                    assert response.status == 200
            go_on.set()
            await until(lambda: bool(peer.newest[120, 160] > 215))

    run(scenario())
