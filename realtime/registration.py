"""Where a head has moved since the frame before, by what the picture shows.

Landmarks tremble by a pixel from frame to frame, and a square laid on them trembles with them, over a head that does
not. Here the square is carried along by the motion of the picture under it (Lucas-Kanade on points of the head, a
similarity fitted robustly), which errs by a few hundredths of a pixel, and only drawn towards the landmarks: slowly
while the two agree, fast where they part. It neither trembles nor lags.

Landmarks may be late, of a frame some time ago. The square is then carried by the picture alone and drawn towards where
the landmarks lay in the square of that frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE, TEMPLATE, invert, transform
from realtime.smoothing import RESET_S, OneEuro, share

Matrix = NDArray[np.float64]

SIDE = 192
"""Motion is looked for in the square at this size."""
_SCALE = SIDE / SIZE
_POINTS = 90
_LEAST = 12
"""With fewer points that agree, the picture says nothing."""
_SPREAD = 20.0
"""Least spread of them, px of the small square (root mean square distance from their middle)."""
DOUBT = 0.03
"""Where picture and landmarks disagree by more about one frame's motion, in square widths, the landmarks are believed:
what moved was a hand, or the wall behind a face that moves by itself."""
_ARM = np.array([1.0, 1.0, 0.5, 0.5])
"""What a shift, a turn (rad) and a growth (e-fold) of the square move its sides by, in square widths."""
_LAMP = 0.5
"""Where other light explains more than half of a change, it was a lamp, not the head, that made it."""
_COAST_S = 0.15
"""Where neither landmarks nor picture say anything the square goes on as it went for so long, then it stays."""
_FASTEST = 3.0
"""No picture alone carries it faster, square widths a second."""
_REMEMBER_S = 1.0
"""The latest landmarks that are understood."""
_FIT_PX = 0.35
"""Scale of the robust fit, px of the small square: a point this far off counts half."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """How the square is drawn towards its landmarks, by how far they part (in square widths, at its sides)."""

    rest_hz: float = 0.02
    """Cutoff while they agree."""
    agree: float = 0.022
    """They agree while they part by less."""
    gain_hz: float = 150.0
    """Hz gained for each square width beyond that."""
    slow_hz: float = 1.2
    """Low-pass of what they part by: a tremble is no parting."""


class Registration:
    """Carries the square of one face from frame to frame."""

    def __init__(self, pull: Pull | None = None, *, min_cutoff_hz: float = 0.8, beta: float = 40.0) -> None:
        """
        Args:
            pull: how the square is drawn towards the landmarks.
            min_cutoff_hz: of the One-Euro filter by which landmarks carry the square where the picture says nothing:
                cutoff of position (square widths), log scale and angle (rad) at rest, Hz.
            beta: Hz gained for each square width, e-fold or radian a second.
        """
        self._pull = pull or Pull()
        self._calm = OneEuro(min_cutoff_hz=min_cutoff_hz, beta=beta)
        self._unit = 0.0
        self._time = 0.0
        self._matrix: Matrix | None = None
        self._grey: NDArray[np.uint8] | None = None
        self._fitted: Matrix = np.eye(2, 3)
        self._calmed: Matrix = np.eye(2, 3)
        self._apart = np.zeros(4)
        self._going = np.zeros(4)
        self._blind_s = 0.0
        self._times = np.zeros(0)
        self._past = np.zeros((0, 2, 3))
        self.held = False
        """The last matrix came from the picture's motion, not from landmarks alone."""

    def __call__(self, image: NDArray[np.uint8], fitted: Matrix, time: float, *, age: float = 0.0) -> Matrix:
        """The steadied matrix, frame -> square.

        Args:
            image: (H, W, 3) uint8, the frame.
            fitted: (2, 3) float64, the similarity that landmarks ask for.
            time: seconds. A step backwards, or a gap of ``RESET_S``, starts afresh from the landmarks.
            age: seconds by which the landmarks are older than the frame; 0: they are its own.
        """
        step = time - self._time
        self._time, self.held = time, False
        if self._matrix is None or self._grey is None or not 0 <= step <= RESET_S:
            self._calm_fit(fitted, time)
            self._matrix, self._apart, self._going, self._times = fitted, np.zeros(4), np.zeros(4), np.zeros(0)
        else:
            last = self._matrix
            motion = _motion(self._grey, _relit(small_grey(image, last), self._grey)) if step > 0 else None
            if age > 0:
                carried = self._coasted(motion, step)
                fitted = _product(_product(fitted, invert(self.at(time - age))), carried)
                self._calm_fit(fitted, time)
            else:
                carried = self._followed(motion, fitted, time)
            if step > 0:
                self._going = _parting(_product(carried, invert(last))) / step
                self._matrix = self._pulled(carried, fitted, step)
        self._remember(time, self._matrix)
        self._fitted = fitted
        self._grey = small_grey(image, self._matrix)
        return self._matrix

    def at(self, time: float) -> Matrix:
        """The square in a frame of the last second, as it would be if all that was learnt since had been known."""
        return np.asarray(self._past[np.abs(self._times - time).argmin()], np.float64)

    def _remember(self, time: float, matrix: Matrix) -> None:
        recent = np.flatnonzero((self._times < time) & (self._times >= time - _REMEMBER_S))
        self._times = np.append(self._times[recent], time)
        self._past = np.concatenate([self._past[recent], matrix[None]])

    def _followed(self, motion: Matrix | None, fitted: Matrix, time: float) -> Matrix:
        """The square carried along, with landmarks that are of this frame."""
        assert self._matrix is not None
        calm_before = self._calmed
        self._calm_fit(fitted, time)
        self._blind_s = 0.0
        # Carried by the landmarks' own motion: where they and the square parted before, they still do.
        if motion is None:
            return _product(_product(self._matrix, invert(calm_before)), self._calmed)
        carried = _product(_product(self._matrix, invert(self._fitted)), fitted)
        seen = _product(invert(motion), self._matrix)
        self.held = _size(_parting(_product(carried, invert(seen)))) <= DOUBT
        return seen if self.held else carried

    def _coasted(self, motion: Matrix | None, step: float) -> Matrix:
        """The square carried along by the picture alone, at most ``_FASTEST``."""
        assert self._matrix is not None
        self._blind_s = self._blind_s + step if motion is None else 0.0
        going = self._going if motion is None else _parting(invert(motion)) / max(step, 1e-6)
        going = going * min(1.0, _FASTEST / max(_size(going), 1e-6)) * (self._blind_s <= _COAST_S)
        return _product(_similarity(going * step), self._matrix)

    def _calm_fit(self, fitted: Matrix, time: float) -> None:
        side, angle, centre = _square_on_frame(fitted)
        # Positions in square widths: a face near the camera may tremble by more pixels than one far away.
        self._unit = self._unit or side
        steady = self._calm(np.array([*(centre / self._unit), math.log(side), angle]), time)
        self._calmed = _laid(math.exp(steady[2]), float(steady[3]), steady[:2] * self._unit)

    def _pulled(self, carried: Matrix, fitted: Matrix, step: float) -> Matrix:
        pull = self._pull
        apart = _parting(_product(fitted, invert(carried)))
        self._apart = self._apart + share(pull.slow_hz, step) * (apart - self._apart)
        beyond = max(0.0, _size(self._apart) - pull.agree)
        give = share(pull.rest_hz + pull.gain_hz * beyond, step)
        drawn = give * self._apart
        self._apart = self._apart - drawn
        go = _similarity(drawn)
        self._past = go[:, :2] @ self._past + np.pad(go[:, 2:], ((0, 0), (2, 0)))
        return _product(go, carried)


