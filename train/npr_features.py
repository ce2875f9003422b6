"""The face: eyes, brows and nostrils from tone; jaw, nose wings and lips as strokes along the mesh."""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from train.npr_eyes import eye_ink
from train.npr_geometry import SIZE, Image, Points, blur, ramp
from train.npr_lines import Pen, gradient, local_mean
from train.npr_masks import Regions
from train.npr_paths import Stroke, best_path, resample, stroke

JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
UPPER_LIDS = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
LOWER_LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))
STROKES = (
    Stroke(name="jaw", curve=JAW, follows="edge", reach_px=16, needs=0.03, clear_px=5),
    Stroke(name="right wing", curve=(209, 49, 129, 64, 98), follows="edge", reach_px=4, needs=0.005, clear_px=2),
    Stroke(name="left wing", curve=(429, 279, 358, 294, 327), follows="edge", reach_px=4, needs=0.005, clear_px=2),
    *(
        Stroke(name=f"{side} upper lid", curve=curve, follows="lid", reach_px=3, needs=0.0, width_px=(1.0, 2.2))
        for side, curve in zip(("right", "left"), UPPER_LIDS, strict=True)
    ),
    *(
        Stroke(name=f"{side} lower lid", curve=curve, follows="lid", reach_px=3, needs=0.02, clear_px=1)
        for side, curve in zip(("right", "left"), LOWER_LIDS, strict=True)
    ),
    Stroke(
        name="upper lip", curve=(61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291), follows="lip", reach_px=4, needs=0.06
    ),
    Stroke(
        name="lower lip",
        curve=(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291),
        follows="lip",
        reach_px=4,
        needs=0.06,
    ),
    Stroke(
        name="mouth, above",
        curve=(61, 78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 291),
        follows="mouth",
        reach_px=4,
        needs=0.0,
    ),
    Stroke(
        name="mouth, below",
        curve=(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308),
        follows="mouth",
        reach_px=3,
        needs=0.02,
        only_open=True,
    ),
)
OPEN_MOUTH_PX = 4.0


class Evidence(NamedTuple):
    """What strokes follow, float32 (512, 512) each, relative to the light around."""

    edge: Image
    lip: Image  # edges of light and of redness
    mouth: Image  # dark valleys, and edges when the mouth is open
    lid: Image  # dark valleys

    @classmethod
    def of(cls, light: Image, redness: Image, open_mouth: bool) -> "Evidence":
        """Read it from lightness and from redness (the a channel of LAB), both 0..1."""
        calm = blur(light, 1.3)
        edge = np.hypot(*gradient(calm)) / (calm + 0.1)
        warm = np.hypot(*gradient(blur(redness, 1.3))) / 0.5
        valley = np.clip(blur(light, 3.0) - blur(light, 0.8), 0, None) / (calm + 0.1) * 4
        edge_in_mouth = 0.5 if open_mouth else 0.0
        return cls(*(np.minimum(e, 0.6) for e in (edge, edge + warm, valley + edge_in_mouth * edge, valley)))


def face_strokes(light: Image, redness: Image, r: Regions, landmarks: Points, ink: Image) -> Image:
    """Strokes, float32 (512, 512) in 0..1, along known contours where the photo shows at least a faint edge.

    The jaw and the nose wings only fill gaps: they keep clear of the lines drawn already (``ink``).
    """
    open_mouth = float(np.linalg.norm(landmarks[13] - landmarks[14])) >= OPEN_MOUTH_PX
    evidence = Evidence.of(light, redness, open_mouth)
    out = np.zeros_like(light)
    for s in STROKES:
        if s.only_open and not open_mouth:
            continue
        curve = resample(landmarks[list(s.curve)])
        path, met = best_path(getattr(evidence, s.follows), curve, reach_px=s.reach_px, stiffness=0.02)
        k = min(15, len(met) // 2 * 2 - 1)
        proof = np.convolve(np.pad(met, k // 2, "edge"), np.ones(k) / k, "valid")
        x, y = np.clip(np.round(path).astype(int), 0, SIZE - 1).T
        visible = (proof >= s.needs) & (r.hair[y, x] < 0.5)
        if s.clear_px:
            size = (2 * s.clear_px + 1, 2 * s.clear_px + 1)
            near = cv2.dilate((ink > 0.5).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, size))
            visible &= np.asarray(near)[y, x] == 0
        width: npt.NDArray[np.float64] = np.interp(proof, [s.needs, s.needs + 0.15], list(s.width_px))
        out = np.maximum(out, stroke(path, visible, width))
    return out


def feature_ink(pen: Pen, r: Regions, landmarks: Points) -> Image:
    """Dark masses inside the face: pupils, lashes, nostrils, brows, the open mouth."""
    fine = blur(pen.light, 0.7)
    around = local_mean(fine, r.face * (1 - r.brows) * (1 - r.eyes) * r.skin + 1e-3, 22)
    ratio = fine / (around + 0.02)
    eye = eye_ink(ratio, r, landmarks)
    nostril = (1 - ramp(ratio, 0.42, 0.50)) * ramp(r.nose_base, 0.4, 0.7)
    cavity = (1 - ramp(blur(ratio, 1.6), 0.28, 0.34)) * ramp(r.mouth, 0.4, 0.7)
    return np.maximum(np.maximum(eye, nostril), np.maximum(cavity, brow_ink(pen, around, r)))


def brow_ink(pen: Pen, around: Image, r: Regions) -> Image:
    """Brows, the faint ones too: the threshold follows each face's own brows, and pale brows are hatched."""
    ratio = pen.flowing / (around + 0.02)
    inside = r.brows > 0.5
    dark = float(np.percentile(ratio[inside], 10)) if inside.any() else 0.6
    share, hatch = (float(np.interp(dark, [0.45, 0.70], ends)) for ends in ([0.50, 0.42], [0.5, 1.0]))
    middle = float(np.clip(dark + share * (1 - dark), 0.42, 0.82))
    scale = 0.25 * (1 - dark) + 0.02
    hairs = pen.fine / (np.sqrt(local_mean(pen.fine**2, r.brows + 1e-4, 10)) + 0.003)
    depth = (middle - ratio) / scale + hatch * np.clip(hairs, -2.5, 2.5)
    return ramp(depth, -0.15, 0.15) * ramp(r.brows, 0.35, 0.65)
