"""How faces come and go on the page."""

import numpy as np
import pytest

from realtime.core import Drawing, Portrait
from realtime.fading import GONE_S, RISE_S, Fading


def drawing(face_id: int, *, x: float = 160, size: float = 128) -> Drawing:
    """Of a face in a square of ``size`` px around (x, 120)."""
    scale = 512 / size
    matrix = np.array([[scale, 0, 256 - scale * x], [0, scale, 256 - scale * 120]], np.float32)
    portrait = Portrait(
        photo=np.zeros((512, 512, 3), np.uint8),
        landmarks=np.zeros((5, 2), np.float32),
        matte=np.zeros((512, 512), np.uint8),
        matrix=matrix,
        face_id=face_id,
    )
    return Drawing(ink=np.zeros((512, 512), np.uint8), portrait=portrait)


def opacities(shown: list[Drawing]) -> dict[int, float]:
    return {one.portrait.face_id: pytest.approx(one.opacity, abs=0.01) for one in shown}


def test_a_face_where_nobody_is_is_there_at_once() -> None:
    fading = Fading()
    fading.add([], 0.0)
    assert opacities(fading.add([drawing(0)], 0.04)) == {0: 1.0}


def test_a_face_that_joins_another_rises() -> None:
    fading, one, other = Fading(), drawing(0), drawing(1, x=300)
    fading.add([one], 0.0)
    told = [opacities(fading.add([one, other], 0.1 + share * RISE_S)) for share in (0, 0.5, 1, 2)]
    assert told == [{0: 1.0, 1: risen} for risen in (0.0, 0.5, 1.0, 1.0)]


def test_one_who_leaves_fades_while_the_others_stay_and_comes_back_whole_before_that_is_done() -> None:
    fading, both = Fading(), [drawing(0), drawing(1, x=300)]
    fading.add(both, 0.0)
    left = fading.add(both[:1], 0.25)
    assert opacities(left) == {0: 1.0, 1: 0.5}
    assert [one.held for one in left] == [False, True]
    assert opacities(fading.add(both, 0.29)) == {0: 1.0, 1: 1.0}
    assert opacities(fading.add(both[:1], 0.3 + GONE_S)) == {0: 1.0}


def test_a_newcomer_takes_the_place_of_the_one_that_fades_there_as_dark_as_it_was() -> None:
    fading, stays = Fading(), drawing(0, x=600)
    fading.add([stays, drawing(1)], 0.0)
    fading.add([stays], 0.25)
    assert opacities(fading.add([stays, drawing(2, x=200)], 0.25)) == {0: 1.0, 2: 0.5}


def test_a_newcomer_elsewhere_does_not_wipe_out_who_fades() -> None:
    """Two leave and one comes far from both: nothing vanishes at once."""
    fading = Fading()
    fading.add([drawing(0, x=100), drawing(1, x=400)], 0.0)
    assert opacities(fading.add([drawing(2, x=800)], 0.25)) == {2: 0.0, 0: 0.5, 1: 0.5}


def test_of_two_that_fade_a_newcomer_replaces_the_nearer() -> None:
    fading = Fading()
    fading.add([drawing(0, x=100), drawing(1, x=200)], 0.0)
    assert set(opacities(fading.add([drawing(2, x=190)], 0.25))) == {0, 2}
