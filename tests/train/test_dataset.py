"""Prepared files and the warp into the square."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from apdgan.alignment import TEMPLATE
from train.dataset import FIVE, align_photo, load_pairs, mixed_indices, similarity, unsharp


def mesh_at(points: np.ndarray) -> np.ndarray:
    mesh = np.zeros((478, 2))
    mesh[list(FIVE)] = points
    return mesh


def test_a_face_lands_on_the_template() -> None:
    points = TEMPLATE * 1.1 - (40, 30)
    photo, mesh, inside, _ = align_photo(np.full((480, 640, 3), 90, np.uint8), mesh_at(points))
    assert np.allclose(mesh[list(FIVE)], TEMPLATE, atol=1e-3)
    assert (photo[inside][:, 0] == 90).mean() > 0.98
    assert (photo[~inside].min(-1) > 90).mean() > 0.98
    assert 0.3 < inside.mean() < 1


def test_an_aligned_square_is_not_warped() -> None:
    image = np.random.default_rng(0).integers(0, 255, (512, 512, 3), dtype=np.uint8)
    photo, _, inside, scale = align_photo(image, mesh_at(TEMPLATE + np.array([6, -5])))
    assert np.array_equal(photo, image)
    assert inside.all()
    assert scale == 1


def test_an_extra_movement_moves_the_landmarks_with_the_photo() -> None:
    move = similarity(0.8, 10.0, 5.0, -3.0)
    mesh = align_photo(np.full((512, 512, 3), 9, np.uint8), mesh_at(TEMPLATE), move).mesh
    assert np.allclose(mesh[list(FIVE)], TEMPLATE @ move[:, :2].T + move[:, 2], atol=1e-3)


def test_unsharp_raises_edge_contrast_and_keeps_flat_areas() -> None:
    photo = np.full((64, 64, 3), 100, np.uint8)
    photo[:, 32:] = 150
    sharp = unsharp(photo, 1.0, 1.5)
    assert int(sharp.max()) > 150
    assert int(sharp.min()) < 100
    assert (sharp[:, :20] == 100).all()


def test_every_index_comes_once_a_pass() -> None:
    indices = mixed_indices(np.random.default_rng(0), 7)
    first, second = [next(indices) for _ in range(7)], [next(indices) for _ in range(7)]
    assert sorted(first) == sorted(second) == list(range(7))
    assert first != second


def test_a_file_without_drawings_says_what_to_run(tmp_path: Path) -> None:
    path = tmp_path / "photos.npz"
    np.savez(path, photo=np.zeros((1, 512, 512, 3), np.uint8))
    with pytest.raises(ValueError, match=r"photos\.npz.*synthesize"):
        load_pairs([path])
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ValueError, match=r"text\.npz"):
        load_pairs([tmp_path / "text.npz"])
