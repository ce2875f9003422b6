"""The room and the body around a portrait, drawn by rules: few, even pen lines and solid darks.

Lines follow where the light changes most; short ones and weak ones are left out, and a line that was there a moment
ago is kept more readily than a new one is begun, so that the drawing is calm. What lies in deep shade is filled. All
this is found at 640 px, where it costs little, and drawn at any size.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]
Floats = NDArray[np.float32]

WORK_PX = 640
"""Longer side of the picture that lines are looked for in."""
BLUR_PX = 1.8
"""What is smaller than this is no line."""
WEAK, STRONG = 16, 46
"""A line is begun where the slope of the light is strong and followed while it is not weak (Sobel, grey levels)."""
SHORTEST_PX = 26
LOYALTY = 0.5
"""Near a line of the frame before, slopes count for so much more."""
SHADE = 0.55
"""Darker than this share of the picture's white, on the logarithmic scale of :data:`_EYE`, is filled."""
STAY_DARK, BECOME_DARK = 1.05, 0.98
HALF_DARK = 1.25
"""What is lighter than SHADE by up to so much is filled with the dark that it belongs to: a suit is black in the light
too."""
WIDE = 0.03
"""Share of the picture that such a whole takes up at the least."""
MOSTLY, STILL_MOSTLY = 0.12, 0.05
"""Share of shade in such a whole from which it is filled, and down to which it stays so."""
NIGHT, DAY = 0.45, 0.33
"""A dark that takes up more than NIGHT of the picture is left paper, and is filled again once it takes up less than
DAY: a dark room is drawn by what is lit in it."""
SMALLEST_DARK_PX = 60
"""Area, px of the picture at half of WORK_PX."""
NOISE = 12.0
"""Grey levels: a pixel that changes by less is averaged over time, one that changes by more is taken as it is."""
SLOWEST = 0.25

_LEVELS = np.arange(256, dtype=np.float64)
_EYE = np.rint(255 * np.log1p(_LEVELS / 45) / np.log1p(255 / 45)).astype(np.uint8)
"""Grey levels as the eye weighs them: shade has lines too."""
_EDGE = np.clip((_LEVELS - 127.5) * 4 + 127.5, 0, 255)
_PEN = np.rint(255 - _EDGE).astype(np.uint8)
"""Soft coverage to crisp ink: (256,) uint8, 0 = ink."""
_FILL = np.rint(np.clip((_LEVELS - 127.5) * 2 + 127.5, 0, 255)).astype(np.uint8)
"""Fills are found at half the size and are twice as soft."""
_LINE_GAIN = 1.9
"""Makes a chain of single pixels, blurred, cross the middle of the scale some 2.5 px (at 720p) apart."""
_AROUND = np.ones((3, 3), np.uint8)
_NEAR = np.ones((5, 5), np.uint8)


