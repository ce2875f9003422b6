"""A plan at work: one stream, pinned staging, a context and a CUDA graph for each size of batch.

::

    arrays -> pinned -> GPU -> run -> GPU -> pinned -> a fresh array
              `------- one CUDA graph a bucket -------'

A batch is filled up to the next bucket with its own first picture. TensorRT-RTX compiles kernels for the shapes that it
meets and captures its own graph; there the copies stay outside.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE
from engines.contract import INPUTS, OUTPUT, SHAPES, LayerTime
from engines.cuda import Cuda
from engines.errors import EngineError, EngineLostError
from engines.manifest import Kind
from engines.trt_builder import listen
from engines.trt_profile import Listener, kinds

BUCKETS = (1, 2, 4, 8, 16)
"""Sizes of batch that are run; others are filled up, and larger ones run in parts."""
_DTYPES = {"photo": np.uint8, "boxes": np.int32, "matte": np.uint8}


class TrtSession:
    """A plan opened on the first GPU; a :class:`engines.contract.Session`."""

    def __init__(
        self,
        *,
        library: Any,
        cuda: Cuda,
        blob: bytes,
        kind: Kind,
        name: str,
        device: str,
        most: int,
        kernels: Path | None = None,
    ) -> None:
        """
        Args:
            library: the module ``tensorrt`` or ``tensorrt_rtx``.
            cuda: owns stream and memory; closed with the session.
            blob: the plan's own bytes.
            kind: of the graph.
            name: backend and precision.
            device: in words.
            most: pictures in one run.
            kernels: TensorRT-RTX alone: a file for the kernels that it compiles on this GPU, read and written.
        Raises:
            EngineError: the library does not take the plan; says why.
            EngineLostError: out of GPU memory.
        """
        self.name, self.device = name, device
        self._cuda = cuda
        self._kind = kind
        self._buckets = tuple(sorted({*(b for b in BUCKETS if b < most), most}))
        self._kernels = kernels
        self._library = library
        self._lanes: dict[int, _Lane] = {}
        self._logger, self._heard = listen(library)
        self._runtime: Any = library.Runtime(self._logger)
        self._engine: Any = self._runtime.deserialize_cuda_engine(blob)
        if self._engine is None:
            raise EngineError(f"{library.__name__} does not take this plan: {self._heard.why()}")
        self._compiled: Any = None
        self._make_context = self._context_maker(library)
        self._lane(self._buckets[0])

    def run(self, arrays: Mapping[str, NDArray[np.generic]]) -> NDArray[np.uint8]:
        batch, most = len(arrays["photo"]), self._buckets[-1]
        out = np.empty((batch, SIZE, SIZE), dtype=np.uint8)
        for start in range(0, batch, most):
            part = {name: array[start : start + most] for name, array in arrays.items()}
            count = len(part["photo"])
            bucket = next(b for b in self._buckets if b >= count)
            out[start : start + count] = self._lane(bucket).run(part, count)
        return out

    def gpu_ms(self, batch: int) -> float:
        """What the GPU spends on one run of ``batch`` pictures, copies included, by its own clock; at most ``most``."""
        return self._lane(next(b for b in self._buckets if b >= batch)).gpu_ms()

    def layers(self, batch: int, draws: int) -> list[LayerTime]:
        """Time of every layer of a run of ``batch`` pictures, without a CUDA graph, by the library's own profiler."""
        listener = Listener(self._library)
        context = self._make_context(False)
        if context is not None:
            context.profiler = listener.profiler
        bucket = next(b for b in self._buckets if b >= batch)
        lane = self._new_lane(bucket, context, capture=False)
        listener.forget()
        for _ in range(draws):
            lane.gpu_ms()
        return listener.told(draws, kinds(self._library, self._engine))

    def close(self) -> None:
        if self._engine is None:
            return
        self._keep_kernels()
        self._lanes.clear()
        self._engine = self._runtime = self._compiled = None
        self._cuda.close()

    def _lane(self, bucket: int) -> _Lane:
        if bucket not in self._lanes:
            capture = self._compiled is None
            self._lanes[bucket] = self._new_lane(bucket, self._make_context(True), capture=capture)
        return self._lanes[bucket]

    def _new_lane(self, bucket: int, context: Any, *, capture: bool) -> _Lane:
        return _Lane(
            cuda=self._cuda, context=context, bucket=bucket, kind=self._kind, capture=capture, why=self._heard.why
        )

    def _context_maker(self, library: Any) -> Callable[[bool], Any]:
        """Contexts whose memory is ours, as large as a bucket needs and not as the largest would.

        What it gives takes whether TensorRT-RTX may capture a CUDA graph of its own.
        """
        mine = library.ExecutionContextAllocationStrategy.USER_MANAGED
        if not hasattr(library, "IRuntimeCache"):
            return lambda _graph: self._engine.create_execution_context(mine)
        config = self._engine.create_runtime_config()
        config.set_execution_context_allocation_strategy(mine)
        # Lazily specialised kernels would arrive in the middle of a live stream.
        eager = library.DynamicShapesKernelSpecializationStrategy.EAGER
        config.dynamic_shapes_kernel_specialization_strategy = eager
        self._compiled = config.create_runtime_cache()
        if self._kernels is not None and self._kernels.is_file():
            with contextlib.suppress(OSError, RuntimeError):  # else it compiles them again
                self._compiled.deserialize(self._kernels.read_bytes())
        config.set_runtime_cache(self._compiled)
        strategies = library.CudaGraphStrategy

        def make(graph: bool) -> Any:
            config.cuda_graph_strategy = strategies.WHOLE_GRAPH_CAPTURE if graph else strategies.DISABLED
            return self._engine.create_execution_context(config)

        return make

    def _keep_kernels(self) -> None:
        if self._compiled is None or self._kernels is None or not self._lanes:
            return
        with contextlib.suppress(OSError, RuntimeError):  # they cost the next start some seconds, no more
            part = self._kernels.with_name(f"{self._kernels.name}.part")
            part.write_bytes(bytes(self._compiled.serialize()))
            part.replace(self._kernels)


