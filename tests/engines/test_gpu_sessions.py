"""A plan at work on a GPU made of ordinary memory: batches, graphs, memory, and every way that a GPU fails."""

from __future__ import annotations

import numpy as np
import pytest
from fake_cuda import Code, FakeRuntime, FakeTensorRt, expected
from tiny_models import MANIFEST, Inputs, part

from engines import EngineError, EngineLostError
from engines.contract import DrawingEngine, warm_up
from engines.cuda import Cuda
from engines.gpu import no_gpu
from engines.samples import synthetic
from engines.trt_session import TrtSession

LAUNCH, WAIT = "cudaGraphLaunch", "cudaStreamSynchronize"


def session(runtime: FakeRuntime, library: FakeTensorRt | None = None, most: int = 4) -> TrtSession:
    return TrtSession(
        library=library or FakeTensorRt(runtime),
        cuda=Cuda(runtime),
        blob=b"a plan",
        kind="drawing",
        name="tensorrt fp16",
        device="a GPU",
        most=most,
    )


@pytest.fixture(scope="module")
def eleven() -> Inputs:
    return synthetic("drawing", batch=11, seed=4)


def test_every_size_of_batch_is_drawn_as_its_pictures(eleven: Inputs) -> None:
    opened = session(FakeRuntime())
    wanted = expected(eleven)
    assert len(np.unique(wanted)) > 20
    for size in (1, 3, 2, 4, 5, 11, 1):
        assert np.array_equal(opened.run(part(eleven, 0, size)), wanted[:size]), size
    opened.close()


def test_a_drawing_is_not_overwritten_by_the_next(eleven: Inputs) -> None:
    opened = session(FakeRuntime())
    first = opened.run(part(eleven, 0, 1))
    kept = first.copy()
    opened.run(part(eleven, 1, 2))
    assert np.array_equal(first, kept)


def test_each_bucket_is_captured_once_and_its_copies_with_it(eleven: Inputs) -> None:
    runtime = FakeRuntime()
    opened = session(runtime)
    for size in (1, 3, 4, 3, 1):
        opened.run(part(eleven, 0, size))
    assert len(runtime.graphs) == 2, "buckets 1 and 4"
    outside = runtime.copies_outside_graphs
    launches = runtime.launches
    opened.run(part(eleven, 0, 3))
    assert (runtime.copies_outside_graphs, runtime.launches) == (outside, launches + 1)


def test_two_hundred_draws_take_no_more_memory_than_two() -> None:
    runtime = FakeRuntime()
    opened = session(runtime, most=2)
    inputs = synthetic("drawing", batch=2)
    opened.run(inputs)
    blocks, free = len(runtime.blocks), runtime.free
    small = {name: array[:1] for name, array in inputs.items()}
    for _ in range(100):
        opened.run(inputs)
        opened.run(small)
    assert (len(runtime.blocks), runtime.free) == (blocks, free)


def test_the_gpu_s_own_clock_is_read_and_leaves_nothing_behind() -> None:
    runtime = FakeRuntime()
    engine = DrawingEngine(session=session(runtime), manifest=MANIFEST)
    launches = runtime.launches
    assert engine.gpu_ms(1) == 0.75
    assert (runtime.launches, runtime.events) == (launches + 1, 0)
    engine.close()


@pytest.mark.parametrize("information", [None, "", "Layers", '{"Layers": ["conv 1"]}', "[]"])
def test_layers_are_timed_by_the_library_s_own_profiler(information: str | None) -> None:
    runtime = FakeRuntime()
    library = FakeTensorRt(runtime)
    library.information = library.information if information is None else information
    engine = DrawingEngine(session=session(runtime, library), manifest=MANIFEST)
    found = engine.layers(1, 4)
    assert found is not None
    assert [(one.name, one.ms, one.calls) for one in found] == [("crop", 1.5, 1.0), ("conv 1", 0.5, 1.0)]
    assert [one.what for one in found] == ["", "CaskConvolution sm89_x" if information is None else ""]
    assert len(runtime.graphs) == 1, "the lane that is timed is captured in no graph"
    engine.close()
    assert (runtime.free, runtime.blocks) == (runtime.total, {})


def test_closing_gives_everything_back_and_may_be_done_twice(eleven: Inputs) -> None:
    runtime = FakeRuntime()
    opened = session(runtime)
    opened.run(part(eleven, 0, 4))
    opened.close()
    opened.close()
    assert (runtime.free, runtime.blocks, runtime.streams, runtime.graphs) == (runtime.total, {}, 0, {})


