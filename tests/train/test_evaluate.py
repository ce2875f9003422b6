"""Anything that draws is measured side by side, and told picture by picture."""

from __future__ import annotations

import csv
import shutil
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from evaluation_data import page, write_drawings, write_model, write_pairs
from PIL import Image

from train import evaluate, tables
from train.__main__ import main
from train.dataset import open_pairs
from train.subjects import Folder, labels, open_subjects

NAMES = ["ann", "bob", "cy"]


def ink_share(drawing: np.ndarray) -> np.ndarray:
    return np.array([(drawing < 128).mean(), drawing[:256].mean() / 255])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs.npz", NAMES)


def measured(data: Path, *paths: Path, **options: object) -> tables.Result:
    with ExitStack() as opened:
        return evaluate.evaluate(open_pairs([data], drawings=False), open_subjects(paths, opened, threads=1), **options)


def test_the_references_themselves_are_perfect_and_a_shift_is_not(data: Path, tmp_path: Path) -> None:
    same = write_drawings(tmp_path / "same", NAMES)
    moved = write_drawings(tmp_path / "moved", NAMES, shift=3)
    result = measured(data, same, moved, features=ink_share, lpips=lambda r, ds: [float((r != d).mean()) for d in ds])
    perfect = {"ssim": 1, "chamfer": 0, "ink_f1": 1, "outline_f1": 1, "ink_iou": 1, "lpips": 0}
    assert {name: result.mean("same", name) for name in perfect} == perfect
    assert result.fid["same"] == pytest.approx(0, abs=1e-9)
    assert result.mean("moved", "ink_f1") < 0.98
    assert result.mean("moved", "chamfer") > 0.1
    assert result.mean("moved", "lpips") > 0.001
    assert result.mean("same", "coverage") == pytest.approx(result.mean("reference", "coverage"))


def test_the_worst_picture_is_named(data: Path, tmp_path: Path) -> None:
    folder = write_drawings(tmp_path / "drawn", NAMES)
    Image.fromarray(np.roll(page(1), 9, axis=0)).save(folder / "bob.png")
    thick = np.where(page(2) < 128, 0, 255).astype(np.uint8)
    thick[300:400, 100:400] = 0
    Image.fromarray(thick).save(folder / "cy.png")
    result = measured(data, folder)
    assert result.names[result.worst("drawn", "outline_f1")] == "bob"
    assert result.names[result.worst("drawn", "coverage")] == "cy"
    assert "bob" in next(line for line in tables.table(result).splitlines() if "outline F1" in line)


def test_a_checkpoint_a_run_and_a_model_file_draw(data: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "small.safetensors")
    run = tmp_path / "myrun"
    run.mkdir()
    shutil.copy(model, run / "student.safetensors")
    result = measured(data, model, run, Path("lite"))
    assert result.labels == ["small", "myrun", "lite"]
    assert result.figures["small"] == result.figures["myrun"]
    assert 0.01 < result.mean("lite", "coverage") < 0.5
    assert [len(row) for row in result.rows] == [5] * 3


def test_published_drawings_take_the_place_of_the_datas_own(data: Path, tmp_path: Path) -> None:
    published = write_drawings(tmp_path / "published", ["ann_artist", "cy"], shift=2)
    same = write_drawings(tmp_path / "same", NAMES)
    result = measured(data, same, against=Folder("reference", published))
    assert result.names == ["ann", "cy"]
    assert result.without == ["bob"]
    assert 0 < result.mean("same", "chamfer") < 2


def test_a_drawing_is_found_under_its_photos_name(tmp_path: Path) -> None:
    folder = write_drawings(tmp_path / "look", ["img_1_artist", "img_1_photo", "img_10_artist", "solo"])
    found = Folder("look", folder)
    assert [path.stem for path in map(found.find, ("img_1_photo", "img_1_photo.png", "img_10_photo", "solo.jpg"))] == [
        "img_1_artist",
        "img_1_artist",
        "img_10_artist",
        "solo",
    ]
    assert found.find("img_2_photo") is None
    (folder / "img_1_other.png").write_bytes((folder / "solo.png").read_bytes())
    with pytest.raises(ValueError, match=r"img_1_photo.*img_1_artist.*img_1_other"):
        Folder("look", folder).find("img_1_photo")


