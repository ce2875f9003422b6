"""Portraits glide to their places, and stand still otherwise."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from apdgan.alignment import SIZE
from realtime.cells import GLIDE_S, Cell, Framing
from realtime.core import Drawing, Portrait

WIDTH, HEIGHT, STEP = 1280, 720, 1 / 30


def person(face_id: int, x: float, *, side: float = 300, opacity: float = 1.0) -> Drawing:
    """A face in a square of ``side`` frame px whose centre is at ``x``."""
    k = SIZE / side
    portrait = Portrait(
        photo=np.zeros((SIZE, SIZE, 3), np.uint8),
        landmarks=np.zeros((5, 2), np.float32),
        matte=np.zeros((SIZE, SIZE), np.uint8),
        matrix=np.array([[k, 0, SIZE / 2 - x * k], [0, k, 0]], np.float32),
        face_id=face_id,
    )
    return Drawing(ink=portrait.matte, portrait=portrait, opacity=opacity)


def place(framing: Framing, people: list[Drawing], time: float) -> dict[int, tuple[Cell, float]]:
    placed = framing.place(people, WIDTH, HEIGHT, time)
    assert all(cell.x >= 0 and cell.x + cell.side <= WIDTH for _, cell in placed)
    assert all(cell.y >= 0 and cell.y + cell.side <= HEIGHT for _, cell in placed)
    return {drawing.portrait.face_id: (cell, drawing.opacity) for drawing, cell in placed}


def test_the_first_face_is_there_at_once_and_stands_still_while_it_moves_about() -> None:
    framing = Framing()
    seen = [place(framing, [person(1, 200 + 30 * i)], i * STEP)[1] for i in range(20)]
    assert set(seen) == {(Cell(x=280, y=0, side=720), 1.0)}


def test_when_a_second_face_comes_the_first_glides_aside_and_the_new_one_comes_up() -> None:
    framing = Framing()
    place(framing, [person(1, 400)], 0.0)
    seen = [place(framing, [person(1, 400), person(2, 900)], (1 + i) * STEP) for i in range(12)]
    first = [one[1][0] for one in seen]
    assert first[0] == Cell(x=280, y=0, side=720)
    assert first[-1] == Cell(x=0, y=40, side=640)
    assert max(abs(a.x - b.x) for a, b in pairwise(first)) < 280 / 4, "no jump"
    assert sum(a != b for a, b in pairwise(first)) == pytest.approx(GLIDE_S / STEP, abs=1.5)
    opacities = [one[2][1] for one in seen]
    assert opacities[0] == 0
    assert opacities == sorted(opacities)
    assert opacities[-1] == 1


def test_when_a_face_goes_the_other_glides_back() -> None:
    framing = Framing()
    place(framing, [person(1, 400), person(2, 900)], 0.0)
    xs = [place(framing, [person(2, 900)], (1 + i) * STEP)[2][0].x for i in range(12)]
    assert (xs[0], xs[-1]) == (640, 280)
    assert all(a >= b for a, b in pairwise(xs))


def test_two_who_change_places_glide_past_each_other_and_do_not_waver_at_the_same_height() -> None:
    framing = Framing()
    seen = []
    for i in range(60):
        x = 600 + 10 * (-1) ** i if i < 30 else 300  # it trembles about the other's place, then passes
        seen.append(place(framing, [person(1, x), person(2, 600)], i * STEP)[1][0].x)
    assert len(set(seen[:31])) == 1
    assert {seen[0], seen[-1]} == {0, 640}
    assert max(abs(a - b) for a, b in pairwise(seen)) < 640 / 4


def test_a_face_that_the_tracker_names_anew_keeps_its_place_and_does_not_blink() -> None:
    framing = Framing()
    place(framing, [person(1, 400), person(2, 900)], 0.0)
    assert place(framing, [person(1, 400), person(7, 905)], STEP)[7] == (Cell(x=640, y=40, side=640), 1.0)


@pytest.mark.parametrize("time", [-1.0, 0.9])
def test_after_a_gap_or_a_step_back_nothing_glides(time: float) -> None:
    framing = Framing()
    place(framing, [person(1, 400)], 0.0)
    seen = place(framing, [person(1, 400), person(2, 900)], time)
    assert seen == {1: (Cell(x=0, y=40, side=640), 1.0), 2: (Cell(x=640, y=40, side=640), 1.0)}


def test_another_scene_or_another_page_is_there_at_once() -> None:
    framing = Framing()
    place(framing, [person(1, 400)], 0.0)
    assert place(framing, [person(8, 400), person(9, 900)], STEP)[8] == (Cell(x=0, y=40, side=640), 1.0)
    placed = framing.place([person(8, 400)], 640, 720, 2 * STEP)
    assert placed[0][1] == Cell(x=0, y=40, side=640)


def test_a_fading_face_keeps_its_own_opacity() -> None:
    framing = Framing()
    faded = replace(person(1, 400), opacity=0.3)
    assert framing.place([faded], WIDTH, HEIGHT, 0.0)[0][0].opacity == 0.3
