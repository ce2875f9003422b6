"""The machine's load by measure: who is let in, and what reaches those who are here."""

from __future__ import annotations

import math
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from serving import Camera, page, run, serving, stream_of, until, whep, whip

from realtime.core import Frame
from realtime.webrtc.inlet import Allowance
from realtime.webrtc.ladder import Ladder, Rung
from realtime.webrtc.load import FULL, PATIENCE, PROMISED_FPS, Clocks, Load


def a_load(*, cores: int = 2) -> Load:
    return Load(engine_s=lambda: 0.0, cores=cores)


def learnt(load: Load, *, fps: float, picture_s: float, engine_s: float = 0.0, others: float = 0.0) -> Load:
    """So many pictures a second for half a minute, beside so many processors that others keep busy."""
    for t in range(30):
        drawn = int(t * fps)
        ours = drawn * picture_s
        load.learn(
            Clocks(now=t, ours=ours, everybody=ours + others * t, engine=drawn * engine_s, pictures=drawn),
        )
    return load


def test_as_many_fit_as_can_be_given_what_is_promised() -> None:
    load = learnt(a_load(), fps=30, picture_s=0.035)
    assert load.room == pytest.approx(FULL * 2 / (PROMISED_FPS * 0.035))
    assert [load.full(drawn) for drawn in range(5)] == [False, False, False, True, True]


def test_what_other_programs_use_is_not_given_away() -> None:
    load = learnt(a_load(), fps=30, picture_s=0.04, others=1.0)
    assert load.others == pytest.approx(1.0, rel=0.01)
    assert [load.full(drawn) for drawn in range(3)] == [False, True, True]


def test_a_busy_engine_is_full_while_processors_are_idle() -> None:
    load = learnt(a_load(cores=64), fps=30, picture_s=0.001, engine_s=0.03)
    assert load.room == pytest.approx(FULL / (PROMISED_FPS * 0.03))


def test_nothing_is_refused_before_anything_is_known_and_the_first_never() -> None:
    assert not a_load().full(3)
    assert not learnt(a_load(), fps=30, picture_s=10.0).full(0)


class Drawn:
    """A show as far as load is measured by it."""

    def __init__(self, *, camera_fps: float, drawn_fps: float, age_s: float = 0.05) -> None:
        latest = Frame(image=np.zeros((480, 640, 3), np.uint8), index=0, captured=0.0)
        self.camera_fps, self.drawn_fps = camera_fps, drawn_fps
        self.inlet = SimpleNamespace(received=0)
        self.stats = SimpleNamespace(frames_out=0)
        self.pipeline = SimpleNamespace(inlet=self.inlet, stats=self.stats, ladder=Ladder())
        self.broadcast: Any = SimpleNamespace(latest=latest, watched=True, latency=age_s, scale=1.0)

    def second(self) -> None:
        self.inlet.received += round(self.camera_fps)
        self.stats.frames_out += round(min(self.drawn_fps, self.pipeline.ladder.rung.fps))


def seconds(load: Load, monkeypatch: pytest.MonkeyPatch, count: int, *shows: Drawn) -> None:
    for _ in range(count):
        for show in shows:
            show.second()
        now = time.monotonic() + 1
        monkeypatch.setattr("realtime.webrtc.load.time.monotonic", lambda now=now: now)
        load.look(shows)  # type: ignore[arg-type]


def test_each_peer_steps_on_its_own_ladder_and_what_is_sent_becomes_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    load, slow, good = a_load(), Drawn(camera_fps=30, drawn_fps=12), Drawn(camera_fps=30, drawn_fps=30)
    seconds(load, monkeypatch, PATIENCE + 5, slow, good)
    assert (slow.broadcast.scale, good.broadcast.scale) == (0.75, 1.0)
    seconds(load, monkeypatch, 3, slow, good)
    assert slow.pipeline.ladder.slowed
    assert not good.pipeline.ladder.slowed


