"""Figures that compare ink drawings.

Every function takes drawings as uint8 (H, W) arrays, 0 = ink, 255 = paper. *Ink* is every pixel darker than 128.
Distances are in pixels and speak of the 512 square. An empty drawing has no distance to anything: ``chamfer`` is
infinite and the F1 figures are 0, unless both drawings are empty, which is a perfect match.
"""

import cv2
import numpy as np
import numpy.typing as npt

Drawing = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

INK_BELOW = 128
GREY_RANGE = (40, 215)
SOLID_RADIUS_PX = 4.0


def ink_of(drawing: Drawing) -> Mask:
    """Ink mask, bool (H, W), of a uint8 (H, W) drawing.

    Raises ValueError when the drawing is not a two-dimensional uint8 array.
    """
    if drawing.ndim != 2 or drawing.dtype != np.uint8:
        raise ValueError(
            f"not a drawing; expected uint8 (H, W); got {drawing.dtype} {drawing.shape}; convert it to grey first"
        )
    return drawing < INK_BELOW


def outline_of(ink: Mask) -> Mask:
    """The ink minus its 3x3 erosion: solid masses keep only their border. The picture's own border is no outline."""
    eroded = cv2.erode(ink.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    return np.asarray(ink & ~eroded)


def chamfer(a: Drawing, b: Drawing) -> float:
    """Mean of the two mean distances (px) from each drawing's ink to the other's."""
    ink_a, ink_b = _pair(a, b)
    if not ink_a.any() and not ink_b.any():
        return 0.0
    if not ink_a.any() or not ink_b.any():
        return float("inf")
    return float(0.5 * (_distance_to(ink_b)[ink_a].mean() + _distance_to(ink_a)[ink_b].mean()))


def ink_f1(drawing: Drawing, reference: Drawing, *, tolerance_px: float = 2.0) -> float:
    """F1 (0..1) of the ink: precision and recall count pixels within ``tolerance_px`` of the other's ink."""
    return _f1(*_pair(drawing, reference), tolerance_px)


def outline_f1(drawing: Drawing, reference: Drawing, *, tolerance_px: float = 1.5) -> float:
    """F1 (0..1) of the ink's outlines, so that solid hair cannot flatter the figure."""
    ink, wanted = _pair(drawing, reference)
    return _f1(outline_of(ink), outline_of(wanted), tolerance_px)


def ink_iou(a: Drawing, b: Drawing) -> float:
    """Intersection over union (0..1) of the two inks."""
    ink_a, ink_b = _pair(a, b)
    union = int((ink_a | ink_b).sum())
    return float((ink_a & ink_b).sum() / union) if union else 1.0


def ink_coverage(drawing: Drawing) -> float:
    """Share (0..1) of the picture that is ink."""
    return float(ink_of(drawing).mean())


def grey_away_from_ink(drawing: Drawing) -> float:
    """Share (0..1) of pixels with 40 < grey < 215 that lie outside the 3x3 dilation of the ink: smudges, not edges."""
    near = cv2.dilate(ink_of(drawing).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    low, high = GREY_RANGE
    return float(((drawing > low) & (drawing < high) & ~near).mean())


def thin_stroke_width(drawing: Drawing) -> float:
    """Mean width (px) of the thin strokes; nan when there is none.

    Twice the mean of the exact L2 distance transform on its ridge (local 3x3 maxima), over ink whose 9x9
    neighbourhood has no distance of 4 px or more. It reads 1 and 2 px lines as 2, and 3 px lines as 4.
    """
    ink = ink_of(drawing).astype(np.uint8)
    distance = cv2.distanceTransform(ink, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    ridge = (distance > 0) & (distance >= cv2.dilate(distance, np.ones((3, 3), np.uint8)))
    thin = ridge & (cv2.dilate(distance, np.ones((9, 9), np.uint8)) < SOLID_RADIUS_PX)
    return float(2.0 * distance[thin].mean()) if thin.any() else float("nan")


def report(drawing: Drawing, reference: Drawing) -> dict[str, float]:
    """All figures of a drawing against a reference of the same size, by name."""
    return {
        "chamfer": chamfer(drawing, reference),
        "ink_f1": ink_f1(drawing, reference),
        "outline_f1": outline_f1(drawing, reference),
        "ink_iou": ink_iou(drawing, reference),
        "thin_stroke": thin_stroke_width(drawing),
        "grey_away": grey_away_from_ink(drawing),
        "coverage": ink_coverage(drawing),
    }


def _pair(a: Drawing, b: Drawing) -> tuple[Mask, Mask]:
    if a.shape != b.shape:
        raise ValueError(
            f"drawings differ in size; expected equal shapes; got {a.shape} and {b.shape}; resize one first"
        )
    return ink_of(a), ink_of(b)


def _distance_to(ink: Mask) -> npt.NDArray[np.float32]:
    """Distance (px), float32 (H, W), of every pixel to the nearest ink; ``ink`` must not be empty."""
    distance = cv2.distanceTransform((~ink).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance, dtype=np.float32)


def _f1(found: Mask, wanted: Mask, tolerance_px: float) -> float:
    if not found.any() and not wanted.any():
        return 1.0
    if not found.any() or not wanted.any():
        return 0.0
    precision = float((_distance_to(wanted)[found] <= tolerance_px).mean())
    recall = float((_distance_to(found)[wanted] <= tolerance_px).mean())
    return 2.0 * precision * recall / (precision + recall) if precision + recall else 0.0
