"""Which runtime runs a model, what is said about it, and what is said when none can."""

from __future__ import annotations

import dataclasses
import logging
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from tiny_models import MANIFEST, need_bf16, tiny_graph, write

import engines
from engines import EngineError, ModelError
from engines.backends import ov
from engines.catalogue import find

ROOT = Path(__file__).resolve().parents[2]


def hide(monkeypatch: pytest.MonkeyPatch, *libraries: str) -> None:
    for library in libraries:
        monkeypatch.setitem(sys.modules, library, None)


def load_and_hear(model: Path, backend: str = "auto") -> tuple[str, list[str]]:
    heard: list[str] = []
    with engines.load(model, backend, log=heard.append) as engine:
        return engine.name, heard


def test_importing_engines_imports_no_runtime() -> None:
    heavy = "torch", "onnx", "onnxruntime", "openvino", "cv2", "safetensors"
    code = f"import sys, engines; engines.list_models(); print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_drawing_with_onnxruntime_imports_neither_torch_nor_onnx(tiny: Path) -> None:
    code = (
        f"import sys, engines; engines.load({str(tiny)!r}, 'onnxruntime').close(); "
        "print([m for m in ('torch', 'onnx', 'openvino') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_auto_takes_openvino_and_says_so_in_one_line(tiny: Path) -> None:
    name, heard = load_and_hear(tiny)
    assert name == "openvino fp32"
    assert len(heard) == 1
    assert heard[0].startswith("engine: openvino fp32 on CPU")
    assert "thread" in heard[0]
    assert "bf16 passed over: not measured" in heard[0]


def test_without_a_log_the_line_goes_to_the_logger(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "engines"):
        engines.load(tiny, "onnxruntime").close()
    assert caplog.messages[0].startswith("engine: onnxruntime fp32 on CPU")


def test_auto_says_why_it_passed_over_openvino(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "openvino")
    name, heard = load_and_hear(tiny)
    assert name == "onnxruntime fp32"
    assert "openvino passed over: not installed; pip install openvino" in heard[0]


def test_with_nothing_installed_auto_tells_what_to_install(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "openvino", "onnxruntime", "torch")
    with pytest.raises(EngineError, match=r"pip install openvino.*pip install onnxruntime.*needs a checkpoint"):
        engines.load(tiny)


@pytest.mark.parametrize("backend", ["openvino", "openvino-fp32", "openvino-bf16", "onnxruntime"])
def test_an_engine_asked_for_is_never_replaced(tiny: Path, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    library = backend.split("-")[0]
    hide(monkeypatch, library)
    with pytest.raises(EngineError, match=f"engine {library}: not installed; pip install {library}"):
        engines.load(tiny, backend)
    assert engines.available()[library] is not None


@pytest.mark.parametrize("backend", ["tensorflow", "", "openvino-int4", "AUTO"])
def test_an_unknown_engine_is_answered_with_the_known_ones(tiny: Path, backend: str) -> None:
    with pytest.raises(EngineError, match="expected one of auto, openvino, openvino-fp32, openvino-bf16, onnx"):
        engines.load(tiny, backend)


@pytest.mark.parametrize(("native", "expected"), [(True, "openvino bf16"), (False, "openvino fp32")])
def test_measured_bf16_is_taken_where_the_cpu_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, native: bool, expected: str
) -> None:
    if native:
        need_bf16()
    monkeypatch.setattr(ov, "native_bf16", lambda: native)
    path = write(tmp_path / "m.onnx", tiny_graph("drawing"), dataclasses.replace(MANIFEST, bf16_ok=True))
    name, heard = load_and_hear(path)
    assert name == expected
    assert ("this CPU has none" in heard[0]) is not native


def test_bf16_that_draws_otherwise_is_not_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", tiny_graph("drawing"), dataclasses.replace(MANIFEST, bf16_ok=False))
    name, heard = load_and_hear(path)
    assert name == "openvino fp32"
    assert "measured slower, or another drawing" in heard[0]


def test_bf16_on_a_cpu_without_it_is_refused_not_emulated(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ov, "native_bf16", lambda: False)
    with pytest.raises(EngineError, match="does not compute in bf16; use openvino-fp32 or auto"):
        engines.load(tiny, "openvino-bf16")


def test_the_number_of_threads_is_kept_and_checked(tiny: Path) -> None:
    for backend in ("openvino", "onnxruntime"):
        with engines.load(tiny, backend, threads=1) as engine:
            assert engine.device.endswith("1 thread")
    with pytest.raises(ValueError, match="expected 1 or more, got 0"):
        engines.load(tiny, threads=0)


@pytest.mark.parametrize("backend", ["auto", "openvino", "onnxruntime"])
def test_a_graph_that_no_runtime_can_read_is_one_clear_line(tmp_path: Path, backend: str) -> None:
    model = tiny_graph("drawing")
    model.graph.node[2].op_type = "Convolute"
    path = write(tmp_path / "odd.onnx", model, MANIFEST)
    with pytest.raises(ModelError, match=r"odd\.onnx") as caught:
        engines.load(path, backend)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime"])
def test_a_graph_of_another_shape_is_one_clear_line(tmp_path: Path, backend: str) -> None:
    path = write(tmp_path / "liar.onnx", tiny_graph("matte"), MANIFEST)
    with pytest.raises(ModelError) as caught:
        engines.load(path, backend)
    assert "\n" not in str(caught.value)


def test_a_matte_model_is_not_taken_for_a_drawing_model(tiny: Path, tiny_matte: Path) -> None:
    with pytest.raises(ModelError, match="expected a drawing model, got a matte model"):
        engines.load(tiny_matte)
    with pytest.raises(ModelError, match="expected a matte model, got a drawing model"):
        engines.load_matte(tiny)


def test_torch_asks_for_the_checkpoint_of_an_exported_model(tiny: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no tiny\.safetensors beside it; give the checkpoint"):
        engines.load(tiny, "torch")


def test_names_stand_for_files_of_the_models_folder(tiny: Path) -> None:
    assert find("tiny", folder=tiny.parent) == tiny
    assert find(tiny) == tiny
    with pytest.raises(ModelError, match="'tony': no such file; expected a path to a model, or one of: tiny"):
        find("tony", folder=tiny.parent)


@pytest.mark.parametrize("model", ["", " ", ".", "no/such/file.onnx", "lite.onnx2"])
def test_what_is_no_model_is_one_clear_line(model: str) -> None:
    with pytest.raises(engines.UserError) as caught:
        engines.load(model)
    assert "\n" not in str(caught.value)


def test_models_are_listed_with_what_is_wrong_with_them(tiny: Path) -> None:
    broken = tiny.with_name("broken.onnx")
    broken.write_bytes(tiny.read_bytes()[:-5])
    bad, good = engines.list_models(tiny.parent)
    assert (good.name, good.manifest, good.problem) == ("tiny", MANIFEST, None)
    assert good.size == tiny.stat().st_size
    assert bad.name == "broken"
    assert bad.manifest is None
    assert "cut short" in (bad.problem or "")


def test_every_shipped_model_is_usable() -> None:
    models = engines.list_models()
    if not models:
        pytest.skip("no model in models/")
    assert {model.name: model.problem for model in models} == {model.name: None for model in models}
    for model in models:
        assert b"/site-packages/" not in onnx.load(model.path).SerializeToString()
