"""A GPU in ordinary memory: the CUDA runtime's calls and a TensorRT that runs on them, so that what is built on both
can be tried, and broken, without one."""

# Names are those of the libraries.
# ruff: noqa: N802, N815

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np


class Code(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorNoDevice = 100
    cudaErrorLaunchFailure = 719
    cudaErrorUnknown = 999


class FakeRuntime:
    """What ``cuda.bindings.runtime`` offers, as far as :mod:`engines.cuda` calls it."""

    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)
    cudaStreamCaptureMode = SimpleNamespace(cudaStreamCaptureModeThreadLocal=1)

    def __init__(self, *, memory: int = 1 << 30) -> None:
        self.free = self.total = memory
        self.failing: dict[str, Code] = {}
        """Name of a call -> the error that it gives from now on."""
        self.blocks: dict[int, ctypes.Array] = {}
        self.streams = self.events = 0
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.launches = 0
        self.copies_outside_graphs = 0
        self._recording: list[Callable[[], None]] | None = None

    def _do(self, name: str, *values):
        code = self.failing.get(name, Code.cudaSuccess)
        return (code, *values) if code == 0 else (code, *(None for _ in values))

    def enqueue(self, work: Callable[[], None]) -> None:
        """A kernel or copy: done at once, or recorded."""
        if self._recording is not None:
            self._recording.append(work)
        else:
            work()

    def cudaStreamCreateWithFlags(self, _flags):
        self.streams += "cudaStreamCreateWithFlags" not in self.failing
        return self._do("cudaStreamCreateWithFlags", 7)

    def cudaStreamDestroy(self, _stream):
        self.streams -= 1
        return self._do("cudaStreamDestroy")

    def cudaMalloc(self, size):
        if size > self.free:
            return Code.cudaErrorMemoryAllocation, None
        block = (ctypes.c_uint8 * size)()
        address = ctypes.addressof(block)
        if "cudaMalloc" not in self.failing:
            self.free -= size
            self.blocks[address] = block
        return self._do("cudaMalloc", address)

    def cudaFree(self, address):
        self.free += len(self.blocks.pop(address))
        return (Code.cudaSuccess,)

    def cudaHostAlloc(self, size, _flags):
        block = (ctypes.c_uint8 * size)()
        self.blocks[ctypes.addressof(block)] = block
        return self._do("cudaHostAlloc", ctypes.addressof(block))

    def cudaFreeHost(self, address):
        self.blocks.pop(address)
        return (Code.cudaSuccess,)

    def cudaMemcpyAsync(self, to, of, size, _kind, _stream):
        self.copies_outside_graphs += self._recording is None
        self.enqueue(lambda: ctypes.memmove(to, of, size))
        return self._do("cudaMemcpyAsync")

    def cudaStreamBeginCapture(self, _stream, _mode):
        self._recording = []
        return self._do("cudaStreamBeginCapture")

    def cudaStreamEndCapture(self, _stream):
        recorded, self._recording = self._recording, None
        return self._do("cudaStreamEndCapture", recorded)

    def cudaGraphInstantiate(self, graph, _flags):
        self.graphs[len(self.graphs) + 1] = graph
        return self._do("cudaGraphInstantiate", len(self.graphs))

    def cudaGraphDestroy(self, _graph):
        return (Code.cudaSuccess,)

    def cudaGraphExecDestroy(self, graph):
        self.graphs.pop(graph)
        return (Code.cudaSuccess,)

    def cudaGraphLaunch(self, graph, _stream):
        self.launches += 1
        if "cudaGraphLaunch" not in self.failing:
            for work in self.graphs[graph]:
                work()
        return self._do("cudaGraphLaunch")

    def cudaStreamSynchronize(self, _stream):
        return self._do("cudaStreamSynchronize")

    def cudaMemGetInfo(self):
        return self._do("cudaMemGetInfo", self.free, self.total)

    def cudaEventCreate(self):
        self.events += 1
        return self._do("cudaEventCreate", self.events)

    def cudaEventRecord(self, _event, _stream):
        return self._do("cudaEventRecord")

    def cudaEventElapsedTime(self, start, end):
        assert (start, end) == (1, 2)
        return self._do("cudaEventElapsedTime", 0.75)

    def cudaEventDestroy(self, _event):
        self.events -= 1
        return (Code.cudaSuccess,)

    def cudaGetLastError(self):
        return (Code.cudaSuccess,)


