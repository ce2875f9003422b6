import time
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pipeline_fakes import face, picture

from apdgan.alignment import SIZE, TEMPLATE, fit_similarity, invert, transform
from realtime.aligner import MESH_TO_FIVE, Aligner, five_points
from realtime.core import Face, Frame


class FakeMatter:
    """Everything is half a person; counts the squares."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def matte(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        self.batches.append(len(photo))
        return np.full(photo.shape[:3], 128, np.uint8)


def textured(width: int, height: int, *, index: int = 0, seed: int = 0) -> Frame:
    noise = np.random.default_rng(seed).integers(0, 200, (height // 8, width // 8, 3), dtype=np.uint8)
    image = cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    return Frame(image=image, index=index, captured=time.monotonic(), pts=Fraction(index, 30))


def turned(points: NDArray[np.float64], *, degrees: float, size: float, x: float, y: float) -> NDArray[np.float32]:
    a = np.deg2rad(degrees)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) * (size / 512)
    return ((points - 256) @ turn.T + (x, y)).astype(np.float32)


@pytest.mark.parametrize(("degrees", "size", "x", "y"), [(0, 300, 400, 300), (20, 500, 300, 250), (-35, 150, 600, 400)])
def test_a_face_lands_on_the_template(degrees: float, size: float, x: float, y: float) -> None:
    landmarks = turned(TEMPLATE, degrees=degrees, size=size, x=x, y=y)
    one = Aligner(matter=None).align(textured(800, 600), [Face(id=4, landmarks=landmarks, confidence=1.0)])[0]
    np.testing.assert_allclose(one.landmarks, TEMPLATE, atol=0.01)
    np.testing.assert_allclose(transform(one.matrix, landmarks), TEMPLATE, atol=0.02)
    assert (one.photo.shape, one.photo.dtype, one.face_id) == ((SIZE, SIZE, 3), np.uint8, 4)
    assert (one.matrix.dtype, one.landmarks.dtype, one.matte.dtype) == (np.float32, np.float32, np.uint8)


def test_what_the_square_shows_is_what_the_frame_shows_there() -> None:
    frame = textured(800, 600)
    one = Aligner(matter=None).align(frame, [face(x=400, y=300, size=400)])[0]
    at = np.array([(100, 200), (256, 256), (400, 300)])
    source = transform(invert(one.matrix), at)
    expected = [cv2.getRectSubPix(frame.image, (1, 1), (float(x), float(y)))[0, 0] for x, y in source]
    found = [one.photo[y, x] for x, y in at]
    np.testing.assert_allclose(np.array(found, float), np.array(expected, float), atol=4)


def test_outside_the_frame_is_white_and_no_person() -> None:
    one = Aligner(matter=None).align(picture(0), [face(x=20, y=120, size=200)])[0]
    edge = int(np.ceil(transform(one.matrix, np.array([[0.0, 120.0]]))[0, 0]))
    assert 100 < edge < 300
    assert (one.photo[:, : edge - 3] == 255).all()
    assert (one.matte[:, : edge - 2] == 0).all()
    assert (one.matte[200:300, edge + 2 :] == 255).all()


def test_inside_the_frame_everything_is_person_when_nobody_makes_mattes() -> None:
    assert (Aligner(matter=None).align(textured(800, 600), [face(x=400, y=300, size=200)])[0].matte == 255).all()


@pytest.mark.parametrize("where", [(-4000.0, 120.0), (160.0, 9000.0)])
def test_a_face_outside_the_frame_is_white_and_defined(where: tuple[float, float]) -> None:
    one = Aligner(matter=FakeMatter()).align(picture(0), [face(x=where[0], y=where[1])])[0]
    assert (one.photo == 255).all()
    assert (one.matte == 0).all()


@pytest.mark.parametrize("size", [3.0, 20.0, 4000.0])
def test_tiny_and_huge_faces_are_defined(size: float) -> None:
    one = Aligner(matter=None).align(textured(640, 480), [face(x=320, y=240, size=size)])[0]
    np.testing.assert_allclose(one.landmarks, TEMPLATE, atol=0.5)


def test_points_that_cannot_be_placed_are_left_out_and_the_others_stay() -> None:
    nowhere = Face(id=1, landmarks=np.full((5, 2), 50, np.float32), confidence=1.0)
    broken = Face(id=2, landmarks=np.full((5, 2), np.nan, np.float32), confidence=1.0)
    found = Aligner(matter=FakeMatter()).align(picture(0), [nowhere, face(7), broken])
    assert [one.face_id for one in found] == [7]


def test_no_face_gives_nothing_and_asks_for_no_matte() -> None:
    matter = FakeMatter()
    assert Aligner(matter=matter).align(picture(0), []) == []
    assert matter.batches == []


def test_the_five_points_of_a_mesh() -> None:
    mesh = np.arange(956, dtype=np.float32).reshape(478, 2)
    assert np.array_equal(five_points(mesh)[:, 0] / 2, MESH_TO_FIVE)
    with pytest.raises(ValueError, match="expected 5 or 478 landmarks, got 68"):
        five_points(mesh[:68])


def test_an_aligned_picture_is_not_warped() -> None:
    frame = textured(512, 512)
    points = (TEMPLATE + np.array([(9, 3), (-4, 2), (5, -6), (2, 2), (-3, 4)])).astype(np.float32)
    one = Aligner(matter=None).align(frame, [Face(id=0, landmarks=points, confidence=1.0)])[0]
    assert np.array_equal(one.photo, frame.image)
    assert np.array_equal(one.matrix, np.eye(2, 3, dtype=np.float32))
    np.testing.assert_allclose(one.landmarks, points)


def test_a_picture_of_512_that_is_not_aligned_is_warped() -> None:
    frame = textured(512, 512)
    one = Aligner(matter=None).align(frame, [face(x=300, y=256, size=400)])[0]
    np.testing.assert_allclose(one.landmarks, TEMPLATE, atol=0.01)
    assert not np.array_equal(one.photo, frame.image)


def test_another_size_is_warped_though_its_face_fits() -> None:
    one = Aligner(matter=None).align(textured(640, 512), [face(x=260, y=256, size=512)])[0]
    assert one.matrix[0, 2] == pytest.approx(-4, abs=0.1)


def test_shrinking_averages_instead_of_skipping() -> None:
    image = np.zeros((2400, 2400, 3), np.uint8)
    image[:, ::2] = 200  # stripes one pixel wide: bilinear alone shows beats of them
    frame = Frame(image=image, index=0, captured=0.0)
    photo = Aligner(matter=None).align(frame, [face(x=1203.3, y=1200, size=1900)])[0].photo
    assert np.abs(photo.astype(int) - 100).max() < 12


def test_shrinking_keeps_places() -> None:
    image = np.full((4000, 4000, 3), 200, np.uint8)
    cv2.circle(image, (1800, 2200), 300, (0, 0, 0), -1)
    one = Aligner(matter=None).align(Frame(image=image, index=0, captured=0.0), [face(x=2000, y=2000, size=3300)])[0]
    seen = np.argwhere(one.photo[..., 0] < 100).mean(0)[::-1]
    np.testing.assert_allclose(seen, transform(one.matrix, np.array([[1800, 2200]]))[0], atol=0.15)


def corners(aligner: Aligner, frame: Frame, one: Face) -> NDArray[np.float64]:
    matrix = aligner.align(frame, [one])[0].matrix
    return transform(invert(matrix), np.array([(0, 0), (SIZE, 0), (0, SIZE), (SIZE, SIZE)]))


def test_a_trembling_face_stands_still() -> None:
    rng, aligner, seen = np.random.default_rng(1), Aligner(matter=None), []
    for index in range(120):
        still = face(x=320, y=240, size=300)
        trembling = replace(still, landmarks=still.landmarks + rng.normal(0, 0.5, (5, 2)).astype(np.float32))
        seen.append(corners(aligner, picture(index, width=640, height=480), trembling))
    raw = [
        transform(
            invert(fit_similarity(face(x=320, y=240, size=300).landmarks + rng.normal(0, 0.5, (5, 2)))),
            np.array([(0, 0), (SIZE, SIZE)]),
        )
        for _ in range(120)
    ]
    assert np.std(seen[20:], axis=0).mean() < 0.6 * np.std(raw, axis=0).mean()


def test_a_moving_face_is_followed_closely() -> None:
    aligner, lag = Aligner(matter=None), []
    for index in range(60):  # twice across a square a second
        x = 320 + 150 * np.sin(index / 30 * 2 * np.pi)
        found = corners(aligner, picture(index, width=640, height=480), face(x=x, y=240, size=300))
        lag.append(abs(found[:, 0].mean() - x) / 300)
    assert max(lag[10:]) < 0.05
    assert np.mean(lag[10:]) < 0.025


def test_a_head_that_turns_upside_down_does_not_spin() -> None:
    aligner = Aligner(matter=None)
    for index, degrees in enumerate(range(150, 211, 3)):
        landmarks = turned(TEMPLATE, degrees=degrees, size=300, x=320, y=240)
        one = aligner.align(textured(640, 480, index=index), [Face(id=0, landmarks=landmarks, confidence=1.0)])[0]
        assert np.abs(one.landmarks - TEMPLATE).max() < 40


def test_a_face_that_was_gone_for_long_starts_where_it_is() -> None:
    aligner = Aligner(matter=None)
    corners(aligner, picture(0), face(x=100))
    late = corners(aligner, picture(60), face(x=220))
    np.testing.assert_allclose(late.mean(0), (220, 120), atol=0.05)
    assert len(aligner._states) == 1


def test_states_do_not_pile_up() -> None:
    aligner = Aligner(matter=None)
    for index in range(200):
        aligner.align(picture(index), [face(index)])
    assert len(aligner._states) <= 16


def test_mattes_are_made_in_one_batch_and_serve_several_frames() -> None:
    matter = FakeMatter()
    aligner = Aligner(matter=matter, matte_every=3)
    for index in range(9):
        faces = [face(0, x=80, size=60), face(1, x=240, size=60)]
        found = aligner.align(picture(index, level=90), faces)
        assert all((one.matte == 128).all() for one in found)
    assert matter.batches == [2, 2, 2]


def test_a_photo_that_changes_gets_a_new_matte_at_once() -> None:
    matter = FakeMatter()
    aligner = Aligner(matter=matter, matte_every=100)
    for index in range(6):
        aligner.align(textured(320, 240, index=index, seed=index // 3), [face()])
    assert matter.batches == [1, 1]


def test_a_new_face_gets_a_matte_of_its_own() -> None:
    matter = FakeMatter()
    aligner = Aligner(matter=matter, matte_every=100)
    aligner.align(picture(0, level=90), [face(0)])
    aligner.align(picture(1, level=90), [face(0), face(1, x=240, size=60)])
    assert matter.batches == [1, 1]
