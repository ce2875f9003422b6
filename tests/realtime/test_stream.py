import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pipeline_fakes import FakeEngine, FakeSource, ListSink, face, is_paper, picture, stylizer

from realtime.controls import Controls
from realtime.core import Face, Frame, PartialSourceError, Sink, SinkError
from realtime.fading import GONE_S
from realtime.punctual import LATEST_S
from realtime.stream import Stream
from realtime.stylizer import Stylizer
from realtime.timing import Stats


def clip(count: int) -> list[Frame]:
    return [picture(index) for index in range(count)]


def endless(*, seconds: float = 0.005) -> Iterator[Frame]:
    index = 0
    while True:
        time.sleep(seconds)
        yield picture(index)
        index += 1


def stream(source: FakeSource, *sinks: Sink, core: Stylizer | None = None, **options: object) -> Stream:
    controls = options.pop("controls", None) or Controls(layout="inplace")
    return Stream(
        source=source,
        stylizer=core or stylizer(lambda _: [face()], controls=controls),
        sinks=sinks,
        stats=options.pop("stats", None) or Stats(),
        controls=controls,
        **options,
    )


@pytest.fixture(autouse=True)
def no_thread_is_left_behind() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_a_file_is_delivered_whole_and_in_order_by_the_calling_thread() -> None:
    sink, stats = ListSink(), Stats(engine="fake", device="none")
    source = FakeSource(clip(40))
    stream(source, sink, stats=stats).run()
    assert [frame.index for frame in sink.frames] == list(range(40))
    assert [frame.pts for frame in sink.frames] == [picture(index).pts for index in range(40)]
    assert sink.threads == {threading.current_thread().name}
    assert sink.closed == 1
    assert source.closed.is_set()
    told = stats.as_dict()
    assert (told["frames_in"], told["frames_out"], told["dropped"], told["faces"]) == (40, 40, 0, 1)
    assert {"capture", "track", "align", "draw", "smooth", "compose", "deliver"} == set(told["stages_ms"])


def test_a_file_repeats_exactly() -> None:
    runs = []
    for _ in range(2):
        sink = ListSink()
        core = stylizer(lambda index: [face(x=150 + index)] if index % 5 else [])
        stream(FakeSource(clip(30)), sink, core=core).run()
        runs.append([frame.image.tobytes() for frame in sink.frames])
    assert runs[0] == runs[1]


