"""OpenVINO on the CPU: fp32 or bf16, never left to its own choice.

Left alone, OpenVINO picks bf16 on a CPU that has it, and the drawing changes without a word. Here the precision is
always set, read back after compiling, and said in the engine's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.contract import INPUTS, OUTPUT, SHAPES, one_by_one, usable_threads
from engines.errors import EngineError, ModelError
from engines.manifest import Kind, Manifest

PRECISIONS = ("fp32", "bf16")
INSTALL = "pip install openvino"

_HINTS = {"fp32": "f32", "bf16": "bf16"}
_NATIVE_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "avx_ne_convert"}


def reads(path: Path) -> bool:
    return path.suffix == ".onnx"


def probe() -> str | None:
    """None, or why OpenVINO cannot be used here and what to do."""
    try:
        import openvino  # noqa: F401
    except ModuleNotFoundError:
        return f"not installed; {INSTALL}"
    except (ImportError, OSError, RuntimeError) as error:
        return f"installed but does not import ({error}); {INSTALL} --force-reinstall"
    return None


def choose(manifest: Manifest) -> tuple[str, str]:
    """bf16 where the CPU computes in it and it was measured to be faster and to draw the same, else fp32; and why."""
    if manifest.bf16_ok is None:
        return "fp32", "bf16 passed over: not measured for this model"
    if not manifest.bf16_ok:
        return "fp32", "bf16 passed over: measured slower, or another drawing"
    if not native_bf16():
        return "fp32", "bf16 passed over: this CPU has none"
    return "bf16", ""


def native_bf16() -> bool:
    """True when the CPU multiplies in bf16; emulated bf16 is slower than fp32."""
    import openvino as ov

    if "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        return False
    # Some versions report emulation as well; Linux tells the instructions themselves.
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return True
    flags = [line.split(":", 1)[1].split() for line in cpuinfo.read_text().splitlines() if line.startswith("flags")]
    return not flags or bool(_NATIVE_BF16_FLAGS & set(flags[0]))


def open_session(path: Path, *, kind: Kind, precision: str, threads: int | None) -> OpenVinoSession:
    """Open an exported graph.

    Raises:
        EngineError: OpenVINO is not installed, or this CPU has no bf16 and bf16 was asked for.
        ModelError: the graph cannot be read.
    """
    if reason := probe():
        raise EngineError(f"engine openvino: {reason}")
    if precision == "bf16" and not native_bf16():
        raise EngineError("engine openvino-bf16: this CPU does not compute in bf16; use openvino-fp32 or auto")
    return OpenVinoSession(path=path, kind=kind, precision=precision, threads=usable_threads(threads))


class OpenVinoSession:
    """One graph in OpenVINO."""

    def __init__(self, *, path: Path, kind: Kind, precision: str, threads: int) -> None:
        import openvino as ov

        core = ov.Core()
        hint = _HINTS[precision]
        options = {
            "INFERENCE_PRECISION_HINT": hint,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # Else whoever calls is tied to the first processor while it draws, however busy others keep that one.
            "ENABLE_CPU_PINNING": False,
        }
        try:
            model = core.read_model(str(path))
            # A fixed batch of one: with the lite graph 16 instead of 22 ms in fp32, 12 instead of 20 ms in bf16.
            model.reshape({name: [1, *SHAPES[name]] for name in INPUTS[kind]})
            compiled = core.compile_model(model, "CPU", options)
        except RuntimeError as error:
            raise ModelError(f"model {path}: OpenVINO cannot read it ({_last_line(error)})") from None
        got = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        if got != hint:
            raise EngineError(f"engine openvino-{precision}: OpenVINO compiled in {got} instead; use openvino-fp32")
        self._path = path
        self._output = OUTPUT[kind]
        self._request: Any = compiled.create_infer_request()
        self.name = f"openvino {precision}"
        cpu = str(core.get_property("CPU", "FULL_DEVICE_NAME")).strip()
        self.device = f"CPU ({cpu}), {threads} thread{'s' if threads > 1 else ''}"

    def run(self, arrays: Mapping[str, NDArray[np.generic]]) -> NDArray[np.uint8]:
        return one_by_one(self._run_one, arrays)

    def _run_one(self, arrays: dict[str, NDArray[np.generic]]) -> NDArray[np.uint8]:
        try:
            # The result lives in the request until the next run, long enough for one_by_one to copy it.
            result: NDArray[np.uint8] = self._request.infer(arrays, share_inputs=True)[self._output]
        except (RuntimeError, KeyError) as error:
            raise ModelError(f"model {self._path}: does not run in OpenVINO ({_last_line(error)})") from None
        return result

    def close(self) -> None:
        self._request = None


def _last_line(error: BaseException) -> str:
    """OpenVINO puts file names of its own source first and what happened last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]
