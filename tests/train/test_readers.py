"""What lies in a folder: three kinds, told before any picture is decoded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from prepared_data import folder, portrait, save

from train.dataset import held_out
from train.readers import find_items

DOT = np.zeros((2, 2), np.uint8)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        save(root / name, DOT)
    return root


def test_a_plain_folder_of_photos_is_sorted_and_numbered(tmp_path: Path) -> None:
    found = find_items(touch(tmp_path, "c.png", "a.jpg", "B.JPG", "b.webp"))
    (tmp_path / "notes.txt").write_text("no picture")
    assert found.kind == "photos"
    assert [(item.number, item.name, item.drawing) for item in found.items] == [
        (0, "B", None), (1, "a", None), (2, "b", None), (3, "c", None),
    ]  # fmt: skip


def test_every_tenth_of_the_sorted_folder_is_held_out(tmp_path: Path) -> None:
    found = find_items(touch(tmp_path, *(f"p{i:02d}.png" for i in range(20))))
    assert [item.name for item in found.items if held_out(item.number)] == ["p07", "p17"]


@pytest.mark.parametrize(
    ("photos", "drawings"), [("photo", "drawing"), ("photos", "sketches"), (".", "drawings"), (".", "sketch")]
)
def test_drawings_in_a_folder_beside_make_pairs(tmp_path: Path, photos: str, drawings: str) -> None:
    touch(tmp_path, f"{photos}/a.jpg", f"{photos}/b.jpg", f"{drawings}/a.png", f"{drawings}/c.png")
    found = find_items(tmp_path)
    assert found.kind == "pairs"
    (item,) = found.items
    assert (item.photo, item.drawing) == (tmp_path / photos / "a.jpg", tmp_path / drawings / "a.png")
    assert found.skipped == [
        f"{tmp_path / photos / 'b.jpg'}: expected a drawing of the same name, got none",
        f"{tmp_path / drawings / 'c.png'}: expected a photo of the same name, got none",
    ]


def test_a_drawing_may_lie_beside_its_photo(tmp_path: Path) -> None:
    found = find_items(touch(tmp_path, "a.jpg", "a_drawing.png", "b.jpg"))
    assert [(item.name, item.drawing) for item in found.items] == [("a", tmp_path / "a_drawing.png")]
    assert len(found.skipped) == 1


def test_fs2k_tells_its_styles_and_numbers_do_not_depend_on_the_choice(tmp_path: Path) -> None:
    touch(tmp_path, *(f"train/{kind}/p1_{i}.webp" for kind in ("photo", "drawing") for i in range(4)))
    (tmp_path / "train.json").write_text(json.dumps([{"name": f"p1_{i}", "style": i % 2} for i in range(4)]))
    assert [item.style for item in find_items(tmp_path / "train").items] == [0, 1, 0, 1]
    assert [(i.number, i.name) for i in find_items(tmp_path / "train", style=1).items] == [(1, "p1_1"), (3, "p1_3")]
    with pytest.raises(ValueError, match=r"train: expected pictures .* found none to prepare"):
        find_items(tmp_path / "train", style=2)


def test_fs2k_is_read_as_its_makers_pack_it(tmp_path: Path) -> None:
    touch(tmp_path, "photo/photo1/image0001.jpg", "sketch/sketch1/sketch0001.jpg", "photo/photo2/image0002.jpg",
          "sketch/sketch2/sketch0002.png")  # fmt: skip
    entries = [{"image_name": f"photo{i}/image000{i}", "style": i} for i in (1, 2)]
    lost = {"image_name": "photo1/image0009", "style": 0}
    (tmp_path / "anno_train.json").write_text(json.dumps([entries[1], lost]))
    (tmp_path / "anno_test.json").write_text(json.dumps([entries[0]]))
    found = find_items(tmp_path)
    assert [(item.name, item.split, item.style) for item in found.items] == [
        ("photo2_image0002", "train", 2), ("photo1_image0001", "test", 1),
    ]  # fmt: skip
    assert found.items[0].drawing == tmp_path / "sketch/sketch2/sketch0002.png"
    assert found.skipped == [f"{tmp_path}/photo/photo1/image0009: expected a picture, got no such file"]


def test_the_papers_layout_keeps_its_splits_landmarks_and_masks(tmp_path: Path) -> None:
    folder(folder(tmp_path, portrait(1)), portrait(2), split="test")
    (tmp_path / "mask/ALL/p2.png").unlink()
    found = find_items(tmp_path)
    assert found.kind == "paper"
    assert [(item.name, item.split, item.aligned) for item in found.items] == [
        ("p1", "train", True),
        ("p2", "test", True),
    ]
    assert [item.matte for item in found.items] == [tmp_path / "mask/ALL/p1.png", None]
    assert found.items[1].points == tmp_path / "landmark/ALL/p2.txt"


def test_the_first_of_two_pictures_of_a_name_is_taken(tmp_path: Path) -> None:
    found = find_items(touch(tmp_path, "a.jpg", "a.png", "b.jpg"))
    assert [(item.number, item.photo.name) for item in found.items] == [(0, "a.jpg"), (1, "b.jpg")]
    assert found.skipped == [f"{tmp_path}/a.png: expected one picture of a name, took {tmp_path}/a.jpg already"]


@pytest.mark.parametrize("table", ["[1]", "{", '{"name": "a"}', '[{"name": "a", "style": "bold"}]', '[{"style": 1}]'])
def test_a_table_of_styles_that_is_none_is_named(tmp_path: Path, table: str) -> None:
    touch(tmp_path, "set/photo/a.png", "set/drawing/a.png")
    (tmp_path / "set.json").write_text(table)
    with pytest.raises(ValueError, match=r"set\.json: expected a list of "):
        find_items(tmp_path / "set")


def test_a_style_needs_a_table(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--style: expected .* with styles, found none"):
        find_items(touch(tmp_path, "photo/a.png", "drawing/a.png"), style=1)


def test_no_folder_and_an_empty_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a folder of photos, got nothing"):
        find_items(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="expected a folder of photos, got a file"):
        find_items(tmp_path / "file")
    with pytest.raises(ValueError, match="found none to prepare"):
        find_items(tmp_path)
