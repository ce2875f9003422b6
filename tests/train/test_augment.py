"""Augmentation changes the photo, never the lines of the target."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from train.augment import Sample, augment, background, beautify, degrade, flatten, flip, leak, relight, shift

Soften = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def sample() -> Sample:
    rng = np.random.default_rng(0)
    drawing = np.full((512, 512), 255, np.uint8)
    drawing[200:210, 100:300] = 0
    matte = np.zeros((512, 512), np.uint8)
    matte[100:500, 120:400] = 255
    photo = np.repeat(rng.integers(60, 200, (64, 64, 3), dtype=np.uint8).repeat(8, 0), 8, 1)
    points = np.array([(200, 246), (310, 247), (256, 312), (206, 370), (305, 371)], np.float32)
    return Sample(photo=photo, drawing=drawing, matte=matte, points=points)


def test_flip_swaps_the_eyes_and_is_its_own_inverse() -> None:
    once = flip(sample())
    assert once.points[0].tolist() == [511 - 310, 247]
    twice = flip(once)
    assert np.array_equal(twice.photo, sample().photo)
    assert np.array_equal(twice.points, sample().points)


def test_shift_moves_everything_by_whole_pixels() -> None:
    moved = shift(sample(), 5, -9)
    assert np.array_equal(moved.drawing[:-9, 5:], sample().drawing[9:, :-5])
    assert (moved.photo[:, :5] == 255).all()
    assert (moved.matte[:, :5] == 0).all()
    assert (moved.drawing[-9:] == 255).all()
    assert np.allclose(moved.points - sample().points, (5, -9))


@pytest.mark.parametrize("seed", range(6))
def test_a_sample_is_a_pure_function_of_its_seed(seed: int) -> None:
    one = augment(np.random.default_rng(seed), sample())
    two = augment(np.random.default_rng(seed), sample())
    assert np.array_equal(one.photo, two.photo)
    assert np.array_equal(one.points, two.points)


@pytest.mark.parametrize("seed", range(12))
def test_no_line_of_the_target_is_resampled(seed: int) -> None:
    out = augment(np.random.default_rng(seed), sample())
    assert set(np.unique(out.drawing)) <= {0, 255}
    ink = np.argwhere(out.drawing == 0)
    assert np.ptp(ink, axis=0).tolist() == [9, 199]


def test_photometric_changes_are_real_and_in_range() -> None:
    rng = np.random.default_rng(3)
    plain = sample().photo.astype(np.float32)
    lit = [relight(rng, plain) for _ in range(20)]
    assert all(x.min() >= 0 and x.max() <= 255 for x in lit)
    assert np.std([x.mean() for x in lit]) > 5
    noisy = degrade(rng, plain)
    assert noisy.dtype == np.uint8
    assert noisy.shape == (512, 512, 3)
    rooms = [background(rng, 512) for _ in range(8)]
    assert np.std([room.mean() for room in rooms]) > 10


def test_a_leaking_matte_only_grows_and_leaks_here_and_there() -> None:
    leaked = [leak(np.random.default_rng(seed), sample().matte) for seed in range(12)]
    assert all((one >= sample().matte).all() for one in leaked)
    shares = [(one[sample().matte == 0] > 127).mean() for one in leaked]
    assert 0.02 < np.mean(shares) < 0.6
    assert max(shares) < 0.9
    assert all((one == sample().matte)[410:].all() for one in leaked), "beside the shoulders it stays"


def test_strength_zero_leaves_the_photo_alone() -> None:
    out = augment(np.random.default_rng(1), sample(), strength=0.0)
    plain = sample().photo
    assert set(np.unique(out.photo)) <= set(np.unique(plain)) | {255}


def edges(strength: float) -> np.ndarray:
    """Vertical stripes of a period of 32 px about 128, (512, 512, 3) float32."""
    wave = np.where(np.arange(512) // 16 % 2, 128 + strength, 128 - strength)
    return np.broadcast_to(wave[None, :, None], (512, 512, 3)).astype(np.float32)


@pytest.mark.parametrize("soften", [flatten, beautify])
@pytest.mark.parametrize("seed", range(4))
def test_soft_light_and_skin_smoothing_weaken_faint_edges_more_than_strong_ones(soften: Soften, seed: int) -> None:
    def kept(strength: float) -> float:
        out = soften(np.random.default_rng(seed), edges(strength))
        assert out.shape == (512, 512, 3)
        assert out.dtype == np.float32
        return float(out[128:384, 128:384].std()) / strength

    assert kept(6) < 0.985
    assert kept(6) < kept(90)
