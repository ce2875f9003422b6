"""What must not happen when something happens: stale faces, ghosts, flashes. The whole program but its threads."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.scenes import LAYOUTS, Shot, Stage
from benchmarks.staging import FPS, HEIGHT, MOUTH, SCENES, WIDTH
from realtime.controls import Layout
from realtime.fading import GONE_S

Image = NDArray[np.uint8]
Played = Callable[[str], dict[Layout, list[Shot]]]

GONE = round(GONE_S * FPS)
"""Frames after which nothing is left of a face that was lost."""
SCENE = {scene.name: scene for scene in SCENES}


@pytest.fixture(scope="module")
def played() -> Iterator[Played]:
    """Plays a scene by its name, once for all tests."""
    cv2.setRNGSeed(0)
    with Stage() as stage:

        @functools.cache
        def play(name: str) -> dict[Layout, list[Shot]]:
            frames = list(stage.play(SCENE[name]))
            return {layout: [shots[layout] for shots in frames] for layout in LAYOUTS}

        yield play


def ink(page: Image) -> NDArray[np.bool_]:
    return page < 128


def kept(before: Image, after: Image) -> float:
    """Share of the ink before that has ink within 2 px (of the halved page) after."""
    near = cv2.erode(after, np.ones((5, 5), np.uint8))
    return float(ink(near)[ink(before)].mean())


def ghosts(shots: list[Shot], usual: float) -> float:
    """The most ink that was not drawn of its frame, while there is a face; a share of the usual ink."""
    return max(shot.stray for shot in shots if shot.faces) / usual


def found(shots: list[Shot]) -> list[int]:
    return [shot.index for shot in shots if shot.faces]


@pytest.mark.parametrize("name", SCENE)
def test_the_photo_is_never_seen(played: Played, name: str) -> None:
    for shots in played(name).values():
        assert not any(shot.coloured for shot in shots)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_after_a_cut_nothing_of_the_scene_before_is_left(played: Played, layout: Layout) -> None:
    shots, cut = played("cut")[layout], SCENE["cut"].event
    assert found(shots) == list(range(len(shots)))
    assert ghosts(shots[cut:], shots[cut - 1].coverage) < 0.005
    assert kept(shots[cut - 1].page, shots[cut].page) < 0.75  # there would be something to be seen


@pytest.mark.parametrize("layout", LAYOUTS)
def test_after_a_cut_the_new_face_is_whole_and_in_its_place_at_once(played: Played, layout: Layout) -> None:
    shots, cut = played("cut")[layout], SCENE["cut"].event
    assert kept(shots[cut + 1].page, shots[cut].page) > 0.97
    assert kept(shots[cut + 3].page, shots[cut].page) > 0.95
    for shot in shots[cut : cut + 5]:  # the head goes on the page, so later frames are held against their own drawing
        assert kept(shot.drawn, shot.page) > 0.99, shot.index
        assert kept(shot.page, shot.drawn) > 0.99, shot.index


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["covered", "away"])
def test_a_face_that_is_gone_fades_to_paper_in_time(played: Played, name: str, layout: Layout) -> None:
    shots = played(name)[layout]
    there = found(shots)
    lost, back = next((a + 1, b) for a, b in pairwise(there) if b > a + GONE)
    fading = [shot.coverage for shot in shots[lost : lost + GONE]]
    assert fading[0] > 0
    assert all(after <= before + 1e-6 for before, after in pairwise(fading))
    assert all((shot.page == 255).all() for shot in shots[lost + GONE - 1 : back])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("name", "seen"), [("covered", 51), ("away", 55)])
def test_a_face_that_returns_is_drawn_at_once_and_alone(played: Played, name: str, seen: int, layout: Layout) -> None:
    """All that is seen of it, from the frame after the one that shows an eye and the nose, and nothing of before."""
    shots = played(name)[layout]
    back = next(b for a, b in pairwise(found(shots)) if b > a + GONE)
    assert back <= seen + 1
    assert all(kept(shot.drawn, shot.page) > 0.95 for shot in shots[back:])
    assert ghosts(shots[back:], shots[-1].coverage) < 0.01


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_face_that_is_being_covered_shows_no_ghost(played: Played, layout: Layout) -> None:
    shots, scene = played("covered")[layout], SCENE["covered"]
    assert ghosts(shots[scene.event :], shots[scene.event - 1].coverage) < 0.01


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_lamp_that_is_switched_makes_no_flash(played: Played, layout: Layout) -> None:
    shots = played("lamp")[layout]
    usual = shots[0].coverage
    assert found(shots) == list(range(len(shots)))
    for before, after in pairwise(shots):
        assert abs(after.coverage - before.coverage) < 0.03 * usual, after.index
        assert kept(before.page, after.page) > 0.97, after.index


def at_mouth(shot: Shot) -> Image:
    """What is shown of the place where the mouth was, in place; a few px of motion are allowed for."""
    x, y = MOUTH[0] // 2, MOUTH[1] // 2
    assert shot.page.shape == (HEIGHT // 2, WIDTH // 2)
    return shot.page[y - 18 : y + 18, x - 8 : x + 50]


def test_a_hand_before_the_mouth_hides_its_lines_and_they_come_back(played: Played) -> None:
    shots, scene = played("hand")["inplace"], SCENE["hand"]
    assert found(shots) == list(range(len(shots)))
    mouth = shots[scene.event - 1]
    for shot in shots[22:38]:  # it rests there; the head drifts by a few px
        assert ghosts([shot], mouth.coverage) < 0.01, shot.index
        assert kept(at_mouth(mouth), at_mouth(shot)) < 0.5, shot.index
    after = shots[scene.over + 4]
    assert ink(at_mouth(after)).mean() > 0.7 * ink(at_mouth(mouth)).mean()
    assert ghosts(shots[scene.event :], mouth.coverage) < 0.01