def test_who_gets_less_than_promised_shuts_the_door_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    load, show = a_load(), Drawn(camera_fps=30, drawn_fps=9)
    seconds(load, monkeypatch, PATIENCE + 5, show)
    assert load.crowded
    assert load.full(1)
    show.drawn_fps = 16
    show.pipeline.ladder.rung = Rung()
    seconds(load, monkeypatch, 2, show)
    assert not load.crowded


def test_a_slow_camera_and_one_whom_nobody_watches_shut_no_door(monkeypatch: pytest.MonkeyPatch) -> None:
    load, show, resting = a_load(), Drawn(camera_fps=5, drawn_fps=5), Drawn(camera_fps=30, drawn_fps=0)
    resting.broadcast.watched = False
    seconds(load, monkeypatch, 20, show, resting)
    assert not load.crowded
    assert resting.pipeline.ladder.rung == Rung()


def test_a_full_machine_refuses_a_camera_with_503_and_still_lets_people_watch() -> None:
    async def scenario() -> None:
        async with serving(peers=8) as served, whip(served) as sender:
            served.lobby.load.cost_s = 1.0
            response = await served.post_sdp("/whip", "v=0")
            assert response.status == 400  # what cannot be read is told first
            from aiortc import RTCPeerConnection

            other = RTCPeerConnection()
            other.addTransceiver("video", direction="sendonly")
            await other.setLocalDescription(await other.createOffer())
            response = await served.post_sdp("/whip", other.localDescription.sdp)
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
            assert "too busy" in (await response.json())["error"]
            assert served.lobby.opened["refused"] == 1
            async with whep(served, stream_of(served, sender)):
                pass
            served.lobby.load.cost_s = 0.0
            assert (await served.post_sdp("/whip", other.localDescription.sdp)).status == 201
            await other.close()

    run(scenario())


def test_a_lower_rung_reaches_the_peer_as_fewer_and_smaller_pictures() -> None:
    async def scenario() -> None:
        async with serving() as served, page(served, camera=Camera(width=640, height=480)) as peer:
            await peer.drawing()
            assert peer.newest.shape == (480, 640)
            show = served.lobby.sessions[0].show
            show.pipeline.ladder.rung = Rung(scale=0.75, fps=5.0)
            show.broadcast.scale = 0.75
            await until(lambda: peer.newest.shape == (360, 480))
            await until(lambda: show.pipeline.inlet.spared > 20)
            assert show.figures()["quality"] == {"scale": 0.75, "fps": 5.0}
            await until(lambda: any('"quality": {"scale": 0.75, "fps": 5.0}' in one for one in peer.messages))
            show.pipeline.ladder.rung, show.broadcast.scale = Rung(), 1.0
            await until(lambda: peer.newest.shape == (480, 640))
            assert show.figures()["quality"] == {"scale": 1.0, "fps": None}

    run(scenario())


def test_load_is_measured_while_somebody_is_here_and_told() -> None:
    async def scenario() -> None:
        async with serving() as served:
            looks: list[int] = []
            served.lobby.load.look = lambda shows: looks.append(len(shows))  # type: ignore[method-assign]
            async with whip(served):
                await until(lambda: looks.count(1) > 1)
                async with served.http.get(f"{served.url}/stats") as response:
                    told = (await response.json())["load"]
                assert told["room_for"] is None
                assert told["cores"] > 0
            await until(lambda: served.lobby._looking is None)

    run(scenario())


@pytest.mark.parametrize(("rate", "through"), [(20.0, 210), (10.0, 105), (math.inf, 300), (60.0, 300)])
def test_so_many_pictures_a_second_are_let_through_and_evenly(rate: float, through: int) -> None:
    allowance = Allowance(rate=lambda: rate)
    dice = np.random.default_rng(1)
    taken = [t for t in range(300) if allowance.take(t / 30 + dice.uniform(-0.01, 0.01))]
    assert abs(len(taken) - through) <= 3
    assert max(np.diff(taken)) <= math.ceil(30 / rate) + 1
