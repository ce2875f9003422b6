"""The benchmarks of many peers and of lips: what they send can be read, and what they tell is what was measured."""

from __future__ import annotations

import asyncio
from typing import Any

import av
import numpy as np
import pytest

from benchmarks import lips, peers
from benchmarks.clip_peers import SIZE, encoded
from benchmarks.timecode import read_row


def codes(packets: list[bytes]) -> list[int | None]:
    context = av.CodecContext.create("libvpx", "r")
    frames = [frame for packet in packets for frame in context.decode(av.Packet(packet))]
    return [read_row(np.asarray(frame.to_ndarray(format="gray"), np.uint8), width=SIZE[0]) for frame in frames]


def test_every_picture_of_the_clip_tells_its_number() -> None:
    assert codes(encoded(None, most=40)) == list(range(40))


def test_a_flash_tells_how_old_it_is_and_begins_with_the_beep() -> None:
    assert [lips.code_of(index) for index in (0, 1, 2, 3, 29, 30)] == [0, 33, 67, lips.NO_FLASH, lips.NO_FLASH, 0]

    async def heard() -> list[Any]:
        microphone = lips.Microphone(begun=-1e9)
        return [await microphone.recv() for _ in range(51)]

    frames = asyncio.run(heard())
    loud = [frame.pts / lips.RATE for frame in frames if np.abs(frame.to_ndarray()).max() > lips.LOUD]
    assert loud == pytest.approx([0.0, 0.02, 0.04, 0.06, 0.08, 1.0])


def test_flash_and_beep_are_paired_and_strays_left_out() -> None:
    late = lips.apart([1.0, 2.0, 3.0, 9.0], [1.03, 1.98, 3.6])
    assert late == pytest.approx([0.03, -0.02])
    assert lips.apart([1.0], []) == []


def test_the_table_tells_the_worst_peer_and_the_door() -> None:
    def one(fps: float, p95: float, rate: float | None) -> dict[str, Any]:
        both = {"p50": p95 / 2, "p95": p95}
        return {"fps": fps, "round_trip_ms": both, "age_ms": both, "quality": {"scale": 1.0, "fps": rate}, "dropped": 0}

    run = {
        "count": 2,
        "together": True,
        "batch": 1.5,
        "peers": [one(14.0, 80.0, 15.0), one(20.0, 40.0, None)],
        "fps": [14.0, 20.0],
        "pictures_per_s": 34.0,
        "server_cores": 1.5,
        "clients_cores": 0.2,
        "server_cpu_ms_a_picture": 44.0,
    }
    door = {
        "let_in": 2,
        "refusal": {"status": 503, "retry_after_s": "10"},
        "turned_away_of_10": 10,
        "load": {"room_for": 2.4, "processor_ms_a_picture": 44.0, "others_cores": 0.2},
        "before": [one(15.0, 80.0, None)],
        "while_turning_away": [one(15.5, 80.0, None)],
    }
    described = {"date": "2026-11-28", "cpu": "c", "cores": 2, "load": 0.1, "python": "3"}
    text = peers.table({"machine": described, "clip": "demo", "seconds": 1.0, "runs": [run], "door": door})
    assert "| 2 | together | 1.50 | 14.0 to 20.0 | 34.0 | 40 ms | 80 ms |" in text
    assert "at most 15, full rate" in text
    assert "2 let in, then 503 with Retry-After 10; of 10 more, 10 turned away" in text
