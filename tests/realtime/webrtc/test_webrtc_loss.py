"""A bad line: packets lost and out of order, and then a good one again."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime
from queue import Queue
from typing import Any

import pytest
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtcrtpreceiver import NackGenerator, RTCRtpSynchronizationSource
from aiortc.rtp import RtpPacket
from serving import Served, page, run, serving, until

from realtime.webrtc import mending


class BadLine:
    """Drops and delays the RTP and RTCP that come in to the server's first session."""

    def __init__(self, served: Served, *, loss: float, late: float = 0.0) -> None:
        connection = served.lobby.sessions[0]._connection
        self._ice: Any = connection.getTransceivers()[0].sender.transport.transport._connection
        self._pass = self._ice.data_received
        self._loss, self._late = loss, late
        self._dice = random.Random(1)
        self.lost = 0

    def __enter__(self) -> BadLine:
        self._ice.data_received = self._receive
        return self

    def __exit__(self, *_exc: object) -> None:
        self._ice.data_received = self._pass

    def _receive(self, data: bytes, component: int) -> None:
        media = 127 < data[0] < 192
        if media and self._dice.random() < self._loss:
            self.lost += 1
        elif media and self._dice.random() < self._late:
            asyncio.get_running_loop().call_later(0.03, self._pass, data, component)
        else:
            self._pass(data, component)


@pytest.mark.parametrize(("loss", "late"), [(0.01, 0.05), (0.05, 0.0), (0.2, 0.1), (1.0, 0.0)])
def test_the_picture_recovers_soon_after_a_bad_line_has_become_good(loss: float, late: float) -> None:
    async def scenario() -> None:
        async with serving(silence_s=60) as served, page(served) as peer:
            await peer.drawing()
            inlet = served.lobby.sessions[0].show.pipeline.inlet
            with BadLine(served, loss=loss, late=late) as line:
                await asyncio.sleep(2)
            assert line.lost or loss < 0.05
            await asyncio.sleep(2)
            before = inlet.received
            await until(lambda: inlet.received > before + 5, seconds=3)
            peer.frames.clear()
            await peer.drawing()

    run(scenario())


class Receiver:
    """As much of aiortc's receiver as is looked into; notes what is asked for."""

    def __init__(self) -> None:
        self._RTCRtpReceiver__jitter_buffer = JitterBuffer(capacity=128, is_video=True)
        self._RTCRtpReceiver__nack_generator = NackGenerator()
        self._RTCRtpReceiver__rtx_ssrc: dict[int, int] = {}
        self._RTCRtpReceiver__decoder_queue: Queue[str | None] = Queue()
        self.key_frames = 0

    def getSynchronizationSources(self) -> list[Any]:  # noqa: N802
        return [RTCRtpSynchronizationSource(timestamp=datetime.now(UTC), source=7)]

    async def _send_rtcp_pli(self, _source: int) -> None:
        self.key_frames += 1

    async def _send_rtcp_nack(self, _source: int, _lost: list[int]) -> None: ...

    def take(self, number: int) -> bool:
        """A packet that is a picture. True when that completes one."""
        packet = RtpPacket(sequence_number=number % 65536, timestamp=3000 * number, marker=1)
        packet._data = b"x"  # type: ignore[attr-defined]
        self._RTCRtpReceiver__nack_generator.add(packet)
        return self._RTCRtpReceiver__jitter_buffer.add(packet)[1] is not None


@pytest.mark.parametrize("first", [1000, 65530])
def test_a_hole_that_nobody_is_asked_to_fill_is_gone_around_and_what_comes_late_is_passed_over(first: int) -> None:
    async def scenario() -> None:
        receiver = Receiver()
        stuck = mending.Unsticking(receiver)  # type: ignore[arg-type]
        receiver.take(first)
        for number in range(first + 40, first + 60):
            assert not receiver.take(number)
        receiver._RTCRtpReceiver__nack_generator.missing.clear()  # given up, as when 128 more have come
        for now in (1.0, 1.2, 1.5):
            await stuck.look(frames=5, now=now)
        assert receiver.key_frames == 1
        assert not receiver.take(first + 20)  # repeated, too late
        assert [receiver.take(number) for number in range(first + 60, first + 64)] == [False, True, True, True]
        for now in (2.0, 2.5, 3.0):
            await stuck.look(frames=8, now=now)
        assert receiver.key_frames == 1  # a camera that pauses is no hole

    run(scenario())


def test_pictures_that_wait_for_a_slow_decoder_are_let_go_and_its_end_is_not() -> None:
    async def scenario() -> None:
        receiver = Receiver()
        stuck = mending.Unsticking(receiver)  # type: ignore[arg-type]
        waiting = receiver._RTCRtpReceiver__decoder_queue
        for _ in range(stuck.BACKLOG):
            waiting.put("picture")
        assert await stuck.look(frames=1, now=1.0) == 0
        assert (waiting.qsize(), receiver.key_frames) == (stuck.BACKLOG, 0)
        waiting.put("picture")
        assert await stuck.look(frames=2, now=1.1) == stuck.BACKLOG + 1
        assert (waiting.qsize(), receiver.key_frames) == (0, 1)
        for one in [*["picture"] * (stuck.BACKLOG + 1), None]:
            waiting.put(one)
        await stuck.look(frames=3, now=1.2)
        assert waiting.get_nowait() is None
        assert waiting.empty()

    run(scenario())


def test_after_a_gap_that_is_never_filled_the_picture_starts_afresh() -> None:
    async def scenario() -> None:
        async with serving(silence_s=60) as served, page(served) as peer:
            await peer.drawing()

            async def never(_number: int) -> None:
                """What was lost is too old to be repeated."""

            peer.connection.getSenders()[0]._retransmit = never  # type: ignore[method-assign]
            inlet = served.lobby.sessions[0].show.pipeline.inlet
            with BadLine(served, loss=1.0):
                await asyncio.sleep(1)
            before = inlet.received
            await until(lambda: inlet.received > before + 10, seconds=8)  # a frame is a packet: 512 of them take 20 s
            peer.frames.clear()
            await peer.drawing()

    run(scenario())
