"""ONNX Runtime on the CPU: runs everywhere, fp32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.contract import OUTPUT, one_by_one, usable_threads
from engines.errors import EngineError, ModelError
from engines.manifest import Kind, Manifest

PRECISIONS = ("fp32",)
INSTALL = "pip install onnxruntime"


def reads(path: Path) -> bool:
    return path.suffix == ".onnx"


def probe() -> str | None:
    """None, or why ONNX Runtime cannot be used here and what to do."""
    try:
        import onnxruntime  # noqa: F401
    except ModuleNotFoundError:
        return f"not installed; {INSTALL}"
    except (ImportError, OSError, RuntimeError) as error:
        return f"installed but does not import ({error}); {INSTALL} --force-reinstall"
    return None


def choose(_manifest: Manifest) -> tuple[str, str]:
    """Precision, and why (empty: nothing to say)."""
    return "fp32", ""


def open_session(path: Path, *, kind: Kind, precision: str, threads: int | None) -> OrtSession:
    """Open an exported graph.

    Raises:
        EngineError: ONNX Runtime is not installed.
        ModelError: the graph cannot be read.
    """
    if reason := probe():
        raise EngineError(f"engine onnxruntime: {reason}")
    return OrtSession(path=path, kind=kind, precision=precision, threads=usable_threads(threads))


def run_graph(
    model: bytes, feeds: Sequence[Mapping[str, NDArray[np.generic]]], *, as_it_is: bool = False
) -> list[NDArray[np.uint8]]:
    """Run a serialised graph, batches as batches: what an export is checked with.

    Args:
        model: the graph.
        feeds: inputs by name, run one after the other.
        as_it_is: node by node, nothing fused or folded, so that every value is rounded to the type it is stored in.
    Raises:
        EngineError: ONNX Runtime is not installed.
    """
    if reason := probe():
        raise EngineError(f"engine onnxruntime: {reason}")
    import onnxruntime as ort

    options = ort.SessionOptions()
    if as_it_is:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 3
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return [session.run(None, dict(feed))[0] for feed in feeds]


class OrtSession:
    """One graph in ONNX Runtime."""

    def __init__(self, *, path: Path, kind: Kind, precision: str, threads: int) -> None:
        import onnxruntime as ort
        from onnxruntime.capi import onnxruntime_pybind11_state as failures

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 4
        # Waiting threads that spin take the cores that the tracker runs on.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._errors = (
            failures.Fail,
            failures.InvalidArgument,
            failures.InvalidGraph,
            failures.InvalidProtobuf,
            failures.NoSuchFile,
            failures.NotImplemented,
            failures.RuntimeException,
        )
        self._path = path
        self._output = OUTPUT[kind]
        self.name = f"onnxruntime {precision}"
        self.device = f"CPU, {threads} thread{'s' if threads > 1 else ''}"
        try:
            self._session: Any = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except self._errors as error:
            raise ModelError(f"model {path}: ONNX Runtime cannot read it ({_first_line(error)})") from None

    def run(self, arrays: Mapping[str, NDArray[np.generic]]) -> NDArray[np.uint8]:
        return one_by_one(self._run_one, arrays)

    def _run_one(self, arrays: dict[str, NDArray[np.generic]]) -> NDArray[np.uint8]:
        try:
            result: NDArray[np.uint8] = self._session.run([self._output], arrays)[0]
        except (*self._errors, ValueError) as error:
            raise ModelError(f"model {self._path}: does not run in ONNX Runtime ({_first_line(error)})") from None
        return result

    def close(self) -> None:
        self._session = None


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:200]
