"""Figures that compare ink drawings.

Every function takes drawings as uint8 (H, W) arrays, 0 = ink, 255 = paper. *Ink* is every pixel darker than 128.
Distances are in pixels and speak of the 512 square. An empty drawing has no distance to anything: ``chamfer`` is
infinite and the F1 figures are 0, unless both drawings are empty, which is a perfect match.

:data:`FIGURES` says of each figure what to call it and which way is better.
"""

from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

Drawing = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

INK_BELOW = 128
GREY_RANGE = (40, 215)
SOLID_RADIUS_PX = 4.0
SSIM_SIGMA_PX = 1.5
SSIM_REACH_PX = 5


class Figure(NamedTuple):
    """How a figure is told."""

    title: str
    better: Literal["lower", "higher", "reference"]
    """``reference``: neither way; as the reference's own is best."""
    digits: int = 4


FIGURES: dict[str, Figure] = {
    "lpips": Figure("LPIPS (Alex)", "lower"),
    "ssim": Figure("SSIM", "higher"),
    "chamfer": Figure("ink chamfer, px", "lower", 3),
    "ink_f1": Figure("ink F1 at 2 px", "higher"),
    "outline_f1": Figure("outline F1 at 1.5 px", "higher"),
    "ink_iou": Figure("ink IoU", "higher"),
    "thin_stroke": Figure("thin stroke width, px", "reference", 2),
    "grey_away": Figure("grey away from ink", "lower", 5),
    "coverage": Figure("ink coverage", "reference"),
}
"""Name -> figure, in the order of tables."""


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


def ssim(a: Drawing, b: Drawing) -> float:
    """Structural similarity (-1..1, 1 = the same) of two grey pictures (Wang et al., 2004).

    Gaussian window of sigma 1.5 px, cut at 11 x 11; K1 0.01, K2 0.03, range 255; mean over all whole windows.
    """
    _pair(a, b)
    if min(a.shape) <= 2 * SSIM_REACH_PX:
        raise ValueError(
            f"SSIM: expected sides of {2 * SSIM_REACH_PX + 1} px or more; got {a.shape}; give a larger one"
        )
    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = _window_mean(x), _window_mean(y)
    var_x, var_y = _window_mean(x * x) - mean_x**2, _window_mean(y * y) - mean_y**2
    both = _window_mean(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    top = (2 * mean_x * mean_y + c1) * (2 * both + c2)
    return float((top / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))).mean())


def _window_mean(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean of the Gaussian window around every pixel that has a whole one."""
    reach = SSIM_REACH_PX
    blurred = cv2.GaussianBlur(x, (2 * reach + 1, 2 * reach + 1), SSIM_SIGMA_PX)
    return np.asarray(blurred[reach:-reach, reach:-reach])


def alone(drawing: Drawing) -> dict[str, float]:
    """The figures that need no reference, by name."""
    return {
        "thin_stroke": thin_stroke_width(drawing),
        "grey_away": grey_away_from_ink(drawing),
        "coverage": ink_coverage(drawing),
    }


def report(drawing: Drawing, reference: Drawing) -> dict[str, float]:
    """All figures of a drawing against a reference of the same size, by name."""
    return {
        "ssim": ssim(drawing, reference),
        "chamfer": chamfer(drawing, reference),
        "ink_f1": ink_f1(drawing, reference),
        "outline_f1": outline_f1(drawing, reference),
        "ink_iou": ink_iou(drawing, reference),
        **alone(drawing),
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
