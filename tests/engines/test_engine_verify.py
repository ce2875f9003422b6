"""``python -m engines.verify``: figures, exit codes, and what it writes into a model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_models import MANIFEST, need_bf16, tiny_graph, write

from engines import trial
from engines.errors import ModelError, UserError
from engines.gpu import no_gpu
from engines.manifest import read_manifest
from engines.samples import read_photos, synthetic
from engines.trial import verify
from engines.verify import main


@pytest.fixture(autouse=True)
def _few_timings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "MIN_TIMINGS", 3)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two aligned portraits: one with landmarks and mask, one without."""
    for name in ("photo", "landmark", "mask"):
        (tmp_path / "set" / name).mkdir(parents=True)
    arrays = synthetic("drawing", batch=2, seed=9)
    for i, name in enumerate(("a", "b")):
        cv2.imwrite(str(tmp_path / "set" / "photo" / f"{name}.png"), arrays["photo"][i][..., ::-1])
    cv2.imwrite(str(tmp_path / "set" / "mask" / "a.png"), arrays["matte"][0])
    (tmp_path / "set" / "landmark" / "a.txt").write_text("200 240\n310 240\n256 310\n206 370\n305 370\n")
    return tmp_path / "set"


def test_photos_come_with_their_landmarks_and_masks_or_the_templates(photos: Path) -> None:
    (name_a, a), (name_b, b) = read_photos(photos)
    assert (name_a, name_b) == ("a", "b")
    assert a["boxes"].tolist() == [[[144, 192], [254, 192], [208, 246], [191, 330]]]
    assert b["boxes"].tolist() == [[[145, 199], [255, 199], [208, 248], [192, 331]]]
    arrays = synthetic("drawing", batch=2, seed=9)
    np.testing.assert_array_equal(a["photo"][0], arrays["photo"][0])
    np.testing.assert_array_equal(a["matte"][0], arrays["matte"][0])
    assert (b["matte"] == 255).all()


def test_photos_that_cannot_be_used_are_named(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a folder of 512 x 512 pictures"):
        list(read_photos(tmp_path / "none"))
    (photos / "landmark" / "b.txt").write_text("1 2\n")
    with pytest.raises(UserError, match=r"b\.txt: expected five lines"):
        list(read_photos(photos))
    cv2.imwrite(str(photos / "photo" / "a.png"), np.zeros((100, 200, 3), np.uint8))
    with pytest.raises(UserError, match=r"a\.png: expected an aligned 512 x 512 picture, got 200 x 100"):
        list(read_photos(photos))


def test_engines_that_agree_end_with_0_and_a_table(
    tiny: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tiny), "--photos", str(photos), "--backends", "openvino-fp32", "onnxruntime"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].startswith("reference onnxruntime fp32, 2 photos")
    assert [line.split("  ")[0] for line in table[2:]] == ["onnxruntime fp32", "openvino fp32"]
    assert all(line.endswith("same") for line in table[2:])


def test_an_engine_off_by_more_than_a_level_ends_with_1(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = trial._run

    def off(engine, inputs):
        drawing = run(engine, inputs).copy()
        if engine.name == "openvino fp32":
            drawing[0, 7, 9] ^= 2
        return drawing

    monkeypatch.setattr(trial, "_run", off)
    assert main([str(tiny), "--backends", "openvino-fp32"]) == 1
    captured = capsys.readouterr()
    assert "outside the bounds: openvino fp32" in captured.err
    assert "DIFFERS" in captured.out


def test_a_matte_model_is_verified_too(tiny_matte: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tiny_matte), "--backends", "openvino-fp32"]) == 0
    assert "openvino fp32" in capsys.readouterr().out


