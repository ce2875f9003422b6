"""A run becomes a model file with a card, under a licence that its data allows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from engines import catalogue, export
from engines.errors import ModelError
from engines.manifest import read_manifest
from engines.runs import checked_rights, open_run

torch = pytest.importorskip("torch", reason="exporting needs torch, a package for developers")
pytest.importorskip("onnx", reason="exporting needs onnx, a package for developers")

from apdgan.checkpoint import save  # noqa: E402
from apdgan.config import preset  # noqa: E402
from apdgan.generator import HierarchicalGenerator  # noqa: E402
from train import config as training  # noqa: E402

CARD = {"style": "thin pen", "licence": "CC0-1.0", "data": "40 drawings by Ada", "data_rights": "hers", "version": "2"}
RECORD = {
    "command": "distill",
    "begun": "2026-11-22T13:00:00+00:00",
    "data": {"pretrain": {"pairs": 40, "sha256": "ab" * 32}},
    "finished": True,
    "step": 1200,
    "spent_s": 3000.0,
    "processes": 2,
    "hardware": {"gpu": "none", "torch": "2.13.0"},
}
CSV = "picture,model,ink_f1,chamfer\na,mine,0.9,0.5\na,teacher,0.8,\nb,mine,0.7,nan\nb,teacher,1.0,\n"
Out = tuple[int, str, str]


def generator(seed: int = 3) -> HierarchicalGenerator:
    torch.manual_seed(seed)
    return HierarchicalGenerator(preset("lite", width=4)).eval()


def make_run(folder: Path, *, card: dict[str, str] | None = None, start: Path | None = None) -> Path:
    """A finished run, as training leaves it."""
    folder.mkdir(parents=True)
    save(folder / "student.safetensors", generator(), {"step": "1200"})
    lines = [f"[run]\nout = '{folder}'\n[model]\npreset = \"lite\"", f"start = '{start}'" if start else "", "[card]"]
    lines += [f"{key} = '{value}'" for key, value in (CARD if card is None else card).items()]
    (folder / "run.toml").write_text("\n".join(lines))
    (folder / "run.json").write_text(json.dumps(RECORD))
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_run(tmp_path_factory.mktemp("runs") / "ada")
    (folder / "evaluation.csv").write_text(CSV)
    (folder / "samples").mkdir()
    for name in ("000100.png", "001200.png"):
        (folder / "samples" / name).write_bytes(name.encode())
    return folder


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A models folder of the test's own."""
    folder = tmp_path / "models"
    folder.mkdir()
    monkeypatch.setattr(export, "MODELS", folder)
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports without the tracing, which other tests look at: a shipped graph with the right manifest stands in."""

    def write(_module, out, *, kind, identity, words, weights):
        from engines.compare import Difference
        from engines.manifest import Manifest, write_manifest
        from engines.tracing import Exported

        shutil.copyfile(catalogue.MODELS / "matte.onnx", out)
        manifest = Manifest(kind=kind, gmac=0.1, weights=weights, **identity, **words)
        write_manifest(out, manifest)
        same = Difference(max=0, mean=0, off_by_more_than_2=0, ink_iou=1)
        size = out.stat().st_size
        return Exported(
            path=out, manifest=manifest, size=size, parameters=9, against_eager=same, batch_against_singles=same
        )

    monkeypatch.setattr(export, "write_graph", write)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]):
    def command(*argv: str | Path) -> Out:
        capsys.readouterr()
        code = export.main([str(arg) for arg in argv])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return command


# -- the file and its card ---------------------------------------------------------------------------------------------


def test_a_run_becomes_a_model_with_a_card_named_after_it(run: Path, models: Path, command) -> None:
    code, out, err = command(run)
    assert (code, err) == (0, "")
    assert "draw with it: python run_stream.py --model ada" in out
    manifest = read_manifest(models / "ada.onnx")
    assert (manifest.style, manifest.licence, manifest.version) == ("thin pen", "CC0-1.0", "2")
    assert manifest.data == "40 drawings by Ada (hers)"
    card = (models / "ada.md").read_text()
    assert card.startswith("# ada: thin pen\n")
    for words in (
        "Preset `lite` at width 4",
        f"{(models / 'ada.onnx').stat().st_size / 1e6:.1f} MB",
        "Licence: CC0-1.0.",
        "Trained on: 40 drawings by Ada (hers).",
        "pretrain: 40 pairs, sha256 `abab",
        "python -m train distill",
        "1,200 steps, 50 minutes, 2 processes",
        "python -m engines.export ada",
        'preset = "lite"',
        "| 2 pictures | mine | teacher |",
        "| ink_f1 | 0.8 (0.7 to 0.9) | 0.9 (0.8 to 1) |",
        "| chamfer | 0.5 (0.5 to 0.5) |  |",
        manifest.weights_sha256,
        "![drawings of thin pen](ada.png)",
    ):
        assert " ".join(words.split()) in " ".join(card.split()), words
    assert (models / "ada.png").read_bytes() == b"001200.png", "the newest sample"
    assert str(run.parent) not in card, "nothing of this machine"
    assert max(len(line) for line in card.splitlines() if "`" not in line) <= 120


@pytest.mark.usefixtures("quick")
def test_a_card_that_a_person_wrote_is_kept(run: Path, models: Path, command) -> None:
    assert command(run, "--style", "first")[0] == 0
    assert command(run, "--style", "second")[0] == 0
    assert (models / "ada.md").read_text().startswith("# ada: second")
    (models / "ada.md").write_text("# my own words\n")
    code, out, _ = command(run)
    assert code == 0
    assert "ada.md is kept, it was written by hand" in out
    assert (models / "ada.md").read_text() == "# my own words\n"


@pytest.mark.usefixtures("quick")
def test_options_win_over_the_card_table_and_the_table_over_the_checkpoint(
    tmp_path: Path, models: Path, command
) -> None:
    folder = make_run(tmp_path / "r", card={"style": "of the table"})
    save(folder / "student.safetensors", generator(), {"style": "of the weights", "data": "of the weights"})
    assert command(folder, "--version", "9")[0] == 0
    manifest = read_manifest(models / "r.onnx")
    assert (manifest.style, manifest.data, manifest.version) == ("of the table", "of the weights", "9")
    assert manifest.licence == "not stated"


@pytest.mark.usefixtures("quick")
def test_a_bare_checkpoint_and_an_own_place_are_taken_too(tmp_path: Path, models: Path, command) -> None:
    save(tmp_path / "net.safetensors", generator())
    assert command(tmp_path / "net.safetensors", "--name", "mine")[0] == 0
    assert (models / "mine.md").is_file()
    code, out, _ = command("--checkpoint", tmp_path / "net.safetensors", "--out", tmp_path / "x.onnx", "--no-card")
    assert code == 0
    assert f"--model {tmp_path / 'x.onnx'}" in out
    assert not (tmp_path / "x.md").exists()


@pytest.mark.usefixtures("quick")
def test_a_given_picture_is_copied_and_none_leaves_it_out(run: Path, tmp_path: Path, models: Path, command) -> None:
    (tmp_path / "sheet.png").write_bytes(b"a sheet")
    assert command(run, "--picture", tmp_path / "sheet.png")[0] == 0
    assert (models / "ada.png").read_bytes() == b"a sheet"
    assert command(run, "--picture", "none")[0] == 0
    assert "![" not in (models / "ada.md").read_text()
    code, _, err = command(run, "--picture", tmp_path / "no.png")
    assert code == 2
    assert "no.png: expected a PNG picture" in err


# -- rights ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rights", ["non-commercial", "research only", "CC BY-NC 4.0", "Noncommercial use"])
def test_a_licence_may_not_allow_more_than_the_data(rights: str) -> None:
    with pytest.raises(ModelError, match=r"expected one that says non-commercial, because the data is .*; got 'MIT'"):
        checked_rights({"licence": "MIT", "data_rights": rights}, {})
    assert checked_rights({"data_rights": rights}, {})["licence"] == "non-commercial use only"
    assert checked_rights({"licence": "CC BY-NC 4.0", "data_rights": rights}, {})["licence"] == "CC BY-NC 4.0"
    assert checked_rights({"licence": "MIT", "data_rights": "public domain"}, {})["licence"] == "MIT"


@pytest.mark.usefixtures("quick")
def test_what_a_run_learnt_from_binds_it_however_far_back(tmp_path: Path, models: Path, command) -> None:
    first = make_run(tmp_path / "first", card={"data": "FS2K", "data_rights": "non-commercial"})
    second = make_run(tmp_path / "second", card={}, start=first / "student.safetensors")
    third = make_run(tmp_path / "third", card={"licence": "Apache-2.0"}, start=second / "student.safetensors")
    code, _, err = command(third)
    assert code == 2
    assert "second/student.safetensors is (non-commercial use only); got 'Apache-2.0'" in err
    assert err.count("\n") == 1
    assert not list(models.iterdir())
    assert command(second)[0] == 0
    assert read_manifest(models / "second.onnx").non_commercial
    assert (models / "second.md").read_text().count("**Non-commercial use only.**") == 1


@pytest.mark.usefixtures("quick")
def test_photos_of_non_commercial_data_are_shown_only_if_asked(run: Path, models: Path, command) -> None:
    code, out, _ = command(run, "--licence", "CC BY-NC 4.0", "--name", "shy")
    assert code == 0
    assert not (models / "shy.png").exists()
    assert "are left out of it, --picture" in out


@pytest.mark.usefixtures("quick")
def test_the_default_is_never_a_non_commercial_model(run: Path, models: Path, command) -> None:
    code, _, err = command(run, "--out", models / "lite.onnx", "--licence", "non-commercial")
    assert code == 2
    assert "the default model must be free to use" in err
    assert not (models / "lite.onnx").exists()
    assert command(run, "--out", models / "lite.onnx")[0] == 0


# -- what it refuses ---------------------------------------------------------------------------------------------------

BAD = {
    "nothing to export": ([], "expected one run folder or checkpoint"),
    "two things": (["RUN", "--checkpoint", "x.pt"], "expected one run folder or checkpoint"),
    "name and place": (["RUN", "--name", "a", "--out", "a.onnx"], "expected one of them"),
    "name with a folder": (["RUN", "--name", "a/b"], "expected a plain name"),
    "name of the default": (["RUN", "--name", "lite"], "expected a name of its own"),
    "missing run": (["no-such-run"], "found nothing there"),
    "empty folder": (["EMPTY"], "expected a generator checkpoint"),
    "run without weights": (["BARE"], "got neither; train it further"),
    "run with both weights": (["TWICE"], "got both"),
    "broken settings": (["TOML"], "run.toml: cannot be read"),
    "unknown word": (["WORD"], "[card] author: no such key; expected one of style"),
    "number for a word": (["NUMBER"], "[card] style: expected a text, got 3"),
    "broken record": (["JSON"], "run.json: cannot be read"),
    "record of another kind": (["ODD"], "run.json: expected the record"),
    "figures of another kind": (["FIGURES"], "evaluation.csv: expected the table of train evaluate"),
    "damaged teacher": (["TEACHER"], "old.safetensors"),
}


@pytest.mark.parametrize(("argv", "message"), BAD.values(), ids=BAD.keys())
@pytest.mark.usefixtures("models", "quick")
def test_a_mistake_is_one_line(run: Path, tmp_path: Path, command, argv: list[str], message: str) -> None:
    def broken(name: str, file: str, text: str) -> None:
        folder = tmp_path / name
        shutil.copytree(run, folder)
        (folder / file).write_text(text)

    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "BARE").mkdir()
    (tmp_path / "BARE" / "run.json").write_text("{}")
    broken("TWICE", "generator.safetensors", "x")
    broken("TOML", "run.toml", "style =")
    broken("WORD", "run.toml", '[card]\nauthor = "me"\n')
    broken("NUMBER", "run.toml", "[card]\nstyle = 3\n")
    broken("JSON", "run.json", "{")
    broken("ODD", "run.json", '{"spent_s": "long"}')
    broken("FIGURES", "evaluation.csv", "a,b\n1,2\n")
    broken("TEACHER", "run.toml", f'[data]\nteacher = "{(tmp_path / "old.safetensors").as_posix()}"\n')
    (tmp_path / "old.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{no header")
    paths = {p.name: p for p in tmp_path.iterdir() if p.is_dir()} | {"RUN": run}
    code, _, err = command(*(paths.get(arg, arg) for arg in argv))
    assert code == 2
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.usefixtures("models", "quick")
def test_a_checkpoint_upstream_that_is_gone_is_said(tmp_path: Path, command) -> None:
    folder = make_run(tmp_path / "r", start=tmp_path / "gone.safetensors")
    code, out, _ = command(folder)
    assert code == 0
    assert f"{tmp_path / 'gone.safetensors'}: not found, so its licence was not looked at" in out


def test_words_and_keys_are_those_of_the_trainer() -> None:
    from dataclasses import fields

    from engines.runs import STATED

    assert tuple(field.name for field in fields(training.CardTable)) == STATED


def test_a_folder_of_pictures_is_no_run(tmp_path: Path) -> None:
    assert open_run(tmp_path).weights == tmp_path


def test_a_run_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="runs: expected a run folder or a checkpoint, found nothing there"):
        open_run(tmp_path / "runs")