class FakeTensorRt:
    """A TensorRT whose every plan draws the photo's mean colour, darkened by the boxes; white off the person."""

    __name__ = "fake_tensorrt"
    __version__ = "1.0"
    ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED=2)

    class ILogger:
        Severity = enum.IntEnum("Severity", "INTERNAL_ERROR ERROR WARNING INFO VERBOSE", start=0)

    class IProfiler:
        """What hears of the layers."""

    LayerInformationFormat = SimpleNamespace(JSON=1)

    def __init__(self, runtime: FakeRuntime, *, scratch: int = 1000, refuses: str = "") -> None:
        self.cuda = runtime
        self.scratch = scratch
        self.refuses = refuses
        self.runs = True
        self.information = '{"Layers": [{"Name": "conv 1", "LayerType": "CaskConvolution", "TacticName": "sm89_x"}]}'
        """What the inspector tells of a plan."""

    def Runtime(self, logger):
        def deserialize(blob):
            if self.refuses:
                logger.log(self.ILogger.Severity.ERROR, self.refuses)
                return None
            assert blob == b"a plan"
            inspector = SimpleNamespace(get_engine_information=lambda _format: self.information)
            return SimpleNamespace(
                create_execution_context=lambda _strategy: FakeContext(self),
                create_engine_inspector=lambda: inspector,
            )

        return SimpleNamespace(deserialize_cuda_engine=deserialize)


class FakeContext:
    def __init__(self, library: FakeTensorRt) -> None:
        self._library = library
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._memory = 0
        self.profiler = None

    def set_optimization_profile_async(self, profile, stream) -> bool:
        assert (profile, stream) == (0, 7)
        return True

    def set_input_shape(self, name, shape) -> bool:
        self._shapes[name] = shape
        return True

    def set_tensor_address(self, name, address) -> None:
        self._addresses[name] = address

    def update_device_memory_size_for_shapes(self) -> int:
        return self._library.scratch * self._shapes["photo"][0]

    def set_device_memory(self, memory, size) -> None:
        assert size <= len(self._library.cuda.blocks[memory])
        self._memory = memory

    def execute_async_v3(self, stream) -> bool:
        assert stream == 7
        assert self._memory
        if self._library.runs:
            self._library.cuda.enqueue(self._draw)
        if self.profiler is not None:
            self.profiler.report_layer_time("conv 1", 0.5)
            self.profiler.report_layer_time("crop", 1.5)
        return self._library.runs

    def _array(self, name: str, shape: tuple[int, ...], dtype) -> np.ndarray:
        block = self._library.cuda.blocks[self._addresses[name]]
        return np.ctypeslib.as_array(block).view(dtype).reshape(shape)

    def _draw(self) -> None:
        arrays = {
            name: self._array(name, shape, np.int32 if name == "boxes" else np.uint8)
            for name, shape in self._shapes.items()
        }
        batch = len(arrays["photo"])
        out = self._array("drawing", (batch, 512, 512), np.uint8)
        out[:] = expected(arrays)


def expected(arrays) -> np.ndarray:
    """What :class:`FakeTensorRt` draws. (B, 512, 512) uint8."""
    grey = arrays["photo"][..., 0] // 2 + (arrays["boxes"].sum((1, 2)) % 50)[:, None, None].astype(np.uint8)
    return np.where(arrays["matte"] > 127, grey, 255).astype(np.uint8)
