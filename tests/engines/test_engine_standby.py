"""The stream goes on: what is ready draws, what is better takes over between two pictures, what breaks is replaced."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_models import MANIFEST, Inputs, draw, part

import engines
from engines import EngineError, EngineLostError
from engines.contract import BLANK_BOXES
from engines.standby import StandbyEngine, load_live

PHOTO = np.full((1, 512, 512, 3), 255, np.uint8)
MATTE = np.full((1, 512, 512), 255, np.uint8)


class Fake:
    """Draws one grey; ``breaks``: what it raises from then on."""

    manifest = MANIFEST

    def __init__(self, name: str, grey: int) -> None:
        self.name, self.device = name, f"device of {name}"
        self._grey = grey
        self.breaks: BaseException | None = None
        self.closed = 0
        self.draws = 0

    def draw(self, photo, boxes, matte):
        del boxes, matte
        self.draws += 1
        if self.breaks is not None:
            raise self.breaks
        return np.full((len(photo), 512, 512), self._grey, np.uint8)

    def close(self) -> None:
        self.closed += 1

    def __enter__(self):
        return self

    def __exit__(self, *_exc) -> None:
        self.close()


def grey(engine) -> int:
    return int(engine.draw(PHOTO, BLANK_BOXES, MATTE)[0, 0, 0])


def until(condition) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.005)


def built(engine: StandbyEngine) -> None:
    until(lambda: not engine.building)


def raises(error: BaseException):
    def opener():
        raise error

    return opener


def test_the_cpu_draws_while_the_gpu_is_built_and_hands_over_between_two_pictures() -> None:
    cpu, gpu = Fake("cpu", 1), Fake("tensorrt fp16", 2)
    go = threading.Event()

    def slow() -> Fake:
        assert go.wait(20)
        return gpu

    said: list[str] = []
    engine = StandbyEngine(first=cpu, manifest=MANIFEST, better=[("tensorrt", slow)], say=said.append)
    assert [grey(engine) for _ in range(3)] == [1, 1, 1]
    assert (engine.name, engine.device) == ("cpu", "device of cpu")
    go.set()
    built(engine)
    assert [grey(engine) for _ in range(2)] == [2, 2]
    assert (engine.name, engine.device) == ("tensorrt fp16", "device of tensorrt fp16")
    assert said == ["engine: now tensorrt fp16 on device of tensorrt fp16 (it is built)"]
    assert cpu.closed == 0, "it is the spare"
    engine.close()
    assert (cpu.closed, gpu.closed) == (1, 1)


def test_what_does_not_open_is_passed_over_with_the_reason() -> None:
    last = Fake("inductor fp16", 3)
    better = [
        ("tensorrt", raises(EngineError("engine tensorrt: not installed; pip install tensorrt-cu13"))),
        ("tensorrt_rtx", raises(RuntimeError("a loader's own kind of error"))),
        ("inductor", lambda: last),
    ]
    said: list[str] = []
    engine = StandbyEngine(first=Fake("cpu", 1), manifest=MANIFEST, better=better, say=said.append)
    built(engine)
    assert grey(engine) == 3
    assert said[0] == "engine: tensorrt passed over: not installed; pip install tensorrt-cu13"
    assert said[1] == "engine: tensorrt_rtx passed over: RuntimeError: a loader's own kind of error"
    engine.close()


FAULTS = [
    EngineLostError("out of GPU memory; close what else uses the GPU"),
    EngineLostError("no GPU is left; check the power and the cable"),
    RuntimeError("CUDA error: unspecified launch failure\nmore of it"),
    MemoryError(),
    OSError(5, "Input/output error"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__ + str(fault)[:8])
def test_a_picture_at_which_the_gpu_breaks_is_drawn_by_the_spare(fault: BaseException) -> None:
    cpu, gpu = Fake("cpu", 1), Fake("tensorrt fp16", 2)
    said: list[str] = []
    switches: list[tuple[str, str, str]] = []
    engine = StandbyEngine(first=cpu, manifest=MANIFEST, better=[("tensorrt", lambda: gpu)], say=said.append)
    built(engine)
    assert grey(engine) == 2
    engine.watch(lambda *switch: switches.append(switch))
    gpu.breaks = fault
    assert [grey(engine) for _ in range(3)] == [1, 1, 1], "no picture is lost"
    assert gpu.draws == 2, "what broke is not asked again"
    assert gpu.closed == 1
    reason = (str(fault).splitlines() or [type(fault).__name__])[0]
    assert f"engine: tensorrt fp16 broke: {reason}" in said
    assert switches[-1] == ("cpu", "device of cpu", f"tensorrt fp16 broke: {reason}")
    engine.close()


def test_the_next_better_engine_is_tried_when_one_breaks() -> None:
    cpu, first, second = Fake("cpu", 1), Fake("tensorrt", 2), Fake("inductor", 3)
    better = [("tensorrt", lambda: first), ("inductor", lambda: second)]
    engine = StandbyEngine(first=cpu, manifest=MANIFEST, better=better, say=lambda _line: None)
    built(engine)
    assert grey(engine) == 2
    first.breaks = EngineLostError("gone")
    assert grey(engine) == 1
    built(engine)
    assert grey(engine) == 3
    second.breaks = EngineLostError("gone too")
    assert [grey(engine) for _ in range(2)] == [1, 1]
    engine.close()


def test_a_broken_engine_that_cannot_even_be_closed_stops_nothing() -> None:
    gpu = Fake("tensorrt", 2)
    gpu.close = raises(RuntimeError("the context is destroyed"))  # type: ignore[method-assign]
    said: list[str] = []
    engine = StandbyEngine(first=gpu, manifest=MANIFEST, spare=lambda: Fake("cpu", 1), say=said.append)
    gpu.breaks = EngineLostError("gone")
    assert grey(engine) == 1
    assert "engine: tensorrt does not close (RuntimeError)" in said
    engine.close()


def test_when_the_spare_breaks_too_the_error_is_the_callers() -> None:
    cpu = Fake("cpu", 1)
    engine = StandbyEngine(first=cpu, manifest=MANIFEST, say=lambda _line: None)
    cpu.breaks = RuntimeError("the CPU too")
    with pytest.raises(RuntimeError, match="the CPU too"):
        grey(engine)
    engine.close()


def test_a_mistake_of_the_caller_breaks_no_engine() -> None:
    gpu = Fake("tensorrt", 2)
    engine = StandbyEngine(first=gpu, manifest=MANIFEST, spare=lambda: Fake("cpu", 1), say=lambda _line: None)
    gpu.breaks = ValueError("photo: expected uint8")
    with pytest.raises(ValueError, match="expected uint8"):
        grey(engine)
    gpu.breaks = None
    assert grey(engine) == 2
    engine.close()


def test_closing_during_a_build_closes_what_comes_of_it() -> None:
    go, gpu = threading.Event(), Fake("tensorrt", 2)

    def slow() -> Fake:
        assert go.wait(20)
        return gpu

    engine = StandbyEngine(first=Fake("cpu", 1), manifest=MANIFEST, better=[("tensorrt", slow)], say=lambda _line: None)
    closing = threading.Thread(target=engine.close)
    closing.start()
    until(lambda: engine._closed)
    go.set()
    closing.join(20)
    assert gpu.closed == 1
    with pytest.raises(ValueError, match="closed; load it again"):
        grey(engine)


def test_a_change_before_anybody_watched_is_told_at_once() -> None:
    engine = StandbyEngine(
        first=Fake("cpu", 1), manifest=MANIFEST, better=[("t", lambda: Fake("t", 2))], say=lambda _line: None
    )
    built(engine)
    grey(engine)
    switches: list[tuple[str, str, str]] = []
    engine.watch(lambda *switch: switches.append(switch))
    assert switches == [("t", "device of t", "it is built")]
    engine.close()


# -- with real engines on the CPU, and a GPU that is only claimed ------------------------------------------------------


def claim_a_gpu(monkeypatch: pytest.MonkeyPatch, gpu: Fake) -> None:
    """``auto`` believes in a GPU; its engine is a fake, everything else is real."""
    real = engines.choose.load

    def load(model, backend="auto", **how):
        return gpu if backend == "tensorrt" else real(model, backend, **how)

    monkeypatch.setattr("engines.choose.no_gpu", lambda: None)
    monkeypatch.setattr("engines.standby.load", load)


def test_without_a_gpu_a_live_stream_has_a_plain_engine(tiny: Path) -> None:
    with load_live(tiny) as engine:
        assert not isinstance(engine, StandbyEngine)
        assert engine.name.startswith("openvino")


def test_a_light_model_is_its_own_spare_and_draws_the_same_before_and_after(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, five: Inputs
) -> None:
    gpu = Fake("tensorrt fp16", 77)
    claim_a_gpu(monkeypatch, gpu)
    with engines.load(tiny) as alone:
        wanted = draw(alone, part(five, 0, 1))
    said: list[str] = []
    with load_live(tiny, log=said.append) as engine:
        assert isinstance(engine, StandbyEngine)
        assert engine.manifest == MANIFEST
        built(engine)
        assert (draw(engine, part(five, 0, 1)) == 77).all()
        gpu.breaks = EngineLostError("no GPU is left")
        assert np.array_equal(draw(engine, part(five, 0, 1)), wanted)
    assert any("openvino" in line for line in said)


def test_a_heavy_model_waits_behind_the_default_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from tiny_models import tiny_graph, write

    path = write(tmp_path / "heavy.onnx", tiny_graph("drawing"), dataclasses.replace(MANIFEST, gmac=87.7))
    claim_a_gpu(monkeypatch, Fake("tensorrt fp16", 77))
    said: list[str] = []
    with load_live(path, log=said.append) as engine:
        assert "model lite.onnx" in said[0]
        assert engine.manifest.gmac == 87.7
    assert engine is not None


def test_an_engine_that_was_asked_for_and_breaks_is_replaced_and_said(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Fake("tensorrt fp16", 77)
    claim_a_gpu(monkeypatch, gpu)
    said: list[str] = []
    with load_live(tiny, "tensorrt", log=said.append) as engine:
        assert (draw_white(engine) == 77).all()
        gpu.breaks = EngineLostError("out of GPU memory; close what else uses the GPU")
        assert not (draw_white(engine) == 77).all()
        assert engine.name.startswith("openvino")
    assert any("broke: out of GPU memory; close" in line for line in said)


def test_a_clip_waits_for_the_gpu_and_its_first_picture_is_drawn_there(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = Fake("tensorrt fp16", 77)
    claim_a_gpu(monkeypatch, gpu)
    monkeypatch.setattr("engines.standby.load", lambda *_args, **_how: gpu)
    with load_live(tiny, wait=True) as engine:
        assert isinstance(engine, StandbyEngine)
        assert (draw_white(engine) == 77).all()
    gpu.name = "openvino fp32"
    with load_live(tiny, wait=True) as engine:
        assert engine is gpu, "a CPU's engine needs no spare"


def draw_white(engine):
    return engine.draw(PHOTO, BLANK_BOXES, MATTE)
