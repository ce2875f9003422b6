"""The face: eyes, brows and nostrils from tone; jaw, nose wings and lips as strokes along the mesh."""

import cv2
import numpy as np
import numpy.typing as npt

from train.npr_lines import Image, Pen, local_mean
from train.npr_masks import SIZE, Points, Regions, ramp
from train.npr_paths import Stroke, best_path, resample, stroke

STROKES = (
    Stroke(name="jaw", curve=(234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454), reach_px=16, needs=0.03),
    Stroke(name="right wing", curve=(131, 49, 48, 64, 98), reach_px=5, needs=0.012),
    Stroke(name="left wing", curve=(360, 279, 278, 294, 327), reach_px=5, needs=0.012),
    Stroke(name="upper lip", curve=(61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291), reach_px=4, needs=0.06),
    Stroke(name="lower lip", curve=(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291), reach_px=4, needs=0.06),
    Stroke(name="mouth, above", curve=(61, 78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 291), reach_px=4, needs=0.0),
    Stroke(name="mouth, below", curve=(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308), reach_px=3, needs=0.02),
)  # fmt: skip


def face_strokes(light: Image, lab: npt.NDArray[np.uint8], r: Regions, landmarks: Points, ink: Image) -> Image:
    """Strokes that follow known contours where the photo shows at least a faint edge and no line is drawn yet."""
    calm = cv2.GaussianBlur(light, (0, 0), 1.3)
    edge = np.hypot(cv2.Sobel(calm, cv2.CV_32F, 1, 0), cv2.Sobel(calm, cv2.CV_32F, 0, 1)) / (calm + 0.1)
    red = cv2.GaussianBlur(lab[..., 1].astype(np.float32) / 255, (0, 0), 1.3)
    warm = np.hypot(cv2.Sobel(red, cv2.CV_32F, 1, 0), cv2.Sobel(red, cv2.CV_32F, 0, 1)) / 0.5
    valley = np.clip(cv2.GaussianBlur(light, (0, 0), 3.0) - cv2.GaussianBlur(light, (0, 0), 0.8), 0, None) / (calm + 0.1) * 4
    out = np.zeros_like(light)
    gap = float(np.linalg.norm(landmarks[13] - landmarks[14]))
    for s in STROKES:
        mouth, lip = s.name.startswith("mouth"), s.name.endswith("lip")
        if s.name == "mouth, below" and gap < 4:
            continue
        evidence = valley + (0.0 if gap < 4 else 0.5) * edge if mouth else edge + warm if lip else edge
        path, met = best_path(np.minimum(evidence, 0.6), resample(landmarks[list(s.curve)]), s.reach_px, 0.02)
        k = min(15, len(met) // 2 * 2 - 1)
        met = np.convolve(np.pad(met, k // 2, "edge"), np.ones(k) / k, "valid")
        at = np.clip(np.round(path).astype(int), 0, SIZE - 1)
        free = r.hair[at[:, 1], at[:, 0]] < 0.5
        if s.name == "jaw" or s.name.endswith("wing"):
            size = 11 if s.name == "jaw" else 5
            near = cv2.dilate((ink > 0.5).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
            free &= near[at[:, 1], at[:, 0]] == 0
        width = np.interp(met, [s.needs, s.needs + 0.15], [1.1, 2.0])
        out = np.maximum(out, stroke(path, (met >= s.needs) & free, width))
    return out


def feature_ink(pen: Pen, r: Regions) -> Image:
    """Dark masses inside the face: pupils, lashes, nostrils, brows, the open mouth."""
    fine = cv2.GaussianBlur(pen.light, (0, 0), 0.7)
    around = local_mean(fine, r.face * (1 - r.brows) * (1 - r.eyes) * r.skin + 1e-3, 22)
    ratio = fine / (around + 0.02)
    lids = float(np.median(ratio[r.eyes > 0.5])) if (r.eyes > 0.5).any() else 0.8
    limit = float(np.clip(0.58 * lids, 0.24, 0.47))
    eye = (1 - ramp(ratio, limit - 0.04, limit + 0.04)) * ramp(r.eyes, 0.3, 0.6)
    for disc in r.irises:
        eye = np.maximum(eye, iris_ink(ratio, disc))
    nostril = (1 - ramp(ratio, 0.42, 0.50)) * ramp(r.nose_base, 0.4, 0.7)
    cavity = (1 - ramp(cv2.GaussianBlur(ratio, (0, 0), 1.0), 0.30, 0.36)) * ramp(r.mouth, 0.4, 0.7)
    return np.maximum(np.maximum(eye, nostril), np.maximum(cavity, brow_ink(pen, around, r)))


def iris_ink(ratio: Image, disc: Image) -> Image:
    """Pupil and ring of one iris: a dark iris is black with its highlight, a pale one keeps its white."""
    inside = disc > 0.6
    if inside.sum() < 20:
        return np.zeros_like(ratio)
    low, high = (float(v) for v in np.percentile(ratio[inside], [15, 90]))
    limit = min(low + 0.45 * (high - low), 0.62)
    return (1 - ramp(ratio, limit - 0.03, limit + 0.03)) * disc


def brow_ink(pen: Pen, around: Image, r: Regions) -> Image:
    """Brows, the faint ones too: the threshold follows each face's own brows."""
    ratio = pen.flowing / (around + 0.02)
    inside = r.brows > 0.5
    dark = float(np.percentile(ratio[inside], 10)) if inside.any() else 0.6
    middle = float(np.clip(dark + 0.54 * (1 - dark), 0.42, 0.85))
    scale = 0.25 * (1 - dark) + 0.02
    depth = (middle - ratio) / scale + 3.0 * np.clip(pen.fine, -0.06, 0.06) / (1 - dark + 0.1)
    return ramp(depth, -0.15, 0.15) * ramp(r.brows, 0.35, 0.65)