def small_grey(image: NDArray[np.uint8], matrix: Matrix) -> NDArray[np.uint8]:
    """The square at :data:`SIDE`, grey. (H, W, 3) uint8 -> (SIDE, SIDE) uint8; beyond the frame its border goes on."""
    shrunk = matrix * _SCALE
    shrunk[:, 2] += (_SCALE - 1) / 2  # centres of pixels: small = (square + 0.5) * scale - 0.5
    small = cv2.warpAffine(image, shrunk, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def _head() -> NDArray[np.uint8]:
    """Where points are taken: brow to nose and the sides of the head; eyes blink and mouths speak."""
    mask = np.zeros((SIDE, SIDE), np.uint8)

    def px(points: NDArray[np.float64]) -> list[int]:
        return [int(v) for v in np.rint(points * _SCALE)]

    centre = (TEMPLATE[0] + TEMPLATE[1]) / 2 + (0, 30)
    cv2.ellipse(mask, px(centre), px(np.array([125.0, 165.0])), 0, 0, 360, 255, -1)
    mouth = (TEMPLATE[3] + TEMPLATE[4]) / 2 + (0, 20)
    cv2.ellipse(mask, px(mouth), px(np.array([78.0, 70.0])), 0, 0, 360, 0, -1)
    for eye in TEMPLATE[:2]:
        cv2.ellipse(mask, px(eye), px(np.array([38.0, 20.0])), 0, 0, 360, 0, -1)
    return mask


_HEAD = _head()


def _relit(image: NDArray[np.uint8], like: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture under the light of another, where a lamp was switched: what is tracked must keep its grey."""
    (mean, deviation), (wanted, spread) = (
        (float(a[0, 0]), float(b[0, 0])) for a, b in (cv2.meanStdDev(one, mask=_HEAD) for one in (image, like))
    )
    gain = spread / max(deviation, 1.0)
    lit = np.asarray(cv2.addWeighted(image, gain, image, 0, wanted - gain * mean), np.uint8)
    return lit if cv2.norm(lit, like, cv2.NORM_L1, _HEAD) < _LAMP * cv2.norm(image, like, cv2.NORM_L1, _HEAD) else image


def _motion(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> Matrix | None:
    """The similarity that the head's picture made, px of the 512 square; None where it cannot be told."""
    start = cv2.goodFeaturesToTrack(before, _POINTS, 0.002, 5, mask=_HEAD, blockSize=5)
    if start is None or len(start) < _LEAST:
        return None
    until = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 12, 0.01)
    end, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, start, start.copy(), winSize=(17, 17), maxLevel=3, criteria=until
    )
    kept = found[:, 0] == 1
    here, there = start[kept, 0].astype(np.float64), end[kept, 0].astype(np.float64)
    fitted = _robust(here, there)
    if fitted is None:
        return None
    small = fitted.copy()
    # From the small square to the large one: large = (small + 0.5) / scale - 0.5.
    offset = np.full(2, 0.5 / _SCALE - 0.5)
    small[:, 2] = small[:, 2] / _SCALE + offset - small[:, :2] @ offset
    return small


