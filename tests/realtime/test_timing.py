import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from pipeline_fakes import picture

from realtime.timing import SAMPLES, Reservoir, Stats, peak_rss_mb


def test_percentiles_of_a_few_numbers_are_exact() -> None:
    values = Reservoir()
    for value in range(101):
        values.add(float(value))
    assert values.percentiles() == {"p50": 50.0, "p95": 95.0, "p99": 99.0}


def test_a_long_run_keeps_a_fair_sample_in_bounded_memory() -> None:
    values = Reservoir(capacity=1000)
    for value in range(50_000):
        values.add(value / 50_000)
    assert len(values._values) == 1000
    found = values.percentiles()
    assert found["p50"] == pytest.approx(0.5, abs=0.05)  # a ring of the last 1000 would say 0.99
    assert found["p95"] == pytest.approx(0.95, abs=0.03)
    assert SAMPLES >= 1000


def test_what_a_run_keeps_is_taken_at_its_beginning() -> None:
    values = Reservoir()
    values.add(0.0)
    tracemalloc.start()
    try:
        for value in range(3 * SAMPLES):
            values.add(float(value))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2048  # a list of floats held 32 bytes for each of them


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = monotonic


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    one = Clock()
    monkeypatch.setattr("realtime.timing.time", one)
    return one


def test_fps_counts_the_gaps_between_deliveries(clock: Clock) -> None:
    stats = Stats()
    for index in range(6):
        clock.now += 0.04
        stats.delivered(picture(index), faces=1)
    clock.now += 10
    assert stats.as_dict()["fps"] == 25.0
    assert stats.recent()["fps"] == 25.0


def test_one_frame_has_no_rate() -> None:
    stats = Stats()
    stats.delivered(picture(0), faces=0)
    assert stats.as_dict()["fps"] == 0.0
    assert stats.recent()["fps"] == 0.0


def test_age_is_counted_from_the_end_of_decode(clock: Clock) -> None:
    stats = Stats()
    for milliseconds in (30, 50, 70):
        stats.delivered(replace(picture(0), captured=clock.now - milliseconds / 1000), faces=0)
    assert stats.as_dict()["age_ms"]["p50"] == 50.0


def test_every_figure_that_is_promised_is_there_and_is_json(clock: Clock) -> None:
    stats = Stats(engine="openvino bf16", device="CPU")
    for _ in range(3):
        stats.captured()
    stats.dropped()
    with stats.stage("draw"):
        clock.now += 0.012
    stats.delivered(picture(0), faces=2)
    told = json.loads(json.dumps(stats.as_dict()))
    assert (told["frames_in"], told["frames_out"], told["dropped"], told["in_flight"]) == (3, 1, 1, 1)
    assert (told["engine"], told["device"], told["faces"]) == ("openvino bf16", "CPU", 2)
    assert told["stages_ms"]["draw"]["p50"] == 12.0
    assert set(told["age_ms"]) == {"p50", "p95", "p99"}
    assert "openvino bf16 on CPU" in stats.table()


def test_frames_drawn_by_older_landmarks_are_counted_and_told() -> None:
    stats = Stats()
    stats.late(0.0)
    assert "late" not in stats.table()
    stats.late(0.1)
    assert stats.as_dict()["carried"] == 1
    assert stats.as_dict()["tracking_delay_ms"]["p50"] == 50.0
    assert "tracking was late in 1 frames" in stats.table()


def test_a_stage_that_fails_is_not_counted() -> None:
    stats = Stats()
    with pytest.raises(RuntimeError), stats.stage("draw"):
        raise RuntimeError
    assert stats.as_dict()["stages_ms"] == {}


def test_peak_memory_sees_a_large_array() -> None:
    before = peak_rss_mb()
    held = np.ones(int((before + 60) * 2**20), np.uint8)
    assert peak_rss_mb() >= before + 30
    assert held[0] == 1
