"""A link as a QR code, for the phone of whoever sits beside you."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

QUIET = 4
"""Modules of paper around the code, as the standard asks."""


def modules(text: str) -> NDArray[np.bool_]:
    """(N, N) bool, True = dark, without the quiet zone."""
    encoded = np.asarray(cv2.QRCodeEncoder.create().encode(text), np.uint8) < 128
    rows, columns = np.flatnonzero(encoded.any(1)), np.flatnonzero(encoded.any(0))
    return np.asarray(encoded[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], np.bool_)


def as_svg(text: str) -> str:
    """An SVG document of the code in ink on white."""
    dark = modules(text)
    side = len(dark) + 2 * QUIET
    path = "".join(f"M{x + QUIET} {y + QUIET}h1v1h-1z" for y, x in zip(*np.nonzero(dark), strict=True))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" shape-rendering="crispEdges">'
        f'<rect width="{side}" height="{side}" fill="#fff"/><path d="{path}" fill="#1c1b19"/></svg>'
    )
