"""A control that is turned while the stream runs shows within two frames, and no frame is lost by it."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pipeline_fakes import FakeEngine, FakeSource, ListSink, face, scene

from realtime.aligner import Aligner
from realtime.compositor import Compositor
from realtime.controls import LAYOUTS, Controls
from realtime.core import Frame
from realtime.sinks.window import WindowSink
from realtime.smoothing import make_smoother
from realtime.stream import Stream
from realtime.stylizer import Stylizer
from realtime.timing import Stats
from realtime.trackers.scripted import ScriptedTracker

COUNT, TURNED = 11, 5
"""Frames of a run, and the one at whose delivery the control is turned."""
Turn = Callable[[Controls], object]
Begin = tuple[tuple[str, Any], ...]


class Sketch(FakeEngine):
    """Draws strokes without symmetry, one up to the side; the other trembles by some pixels from frame to frame."""

    def draw(self, photo: NDArray[np.uint8], boxes: NDArray[np.int32], matte: NDArray[np.uint8]) -> NDArray[np.uint8]:
        ink = super().draw(photo, boxes, matte)
        ink[:] = 255
        ink[:, 120:140, :380] = 0
        left = 300 + 3 * (len(self.batches) % 2)
        ink[:, 200:430, left : left + 8] = 0
        return ink


class Gui:
    """A desktop on which one key is pressed, when frame :data:`TURNED` is shown."""

    def __init__(self, key: str) -> None:
        self._key, self.shown = key, [np.zeros((1, 1, 3), np.uint8)] * 0

    def imshow(self, _name: str, image: NDArray[np.uint8]) -> None:
        self.shown.append(image)

    def waitKeyEx(self, _delay: int) -> int:  # noqa: N802
        key, self._key = (self._key, "") if self._key and len(self.shown) > TURNED else ("", self._key)
        return ord(key) if key else -1

    def getWindowProperty(self, _name: str, _prop: int) -> float:  # noqa: N802
        return 1.0

    def __getattr__(self, _name: str) -> Callable[..., None]:
        return lambda *_: None


def run(controls: Controls, turn: Turn | None, *, in_step: bool, live: bool = False, **options: Any) -> list[Frame]:
    """The frames that were delivered. ``in_step``: the camera is slower than all that follows it."""
    delivered = threading.Semaphore(0)

    def frames() -> Iterator[Frame]:
        for index in range(COUNT):
            yield scene(index, seed=1)
            if in_step:
                assert delivered.acquire(timeout=60)

    def on_send(frame: Frame) -> None:
        if frame.index == TURNED and turn is not None:
            turn(controls)
        delivered.release()

    sink = ListSink(on_send=on_send)
    core = Stylizer(
        tracker=ScriptedTracker(faces=lambda _: [face(x=130)]),
        aligner=Aligner(matter=None),
        engine=Sketch(),
        make_smoother=make_smoother,
        compositor=Compositor(size=(320, 240)),
        controls=controls,
    )
    sinks = [*options.pop("before", ()), sink]
    source = FakeSource(frames(), live=live)
    Stream(source=source, stylizer=core, sinks=sinks, stats=Stats(), controls=controls, **options).run()
    return sink.frames


@functools.cache
def untouched(begin: Begin) -> list[Frame]:
    return run(Controls(**dict(begin)), None, in_step=True)


def first_change(frames: list[Frame], begin: Begin) -> int:
    """Index of the first frame that is not what it is when nothing is turned."""
    pairs = zip(frames, untouched(begin), strict=True)
    return next((a.index for a, b in pairs if seen(a) != seen(b)), COUNT)


def seen(frame: Frame) -> tuple[object, ...]:
    assert frame.ink is not None
    return frame.image.tobytes(), frame.ink.transparent


def settings(**values: Any) -> Turn:
    return lambda controls: [setattr(controls, name, value) for name, value in values.items()]


COMPOSED: dict[str, tuple[Begin, Turn]] = {
    **{f"to {layout}": ((), settings(layout=layout)) for layout in LAYOUTS if layout != "portrait"},
    "to portrait": ((("layout", "inplace"),), settings(layout="portrait")),
    "mirror": ((), settings(mirror=True)),
    "grain": ((), settings(paper="grain")),
    "ink": ((), settings(ink="sepia")),
    "bolder": ((), lambda controls: controls.bolder(1)),
    "thinner": ((), lambda controls: controls.bolder(-1)),
    "chalk": ((), settings(chalk=True)),
    "transparent": ((), settings(transparent=True)),
    "split": ((("layout", "split"),), settings(split=0.2)),
    "pause": ((), settings(paused=True)),
    "next layout": ((), lambda controls: controls.next_layout()),
    "next paper": ((), lambda controls: controls.next_paper()),
    "next ink": ((), lambda controls: controls.next_ink()),
}
DRAWN: dict[str, tuple[Begin, Turn]] = {
    "resume": ((("paused", True),), settings(paused=False)),
    "no filter": ((), settings(smooth=0.0)),
    "filter": ((("smooth", 0.0),), settings(smooth=1.0)),
}
"""What the threads before the last one read."""
ALL = {**COMPOSED, **DRAWN}


@pytest.mark.parametrize("name", ALL)
def test_a_control_shows_within_two_frames_of_a_camera_and_none_is_dropped(name: str) -> None:
    begin, turn = ALL[name]
    frames = run(Controls(**dict(begin)), turn, in_step=True, live=True)
    assert [frame.index for frame in frames] == list(range(COUNT))
    assert TURNED < first_change(frames, begin) <= TURNED + 2


@pytest.mark.parametrize("name", COMPOSED)
def test_a_control_shows_within_two_frames_though_others_wait_behind_it(name: str) -> None:
    begin, turn = ALL[name]
    frames = run(Controls(**dict(begin)), turn, in_step=False)
    assert [frame.index for frame in frames] == list(range(COUNT))
    assert TURNED < first_change(frames, begin) <= TURNED + 2


def test_a_picture_for_paper_shows_within_two_frames(tmp_path: Path) -> None:
    path = tmp_path / "paper.png"
    cv2.imwrite(str(path), np.full((40, 60, 3), (10, 120, 200), np.uint8))
    frames = run(Controls(), settings(paper=str(path)), in_step=True, live=True)
    assert TURNED < first_change(frames, ()) <= TURNED + 2


@pytest.mark.parametrize("key", "mlpkc[] ")
def test_a_key_shows_within_two_frames(key: str) -> None:
    controls = Controls()
    window = WindowSink(controls=controls, gui=Gui(key))  # type: ignore[arg-type]
    frames = run(controls, None, in_step=True, live=True, before=[window])
    assert [frame.index for frame in frames] == list(range(COUNT))
    assert TURNED < first_change(frames, ()) <= TURNED + 2


@pytest.mark.parametrize("key", "i?r")
def test_a_key_that_writes_on_the_window_shows_there_at_once(key: str) -> None:
    gui = Gui(key)
    controls = Controls()
    run(controls, None, in_step=True, live=True, before=[WindowSink(controls=controls, gui=gui)])  # type: ignore[arg-type]
    plain = [np.asarray(frame.image[..., ::-1]) for frame in untouched(())]
    assert np.array_equal(gui.shown[TURNED], plain[TURNED])
    assert not np.array_equal(gui.shown[TURNED + 1], plain[TURNED])  # the same frame, shown again


def test_a_snapshot_is_of_the_next_frame_and_a_recording_begins_with_it() -> None:
    saved, recorded = ListSink(), ListSink()

    def press(controls: Controls) -> None:
        controls.request_snapshot()
        controls.toggle_record()

    frames = run(Controls(), press, in_step=True, live=True, on_snapshot=saved.send, recorder=lambda: recorded)
    assert [frame.index for frame in frames] == list(range(COUNT))
    assert [frame.index for frame in saved.frames] == [TURNED]
    assert [frame.index for frame in recorded.frames] == list(range(TURNED, COUNT))
