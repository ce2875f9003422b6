import numpy as np
import pytest

from realtime.light import contrast, relit


def face(spread: float) -> np.ndarray:
    return np.random.default_rng(0).normal(120, spread, (128, 128)).astype(np.float32)


def test_in_good_light_changes_are_what_they_are_and_in_the_dark_fewer_levels_count() -> None:
    assert contrast(face(50)) == 1
    assert 0.3 < contrast(face(24)) < 0.6
    assert contrast(face(1)) == pytest.approx(0.3)  # a blank wall: noise must not count for motion


def test_only_the_middle_counts() -> None:
    page = np.zeros((128, 128), np.float32)
    page[:20] = 255
    assert contrast(page) == pytest.approx(0.3)


@pytest.mark.parametrize(("gain", "offset"), [(1.0, 0.0), (0.5, 10.0), (1.6, -30.0)])
def test_a_lamp_is_taken_off(gain: float, offset: float) -> None:
    before = np.clip(face(30), 60, 140)
    np.testing.assert_allclose(relit(before, gain * before + np.float32(offset)), gain * before + offset, atol=0.5)
