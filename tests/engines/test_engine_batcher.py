"""Many peers share one engine: batches, order, errors, the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import numpy as np
import pytest
from numpy.typing import NDArray

from engines.batcher import Batcher, Seat
from engines.contract import BLANK_BOXES, Engine

Bytes = NDArray[np.uint8]


class Marker:
    """Gives back what it was given, and notes batches, threads and overlaps."""

    name, device = "marker", "none"

    def __init__(self, *, seconds: float = 0.0, fail: bool = False) -> None:
        self.sizes: list[int] = []
        self.threads: set[int] = set()
        self._seconds, self._fail = seconds, fail

    def draw(self, photo: Bytes, boxes: NDArray[np.int32], matte: Bytes) -> Bytes:
        assert len(photo) == len(boxes) == len(matte)
        self.sizes.append(len(photo))
        self.threads.add(threading.get_ident())
        time.sleep(self._seconds)
        if self._fail:
            raise RuntimeError("the engine broke")
        return photo[..., 0].copy()


def portrait(level: int, count: int = 1) -> tuple[Bytes, NDArray[np.int32], Bytes]:
    photo = np.full((count, 512, 512, 3), level, np.uint8)
    return photo, np.repeat(BLANK_BOXES, count, 0), np.zeros((count, 512, 512), np.uint8)


@contextmanager
def batched(engine: Marker, **options: object) -> Iterator[Batcher]:
    with closing(Batcher(engine=engine, **options)) as batcher:  # type: ignore[arg-type]
        yield batcher


def test_a_seat_is_an_engine() -> None:
    with batched(Marker()) as batcher, batcher.seat() as seat:
        assert seat.name == "marker"
        assert (seat.draw(*portrait(7)) == 7).all()
    assert isinstance(Seat, type)
    assert {"draw", "close", "__enter__"} <= set(dir(Engine))


def test_peers_that_ask_together_are_drawn_as_one_batch_and_each_gets_its_own() -> None:
    engine = Marker()
    with batched(engine, window_ms=2000) as batcher, ThreadPoolExecutor(4) as pool:
        seats = [batcher.seat() for _ in range(4)]
        drawn = list(pool.map(lambda pair: pair[1].draw(*portrait(pair[0] + 1)), enumerate(seats)))
    assert engine.sizes == [4]  # every seat had asked: the window of 2 s was not waited for
    assert [int(one.max()) for one in drawn] == [1, 2, 3, 4]
    assert [int(one.min()) for one in drawn] == [1, 2, 3, 4]


def test_on_a_cpu_nobody_waits_for_another_and_a_card_that_takes_over_draws_together() -> None:
    engine = Marker(seconds=0.05)
    engine.device = "CPU (fast), 1 thread"
    with batched(engine, window_ms=60_000) as batcher, ThreadPoolExecutor(4) as pool:
        seats = [batcher.seat() for _ in range(4)]
        assert (seats[0].draw(*portrait(1)) == 1).all()  # the three others have not asked: the minute is not waited for
        list(pool.map(lambda seat: seat.draw(*portrait(2)), seats))
        assert engine.sizes == [1] * 5
        assert len(seats[1].draw(*portrait(3, 2))) == 2
        engine.device = "CUDA"
        list(pool.map(lambda seat: seat.draw(*portrait(4)), seats))
    assert engine.sizes == [1, 1, 1, 1, 1, 2, 4]


def test_several_faces_of_one_peer_stay_together() -> None:
    engine = Marker()
    with batched(engine, window_ms=2000, most=3) as batcher, ThreadPoolExecutor(2) as pool:
        seats = [batcher.seat(), batcher.seat()]
        a, b = pool.map(lambda pair: pair[0].draw(*portrait(pair[1], 2)), zip(seats, (5, 9), strict=True))
    assert engine.sizes == [2, 2]
    assert a.shape == b.shape == (2, 512, 512)
    assert (a == 5).all()
    assert (b == 9).all()


def test_who_does_not_ask_is_waited_for_no_longer_than_the_window() -> None:
    with batched(Marker(), window_ms=20) as batcher:
        with batcher.seat() as asks, batcher.seat():
            begun = time.monotonic()
            asks.draw(*portrait(1))
            assert time.monotonic() - begun > 0.015
        begun = time.monotonic()
        with batcher.seat() as alone:
            for _ in range(50):
                alone.draw(*portrait(1, 1))
        assert batcher.portraits == 51


def test_a_batch_is_filled_up_to_a_size_that_the_engine_was_built_for() -> None:
    engine = Marker()
    with batched(engine, buckets=(4, 2)) as batcher, batcher.seat() as seat:
        assert seat.draw(*portrait(3, 3)).shape == (3, 512, 512)
        assert seat.draw(*portrait(3, 2)).shape == (2, 512, 512)
        assert seat.draw(*portrait(3, 5)).shape == (5, 512, 512)
    assert engine.sizes == [4, 2, 5]


def test_the_engine_is_called_from_one_thread_only() -> None:
    engine = Marker(seconds=0.001)
    with batched(engine) as batcher, ThreadPoolExecutor(8) as pool:
        seats = [batcher.seat() for _ in range(8)]
        list(pool.map(lambda seat: [seat.draw(*portrait(1)) for _ in range(5)], seats))
    assert len(engine.threads) == 1
    assert sum(engine.sizes) == 40


def test_a_fault_of_the_engine_reaches_whoever_asked_and_the_next_is_drawn() -> None:
    engine = Marker(fail=True)
    with batched(engine) as batcher, batcher.seat() as seat:
        with pytest.raises(RuntimeError, match="the engine broke"):
            seat.draw(*portrait(1))
        engine._fail = False
        assert (seat.draw(*portrait(2)) == 2).all()


def test_a_closed_seat_and_a_closed_batcher_say_so() -> None:
    with batched(Marker()) as batcher:
        seat, other = batcher.seat(), batcher.seat()
        seat.close()
        seat.close()
        with pytest.raises(ValueError, match="this seat is closed"):
            seat.draw(*portrait(1))
    batcher.close()
    with pytest.raises(ValueError, match="the batcher is closed"):
        other.draw(*portrait(1))
