"""Flow-guided lines: the strokes of the pen."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from train.npr_geometry import SIZE, Image, Mask, blur

Flow = tuple[Image, Image]

_Y, _X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)


def sample(image: Image, dx: Image, dy: Image) -> Image:
    """The image at every pixel moved by (dx, dy) px, bilinear."""
    moved = cv2.remap(image, _X + dx, _Y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, dtype=np.float32)


def gradient(image: Image) -> Flow:
    """Sobel derivatives (x, y)."""
    x, y = cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=3), cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=3)
    return np.asarray(x, dtype=np.float32), np.asarray(y, dtype=np.float32)


def tangent_flow(light: Image, sigma: float) -> Flow:
    """Unit vectors (x, y) along the edges, from the structure tensor smoothed by ``sigma`` px."""
    gx, gy = gradient(light)
    e, f, g = (blur(t, sigma) for t in (gx * gx, gx * gy, gy * gy))
    angle = 0.5 * np.arctan2(2 * f, e - g) + np.float32(np.pi / 2)
    return np.cos(angle), np.sin(angle)


def gaussian_weights(sigma: float, radius: int) -> npt.NDArray[np.float32]:
    """Weights of a Gaussian at -radius..radius px; their sum is 1."""
    w = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(w / w.sum(), dtype=np.float32)


def across(light: Image, flow: Flow, sigma: float, k: float = 1.6) -> Image:
    """Relative darkness of the middle against the sides, measured across the flow. Positive on dark lines.

    A difference of Gaussians of ``sigma`` and ``k * sigma`` px, as in Kang et al., Coherent Line Drawing, NPAR 2007.
    """
    tx, ty = flow
    radius = int(np.ceil(2.5 * sigma * k))
    narrow, wide = gaussian_weights(sigma, radius), gaussian_weights(sigma * k, radius)
    centre = np.zeros_like(light)
    around = np.zeros_like(light)
    for i, t in enumerate(range(-radius, radius + 1)):
        v = light if t == 0 else sample(light, -ty * t, tx * t)
        centre += narrow[i] * v
        around += wide[i] * v
    return (around - centre) / (around + 0.08)


def along(image: Image, flow: Flow, sigma: float) -> Image:
    """Smooth along the flow by ``sigma`` px (line-integral convolution in steps of 1.5 px)."""
    tx, ty = flow
    step = 1.5
    n = int(np.ceil(2 * sigma / step))
    total, weight = image.copy(), 1.0
    for sign in (1.0, -1.0):
        dx, dy = np.zeros_like(image), np.zeros_like(image)
        vx, vy = tx * sign, ty * sign
        for i in range(1, n + 1):
            dx, dy = dx + step * vx, dy + step * vy
            w = float(np.exp(-0.5 * (i * step / sigma) ** 2))
            total += w * sample(image, dx, dy)
            weight += w
            if i < n:
                nx, ny = sample(tx, dx, dy), sample(ty, dx, dy)
                flip = np.where(nx * vx + ny * vy < 0, np.float32(-1), np.float32(1))
                vx, vy = nx * flip, ny * flip
    return total / np.float32(weight)


def crest(response: Image, flow: Flow, reach: float = 2.0) -> Image:
    """Response over its largest neighbour across the flow: 1 on the ridge of a line, falling to its sides."""
    tx, ty = flow
    peak = response.copy()
    for t in (-reach, -reach / 2, reach / 2, reach):
        peak = np.maximum(peak, sample(response, -ty * t, tx * t))
    return response / np.maximum(peak, np.float32(1e-4))


def keep_components(ink: Mask, strength: Image, *, enough: float, min_area: int) -> Mask:
    """Components of ``ink`` of at least ``min_area`` pixels, three of which are as strong as ``enough``: hysteresis."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    strong = np.bincount(labels[strength >= enough], minlength=count) >= 3
    keep = strong & (stats[:, cv2.CC_STAT_AREA] >= min_area)
    keep[0] = False
    return np.asarray(keep[labels], dtype=bool)


def local_mean(image: Image, mask: Image, sigma: float) -> Image:
    """Mean of ``image`` under ``mask`` (weights) around each pixel; wide means are taken at a quarter of the size."""
    weighted = image * mask
    if sigma < 8:
        return blur(weighted, sigma) / (blur(mask, sigma) + 1e-6)
    small = [
        np.asarray(cv2.resize(x, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA), dtype=np.float32)
        for x in (weighted, mask)
    ]
    top, weight = (blur(x, sigma / 4) for x in small)
    wide = cv2.resize(top / (weight + 1e-6), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    return np.asarray(wide, dtype=np.float32)


@dataclass(frozen=True, kw_only=True)
class Pen:
    """What strands and lashes are drawn from, float32 (512, 512) each."""

    light: Image  # lightness 0..1
    flow: Flow  # along the strands
    flowing: Image  # lightness smoothed along the strands
    fine: Image  # relative darkness of the finest strands, positive on dark ones

    @classmethod
    def of(cls, light: Image) -> "Pen":
        """Read the strands of ``light``, lightness 0..1."""
        flow = tangent_flow(blur(light, 0.8), 2.5)
        return cls(
            light=light,
            flow=flow,
            flowing=along(light, flow, 3.5),
            fine=along(across(light, flow, 0.4), flow, 5.0),
        )
