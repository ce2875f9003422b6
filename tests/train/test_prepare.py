"""From photos to aligned squares, whatever lies in the folder; what cannot be used is listed and the rest goes on."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from prepared_data import FACE, face_image, folder, portrait, save

from apdgan.alignment import TEMPLATE
from train.__main__ import main
from train.dataset import FIVE, align_photo, open_pairs
from train.faces import Faces
from train.pictures import clean_drawing, read_photo
from train.prepare import Options, list_skipped, make_pair, prepare
from train.readers import Item, find_items

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def faces() -> Iterator[Faces]:
    with Faces() as one:
        yield one


@pytest.fixture
def one_tracker(faces: Faces, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of this test share the module's tracker: opening one takes a second."""
    monkeypatch.setattr("train.prepare._open_faces", lambda *_: faces)
    monkeypatch.setattr(faces, "close", lambda: None)


def run(*words: object) -> int:
    return main(["prepare", *map(str, words), "--workers", "1"])


def aligned_folder(root: Path, faces: Faces) -> Path:
    """The real face as a pair in the paper's layout, without a mesh."""
    image = face_image()
    aligned = align_photo(image, faces.mesh(image))
    return folder(root, portrait(1, photo=aligned.photo, mesh=None))


@pytest.mark.usefixtures("one_tracker")
def test_a_photo_becomes_a_square_on_the_template(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "photos" / "me.png", face_image())
    assert run(tmp_path / "photos", tmp_path / "out") == 0
    assert "1 portraits, 0 left out (read as photos)" in capsys.readouterr().out
    (pair,) = open_pairs([tmp_path / "out"], drawings=False)
    assert (pair.name, pair.drawing) == ("me", None)
    assert np.abs(pair.points - TEMPLATE).max() < 16
    assert np.abs(pair.mesh[list(FIVE)] - pair.points).max() <= 0.5
    assert pair.matte[240:400, 230:280].min() > 200
    assert pair.matte[:40, :40].max() < 60
    assert not (tmp_path / "out" / "skipped.txt").exists()


@pytest.mark.usefixtures("one_tracker")
def test_what_cannot_be_used_is_listed_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    save(photos / "a.png", face_image())
    save(photos / "a.webp", face_image())
    save(photos / "empty_room.png", np.full((200, 300, 3), 128, np.uint8))
    save(photos / "huge.png", np.zeros((900, 1000, 3), np.uint8))
    (photos / "zero.jpg").write_bytes(b"")
    (photos / "text.jpg").write_text("not a picture")
    cut = save(photos / "cut.jpg", face_image())
    cut.write_bytes(cut.read_bytes()[:-3000])
    monkeypatch.setattr("train.pictures.MOST_PIXELS", 800_000)
    assert run(photos, tmp_path / "out") == 0
    lines = (tmp_path / "out" / "skipped.txt").read_text().splitlines()
    assert sorted(line.removeprefix(f"{photos}/").split(" (")[0] for line in lines) == [
        f"a.webp: expected one picture of a name, took {photos}/a.png already",
        "cut.jpg: expected a picture, got image file is truncated",
        "empty_room.png: expected a face, found none",
        "huge.png: expected at most 0 million pixels, got 1000x900",
        "text.jpg: expected a picture, got a file that is none, or damaged",
        "zero.jpg: expected a picture, got an empty file",
    ]
    assert capsys.readouterr().out.splitlines()[:-1] == lines
    assert open_pairs([tmp_path / "out"], drawings=False).names == ["a"]


@pytest.mark.usefixtures("one_tracker")
def test_nothing_usable_is_exit_code_2(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "zero.jpg").write_bytes(b"")
    assert run(tmp_path / "photos", tmp_path / "out") == 2


@pytest.mark.usefixtures("one_tracker")
def test_a_drawing_is_moved_as_its_photo_is(tmp_path: Path) -> None:
    image = face_image(300)
    save(tmp_path / "photo" / "me.png", image)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    save(tmp_path / "drawing" / "me.png", cv2.resize(grey, (600, 600), interpolation=cv2.INTER_CUBIC))
    assert run(tmp_path, tmp_path / "out") == 0
    (pair,) = open_pairs([tmp_path / "out"])
    difference = cv2.cvtColor(pair.photo, cv2.COLOR_RGB2GRAY).astype(int) - pair.drawing
    assert np.abs(difference).mean() < 2


