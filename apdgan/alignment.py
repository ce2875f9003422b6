"""Where a face lies in the drawing square: template, similarity fit, part boxes. numpy only.

The trainer and the live program share this file, so a face is placed the same way when a network is taught and when
it is used. Sizes are pixels of the 512 x 512 square. Source: CVPR 2019 paper, section 3; REFERENCE facts in README.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIZE = 512
"""Side of the aligned square, in pixels."""

TEMPLATE: NDArray[np.float64] = (
    np.array([(180, 230), (300, 230), (240, 301), (186, 365.6), (294, 365.6)], dtype=np.float64) - 240
) / 560 * 512 + 256
"""(5, 2) float64: image-left eye, image-right eye, nose tip, left and right mouth corner, as the authors print them."""

PART_SIZES: tuple[tuple[int, int], ...] = ((112, 80), (112, 80), (96, 96), (128, 80))
"""Width and height of the left-eye, right-eye, nose and mouth boxes."""

ALIGNED_TOLERANCE = 24.0
"""A square picture whose fit moves no corner further than this (px) counts as already aligned."""


def fit_similarity(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Similarity that takes picture coordinates to the aligned square.

    The authors fit by least squares from *template to photo* and invert; a forward fit rounds differently.

    Args:
        points: (5, 2) float, the five landmarks in picture pixels.
    Returns:
        (2, 3) float64 matrix, picture -> square.
    Raises:
        ValueError: the shape is not (5, 2), a value is not finite, or the points coincide.
    """
    pts = np.asarray(points, dtype=np.float64)
    if pts.shape != (5, 2) or not np.isfinite(pts).all():
        raise ValueError(f"expected five finite landmarks of shape (5, 2), got shape {pts.shape}")
    # p = [a -b; b a] t + (tx, ty), solved in closed form about the two centroids.
    t_mean, p_mean = TEMPLATE.mean(0), pts.mean(0)
    t, p = TEMPLATE - t_mean, pts - p_mean
    norm = (t**2).sum()
    a = (t * p).sum() / norm
    b = (t[:, 0] * p[:, 1] - t[:, 1] * p[:, 0]).sum() / norm
    scale2 = a * a + b * b
    if scale2 < 1e-8:
        raise ValueError("expected five landmarks spread over a face, got points that coincide")
    inverse = np.array([[a, b], [-b, a]]) / scale2
    return np.hstack([inverse, (t_mean - inverse @ p_mean)[:, None]])


def transform(matrix: NDArray[np.floating], points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Apply a (2, 3) matrix to (N, 2) points."""
    m = np.asarray(matrix, dtype=np.float64)
    return np.asarray(points, dtype=np.float64) @ m[:, :2].T + m[:, 2]


def invert(matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    """Inverse of a (2, 3) similarity or affine matrix, again (2, 3)."""
    m = np.asarray(matrix, dtype=np.float64)
    inverse = np.linalg.inv(m[:, :2])
    return np.hstack([inverse, -(inverse @ m[:, 2])[:, None]])


def is_aligned(matrix: NDArray[np.floating], width: int, height: int) -> bool:
    """True when a picture is 512 x 512 and the fit moves no corner by more than ``ALIGNED_TOLERANCE`` px."""
    if (width, height) != (SIZE, SIZE):
        return False
    corners = np.array([(0, 0), (SIZE, 0), (0, SIZE), (SIZE, SIZE)], dtype=np.float64)
    return bool(np.abs(np.linalg.norm(transform(matrix, corners) - corners, axis=1)).max() <= ALIGNED_TOLERANCE)


def boxes(landmarks: NDArray[np.floating]) -> NDArray[np.int32]:
    """Top-left corners of the four part boxes (left eye, right eye, nose, mouth).

    Landmarks are rounded, the centre rules of the paper's code applied, then each box is shifted to lie inside the
    square (the original leaves a box that leaves the picture undefined).

    Args:
        landmarks: (5, 2) or (B, 5, 2) float, pixels of the square.
    Returns:
        (4, 2) or (B, 4, 2) int32, x then y.
    Raises:
        ValueError: another shape, or a value that is not finite.
    """
    pts = np.asarray(landmarks, dtype=np.float64)
    if pts.shape[-2:] != (5, 2) or pts.ndim not in (2, 3) or not np.isfinite(pts).all():
        raise ValueError(f"expected finite landmarks of shape (5, 2) or (B, 5, 2), got shape {pts.shape}")
    pts = np.rint(np.clip(pts, -1e6, 1e6)).astype(np.int64)
    mouth = np.trunc((pts[..., 3, :] + pts[..., 4, :]) / 2).astype(np.int64)
    up8, up16 = np.array([0, 8]), np.array([0, 16])
    centres = np.stack([pts[..., 0, :] - up8, pts[..., 1, :] - up8, pts[..., 2, :] - up16, mouth], axis=-2)
    sizes = np.array(PART_SIZES, dtype=np.int64)
    return np.clip(centres - sizes // 2, 0, SIZE - sizes).astype(np.int32)


def read_landmarks(path: Path) -> NDArray[np.float64]:
    """Five ``x y`` lines of a landmark file, used exactly as printed (they are 1-based, and used as 0-based).

    Returns:
        (5, 2) float64.
    Raises:
        ValueError: not five lines of two finite numbers; names the file, the line and what was found.
    """
    lines = [
        (i, line.split()) for i, line in enumerate(path.read_text(errors="replace").splitlines(), 1) if line.strip()
    ]
    points = []
    for number, line in lines:
        try:
            points.append([float(v) for v in line])
        except ValueError:
            points.append([])
        if len(points[-1]) != 2 or not np.isfinite(points[-1]).all():
            raise ValueError(f"{path}: expected five lines 'x y', got {' '.join(line)[:40]!r} in line {number}")
    if len(points) != 5:
        raise ValueError(f"{path}: expected five lines 'x y', got {len(lines)} lines")
    return np.array(points, dtype=np.float64)
