"""The live program's own threads, fed by a recording: what drawing adds to a frame's age.

Frames come at the times at which they were recorded and are decoded then; landmarks, squares and mattes are those of
the recording. What draws, steadies and composes is the live program's. The same is run with an engine that takes no
time, and the difference of both is what the drawing adds.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import engines
from apdgan.alignment import SIZE
from benchmarks.recording import Moment
from realtime.compositor import Compositor
from realtime.controls import Controls
from realtime.core import Face, Frame, Portrait, SourceInfo
from realtime.pacer import Pacer
from realtime.smoothing import make_smoother
from realtime.stream import Stream
from realtime.stylizer import Stylizer
from realtime.timing import Stats


def play(found: Sequence[Moment], engine: engines.Engine, seconds: float) -> dict[str, Any]:
    """What :meth:`realtime.timing.Stats.as_dict` tells of a live run through at most ``seconds`` of it."""
    stats = Stats(engine=engine.name, device=engine.device)
    played = _Played(found, seconds)
    stylizer = Stylizer(
        tracker=played,
        aligner=played,  # type: ignore[arg-type]
        engine=engine,
        make_smoother=make_smoother,
        compositor=Compositor(),
        controls=(controls := Controls()),
    )
    engine.draw(found[0].photo[None], found[0].boxes[None], found[0].matte[None])
    with stylizer:
        Stream(source=played, stylizer=stylizer, sinks=[_Nowhere()], stats=stats, controls=controls).run()
    return stats.as_dict()


def added(found: Sequence[Moment], engine: engines.Engine, nothing: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Figures of one engine, ms; ``nothing`` is what :func:`play` told of :class:`Nothing`."""
    told = play(found, engine, seconds)
    draw, age, bare = told["stages_ms"]["draw"], told["age_ms"], nothing["age_ms"]
    return {
        "draw_ms_p50": draw["p50"],
        "draw_ms_p95": draw["p95"],
        "age_ms_p50": age["p50"],
        "age_ms_p95": age["p95"],
        "added_ms_p50": round(age["p50"] - bare["p50"], 2),
        "added_ms_p95": round(age["p95"] - bare["p95"], 2),
        "fps": told["fps"],
        "frames": told["frames_out"],
        "dropped": told["dropped"],
    }


class Nothing:
    """An engine that has drawn already, as if it took no time: the same page with a face's worth of ink on it."""

    name, device = "nothing", "nothing"
    manifest: Any = None

    def __init__(self, drawing: NDArray[np.uint8]) -> None:
        """``drawing``: (512, 512) uint8, what it gives for every portrait."""
        assert drawing.shape == (SIZE, SIZE)
        self._drawing = drawing

    def draw(self, photo: NDArray[np.uint8], boxes: NDArray[np.int32], matte: NDArray[np.uint8]) -> NDArray[np.uint8]:
        del boxes, matte
        return np.repeat(self._drawing[None], len(photo), axis=0)

    def close(self) -> None: ...

    def __enter__(self) -> Nothing:
        return self

    def __exit__(self, *_what: object) -> None: ...


class _Played:
    """Source, tracker and aligner of a recording."""

    def __init__(self, found: Sequence[Moment], seconds: float) -> None:
        self._found = [one for one in found if one.time < seconds]
        self._pacer = Pacer()
        height, width = found[0].image().shape[:2]
        span = self._found[-1].time
        fps = (len(self._found) - 1) / span if span > 0 else 30.0
        self.info = SourceInfo(name="recording", live=True, width=width, height=height, fps=fps)

    def __iter__(self) -> Iterator[Frame]:
        for index, one in enumerate(self._found):
            if not self._pacer.wait(one.time):
                return
            image = one.image()
            yield Frame(image=image, index=index, captured=time.monotonic())

    def track(self, frame: Frame) -> list[Face]:
        return [self._found[frame.index].face()]

    def align(self, frame: Frame, faces: Sequence[Face], *, time: float | None = None) -> list[Portrait]:
        del time
        return [self._found[frame.index].portrait(face.id) for face in faces]

    def close(self) -> None:
        self._pacer.stop()


class _Nowhere:
    """Takes every frame at once."""

    def send(self, frame: Frame) -> None: ...

    def close(self) -> None: ...