@pytest.mark.usefixtures("one_tracker")
def test_unfit_drawings_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("fine", "white", "narrow"):
        save(tmp_path / "photo" / f"{name}.png", face_image(300))
    save(tmp_path / "drawing" / "fine.png", face_image(300))
    save(tmp_path / "drawing" / "white.png", np.full((300, 300), 250, np.uint8))
    save(tmp_path / "drawing" / "narrow.png", np.zeros((300, 200), np.uint8))
    assert run(tmp_path, tmp_path / "out") == 0
    said = capsys.readouterr().out
    assert f"photo/white.png: {tmp_path}/drawing/white.png: expected a drawing with ink, got an empty one" in said
    assert f"{tmp_path}/drawing/narrow.png: expected a drawing of its photo's shape 300x300, got 200x300" in said
    assert open_pairs([tmp_path / "out"]).names == ["fine"]


def test_grey_uneven_paper_becomes_white_and_ink_black() -> None:
    page = np.tile(np.linspace(150, 230, 200), (200, 1))
    page[60:64] *= 0.2
    clean = clean_drawing(page.astype(np.uint8))
    assert clean[61:63].max() == 0
    assert (clean[:50] == 255).mean() > 0.99
    assert (clean[75:] == 255).mean() > 0.99


@pytest.mark.usefixtures("one_tracker")
def test_the_papers_layout_is_copied_to_the_pixel(tmp_path: Path, faces: Faces) -> None:
    source = aligned_folder(tmp_path / "theirs", faces)
    assert run(source, tmp_path / "out") == 0
    (before,), (after,) = open_pairs([source]), open_pairs([tmp_path / "out"])
    for key in ("photo", "drawing", "matte", "points"):
        np.testing.assert_array_equal(getattr(after, key), getattr(before, key))
    assert before.mesh is None
    assert np.abs(after.mesh[list(FIVE)] - TEMPLATE).max() < 20


@pytest.mark.usefixtures("one_tracker")
def test_masks_and_landmarks_that_are_missing_are_made(tmp_path: Path, faces: Faces) -> None:
    source = aligned_folder(tmp_path / "theirs", faces)
    for file in ("mask/ALL/p1.png", "landmark/ALL/p1.txt"):
        (source / file).unlink()
    assert run(source, tmp_path / "out") == 0
    (pair,) = open_pairs([tmp_path / "out"])
    assert np.abs(pair.points - TEMPLATE).max() < 20
    assert pair.matte[300, 256] > 200


@pytest.mark.usefixtures("one_tracker")
@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("landmark/ALL/p1.txt", b"1 2\n" * 4, "landmark/ALL/p1.txt: expected five lines 'x y', got 4 lines"),
        ("landmark/ALL/p1.txt", b"1 2\n3 4\n5 6\nseven 8\n9 9\n", "expected five lines 'x y', got 'seven 8' in line 4"),
        ("landmark/ALL/p1.txt", b"1 2\n3 4\n5 nan\n7 8\n9 9\n", "got '5 nan' in line 3"),
        ("landmark/ALL/p1.txt", b"20 25\n31 25\n26 31\n21 37\n30 37\n", "expected a face aligned to the template"),
        ("mask/ALL/p1.png", cv2.imencode(".png", np.zeros((500, 512), np.uint8))[1].tobytes(),
         "mask/ALL/p1.png: expected a mask of 512x512, got 512x500"),
        ("data/train/p1.png", cv2.imencode(".png", np.zeros((512, 1023), np.uint8))[1].tobytes(),
         "p1.png: expected a 1024x512 pair or a 512x512 photo, got 1023x512"),
        ("data/train/p1.png", cv2.imencode(".png", np.full((512, 1024), 255, np.uint8))[1].tobytes(),
         "p1.png: expected a drawing with ink, got an empty one"),
    ],
)  # fmt: skip
def test_a_bad_item_of_the_papers_layout_is_listed_by_file_and_line(
    tmp_path: Path, file: str, content: bytes, told: str
) -> None:
    source = folder(tmp_path / "theirs", portrait(1), portrait(2))
    (source / file).write_bytes(content)
    assert run(source, tmp_path / "out") == 0
    (line,) = (tmp_path / "out" / "skipped.txt").read_text().splitlines()
    assert line.startswith(f"{source}/data/train/p1.png: ")
    assert told in line
    assert open_pairs([tmp_path / "out"]).names == ["p2"]


