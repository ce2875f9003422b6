"""A live run whose engine breaks in the middle: every frame is delivered, and the figures say what happened."""

from __future__ import annotations

import numpy as np
import pytest

import engines
from engines import EngineLostError, StandbyEngine
from realtime.config import StreamConfig
from realtime.timing import Stats
from realtime.wiring import build


class BreaksAfter:
    """A real engine that is lost at its n-th picture, as a GPU is that falls off the bus."""

    def __init__(self, engine, pictures: int) -> None:
        self._engine = engine
        self._left = pictures
        self.name, self.device, self.manifest = "tensorrt fp16", "a GPU", engine.manifest

    def draw(self, photo, boxes, matte):
        if self._left == 0:
            raise EngineLostError("no GPU is left; check the power and the cable, then start again")
        self._left -= 1
        drawn: np.ndarray = self._engine.draw(photo, boxes, matte)
        return drawn

    def close(self) -> None:
        self._engine.close()

    def __enter__(self):
        return self

    def __exit__(self, *_exc) -> None:
        self.close()


def test_a_gpu_that_disappears_costs_no_frame_and_is_seen_in_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    real = engines.load

    def load_live(model, backend="auto", *, threads=None, log=None, wait=False):
        assert not wait, "a live stream does not wait"
        gpu = BreaksAfter(real(model, backend, threads=threads), 3)
        return StandbyEngine(
            first=gpu, manifest=gpu.manifest, spare=lambda: real(model, threads=threads, log=log), say=log
        )

    monkeypatch.setattr(engines, "load_live", load_live)
    said: list[str] = []
    config = StreamConfig(source="demo", sink=("null",), live=True, frames=12)
    with build(config, say=said.append) as program:
        program.run()
    figures = program.stats.as_dict()
    assert figures["frames_out"] == 12
    (change,) = figures["engine_changes"]
    assert change["why"].startswith("tensorrt fp16 broke: no GPU is left; check the power")
    assert figures["engine"].startswith("openvino")
    assert "engine changed to openvino" in program.stats.table()
    assert "broke" in str(program.controls.status["message"])
    assert any("tensorrt fp16 broke" in line for line in said)


def test_a_run_whose_engine_stays_says_nothing_of_changes() -> None:
    stats = Stats(engine="openvino fp32", device="CPU")
    assert stats.as_dict()["engine_changes"] == []
    assert "changed" not in stats.table()
    for i in range(100):
        stats.switched(f"engine {i}", "GPU", "a test")
    assert len(stats.as_dict()["engine_changes"]) == 16
    assert stats.recent()["engine"] == "engine 99"
