"""Who is drawn: not a profile, not who has mostly gone; and nobody flickers at the limit."""

from dataclasses import replace

import numpy as np
import pytest
from pipeline_fakes import face, is_paper, picture, stylizer

from realtime.core import Face
from realtime.presence import Presence, turned


def yawed(degrees: float) -> Face:
    """A head turned about its axis: the nose stands out by 0.6 eye distances."""
    one = face()
    left, right = one.landmarks[:2]
    middle, half = (left + right) / 2, (right - left) / 2
    angle = np.radians(degrees)
    points = one.landmarks.copy()
    points[0], points[1] = middle - half * np.cos(angle), middle + half * np.cos(angle)
    points[2, 0] = middle[0] + 2 * half[0] * 0.6 * np.sin(angle)
    return replace(one, landmarks=points.astype(np.float32))


def drawn(faces: list[Face]) -> list[bool]:
    presence = Presence()
    return [bool(presence.keep(picture(0), [one])) for one in faces]


@pytest.mark.parametrize("side", [-1, 1])
def test_a_profile_is_no_face_and_at_the_limit_who_is_drawn_stays_drawn(side: int) -> None:
    turn = [0, 45, 58, 64, 70, 80, 64, 58, 0]
    assert drawn([yawed(side * degrees) for degrees in turn]) == [True] * 4 + [False] * 3 + [True] * 2


def test_the_turn_is_told_by_the_tangent() -> None:
    assert turned(yawed(0)) == pytest.approx(0, abs=0.01)
    assert turned(yawed(45)) == pytest.approx(0.6, abs=0.01)


def test_a_face_that_leaves_is_drawn_until_most_of_it_has_gone() -> None:
    """Five points: three inside are 0.6, two are 0.4."""
    mouth_and_nose, mouth = face(y=-8), face(y=-8 - 12)
    assert [int((one.landmarks[:, 1] >= 0).sum()) for one in (mouth_and_nose, mouth)] == [3, 2]
    assert drawn([mouth_and_nose, mouth, mouth_and_nose]) == [True, False, True]


def test_points_that_coincide_are_no_face() -> None:
    assert drawn([replace(face(), landmarks=np.full((5, 2), 50, np.float32))]) == [False]


def test_points_that_are_no_numbers_are_no_face() -> None:
    assert drawn([replace(face(), landmarks=np.full((5, 2), np.nan, np.float32))]) == [False]


def test_a_head_that_turns_away_fades_to_paper() -> None:
    core = stylizer(lambda index: [face() if index < 3 else yawed(85)])
    frames = [core(picture(index, level=90)) for index in range(20)]
    assert not is_paper(frames[3])
    assert is_paper(frames[14])