class _Lane:
    """One size of batch: its context, its memory on both sides, its graph."""

    def __init__(
        self, *, cuda: Cuda, context: Any, bucket: int, kind: Kind, capture: bool, why: Callable[[], str]
    ) -> None:
        if context is None:
            raise EngineLostError(f"no room for a batch of {bucket} on the GPU: {why()}")
        self._cuda = cuda
        self._context = context
        self._bucket = bucket
        self._why = why
        self._output = OUTPUT[kind]
        context.set_optimization_profile_async(0, int(cuda.stream))
        shapes = {name: ((bucket, *SHAPES[name]), _DTYPES[name]) for name in INPUTS[kind]}
        self._host = {name: cuda.pinned(*what) for name, what in shapes.items()}
        self._host[self._output] = cuda.pinned((bucket, SIZE, SIZE), np.uint8)
        self._gpu = {name: cuda.device(array.nbytes) for name, array in self._host.items()}
        for name, (shape, _) in shapes.items():
            if not context.set_input_shape(name, shape):
                raise EngineError(f"the plan takes no batch of {bucket}: {why()}")
        for name, address in self._gpu.items():
            context.set_tensor_address(name, address)
        size = int(context.update_device_memory_size_for_shapes())
        context.set_device_memory(cuda.device(size), size)
        for array in self._host.values():
            array.fill(0)
        self._work()  # once as it is: what is set up at the first run must not be captured
        cuda.wait()
        self._graph = cuda.capture(self._work) if capture else None

    def run(self, arrays: Mapping[str, NDArray[np.generic]], count: int) -> NDArray[np.uint8]:
        """Draw ``count`` pictures; the result is copied by the caller before the next run."""
        for name, array in arrays.items():
            self._host[name][:count] = array
            self._host[name][count:] = array[:1]
        self._start()
        self._cuda.wait()
        result: NDArray[np.uint8] = self._host[self._output][:count]
        return result

    def gpu_ms(self) -> float:
        return self._cuda.elapsed(self._start)

    def _start(self) -> None:
        if self._graph is None:
            self._work()
        else:
            self._cuda.launch(self._graph)

    def _work(self) -> None:
        for name, address in self._gpu.items():
            if name != self._output:
                self._cuda.upload(self._host[name], address)
        if not self._context.execute_async_v3(int(self._cuda.stream)):
            raise EngineLostError(f"the GPU does not run the plan: {self._why()}")
        self._cuda.download(self._gpu[self._output], self._host[self._output])
