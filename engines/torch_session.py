"""torch's drawer compiled for a device: narrowed, in CUDA graphs, a batch at a time. Needs torch when used."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE
from engines.contract import LayerTime
from engines.errors import EngineLostError
from engines.torch_profile import by_kernel, by_layer

if TYPE_CHECKING:
    from torch import nn

BUCKETS = (1, 2, 4, 8, 16)
"""Sizes of batch that are compiled; others are filled up, and larger ones run in parts."""
_GRAPHED = ("inductor", "graph")
GRAPHS = 256
"""Graphs of one network that a process compiles; beyond torch's own limit, 8, it would run the rest uncompiled."""


class CompiledSession:
    """One drawer, narrowed, on a device, compiled for each size of batch when it is first met."""

    def __init__(self, *, generator: Any, how: str, precision: str, device: str, device_name: str) -> None:
        """
        Args:
            generator: in eval mode, fp32; changed in place.
            how: ``inductor``, ``torch_tensorrt``, or ``eager`` or ``graph``, which compile nothing; on a GPU
                ``inductor`` and ``graph`` are run as one CUDA graph.
            precision: of the networks; what is around them stays fp32.
            device: as torch names it.
            device_name: in words.
        Raises:
            EngineLostError: out of GPU memory.
        """
        import torch

        from apdgan.drawer import PortraitDrawer

        self.name, self.device = f"{how} {precision}", device_name
        self._how = how
        self._place = torch.device(device)
        if precision == "fp32":
            torch.backends.cudnn.allow_tf32 = False  # fp32 is fp32
        self._failures = (RuntimeError, MemoryError)
        narrow(generator, precision)
        try:
            drawer: Any = PortraitDrawer(generator).eval()
            self._drawer: Any = drawer.to(self._place)
            for tensor in (*self._drawer.parameters(), *self._drawer.buffers()):
                if tensor.dim() == 4:  # grouped branches have others
                    tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
        except self._failures as error:
            raise EngineLostError(_reason(error)) from None
        self._lanes: dict[int, _Lane] = {}

    def run(self, arrays: Mapping[str, NDArray[np.generic]]) -> NDArray[np.uint8]:
        batch = len(arrays["photo"])
        out = np.empty((batch, SIZE, SIZE), dtype=np.uint8)
        for start in range(0, batch, BUCKETS[-1]):
            part = [arrays[name][start : start + BUCKETS[-1]] for name in ("photo", "boxes", "matte")]
            count = len(part[0])
            fill = next(bucket for bucket in BUCKETS if bucket >= count) - count
            try:
                out[start : start + count] = self._lane([_filled(array, fill) for array in part])[:count]
            except self._failures as error:
                raise EngineLostError(_reason(error)) from None
        return out

    def gpu_ms(self, batch: int) -> float | None:
        """What the GPU spends on a run of ``batch`` pictures, copies included, of a size that was met; None: no GPU."""
        return self._lanes[next(bucket for bucket in BUCKETS if bucket >= batch)].gpu_ms()

    def layers(self, batch: int, draws: int) -> list[LayerTime]:
        """By module of a drawer that is not compiled, by kernel of one that is; of a size that was met."""
        lane = self._lanes[next(bucket for bucket in BUCKETS if bucket >= batch)]
        cuda = self._place.type == "cuda"
        if self._how == "eager":
            return by_layer(lane.again, self._drawer, draws, cuda=cuda)
        return by_kernel(lane.again, draws, cuda=cuda)

    def close(self) -> None:
        """Everything back, to the GPU too."""
        import torch

        self._drawer = None
        self._lanes.clear()
        if self._place.type == "cuda":
            torch.cuda.empty_cache()

    def _lane(self, arrays: list[NDArray[np.generic]]) -> NDArray[np.uint8]:
        batch = len(arrays[0])
        if batch not in self._lanes:
            self._lanes[batch] = _Lane(self._drawer, self._how, self._place, arrays)
        return self._lanes[batch].run(arrays)