@pytest.mark.usefixtures("one_tracker")
def test_halves_that_are_swapped_are_told(tmp_path: Path) -> None:
    source = folder(tmp_path / "theirs", portrait(1), portrait(2))
    pair = source / "data" / "train" / "p1.png"
    picture = cv2.imread(str(pair))
    cv2.imwrite(str(pair), np.hstack([picture[:, 512:], picture[:, :512]]))
    assert run(source, tmp_path / "out") == 0
    (line,) = (tmp_path / "out" / "skipped.txt").read_text().splitlines()
    assert line.endswith("p1.png: expected photo | drawing, got drawing | photo; swap the halves")
    assert open_pairs([tmp_path / "out"]).names == ["p2"]


def test_a_varied_copy_moves_all_that_belongs_to_it_and_repeats_with_its_seed(faces: Faces, tmp_path: Path) -> None:
    image = face_image(512)
    photo, drawing = save(tmp_path / "me.png", image), save(tmp_path / "me_drawing.png", image)
    item = Item(number=3, name="me", photo=photo, drawing=drawing)
    plain, one, again, other = (make_pair(item, faces, Options(vary=seed)) for seed in (None, 5, 5, 6))
    assert [pair.name for pair in (plain, one, other)] == ["me", "me-v5", "me-v6"]
    np.testing.assert_array_equal(one.photo, again.photo)
    assert np.abs(one.points - other.points).max() > 2
    # The similarity from the plain landmarks to the varied ones takes drawing and matte along.
    move, _ = cv2.estimateAffinePartial2D(plain.mesh, one.mesh)
    for key, bound in (("drawing", 4.0), ("matte", 4.0)):
        moved = cv2.warpAffine(getattr(plain, key), move, (512, 512))
        middle = (slice(150, 400), slice(130, 380))
        assert np.abs(moved[middle].astype(int) - getattr(one, key)[middle]).mean() < bound


@pytest.mark.usefixtures("one_tracker")
def test_held_out_photos_never_reach_the_training_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(10):
        save(tmp_path / "photos" / f"p{i}.png", face_image(120))
    monkeypatch.setattr("train.prepare.make_pair", lambda item, *_: portrait(0, name=item.name))
    assert run(tmp_path / "photos", tmp_path / "out", "--only", "train") == 0
    assert run(tmp_path / "photos", tmp_path / "out", "--only", "held-out") == 0
    assert open_pairs([tmp_path / "out"]).names == [f"p{i}" for i in range(10) if i != 7]
    assert open_pairs([tmp_path / "out/data/test"]).names == ["p7"]
    assert run(tmp_path / "photos", tmp_path / "out", "--split", "train") == 0
    assert "p7" not in open_pairs([tmp_path / "out"]).names
    assert "p7.png: expected it in train alone, but" in (tmp_path / "out" / "skipped.txt").read_text()


