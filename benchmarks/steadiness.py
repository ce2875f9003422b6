"""What is counted of drawings over time: flicker, lag, ghosts, haze. Not one alone: a frozen picture flickers least.

All is measured in the aligned square, of one face in two distinct frames in a row. Ink is grey < 128, and a pixel is
darker by how much it lies below 255.

- *warp error* (Lai et al., ECCV 2018, there of colours): the drawing before, carried to the present by the optical flow
  between the two *photos*, minus the drawing now; mean over the pixels that are ink in either, occluded ones left out,
  as a share of full black;
- *still toggles*: pixels that turn from ink to paper or back where the photo is at rest, for each pixel of ink there;
- *ghosts*: where the face moves, how dark it is where the engine draws nothing within ``STRAY_PX``, for each pixel of
  ink there; lines drawn twice, and what is dragged along, are such;
- *difference*: where the face moves, the whole difference from what the engine drew, a line a pixel aside included;
- *lag*: by how many frames what the engine drew must be late to be most like the drawing, where the face moves;
- *frames to half*: after a shift of the whole square, how many frames until the drawing is nearer to the new place than
  to the old one (0: at once);
- *haze*: pixels neither ink nor paper, 40 < grey < 215, for each pixel of ink.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.flicker import at_rest
from realtime.core import Drawing, Smoother

Ink = NDArray[np.uint8]
Mask = NDArray[np.bool_]

STRAY_PX = 2
LATEST = 3
"""Lags looked at: 0 to so many frames."""
MOVED_PX = 2.0
"""Motion from which a pixel counts as moving: nearly a line's breadth, from where on one drawn twice is seen."""
SHIFT_PX = (7.0, 4.0)
"""Of the synthetic step, right and down."""
_OCCLUDED_PX = 1.0
"""A point that flow there and flow back do not bring back to within this is hidden in one of the photos."""
_NO_MAP: Any = None  # the second one, when the first holds x and y; OpenCV's stubs know of no None
_GRID = np.dstack(np.meshgrid(np.arange(512, dtype=np.float32), np.arange(512, dtype=np.float32)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happened between two photos of a face."""

    source: NDArray[np.float32]
    """(512, 512, 2) float32 px: where in the photo before each pixel of the present lies."""
    seen: Mask
    """(512, 512): visible in both."""
    still: Mask
    """(512, 512): the photo is at rest."""
    moving: Mask
    """(512, 512): the photo is not at rest, and has moved by ``MOVED_PX`` there or shows what was hidden."""


class Flow:
    """Dense motion between the photos (DIS, Kroeger et al., ECCV 2016, medium preset at full size)."""

    def __init__(self) -> None:
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Change:
        """Of two photos (512, 512, 3) uint8 RGB."""
        a, b = (cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) for photo in (before, after))
        back, there = (
            np.asarray(self._flow.calc(x, y, np.zeros((512, 512, 2), np.float32))) for x, y in ((b, a), (a, b))
        )
        source = _GRID + back
        returned = _sampled(there, source) + back
        inside = ((source >= 0) & (source <= 511)).all(-1)
        seen = inside & (np.linalg.norm(returned, axis=-1) < _OCCLUDED_PX)
        still = at_rest(before, after)
        moving = ~still & (~seen | (np.linalg.norm(back, axis=-1) >= MOVED_PX))
        return Change(source=np.asarray(source, np.float32), seen=seen, still=still, moving=moving)


@dataclass(slots=True, kw_only=True)
class Steadiness:
    """Counts of one setting, over any number of pairs."""

    error: float = 0.0
    error_ink: int = 0
    toggles: int = 0
    still_ink: float = 0.0
    apart: float = 0.0
    stray: float = 0.0
    moving_ink: int = 0
    late: NDArray[np.float64] = field(default_factory=lambda: np.zeros(LATEST + 1))
    hazy: int = 0
    ink: int = 0

    def add(self, before: Ink, after: Ink, drawn: Sequence[Ink], change: Change) -> None:
        """One pair.

        Args:
            before, after: (512, 512) uint8, the drawing in the frame before and now.
            drawn: what the engine drew now, one distinct frame before, two before, ...; up to ``LATEST`` before.
            change: of the photos.
        """
        carried = _sampled(before, change.source)
        inked = ((carried < 128) | (after < 128)) & change.seen
        self.error += float(np.abs(carried.astype(np.float32) - after)[inked].sum()) / 255
        self.error_ink += int(inked.sum())
        a, b = before < 128, after < 128
        self.toggles += int(((a ^ b) & change.still).sum())
        self.still_ink += 0.5 * (int((a & change.still).sum()) + int((b & change.still).sum()))
        self.hazy += int(((after > 40) & (after < 215)).sum())
        self.ink += int(b.sum())
        self._compare(after, drawn, change.moving)

    def _compare(self, after: Ink, drawn: Sequence[Ink], moving: Mask) -> None:
        present = drawn[0]
        self.apart += float(cv2.absdiff(after, present)[moving].sum()) / 255
        near = cv2.erode(present, np.ones((2 * STRAY_PX + 1,) * 2, np.uint8))
        self.stray += float(cv2.subtract(near, after)[moving].sum()) / 255
        self.moving_ink += int((((present < 128) | (after < 128)) & moving).sum())
        if len(drawn) > LATEST:
            self.late += [float(cv2.absdiff(after, one)[moving].sum()) for one in drawn[: LATEST + 1]]

    def figures(self) -> dict[str, float]:
        """By name."""
        return {
            "warp_error": self.error / max(self.error_ink, 1),
            "still_toggles": self.toggles / max(self.still_ink, 1),
            "difference": self.apart / max(self.moving_ink, 1),
            "ghosts": self.stray / max(self.moving_ink, 1),
            "lag_frames": int(np.argmin(self.late)),
            "haze": self.hazy / max(self.ink, 1),
        }


class PlainAverage:
    """What the filter is measured against: a recursive mean in which the new drawing weighs ``1 - strength``."""

    def __init__(self) -> None:
        self._mean: NDArray[np.float32] | None = None

    def smooth(self, drawing: Drawing, strength: float) -> Drawing:
        """The mean of this drawing and those before it."""
        ink = drawing.ink.astype(np.float32)
        self._mean = ink if self._mean is None else np.asarray(ink + strength * (self._mean - ink), np.float32)
        return replace(drawing, ink=np.rint(self._mean).astype(np.uint8))


class History:
    """The last drawings of the engine, the newest first."""

    def __init__(self) -> None:
        self._drawn: deque[Ink] = deque(maxlen=LATEST + 1)

    def add(self, ink: Ink) -> list[Ink]:
        self._drawn.appendleft(ink)
        return list(self._drawn)


def frames_to_half(make: Callable[[], Smoother], strength: float, drawings: Sequence[Drawing]) -> int:
    """Frames from a shift by ``SHIFT_PX`` in the middle of ``drawings`` until half of it is done; their number at most.

    The drawings are a face's in a row; both photo and ink are shifted from the middle on, as when a head jumps.
    """
    smoother, middle = make(), len(drawings) // 2
    for index, one in enumerate(drawings):
        if index < middle:
            smoother.smooth(one, strength)
            continue
        moved = _shifted(one)
        out = smoother.smooth(moved, strength).ink
        if 2 * float(cv2.absdiff(out, moved.ink).sum()) <= float(cv2.absdiff(one.ink, moved.ink).sum()):
            return index - middle
    return len(drawings) - middle


def _shifted(drawing: Drawing) -> Drawing:
    matrix = np.array([[1, 0, SHIFT_PX[0]], [0, 1, SHIFT_PX[1]]], np.float64)
    photo, ink = (
        np.asarray(cv2.warpAffine(one, matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE), np.uint8)
        for one in (drawing.portrait.photo, drawing.ink)
    )
    return replace(drawing, ink=ink, portrait=replace(drawing.portrait, photo=photo))


def _sampled(image: NDArray[Any], source: NDArray[np.float32]) -> NDArray[Any]:
    """An image (512, 512, ...) seen from where ``source`` leads."""
    return np.asarray(cv2.remap(image, source, _NO_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))
