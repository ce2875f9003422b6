"""What the engine benchmark and the GPU check tell is what was measured, and what could not be is named."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from apdgan import config
from benchmarks import engine as timing
from benchmarks import gpu_check, gpu_targets, half
from benchmarks.engine import main, table
from engines import EngineLostError, ModelError
from engines.samples import synthetic

MACHINE = {"date": "2026-01-01T00:00+00:00", "cpu": "a CPU", "cores": 2, "load": 0.0, "system": "", "python": ""}


def report(**changes: object) -> dict:
    row = {
        "model": "lite",
        "engine": "tensorrt fp16",
        "device": "a GPU",
        "batch": 1,
        "runs": 9,
        "first_ms": 1.0,
        "ms_p10": 0.8,
        "ms_p50": 0.9,
        "ms_p95": 1.1,
        "gpu_ms_p50": 0.5,
        "faces_per_s": 1111.1,
        "roofline_ms": 0.25,
        "of_roofline": 0.5,
        "opened_s": 3.0,
        "memory_mb": 300.0,
    }
    return {
        "machine": MACHINE,
        "gpu": "none",
        "models": {"lite": {"preset": "paper", "gmac": 87.7}},
        "peaks_tmac": {"fp16": 350.0},
        "rows": [row | changes],
        "passed_over": {"lite, inductor": "no GPU"},
        "branches": [],
    }


class Engine:
    """Takes 4 ms a portrait and says that its GPU took 2."""

    name, device = "tensorrt fp16", "a GPU"

    class manifest:  # noqa: N801
        gmac = 8.0

    def draw(self, photo, boxes, matte):
        del boxes, matte
        time.sleep(0.004 * len(photo))
        return photo[..., 0]


def test_a_row_tells_time_rate_and_the_share_of_the_best() -> None:
    arrays = [synthetic("drawing", 2)[name] for name in ("photo", "boxes", "matte")]
    times = timing.timed(lambda: Engine().draw(*arrays), 0.05)
    assert len(times) >= timing.LEAST_RUNS
    assert min(times) >= 8
    row = timing._row(Engine(), 2, 20.0, [8.0, 8.0, 10.0], [4.0, 4.0, 4.0], {"fp16": 8.0})
    assert (row["ms_p50"], row["faces_per_s"], row["gpu_ms_p50"]) == (8.0, 250.0, 4.0)
    assert row["roofline_ms"] == 2.0  # 8 GMAC twice, at 8e12 a second
    assert row["of_roofline"] == 0.5


def test_a_real_engine_is_measured_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["lite", "--backends", "onnxruntime", "--batches", "1", "2", "--seconds", "0.01", "--out", str(tmp_path)]
    assert main(command) == 0
    (data,) = tmp_path.glob("*.json")
    written = json.loads(data.read_text())
    assert [(row["engine"], row["batch"]) for row in written["rows"]] == [
        ("onnxruntime fp32", 1),
        ("onnxruntime fp32", 2),
    ]
    for row in written["rows"]:
        assert row["ms_p10"] <= row["ms_p50"] <= row["ms_p95"]
        assert row["gpu_ms_p50"] is None
        assert 0 < row["of_roofline"] < 2
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md", ".png"}
    assert "| lite | onnxruntime fp32 | 2 |" in capsys.readouterr().out


def test_an_engine_that_is_not_here_is_named_and_one_that_does_not_exist_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    if timing.engines.available()["tensorrt"] is None:
        pytest.skip("TensorRT is here")
    assert main(["lite", "--backends", "tensorrt-fp16", "--seconds", "0.01"]) == 0
    assert "- lite, tensorrt-fp16: engine tensorrt: " in capsys.readouterr().out
    assert main(["lite", "--backends", "cuda"]) == 2
    assert "no such engine" in capsys.readouterr().err
    assert main(["lite", "--batches", "0"]) == 2


def test_a_batch_that_finds_no_memory_ends_the_rows_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(Engine):
        def draw(self, photo, boxes, matte):
            if len(photo) > 1:
                raise EngineLostError("out of GPU memory")
            return super().draw(photo, boxes, matte)

        def __enter__(self):
            return self

        def __exit__(self, *_exc) -> None: ...

    monkeypatch.setattr(timing.engines, "load", lambda *_args, **_how: Small())
    rows = timing.measure(Path("m.onnx"), "tensorrt", (1, 2, 4), seconds=0.01, peaks={"cpu": 1.0})
    assert [row["batch"] for row in rows] == [1, 2]
    assert rows[1]["problem"] == "out of GPU memory"
    text = table(report() | {"rows": [{**rows[1], "model": "m"}]})
    assert "| m | tensorrt fp16 | 2 | out of GPU memory |" in text


def test_the_table_and_the_picture_show_every_engine(tmp_path: Path) -> None:
    text = table(report())
    assert "| lite | tensorrt fp16 | 1 | 0.9 | 1.1 | 0.5 | 1111.1 | 0.25 | 50% | 3.0 | 1.0 | 300.0 |" in text
    assert "- lite, inductor: no GPU" in text
    assert timing.plot(report(), tmp_path / "a.png") is None
    assert (tmp_path / "a.png").stat().st_size > 5000
    assert timing.plot(report() | {"rows": []}, tmp_path / "b.png") == "no picture: nothing was measured"


@pytest.mark.parametrize(("ms", "verdict"), [(0.9, "met"), (1.1, "MISSED")])
def test_targets_are_said_to_be_met_or_missed(ms: float, verdict: str) -> None:
    lines = gpu_targets.lines(report(ms_p50=ms))
    assert lines[0] == f"paper, TensorRT fp16, batch 1: {ms:g}, target 1: {verdict}"
    assert lines[1:] == [
        "paper, compiled fp16, batch 1: not measured",
        "paper, faces a second, batch 16: not measured",
        "paper, fp16, batch 1, times as fast as eager torch: not measured",
    ]


@pytest.mark.parametrize(("eager", "told"), [(5.4, "6.0, target 5: met"), (3.6, "4.0, target 5: MISSED")])
def test_how_much_faster_than_eager_torch_is_said(eager: float, told: str) -> None:
    row = {"model": "paper", "engine": "eager fp16", "branches": "single", "batch": 1, "ms_p50": eager}
    others = [row | {"branches": "grouped", "ms_p50": 0.1}, row | {"engine": "graph fp16"}, row | {"batch": 16}]
    lines = gpu_targets.lines(report() | {"branches": [*others, row]})
    assert lines[-1] == f"paper, fp16, batch 1, times as fast as eager torch: {told}"


def test_memory_that_goes_fails_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([1000 << 20, 900 << 20])
    monkeypatch.setattr(timing, "_gpu_memory", lambda: next(free))
    assert gpu_check.endurance(Engine(), 5, 10.0) == {"draws": 5, "gpu_mb": 100.0}


def test_without_a_gpu_the_check_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(gpu_check, "no_gpu", lambda: "no NVIDIA driver; install it")
    assert gpu_check.main([]) == 2
    assert capsys.readouterr().err == "error: no NVIDIA driver; install it\n"


def test_the_whole_check_runs_on_an_engine_that_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "PLAYED_SECONDS", 0.2)
    monkeypatch.setattr(gpu_check, "DRAWS", 3)
    monkeypatch.setattr(gpu_check, "PHOTOS", 1)
    monkeypatch.setattr(gpu_check, "BRANCHED", ((("eager",), (1,)), ((), ())))
    monkeypatch.setattr(timing, "MOST_RUNS", 1)
    monkeypatch.setattr(timing, "BATCHES", (1,))
    monkeypatch.setattr("engines.trial.MIN_TIMINGS", 3)
    command = ["--models", "lite", "--backends", "onnxruntime", "--out", str(tmp_path)]
    assert gpu_check.main(command) == 0
    (text,) = (path.read_text() for path in tmp_path.glob("gpu-check-*.md"))
    for words in (
        "reference onnxruntime fp32",
        "| lite, onnxruntime | 3 |",
        "| lite | eager fp32 | grouped | 1 |",
        "6 frames in 0.2 s",
        "- nothing",
    ):
        assert words in text


def test_what_was_measured_is_kept_when_the_check_is_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(*_what: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu_check, "PHOTOS", 1)
    monkeypatch.setattr(gpu_check, "BRANCHED", ((("eager",), (1,)), ((), ())))
    monkeypatch.setattr(gpu_check, "live", cut)
    monkeypatch.setattr(timing, "MOST_RUNS", 1)
    monkeypatch.setattr(timing, "BATCHES", (1,))
    monkeypatch.setattr("engines.trial.MIN_TIMINGS", 3)
    with pytest.raises(KeyboardInterrupt):
        gpu_check.main(["--models", "lite", "--backends", "onnxruntime", "--out", str(tmp_path)])
    (text,) = (path.read_text() for path in tmp_path.glob("gpu-check-*.md"))
    for words in (
        "reference onnxruntime fp32",
        "| lite | onnxruntime fp32 | 1 |",
        "| lite | eager fp32 | streams | 1 |",
    ):
        assert words in text


def test_an_engine_that_breaks_in_the_middle_is_named_and_the_rest_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_what: object) -> None:
        raise EngineLostError("a kernel failed on the GPU")

    monkeypatch.setattr(gpu_check, "PLAYED_SECONDS", 0.1)
    monkeypatch.setattr(gpu_check, "PHOTOS", 1)
    monkeypatch.setattr(gpu_check, "BRANCHED", (((), ()), ((), ())))
    monkeypatch.setattr(gpu_check.pipeline, "added", breaks)
    monkeypatch.setattr(timing, "BATCHES", (1,))
    monkeypatch.setattr("engines.trial.MIN_TIMINGS", 3)
    assert gpu_check.main(["--models", "lite", "--backends", "onnxruntime", "--out", str(tmp_path)]) == 1
    (text,) = (path.read_text() for path in tmp_path.glob("gpu-check-*.md"))
    assert "- lite, onnxruntime: a kernel failed on the GPU" in text
    assert "![time over batch](gpu-check-" in text


def test_without_an_exporter_the_paper_is_drawn_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lacks(*_what: object, **_more: object) -> None:
        raise ModelError("exporting needs onnxscript; pip install onnxscript")

    narrow = config.preset("paper", width=4)
    monkeypatch.setattr(config, "preset", lambda _name: narrow)
    monkeypatch.setattr("engines.export.export_drawing", lacks)
    monkeypatch.setattr(gpu_check, "PLAYED_SECONDS", 0.1)
    monkeypatch.setattr(gpu_check, "DRAWS", 2)
    monkeypatch.setattr(gpu_check, "PHOTOS", 1)
    monkeypatch.setattr(gpu_check, "BRANCHED", (((), ()), ((), ())))
    monkeypatch.setattr(gpu_check.layers, "DRAWS", 1)
    monkeypatch.setattr(timing, "MOST_RUNS", 1)
    monkeypatch.setattr(timing, "BATCHES", (1,))
    monkeypatch.setattr("engines.trial.MIN_TIMINGS", 3)
    assert gpu_check.main(["--models", "paper", "--backends", "torch", "--out", str(tmp_path)]) == 0
    assert "paper: drawn from its checkpoint alone, by torch: exporting needs onnxscript" in capsys.readouterr().err
    (text,) = (path.read_text() for path in tmp_path.glob("gpu-check-*.md"))
    for words in (
        "reference torch fp32",
        "| paper | torch fp32 | 1 |",
        "| paper, torch | 2 |",
    ):
        assert words in text


def test_half_is_compared_photo_by_photo() -> None:
    photos = [synthetic("drawing", 1, seed=seed) for seed in range(2)]
    found = half.compare(half.find("lite"), photos, "fp16")
    assert len(found) == 2
    assert all(0 < d.mean < 1 for d in found)
    wide = half.compare(half.find("lite"), photos[:1], "fp32")
    assert [d.max for d in wide] == [0]
    assert np.isfinite([d.ink_iou for d in found]).all()
