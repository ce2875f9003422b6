"""The arithmetic of the benchmark of the square."""

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.square import LAG, behind, deviation, figures, table, trembling

FPS = 30.0


def track(middle: NDArray[np.float64], side: float = 300.0) -> NDArray[np.float64]:
    """(N, 2) middles to (N, 4, 2) corners of an upright square."""
    return middle[:, None] + np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * side / 2


def along(places: NDArray[np.float64]) -> NDArray[np.float64]:
    return track(np.stack([places, np.zeros_like(places)], axis=1))


def test_a_tremble_is_told_in_full_and_a_slow_motion_is_left_out_of_it() -> None:
    time = np.arange(200) / FPS
    slow = 40 * np.sin(2 * np.pi * time / 20)
    tremble = np.random.default_rng(0).normal(0, 1.0, (200, 2))
    moved = track(np.stack([slow, slow], axis=1) + tremble)
    assert deviation(moved) > 10
    assert deviation(trembling(moved, FPS)) == pytest.approx(1.0, abs=0.1)
    assert deviation(trembling(track(np.stack([slow, slow], axis=1)), FPS)) < 0.3


@pytest.mark.parametrize("frames", [0, 2])
def test_lag_is_what_lies_behind_whichever_way_it_goes(frames: int) -> None:
    there = 200 * np.sin(2 * np.pi * np.arange(240) / FPS / 4)
    late = behind(along(np.roll(there, frames)[8:]), along(there[8:]), FPS)
    assert late.mean() == pytest.approx(frames / FPS * 220 / 300, abs=0.005)  # a mean speed of some 220 px a second
    assert (late.mean() > LAG) == (frames == 2)


def test_landmarks_that_tremble_are_no_lag() -> None:
    there = np.arange(300) * 4.0
    noisy = there + np.random.default_rng(0).normal(0, 6, 300)
    assert abs(behind(along(there), along(noisy), FPS).mean()) < 0.002


def test_what_the_square_does_by_itself_is_told_apart_from_the_head_s_motion() -> None:
    head = along(30 * np.sin(np.arange(240) / 7))
    tremble = np.random.default_rng(0).normal(0, 1.0, 240)
    told = figures({"steadied": head + along(tremble) - along(np.zeros(240)), "landmarks": head, "carried": head}, FPS)
    assert told["steadied"]["tremble_px"] > 5
    assert told["own"]["tremble_px"] == pytest.approx(np.sqrt(0.5), abs=0.1)  # x alone, of x and y


def test_a_head_that_rests_has_no_lag_and_the_table_says_so() -> None:
    still = along(np.zeros(90))
    told = figures({"steadied": still, "landmarks": still + 3.0, "carried": still}, FPS)
    assert told["lag"] is None
    assert told["off"]["median"] == pytest.approx(np.hypot(3, 3) / 300)
    assert told["steadied"]["raw_px"] == 0
    machine = {"date": "2026-01-01", "cpu": "", "system": "", "python": ""}
    text = table({"machine": machine, "command": "", "clips": {"a": told}})
    assert "| a | 90, 300 px | own | 0.000 | 0.000 | 0.000 |" in text
    assert text.rstrip().endswith("| 0% | - |")
