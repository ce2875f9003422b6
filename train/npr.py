"""The synthetic teacher: draws an aligned portrait in ink, region by region, without any learned weights."""

import cv2
import numpy as np
import numpy.typing as npt

from train.npr_features import face_strokes, feature_ink
from train.npr_hair import beard_ink, hair_ink
from train.npr_lines import Image, Pen, across, along, crest, keep_components, local_mean, tangent_flow
from train.npr_masks import CHIN, SIZE, Points, Regions, find_regions, ramp


def draw(photo: npt.NDArray[np.uint8], landmarks: Points, matte: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Draw a portrait: ``photo`` uint8 (512, 512, 3) RGB, ``landmarks`` float32 (478, 2) px, ``matte`` uint8 (512, 512)."""
    regions = find_regions(photo, landmarks, matte)
    raw = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 0] / 100
    smooth = cv2.cvtColor(photo, cv2.COLOR_RGB2LAB)
    for _ in range(2):
        smooth = cv2.bilateralFilter(smooth, 9, 30, 5)
    light = smooth[..., 0].astype(np.float32) / 255
    pen = Pen.of(raw)

    known = np.maximum(regions.lips, regions.brows * (1 - ramp(regions.eyes, 0.2, 0.6)))
    ink = contour_ink(light, regions) * (1 - ramp(known, 0.3, 0.7))
    ink = np.maximum(ink, face_strokes(light, smooth, regions, landmarks, ink))
    ink = np.maximum(ink, feature_ink(pen, regions))
    ink = np.maximum(ink, beard_ink(pen, regions))
    ink = np.maximum(ink * (1 - ramp(regions.hair, 0.4, 0.8)), hair_ink(pen, regions))
    ink = np.maximum(ink, cloth_ink(light, regions))
    ink = np.maximum(ink, silhouette_ink(ink, regions, landmarks))
    return finish(ink, regions)


def contour_ink(light: Image, r: Regions) -> Image:
    """Thin lines of the whole picture, with a threshold that follows the region."""
    tx, ty = tangent_flow(light, 2.5)
    response = along(across(light, tx, ty, 0.8), tx, ty, 3.0)
    threshold = 0.018 + 0.020 * r.skin * r.face
    threshold = threshold - 0.022 * r.eyes * r.face - 0.012 * r.nose_base
    threshold = np.clip(threshold, 0.010, None) + 0.01 * r.clothes
    strength = response / threshold
    shape = crest(response, tx, ty) - 0.12 * r.face * (1 - r.eyes)
    ink = ramp(shape, 0.5, 0.8) * ramp(strength, 0.5, 0.8)
    seed = ink > 0.3
    small = np.maximum(r.eyes, r.nose_base) > 0.5
    kept = keep_components(seed, strength, 1.6, 18) | keep_components(seed, strength, 1.05, 70)
    kept |= small & keep_components(seed, strength, 1.0, 5)
    return ink * cv2.dilate(kept.astype(np.uint8), np.ones((3, 3), np.uint8))


def cloth_ink(light: Image, r: Regions) -> Image:
    """Dark clothes are solid black with a few white folds; light clothes are left to the lines."""
    cloth = ramp(r.clothes, 0.35, 0.65)
    calm = cv2.GaussianBlur(light, (0, 0), 1.3)
    dark = (1 - ramp(calm, 0.42, 0.48)) * cloth
    tone = local_mean(calm, dark + 1e-4, 16.0)
    garment = 1 - ramp(tone, 0.355, 0.375)
    solid = garment * (1 - ramp(calm - tone, 0.08, 0.11)) * cloth
    return np.maximum(solid, (1 - ramp(calm, 0.17, 0.20)) * cloth)


def silhouette_ink(ink: Image, r: Regions, landmarks: Points) -> Image:
    """The outline of head and neck where no line was found, as on a bald head before a bright wall."""
    body = (cv2.GaussianBlur(r.body, (0, 0), 2.5) > 0.5).astype(np.uint8)
    depth = cv2.distanceTransform(body, cv2.DIST_L2, 3)
    ring = ((depth > 0.5) & (depth < 2.6)).astype(np.float32)
    near = cv2.dilate((ink > 0.5).astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (15, 15)))
    below = np.arange(SIZE, dtype=np.float32)[:, None] - landmarks[CHIN, 1]
    ring = ring * (1 - near) * (1 - ramp(below, 60, 70))
    border = np.zeros_like(ring)
    border[3:-3, 3:-3] = 1
    return ramp(cv2.GaussianBlur(ring, (0, 0), 0.7), 0.35, 0.65) * border


def finish(ink: Image, r: Regions) -> npt.NDArray[np.uint8]:
    """Cut to the person, sharpen the edges to near-binary and drop specks."""
    ink = ramp(ink * ramp(r.person, 0.3, 0.5) * r.inside, 0.22, 0.78)
    black = ink > 0.5
    _, labels, stats, _ = cv2.connectedComponentsWithStats(black.astype(np.uint8), connectivity=8)
    skin = (np.maximum(r.skin, r.face) * (1 - r.hair) * (1 - np.maximum(r.eyes, r.brows))) > 0.5
    on_skin = np.bincount(labels[skin], minlength=len(stats)) > 0.5 * stats[:, 4]
    keep = stats[:, 4] >= np.where(on_skin, 16, 6)
    keep[0] = False
    near = cv2.dilate(keep[labels].astype(np.uint8), np.ones((3, 3), np.uint8))
    out = 255 - np.round(255 * ink * near)
    assert out.shape == (SIZE, SIZE)
    return out.astype(np.uint8)
