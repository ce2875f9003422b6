"""Prepared folders as a run opens them, bad ones told at the door, and the warp into the square."""

from __future__ import annotations

import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prepared_data import folder, portrait, save

from apdgan.alignment import TEMPLATE
from train.dataset import FIVE, align_photo, load_pairs, mixed_indices, open_pairs, similarity, unsharp
from train.folder import png


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


def test_what_was_written_is_read(tmp_path: Path) -> None:
    wanted = portrait(1)
    (got,) = open_pairs([folder(tmp_path, wanted)])
    for key in ("photo", "matte", "points", "mesh", "drawing"):
        np.testing.assert_array_equal(getattr(got, key), getattr(wanted, key))
    assert got.name == "p1"
    assert (tmp_path / "landmark/ALL/p1.txt").read_text().splitlines()[0] == "201 247"


def test_a_folder_that_others_made_has_no_mesh_and_opens(tmp_path: Path) -> None:
    one = portrait(2)
    save(tmp_path / "data/test/a b.png", np.hstack([one.photo, np.dstack([one.drawing] * 3)]))
    save(tmp_path / "mask/ALL/a b.png", np.dstack([one.matte] * 3))
    (tmp_path / "landmark/ALL").mkdir(parents=True)
    (tmp_path / "landmark/ALL/a b.txt").write_text("202 246\n311 247\n255 312\n206 370\n305 371\n")
    (pair,) = open_pairs([tmp_path])
    assert pair.mesh is None
    assert pair.points[4].tolist() == [305, 371]
    np.testing.assert_array_equal(pair.drawing, one.drawing)
    np.testing.assert_array_equal(pair.matte, one.matte)
    with pytest.raises(ValueError, match="a b: expected a face mesh"):
        _ = pair.landmarks


def test_a_folder_stands_for_its_training_split_and_one_split_is_opened_by_its_path(tmp_path: Path) -> None:
    folder(folder(tmp_path, portrait(1), portrait(2)), portrait(3), split="test")
    assert open_pairs([tmp_path]).names == ["p1", "p2"]
    assert open_pairs([tmp_path / "data" / "test"]).names == ["p3"]
    assert open_pairs([tmp_path / "data" / "test", tmp_path]).names == ["p3", "p1", "p2"]


def test_photos_alone_open_where_no_drawing_is_needed(tmp_path: Path) -> None:
    folder(tmp_path, portrait(1), portrait(2, drawing=None))
    assert [pair.drawing is None for pair in open_pairs([tmp_path], drawings=False)] == [False, True]
    with pytest.raises(ValueError, match=r"train: expected drawings .* none for 'p2' and 0 more; .*synthesize"):
        open_pairs([tmp_path])


def test_the_fingerprint_is_of_the_content_wherever_it_lies(tmp_path: Path) -> None:
    one, two = portrait(1), portrait(2)
    here, there = folder(tmp_path / "a", one, two), folder(tmp_path / "b", one, two)
    print_ = open_pairs([here]).fingerprint()
    assert print_ == open_pairs([there]).fingerprint()
    assert len(print_) == 64
    touched = two.drawing.copy()
    touched[0, 0] = 0
    for change in ({"drawing": touched}, {"points": two.points + 1}, {"mesh": None}, {"matte": two.matte // 2}):
        assert open_pairs([folder(tmp_path / "b", one, replace(two, **change))]).fingerprint() != print_


def test_pairs_reach_another_process_whole(tmp_path: Path) -> None:
    pairs = open_pairs([folder(tmp_path, portrait(1))])
    again = pickle.loads(pickle.dumps(pairs))
    np.testing.assert_array_equal(again[0].photo, pairs[0].photo)


PICTURE, LANDMARKS, MASK, MESH = "data/train/p1.png", "landmark/ALL/p1.txt", "mask/ALL/p1.png", "mesh/ALL/p1.npy"


def wide(width: int, height: int = 512) -> bytes:
    return png(np.zeros((height, width, 3), np.uint8))


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        (PICTURE, b"", "expected a picture, got an empty file"),
        (PICTURE, b"no picture at all", "expected a picture, got a file that is none, or damaged"),
        (PICTURE, wide(1023), "expected a 1024x512 pair or a 512x512 photo, got 1023x512"),
        (PICTURE, wide(1024, 1024), "got 1024x1024"),
        (LANDMARKS, b"1 2\n" * 4, "expected five lines 'x y', got 4 lines"),
        (LANDMARKS, b"201 247\n311 247\nnose tip\n1 2\n3 4\n", "expected five lines 'x y', got 'nose tip' in line 3"),
        (LANDMARKS, b"201 247\n311 247\n256 312\n1 nan\n3 4\n", "got '1 nan' in line 4"),
        (LANDMARKS, b"201 247\n311 247\n256 312\n1 2\n3 900\n", "landmarks inside the 512 square, got 1 to 900"),
        (LANDMARKS, b"311 247\n201 247\n256 312\n298 377\n214 377\n", "from left to right as seen in the picture"),
        (LANDMARKS, None, "expected five lines 'x y', got no such file"),
        (MASK, wide(256, 256), "expected a mask of 512x512, got 256x256"),
        (MASK, None, "expected a picture, got no such file"),
        (MESH, b"\x93NUMPY", "expected a face mesh"),
        (MESH, b"", "expected a face mesh"),
    ],
)  # fmt: skip
def test_a_bad_file_is_named_before_training_starts(
    tmp_path: Path, file: str, content: bytes | None, told: str
) -> None:
    folder(tmp_path, portrait(0), portrait(1))
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(told)) as caught:
        open_pairs([tmp_path])
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / file}: ")
    assert "train prepare" in message
    assert "\n" not in message


