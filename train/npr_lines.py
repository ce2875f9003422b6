"""Flow-guided lines: the strokes of the pen."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]

_Y, _X = np.mgrid[0:512, 0:512].astype(np.float32)


def sample(image: Image, dx: Image, dy: Image) -> Image:
    return cv2.remap(image, _X + dx, _Y + dy, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def tangent_flow(light: Image, sigma: float) -> tuple[Image, Image]:
    """Unit vectors along the edges, from the smoothed structure tensor."""
    gx = cv2.Sobel(light, cv2.CV_32F, 1, 0, ksize=3)
    gy = cv2.Sobel(light, cv2.CV_32F, 0, 1, ksize=3)
    e, f, g = (cv2.GaussianBlur(t, (0, 0), sigma) for t in (gx * gx, gx * gy, gy * gy))
    angle = 0.5 * np.arctan2(2 * f, e - g) + np.float32(np.pi / 2)
    return np.cos(angle), np.sin(angle)


def gaussian_weights(sigma: float, radius: int) -> npt.NDArray[np.float32]:
    w = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return (w / w.sum()).astype(np.float32)


def across(light: Image, tx: Image, ty: Image, sigma: float, k: float = 1.6) -> Image:
    """Relative darkness of the middle against the sides, measured across the flow. Positive on dark lines."""
    radius = int(np.ceil(2.5 * sigma * k))
    narrow, wide = gaussian_weights(sigma, radius), gaussian_weights(sigma * k, radius)
    centre = np.zeros_like(light)
    around = np.zeros_like(light)
    for i, t in enumerate(range(-radius, radius + 1)):
        v = light if t == 0 else sample(light, -ty * t, tx * t)
        centre += narrow[i] * v
        around += wide[i] * v
    return (around - centre) / (around + 0.08)


def along(image: Image, tx: Image, ty: Image, sigma: float) -> Image:
    """Smooth along the flow (line-integral convolution, steps of 1.5 px)."""
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


def crest(response: Image, tx: Image, ty: Image, reach: float = 2.0) -> Image:
    """Response over its largest neighbour across the flow: 1 on the ridge of a line, falling to its sides."""
    peak = response.copy()
    for t in (-reach, -reach / 2, reach / 2, reach):
        peak = np.maximum(peak, sample(response, -ty * t, tx * t))
    return response / np.maximum(peak, np.float32(1e-4))


def keep_components(ink: npt.NDArray[np.bool_], strength: Image, enough: float, min_area: int) -> npt.NDArray[np.bool_]:
    """Components of ``ink`` with at least ``min_area`` pixels whose strength reaches ``enough`` somewhere (hysteresis)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    strong = np.bincount(labels[strength >= enough], minlength=count) >= 3
    keep = strong & (stats[:, 4] >= min_area)
    keep[0] = False
    return np.asarray(keep[labels], dtype=bool)


def local_mean(image: Image, mask: Image, sigma: float) -> Image:
    """Mean of ``image`` under ``mask`` (weights) around each pixel; wide means are taken at a quarter of the size."""
    weighted = image * mask
    if sigma < 8:
        return cv2.GaussianBlur(weighted, (0, 0), sigma) / (cv2.GaussianBlur(mask, (0, 0), sigma) + 1e-6)
    small = [cv2.resize(x, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA) for x in (weighted, mask)]
    top, weight = (cv2.GaussianBlur(x, (0, 0), sigma / 4) for x in small)
    return cv2.resize(top / (weight + 1e-6), image.shape[::-1], interpolation=cv2.INTER_LINEAR)


@dataclass(frozen=True, kw_only=True)
class Pen:
    """What strands and lashes are drawn from, float32 (512, 512) each."""

    light: Image  # lightness 0..1
    flowing: Image  # lightness smoothed along the strands
    fine: Image  # relative darkness of the finest strands, positive on dark ones
    medium: Image  # the same for locks

    @classmethod
    def of(cls, light: Image) -> "Pen":
        tx, ty = tangent_flow(cv2.GaussianBlur(light, (0, 0), 0.8), 2.5)
        return cls(
            light=light,
            flowing=along(light, tx, ty, 3.5),
            fine=along(across(light, tx, ty, 0.6), tx, ty, 4.0),
            medium=along(across(light, tx, ty, 1.5), tx, ty, 4.0),
        )