def _robust(here: NDArray[np.float64], there: NDArray[np.float64]) -> Matrix | None:
    """Similarity by iteratively reweighted least squares (Geman-McClure); None when too few points agree."""
    if len(here) < _LEAST:
        return None
    weight = np.ones(len(here))
    moved = there - here
    start = np.median(moved, axis=0)
    off = np.linalg.norm(moved - start, axis=1)
    for scale in (4.0, 2.0, 1.0, 1.0):
        unit = _FIT_PX * scale
        weight = 1 / (1 + (off / unit) ** 2) ** 2
        matrix = _weighted(here, there, weight)
        off = np.linalg.norm(transform(matrix, here) - there, axis=1)
    agree = off < 3 * _FIT_PX
    if agree.sum() < _LEAST:
        return None
    middle = here[agree] - here[agree].mean(0)
    return matrix if math.sqrt(float((middle**2).sum(1).mean())) >= _SPREAD else None


def _weighted(here: NDArray[np.float64], there: NDArray[np.float64], weight: NDArray[np.float64]) -> Matrix:
    """Weighted least-squares similarity, here -> there."""
    total = weight.sum()
    a, b = weight @ here / total, weight @ there / total
    p, q = here - a, there - b
    norm = float(weight @ (p**2).sum(1)) or 1.0
    cos = float(weight @ (p * q).sum(1)) / norm
    sin = float(weight @ (p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0])) / norm
    turn = np.array([[cos, -sin], [sin, cos]])
    return np.hstack([turn, (b - turn @ a)[:, None]])


def _product(a: Matrix, b: Matrix) -> Matrix:
    """a after b."""
    return np.hstack([a[:, :2] @ b[:, :2], (a[:, :2] @ b[:, 2] + a[:, 2])[:, None]])


def _square_on_frame(matrix: Matrix) -> tuple[float, float, NDArray[np.float64]]:
    """Side (frame px), angle (rad) and centre (frame px) of the square that a similarity cuts out."""
    back = invert(matrix)
    side = math.hypot(back[0, 0], back[1, 0]) * SIZE
    return side, math.atan2(back[1, 0], back[0, 0]), transform(back, np.array([[SIZE / 2, SIZE / 2]]))[0]


def _laid(side: float, angle: float, centre: NDArray[np.float64]) -> Matrix:
    """The similarity, frame -> square, for a side, angle and centre of the square on the frame."""
    k = side / SIZE
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) * k
    return invert(np.hstack([turn, (centre - turn @ np.full(2, SIZE / 2))[:, None]]))


def _parting(matrix: Matrix) -> NDArray[np.float64]:
    """A similarity of the square as shift of its middle (square widths), angle (rad) and log scale."""
    middle = np.full(2, SIZE / 2)
    shift = (matrix[:, :2] @ middle + matrix[:, 2] - middle) / SIZE
    turn = math.atan2(matrix[1, 0], matrix[0, 0])
    return np.array([shift[0], shift[1], turn, 0.5 * math.log(abs(float(np.linalg.det(matrix[:, :2]))))])


def _size(parting: NDArray[np.float64]) -> float:
    """By how much that moves the sides of the square, square widths."""
    return float(np.linalg.norm(parting * _ARM))


def _similarity(parting: NDArray[np.float64]) -> Matrix:
    """Inverse of :func:`_parting`."""
    size = math.exp(parting[3])
    turn = (
        np.array([[math.cos(parting[2]), -math.sin(parting[2])], [math.sin(parting[2]), math.cos(parting[2])]]) * size
    )
    middle = np.full(2, SIZE / 2)
    return np.hstack([turn, (middle + parting[:2] * SIZE - turn @ middle)[:, None]])