def test_two_pictures_of_one_name_are_told_apart_from_one(tmp_path: Path) -> None:
    folder(tmp_path, portrait(1))
    save(tmp_path / "data/train/p1.jpg", np.zeros((512, 1024, 3), np.uint8))
    with pytest.raises(ValueError, match=r"p1\.png: expected one picture of a name, got p1\.jpg too"):
        open_pairs([tmp_path])


def test_one_message_counts_the_other_bad_files(tmp_path: Path) -> None:
    folder(tmp_path, *(portrait(i) for i in range(3)))
    for i in (1, 2):
        (tmp_path / f"mask/ALL/p{i}.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"p1\.png: expected a picture, got an empty file \(and 1 more\)"):
        open_pairs([tmp_path])


def test_what_only_decoding_shows_is_told_by_check_and_by_reading(tmp_path: Path) -> None:
    folder(tmp_path, portrait(0), portrait(1), portrait(2, drawing=np.full((512, 512), 200, np.uint8)))
    cut = tmp_path / PICTURE
    cut.write_bytes(cut.read_bytes()[:-9000])
    pairs = open_pairs([tmp_path])
    first, second = pairs.check()
    assert first.startswith(f"{cut}: expected a picture, got ")
    assert (
        second
        == f"{tmp_path}/data/train/p2.png: expected a drawing with ink, got an empty one (nothing darker than 128)"
    )
    with pytest.raises(ValueError, match=r"p2\.png: expected a drawing with ink"):
        pairs[2]


def test_raw_arrays_of_before_still_open(tmp_path: Path) -> None:
    one, path = portrait(1), tmp_path / "pairs.npz"
    arrays = {"photo": one.photo[None], "matte": one.matte[None], "landmarks": one.mesh[None], "name": np.array(["a"])}
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"pairs\.npz: expected drawings"):
        load_pairs([path])
    assert open_pairs([path], drawings=False)[0].points.tolist() == one.points.tolist()
    np.savez(path, **arrays, drawing=one.drawing[None])
    np.testing.assert_array_equal(load_pairs([path])[0].drawing, one.drawing)
    np.savez(path, **arrays, drawing=one.drawing[None, :256])
    with pytest.raises(
        ValueError, match=r"pairs\.npz: expected 'drawing' of shape \(1, 512, 512\), got \(1, 256, 512\)"
    ):
        open_pairs([path])


@pytest.mark.parametrize(
    ("name", "told"),
    [("none.npz", "got no such file"), ("text.npz", "got a damaged or foreign file"), ("empty", "expected data/train"),
     ("other.npz", "expected a pack, got the arrays stray")],
)  # fmt: skip
def test_what_is_no_data_is_named(tmp_path: Path, name: str, told: str) -> None:
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "empty").mkdir()
    np.savez(tmp_path / "other.npz", stray=np.zeros(3))
    with pytest.raises(ValueError, match=told) as caught:
        open_pairs([tmp_path / name])
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_nothing_to_open_is_told() -> None:
    with pytest.raises(ValueError, match="expected prepared folders or packs"):
        open_pairs([])
