"""The few calls of the CUDA runtime that an engine needs, with errors in words. Needs the package ``cuda-bindings``.

It links the runtime in; of the machine it asks for the driver alone.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from engines.errors import EngineError, EngineLostError

INSTALL = "pip install cuda-bindings"

_REMEDIES = {
    2: "out of GPU memory; close what else uses the GPU, or choose a smaller model",
    35: "the NVIDIA driver is too old for this CUDA runtime; update the driver",
    46: "the GPU is busy with another program that keeps it to itself",
    100: "no GPU is left; check the power and the cable, then start again",
    719: "a kernel failed on the GPU; start again, and build the plan again if it happens twice",
    999: "the GPU does not answer; run nvidia-smi to see why",
}
_MODULE = "cuda.bindings.runtime"
_NON_BLOCKING = 1


def probe() -> str | None:
    """None, or why the CUDA runtime cannot be called here and what to do."""
    try:
        importlib.import_module(_MODULE)
    except ModuleNotFoundError:
        return f"cuda-bindings is not installed; {INSTALL}"
    except (ImportError, OSError, RuntimeError) as error:
        return f"cuda-bindings is installed but does not import ({error}); {INSTALL} --force-reinstall"
    return None


class Cuda:
    """One stream on the first GPU and what was allocated for it. Called from one thread at a time."""

    def __init__(self, runtime: Any = None) -> None:
        """``runtime``: the module ``cuda.bindings.runtime``, or what acts like it; None: the module.

        Raises:
            EngineError: it is not installed, or there is no GPU, or its driver is too old.
        """
        if runtime is None:
            if reason := probe():
                raise EngineError(reason)
            runtime = importlib.import_module(_MODULE)
        self._runtime: Any = runtime
        self._frees: list[tuple[Callable[..., Any], Any]] = []
        try:
            self.stream = self._call(runtime.cudaStreamCreateWithFlags, _NON_BLOCKING)
        except EngineLostError as error:
            raise EngineError(str(error)) from None
        self._frees.append((runtime.cudaStreamDestroy, self.stream))

    def device(self, size: int) -> int:
        """Address of ``size`` bytes on the GPU, aligned to 256 bytes."""
        address = self._call(self._runtime.cudaMalloc, max(size, 1))
        self._frees.append((self._runtime.cudaFree, address))
        return int(address)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array in memory that the GPU copies from and to by itself; gone after :meth:`close`."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        address = self._call(self._runtime.cudaHostAlloc, size, 0)
        self._frees.append((self._runtime.cudaFreeHost, address))
        buffer = (ctypes.c_uint8 * size).from_address(int(address))
        array: NDArray[Any] = np.ctypeslib.as_array(buffer).view(dtype).reshape(shape)
        return array

    def upload(self, array: NDArray[Any], address: int) -> None:
        """Pinned array -> GPU, in the stream."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call(self._runtime.cudaMemcpyAsync, address, array.ctypes.data, array.nbytes, kind, self.stream)

    def download(self, address: int, array: NDArray[Any]) -> None:
        """GPU -> pinned array, in the stream."""
        kind = self._runtime.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call(self._runtime.cudaMemcpyAsync, array.ctypes.data, address, array.nbytes, kind, self.stream)

    def wait(self) -> None:
        """Until all that was put into the stream is done."""
        self._call(self._runtime.cudaStreamSynchronize, self.stream)

    def capture(self, work: Callable[[], None]) -> Any:
        """Record what ``work`` puts into the stream; :meth:`launch` does it again in one call."""
        runtime = self._runtime
        mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call(runtime.cudaStreamBeginCapture, self.stream, mode)
        with self._captured() as captured:
            work()
        graph = self._call(runtime.cudaGraphInstantiate, captured[0], 0)
        self._frees.append((runtime.cudaGraphExecDestroy, graph))
        self._call(runtime.cudaGraphDestroy, captured[0])
        return graph

    @contextmanager
    def _captured(self) -> Iterator[list[Any]]:
        """Ends a capture whatever happens in it: a stream left in capture would be of no use any more."""
        out: list[Any] = []
        try:
            yield out
        except BaseException:
            self._runtime.cudaStreamEndCapture(self.stream)
            raise
        out.append(self._call(self._runtime.cudaStreamEndCapture, self.stream))

    def launch(self, graph: Any) -> None:
        """Everything of a graph, in the stream."""
        self._call(self._runtime.cudaGraphLaunch, graph, self.stream)

    def elapsed(self, work: Callable[[], None]) -> float:
        """Milliseconds that the GPU spends on what ``work`` puts into the stream, by its own clock."""
        runtime = self._runtime
        events = [self._call(runtime.cudaEventCreate) for _ in range(2)]
        try:
            self._call(runtime.cudaEventRecord, events[0], self.stream)
            work()
            self._call(runtime.cudaEventRecord, events[1], self.stream)
            self.wait()
            return float(self._call(runtime.cudaEventElapsedTime, *events))
        finally:
            for event in events:
                runtime.cudaEventDestroy(event)

    def memory(self) -> tuple[int, int]:
        """(bytes free, bytes in all) of the GPU."""
        free, total = self._call(self._runtime.cudaMemGetInfo)
        return int(free), int(total)

    def close(self) -> None:
        """Free everything, last things first. Never raises: the GPU may be gone. May be called twice."""
        while self._frees:
            free, what = self._frees.pop()
            free(what)

    def _call(self, call: Callable[..., Any], *args: Any) -> Any:
        """A call's value. Raises EngineLostError with what went wrong and what to do."""
        error, *values = call(*args)
        code = int(error)
        if code:
            self._runtime.cudaGetLastError()
            name = str(getattr(error, "name", code))
            raise EngineLostError(_REMEDIES.get(code, f"the GPU fails with {name}; run nvidia-smi to see why"))
        return values[0] if len(values) == 1 else tuple(values)
