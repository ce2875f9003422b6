"""Quality under load: what is given up first, what never, and how it comes back."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

from realtime.webrtc.ladder import LATE_S, SMALLEST_PX, Ladder, Look, Rung


def a_look(*, came: int = 30, drawn: int | None = None, age_s: float = 0.06, shorter_px: int = 720) -> Look:
    return Look(seconds=1.0, came=came, drawn=came if drawn is None else drawn, age_s=age_s, shorter_px=shorter_px)


def walked(ladder: Ladder, machine: Callable[[Rung], Look], looks: int) -> list[Rung]:
    """The rungs that a machine leads to, each once for every stay on it."""
    path = [ladder.rung]
    for _ in range(looks):
        rung = ladder.look(machine(ladder.rung))
        if rung != path[-1]:
            path.append(rung)
    return path


def slow(most: float, *, shorter_px: int = 720) -> Callable[[Rung], Look]:
    """A machine that draws so many pictures a second, whatever their size."""
    return lambda rung: a_look(drawn=round(min(30, rung.fps, most)), shorter_px=shorter_px)


def test_size_falls_first_then_rate_and_it_settles_where_nothing_is_overtaken() -> None:
    path = walked(Ladder(), slow(10), 18)
    assert [(rung.scale, rung.fps) for rung in path] == [
        (1.0, math.inf),
        (0.75, math.inf),
        (0.5, math.inf),
        (0.5, 12.0),
    ]


def test_size_alone_falls_where_that_is_enough() -> None:
    def machine(rung: Rung) -> Look:
        return a_look(drawn=round(min(30, 21 / rung.scale)))

    assert walked(Ladder(), machine, 9) == [Rung(), Rung(scale=0.75)]


def test_no_drawing_becomes_smaller_than_lines_can_bear() -> None:
    for shorter in (240, 480, 512, 720):
        for rung in walked(Ladder(), slow(5, shorter_px=shorter), 60):
            assert rung.scale == 1.0 or rung.scale * shorter >= SMALLEST_PX


def test_late_drawings_cost_rate_as_long_as_that_makes_them_younger() -> None:
    def contended(rung: Rung) -> Look:
        return a_look(age_s=0.01 * min(30, rung.fps), shorter_px=240)

    assert [rung.fps for rung in walked(Ladder(), contended, 15)] == [math.inf, 24.0, 20.0, 16.0, 12.0]

    def very_contended(rung: Rung) -> Look:
        return a_look(age_s=0.03 * min(30, rung.fps), shorter_px=240)

    assert walked(Ladder(), very_contended, 60)[-1].fps == 12.0

    def alone(_rung: Rung) -> Look:
        return a_look(age_s=2 * LATE_S, shorter_px=240)

    path = walked(Ladder(), alone, 60)
    assert [rung.fps for rung in path] == [math.inf, 24.0]


def test_what_was_given_up_comes_back_rate_first() -> None:
    ladder = Ladder()
    walked(ladder, slow(10), 18)
    path = walked(ladder, slow(60), 200)
    assert path[-1] == Rung()
    assert [rung.scale for rung in path] == sorted(rung.scale for rung in path)
    assert [rung.fps for rung in path if rung.scale == 0.5] == [12.0, 16.0, 20.0, 24.0, 30.0, math.inf]


def test_a_rung_that_does_not_hold_is_tried_less_and_less_often() -> None:
    ladder = Ladder()
    walked(ladder, slow(17, shorter_px=240), 10)
    tries = [ladder.look(slow(17, shorter_px=240)(ladder.rung)).fps for _ in range(1200)]
    times = [i for i in range(1, len(tries)) if tries[i] > tries[i - 1]]
    pauses = [b - a for a, b in itertools.pairwise(times)]
    assert pauses[0] < 60
    assert pauses[-1] > 120


def test_what_passes_within_a_second_changes_nothing() -> None:
    ladder = Ladder()
    for _ in range(20):
        for drawn in (5, 5, 30):
            ladder.look(a_look(drawn=drawn))
    assert ladder.rung == Rung()


def test_a_slow_camera_is_not_taken_for_a_slow_machine() -> None:
    ladder = Ladder()
    assert walked(ladder, lambda _rung: a_look(came=8), 30) == [Rung()]
    assert walked(ladder, lambda rung: a_look(came=8, drawn=round(min(rung.fps, 4)), shorter_px=240), 30)[-1].fps == 5.0
