"""The latency benchmark's own arithmetic, and a short run of the whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import latency


def test_growth_is_seen_and_the_first_second_is_not() -> None:
    series = [(0.0, 999.0, 1.0)] + [(float(t), 50.0 + t, 400.0 + 2 * t) for t in range(10)]
    grown = latency.trend(series)
    assert grown == {"age_ms_start": 50.5, "age_ms_end": 58.5, "rss_mb_start": 401.0, "rss_mb_end": 417.0}
    assert latency.trend(series[:2]) == {}


def test_a_time_is_a_median_that_leaves_the_first_call_out(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 1.0, 1.0, 3.0, 3.0, 103.0])
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(clock))
    calls: list[int] = []
    assert latency.milliseconds(lambda: calls.append(1), times=3) == 2000.0
    assert len(calls) == 4


@pytest.mark.slow
def test_a_short_run_tells_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(latency, "STARTS", 1)
        patch.setattr(latency, "measure_ratio", lambda **_chosen: FIGURES)
        assert latency.main(["--seconds", "3", "--out", str(tmp_path)]) == 0
    written = json.loads(next(tmp_path.glob("latency-*.json")).read_text())
    assert written["stream"]["frames_out"] > 0
    assert len(written["first_drawing_s"]) == 1
    table = next(tmp_path.glob("latency-*.md")).read_text()
    assert table.strip() in capsys.readouterr().out
    assert "7.0 times faster" in table


def test_a_bad_clip_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert latency.main(["--clip", str(tmp_path / "none.mp4"), "--seconds", "1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


FIGURES = {"model_ms": 10.0, "engine": "e", "model": "lite", "paper_eager_ms": 70.0, "ratio": 7.0, "threads": 2}