def test_a_plan_that_the_library_does_not_take_is_one_line() -> None:
    runtime = FakeRuntime()
    library = FakeTensorRt(runtime, refuses="Serialization assertion failed:\n version tag mismatch")
    with pytest.raises(EngineError, match="fake_tensorrt does not take this plan: Serialization assertion failed: ver"):
        session(runtime, library)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (Code.cudaErrorMemoryAllocation, "out of GPU memory; close what else"),
        (Code.cudaErrorInsufficientDriver, "driver is too old for this CUDA runtime; update the driver"),
        (Code.cudaErrorNoDevice, "no GPU is left"),
    ],
)
def test_a_gpu_that_cannot_be_opened_says_what_to_do(code: Code, words: str) -> None:
    runtime = FakeRuntime()
    runtime.failing["cudaStreamCreateWithFlags"] = code
    with pytest.raises(EngineError, match=words) as caught:
        Cuda(runtime)
    assert not isinstance(caught.value, EngineLostError)


def test_too_little_memory_for_the_model_is_said_and_given_back() -> None:
    runtime = FakeRuntime(memory=10_000_000)
    cuda = Cuda(runtime)
    with pytest.raises(EngineLostError, match="out of GPU memory; close what else uses the GPU, or choose a smaller"):
        TrtSession(
            library=FakeTensorRt(runtime, scratch=20_000_000),
            cuda=cuda,
            blob=b"a plan",
            kind="drawing",
            name="n",
            device="d",
            most=4,
        )
    cuda.close()
    assert (runtime.free, runtime.blocks) == (runtime.total, {})


@pytest.mark.parametrize(
    ("call", "code", "words"),
    [
        (LAUNCH, Code.cudaErrorMemoryAllocation, "out of GPU memory"),
        (WAIT, Code.cudaErrorLaunchFailure, "a kernel failed on the GPU"),
        (WAIT, Code.cudaErrorNoDevice, "no GPU is left"),
        (WAIT, Code.cudaErrorUnknown, "the GPU does not answer; run nvidia-smi"),
    ],
)
def test_what_breaks_in_the_middle_is_told_as_lost_and_can_still_be_closed(call: str, code: Code, words: str) -> None:
    runtime = FakeRuntime()
    engine = DrawingEngine(session=session(runtime), manifest=MANIFEST)
    warm_up(engine)
    runtime.failing[call] = code
    with pytest.raises(EngineLostError, match=words):
        warm_up(engine)
    engine.close()
    assert runtime.blocks == {}


def test_a_larger_batch_that_finds_no_room_is_told_as_lost() -> None:
    runtime = FakeRuntime()
    opened = session(runtime)
    runtime.free = 1000
    with pytest.raises(EngineLostError, match="out of GPU memory"):
        opened.run(synthetic("drawing", batch=4))


def test_a_plan_that_does_not_run_is_told_as_lost_and_leaves_no_capture_open() -> None:
    runtime = FakeRuntime()
    library = FakeTensorRt(runtime)
    opened = session(runtime, library)
    library.runs = False
    with pytest.raises(EngineLostError, match="the GPU does not run the plan"):
        opened.run(synthetic("drawing", batch=2))

    def breaks() -> None:
        raise EngineLostError("in the middle of a capture")

    cuda = Cuda(runtime)
    with pytest.raises(EngineLostError, match="in the middle"):
        cuda.capture(breaks)
    done: list[int] = []
    runtime.enqueue(lambda: done.append(1))
    assert done == [1], "the stream is not left in capture"


class Both:
    """A runtime of ordinary memory whose every call is made to the real library too, which without a driver answers
    that there is none, once it has taken the arguments."""

    def __init__(self) -> None:
        self.real = pytest.importorskip("cuda.bindings.runtime", reason="needs cuda-bindings (extra gpu-rtx)")
        self.fake = FakeRuntime()
        self.made: set[str] = set()
        self.cudaMemcpyKind = self.real.cudaMemcpyKind
        self.cudaStreamCaptureMode = self.real.cudaStreamCaptureMode

    def __getattr__(self, name: str):  # type: ignore[no-untyped-def]
        real, fake = getattr(self.real, name), getattr(self.fake, name)

        def call(*given: object) -> object:
            self.made.add(name)
            answer = real(*(None if isinstance(one, list) else one for one in given))  # a graph of the fake is a list
            assert int(answer[0]) == Code.cudaErrorInsufficientDriver, name
            told = fake(*given)
            assert len(answer) == len(told), name
            return told

        return call


def test_the_real_cuda_runtime_takes_every_call_as_it_is_made(eleven: Inputs) -> None:
    """Names, numbers and types of arguments, and how many values come back."""
    if no_gpu() is None:
        pytest.skip("a driver is here: the real calls would do something")
    runtime = Both()
    opened = TrtSession(
        library=FakeTensorRt(runtime.fake),
        cuda=Cuda(runtime),
        blob=b"a plan",
        kind="drawing",
        name="tensorrt fp16",
        device="a GPU",
        most=4,
    )
    assert np.array_equal(opened.run(part(eleven, 0, 3)), expected(eleven)[:3])
    opened.gpu_ms(3)
    opened._cuda.memory()
    opened.close()
    assert {name for name in dir(FakeRuntime) if name.startswith("cuda")} - {
        "cudaGetLastError",
        "cudaMemcpyKind",
        "cudaStreamCaptureMode",
    } == runtime.made
