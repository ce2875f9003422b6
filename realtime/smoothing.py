"""Steadiness over time of the ink in its aligned square: kept where the photo shows the same, let go where it does not.

A drawing is a few lines, and every tremble of them is seen; a mean over time would blur them and leave ghosts. So the
mean is taken along the motion of the photo, in a plane of its own, and what is shown is its sign, which gives way only
to a clear majority: lines stay crisp, and change in one go.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.core import Drawing
from realtime.motion import Motion, Plane
from realtime.one_euro import RESET_S, OneEuro, share
from realtime.photo_memory import SIDE, PhotoMemory

__all__ = ["RESET_S", "InkSmoother", "OneEuro", "make_smoother", "share"]

Ink = NDArray[np.uint8]
Signed = NDArray[np.int16]
"""(512, 512) int16, -128 ink to 127 paper. What else costs a millisecond costs a tenth of one in whole numbers."""

_ONE = 128
"""The share 1."""
_INKED, _GREY, _PAPER = -64, 8, 127
"""Below the first it is ink beyond doubt; the second is grey that is not ink yet."""
_TILE = 8
"""Side of what is carried or left as a whole."""
_TILES = 512 // _TILE
_MANY = 2200
"""More tiles than that are carried faster with all the square."""
_GRID = np.dstack(np.meshgrid(*(np.arange(512, dtype=np.float32),) * 2))
_NONE: Any = None  # no second map; OpenCV's stubs know of no None
FAR = (0.9, 1.1)
"""Motion in a frame, px of the photo's small side, from which a place begins to go far, and from which it does."""
_STROKE = 3
"""Pixels of a stroke in each 3 x 3 of it."""
_FAINT = 1
"""Less ink than this is none."""
_OFFSETS = np.arange(_TILE, dtype=np.float32)
_ACROSS, _DOWN = (one.ravel() for one in np.meshgrid(_OFFSETS, _OFFSETS))
"""Where the pixels of a tile lie in it."""
_TO_RIGHT, _TO_BOTTOM = ((one + np.float32(0.5)) / _TILE for one in (_ACROSS, _DOWN))
_OF_CORNERS = np.stack([down * right for down in (1 - _TO_BOTTOM, _TO_BOTTOM) for right in (1 - _TO_RIGHT, _TO_RIGHT)])
"""(4, pixels of a tile): shares of its corners, upper left, upper right, lower left, lower right."""


