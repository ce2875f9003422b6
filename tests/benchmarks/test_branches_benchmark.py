"""Every way of running the branches is measured and held against the plain one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from apdgan import config
from benchmarks import branches
from engines import EngineLostError


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    preset = config.preset("lite", width=8)
    monkeypatch.setattr(config, "preset", lambda _name: preset)


def measured(hows: tuple[str, ...] = ("eager",), batches: tuple[int, ...] = (1,)) -> list[dict]:
    return branches.compare(branches.measure("lite", hows, batches, seconds=0.01))


def test_every_way_draws_the_same_and_is_timed() -> None:
    rows = measured(("eager",), (1, 2))
    ways = [(row["engine"], row["branches"], row["batch"]) for row in rows]
    assert ways == [("eager fp32", way, batch) for way in ("single", "grouped", "streams") for batch in (1, 2)]
    assert all(0 < row["ms_p50"] <= row["ms_p95"] for row in rows)
    assert all(row["grey"] < 0.01 for row in rows)
    assert [row["as_fast"] for row in rows[:2]] == [1.0, 1.0]
    json.dumps(rows)


def test_another_drawing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = branches._open

    def other(preset: str, how: str, way: str):  # type: ignore[no-untyped-def]
        session = opened(preset, how, way)
        if way == "grouped":
            run = session.run
            session.run = lambda arrays: 255 - run(arrays)
        return session

    monkeypatch.setattr(branches, "_open", other)
    assert [row["grey"] > 1 for row in measured()] == [False, True, False]


def test_a_way_that_breaks_is_named_and_the_others_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = branches._open

    def breaks(preset: str, how: str, way: str):  # type: ignore[no-untyped-def]
        if way == "single":
            raise EngineLostError("out of GPU memory")
        return opened(preset, how, way)

    monkeypatch.setattr(branches, "_open", breaks)
    rows = measured()
    assert ["problem" in row for row in rows] == [True, False, False]
    text = branches.table(rows)
    assert "| lite | eager | single | 1 | out of GPU memory |" in text
    assert "| lite | eager fp32 | grouped | 1 |" in text


def test_compiled_branches_have_no_streams_and_nothing_is_begun_when_the_time_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(branches, "_measured", lambda *_what: {"engine": "inductor fp32"})
    rows = branches.measure("lite", ("inductor",), (1,), seconds=0.01)
    assert [row["branches"] for row in rows] == ["single", "grouped"]
    left = iter([5.0, 0.0])
    rows = branches.measure("lite", ("eager",), (1,), seconds=0.01, left=lambda: next(left))
    assert [row["branches"] for row in rows] == ["single"]


def test_the_command_writes_a_table_and_refuses_what_it_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["lite", "--how", "eager", "--batches", "1", "--seconds", "0.01", "--out", str(tmp_path)]
    assert branches.main(command) == 0
    (text,) = (path.read_text() for path in tmp_path.glob("branches-*.md"))
    assert "| lite | eager fp32 | streams | 1 |" in text
    capsys.readouterr()
    assert branches.main(["thick"]) == 2
    assert capsys.readouterr().err == "error: expected presets of paper, studio, lite, got thick\n"
    assert branches.main(["lite", "--batches", "1", "32"]) == 2
    assert capsys.readouterr().err == "error: expected --batches of 1 to 16 and --seconds above 0\n"
