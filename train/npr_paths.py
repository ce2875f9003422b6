"""Contours that the artist always draws: the best path along a curve known from the face mesh."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
Points = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """A contour to follow: mesh indices, how far it may stray, and the evidence (relative edge) it needs to be drawn."""

    name: str
    curve: tuple[int, ...]
    reach_px: float
    needs: float


def resample(points: Points, spacing_px: float = 2.0) -> Points:
    """Smooth curve through the points, one sample every ``spacing_px``; float32 (n, 2)."""
    p = points.astype(np.float64)
    t = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))])
    n = max(int(t[-1] / spacing_px), 4)
    u = np.linspace(0, t[-1], n)
    out = np.stack([np.interp(u, t, p[:, k]) for k in (0, 1)], 1)
    k = 9
    pad = np.concatenate([np.repeat(out[:1], k // 2, 0), out, np.repeat(out[-1:], k // 2, 0)])
    return np.stack([np.convolve(pad[:, j], np.ones(k) / k, "valid") for j in (0, 1)], 1).astype(np.float32)


def best_path(evidence: Image, curve: Points, reach_px: float, stiffness: float) -> tuple[Points, Image]:
    """Dynamic programming across the normals of ``curve``: path (n, 2) px and the evidence met there (n,)."""
    tangent = np.gradient(curve, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-6
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
    offsets = np.arange(-reach_px, reach_px + 0.5, 1.0, dtype=np.float32)
    grid = curve[:, None] + normal[:, None] * offsets[None, :, None]
    g = grid.astype(np.float32)
    score = cv2.remap(evidence, g[..., 0], g[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    score = score - 0.15 * float(score.mean()) * (offsets / reach_px) ** 2
    n, m = score.shape
    best, came = score[0].copy(), np.zeros((n, m), np.int64)
    for i in range(1, n):
        steps = np.stack([np.roll(best, s) - stiffness * abs(s) for s in (-1, 0, 1)])
        steps[0, -1] = steps[2, 0] = -1e9
        choice = steps.argmax(0)
        came[i] = np.arange(m) - (choice - 1)
        best = steps[choice, np.arange(m)] + score[i]
    at = np.empty(n, np.int64)
    at[-1] = int(best.argmax())
    for i in range(n - 1, 0, -1):
        at[i - 1] = came[i, at[i]]
    rows = np.arange(n)
    path, met = grid[rows, at], score[rows, at]
    k = 5
    pad = np.concatenate([np.repeat(path[:1], k // 2, 0), path, np.repeat(path[-1:], k // 2, 0)])
    path = np.stack([np.convolve(pad[:, j], np.ones(k) / k, "valid") for j in (0, 1)], 1)
    return path.astype(np.float32), met.astype(np.float32)


def stroke(path: Points, visible: npt.NDArray[np.bool_], width_px: npt.NDArray[np.float64]) -> Image:
    """Ink, float32 (512, 512), of the visible runs of a path, antialiased; ``width_px`` (n,) tapers towards the ends."""
    scale = 4
    low = np.floor(path.min(0)).astype(int) - 4
    high = np.ceil(path.max(0)).astype(int) + 5
    canvas = np.zeros(((high[1] - low[1]) * scale, (high[0] - low[0]) * scale), np.uint8)
    points = np.round(((path - low) * scale + scale / 2 - 0.5) * 8).astype(np.int32)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], visible.astype(np.int8), [0]])))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start < 4:
            continue
        for i in range(start, stop - 1):
            thick = max(round(float(width_px[i]) * scale), 1)
            cv2.line(canvas, points[i].tolist(), points[i + 1].tolist(), 255, thick, cv2.LINE_8, 3)
    small = cv2.resize(canvas, (high[0] - low[0], high[1] - low[1]), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    out = np.zeros((512, 512), np.float32)
    x0, y0, x1, y1 = max(low[0], 0), max(low[1], 0), min(high[0], 512), min(high[1], 512)
    if x1 > x0 and y1 > y0:
        out[y0:y1, x0:x1] = small[y0 - low[1] : y1 - low[1], x0 - low[0] : x1 - low[0]]
    return out
