"""The eyes, with the finest hand: a round iris with its ring, pupil and highlight, and the dark of the lashes."""

import cv2
import numpy as np
import numpy.typing as npt

from train.npr_geometry import EYES, IRISES, SIZE, Image, Points, polygon, ramp
from train.npr_masks import Regions

# The sides and the foot of the iris; the upper lid hides the rest.
ARC = np.radians(np.concatenate([np.arange(-20, 50, 7), np.arange(130, 201, 7)]))
SHIFTS = np.stack(np.meshgrid(np.arange(-3, 3.5), np.arange(-4, 2.5), [0.76, 0.82, 0.88, 0.94, 1.0], indexing="ij"), -1)
RING_NEEDS = 0.05


def eye_ink(ratio: Image, r: Regions, landmarks: Points) -> Image:
    """Ink, float32 (512, 512) in 0..1, of lashes and irises; ``ratio`` is the light relative to the skin around."""
    lids = float(np.median(ratio[r.eyes > 0.5])) if (r.eyes > 0.5).any() else 0.8
    limit = float(np.clip(0.58 * lids, 0.24, 0.47))
    ink = (1 - ramp(ratio, limit - 0.04, limit + 0.04)) * ramp(r.eyes, 0.3, 0.6)
    for points, corners in zip(IRISES, EYES, strict=True):
        ink = np.maximum(ink, iris_ink(ratio, landmarks[list(points)], polygon(landmarks[list(corners)], 1)))
    return ink


def fit_iris(ratio: Image, ring: Points) -> tuple[float, float, float, float]:
    """Centre (x, y) and radius in px of the circle near ``ring`` whose inside is darkest against its outside, and by
    how much; ``ring`` float32 (5, 2) is the mesh's centre and four points around it."""
    radius = float(np.linalg.norm(ring[1:] - ring[0], axis=1).mean())
    tries = SHIFTS.reshape(-1, 3)
    x, y, size = ring[0, 0] + tries[:, 0], ring[0, 1] + tries[:, 1], radius * tries[:, 2]

    def light(at: Image) -> npt.NDArray[np.float64]:
        px, py = x[:, None] + at[:, None] * np.cos(ARC), y[:, None] + at[:, None] * np.sin(ARC)
        met = cv2.remap(ratio, px.astype(np.float32), py.astype(np.float32), cv2.INTER_LINEAR)
        return np.asarray(met.mean(1), dtype=np.float64)

    step = light(size + 1.3) - light(size - 1.3)
    best = int((step - 0.008 * np.hypot(tries[:, 0], tries[:, 1])).argmax())
    return float(x[best]), float(y[best]), float(size[best]), float(step[best])


def iris_ink(ratio: Image, ring: Points, opening: Image) -> Image:
    """Pupil and ring of one iris: a dark iris is black with its highlight, a pale one keeps its white."""
    x, y, radius, step = fit_iris(ratio, ring)
    canvas = np.zeros((SIZE, SIZE), np.uint8)
    centre = (round(16 * x), round(16 * y))
    disc = cv2.circle(canvas.copy(), centre, round(16 * (radius + 0.5)), (255,), -1, cv2.LINE_AA, 4)
    disc = disc.astype(np.float32) / 255 * opening
    inside = disc > 0.6
    if inside.sum() < 20:
        return np.zeros_like(ratio)
    low, high = (float(v) for v in np.percentile(ratio[inside], [15, 90]))
    limit = min(low + 0.45 * (high - low), 0.62)
    ink = (1 - ramp(ratio, limit - 0.03, limit + 0.03)) * disc
    pupil = cv2.circle(canvas.copy(), centre, round(16 * 0.36 * radius), (255,), -1, cv2.LINE_AA, 4) / np.float32(255)
    ink = np.maximum(ink, pupil * opening * (1 - ramp(ratio, limit + 0.15, limit + 0.25)))
    if step < RING_NEEDS:
        return ink
    rim = cv2.circle(canvas, centre, round(16 * radius), (255,), 1, cv2.LINE_AA, 4).astype(np.float32) / 255
    return np.maximum(ink, rim * opening * (1 - ramp(ratio, 0.58, 0.72)))
