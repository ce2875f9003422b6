"""Packs: small enough to carry, crisp where there is ink, told when damaged."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from prepared_data import folder, portrait

from train.__main__ import main
from train.dataset import open_pairs
from train.metrics import ink_iou
from train.pack import LADDER, Rung, compare, pack, quantised


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six portraits: p0 to p3 with drawings, p3 without a mesh, p4 and p5 photos alone."""
    pairs = [portrait(i) for i in range(6)]
    pairs[3:] = [replace(pairs[3], mesh=None), *(replace(pair, drawing=None) for pair in pairs[4:])]
    return folder(tmp_path_factory.mktemp("source"), *pairs)


@pytest.fixture(scope="module")
def packed(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (path,), _ = pack(
        open_pairs([source], drawings=False), tmp_path_factory.mktemp("pack") / "all.npz", labels=list("aaabbb")
    )
    return path


def contents(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def test_a_pack_gives_back_what_it_was_given(source: Path, packed: Path) -> None:
    before, after = open_pairs([source], drawings=False), open_pairs([packed], drawings=False)
    assert after.names == before.names
    assert after.check() == []
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(other.points, one.points)
        assert np.abs(other.photo.astype(int) - one.photo).mean() < 3
        assert np.abs(other.matte.astype(int) - one.matte).mean() < 2
        assert (other.drawing is None) == (one.drawing is None)
        if one.drawing is not None:
            np.testing.assert_array_equal(other.drawing, one.drawing)
        if one.mesh is not None:
            assert np.abs(other.mesh - one.mesh).max() <= 1 / 32
    assert [pair.mesh is None for pair in after] == [False] * 3 + [True] + [False] * 2


@pytest.mark.parametrize("levels", sorted({rung.levels for rung in LADDER}))
def test_ink_stays_ink_at_every_number_of_greys(levels: int) -> None:
    greys = np.arange(256, dtype=np.uint8)[None].repeat(2, 0)
    kept = quantised(greys, levels)
    np.testing.assert_array_equal(kept < 128, greys < 128)
    assert kept[0, 0] == 0
    assert kept[0, 255] == 255
    assert len(np.unique(kept)) == levels


def test_many_portraits_fill_several_files_none_over_its_size(source: Path, tmp_path: Path) -> None:
    pairs = open_pairs([source], drawings=False)
    files, rung = pack(pairs, tmp_path / "some.npz", labels=[""] * 6, max_mib=0.125)
    assert [path.name for path in files] == [f"some-{i:02d}.npz" for i in range(len(files))]
    assert len(files) > 1
    assert max(path.stat().st_size for path in files) <= 0.125 * 2**20
    assert open_pairs(files, drawings=False).names == pairs.names
    assert rung == Rung(90, 256)


def test_asked_for_few_files_it_gives_up_what_it_must_and_no_edge(source: Path, tmp_path: Path) -> None:
    pairs = open_pairs([source], drawings=False)
    files, rung = pack(pairs, tmp_path / "small.npz", labels=[""] * 6, max_mib=0.21, files=1)
    assert [path.name for path in files] == ["small.npz"]
    assert 60 < rung.photo < 90
    after = open_pairs(files, drawings=False)
    cost = compare(pairs, after)
    assert cost["ink_iou"] == 1
    assert 0 < cost["photo"] < 6
    assert f'"photo_quality": {rung.photo}' in str(contents(files[0])["format"])
    assert ink_iou(after[0].drawing, pairs[0].drawing) == 1


def test_what_fits_at_no_quality_is_told_and_nothing_is_written(source: Path, tmp_path: Path) -> None:
    pairs = open_pairs([source], drawings=False)
    with pytest.raises(ValueError, match=r"expected 6 portraits to fit into .* MiB at the lowest quality"):
        pack(pairs, tmp_path / "no.npz", labels=[""] * 6, max_mib=0.08, files=1)
    with pytest.raises(ValueError, match=r"expected room for 'p0' of"):
        pack(pairs, tmp_path / "no.npz", labels=[""] * 6, max_mib=0.065)
    assert list(tmp_path.iterdir()) == []


def test_one_set_of_a_pack_opens_alone(packed: Path) -> None:
    assert open_pairs([Path(f"{packed}:a")]).names == ["p0", "p1", "p2"]
    assert open_pairs([Path(f"{packed}:b")], drawings=False)[0].mesh is None
    assert open_pairs([Path(f"{packed}:a")]).fingerprint() != open_pairs([packed], drawings=False).fingerprint()
    with pytest.raises(ValueError, match=r"all\.npz: expected one of its sets \(a, b\), got 'c'"):
        open_pairs([Path(f"{packed}:c")])


def test_packs_and_folders_mix(source: Path, packed: Path) -> None:
    pairs = open_pairs([packed, source], drawings=False)
    assert pairs.names == [f"p{i}" for i in range(6)] * 2
    np.testing.assert_array_equal(pairs[1].drawing, pairs[7].drawing)
    with pytest.raises(
        ValueError, match=r"all\.npz: expected drawings beside the photos, got none for 'p4' and 1 more"
    ):
        open_pairs([packed])


def test_the_command_labels_inputs_and_tells_what_was_lost(
    source: Path, packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new.npz"
    assert main(["pack", str(out), f"mine={source}", str(source), str(packed)]) == 0
    labels = open_pairs([out], drawings=False).labels
    assert labels == ["mine"] * 6 + [source.name] * 6 + list("aaabbb")
    said = capsys.readouterr().out
    assert "18 portraits: 6 mine" in said
    assert "drawing 0, ink iou 1" in said
    assert main(["pack", str(out), str(source)]) == 2
    assert "new.npz: expected no file of that name yet" in capsys.readouterr().err


def test_a_full_disk_leaves_no_part_of_a_pack(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = np.savez, []

    def savez(*args: Any, **arrays: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(*args, **arrays)

    monkeypatch.setattr(np, "savez", savez)
    with pytest.raises(OSError, match="No space left"):
        pack(open_pairs([source], drawings=False), tmp_path / "x.npz", labels=[""] * 6, max_mib=0.125)
    assert list(tmp_path.iterdir()) == []


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(bytes(data))


def without(key: str) -> Any:
    return lambda path: np.savez(path, **{k: v for k, v in contents(path).items() if k != key})


def with_(key: str, change: Any) -> Any:
    return lambda path: np.savez(path, **(contents(path) | {key: change(contents(path)[key])}))


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (cut, "got a damaged or foreign file"),
        (flip, "got a damaged or foreign file"),
        (lambda path: path.write_bytes(b""), "got a damaged or foreign file"),
        (with_("names", lambda names: names.astype(object)), "got a damaged or foreign file (Object arrays"),
        (without("matte"), "expected 'matte' in a pack, got none"),
        (with_("points", lambda a: a[:-1]), "'points' is float32 (5, 5, 2), which no pack has"),
        (with_("points", lambda a: a * np.nan), "expected finite landmarks"),
        (with_("photo_ends", lambda a: a[::-1].copy()), "the offsets of 'photo' do not fit its bytes"),
        (with_("drawing_ends", lambda a: a + 1), "the offsets of 'drawing' do not fit its bytes"),
        (with_("names", lambda a: a[:0]), "which no pack has"),
    ],
)
def test_a_damaged_pack_is_named_before_training_starts(packed: Path, tmp_path: Path, damage: Any, told: str) -> None:
    path = tmp_path / "pack.npz"
    path.write_bytes(packed.read_bytes())
    damage(path)
    with pytest.raises(ValueError, match=r"pack\.npz: ") as caught:
        open_pairs([path], drawings=False)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_picture_in_a_pack_that_is_none_is_named_with_its_item(packed: Path, tmp_path: Path) -> None:
    path = tmp_path / "pack.npz"
    np.savez(path, **(contents(packed) | {"photo": contents(packed)["photo"] * np.uint8(0)}))
    bad = open_pairs([path], drawings=False).check()
    assert len(bad) == 6
    assert bad[1].startswith(f"{path}, item 'p1', photo: expected a picture, got ")


def test_a_mesh_far_from_the_square_is_no_mesh(tmp_path: Path) -> None:
    one = portrait(0)
    far = folder(tmp_path, replace(one, mesh=one.mesh + 3000))
    with pytest.raises(ValueError, match="p0: expected a face mesh in or near the square"):
        pack(open_pairs([far]), tmp_path / "x.npz", labels=[""])


def test_lines_come_back_sharper_than_lossy_pictures_keep_them(packed: Path) -> None:
    drawing = open_pairs([Path(f"{packed}:a")])[0].drawing
    ok, lossy = cv2.imencode(".webp", drawing, [cv2.IMWRITE_WEBP_QUALITY, 75])
    assert ok
    assert ink_iou(cv2.imdecode(lossy, cv2.IMREAD_GRAYSCALE), drawing) < 1
