"""Shapes of an aligned portrait: mesh outlines as soft masks, and the small tools that masks are made with."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.floating]  # float32 by habit; mixing in a Python float may type it wider
Mask = npt.NDArray[np.bool_]
Points = npt.NDArray[np.float32]
Photo = npt.NDArray[np.uint8]

SIZE = 512
OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
        148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip
EYES = (
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
)
IRISES = ((468, 469, 470, 471, 472), (473, 474, 475, 476, 477))
BROWS = (
    (70, 63, 105, 66, 107, 55, 65, 52, 53, 46),
    (300, 293, 334, 296, 336, 285, 295, 282, 283, 276),
)
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
MOUTH = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
NOSE_BASE = (129, 64, 98, 97, 2, 326, 327, 294, 358, 278, 440, 275, 4, 45, 220, 48)
CHIN_PATCH = (18, 200, 199, 175, 83, 313)
UPPER_LIP_PATCH = (164, 37, 267, 92, 322, 0)
CHIN, NOSE_FOOT = 152, 2
BROW_ENDS, EYE_CORNERS, MOUTH_CORNERS, EARS, NOSE_CORNERS = (70, 300), (33, 263), (61, 291), (234, 454), (98, 327)


def ramp(x: Image, low: float, high: float) -> Image:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def blur(image: Image, sigma: float) -> Image:
    """Gaussian blur, ``sigma`` in pixels."""
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma), dtype=np.float32)


def polygon(points: Points, grow_px: int = 0, soften_px: float = 0.0) -> Image:
    """Filled polygon as float32 (512, 512) in 0..1, grown (shrunk when negative) and softened by so many pixels."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], (255,), cv2.LINE_AA, 4)
    if grow_px:
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(grow_px) + 1, 2 * abs(grow_px) + 1))
        mask = (cv2.dilate(mask, disc) if grow_px > 0 else cv2.erode(mask, disc)).astype(np.uint8)
    out = mask.astype(np.float32) / 255
    return blur(out, soften_px) if soften_px else out


def hull(landmarks: Points, which: Sequence[int]) -> Points:
    """Convex hull of some landmarks, float32 (n, 2)."""
    return np.asarray(cv2.convexHull(landmarks[list(which)].astype(np.float32))[:, 0], dtype=np.float32)


def outside_oval(landmarks: Points) -> Image:
    """Distance (px) outside the face oval, negative inside."""
    face = (polygon(landmarks[list(OVAL)]) > 0.5).astype(np.uint8)
    out = cv2.distanceTransform(1 - face, cv2.DIST_L2, 3) - cv2.distanceTransform(face, cv2.DIST_L2, 3)
    return np.asarray(out, dtype=np.float32)


def beard_growth(landmarks: Points) -> Image:
    """Where beards grow: chin and jaw below a line from the ears to the mouth, and the upper lip; soft above."""
    p, up = landmarks, np.array([0, -1], np.float32)
    (rx, ry), (lx, ly) = (p[i] for i in MOUTH_CORNERS)
    outline = [
        p[EARS[0]] + 20 * up, [rx - 14, ry - 6], [rx - 8, ry - 14], p[NOSE_CORNERS[0]] - 2 * up, p[NOSE_FOOT] - 4 * up,
        p[NOSE_CORNERS[1]] - 2 * up, [lx + 8, ly - 14], [lx + 14, ly - 6], p[EARS[1]] + 20 * up, [540, 540], [-28, 540],
    ]  # fmt: skip
    return polygon(np.array(outline, np.float32), 0, 5)


def padding(photo: Photo) -> Image:
    """1 inside the photo, 0 in (and close to) the white padding that touches the border of the square."""
    white = (photo.min(2) >= 252).astype(np.uint8)
    white = cv2.morphologyEx(white, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8)).astype(np.uint8)
    ring = cv2.copyMakeBorder(white, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(1,)).astype(np.uint8)
    cv2.floodFill(ring, None, (0, 0), (2,))
    outside = (ring[1:-1, 1:-1] == 2).astype(np.uint8)
    return 1 - cv2.dilate(outside, np.ones((9, 9), np.uint8)).astype(np.float32)


def guided(guide: Image, mask: Image, radius: int = 6, eps: float = 2e-3) -> Image:
    """Guided filter: pull a coarse mask to the edges of the guide. He et al., ECCV 2010, eq. 5, 6 and 8."""

    def box(x: Image) -> Image:
        return np.asarray(cv2.blur(x, (2 * radius + 1, 2 * radius + 1)), dtype=np.float32)

    mean_guide, mean_mask = box(guide), box(mask)
    a = (box(guide * mask) - mean_guide * mean_mask) / (box(guide * guide) - mean_guide * mean_guide + eps)
    b = mean_mask - a * mean_guide
    return np.clip(box(a) * guide + box(b), 0, 1)
