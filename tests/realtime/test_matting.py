"""Mattes over time."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.matting import SteadyMatte

SHAPE = (512, 512)


def photo(seed: int = 0, level: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(40, 200, (32, 32, 3), dtype=np.uint8)
    return np.clip(cv2.resize(noise, SHAPE, interpolation=cv2.INTER_LINEAR).astype(int) + level, 0, 255).astype(
        np.uint8
    )


def person(radius: int) -> NDArray[np.uint8]:
    disc = cv2.circle(np.zeros(SHAPE, np.uint8), (256, 256), radius, (255,), -1)
    return np.asarray(cv2.GaussianBlur(disc, (0, 0), 3), np.uint8)


def steadied(steady: SteadyMatte, photo: NDArray[np.uint8], fresh: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One frame, with a fresh matte of it."""
    steady.carry(photo)
    steady.take(fresh)
    return steady.matte


def shifted(image: NDArray[np.uint8], x: float, y: float) -> NDArray[np.uint8]:
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
    return np.asarray(cv2.warpAffine(image, matrix, SHAPE, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def iou(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(((a >= 128) & (b >= 128)).sum() / ((a >= 128) | (b >= 128)).sum())


def test_all_is_person_until_the_network_has_spoken() -> None:
    steady = SteadyMatte()
    assert (steady.matte == 255).all()
    assert steady.carry(photo()) == 1
    assert (steady.matte == 255).all()


def test_the_first_matte_passes_as_it_is() -> None:
    assert np.array_equal(steadied(SteadyMatte(), photo(), person(150)), person(150))


def test_a_head_that_moves_takes_its_matte_along_without_the_network() -> None:
    steady, bright = SteadyMatte(), np.repeat(photo()[..., :1], 3, axis=-1)
    steadied(steady, bright, person(150))
    for step in range(1, 6):
        unknown = steady.carry(shifted(bright, 4 * step, 2 * step))
        assert unknown < 0.1
    assert iou(steady.matte, shifted(person(150), 20, 10)) > 0.97
    assert iou(person(150), shifted(person(150), 20, 10)) < 0.91  # what it would be if it had stayed


def test_a_matte_that_wavers_over_a_head_that_moves_is_calmed() -> None:
    rng, steady, raw, out = np.random.default_rng(0), SteadyMatte(), [], []
    for step in range(20):
        where = 3.0 * step, 0.0
        fresh = shifted(person(int(110 + rng.integers(-6, 7))), *where)
        raw.append(int((fresh >= 128).sum()))
        out.append(int((steadied(steady, shifted(photo(), *where), fresh) >= 128).sum()))
    assert np.abs(np.diff(out)).mean() < 0.5 * np.abs(np.diff(raw)).mean()


def test_something_new_asks_for_the_network() -> None:
    steady, now = SteadyMatte(), photo()
    steadied(steady, photo(), person(150))
    assert steady.carry(photo()) == 0
    now[256:] = photo(1)[256:]
    assert steady.carry(now) > 0.3


def test_a_border_that_wavers_over_a_still_photo_is_calmed() -> None:
    rng, steady, raw, out = np.random.default_rng(0), SteadyMatte(), [], []
    for _ in range(30):
        noisy = np.clip(photo() + rng.normal(0, 4, (*SHAPE, 3)), 0, 255).astype(np.uint8)
        fresh = person(int(150 + rng.integers(-6, 7)))
        raw.append(int((fresh >= 128).sum()))
        out.append(int((steadied(steady, noisy, fresh) >= 128).sum()))
    assert np.abs(np.diff(out)).mean() < 0.25 * np.abs(np.diff(raw)).mean()


def test_where_the_photo_changes_the_new_matte_is_taken_at_once() -> None:
    steady = SteadyMatte()
    steadied(steady, photo(), person(150))
    got = steadied(steady, photo(1), person(60))
    # But for the rounding of its border at half the size.
    assert iou(got, person(60)) > 0.998
    assert ((got >= 128) ^ (person(60) >= 128)).sum() < 40


def test_a_hand_that_comes_in_changes_the_matte_there_and_nowhere_else() -> None:
    steady, before = SteadyMatte(), person(120)
    steadied(steady, photo(), before)
    now, fresh = photo(), before.copy()
    now[380:512, 380:512] = photo(1)[380:512, 380:512]
    fresh[400:512, 400:512], fresh[:40, :40] = 255, 255
    got = steadied(steady, now, fresh)
    assert (got[420:, 420:] == 255).all()
    assert got[:30, :30].max() < 64


@pytest.mark.parametrize("level", [-25, 25])
def test_a_lamp_that_changes_is_no_movement(level: int) -> None:
    steady = SteadyMatte()
    steadied(steady, photo(), person(150))
    assert (steadied(steady, photo(level=level), person(60))[256, 350:390] > 200).all()


def test_a_wrong_matte_does_not_last() -> None:
    steady = SteadyMatte()
    steadied(steady, photo(), person(60))
    for _ in range(60):  # six seconds: a matte is made for every third frame
        got = steadied(steady, photo(), person(150))
    assert np.abs(got.astype(int) - person(150)).max() < 12
