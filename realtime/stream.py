"""The threaded shell around the stylizer.

::

    capture -> Slot -> track+align -> Slot -> draw -> Slot -> smooth+compose+deliver (in the calling thread)

Each slot holds one item. From a live source the newest frame wins and what it overtakes is counted; from a file every
stage waits for the next, nothing is dropped, and runs repeat exactly. Live, a tracker that is late is not waited for
(:mod:`realtime.punctual`). Delivery stays in the thread that called :meth:`Stream.run`, because window toolkits want
it there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any, TypeVar

from engines.errors import UserError
from realtime.controls import Controls
from realtime.core import Drawing, Frame, Portrait, Sink, Source
from realtime.slot import Slot, SlotClosed
from realtime.stylizer import Stylizer
from realtime.timing import Stats

POLL_S = 0.02
"""While no frame comes, sinks that have a ``poll()`` get it called this often: a window must answer its keys."""
JOIN_S = 2.0
"""A thread that does not end within this long (a read that hangs in a driver) is left to die with the process."""
REPORT_S = 0.25
"""The overlay's figures are renewed this often."""

A = TypeVar("A")
B = TypeVar("B")


class Stream:
    """One run from a source to its sinks. Use once."""

    def __init__(
        self,
        *,
        source: Source,
        stylizer: Stylizer,
        sinks: Sequence[Sink],
        stats: Stats,
        controls: Controls,
        live: bool | None = None,
        max_frames: int | None = None,
        max_seconds: float | None = None,
        rate: float | None = None,
        on_progress: Callable[[int], None] | None = None,
        on_snapshot: Callable[[Frame], None] | None = None,
        recorder: Callable[[], Sink] | None = None,
    ) -> None:
        """
        Args:
            source: frames; the stream closes it.
            stylizer: the work; not closed here.
            sinks: receive every composed frame in this order; the stream closes them.
            live: newest frame wins; None takes the source's word.
            max_frames: end after so many frames (delivered when live, read when from a file).
            max_seconds: end after so many seconds (of the clock when live, of the clip when from a file).
            rate: take at most so many frames a second from the source.
            on_progress: called with the number of frames delivered, after each.
            on_snapshot: called with the composed frame when ``controls`` hold a snapshot request.
            recorder: makes the sink that receives frames while ``controls.recording`` is on.
        """
        self._source = source
        self._stylizer = stylizer
        self._sinks = list(sinks)
        self._stats = stats
        self._controls = controls
        self._live = source.info.live if live is None else live
        self._max_frames = max_frames
        self._max_seconds = max_seconds
        self._rate = rate
        self._on_progress = on_progress
        self._on_snapshot = on_snapshot
        self._recorder = recorder
        self._recording: Sink | None = None
        self._stop = threading.Event()
        self._errors: list[BaseException] = []
        self._captured: Slot[Frame] = Slot()
        self._located: Slot[tuple[Frame, list[Portrait]]] = Slot()
        self._drawn: Slot[tuple[Frame, list[Drawing]]] = Slot()
        stylizer.measure = stats.stage

    def run(self) -> None:
        """Run until the source ends, a limit is reached or ``controls.quit`` is set; every sink is closed then.

        Raises:
            UserError: of the source, the engine or a sink, after what was on its way has been delivered.
            KeyboardInterrupt: passed on, after the sinks are closed.
        """
        threads = [
            threading.Thread(target=self._capture, name="capture", daemon=True),
            threading.Thread(target=self._work, args=(self._locate, self._captured, self._located), name="track"),
            threading.Thread(target=self._work, args=(self._draw, self._located, self._drawn), name="draw"),
        ]
        with self._unwaiting():
            try:
                for thread in threads:
                    thread.daemon = True
                    thread.start()
                self._deliver_all()
            except Exception as error:  # a sink's or the compositor's: told after everything is closed
                self._errors.append(error)
            finally:
                self._shut_down(threads)
        if self._errors:
            raise self._errors[0]

    # -- capture ---------------------------------------------------------------------------------------------------

    def _capture(self) -> None:
        frames: Iterator[Frame] | None = None
        try:
            frames = iter(self._source)
            for frame in self._taken(frames):
                self._stats.captured()
                self._hand_over(self._captured, frame)
        except SlotClosed:
            pass  # the reader has ended, and has said why
        except BaseException as error:  # a thread's edge: run() raises it again
            self._errors.append(error)
        finally:
            self._captured.finish()
            with suppress(Exception):  # the first error is the one that tells
                if frames is not None and hasattr(frames, "close"):
                    frames.close()
                self._source.close()

    def _taken(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        """The source's frames within the limits of number, time and rate."""
        taken, first, due = 0, None, float("-inf")
        while not self._stop.is_set():
            if not self._live and self._max_frames is not None and taken >= self._max_frames:
                return
            start = time.perf_counter()
            frame = next(frames, None)
            if frame is None:
                return
            self._stats.add("capture", time.perf_counter() - start)
            now = self._clock(frame)
            first = now if first is None else first
            if self._max_seconds is not None and now - first >= self._max_seconds:
                return
            if self._rate is not None and not frame.blank:
                step = 1 / self._rate
                if now < due - 0.2 * step and now >= due - 2 * step:  # far behind `due`: the clip began again
                    self._stats.skipped()
                    continue
                due = due + step if abs(now - due) < step else now + step
            taken += 1
            yield frame

    def _clock(self, frame: Frame) -> float:
        return frame.captured if self._live or frame.pts is None else float(frame.pts)

    def _unwaiting(self) -> AbstractContextManager[None]:
        if not self._live:
            return nullcontext()
        fps = min((rate for rate in (self._rate, self._source.info.fps) if rate), default=30.0)
        return self._stylizer.unwaiting(frame_s=1 / fps, on_delay=self._stats.late)

    # -- work ------------------------------------------------------------------------------------------------------

    def _locate(self, frame: Frame) -> tuple[Frame, list[Portrait]]:
        return frame, self._stylizer.locate(frame)

    def _draw(self, item: tuple[Frame, list[Portrait]]) -> tuple[Frame, list[Drawing]]:
        return item[0], self._stylizer.draw(item[1])

    def _work(self, work: Callable[[A], B], inbox: Slot[A], outbox: Slot[B]) -> None:
        """One stage's thread. When it ends, for whatever reason, what it has handed over is still delivered."""
        try:
            while True:
                self._hand_over(outbox, work(inbox.get()))
        except SlotClosed:
            pass
        except BaseException as error:  # a thread's edge: run() raises it again
            self._errors.append(error)
        finally:
            outbox.finish()

    def _hand_over(self, slot: Slot[A], item: A) -> None:
        if not self._live:
            slot.put(item)
        elif slot.offer(item):
            self._stats.dropped()

    # -- delivery --------------------------------------------------------------------------------------------------

    def _deliver_all(self) -> None:
        delivered, begun, told = 0, time.monotonic(), 0.0
        while not self._controls.quit.is_set():
            if self._live and self._max_frames is not None and delivered >= self._max_frames:
                return
            if self._live and self._max_seconds is not None and time.monotonic() - begun >= self._max_seconds:
                return
            try:
                frame, drawings = self._drawn.get(POLL_S)
            except TimeoutError:
                self._poll()
                continue
            except SlotClosed:
                return
            begun = frame.captured if delivered == 0 else begun
            drawings = self._stylizer.steady(drawings)
            self._deliver(self._stylizer.compose(frame, drawings), faces=len(drawings))
            delivered += 1
            if time.monotonic() - told >= REPORT_S:
                told = time.monotonic()
                self._controls.report(**self._stats.recent())

    def _deliver(self, frame: Frame, *, faces: int) -> None:
        with self._stats.stage("deliver"):
            for sink in self._sinks:
                sink.send(frame)
        self._stats.delivered(frame, faces=faces)
        self._record(frame)
        if self._controls.take_snapshot() and self._on_snapshot is not None:
            self._try("snapshot", self._on_snapshot, frame)
        if self._on_progress is not None:
            self._on_progress(self._stats.frames_out)

    def _poll(self) -> None:
        for sink in self._sinks:
            poll: Any = getattr(sink, "poll", None)
            if poll is not None:
                poll()

    def _record(self, frame: Frame) -> None:
        if self._controls.recording and self._recorder is not None:
            if self._recording is None:
                self._try("recording", self._start_recording)
            if self._recording is None or not self._try("recording", self._recording.send, frame):
                self._controls.stop_recording()
        if not self._controls.recording and self._recording is not None:
            sink, self._recording = self._recording, None
            self._try("recording", sink.close)

    def _start_recording(self) -> None:
        assert self._recorder is not None
        self._recording = self._recorder()

    def _try(self, what: str, call: Callable[..., object], *args: object) -> bool:
        """A keypress that fails (disk full) is told in the status; it must not end a call that is running."""
        try:
            call(*args)
        except UserError as error:
            self._controls.report(message=f"{what}: {error}")
            return False
        return True

    # -- the end ---------------------------------------------------------------------------------------------------

    def _shut_down(self, threads: Sequence[threading.Thread]) -> None:
        self._stop.set()
        for slot in (self._captured, self._located, self._drawn):
            slot.cancel()
        for sink in [*self._sinks, *([self._recording] if self._recording is not None else [])]:
            try:
                sink.close()
            except Exception as error:  # the others must be closed too
                self._errors.append(error)
        self._recording = None
        deadline = time.monotonic() + JOIN_S
        for thread in threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
