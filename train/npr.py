"""The synthetic teacher: draws an aligned portrait in ink, region by region, without any learned weights.

Its parts: thin flow-guided lines with a threshold that follows the region; strokes along the mesh for jaw, nose and
mouth; dark masses for eyes, brows and nostrils; hair and beards as black masses with white strands; dark clothes in
solid black.
"""

import cv2
import numpy as np
import numpy.typing as npt

from train.npr_features import face_strokes, feature_ink
from train.npr_geometry import CHIN, SIZE, Image, Mask, Photo, Points, blur, ramp
from train.npr_hair import beard_ink, hair_ink, pen_strokes
from train.npr_lines import Pen, across, along, crest, keep_components, local_mean, tangent_flow
from train.npr_masks import Regions, find_regions


def draw(photo: Photo, landmarks: Points, matte: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Draw one portrait.

    Args:
        photo: uint8 (512, 512, 3) RGB, aligned to the template of the paper; white padding allowed.
        landmarks: float32 (478, 2), MediaPipe face mesh in px of the square.
        matte: uint8 (512, 512), 255 on the person.

    Returns:
        The drawing, uint8 (512, 512), 0 = ink, 255 = paper; grey only on antialiased edges.

    Raises:
        ValueError: wrong shape or type, or no face inside the square.
    """
    _check(photo, landmarks, matte)
    r = find_regions(photo, landmarks, matte)
    pen = Pen.of(cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 0] / 100)
    lab = cv2.cvtColor(photo, cv2.COLOR_RGB2LAB)
    for _ in range(2):
        lab = cv2.bilateralFilter(lab, 9, 30, 5)
    light, redness = (lab[..., k].astype(np.float32) / 255 for k in (0, 1))

    # Before a dark wall the line of the cheek runs just outside the person.
    near_body = ramp(np.asarray(cv2.dilate(r.body, np.ones((7, 7), np.uint8)), np.float32), 0.36, 0.46)
    body = ramp(r.body, 0.36, 0.46)
    drawn_apart = np.maximum(r.lips, r.brows * (1 - ramp(r.eyes, 0.2, 0.6)))
    ink = contour_ink(light, r) * (1 - ramp(drawn_apart, 0.3, 0.7)) * near_body
    ink = np.maximum(ink, feature_ink(pen, r, landmarks))
    ink = np.maximum(ink, face_strokes(light, redness, r, landmarks, ink))
    ink = np.maximum(ink, beard_ink(pen, r))
    ink = np.maximum(ink * (1 - ramp(r.hair, 0.4, 0.8)), hair_ink(pen, r) * body)
    ink = np.maximum(ink, cloth_ink(light, r) * body)
    ink = np.maximum(ink, silhouette_ink(ink, r, float(landmarks[CHIN, 1])))
    return finish(ink, r)


def with_pen_strokes(
    drawing: npt.NDArray[np.uint8], photo: Photo, landmarks: Points, matte: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    """An artist's drawing with its hair drawn anew, as strokes that lie where the photo's locks do.

    An artist's own lie where they please, so a network that is to learn them learns their mean, a grey.

    Args and errors as :func:`draw`; ``drawing`` is uint8 (512, 512), 0 = ink, and so is what is returned.
    """
    _check(photo, landmarks, matte)
    r = find_regions(photo, landmarks, matte)
    light = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 0] / 100
    kept = (1 - drawing.astype(np.float32) / 255) * (1 - ramp(r.hair, 0.3, 0.6))
    return np.asarray(255 - np.round(255 * np.maximum(kept, pen_strokes(light, r))), dtype=np.uint8)


def contour_ink(light: Image, r: Regions) -> Image:
    """Thin lines of the whole picture, with a threshold that follows the region."""
    flow = tangent_flow(light, 2.5)
    response = along(across(light, flow, 0.8), flow, 3.0)
    threshold = 0.018 + 0.020 * r.skin * r.face
    threshold = threshold - 0.022 * r.eyes * r.face - 0.012 * r.nose_base
    threshold = np.clip(threshold, 0.010, None) + 0.01 * r.clothes
    strength = response / threshold
    # Narrow to the crest, and narrower where the line is faint, so that it tapers out.
    least = 0.76 - 0.16 * ramp(strength, 0.8, 3.0) + 0.06 * r.face * (1 - r.eyes)
    ink = ramp(crest(response, flow) - least, 0.0, 0.22) * ramp(strength, 0.5, 0.8)
    seed = ink > 0.3
    small = np.maximum(r.eyes, r.nose_base) > 0.5
    kept = keep_components(seed, strength, enough=1.6, min_area=18)
    kept |= keep_components(seed, strength, enough=1.05, min_area=70)
    kept |= small & keep_components(seed, strength, enough=1.0, min_area=5)
    return ink * cv2.dilate(kept.astype(np.uint8), np.ones((3, 3), np.uint8))


def cloth_ink(light: Image, r: Regions) -> Image:
    """Dark clothes are solid black with a few white folds; light clothes are left to the lines."""
    cloth = ramp(r.clothes, 0.35, 0.65)
    calm = blur(light, 1.3)
    dark = (1 - ramp(calm, 0.42, 0.48)) * cloth
    tone = local_mean(calm, dark + 1e-4, 16.0)
    garment = 1 - ramp(tone, 0.355, 0.375)
    solid = garment * (1 - ramp(calm - tone, 0.08, 0.11)) * cloth
    return np.maximum(solid, (1 - ramp(calm, 0.17, 0.20)) * cloth)


def silhouette_ink(ink: Image, r: Regions, chin_y: float) -> Image:
    """The outline of head and neck where no line was found, as on a bald head before a bright wall."""
    body = (blur(r.body, 2.5) > 0.5).astype(np.uint8)
    depth = cv2.distanceTransform(body, cv2.DIST_L2, 3)
    edge = ((depth > 0.5) & (depth < 2.6)).astype(np.float32)
    near = cv2.dilate((ink > 0.5).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (15, 15)))
    below = np.arange(SIZE, dtype=np.float32)[:, None] - chin_y
    ring = edge * (1 - near) * (1 - ramp(below, 60, 70))
    border = np.zeros_like(ring)
    border[3:-3, 3:-3] = 1
    return ramp(blur(ring, 0.7), 0.35, 0.65) * border


def finish(ink: Image, r: Regions) -> npt.NDArray[np.uint8]:
    """Cut to the photo, sharpen the edges to near-binary and drop specks, black and white."""
    ink = ramp(ink * r.inside, 0.22, 0.78)
    ink = np.maximum(ink, pinholes(ink <= 0.5, 8) * (1 - ramp(r.eyes, 0.2, 0.5)))
    black = ink > 0.5
    _, labels, stats, _ = cv2.connectedComponentsWithStats(black.astype(np.uint8), connectivity=8)
    area = stats[:, cv2.CC_STAT_AREA]
    skin = (np.maximum(r.skin, r.face) * (1 - r.hair) * (1 - np.maximum.reduce([r.eyes, r.brows, r.grey_beard]))) > 0.5
    on_skin = np.bincount(labels[skin], minlength=len(stats)) > 0.5 * area
    keep = area >= np.where(on_skin, 16, 6)
    keep[0] = False
    near = cv2.dilate(keep[labels].astype(np.uint8), np.ones((3, 3), np.uint8))
    core = cv2.erode(black.astype(np.uint8), np.ones((3, 3), np.uint8))
    return np.asarray(255 - np.round(255 * np.maximum(ink, core) * near), dtype=np.uint8)


def pinholes(white: Mask, area: int) -> Image:
    """1 on islands of ``white`` smaller than ``area`` px: no hand leaves them in a mass of hair."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(white.astype(np.uint8), connectivity=8)
    return np.asarray((stats[:, cv2.CC_STAT_AREA] < area)[labels], dtype=np.float32)


def _check(photo: Photo, landmarks: Points, matte: npt.NDArray[np.uint8]) -> None:
    if photo.shape != (SIZE, SIZE, 3) or photo.dtype != np.uint8:
        raise ValueError(
            f"not an aligned photo; expected uint8 (512, 512, 3); got {photo.dtype} {photo.shape}; align it first"
        )
    if landmarks.shape != (478, 2) or not np.isfinite(landmarks).all():
        raise ValueError(
            f"not a face mesh; expected 478 finite points (478, 2); got {landmarks.shape}; track the face again"
        )
    if matte.shape != (SIZE, SIZE) or matte.dtype != np.uint8:
        raise ValueError(
            f"not a matte; expected uint8 (512, 512); got {matte.dtype} {matte.shape}; resize it to the photo"
        )
