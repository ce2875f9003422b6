"""Dense motion, against motions that are known."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.motion import FARTHEST, DenseMotion

SIDE = 256


def textured(seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(40, 216, (40, 40), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)


def moved(image: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.asarray(
        cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT), np.uint8
    )


def error(found: NDArray[np.float32], matrix: NDArray[np.float64]) -> float:
    """Median px in the middle, where nothing comes in from beyond."""
    back = cv2.invertAffineTransform(matrix)
    grid = np.dstack(np.meshgrid(*(np.arange(SIDE, dtype=np.float64),) * 2))
    wanted = grid @ back[:, :2].T + back[:, 2] - grid
    return float(np.median(np.linalg.norm(found - wanted, axis=-1)[40:-40, 40:-40]))


@pytest.mark.parametrize("shift", [(0.4, 0.0), (-1.3, 2.2), (6.0, -4.5)])
def test_a_shift_is_found_and_looking_closely_finds_it_better(shift: tuple[float, float]) -> None:
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float64)
    motion, before = DenseMotion(SIDE), textured()
    now = moved(before, matrix)
    coarse, fine = (error(motion(now, before, fine=closely), matrix) for closely in (False, True))
    assert coarse < 0.25
    assert fine < 0.1
    assert fine < coarse


def test_a_turn_is_found() -> None:
    matrix = cv2.getRotationMatrix2D((128, 128), 2.0, 1.01)
    before = textured(1)
    assert error(DenseMotion(SIDE)(moved(before, matrix), before, fine=True), matrix) < 0.11


def test_a_small_thing_before_what_stands_still_is_followed_to_its_edge() -> None:
    """20 px of radius, moved by 3; its whole disc counts, not the middle alone."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    room, thing = textured(11), textured(1)

    def scene(right: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        disc = (x - right) ** 2 + y**2 < 20**2
        matrix = np.array([[1, 0, right], [0, 1, 0]], np.float64)
        return np.where(disc, moved(thing, matrix), room), disc

    before, (now, disc) = scene(0)[0], scene(3)
    found = DenseMotion(SIDE)(now, before, fine=True)
    assert np.hypot(found[..., 0] + 3, found[..., 1])[disc].mean() < 0.2


def test_a_flat_picture_has_no_motion() -> None:
    flat = np.full((SIDE, SIDE), 90, np.uint8)
    assert np.abs(DenseMotion(SIDE)(flat, flat, fine=True)).max() == 0


def test_where_nothing_is_seen_nothing_runs_away() -> None:
    """Noise alone: what the refinement adds is bounded, and no slope is divided by."""
    rng, motion = np.random.default_rng(0), DenseMotion(SIDE)
    a, b = (rng.integers(100, 104, (SIDE, SIDE), dtype=np.uint8) for _ in range(2))
    start = np.zeros((SIDE, SIDE, 2), np.float32)
    found = motion._refined(start, a, b)
    assert np.isfinite(found).all()
    assert 0 < np.abs(found).max() <= FARTHEST


def test_a_plane_is_seen_from_where_the_motion_leads() -> None:
    plane = np.tile(np.arange(SIDE, dtype=np.float32), (SIDE, 1))
    seen = DenseMotion(SIDE).seen(plane, np.full((SIDE, SIDE, 2), (2.5, 0.0), np.float32))
    np.testing.assert_allclose(seen[:, 10:200], plane[:, 10:200] + 2.5, atol=1e-3)