class _Lane:
    """One size of batch: the compiled drawer, on a GPU with pinned staging, a stream and (``_GRAPHED``) a CUDA graph.

    The graph is captured here and not by inductor, whose own graphs can be run by one thread of a process alone.
    """

    def __init__(self, drawer: Any, how: str, place: Any, example: list[NDArray[np.generic]]) -> None:
        import torch

        self._cuda = place.type == "cuda"
        self._host = [torch.from_numpy(array) for array in example]
        self._graph: Any = None
        if self._cuda:
            self._host = [tensor.pin_memory() for tensor in self._host]
            self._stream: Any = torch.cuda.Stream(place)  # type: ignore[no-untyped-call]
        self._inputs = [tensor.to(place) for tensor in self._host]
        self._draw = _compile(drawer, how, self._inputs)
        if not self._cuda:
            return
        torch.cuda.synchronize(place)
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            for _ in range(3):  # what is set up at the first runs must not be captured
                self._output = self._draw(*self._inputs)
            self._drawn = torch.empty(self._output.shape, dtype=torch.uint8, pin_memory=True)
        self._stream.synchronize()
        if how in _GRAPHED:
            graph = torch.cuda.CUDAGraph()
            with (
                torch.inference_mode(),
                torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"),
            ):
                self._output = self._draw(*self._inputs)
            self._graph = graph

    def run(self, arrays: list[NDArray[np.generic]]) -> NDArray[np.uint8]:
        """Good until the next run."""
        import torch

        if not self._cuda:
            with torch.inference_mode():
                result: NDArray[np.uint8] = self._draw(*map(torch.from_numpy, arrays)).numpy()
            return result
        for host, array in zip(self._host, arrays, strict=True):
            host.numpy()[:] = array
        self._start()
        self._stream.synchronize()
        drawn: NDArray[np.uint8] = self._drawn.numpy()
        return drawn

    def again(self) -> None:
        """One more run of what was drawn last."""
        import torch

        if self._cuda:
            self._start()
            self._stream.synchronize()
            return
        with torch.inference_mode():
            self._draw(*self._inputs)

    def gpu_ms(self) -> float | None:
        import torch

        if not self._cuda:
            return None
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        first.record(self._stream)
        self._start()
        last.record(self._stream)
        self._stream.synchronize()
        return float(first.elapsed_time(last))

    def _start(self) -> None:
        import torch

        with torch.inference_mode(), torch.cuda.stream(self._stream):
            for tensor, host in zip(self._inputs, self._host, strict=True):
                tensor.copy_(host, non_blocking=True)
            if self._graph is None:
                self._output = self._draw(*self._inputs)
            else:
                self._graph.replay()
            self._drawn.copy_(self._output, non_blocking=True)


def narrow(generator: nn.Module, precision: str) -> None:
    """Let every network of a generator compute in another precision, in place; masks, crops and joins stay fp32.

    Args:
        generator: its children take and give one tensor each.
        precision: fp32, fp16 or bf16.
    """
    import torch

    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    if dtype == torch.float32:
        return
    kind = _narrow_kind()
    for name, net in list(generator.named_children()):
        setattr(generator, name, kind(net, dtype))


@functools.cache
def _narrow_kind() -> Any:
    """The module that computes in another type than its input's and output's; one class, else each compiles anew."""
    import torch
    from torch import Tensor, nn

    class Narrow(nn.Module):
        def __init__(self, net: nn.Module, dtype: torch.dtype) -> None:
            super().__init__()
            self.net, self.dtype = net.to(dtype), dtype

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.net(x.to(self.dtype))
            return y.float()

    return Narrow


def _compile(drawer: Any, how: str, example: list[Any]) -> Any:
    import torch

    if how in ("eager", "graph"):
        return drawer
    if how == "torch_tensorrt":
        library = importlib.import_module("torch_tensorrt")
        return library.compile(drawer, ir="dynamo", inputs=example, use_explicit_typing=True, min_block_size=1)
    from torch._dynamo import config

    name = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    setattr(config, name, max(GRAPHS, getattr(config, name)))
    return torch.compile(drawer, dynamic=False, fullgraph=True)


def _filled(array: NDArray[np.generic], count: int) -> NDArray[np.generic]:
    return (
        np.require(array, requirements=["C", "W"])
        if count == 0
        else np.concatenate([array, np.repeat(array[:1], count, 0)])
    )


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "out of GPU memory; close what else uses the GPU, or choose a smaller model"
    return f"torch fails on the GPU ({_line(error)}); run nvidia-smi to see why"


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
