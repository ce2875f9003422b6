"""Ink into a page: scaled or warped with its lines kept crisp, the darker ink wins."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.uint8]

ENLARGED = 1.02
"""From this scale on lines are rounded before they grow, and sharpened after."""
_ROUND_PX, _SHARPER, _MIDDLE = 0.6, 1.6, 148.0
"""The stairs of small pixels are rounded by this much (px of the square), and the flanks made as much steeper; what the
thinnest lines lose by it is given back by a middle that lies nearer to paper."""


def resized(square: Gray, side: int) -> Gray:
    """A square picture at another size, (side, side) uint8."""
    how = cv2.INTER_AREA
    if side > len(square):
        square, how = _rounded(square), cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (side, side), interpolation=how), dtype=np.uint8)


def warped_square(image: Gray, matrix: NDArray[np.float64], scale: float, shape: tuple[int, ...], border: int) -> Gray:
    """Warp one square; one that shrinks is averaged down first, so that thin lines do not break up."""
    if scale < 0.75:
        side = max(2, round(image.shape[0] * scale))
        k = image.shape[0] / side
        image = resized(image, side)
        matrix = _coarser(matrix, k)
    if scale > ENLARGED:
        image = _rounded(image)
    warped = cv2.warpAffine(
        image,
        matrix,
        (shape[1], shape[0]),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(border,),
    )
    return np.asarray(warped, dtype=np.uint8)


def _rounded(image: Gray) -> Gray:
    return np.asarray(cv2.GaussianBlur(image, (3, 3), _ROUND_PX), dtype=np.uint8)


def _coarser(matrix: NDArray[np.float64], k: float) -> NDArray[np.float64]:
    """The same matrix for a picture with pixels ``k`` times as large: centres lie at (i + 0.5) k - 0.5."""
    return np.hstack([matrix[:, :2] * k, (matrix[:, 2] + matrix[:, :2] @ np.full(2, (k - 1) / 2))[:, None]])


def lay(area: Gray, ink: Gray, mask: Gray | None, scale: float, opacity: float) -> None:
    """Ink into the page by the minimum, with its edges kept as sharp as they were before it was scaled."""
    dark = 255 - np.asarray(cv2.LUT(ink, _tone(scale)), dtype=np.uint8)
    if mask is not None:
        dark = np.asarray(cv2.multiply(dark, mask, scale=opacity / 255), dtype=np.uint8)
    elif opacity < 1:
        dark = np.asarray(cv2.convertScaleAbs(dark, alpha=opacity), dtype=np.uint8)
    np.minimum(area, 255 - dark, out=area)


def _tone(scale: float) -> Gray:
    """Grey curve, (256,) uint8. Enlarged lines have soft flanks as wide as the factor: steepen them by it. Shrunk lines
    pale as they get thinner than a pixel: darken them."""
    grey = np.arange(256, dtype=np.float64)
    if scale > ENLARGED:
        grey = (grey - _MIDDLE) * scale * _SHARPER + 127.5
    elif scale < 0.75:
        grey = 255 - (255 - grey) * min(1.7, scale**-0.5)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)
