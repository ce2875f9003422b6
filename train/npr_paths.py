"""Contours that the artist always draws: the best path along a curve known from the face mesh."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from train.npr_geometry import SIZE, Image, Mask, Points

SCALE = 4


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """A contour to follow, and when to draw it."""

    name: str
    curve: tuple[int, ...]  # mesh indices
    follows: Literal["edge", "lip", "mouth", "lid"]  # the evidence
    reach_px: float  # how far it may stray from the mesh
    needs: float  # least evidence
    clear_px: int = 0  # distance to keep from lines drawn before
    only_open: bool = False  # only for an open mouth
    width_px: tuple[float, float] = (0.9, 1.45)  # where the evidence is faint, and where it is strong


def resample(points: Points, spacing_px: float = 2.0) -> Points:
    """Smooth curve through the points, one sample every ``spacing_px``; float32 (n, 2)."""
    p = points.astype(np.float64)
    t = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))])
    u = np.linspace(0, t[-1], max(int(t[-1] / spacing_px), 4))
    return _smooth(np.stack([np.interp(u, t, p[:, k]) for k in (0, 1)], 1), 9)


def best_path(
    evidence: Image, curve: Points, *, reach_px: float, stiffness: float
) -> tuple[Points, npt.NDArray[np.float32]]:
    """The path near ``curve`` that meets most evidence, by dynamic programming across its normals.

    Args:
        evidence: float32 (512, 512), larger where the contour is likely.
        curve: float32 (n, 2) px, evenly spaced.
        reach_px: how far the path may leave the curve.
        stiffness: evidence it costs to step one pixel aside between two samples.

    Returns:
        The path, float32 (n, 2) px, and the evidence met, float32 (n,).
    """
    tangent = np.gradient(curve, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-6
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
    offsets = np.arange(-reach_px, reach_px + 0.5, 1.0, dtype=np.float32)
    grid = (curve[:, None] + normal[:, None] * offsets[None, :, None]).astype(np.float32)
    score = cv2.remap(evidence, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    score = score - 0.15 * float(score.mean()) * (offsets / reach_px) ** 2
    rows, at = np.arange(len(curve)), _climb(score.astype(np.float32), stiffness)
    return _smooth(grid[rows, at], 7), score[rows, at].astype(np.float32)


def stroke(path: Points, visible: Mask, width_px: npt.NDArray[np.float64]) -> Image:
    """Ink, float32 (512, 512) in 0..1, of the visible runs of a path, antialiased, ``width_px`` (n,) thick, tapered."""
    low, high = np.floor(path.min(0)).astype(int) - 4, np.ceil(path.max(0)).astype(int) + 5
    width, height = int(high[0] - low[0]), int(high[1] - low[1])
    canvas = np.zeros((height * SCALE, width * SCALE), np.uint8)
    points = np.round(((path - low) * SCALE + SCALE / 2 - 0.5) * 8).astype(np.int32)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], visible.astype(np.int8), [0]])))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start < 4:
            continue
        ends = np.minimum(np.arange(stop - start), np.arange(stop - start)[::-1])
        taper = np.interp(ends, [0, 4], [0.6, 1.0])
        for i in range(start, stop - 1):
            thick = max(round(float(width_px[i] * taper[i - start]) * SCALE), 1)
            cv2.line(canvas, points[i].tolist(), points[i + 1].tolist(), (255,), thick, cv2.LINE_8, 3)
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    out = np.zeros((SIZE, SIZE), np.float32)
    x0, y0, x1, y1 = max(low[0], 0), max(low[1], 0), min(high[0], SIZE), min(high[1], SIZE)
    if x1 > x0 and y1 > y0:
        out[y0:y1, x0:x1] = small[y0 - low[1] : y1 - low[1], x0 - low[0] : x1 - low[0]]
    return out


def _climb(score: Image, stiffness: float) -> npt.NDArray[np.int64]:
    """Column (n,) of the best path through ``score`` (n, m), at most one column aside a row."""
    n, m = score.shape
    columns = np.arange(m)
    best, came = score[0].copy(), np.zeros((n, m), np.int64)
    for i in range(1, n):
        steps = np.stack([np.roll(best, s) - stiffness * abs(s) for s in (-1, 0, 1)])
        steps[0, -1] = steps[2, 0] = -1e9
        choice = steps.argmax(0)
        came[i] = columns - (choice - 1)
        best = steps[choice, columns] + score[i]
    at = np.empty(n, np.int64)
    at[-1] = int(best.argmax())
    for i in range(n - 1, 0, -1):
        at[i - 1] = came[i, at[i]]
    return at


def _smooth(path: npt.NDArray[np.floating], k: int) -> Points:
    """Moving average of ``k`` samples, the ends held."""
    pad = np.concatenate([np.repeat(path[:1], k // 2, 0), path, np.repeat(path[-1:], k // 2, 0)])
    return np.stack([np.convolve(pad[:, j], np.ones(k) / k, "valid") for j in (0, 1)], 1).astype(np.float32)
