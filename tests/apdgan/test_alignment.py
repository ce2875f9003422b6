"""Template fit, boxes and landmark files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from apdgan import alignment
from apdgan.alignment import SIZE, TEMPLATE

Array = NDArray[np.float64]


def similarity(scale: float, degrees: float, x: float, y: float) -> Array:
    c, s = scale * np.cos(np.radians(degrees)), scale * np.sin(np.radians(degrees))
    return np.array([(c, -s, x), (s, c, y)])


def noisy_face(seed: int) -> Array:
    """Five points of a face somewhere in a 1280 x 720 picture, each a few pixels off the template's shape."""
    rng = np.random.default_rng(seed)
    points = alignment.transform(similarity(0.6, 17.0, 500.0, 120.0), TEMPLATE)
    return points + rng.normal(0, 6, points.shape)


def least_squares(source: Array, target: Array) -> Array:
    """The similarity that takes source nearest to target, by a general solver."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [(x, -y, 1, 0), (y, x, 0, 1)]
        values += [u, v]
    (a, b, tx, ty), *_ = np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)
    return np.array([(a, -b, tx), (b, a, ty)])


def test_the_template_is_the_authors() -> None:
    printed = [(201.14, 246.86), (310.86, 246.86), (256, 311.77), (206.63, 370.83), (305.37, 370.83)]
    np.testing.assert_allclose(TEMPLATE, printed, atol=0.005)


@pytest.mark.parametrize("seed", range(5))
def test_the_fit_is_the_inverse_of_template_to_photo_least_squares(seed: int) -> None:
    points = noisy_face(seed)
    expected = alignment.invert(least_squares(TEMPLATE, points))
    np.testing.assert_allclose(alignment.fit_similarity(points), expected, rtol=1e-9, atol=1e-9)


def test_a_forward_fit_is_something_else() -> None:
    points = noisy_face(0)
    forward, inverse = least_squares(points, TEMPLATE), alignment.fit_similarity(points)
    difference = alignment.transform(forward, points) - alignment.transform(inverse, points)
    assert np.abs(difference).max() > 0.1


@pytest.mark.parametrize("degrees", [-170.0, -30.0, 0.0, 45.0, 90.0])
def test_an_exact_similarity_is_recovered(degrees: float) -> None:
    placed = similarity(1.7, degrees, -40.0, 900.0)
    fitted = alignment.fit_similarity(alignment.transform(placed, TEMPLATE))
    np.testing.assert_allclose(fitted, alignment.invert(placed), atol=1e-9)


def test_transform_and_invert_undo_each_other() -> None:
    points = np.random.default_rng(0).uniform(-1000, 1000, (50, 2))
    matrix = similarity(0.3, 77.0, 5.0, -8.0)
    there = alignment.transform(matrix, points)
    assert not np.allclose(there, points)
    np.testing.assert_allclose(alignment.transform(alignment.invert(matrix), there), points, atol=1e-9)


@pytest.mark.parametrize(
    "points",
    [
        np.zeros((4, 2)),
        np.zeros((5, 3)),
        np.full((5, 2), np.nan),
        np.where(np.eye(5, 2) > 0, np.inf, TEMPLATE),
        np.full((5, 2), 100.0),
    ],
    ids=["four points", "three coordinates", "not a number", "infinite", "all in one place"],
)
def test_points_that_are_no_face_are_refused(points: Array) -> None:
    with pytest.raises(ValueError, match="expected five"):
        alignment.fit_similarity(points)


def test_a_square_near_the_template_counts_as_aligned() -> None:
    identity = similarity(1, 0, 0, 0)
    assert alignment.is_aligned(identity, SIZE, SIZE)
    assert not alignment.is_aligned(identity, SIZE, SIZE + 1)
    assert not alignment.is_aligned(identity, 1280, 720)
    assert alignment.is_aligned(similarity(1, 0, 24, 0), SIZE, SIZE)
    assert not alignment.is_aligned(similarity(1, 0, 24.01, 0), SIZE, SIZE)
    assert not alignment.is_aligned(similarity(1, 0, 18, 18), SIZE, SIZE)  # 25.5 px along the diagonal
    assert not alignment.is_aligned(similarity(1, 180, SIZE, SIZE), SIZE, SIZE)


def test_boxes_follow_the_centre_rules() -> None:
    landmarks = np.array([(198, 247), (314, 248), (255, 320), (205, 366), (308, 369)], dtype=float)
    # Centres: eyes 8 px and nose 16 px above their points, mouth at the truncated middle of its corners.
    centres = np.array([(198, 239), (314, 240), (255, 304), (256, 367)])
    halves = np.array([(56, 40), (56, 40), (48, 48), (64, 40)])
    np.testing.assert_array_equal(alignment.boxes(landmarks), centres - halves)


def test_boxes_round_landmarks_to_the_nearest_pixel() -> None:
    np.testing.assert_array_equal(alignment.boxes(TEMPLATE + 0.2), alignment.boxes(np.rint(TEMPLATE + 0.2)))
    assert (alignment.boxes(np.rint(TEMPLATE) + 0.6) == alignment.boxes(np.rint(TEMPLATE) + 1)).all()


def test_boxes_of_a_batch_are_the_boxes_of_its_faces() -> None:
    faces = TEMPLATE + np.arange(3)[:, None, None] * 10.0
    batch = alignment.boxes(faces)
    assert batch.shape == (3, 4, 2)
    assert batch.dtype == np.int32
    np.testing.assert_array_equal(batch, [alignment.boxes(face) for face in faces])


@pytest.mark.parametrize("scale", [1.0, 4.0, 1e12])
def test_boxes_never_leave_the_square(scale: float) -> None:
    rng = np.random.default_rng(1)
    corners = alignment.boxes(256 + scale * rng.uniform(-512, 512, (200, 5, 2)))
    assert (corners >= 0).all()
    assert (corners + np.array(alignment.PART_SIZES) <= SIZE).all()


def test_a_box_past_the_border_is_moved_no_further_than_the_border() -> None:
    corners = alignment.boxes(np.array([(0, 0), (511, 511), (-50, 700), (0, 256), (0, 256)], dtype=float))
    np.testing.assert_array_equal(corners, [(0, 0), (400, 432), (0, 416), (0, 216)])


@pytest.mark.parametrize("landmarks", [np.zeros((4, 2)), np.zeros((2, 2, 5, 2)), np.full((5, 2), np.nan)])
def test_boxes_of_something_else_are_refused(landmarks: Array) -> None:
    with pytest.raises(ValueError, match=r"expected finite landmarks of shape \(5, 2\)"):
        alignment.boxes(landmarks)


def test_a_landmark_file_is_used_as_printed(tmp_path: Path) -> None:
    path = tmp_path / "face.txt"
    path.write_text("198 247\n314 247\n\n255 320\n204 366.5\n308 367\n")
    expected = [(198, 247), (314, 247), (255, 320), (204, 366.5), (308, 367)]
    np.testing.assert_array_equal(alignment.read_landmarks(path), expected)


@pytest.mark.parametrize(
    "content",
    [b"", b"1 2\n3 4\n", b"1 2\n" * 6, b"1 2 3\n" * 5, b"1 2\n" * 4 + b"1\n", b"one two\n" * 5, b"\xff\xfe\x00" * 9],
    ids=["empty", "two lines", "six lines", "three columns", "ragged", "words", "bytes"],
)
def test_a_file_that_holds_no_landmarks_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "face.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"face\.txt: expected five lines 'x y', got"):
        alignment.read_landmarks(path)