class SceneLines:
    """Draws the pictures of one stream in order."""

    def __init__(self) -> None:
        self._steady: Floats | None = None
        self._lines: Floats | None = None
        self._darks: Gray | None = None
        self._wholes: Gray | None = None
        self._night = False

    def forget(self) -> None:
        """The next picture starts afresh."""
        self._steady = self._lines = self._darks = self._wholes = None
        self._night = False

    def draw(self, image: NDArray[np.uint8], width: int, height: int) -> Gray:
        """The picture as lines and darks.

        Args:
            image: (H, W, 3) uint8 RGB.
            width, height: of the drawing, px, in the proportions of the picture.

        Returns:
            (height, width) uint8, 0 = ink, 255 = paper.
        """
        light = self._steadied(image)
        ink = np.maximum(self._find_lines(light), self._find_darks(light))
        return np.asarray(cv2.LUT(cv2.resize(ink, (width, height), interpolation=cv2.INTER_CUBIC), _PEN), np.uint8)

    def _steadied(self, image: NDArray[np.uint8]) -> Floats:
        """Light at working size, (h, w) float32, without what flickers only by noise."""
        scale = WORK_PX / max(image.shape[:2])
        size = 2 * max(1, round(image.shape[1] * scale / 2)), 2 * max(1, round(image.shape[0] * scale / 2))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        now = np.asarray(cv2.LUT(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), _EYE), dtype=np.float32)
        if self._steady is None or self._steady.shape != now.shape:
            self.forget()
            self._steady = now
        else:
            change = now - self._steady
            self._steady += change * np.clip(np.abs(change) * np.float32(1 / NOISE), SLOWEST, 1)
        return self._steady

    def _find_lines(self, light: Floats) -> Gray:
        """Soft coverage of the lines, (h, w) uint8, above 127 = ink."""
        soft = cv2.GaussianBlur(light, (11, 11), BLUR_PX)
        dx, dy = cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1)
        gain = np.ones_like(light) if self._lines is None else 1 + np.float32(LOYALTY) * self._lines
        slopes = cv2.multiply(dx, gain, dtype=cv2.CV_16S), cv2.multiply(dy, gain, dtype=cv2.CV_16S)
        chains = cv2.Canny(*slopes, WEAK, STRONG, L2gradient=True)
        kept = _long_ones(np.asarray(chains, dtype=np.uint8))
        near = cv2.GaussianBlur(cv2.dilate(kept, _NEAR), (7, 7), 0)  # a step here would be a slope itself
        self._lines = np.asarray(near, dtype=np.float32) * np.float32(1 / 255)
        drawn = cv2.GaussianBlur(kept, (7, 7), 1.1)
        return np.asarray(cv2.convertScaleAbs(drawn, alpha=_LINE_GAIN), dtype=np.uint8)

    def _find_darks(self, light: Floats) -> Gray:
        """Soft coverage of what is filled, (h, w) uint8, above 127 = ink."""
        height, width = light.shape
        small = cv2.resize(light, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
        half = np.asarray(cv2.GaussianBlur(small, (9, 9), 1.6), np.float32)
        limit = SHADE * float(np.percentile(half[::4, ::4], 90))
        if self._darks is None:
            dark = half < limit
        else:
            dark = half < np.where(self._darks, np.float32(limit * STAY_DARK), np.float32(limit * BECOME_DARK))
        self._darks = dark.astype(np.uint8)
        self._wholes = self._made_whole(half, limit, self._darks)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(np.maximum(self._darks, self._wholes))
        areas = stats[:, cv2.CC_STAT_AREA]
        share = float(areas[1:].max(initial=0)) / half.size
        self._night = share > (DAY if self._night else NIGHT)
        kept = _chosen(labels, (areas >= SMALLEST_DARK_PX) & ~(self._night & (areas > DAY * half.size)))
        # One px more all round, so that no slit of paper is left between a dark and the line along it.
        filled = cv2.GaussianBlur(cv2.dilate(kept, _AROUND), (5, 5), 1.2)
        filled = cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC)
        return np.asarray(cv2.LUT(filled, _FILL), dtype=np.uint8)

    def _made_whole(self, half: Floats, limit: float, darks: Gray) -> Gray:
        """Half-dark wholes, (h, w) uint8 0 or 1, with enough shade in them."""
        before = np.zeros_like(darks) if self._wholes is None else self._wholes
        edge = np.where(before, np.float32(STAY_DARK), np.float32(BECOME_DARK)) * np.float32(HALF_DARK * limit)
        _, labels, stats, _ = cv2.connectedComponentsWithStats((half < edge).astype(np.uint8))
        areas = stats[:, cv2.CC_STAT_AREA]
        shade, filled = (np.bincount(labels[one > 0], minlength=len(areas)) / areas for one in (darks, before))
        whole = (areas > WIDE * half.size) & (shade > np.where(filled > 0.5, STILL_MOSTLY, MOSTLY))
        return np.minimum(_chosen(labels, whole), 1)


def _long_ones(chains: Gray) -> Gray:
    """Chains of single pixels, (h, w) uint8 with even sides, that are long enough: 255 where one runs.

    They are told apart at half the size, which costs a third and takes two that touch for one.
    """
    height, width = chains.shape
    pooled = cv2.resize(chains, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(np.minimum(pooled, 1), connectivity=8)
    reach = np.hypot(stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT])
    long = _chosen(labels, (2 * stats[:, cv2.CC_STAT_AREA] >= SHORTEST_PX) & (2 * reach >= 0.7 * SHORTEST_PX))
    return np.minimum(chains, cv2.resize(long, (width, height), interpolation=cv2.INTER_NEAREST))


def _chosen(labels: NDArray[Any], choice: NDArray[np.bool_]) -> Gray:
    """255 where a component is chosen; label 0 is the ground."""
    choice[0] = False
    return np.asarray(np.where(choice, 255, 0).astype(np.uint8)[labels], dtype=np.uint8)
