"""Pictures with transparency for the video encoders that know it: one colour, as opaque as the ink lies thick."""

from __future__ import annotations

import cv2
import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from realtime.core import Ink

Bytes = NDArray[np.uint8]

CLEAR_CODECS: dict[str, tuple[str, str, dict[str, str]]] = {
    ".webm": ("libvpx-vp9", "yuva420p", {}),
    # 4444 is the ProRes that has transparency; its own default is a quality far above what line drawings need.
    ".mov": ("prores_ks", "yuva444p10le", {"profile": "4444", "alpha_bits": "8", "bits_per_mb": "1000"}),
}
"""Encoder, format of its pictures and its own options, by the file's suffix."""


def clear_picture(ink: Ink, pixel_format: str, width: int, height: int) -> VideoFrame:
    """A picture of (height, width) in one of the formats above.

    The colour is the same all over (not mixed with any paper), so that no light rim is left around the lines on a dark
    ground. Ink of another size is cut, or has clear room added at its right and bottom.
    """
    opaque = np.zeros((height, width), np.uint8)
    rows, columns = min(height, ink.page.shape[0]), min(width, ink.page.shape[1])
    opaque[:rows, :columns] = 255 - ink.page[:rows, :columns]
    deep = "10le" in pixel_format
    frame = VideoFrame(width, height, pixel_format)
    *colours, alpha = frame.planes
    for plane, value in zip(colours, _studio(ink), strict=True):
        flat = np.full(plane.buffer_size, round(value), np.uint8)
        plane.update(np.full(plane.buffer_size // 2, round(4 * value), "<u2").tobytes() if deep else flat.tobytes())
    lines = np.zeros((height, alpha.line_size // (2 if deep else 1)), "<u2" if deep else np.uint8)
    lines[:, :width] = opaque.astype(np.uint16) * 4 + (opaque >> 6) if deep else opaque  # 255 becomes 1023
    alpha.update(lines.tobytes())
    return frame


def _studio(ink: Ink) -> tuple[float, float, float]:
    """The ink's colour as Y, Cb, Cr of BT.601 in studio range, 0 to 255: what the stream is marked with."""
    full = np.asarray(cv2.cvtColor(np.array([[ink.colour]], np.uint8), cv2.COLOR_RGB2YCrCb))[0, 0].astype(float)
    luma, red, blue = (float(v) for v in full)
    return 16 + luma * 219 / 255, 128 + (blue - 128) * 224 / 255, 128 + (red - 128) * 224 / 255
