"""Faint lines become ink, and nothing else does."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from realtime.pressure import Ink, pressed


def paper() -> Ink:
    return np.full((512, 512), 255, np.uint8)


def slanted(darkness: int, *, every: int = 1) -> Ink:
    """A line a pixel wide from (100, 100), 200 px down and 100 to the right; of every ``every`` px one is drawn."""
    ink = paper()
    for step in range(0, 200, every):
        ink[100 + step, 100 + step // 2] = 255 - darkness
    return ink


def gaps(ink: Ink) -> int:
    """Rows of the line, its ends apart, with no ink near it."""
    return sum(int(ink[y, 97 + (y - 100) // 2 : 104 + (y - 100) // 2].min() >= 128) for y in range(104, 296))


@pytest.mark.parametrize("darkness", [80, 100, 120])
def test_a_faint_line_becomes_ink_and_stays_thin(darkness: int) -> None:
    ink = slanted(darkness)
    assert gaps(ink) == 192, "none of it is ink"
    shown = pressed(ink)
    assert gaps(shown) == 0
    wide = (shown[104:296] < 128).sum(1)
    assert wide.max() <= 3


def test_dots_in_a_row_are_joined() -> None:
    ink = slanted(255, every=2)
    assert gaps(ink) == 96
    assert gaps(pressed(ink)) == 0


def test_a_grey_area_stays_grey() -> None:
    """Haze is no line: it must not turn black."""
    ink = paper()
    ink[100:160, 100:300] = 200
    assert np.array_equal(pressed(ink)[104:156, 104:296], ink[104:156, 104:296])


@pytest.mark.parametrize("wide", [3, 4, 6, 40])
def test_what_is_ink_already_stays_as_it_is(wide: int) -> None:
    ink = paper()
    ink[100:300, 200 : 200 + wide] = 0
    changed = pressed(ink) != ink
    assert not changed[104:296].any()


@pytest.mark.parametrize("wide", [1, 2])
def test_a_black_hairline_becomes_firmer_and_no_wider_than_a_stroke(wide: int) -> None:
    ink = paper()
    ink[100:300, 200 : 200 + wide] = 0
    row = pressed(ink)[200]
    assert (row < 128).sum() == wide, "grey at its flanks at the most"
    assert (row < 250).sum() <= wide + 2


def test_hatching_stays_hatching() -> None:
    ink = paper()
    for offset in range(0, 200, 4):
        ink[100:300, 200 + offset // 2 * 2] = 0
    hatched = pressed(ink)[150:250, 210:390]
    assert (hatched.max(1) > 180).all(), "paper is seen between the strokes"
    assert hatched.mean() > 0.7 * ink[150:250, 210:390].mean()


def test_pressure_grows_and_fades_without_a_step() -> None:
    """A line that trembles by a grey level must not jump."""

    def profile(darkness: int) -> Ink:
        ink = paper()
        ink[:, 200:203] = 255 - darkness
        return pressed(ink)[256].astype(np.int16)

    rows = [profile(darkness) for darkness in range(256)]
    assert max(int(np.abs(b - a).max()) for a, b in pairwise(rows)) <= 24


def test_what_is_hardly_there_is_not_drawn() -> None:
    noise = np.random.default_rng(5).integers(240, 256, (512, 512), dtype=np.uint8)
    assert (pressed(noise) >= 240).all()
    assert np.array_equal(pressed(paper()), paper())


def test_nothing_becomes_lighter_and_the_drawing_that_is_given_is_not_changed() -> None:
    rng = np.random.default_rng(3)
    ink = np.repeat(np.repeat(rng.integers(0, 256, (128, 128), dtype=np.uint8), 4, 0), 4, 1)
    given = ink.copy()
    assert (pressed(ink) <= ink).all()
    assert np.array_equal(ink, given)
