"""While a plan is built it is said why and how far it is: a bar, lines in a log, or a note behind a stream."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import engines
from engines import EngineError, catalogue
from engines.backends.trt import VARIANTS
from engines.building import BackgroundBuilding, Building
from engines.gpu import Gpu
from engines.standby import StandbyEngine, load_live
from engines.trt_builder import Built, Phases

RTX = VARIANTS["tensorrt_rtx"]
GPU = Gpu(name="a GPU", compute_capability=(8, 9), memory=1 << 34, cuda=(13, 0))
SHARES = (0.1, 0.3, 0.31, 0.6, 0.99, 1.0)
LINES = ["net.plan: 30% built", "net.plan: 60% built", "net.plan: 99% built"]


def test_a_terminal_sees_a_bar_and_why() -> None:
    out, said = io.StringIO(), []
    console = Console(file=out, force_terminal=True, width=120)
    with Building(said.append, console=console).of("net.plan", "built by version [1.4]") as progress:
        for share in SHARES:
            progress(share)
    assert "building net.plan, built by version [1.4]" in out.getvalue()
    assert "100%" in out.getvalue()
    assert said == []


def test_a_log_gets_a_line_at_every_quarter() -> None:
    out, said = io.StringIO(), []
    with Building(said.append, console=Console(file=out)).of("net.plan", "there is none yet") as progress:
        for share in SHARES:
            progress(share)
    assert said == LINES
    assert out.getvalue() == ""


def test_behind_a_stream_it_is_noted_and_forgotten_also_when_it_fails() -> None:
    said: list[str] = []
    building = BackgroundBuilding(said.append)
    assert building.now is None

    def build() -> None:
        with building.of("net.plan", "there is none yet") as progress:
            assert building.now == ("net.plan", 0.0)
            for share in SHARES:
                progress(share)
                assert building.now == ("net.plan", share)
            raise EngineError("out of memory")

    with pytest.raises(EngineError):
        build()
    assert building.now is None
    assert said == LINES


@pytest.mark.skipif(RTX.missing() is not None, reason="needs the TensorRT-RTX wheels (extra gpu-rtx)")
def test_the_library_tells_how_far_it_is() -> None:
    path = catalogue.MODELS / "lite.onnx"
    shares: list[float] = []
    built = RTX.build(path, key=RTX.key(path, "fp16", compute_capability="8.9"), progress=shares.append)
    assert len(built.blob) > 1_000_000
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.5
    assert shares[-1] == 1
    assert len(set(shares)) >= 3


def test_phases_within_phases_are_one_share_that_never_goes_back() -> None:
    shares: list[float] = []
    phases = Phases(shares.append)
    phases.start("all", None, 2)
    phases.start("tactics", "all", 4)
    phases.start("nodes", "tactics", 5)
    for step in range(5):
        phases.step("nodes", step)
    phases.finish("nodes")
    for step in range(4):
        phases.step("tactics", step)
    phases.finish("tactics")
    phases.step("all", 0)
    phases.step("gone", 3)
    phases.finish("gone")
    phases.finish("all")
    assert shares == pytest.approx([0.025, 0.05, 0.075, 0.1, 0.125, 0.25, 0.375, 0.5, 1.0])


class Session:
    name, device = "tensorrt_rtx fp16", "a GPU"

    def run(self, arrays):
        return np.full((len(arrays["photo"]), 512, 512), 9, np.uint8)

    def close(self) -> None: ...


@pytest.fixture
def steps(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[threading.Event]:
    """A GPU that is only claimed; a build stops at each quarter until the next of these is set."""
    del tiny
    events = [threading.Event() for _ in SHARES]

    def build(self, path, *, key, progress=None) -> Built:
        del self, path, key
        for share, event in zip(SHARES, events, strict=True):
            progress(share)
            assert event.wait(30)
        return Built(blob=b"a plan", layers=(), warnings=())

    monkeypatch.setenv("APDRAWING_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("engines.backends.trt.TensorRt.build", build)
    monkeypatch.setattr("engines.backends.trt.TensorRt.bindings", lambda _self: Library)
    monkeypatch.setattr("engines.backends.trt.TensorRt._session", lambda *_what: Session())
    monkeypatch.setattr("engines.backends.trt.cuda_runtime.probe", lambda: None)
    monkeypatch.setattr("engines.backends.trt.find_gpu", lambda: GPU)
    for place in ("backends.trt", "choose"):
        monkeypatch.setattr(f"engines.{place}.no_gpu", lambda: None)
    monkeypatch.setattr("engines.choose.GPU", ("tensorrt_rtx",))
    return events


class Library:
    __version__ = "1.5"


def test_who_waits_for_a_plan_is_told_in_the_log(tiny: Path, steps: list[threading.Event]) -> None:
    for event in steps:
        event.set()
    said: list[str] = []
    with engines.load(tiny, "tensorrt_rtx", log=said.append):
        pass
    name = f"{tiny.stem}-tensorrt_rtx-fp16.plan"
    assert said[0] == f"plan {name}: there is none yet; building it"
    assert said[1:4] == [line.replace("net.plan", name) for line in LINES]
    assert said[4].startswith("engine: tensorrt_rtx fp16 on a GPU")


def test_a_live_stream_knows_how_far_its_better_engine_is(tiny: Path, steps: list[threading.Event]) -> None:
    said: list[str] = []
    with load_live(tiny, log=said.append) as engine:
        assert isinstance(engine, StandbyEngine)
        name = f"{tiny.stem}-tensorrt_rtx-fp16.plan"
        for share, event in zip(SHARES, steps, strict=True):
            until(lambda share=share: engine.build == (name, share))
            event.set()
        until(lambda: not engine.building)
        assert engine.build is None
    assert [line for line in said if "built" in line][:3] == [line.replace("net.plan", name) for line in LINES]


def until(true) -> None:
    for _ in range(3000):
        if true():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not come to that")