def test_a_killed_run_leaves_whole_items_and_goes_on(
    tmp_path: Path, faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(tmp_path / "theirs", *(portrait(i) for i in range(4)))
    items, made = find_items(source).items, []
    real = make_pair

    def dying(item: Item, *rest: Any) -> Any:
        made.append(item.name)
        if len(made) == 3:
            raise KeyboardInterrupt
        return real(item, *rest)

    monkeypatch.setattr("train.prepare._open_faces", lambda *_: faces)
    monkeypatch.setattr("train.prepare.make_pair", dying)
    monkeypatch.setattr(faces, "close", lambda: None)
    with pytest.raises(KeyboardInterrupt):
        prepare(items, tmp_path / "out")
    assert open_pairs([tmp_path / "out"]).names == ["p0", "p1"]
    assert prepare(items, tmp_path / "out") == (4, [])
    assert made == ["p0", "p1", "p2", "p2", "p3"]
    assert open_pairs([tmp_path / "out"]).check() == []


@pytest.mark.usefixtures("one_tracker")
def test_a_full_disk_is_one_line_and_leaves_no_half_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = folder(tmp_path / "theirs", portrait(0), portrait(1))
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if path.name.startswith("p1.png"):
            real(path, data[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert run(source, tmp_path / "out") == 2
    assert "No space left" in capsys.readouterr().err
    assert open_pairs([tmp_path / "out"]).names == ["p0"]
    assert list((tmp_path / "out").rglob("*.part")) == []


@pytest.mark.usefixtures("one_tracker")
def test_a_folder_is_continued_only_as_it_was_begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = (folder(tmp_path / name, portrait(0)) for name in "ab")
    out = tmp_path / "out"
    assert run(one, out) == 0
    assert run(one, out) == 0
    for words, told in (((other, out), "photos"), ((one, out, "--clean"), "clean True, got False")):
        assert run(*words) == 2
        assert f"{out}: expected a folder made with {told}" in capsys.readouterr().err
    (out / "prepare.json").write_text("{")
    assert run(one, out) == 2
    assert "prepare.json: expected JSON" in capsys.readouterr().err
    assert run(one, one) == 2


def test_a_list_of_what_was_left_out_keeps_what_other_runs_said(tmp_path: Path) -> None:
    list_skipped(tmp_path, ["a.png: bad", "b.png: bad"], [Path("a.png"), Path("b.png")])
    list_skipped(tmp_path, ["c.png: bad"], [Path("b.png"), Path("c.png")])
    assert (tmp_path / "skipped.txt").read_text() == "a.png: bad\nc.png: bad\n"


@pytest.mark.usefixtures("one_tracker")
def test_fs2k_drawings_are_cleaned_and_taken_by_style(tmp_path: Path) -> None:
    image = face_image(250)
    page = np.full((250, 250), 190, np.uint8)
    cv2.circle(page, (125, 125), 60, (40,), 3)
    for name in "abc":
        save(tmp_path / "train/photo" / f"{name}.png", image)
        save(tmp_path / "train/drawing" / f"{name}.png", page)
    styles = [{"name": name, "style": i} for i, name in enumerate("abc")]
    (tmp_path / "train.json").write_text(json.dumps(styles))
    assert run(tmp_path / "train", tmp_path / "out", "--style", 1) == 0
    (pair,) = open_pairs([tmp_path / "out"])
    assert pair.name == "b"
    assert np.median(pair.drawing) == 255
    assert pair.drawing.min() < 30


def test_the_tracker_remembers_nothing_from_picture_to_picture(faces: Faces) -> None:
    image = read_photo(FACE)
    first = faces.mesh(image)
    assert faces.mesh(image[:, 200:1000]) is not None
    assert faces.mesh(np.full((100, 100, 3), 90, np.uint8)) is None
    np.testing.assert_array_equal(faces.mesh(image), first)


@pytest.mark.parametrize(("mode", "fill"), [("RGBA", (0, 0, 0, 0)), ("LA", (0, 0)), ("I;16", 65535)])
def test_any_picture_is_read_as_a_viewer_shows_it(tmp_path: Path, mode: str, fill: Any) -> None:
    from PIL import Image

    Image.new(mode, (8, 6), fill).save(tmp_path / "x.png")
    picture = read_photo(tmp_path / "x.png")
    assert picture.shape == (6, 8, 3)
    assert picture.min() == 255


def test_a_photo_taken_sideways_is_turned_upright(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "x.jpg", exif=exif)
    assert read_photo(tmp_path / "x.jpg").shape == (40, 20, 3)


@pytest.mark.slow
def test_several_processes_make_what_one_makes(tmp_path: Path) -> None:
    for i, side in enumerate((300, 360, 420)):
        save(tmp_path / "photos" / f"p{i}.png", face_image(side))
    (tmp_path / "photos" / "p3.png").write_bytes(b"")
    words = [sys.executable, "-m", "train", "prepare", str(tmp_path / "photos")]
    for workers in (1, 2):
        out = tmp_path / f"out{workers}"
        subprocess.run([*words, str(out), "--workers", str(workers)], cwd=ROOT, check=True, timeout=120)
        assert (out / "skipped.txt").read_text() == f"{tmp_path}/photos/p3.png: expected a picture, got an empty file\n"
    prints = {open_pairs([tmp_path / f"out{n}"], drawings=False).fingerprint() for n in (1, 2)}
    assert len(prints) == 1
