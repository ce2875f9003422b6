"""What is said of a GPU, its driver, or their absence."""

# ruff: noqa: N802

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from test_engine_load import hide

import engines
from engines import EngineError, cuda, gpu
from engines.choose import CPU, GPU, auto_order

ROOT = Path(__file__).resolve().parents[2]


class Driver:
    """The driver's library, as ctypes would open it."""

    def __init__(self, *, version: int = 13000, init: int = 0, device: int = 0) -> None:
        self._version, self._init, self._device = version, init, device

    def cuInit(self, _flags):
        return self._init

    def cuDriverGetVersion(self, out):
        out._obj.value = self._version
        return 0

    def cuDeviceGet(self, out, ordinal):
        assert ordinal == 0
        out._obj.value = 0
        return self._device

    def cuDeviceGetName(self, out, size, _device):
        assert size == len(out)
        out.value = b"NVIDIA H100 80GB"
        return 0

    def cuDeviceTotalMem_v2(self, out, _device):
        out._obj.value = 80 << 30
        return 0

    def cuDeviceGetAttribute(self, out, attribute, _device):
        out._obj.value = {75: 9, 76: 0}[attribute]
        return 0


def test_a_gpu_tells_its_name_memory_and_capability() -> None:
    found = gpu.find_gpu(Driver())
    assert found == gpu.Gpu(name="NVIDIA H100 80GB", compute_capability=(9, 0), memory=80 << 30, cuda=(13, 0))


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        (Driver(version=11080), r"runs CUDA 11\.8, expected 12\.0 or newer; update the driver"),
        (Driver(init=100), "sees no GPU; check CUDA_VISIBLE_DEVICES"),
        (Driver(init=803), "of different versions; restart the machine"),
        (Driver(init=804), "too old for the CUDA libraries beside it; update"),
        (Driver(device=101), "sees no such GPU"),
        (Driver(init=712), "fails with error 712; run nvidia-smi"),
    ],
)
def test_a_driver_that_is_of_no_use_says_what_to_do(driver: Driver, words: str) -> None:
    with pytest.raises(EngineError, match=words):
        gpu.find_gpu(driver)


def test_without_a_driver_its_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpu._DRIVERS, sys.platform, "libno_such_driver.so.1")
    assert "libno_such_driver.so.1 is missing" in (gpu.no_gpu() or "")
    monkeypatch.delitem(gpu._DRIVERS, sys.platform)
    assert "use openvino or onnxruntime" in (gpu.no_gpu() or "")


def test_a_card_without_a_driver_is_noticed(tmp_path: Path) -> None:
    assert gpu.idle_card(tmp_path) is None
    for name, vendor, kind in (("0", "0x8086", "0x030000"), ("1", "0x10de", "0x040300")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "vendor").write_text(vendor + "\n")
        (tmp_path / name / "class").write_text(kind + "\n")
    assert gpu.idle_card(tmp_path) is None, "another maker's display, and the sound part of an NVIDIA card"
    (tmp_path / "1" / "class").write_text("0x030200\n")
    assert gpu.idle_card(tmp_path) == "NVIDIA GPU"


def test_auto_asks_the_gpu_first_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.choose.no_gpu", lambda: None)
    assert auto_order() == ((*GPU, *CPU), "")
    assert auto_order("matte") == (CPU, "")


def test_a_gpu_that_idles_is_said(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.choose.no_gpu", lambda: "no NVIDIA driver; install it")
    monkeypatch.setattr("engines.choose.idle_card", lambda: "NVIDIA GPU")
    heard: list[str] = []
    engines.load(tiny, log=heard.append).close()
    assert "the NVIDIA GPU passed over: no NVIDIA driver; install it" in heard[0]
    monkeypatch.setattr("engines.choose.idle_card", lambda: None)
    engines.load(tiny, log=heard.append).close()
    assert "NVIDIA" not in heard[1]


@pytest.mark.parametrize("name", GPU)
def test_an_engine_for_a_gpu_that_is_asked_for_is_never_replaced(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("engines.backends.trt.no_gpu", lambda: "no GPU; plug one in")
    monkeypatch.setattr("engines.backends.pytorch.no_gpu", lambda: "no GPU; plug one in")
    hide(monkeypatch, "tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")
    with pytest.raises(EngineError) as caught:
        engines.load(tiny, name)
    assert "\n" not in str(caught.value)
    assert ";" in str(caught.value) or "needs a checkpoint" in str(caught.value), "says what to do"


def test_the_cuda_runtime_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "cuda.bindings", "cuda.bindings.runtime", "cuda")
    assert cuda.probe() == "cuda-bindings is not installed; pip install cuda-bindings"
    with pytest.raises(EngineError, match="pip install cuda-bindings"):
        cuda.Cuda()


def test_importing_every_gpu_module_needs_no_gpu_and_no_library() -> None:
    modules = (
        "engines.build, engines.cuda, engines.gpu, engines.plans, engines.precision, engines.standby, "
        "engines.torch_session, engines.trt_builder, engines.trt_session, engines.backends.trt, "
        "engines.backends.pytorch"
    )
    heavy = "torch", "onnx", "tensorrt", "tensorrt_rtx_bindings", "cuda.bindings", "torch_tensorrt"
    code = f"import sys, {modules}; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
