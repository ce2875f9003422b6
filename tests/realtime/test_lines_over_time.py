"""What must not happen to a drawing over time: ghosts, flashes, lateness, haze. Real drawings of the demo portrait."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import cv2
import numpy as np
import pytest
from living_portrait import (
    FACE_BOX,
    MOUTH,
    Image,
    Pair,
    Studio,
    board,
    hand,
    haze,
    lit,
    mirrored,
    moving,
    still,
    stray,
    toggles,
)
from numpy.typing import NDArray

from realtime.inking import lay, resized


@pytest.fixture(scope="module")
def studio() -> Iterator[Studio]:
    cv2.setRNGSeed(0)
    with Studio() as opened:
        yield opened


@pytest.fixture(scope="module")
def calm() -> list[Image]:
    return still(24)


def test_strength_0_is_what_was_drawn(studio: Studio, calm: list[Image]) -> None:
    assert all(np.array_equal(drawn, shown) for drawn, shown in studio.shoot(calm[:4], strength=0.0))


def test_a_still_picture_is_steady(studio: Studio, calm: list[Image]) -> None:
    """In spite of the sensor's noise."""
    pairs = studio.shoot(calm)[8:]
    drawn, shown = (np.mean([toggles(a, b) for a, b in pairwise(one)]) for one in zip(*pairs, strict=True))
    assert drawn > 0.001
    assert shown < 0.2 * drawn


def test_a_stronger_filter_is_steadier_and_half_as_strong_is_between(studio: Studio, calm: list[Image]) -> None:
    def unrest(strength: float) -> float:
        shown = [one for _, one in studio.shoot(calm, strength=strength)][6:]
        return float(np.mean([toggles(a, b) for a, b in pairwise(shown)]))

    weak, usual, strong = (unrest(strength) for strength in (0.1, 0.5, 1.0))
    assert strong <= usual < weak


def test_lines_stay_black_on_white(studio: Studio) -> None:
    pairs = studio.shoot(moving(30, 60))[5:]
    drawn, shown = (np.mean([haze(one) for one in row]) for row in zip(*pairs, strict=True))
    assert shown < 1.7 * drawn  # a plain mean: three times as much and more


def test_a_cut_leaves_no_ink_of_the_scene_before(studio: Studio, calm: list[Image]) -> None:
    """The tracker, late, still finds the face where it was."""
    room = cv2.resize(np.random.default_rng(3).integers(0, 255, (6, 10, 3), dtype=np.uint8), (1280, 720))
    drawn, shown = studio.shoot([*calm[:8], np.asarray(room, np.uint8)])[-1]
    assert np.array_equal(drawn, shown)


def test_another_face_in_the_place_of_one_is_drawn_afresh(studio: Studio, calm: list[Image]) -> None:
    drawn, shown = studio.shoot([*calm[:8], lit(mirrored(calm[8]), -1.0, 255)])[-1]
    assert np.array_equal(drawn, shown)


@pytest.mark.parametrize("rows", [60, 200])
def test_a_face_that_is_covered_leaves_no_ghost(studio: Studio, calm: list[Image], rows: int) -> None:
    """By a board let down at so many rows a frame, while the tracker holds on to the face."""
    covered = [board(image, FACE_BOX[1] + rows * step) for step, image in enumerate(calm[6:20], start=1)]
    assert worst_ghost(studio.shoot([*calm[:6], *covered])) < 0.02


@pytest.mark.parametrize("step", [12, 60])
def test_a_hand_before_the_mouth_leaves_no_ghost(studio: Studio, calm: list[Image], step: int) -> None:
    """Neither of the mouth under it nor, when it goes, of itself."""
    way = [*range(360, 0, -step), 0, 0, *range(0, 360, step)]
    covered = [hand(calm[6 + index % 16], (MOUTH[0] - off, MOUTH[1] + off)) for index, off in enumerate(way)]
    assert worst_ghost(studio.shoot([*calm[:6], *covered, *calm[:3]])) < 0.02


def test_a_face_that_leaves_and_returns_starts_afresh(studio: Studio, calm: list[Image]) -> None:
    pairs = studio.shoot([*calm[:8], *calm[:3], *(lit(image, 0.8) for image in calm[8:10])], gone=range(8, 11))
    assert pairs[8:11] == [(None, None)] * 3
    drawn, shown = pairs[11]
    assert np.array_equal(drawn, shown)


@pytest.mark.parametrize(("gain", "offset"), [(0.6, 0.0), (1.25, 0.0), (1.0, -30.0), (0.75, 40.0)])
def test_a_lamp_that_is_switched_makes_no_flash(studio: Studio, calm: list[Image], gain: float, offset: float) -> None:
    pairs = studio.shoot([*calm[:10], *(lit(image, gain, offset) for image in calm[10:16])])[9:]
    for before, after in pairwise(shown for _, shown in pairs):
        assert toggles(before, after) < 0.02
    assert toggles(pairs[-1][1], pairs[0][1]) < 0.05


def test_a_blink_is_drawn_at_most_one_frame_late(studio: Studio) -> None:
    """The lids of the script close from 1.40 s on, are shut from 1.50 s to 1.57 s and open again until 1.73 s."""
    start = 36
    pairs = studio.shoot(moving(start, 56))
    eyes = (slice(200, 262), slice(150, 362))
    # Softened: a line that lies half a pixel aside is not late.
    drawn, shown = (
        [cv2.GaussianBlur(one, (0, 0), 2)[eyes].astype(np.float64) for one in row] for row in zip(*pairs, strict=True)
    )
    opened, shut = drawn[41 - start], drawn[46 - start]
    blink = float(np.abs(shut - opened).mean())

    def closed(eye: NDArray[np.float64]) -> float:
        """0 open, 1 shut: along the change that the blink makes."""
        return float(((eye - opened) * (shut - opened)).sum() / ((shut - opened) ** 2).sum())

    assert blink > 4
    for index in range(42 - start, 54 - start):
        between = sorted(closed(drawn[index - back]) for back in (0, 1))
        assert between[0] - 0.25 < closed(shown[index]) < between[1] + 0.25, index + start


def test_a_jaw_in_soft_light_is_whole_on_the_page(studio: Studio, calm: list[Image]) -> None:
    """The engine draws it a pixel wide and grey."""
    side = 720
    for _, shown in studio.shoot(calm)[8:]:
        page = np.full((side, side), 255, np.uint8)
        lay(page, resized(shown, side), None, side / 512, 1.0)
        jaw = page[340:540, 420:540]
        assert (jaw < 128).any(1).mean() > 0.95


def worst_ghost(pairs: list[Pair]) -> float:
    """Share of the ink shown that is drawn nowhere near it."""
    return max(stray(shown, drawn) for drawn, shown in pairs)