class InkSmoother:
    """Steadies the ink of one face.

    Ink is taken as -1 and paper as 1. Carried along with the photo is the recursive mean of what the engine drew; where
    the photo is at rest, the choice between ink and paper that was made before has a vote of its own. Neither may say
    what the engine does not draw now, here or nearby (neighbourhood clamping, as in temporal anti-aliasing: Karis,
    SIGGRAPH 2014): a line may be held where it was, but nothing outlives its line.
    """

    MEMORY = (40.0, 1.0, 10.0)
    """Frames that the mean reaches back where the photo is at rest, where a small place of it moves, and where the head
    goes, at strength 0.5; they grow with the square of the strength."""
    LOYALTY = 0.99
    """Weight of the choice that was made, against 1 of the mean, from strength 0.5 on; below 1 a new one can win."""
    NEARBY = 7
    """Side of what counts as nearby, px."""
    BESIDE = 5
    """Side of what counts as the same line, px."""
    PATIENCE = (8.0, 2.0)
    """Frames that a line may be drawn and not shown, at strength 0.5, in a face that rests and in a head that goes;
    they grow as the memory does."""
    DRIFT = (3, 5)
    """Side of what counts as the same line a frame later, px; the same."""

    def __init__(self) -> None:
        self._memory = PhotoMemory()
        self._mean, self._choice = (np.zeros((512, 512), np.int16) for _ in range(2))
        self._missed = np.zeros((512, 512), np.uint8)
        # Another one in each frame: rounded always alike, a long memory would stop short of what it is drawn to.
        self._rounding = 0
        # Scratch is kept: fresh memory costs more than what is done with it.
        self._drawn, self._a, self._b, self._c = (np.zeros((512, 512), np.int16) for _ in range(4))

    def smooth(self, drawing: Drawing, strength: float) -> Drawing:
        """The steadied drawing; ``strength`` 0 gives the drawing itself, 1 the calmest."""
        if strength <= 0:
            self._memory.forget()
            return drawing
        drawn = _signed(drawing.ink, self._drawn)
        past = self._memory.look(drawing.portrait.photo)
        if past is None:
            self._memory.keep(None)
            self._missed[:] = 0
            np.copyto(self._mean, drawn)
            _held(np.left_shift(drawn, 3, out=self._choice))
            return drawing
        rest, little, large = self.MEMORY
        moving = little + past.going * (large - little)
        memory = np.float32((2 * strength) ** 2) * (
            rest + np.minimum(past.unrest * np.float32(4), 1) * np.float32(moving - rest)
        )
        kept = past.same * memory / (memory + 1)
        self._memory.keep(kept)
        loyalty = past.same * (1 - past.unrest) * np.float32(self.LOYALTY * min(1.0, 2 * strength))
        if past.motion is not None:
            self._carry(past.motion)
        self._clamp(drawing.ink)
        # The drawing goes into the mean twice as steep, so that a faint line can win too.
        self._rounding = (self._rounding + 79) % _ONE
        _mix(self._mean, _held(np.left_shift(drawn, 1, out=self._a)), _shares(kept), self._b, self._rounding)
        self._choose(_shares(loyalty))
        shown = self._shown(past.going * past.unrest if past.going > 0 else None)
        self._own_up(shown, drawn, past.going, (2 * strength) ** 2)
        # Where nothing is kept, and as strength goes to 0, the drawing itself is shown; so it is where a small place
        # (a lid, a lip) goes far. Where one moves at all, and mean and drawing agree what is ink, the line's flanks are
        # the drawing's own.
        held = past.same * np.float32(min(1.0, 4 * strength))
        small = np.float32(max(0.0, 1 - 4 * past.going))
        if past.motion is not None and small > 0:
            held = held * (1 - small * _far(past.motion))
        share = _shares(held)
        agreed = (np.bitwise_xor(shown, drawn, out=self._b) >= 0).view(np.uint8)  # alike in sign
        cv2.copyTo(_shares(held * (1 - small * past.unrest)), agreed, share)
        _mix(shown, drawn, share, self._b)
        return replace(drawing, ink=np.add(shown, 128, out=self._b).astype(np.uint8))

    def _carry(self, motion: Motion) -> None:
        """Put the mean where it lies now, in the tiles that move and have ink in reach: most of the square is at rest
        or empty, and this costs most. Within a tile motion is taken as bilinear: the flow has no finer grain."""
        before = np.add(self._mean, 128, out=self._a).astype(np.uint8)
        # One more corner than tiles to a side: each the mean of the motion around it.
        rim = SIDE // _TILES // 2
        around = cv2.copyMakeBorder(motion, rim, rim, rim, rim, cv2.BORDER_REPLICATE)
        corners = cv2.resize(around, (_TILES + 1, _TILES + 1), interpolation=cv2.INTER_AREA) * np.float32(512 / SIDE)
        farthest = float(max(corners.max(), -corners.min()))
        reach = np.ones((2 * math.ceil((farthest + 2) / _TILE) + 1,) * 2, np.uint8)
        inked = cv2.dilate(255 - cv2.resize(before, (_TILES, _TILES), interpolation=cv2.INTER_AREA), reach)
        moving = (corners[..., 0] != 0) | (corners[..., 1] != 0)
        moving = moving[:-1, :-1] | moving[:-1, 1:] | moving[1:, :-1] | moving[1:, 1:]
        row, column = np.nonzero(moving & (inked >= _FAINT))
        if len(row) > _MANY:
            of_tiles = cv2.resize(motion, (_TILES, _TILES), interpolation=cv2.INTER_AREA) * np.float32(512 / SIDE)
            source = _GRID + cv2.resize(of_tiles, (512, 512), interpolation=cv2.INTER_LINEAR)
            seen = cv2.remap(before, source, _NONE, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
            np.subtract(seen, 128, out=self._mean, dtype=np.int16)
        elif len(row):
            four = np.stack([corners[row + down, column + right] for down in (0, 1) for right in (0, 1)], -1)
            x, y = np.asarray(four @ _OF_CORNERS, np.float32).swapaxes(0, 1)
            x += (column * _TILE).astype(np.float32)[:, None] + _ACROSS
            y += (row * _TILE).astype(np.float32)[:, None] + _DOWN
            # Cubic: a thin line that is carried bilinearly, frame after frame, is blurred away.
            seen = cv2.remap(before, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
            tiles = self._mean.reshape(_TILES, _TILE, _TILES, _TILE).swapaxes(1, 2)
            tiles[row, column] = seen.reshape(-1, _TILE, _TILE).astype(np.int16) - 128

    def _clamp(self, ink: Ink) -> None:
        """Mean and choice stay between the lightest and the darkest of what is drawn now nearby."""
        around = np.ones((self.NEARBY, self.NEARBY), np.uint8)
        for bound, hold in ((cv2.dilate(ink, around), np.minimum), (cv2.erode(ink, around), np.maximum)):
            signed = _signed(_ink(bound), self._a)
            hold(self._mean, signed, out=self._mean)
            hold(self._choice, signed, out=self._choice)

    def _own_up(self, shown: Signed, drawn: Signed, going: float, scale: float) -> None:
        """What the engine has drawn for some frames now, and is not shown here or nearby, is shown after all: a faint
        line that drifts would else be outvoted, frame after frame, by the paper that was there before. Of a head that
        goes it is shown grey until then."""
        calm, swift = self.PATIENCE
        patience = max(1, round(scale * (calm + going * (swift - calm))))
        drift = np.ones((self.DRIFT[going >= 0.5],) * 2, np.uint8)
        alone = cv2.dilate((shown < 0).view(np.uint8), np.ones((self.BESIDE,) * 2, np.uint8)) == 0
        missed = ((drawn < _INKED) & alone).view(np.uint8)
        self._missed = (np.minimum(_ink(cv2.dilate(self._missed, drift)), 254) + np.uint8(1)) * missed
        if self._missed.max() >= patience:
            late = self._missed >= patience
            if going > 0:  # strokes, not the dots that a halftone leaves
                late &= cv2.boxFilter(late.view(np.uint8), -1, (3, 3), normalize=False) >= _STROKE
            for plane in (shown, self._mean, self._choice):
                np.copyto(plane, drawn, where=late)
        if going > 0:
            darkest = np.int16(_PAPER - going * (_PAPER - _GREY))
            np.minimum(shown, np.maximum(drawn, darkest, out=self._b), out=shown, where=alone)

    def _choose(self, loyalty: Signed) -> None:
        """Ink or paper, by the vote of the mean and of the choice before: four times as steep as their sum."""
        np.multiply(self._choice, loyalty, out=self._choice)
        np.add(self._choice, np.multiply(self._mean, _ONE, out=self._a), out=self._choice)
        _held(np.right_shift(self._choice, 5, out=self._choice))

    def _shown(self, goes: Plane | None) -> Signed:
        """The mean, half as steep again (edges come out about as soft as the engine draws them), on the choice's side
        of the middle and a quarter away from it at the least. Where the head ``goes``, a share of 1, there is no such
        side, and the mean is an eighth steeper: an edge that lies between two pixels would tremble from one to the
        other."""
        shown = _steeper(self._mean, 1, self._a)
        slope = np.right_shift(np.multiply(self._choice, 5, out=self._b), 3, out=self._b)
        np.maximum(shown, np.subtract(slope, 48, out=slope), out=shown)
        np.minimum(shown, np.add(slope, 96, out=slope), out=shown)
        if goes is None:
            return shown
        _mix(shown, _steeper(self._mean, 3, self._b), _shares(1 - goes), self._c)
        return shown


def make_smoother() -> InkSmoother:
    """A smoother for one face."""
    return InkSmoother()


def _ink(plane: NDArray[Any]) -> Ink:
    return np.asarray(plane, np.uint8)


def _signed(ink: Ink, out: Signed) -> Signed:
    return np.subtract(ink, 128, out=out, dtype=np.int16)


def _held(plane: Signed) -> Signed:
    return np.clip(plane, -128, 127, out=plane)


def _steeper(plane: Signed, by: int, out: Signed) -> Signed:
    """Steeper by 1 / 2 ** ``by``."""
    return _held(np.add(plane, np.right_shift(plane, by, out=out), out=out))


def _far(motion: Motion) -> Plane:
    """0 to 1 (SIDE, SIDE): the place goes so far that it is seen to go."""
    x, y = cv2.split(motion)
    start, end = FAR
    return np.asarray(np.clip((cv2.magnitude(x, y) - start) / (end - start), 0, 1), np.float32)


def _shares(plane: Plane) -> Signed:
    """From the photo's small side to the drawing's, 0 to 1 as 0 to 128."""
    small = cv2.convertScaleAbs(plane, alpha=_ONE)
    return np.asarray(cv2.resize(small, (512, 512), interpolation=cv2.INTER_LINEAR), np.int16)


def _mix(plane: Signed, other: Signed, share: Signed, scratch: Signed, rounding: int = _ONE // 2) -> None:
    """plane = other + share * (plane - other), in whole numbers; ``rounding`` in 0 .. 127 is added before the 128th."""
    np.subtract(plane, other, out=plane)
    np.add(np.multiply(plane, share, out=scratch), rounding, out=scratch)  # at most 255 * 128 + 127: within int16
    np.add(np.right_shift(scratch, 7, out=scratch), other, out=plane)
