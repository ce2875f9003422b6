"""The demo portrait before a camera that stands still, drawn by the engine that ships, unsteadied and steadied."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

import engines
from realtime.aligner import Aligner
from realtime.compositor import Compositor
from realtime.controls import Controls
from realtime.core import Face, Frame
from realtime.puppet import Puppet, _load
from realtime.smoothing import make_smoother
from realtime.stylizer import Stylizer
from realtime.trackers.scripted import ScriptedTracker
from realtime.wiring import MATTE_MODEL

Image = NDArray[np.uint8]
Pair = tuple[Image | None, Image | None]
"""What the engine drew and what is shown, (512, 512) uint8 each; None without a face."""

FPS = 30
WIDTH, HEIGHT = 1280, 720
MOUTH = (643, 437)
"""On the picture, px; so are these."""
FACE_BOX = (450, 60, 840, 600)
"""Left, top, right, bottom: brow, chin and all between."""


def still(count: int) -> list[Image]:
    """Pictures of one instant; only the sensor's noise differs."""
    puppet = Puppet(width=WIDTH, height=HEIGHT, fps=1e9)
    return [puppet.render(index) for index in range(count)]


def moving(start: int, stop: int) -> list[Image]:
    """Pictures of the script, 30 a second: the head turns a little, the light changes, and the lids close at 1.4 s."""
    puppet = Puppet(width=WIDTH, height=HEIGHT, fps=FPS)
    return [puppet.render(index) for index in range(start, stop)]


def lit(image: Image, gain: float, offset: float = 0.0) -> Image:
    """Under another lamp."""
    return np.asarray(cv2.convertScaleAbs(image, alpha=gain, beta=offset), np.uint8)


def hand(image: Image, at: tuple[int, int]) -> Image:
    """A hand flat before the camera: a palm and four fingers that lie together, of one skin, softly lit."""
    out, colour = image.copy(), (188, 140, 118)
    x, y = at
    cv2.ellipse(out, (x, y + 40), (110, 90), 0, 0, 360, colour, -1, cv2.LINE_AA)
    for finger in range(4):
        left = x - 100 + 52 * finger
        cv2.line(out, (left, y), (left + 8, y - 90), colour, 50, cv2.LINE_AA)
        cv2.line(out, (left + 26, y - 10), (left + 33, y - 90), (140, 96, 80), 3, cv2.LINE_AA)
    return out


def board(image: Image, down_to: int) -> Image:
    """A grey board let down before the face, to this row."""
    out = image.copy()
    left, _, right, _ = FACE_BOX
    out[: max(0, down_to), left - 60 : right + 60] = (120, 116, 110)
    return out


def mirrored(image: Image) -> Image:
    return np.ascontiguousarray(image[:, ::-1])


class Studio:
    """The live program's synchronous core, with its own engine, mattes and filter, and a tracker that is told."""

    def __init__(self) -> None:
        with ExitStack() as opened:
            self._engine = opened.enter_context(engines.load("lite"))
            self._matter = opened.enter_context(engines.load_matte(MATTE_MODEL))
            self._opened = opened.pop_all()
        self.landmarks = np.ascontiguousarray(_load()[1][:, :2])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._opened.close()

    def shoot(self, images: Iterable[Image], *, strength: float = 0.5, gone: Iterable[int] = ()) -> list[Pair]:
        """Draw pictures in a row; the tracker loses the face in those of ``gone``."""
        return list(self._shoot(images, strength, frozenset(gone)))

    def _shoot(self, images: Iterable[Image], strength: float, gone: frozenset[int]) -> Iterator[Pair]:
        face = Face(id=0, landmarks=self.landmarks.astype(np.float32), confidence=1.0)
        controls = Controls(smooth=strength)
        stylizer = Stylizer(
            tracker=ScriptedTracker(faces=lambda index: [] if index in gone else [replace(face)]),
            aligner=Aligner(matter=self._matter),
            engine=self._engine,
            make_smoother=make_smoother,
            compositor=Compositor(),
            controls=controls,
        )
        for index, image in enumerate(images):
            portraits = stylizer.locate(Frame(image=image, index=index, captured=0.0, pts=Fraction(index, FPS)))
            drawn = stylizer.draw(portraits)
            shown = stylizer.steady(drawn)
            yield (drawn[0].ink, shown[0].ink) if shown else (None, None)


def toggles(before: Image, after: Image) -> float:
    """Pixels that turned from ink to paper or back, for each pixel of ink."""
    a, b = before < 128, after < 128
    return float((a ^ b).sum()) / max(1.0, 0.5 * float(a.sum() + b.sum()))


def stray(shown: Image, drawn: Image, *, within: int = 3) -> float:
    """Share of the ink shown that has none of the engine's within so many px: what a ghost is made of."""
    near = cv2.erode(drawn, np.ones((2 * within + 1,) * 2, np.uint8))
    return float(((shown < 128) & (near >= 128)).sum()) / max(1.0, float((shown < 128).sum()))


def haze(ink: Image) -> float:
    """Pixels neither ink nor paper, for each pixel of ink."""
    return float(((ink > 40) & (ink < 215)).sum()) / max(1.0, float((ink < 128).sum()))
