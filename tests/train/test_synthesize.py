"""Prepared photos become pairs: the teacher's drawing beside each, whatever they came from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prepared_data import face_image, folder, portrait

from train import synthesize as module
from train.__main__ import main
from train.dataset import Pair, align_photo, open_pairs
from train.faces import Faces
from train.npr import draw, with_pen_strokes
from train.pack import pack

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def faces() -> Iterator[Faces]:
    with Faces() as one:
        yield one


@pytest.fixture(scope="module")
def person(faces: Faces) -> Pair:
    """The real face, aligned, not drawn."""
    image = face_image()
    aligned = align_photo(image, faces.mesh(image))
    return portrait(0, photo=aligned.photo, mesh=aligned.mesh, matte=faces.matte(aligned.photo), drawing=None)


def run(*words: object) -> int:
    return main(["synthesize", *map(str, words), "--workers", "1"])


def test_every_photo_is_drawn_by_the_teacher_in_its_own_split(tmp_path: Path, person: Pair) -> None:
    source = folder(folder(tmp_path / "photos", person), replace(person, name="t"), split="test")
    assert run(source, tmp_path / "out") == 0
    (pair,), (test,) = open_pairs([tmp_path / "out"]), open_pairs([tmp_path / "out/data/test"])
    assert (pair.name, test.name) == ("p0", "t")
    np.testing.assert_array_equal(pair.drawing, draw(person.photo, person.mesh, person.matte))
    for key in ("photo", "matte", "mesh"):
        np.testing.assert_array_equal(getattr(pair, key), getattr(person, key))


def test_of_an_artists_drawings_the_hair_alone_is_drawn_anew(tmp_path: Path, person: Pair) -> None:
    drawn = replace(person, drawing=draw(person.photo, person.mesh, person.matte))
    assert run(folder(tmp_path / "pairs", drawn), tmp_path / "out", "--hair") == 0
    (pair,) = open_pairs([tmp_path / "out"])
    wanted = with_pen_strokes(drawn.drawing, person.photo, person.mesh, person.matte)
    np.testing.assert_array_equal(pair.drawing, wanted)
    assert (wanted != drawn.drawing).any()


def test_a_pack_is_drawn_too_and_a_photo_without_a_mesh_gets_one(
    tmp_path: Path, person: Pair, faces: Faces, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    monkeypatch.setattr(module, "Faces", lambda **options: opened.append(options) or faces)
    monkeypatch.setattr(faces, "close", lambda: None)
    source = folder(tmp_path / "photos", person, replace(person, name="bare", mesh=None))
    (packed,), _ = pack(open_pairs([source], drawings=False), tmp_path / "x.npz", labels=["", ""])
    assert run(packed, tmp_path / "out") == 0
    bare, whole = open_pairs([tmp_path / "out"])
    assert bare.name == "bare"
    assert np.abs(bare.mesh - whole.mesh).mean() < 3
    assert len(opened) == 1


def test_a_photo_that_cannot_be_drawn_is_listed_and_the_rest_goes_on(
    tmp_path: Path, person: Pair, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, faces: Faces
) -> None:
    monkeypatch.setattr(module, "Faces", lambda **_: faces)
    monkeypatch.setattr(faces, "close", lambda: None)
    noise = portrait(7, name="nobody", mesh=None, drawing=None)
    away = replace(person, name="away", mesh=person.mesh + 900)
    source = folder(tmp_path / "photos", person, noise, away)
    cut = source / "data/train/cut.png"
    folder(source, replace(person, name="cut"))
    cut.write_bytes(cut.read_bytes()[:-5000])
    assert run(source, tmp_path / "out") == 0
    lines = (tmp_path / "out" / "skipped.txt").read_text().splitlines()
    begins = f"{source}/data/train"
    assert [line.split(": ")[0] for line in lines] == [f"{begins}/{name}" for name in ("away", "cut", "nobody")]
    assert lines[2] == f"{begins}/nobody: expected a face, found none"
    assert "1 drawings, 3 left out" in capsys.readouterr().out
    assert open_pairs([tmp_path / "out"]).names == ["p0"]


def test_what_is_drawn_is_not_drawn_again(tmp_path: Path, person: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def fake(photo: np.ndarray, *_: object) -> np.ndarray:
        drawn.append(1)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return photo[..., 0] // 2

    monkeypatch.setattr(module, "draw", fake)
    source = folder(tmp_path / "photos", *(replace(person, name=name) for name in "abc"))
    assert run(source, tmp_path / "out") == 130
    assert open_pairs([tmp_path / "out"]).names == ["a"]
    assert run(source, tmp_path / "out") == 0
    assert len(drawn) == 4
    assert open_pairs([tmp_path / "out"]).names == ["a", "b", "c"]


def test_mistakes_are_one_line(tmp_path: Path, person: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    source = folder(tmp_path / "photos", person)
    for words, told in (
        ((tmp_path / "none", tmp_path / "out"), "none: expected a prepared folder or a pack, got no such file"),
        ((source, source), "expected another folder than the photos'"),
    ):
        assert run(*words) == 2
        error = capsys.readouterr().err
        assert told in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert main(["synthesize", str(source), str(tmp_path / "out"), "--workers", "0"]) == 2
    assert "--workers: expected 1 or more, got 0" in capsys.readouterr().err


@pytest.mark.slow
def test_processes_are_spawned_after_a_tracker_has_run(tmp_path: Path, person: Pair) -> None:
    source = folder(tmp_path / "photos", *(replace(person, name=name) for name in "abc"))
    words = [sys.executable, "-m", "train", "synthesize", str(source), str(tmp_path / "out"), "--workers", "2"]
    subprocess.run(words, cwd=ROOT, check=True, timeout=120)
    a, b, c = open_pairs([tmp_path / "out"])
    np.testing.assert_array_equal(a.drawing, draw(person.photo, person.mesh, person.matte))
    np.testing.assert_array_equal(a.drawing, c.drawing)
    assert b.name == "b"