def test_photos_without_drawings_have_the_figures_that_need_none(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "photos.npz", NAMES, drawings=False)
    result = measured(data, write_drawings(tmp_path / "drawn", NAMES), lpips=lambda _r, ds: [0.0] * len(ds))
    assert result.known == ["thin_stroke", "grey_away", "coverage"]
    assert result.heads == ["photo", "drawn"]
    assert "no references" in result.notes[0]
    assert "reference" not in tables.table(result)


def test_names_tell_paths_apart(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
        (folder / "student.safetensors").touch()
    (one / "student.onnx").touch()
    files = [one / "student.safetensors", two / "student.safetensors"]
    assert labels(files) == ["one/student", "two/student"]
    assert labels([one, two]) == ["one", "two"]
    assert labels([one / "student.onnx", files[0]]) == ["student.onnx", "student.safetensors"]
    (tmp_path / "reference").mkdir()
    assert labels([tmp_path / "reference"])[0].endswith("/reference")
    with pytest.raises(ValueError, match="twice"):
        labels([one, one])


def test_the_command_writes_everything_and_says_what_is_missing(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    same = write_drawings(tmp_path / "same", NAMES)
    moved = write_drawings(tmp_path / "moved", NAMES, shift=3)
    out = {name: tmp_path / f"out.{name}" for name in ("csv", "png", "html")}
    arguments = ["--csv", out["csv"], "--sheet", out["png"], "--html", out["html"], "--rows", "2", "--side", "64"]
    assert main(["evaluate", *map(str, [same, moved, "--data", data, *arguments])]) == 0
    told = capsys.readouterr().out
    assert "LPIPS not computed: no weights were given" in told
    assert "FID not computed: no Inception weights were given" in told
    assert "| 3 pictures | same | moved | reference |" in told
    with out["csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["picture"], row["model"]) for row in rows[:3]] == [("ann", "same"), ("ann", "moved"), ("bob", "same")]
    assert float(rows[0]["chamfer"]) == 0 < float(rows[1]["chamfer"])
    with Image.open(out["png"]) as sheet:
        assert sheet.size == (6 + 4 * 70, 26 + 2 * 70)
        assert np.asarray(sheet)[30:90, 6:70].std() > 10
    html = out["html"].read_text()
    assert html.count("<tr>") == 1 + 8 + 1 + 6
    assert "http" not in html


def test_lpips_is_computed_with_the_real_weights(shared: Path, data: Path, tmp_path: Path) -> None:
    from train.lpips import drawing_distances

    folders = [write_drawings(tmp_path / f"by{n}", NAMES, shift=n) for n in (0, 2, 6)]
    lpips = drawing_distances(shared / "models" / "lpips_alexnet_fp16.npz")
    result = measured(data, *folders, lpips=lpips)
    found = [result.mean(label, "lpips") for label in result.labels]
    assert found[0] == 0
    assert 0.005 < found[1] < found[2]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nobody", "--data", "DATA"], "nobody"),
        (["EMPTY", "--data", "DATA"], "EMPTY: expected drawings"),
        (["DRAWN", "--data", "DATA"], "expected a drawing of 'cy'"),
        (["DRAWN", "DRAWN", "--data", "DATA"], "twice"),
        (["DRAWN", "--data", "none.npz"], "none.npz"),
        (["DRAWN", "--data", "DATA", "--against", "OTHERS"], "the first portrait is 'ann'"),
        (["DRAWN", "--data", "DATA", "--csv", "nowhere/x.csv"], "nowhere"),
        (["DRAWN", "--data", "DATA", "--lpips", "none.npz"], "LPIPS weights"),
        (["lite", "--data", "DATA", "--engine", "abacus"], "abacus"),
        (["DRAWN", "--data", "DATA", "--rows", "0"], "--rows"),
    ],
)
def test_a_mistake_is_one_line(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    data.rename(tmp_path / "DATA")
    write_drawings(tmp_path / "DRAWN", NAMES[:2])
    write_drawings(tmp_path / "OTHERS", ["zoe"])
    (tmp_path / "EMPTY").mkdir()
    assert main(["evaluate", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
