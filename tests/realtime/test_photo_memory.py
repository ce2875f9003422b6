"""What of a photo's past holds, and whether the head goes or only a lid."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.photo_memory import SIDE, PhotoMemory

Photo = NDArray[np.uint8]


def photo(seed: int = 0) -> Photo:
    noise = np.random.default_rng(seed).integers(40, 216, (40, 40, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (512, 512), interpolation=cv2.INTER_CUBIC), np.uint8)


def shifted(image: Photo, x: float) -> Photo:
    matrix = np.array([[1, 0, x], [0, 1, 0]], np.float64)
    return np.asarray(cv2.warpAffine(image, matrix, (512, 512), borderMode=cv2.BORDER_REFLECT), np.uint8)


def test_the_first_photo_has_no_past() -> None:
    assert PhotoMemory().look(photo()) is None


def test_a_photo_that_is_the_same_is_at_rest() -> None:
    memory = PhotoMemory()
    memory.look(photo())
    memory.keep(None)
    past = memory.look(photo())
    assert past is not None
    assert (past.same == 1).all()
    assert past.unrest.max() == 0
    assert past.going == 0
    assert past.motion is None


def test_a_head_that_moves_goes_and_is_known_again() -> None:
    memory = PhotoMemory()
    memory.look(photo())
    memory.keep(None)
    past = memory.look(shifted(photo(), 6))
    assert past is not None
    assert past.motion is not None
    assert past.going > 0.9
    inside = past.motion[20:-20, 20:-20]
    np.testing.assert_allclose(np.median(inside, (0, 1)), (-3, 0), atol=0.05)  # 6 px of 512 are 3 of 256
    assert past.same[20:-20, 20:-20].mean() > 0.95


@pytest.mark.parametrize("share", [1.0, 0.3])
def test_a_head_goes_in_the_dark_too(share: float) -> None:
    memory, calm = PhotoMemory(), photo() // 3 + 60
    memory.look((calm * share).astype(np.uint8))
    memory.keep(None)
    past = memory.look((shifted(calm, 5) * share).astype(np.uint8))
    assert past is not None
    assert past.going > 0.9


def test_a_lid_that_closes_goes_nowhere_and_the_rest_stays() -> None:
    memory = PhotoMemory()
    memory.look(photo())
    memory.keep(None)
    now = photo()
    now[200:240, 160:230] = photo(1)[200:240, 160:230]
    past = memory.look(now)
    assert past is not None
    assert past.going == 0
    assert past.same[104:116, 86:110].mean() < 0.5
    far = np.ones((SIDE, SIDE), bool)
    far[80:140, 60:135] = False
    assert past.same[far].min() == 1
    assert past.unrest[far].max() == 0
    assert past.motion is None or np.abs(past.motion[far]).max() == 0


def test_a_change_that_motion_does_not_explain_is_no_head_that_goes() -> None:
    """Shadows that fall on a still picture."""
    memory = PhotoMemory()
    memory.look(photo())
    memory.keep(None)
    shadow = np.where(np.arange(512)[:, None, None] // 150 % 2, 0.5, 1.0)
    past = memory.look((photo() * shadow).astype(np.uint8))
    assert past is not None
    assert past.going < 0.5