class GatedEngine(FakeEngine):
    """Draws its first portrait when told, the others at once."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def draw(self, *arrays: NDArray[Any]) -> NDArray[np.uint8]:
        assert self.gate.wait(20)
        return super().draw(*arrays)


@pytest.mark.parametrize("live", [None, True])
def test_a_live_stream_drops_what_is_overtaken_and_shows_the_newest(live: bool | None) -> None:
    """200 frames come while the engine is busy with one: no more than one waits at each hand-over."""
    engine, sink, stats = GatedEngine(), ListSink(), Stats()

    def frames() -> Iterator[Frame]:
        yield from clip(200)
        time.sleep(0.2)  # the tracker takes the last one
        engine.gate.set()

    core = stylizer(lambda _: [face()], engine=engine)
    stream(FakeSource(frames(), live=live is None), sink, core=core, stats=stats, live=live).run()
    told = stats.as_dict()
    indices = [frame.index for frame in sink.frames]
    assert indices == sorted(set(indices))
    assert indices[-1] == 199
    assert len(indices) <= 4
    assert told["frames_in"] == 200
    assert told["dropped"] == 200 - len(indices)
    assert told["in_flight"] == 0


def test_a_file_waits_for_a_slow_engine() -> None:
    engine, sink = FakeEngine(seconds=0.01), ListSink()
    stream(FakeSource(clip(30)), sink, core=stylizer(lambda _: [face()], engine=engine)).run()
    assert len(sink.frames) == 30


def test_several_sinks_receive_the_same_frames() -> None:
    one, two = ListSink(), ListSink()
    stream(FakeSource(clip(5)), one, two).run()
    assert [id(frame) for frame in one.frames] == [id(frame) for frame in two.frames]


def test_a_broken_file_delivers_what_decoded_and_then_tells() -> None:
    sink = ListSink()
    with pytest.raises(PartialSourceError, match="cut short"):
        stream(FakeSource(clip(12), error=PartialSourceError("the clip is cut short")), sink).run()
    assert len(sink.frames) == 12
    assert sink.closed == 1


def test_an_engine_that_breaks_ends_the_stream_after_what_was_drawn() -> None:
    sink = ListSink()
    source = FakeSource(endless())
    with pytest.raises(RuntimeError, match="the engine broke"):
        stream(source, sink, core=stylizer(lambda _: [face()], engine=FakeEngine(fail_at=4))).run()
    assert [frame.index for frame in sink.frames] == [0, 1, 2, 3]
    assert sink.closed == 1
    assert source.closed.is_set()


def test_a_tracker_that_breaks_ends_the_stream() -> None:
    def broken(index: int) -> list:
        if index >= 3:  # a live source may drop any one frame
            raise ValueError("no tracking today")
        return []

    sink = ListSink()
    with pytest.raises(ValueError, match="no tracking today"):
        stream(FakeSource(endless(), live=True), sink, core=stylizer(broken)).run()
    assert sink.closed == 1


def test_a_sink_that_breaks_closes_the_others() -> None:
    def full(frame: Frame) -> None:
        if frame.index == 2:
            raise SinkError("the disk is full")

    broken, other = ListSink(on_send=full), ListSink()
    source = FakeSource(endless())
    with pytest.raises(SinkError, match="the disk is full"):
        stream(source, broken, other).run()
    assert broken.closed == other.closed == 1
    assert len(other.frames) == 2
    assert source.closed.is_set()


def test_a_sink_that_cannot_be_closed_does_not_keep_the_others_open() -> None:
    class Stuck(ListSink):
        def close(self) -> None:
            raise SinkError("cannot finish the file")

    other = ListSink()
    with pytest.raises(SinkError, match="cannot finish the file"):
        stream(FakeSource(clip(3)), Stuck(), other).run()
    assert other.closed == 1


def test_ctrl_c_closes_every_sink_and_is_passed_on() -> None:
    def interrupt(frame: Frame) -> None:
        if frame.index >= 5:
            raise KeyboardInterrupt

    sink = ListSink(on_send=interrupt)
    source = FakeSource(endless())
    with pytest.raises(KeyboardInterrupt):
        stream(source, sink).run()
    assert sink.closed == 1
    assert source.closed.wait(10)


@pytest.mark.parametrize("live", [True, False])
def test_quit_ends_the_stream(live: bool) -> None:
    controls = Controls()
    sink = ListSink(on_send=lambda frame: controls.quit.set() if frame.index >= 4 else None)
    stream(FakeSource(endless(), live=live), sink, controls=controls).run()
    assert sink.closed == 1
    assert sink.frames[-1].index >= 4


def test_a_file_ends_after_the_frames_that_were_asked_for() -> None:
    sink, stats = ListSink(), Stats()
    stream(FakeSource(endless()), sink, stats=stats, max_frames=7).run()
    assert [frame.index for frame in sink.frames] == list(range(7))
    assert stats.as_dict()["frames_in"] == 7


def test_a_live_stream_delivers_the_frames_that_were_asked_for_in_spite_of_drops() -> None:
    sink = ListSink()
    core = stylizer(lambda _: [face()], engine=FakeEngine(seconds=0.02))
    stream(FakeSource(endless(), live=True), sink, core=core, max_frames=7).run()
    assert len(sink.frames) == 7


def test_seconds_of_a_file_are_seconds_of_the_clip() -> None:
    sink = ListSink()
    stream(FakeSource(endless(seconds=0)), sink, max_seconds=2.0).run()
    assert len(sink.frames) == 50  # at 25 frames a second, however fast it ran


def test_seconds_of_a_live_source_are_seconds_of_the_clock() -> None:
    start = time.monotonic()
    stream(FakeSource(endless(), live=True), ListSink(), max_seconds=0.5).run()
    assert 0.45 <= time.monotonic() - start < 5


def test_a_live_source_that_gives_nothing_ends_in_time_and_the_window_answers_meanwhile() -> None:
    class Window(ListSink):
        polled = 0

        def poll(self) -> None:
            self.polled += 1

    release = threading.Event()

    def stalled() -> Iterator[Frame]:
        release.wait(20)
        yield from ()

    window = Window()
    threading.Timer(0.6, release.set).start()
    start = time.monotonic()
    stream(FakeSource(stalled(), live=True), window, max_seconds=0.4).run()
    assert time.monotonic() - start < 5
    assert window.polled >= 3
    assert window.closed == 1


def test_a_read_that_hangs_for_ever_does_not_hang_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.stream.JOIN_S", 0.1)
    release = threading.Event()

    def hung() -> Iterator[Frame]:
        yield picture(0)
        release.wait(20)

    controls = Controls()
    sink = ListSink(on_send=lambda _: controls.quit.set())
    start = time.monotonic()
    stream(FakeSource(hung(), live=True), sink, controls=controls).run()
    assert time.monotonic() - start < 5
    capture = next(thread for thread in threading.enumerate() if thread.name == "capture")
    assert capture.daemon
    release.set()
    capture.join(10)


def test_rate_thins_a_source_evenly() -> None:
    sink, stats = ListSink(), Stats()
    stream(FakeSource(clip(50)), sink, stats=stats, rate=12.5).run()
    assert [frame.index for frame in sink.frames] == list(range(0, 50, 2))
    assert stats.as_dict()["skipped"] == 25
    assert stats.as_dict()["dropped"] == 0


def test_rate_above_the_source_s_own_changes_nothing() -> None:
    sink = ListSink()
    stream(FakeSource(clip(20)), sink, rate=60.0).run()
    assert len(sink.frames) == 20


def test_rate_starts_again_with_a_clip_that_loops() -> None:
    sink = ListSink()
    stream(FakeSource([*clip(20), *clip(20)]), sink, rate=12.5).run()
    assert [frame.index for frame in sink.frames] == [*range(0, 20, 2), *range(0, 20, 2)]


def test_progress_counts_deliveries() -> None:
    told: list[int] = []
    stream(FakeSource(clip(4)), ListSink(), on_progress=told.append).run()
    assert told == [1, 2, 3, 4]


def test_a_snapshot_is_the_composed_frame() -> None:
    controls = Controls(layout="inplace")
    saved: list[Frame] = []
    sink = ListSink(on_send=lambda frame: controls.request_snapshot() if frame.index == 2 else None)
    stream(FakeSource(clip(6)), sink, controls=controls, on_snapshot=saved.append).run()
    assert [frame.index for frame in saved] == [2]
    assert saved[0] is sink.frames[2]


def test_a_snapshot_that_fails_is_told_and_the_stream_goes_on() -> None:
    controls = Controls()
    controls.request_snapshot()

    def full(_: Frame) -> None:
        raise SinkError("the disk is full")

    sink = ListSink()
    stream(FakeSource(clip(6)), sink, controls=controls, on_snapshot=full).run()
    assert len(sink.frames) == 6
    assert controls.status["message"] == "snapshot: the disk is full"


def test_recording_takes_the_frames_between_two_presses_and_closes() -> None:
    controls = Controls()
    sink = ListSink(on_send=lambda frame: controls.toggle_record() if frame.index in (3, 7) else None)
    made: list[ListSink] = []

    def recorder() -> ListSink:
        made.append(ListSink())
        return made[-1]

    stream(FakeSource(clip(12)), sink, controls=controls, recorder=recorder).run()
    assert [[frame.index for frame in record.frames] for record in made] == [[3, 4, 5, 6]]
    assert made[0].closed == 1


def test_a_recording_that_is_still_on_is_closed_at_the_end() -> None:
    controls = Controls()
    controls.toggle_record()
    record = ListSink()
    stream(FakeSource(clip(5)), ListSink(), controls=controls, recorder=lambda: record).run()
    assert len(record.frames) == 5
    assert record.closed == 1


def test_a_recording_that_cannot_start_is_told_and_switched_off() -> None:
    controls = Controls()
    controls.toggle_record()
    tried: list[int] = []

    def recorder() -> Sink:
        tried.append(1)
        raise SinkError("no such folder")

    sink = ListSink()
    stream(FakeSource(clip(5)), sink, controls=controls, recorder=recorder).run()
    assert len(tried) == 1
    assert not controls.recording
    assert controls.status["message"] == "recording: no such folder"
    assert len(sink.frames) == 5


def test_the_overlay_s_figures_are_reported() -> None:
    controls, stats = Controls(), Stats(engine="fake 8 bit", device="abacus")
    stream(FakeSource(clip(5)), ListSink(), controls=controls, stats=stats).run()
    assert controls.status["engine"] == "fake 8 bit"
    assert {"fps", "age_ms", "faces", "dropped", "device"} <= set(controls.status)


def test_a_live_pause_shows_paper_within_two_frames() -> None:
    controls = Controls(layout="inplace")
    sink = ListSink()

    def press(_: Frame) -> None:
        controls.paused = controls.paused or len(sink.frames) == 10

    sink._on_send = press
    stream(FakeSource(endless(), live=True), sink, controls=controls, max_frames=20).run()
    assert not is_paper(sink.frames[8])
    assert all(is_paper(frame) for frame in sink.frames[11:])
    assert np.array_equal(sink.frames[-1].image.shape, (240, 320, 3))


class StuckTracker:
    """Finds the face of its first frame and then says nothing more until it is told to end."""

    def __init__(self) -> None:
        self.gate, self.asked = threading.Event(), 0

    def track(self, frame: Frame) -> list[Face]:  # noqa: ARG002
        self.asked += 1
        assert self.asked == 1 or self.gate.wait(20)
        return [face()]

    def close(self) -> None:
        pass


def test_live_drawing_does_not_wait_for_a_tracker_that_hangs_and_its_face_goes() -> None:
    tracker, stats = StuckTracker(), Stats()
    controls = Controls(layout="inplace")
    core = stylizer([], tracker=tracker, controls=controls)
    sink = ListSink(on_send=lambda _: tracker.gate.set() if len(sink.frames) == 40 else None)
    source = FakeSource(endless(seconds=0.002), live=True)
    stream(source, sink, core=core, stats=stats, controls=controls, max_frames=40).run()
    assert len(sink.frames) == 40
    ages = [frame.time - sink.frames[0].time for frame in sink.frames]
    assert ages[-1] > LATEST_S + GONE_S
    assert not any(is_paper(frame) for frame, age in zip(sink.frames, ages, strict=True) if age <= LATEST_S)
    assert all(is_paper(frame) for frame, age in zip(sink.frames, ages, strict=True) if age >= LATEST_S + GONE_S)
    assert stats.as_dict()["carried"] >= 39
    assert core._tracker is tracker


def test_a_file_waits_for_a_slow_tracker() -> None:
    threads = set()

    def slow(index: int) -> list[Face]:
        threads.add(threading.current_thread().name)
        time.sleep(0.06)  # longer than a frame
        return [face(x=100 + 4 * index)]

    sink, stats = ListSink(), Stats()
    stream(FakeSource(clip(8)), sink, core=stylizer(slow), stats=stats).run()
    assert threads == {"track"}
    assert stats.as_dict()["carried"] == 0
    assert len({frame.image.tobytes() for frame in sink.frames}) == 8
