"""The square goes where the picture under it goes."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from apdgan.alignment import SIZE, invert, transform
from realtime.registration import DOUBT, Pull, Registration

CORNERS = np.array([(0, 0), (SIZE, 0), (0, SIZE), (SIZE, SIZE)], dtype=np.float64)
SIDE = 300.0
"""Of the square on the frame, px."""


def scene(seed: int = 0, *, soft: float = 1.5) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    image = cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.GaussianBlur(image, (0, 0), soft), np.uint8)


def pose(x: float = 320, y: float = 240, degrees: float = 0, size: float = SIDE) -> NDArray[np.float64]:
    """Frame -> square."""
    back = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), degrees, size / SIZE)
    back[:, 2] += (x - SIZE / 2, y - SIZE / 2)
    return invert(back)


def moved(image: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The scene as it looks when a head at pose() has gone to ``matrix``."""
    start = np.vstack([pose(), [0, 0, 1]])
    go = (np.linalg.inv(np.vstack([matrix, [0, 0, 1]])) @ start)[:2]
    return np.asarray(cv2.warpAffine(image, go, (640, 480), borderMode=cv2.BORDER_REFLECT), np.uint8)


def apart(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Mean distance of the squares' corners on the frame, in square widths."""
    return float(np.linalg.norm(transform(invert(a), CORNERS) - transform(invert(b), CORNERS), axis=1).mean()) / SIDE


def trembling(matrix: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    out = matrix.copy()
    out[:, 2] += rng.normal(0, 2.0, 2)
    out[:, :2] *= 1 + rng.normal(0, 0.006)
    return out


def test_a_square_stands_still_on_a_still_picture_though_its_landmarks_tremble() -> None:
    rng, register, image, found = np.random.default_rng(0), Registration(), scene(), []
    for index in range(60):
        noisy = np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)
        found.append(register(noisy, trembling(pose(), rng), index / 30))
    steps = [SIZE * apart(a, b) for a, b in pairwise(found)]
    assert np.mean(steps) < 0.6  # of a tremble of 4
    assert register.held


def test_it_follows_a_head_that_moves_turns_and_comes_near_without_lag() -> None:
    rng, register, image, lag = np.random.default_rng(1), Registration(), scene(), []
    for index in range(60):
        t = index / 30
        true = pose(320 + 90 * np.sin(2 * t), 240 + 30 * np.sin(3 * t), 10 * np.sin(2 * t), SIDE * (1 + 0.15 * t))
        lag.append(apart(register(moved(image, true), trembling(true, rng), t), true))
    assert max(lag) < 0.02
    assert np.mean(lag) < 0.012


def test_a_start_that_was_off_is_drawn_to_the_landmarks() -> None:
    register, image = Registration(), scene()
    register(image, pose(335), 0.0)
    for index in range(1, 40):
        last = register(image, pose(), index / 30)
    assert apart(last, pose()) < Pull().agree + 0.005


def test_a_face_that_slides_over_a_picture_that_stands_still_is_followed() -> None:
    register, image, lag = Registration(), scene(), []
    for index in range(60):  # half a square a second: the picture says that nothing moves
        true = pose(250 + 5 * index)
        lag.append(apart(register(image, true, index / 30), true))
    assert max(lag) < 0.1


def test_where_picture_and_landmarks_disagree_too_much_the_landmarks_are_believed() -> None:
    register, image = Registration(), scene()
    register(image, pose(), 0.0)
    jumped = pose(320 + 2 * DOUBT * SIDE)
    assert apart(register(image, jumped, 1 / 30), jumped) < 0.025  # of 0.09
    assert not register.held


@pytest.mark.parametrize("image", [np.full((480, 640, 3), 90, np.uint8), None], ids=["nothing to see", "a cut"])
def test_without_a_picture_to_go_by_it_goes_by_the_landmarks(image: NDArray[np.uint8] | None) -> None:
    register = Registration()
    register(scene(), pose(), 0.0)
    other = scene(5) if image is None else image
    found = register(other, pose(330), 1 / 30)
    assert apart(found, pose(330)) < DOUBT + 0.01


def test_a_gap_or_a_step_back_in_time_starts_afresh() -> None:
    register, image = Registration(), scene()
    for time in (5.0, 9.0, 2.0):
        there = pose(300 + 10 * time)
        assert np.array_equal(register(image, there, time), there)


def test_the_same_instant_twice_changes_nothing() -> None:
    register, image = Registration(), scene()
    register(image, pose(), 0.0)
    before = register(image, pose(322), 1 / 30)
    assert np.array_equal(register(image, pose(350), 1 / 30), before)


def test_a_hand_that_passes_does_not_take_the_square_along() -> None:
    register, image = Registration(), scene()
    for index in range(20):
        now = image.copy()
        x = 200 + 8 * index
        now[200:300, x : x + 60] = scene(7)[200:300, 100:160]
        found = register(now, pose(), index / 30)
    assert apart(found, pose()) < 0.015


def follow_late(every: int, speed: float = 3.0, frames: int = 60) -> list[float]:
    """How far the square is off, frame by frame, where landmarks come for each ``every``-th frame, so many late."""
    rng, register, image, off = np.random.default_rng(2), Registration(), scene(), []
    paths = [pose(250 + speed * index, 240 + 20 * np.sin(index / 8)) for index in range(frames)]
    fits = [trembling(true, rng) for true in paths]
    for index, true in enumerate(paths):
        known = max(0, index // every * every - every)
        seen = register(moved(image, true), fits[known], index / 30, age=(index - known) / 30)
        off.append(apart(seen, true))
    return off


@pytest.mark.parametrize("every", [2, 4, 8])
def test_landmarks_that_come_late_do_not_make_the_square_late(every: int) -> None:
    settled = follow_late(every)[2 * every :]
    assert np.median(settled) < 0.02  # a square laid on them would be off by more than ``every`` hundredths
    assert max(settled) < 0.03


def test_late_landmarks_still_draw_the_square_to_where_the_face_is() -> None:
    register, image = Registration(), scene()
    register(image, pose(335), 0.0)
    for index in range(1, 40):
        last = register(image, pose(), index / 30, age=0.1)
    assert apart(last, pose()) < Pull().agree + 0.005
    assert apart(register.at(0.0), pose(335)) > 0.02  # the past is told as it should have been


def test_a_face_that_nothing_is_known_of_does_not_fly_off() -> None:
    """It moved when both landmarks and picture went out: on it goes for a moment, then it stays."""
    register, image = Registration(), scene()
    for index in range(10):
        register(moved(image, pose(200 + 8 * index)), pose(200 + 8 * index), index / 30)
    dark, places = np.zeros_like(image), []
    for index in range(10, 30):
        places.append(register(dark, pose(272), index / 30, age=(index - 9) / 30))
    gone = [apart(place, pose(272)) for place in places]
    assert 0.05 < gone[3] < 0.2
    assert apart(places[8], places[-1]) < 0.001
    assert gone[-1] < 0.25


def test_a_picture_that_rushes_past_takes_no_late_square_along_faster_than_a_head_can_go() -> None:
    register, image = Registration(), scene()
    for index in range(12):
        rushing = np.roll(image, 45 * index, axis=1)
        last = register(rushing, pose(), index / 30, age=index / 30)
    assert apart(last, pose()) <= 3.0 * 11 / 30 + 0.01