def test_what_cannot_be_tried_here_is_said(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("engines.backends.ov.native_bf16", lambda: False)
    assert main([str(tiny)]) == 0
    assert "openvino-bf16" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no-such-model"], "no such file"),
        (["MODEL", "--backends", "tensorflow"], "no such engine"),
        (["MODEL", "--photos", "no-such-folder"], "expected a folder"),
        (["MODEL", "--record"], "expected --photos"),
        (["MODEL", "--threads", "0"], "expected 1 or more"),
        (["lite.plan"], "a plan has nothing to be held against; give the model"),
        ([".", "--record", "--photos", "photos"], "expected an export (.onnx) to write into"),
        (["MODEL", "--checkpoint", "no-such.safetensors"], "no such file"),
    ],
)
def test_wrong_arguments_end_with_2_and_one_line(
    tiny: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([str(tiny) if a == "MODEL" else a for a in arguments]) == 2
    printed = capsys.readouterr().err.strip()
    assert message in printed
    assert "\n" not in printed


def test_bf16_that_draws_otherwise_is_found_and_recorded(
    tmp_path: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need_bf16()
    promised = dataclasses.replace(MANIFEST, bf16_ok=True)
    path = write(tmp_path / "steep.onnx", tiny_graph("drawing", steepness=40), promised)
    assert main([str(path), "--photos", str(photos)]) == 1
    assert "outside the bounds: openvino bf16" in capsys.readouterr().err
    assert main([str(path), "--photos", str(photos), "--record"]) == 0
    assert "recorded bf16_ok = false" in capsys.readouterr().out
    assert read_manifest(path) == dataclasses.replace(promised, bf16_ok=False)
    assert main([str(path), "--photos", str(photos)]) == 0, "auto leaves it, so nothing is wrong any more"
    assert main([str(path), "--photos", str(photos), "--backends", "openvino-bf16"]) == 1, "asked for by name"


@pytest.mark.parametrize(("bf16_ms", "verdict"), [(10.0, True), (19.5, False)])
def test_bf16_is_worth_it_only_where_it_is_faster(tiny: Path, bf16_ms: float, verdict: bool) -> None:
    report = verify(tiny, [synthetic("drawing", batch=1)], backends=["openvino-fp32"])
    full = dataclasses.replace(report.rows[1], ms_p10=20.0)
    half = dataclasses.replace(full, engine="openvino bf16", ms_p10=bf16_ms)
    assert dataclasses.replace(report, rows=(full, half)).bf16_ok is verdict
    assert dataclasses.replace(report, rows=(full, dataclasses.replace(half, same=False))).bf16_ok is False
    assert report.bf16_ok is None


def test_the_reference_must_hold_the_models_weights(tiny: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="checkpoints need torch, a package for developers")
    from apdgan.checkpoint import save
    from apdgan.config import preset
    from apdgan.generator import HierarchicalGenerator

    torch.manual_seed(0)
    save(tmp_path / "other.safetensors", HierarchicalGenerator(preset("lite", width=4)))
    with pytest.raises(ModelError, match=r"expected the weights that tiny\.onnx was exported from"):
        verify(tiny, [synthetic("drawing", batch=1)], checkpoint=tmp_path / "other.safetensors")


def test_a_checkpoint_is_its_own_reference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="checkpoints need torch, a package for developers")
    from apdgan.checkpoint import save
    from apdgan.config import preset
    from apdgan.generator import HierarchicalGenerator

    net = tmp_path / "net.safetensors"
    save(net, HierarchicalGenerator(preset("lite", width=4)).eval())
    report = verify(net, [synthetic("drawing", batch=1)], backends=["torch", "openvino"])
    assert (report.reference, len(report.rows)) == ("torch fp32", 1)
    assert report.passed_over["openvino"].startswith("engine openvino: cannot run .safetensors")
    if no_gpu() is not None:
        assert main([str(net)]) == 2
        printed = capsys.readouterr()
        assert "inductor-fp16        passed over" in printed.out
        assert "could be held against torch here; export it" in printed.err
    assert main([str(net), "--checkpoint", str(net)]) == 2
    assert "its own reference" in capsys.readouterr().err
    assert main([str(net), "--record", "--photos", "photos"]) == 2
    assert "expected an export (.onnx) to write into" in capsys.readouterr().err
