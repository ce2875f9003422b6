"""A bad line: packets lost and out of order, and then a good one again."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from serving import Served, page, run, serving, until


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
