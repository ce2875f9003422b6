"""READ SECOND. The synchronous core: one frame in, one frame out.

::

    frame --locate--> portraits --draw--> drawings --steady--> drawings --compose--> frame

The stream runs locate, draw, and the last two together in three threads, so that drawing, which takes longest, has one
to itself. Each step keeps its own state and shares none with the others.
What leaves :meth:`Stylizer.compose` is ink on paper: without a face, on a pause and on a blank frame it is paper, or
the last drawing as it fades. Two layouts, which the user must name, show the camera's picture beside the drawing; it
gets there by one door, :mod:`realtime.photo`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Self

import numpy as np

from apdgan import alignment
from engines import Engine
from realtime.aligner import Aligner
from realtime.compositor import Compositor
from realtime.controls import Controls
from realtime.core import Drawing, Frame, Portrait, Smoother, Tracker
from realtime.cuts import CutDetector
from realtime.each_face import EachFace
from realtime.fading import Fading
from realtime.presence import Presence
from realtime.pressure import pressed
from realtime.punctual import PunctualTracker


class Stylizer:
    """Turns frames into drawings. Feed frames in order; zero faces are as good as one."""

    def __init__(
        self,
        *,
        tracker: Tracker,
        aligner: Aligner,
        engine: Engine,
        make_smoother: Callable[[], Smoother],
        compositor: Compositor,
        controls: Controls,
    ) -> None:
        self._tracker = tracker
        self._aligner = aligner
        self._engine = engine
        self._make_smoother = make_smoother
        self._compositor = compositor
        self._controls = controls
        self._scene = 0
        self._scene_began = float("-inf")
        self._presence = Presence()
        self._located_cut = CutDetector()
        self._composed_cut = CutDetector()
        self._smoothers: dict[int, Smoother] = {}
        self._each = EachFace()
        self._fading = Fading()
        self.measure: Callable[[str], AbstractContextManager[None]] = lambda _stage: nullcontext()
        """Called with a stage's name around its work; the stream puts its clock here."""

    def __call__(self, frame: Frame) -> Frame:
        return self.compose(frame, self.steady(self.draw(self.locate(frame))))

    def locate(self, frame: Frame) -> list[Portrait]:
        """Find the faces and align each to the drawing square. Empty on a pause or a blank frame."""
        if frame.blank or self._controls.paused:
            return []
        with self.measure("track"):
            # After a cut nobody is who they were: new ids make every filter downstream start afresh, and who was found
            # before it, by a tracker that is late, is no longer there.
            if self._located_cut.is_cut(frame) or frame.time < self._scene_began:
                self._scene, self._scene_began = self._scene + 1, frame.time
            faces = [
                replace(face, id=(self._scene << 32) + face.id)
                for face in self._tracker.track(frame)
                if face.age <= frame.time - self._scene_began
            ]
            faces = self._presence.keep(frame, faces)
        with self.measure("align"):
            return self._aligner.align(frame, faces, time=frame.time)

    def draw(self, portraits: Sequence[Portrait]) -> list[Drawing]:
        """Draw all faces in one batch, faint lines with full pressure."""
        if not portraits:
            return []
        with self.measure("draw"):
            ink = self._engine.draw(
                np.stack([portrait.photo for portrait in portraits]),
                alignment.boxes(np.stack([portrait.landmarks for portrait in portraits])),
                np.stack([portrait.matte for portrait in portraits]),
            )
            return [Drawing(ink=pressed(one), portrait=portrait) for one, portrait in zip(ink, portraits, strict=True)]

    def steady(self, drawings: Sequence[Drawing]) -> list[Drawing]:
        """Steady each drawing against its own past; who is not among them is forgotten."""
        if not drawings:
            self._smoothers.clear()
            return []
        with self.measure("smooth"):
            ids = [drawing.portrait.face_id for drawing in drawings]
            self._smoothers = {face: self._smoothers.get(face) or self._make_smoother() for face in ids}
            strength = self._controls.smooth
            return self._each.map(lambda one: self._smoothers[one.portrait.face_id].smooth(one, strength), drawings)

    def compose(self, frame: Frame, drawings: Sequence[Drawing]) -> Frame:
        """Put the drawings on paper: a frame with the same index, captured time and pts."""
        with self.measure("compose"):
            layout, mirror, look = self._controls.layout, self._controls.mirror, self._controls.look
            if frame.blank or self._controls.paused:
                self._fading.clear()
                return self._compositor.paper(frame, layout, look=look)
            if self._composed_cut.is_cut(frame):
                self._fading.clear()
            shown = self._fading.add(drawings, frame.time)
            return self._compositor.compose(frame, shown, layout, mirror, look=look, split=self._controls.split)

    @contextmanager
    def unwaiting(self, *, frame_s: float, on_delay: Callable[[float], None]) -> Iterator[None]:
        """Within it a tracker that takes longer than ``frame_s`` seconds is not waited for.

        See :class:`realtime.punctual.PunctualTracker`, which also says what ``on_delay`` is told.
        """
        tracker, punctual = self._tracker, PunctualTracker(tracker=self._tracker, frame_s=frame_s, on_delay=on_delay)
        self._tracker = punctual
        try:
            yield
        finally:
            if punctual.end():  # else close() must not reach what still works
                self._tracker = tracker

    def close(self) -> None:
        """Let the tracker and all threads go. May be called twice."""
        self._each.close()
        self._aligner.close()
        self._tracker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
