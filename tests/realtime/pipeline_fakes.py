"""Fakes of the pipeline's parts: small, exact, without a camera, a network or a clock of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import TEMPLATE
from realtime.aligner import Aligner
from realtime.compositor import Compositor
from realtime.controls import Controls
from realtime.core import Drawing, Face, Frame, SourceInfo, Tracker
from realtime.stylizer import Stylizer
from realtime.trackers.scripted import ScriptedTracker


def picture(index: int, *, width: int = 320, height: int = 240, level: int | None = None) -> Frame:
    """A frame without white, at 25 frames a second."""
    grey = 40 + index % 100 if level is None else level
    image = np.full((height, width, 3), grey, np.uint8)
    return Frame(image=image, index=index, captured=time.monotonic(), pts=Fraction(index, 25))


def scene(index: int, *, seed: int, width: int = 320, height: int = 240) -> Frame:
    """A frame of a scene: another seed is another scene."""
    blocks = np.random.default_rng(seed).integers(0, 200, (6, 8, 3), dtype=np.uint8)
    image = np.kron(blocks, np.ones((height // 6, width // 8, 1), np.uint8))
    return Frame(image=image, index=index, captured=time.monotonic(), pts=Fraction(index, 25))


def face(face_id: int = 0, *, x: float = 160, y: float = 120, size: float = 128) -> Face:
    """A face that lies on the template, in a square of ``size`` frame pixels around (x, y)."""
    landmarks = (TEMPLATE - 256) * (size / 512) + (x, y)
    return Face(id=face_id, landmarks=landmarks.astype(np.float32), confidence=1.0)


class FakeEngine:
    """Draws a black frame of 100 px around the square, and remembers what it was given."""

    name = "fake"
    device = "none"

    def __init__(self, *, fail_at: int | None = None, seconds: float = 0.0) -> None:
        self.batches: list[int] = []
        self.boxes: list[NDArray[np.int32]] = []
        self._fail_at = fail_at
        self._seconds = seconds

    def draw(self, photo: NDArray[np.uint8], boxes: NDArray[np.int32], matte: NDArray[np.uint8]) -> NDArray[np.uint8]:
        assert photo.dtype == matte.dtype == np.uint8
        assert boxes.dtype == np.int32
        if len(self.batches) == self._fail_at:
            raise RuntimeError("the engine broke")
        self.batches.append(len(photo))
        self.boxes.append(boxes)
        time.sleep(self._seconds)
        ink = np.zeros(photo.shape[:3], np.uint8)
        ink[:, 100:-100, 100:-100] = 255
        return ink

    def close(self) -> None:
        pass


class PlainSmoother:
    """Changes nothing; counts."""

    made = 0

    def __init__(self) -> None:
        PlainSmoother.made += 1

    def smooth(self, drawing: Drawing, strength: float) -> Drawing:
        assert 0 <= strength <= 1
        return drawing


class FakeSource:
    """Gives frames, and then raises if told to."""

    def __init__(
        self, frames: Iterable[Frame], *, live: bool = False, error: Exception | None = None, pause: float = 0.0
    ) -> None:
        self._frames = frames
        self._error = error
        self._pause = pause
        self.closed = threading.Event()
        self.info = SourceInfo(name="fake", live=live, width=320, height=240, fps=25.0)

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames:
            if self._pause:
                time.sleep(self._pause)
            yield frame
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        self.closed.set()


class ListSink:
    """Keeps what it receives."""

    def __init__(self, *, on_send: Callable[[Frame], None] | None = None) -> None:
        self.frames: list[Frame] = []
        self.threads: set[str] = set()
        self.closed = 0
        self._on_send = on_send

    def send(self, frame: Frame) -> None:
        self.threads.add(threading.current_thread().name)
        self.frames.append(frame)
        if self._on_send is not None:
            self._on_send(frame)

    def close(self) -> None:
        self.closed += 1


def stylizer(
    faces: Sequence[Sequence[Face]] | Callable[[int], Sequence[Face]],
    *,
    engine: FakeEngine | None = None,
    controls: Controls | None = None,
    tracker: Tracker | None = None,
    size: tuple[int, int] | None = None,
) -> Stylizer:
    """A stylizer of fakes around the real aligner and compositor."""
    return Stylizer(
        tracker=tracker or ScriptedTracker(faces=faces),
        aligner=Aligner(matter=None),
        engine=engine or FakeEngine(),
        make_smoother=PlainSmoother,
        compositor=Compositor(size=size),
        controls=controls or Controls(layout="inplace"),
    )


def is_paper(frame: Frame) -> bool:
    return bool((frame.image == 255).all())
