"""Make a studio portrait look like a webcam, while its drawing stays clean.

Geometry is moved by whole pixels and flips only, so that no line of the target is resampled. Everything else touches
the photo alone: light, colour, lens, sensor, codec and background. numpy and cv2; every choice comes from one
``numpy.random.Generator``, so a sample is a pure function of its seed.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Plane = NDArray[np.float32]

FLIP_ORDER = (1, 0, 2, 4, 3)
"""Landmark order after a mirror. The mouth corners are swapped too (the authors' code leaves them: their mean, all
that the boxes use, is the same)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One training pair."""

    photo: Image
    """(512, 512, 3) uint8 RGB."""
    drawing: Image
    """(512, 512) uint8, 0 = ink."""
    matte: Image
    """(512, 512) uint8, 255 = person."""
    points: NDArray[np.float32]
    """(5, 2) float32 px."""


def flip(sample: Sample) -> Sample:
    """Mirror left to right (x -> 511 - x)."""
    points = sample.points[list(FLIP_ORDER)].copy()
    points[:, 0] = sample.photo.shape[1] - 1 - points[:, 0]
    return Sample(
        photo=np.ascontiguousarray(sample.photo[:, ::-1]),
        drawing=np.ascontiguousarray(sample.drawing[:, ::-1]),
        matte=np.ascontiguousarray(sample.matte[:, ::-1]),
        points=points,
    )


def shift(sample: Sample, dx: int, dy: int) -> Sample:
    """Move by whole pixels; what comes in is white paper, not person."""

    def move(a: Image, fill: int) -> Image:
        out = np.full_like(a, fill)
        h, w = a.shape[:2]
        out[max(dy, 0) : h + min(dy, 0), max(dx, 0) : w + min(dx, 0)] = a[
            max(-dy, 0) : h + min(-dy, 0), max(-dx, 0) : w + min(-dx, 0)
        ]
        return out

    return Sample(
        photo=move(sample.photo, 255),
        drawing=move(sample.drawing, 255),
        matte=move(sample.matte, 0),
        points=sample.points + np.array([dx, dy], np.float32),
    )


def blur(x: Plane, sigma: float) -> Plane:
    """Gaussian blur, sigma in px."""
    return np.asarray(cv2.GaussianBlur(x, (0, 0), sigma), np.float32)


def smooth_noise(rng: np.random.Generator, size: int, cells: int) -> Plane:
    """(size, size) float32 in 0..1: random values on a grid of ``cells``, cubic between them."""
    grid = rng.random((cells, cells)).astype(np.float32)
    return np.clip(cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC), 0, 1)


def background(rng: np.random.Generator, size: int) -> Plane:
    """A made-up room: (size, size, 3) float32 0..255; gradients, blobs, stripes and furniture-like edges, any light."""
    level = rng.uniform(5, 240)
    base = np.clip(level + rng.normal(0, 35, 3), 0, 255).astype(np.float32)
    out = np.broadcast_to(base, (size, size, 3)).copy()
    for _ in range(int(rng.integers(1, 4))):
        tint = rng.normal(0, 60, 3).astype(np.float32)
        out += smooth_noise(rng, size, int(rng.integers(2, 24)))[..., None] * tint
    for _ in range(int(rng.integers(0, 9))):
        colour = tuple(float(v) for v in np.clip(level + rng.normal(0, 70, 3), 0, 255))
        x, y, w, h = (int(v) for v in rng.integers(-60, size, 4))
        if rng.random() < 0.6:
            cv2.rectangle(
                out, (x, y), (x + w // 2, y + h), colour, -1 if rng.random() < 0.7 else int(rng.integers(1, 9))
            )
        else:
            cv2.circle(out, (abs(x), abs(y)), 5 + w // 6 if w > 0 else 9, colour, -1)
    if rng.random() < 0.25:
        period, angle = rng.uniform(6, 60), rng.uniform(0, np.pi)
        yy, xx = np.mgrid[0:size, 0:size].astype(np.float32)
        wave = np.sin((xx * np.cos(angle) + yy * np.sin(angle)) * 2 * np.pi / period)
        out += (wave * rng.uniform(5, 50))[..., None].astype(np.float32)
    if rng.random() < 0.7:
        out = blur(out, float(rng.uniform(0.6, 9)))
    return np.clip(out, 0, 255).astype(np.float32)


SHOULDERS = 0.8
"""Share of the square's height from which down, most often, there are clothes."""


def leak(rng: np.random.Generator, matte: Image) -> Image:
    """A matte that takes parts of the room for the person, as live ones do with chairs, hands and lamps. Only grows.

    Nothing is drawn there in the target: what is not understood is left white. Beside the shoulders it stays as it is,
    or dark clothes would be left white too. (H, W) uint8, square.
    """
    blobs = smooth_noise(rng, matte.shape[0], int(rng.integers(3, 9)))
    soft = np.clip((blobs - rng.uniform(0.5, 0.8)) * 20, 0, 1) * 255
    soft *= np.clip((SHOULDERS - np.arange(len(soft)) / len(soft)) * 8, 0, 1)[:, None]
    return np.asarray(np.maximum(matte, soft.astype(np.uint8)), np.uint8)


def relight(rng: np.random.Generator, x: Plane) -> Plane:
    """Exposure, contrast, gamma, colour cast, side light. x (H, W, 3) float32 0..255."""
    y = x / 255.0
    if rng.random() < 0.8:
        y = np.power(np.clip(y, 1e-4, 1), float(np.exp(rng.normal(0, 0.28))))
    if rng.random() < 0.6:
        y = (y - 0.5) * rng.uniform(0.5, 1.25) + 0.5 + rng.uniform(-0.1, 0.1)
    if rng.random() < 0.6:
        y = y * np.exp(rng.normal(0, 0.1, 3)).astype(np.float32)
    if rng.random() < 0.4:
        angle, depth = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.65)
        size = y.shape[0]
        yy, xx = np.mgrid[0:size, 0:size].astype(np.float32) / size - 0.5
        ramp = 1 / (1 + np.exp(-(xx * np.cos(angle) + yy * np.sin(angle)) * rng.uniform(3, 14)))
        y = y * (1 - depth + depth * ramp)[..., None].astype(np.float32)
    if rng.random() < 0.25:
        y = y * rng.uniform(0.35, 0.8)
    if rng.random() < 0.15:
        grey = y.mean(2, keepdims=True)
        y = grey + (y - grey) * rng.uniform(0, 0.8)
    return np.asarray(np.clip(y * 255, 0, 255), np.float32)


def flatten(rng: np.random.Generator, x: Plane) -> Plane:
    """Soft light: what is small and faint (jaw, nose, lips) loses contrast, large tones stay. (H, W, 3) float32 0..255.

    Office light and phones' beautifiers do this to a face; a portrait drawer still draws its jaw and nose.
    """
    size = x.shape[0]
    sigma = float(np.exp(rng.uniform(np.log(4), np.log(40))))
    part = max(1, int(sigma / 3))
    small = cv2.resize(x, (size // part, size // part), interpolation=cv2.INTER_AREA)
    wide = cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma / part), (size, size), interpolation=cv2.INTER_LINEAR)
    keep = np.float32(rng.uniform(0.15, 0.8))
    detail = x - wide
    # Faint detail fades, strong edges (eyes, hair, clothes) keep theirs.
    strong = np.clip(np.abs(detail).max(2, keepdims=True) / 60, 0, 1)
    return np.asarray(wide + detail * (keep + (1 - keep) * strong), np.float32)


def beautify(rng: np.random.Generator, x: Plane) -> Plane:
    """A phone's skin smoothing: edges weaker than a threshold melt, stronger ones stay. (H, W, 3) float32 0..255."""
    size, half = x.shape[0], x.shape[0] // 2
    small = cv2.resize(x, (half, half), interpolation=cv2.INTER_AREA)
    sigma = float(rng.uniform(12, 40))
    for _ in range(int(rng.integers(1, 3))):
        small = cv2.bilateralFilter(small, 7, sigma, float(rng.uniform(2, 5)))
    calm = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
    share = np.float32(rng.uniform(0.5, 1.0))
    return np.asarray(x + (calm - x) * share, np.float32)


def degrade(rng: np.random.Generator, x: Plane) -> Image:
    """Lens, sensor, codec: scale, blur, sharpening, noise, JPEG. x (H, W, 3) float32 0..255 -> uint8."""
    size = x.shape[0]
    if rng.random() < 0.45:
        small = int(size * rng.uniform(0.3, 0.95))
        reduced = cv2.resize(x, (small, small), interpolation=cv2.INTER_AREA)
        how = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)[int(rng.integers(0, 3))]
        x = np.asarray(cv2.resize(reduced, (size, size), interpolation=how), np.float32)
    if rng.random() < 0.3:
        x = blur(x, float(rng.uniform(0.4, 1.6)))
    if rng.random() < 0.35:
        soft = blur(x, float(rng.uniform(0.8, 2.0)))
        x = x + (x - soft) * np.float32(rng.uniform(0.2, 1.5))
    if rng.random() < 0.6:
        sigma = float(rng.gamma(1.5, 3.0))
        noise = rng.standard_normal(x.shape, np.float32)
        if rng.random() < 0.4:
            noise = blur(noise, 0.8) * 2
        x = np.asarray(x + noise * sigma * (0.5 + np.sqrt(np.clip(x, 0, 255) / 255)), np.float32)
    out = np.clip(x, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        ok, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 95))])
        if ok:
            out = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return out


def augment(rng: np.random.Generator, sample: Sample, *, strength: float = 1.0) -> Sample:
    """A training sample. ``strength`` is the share of samples whose photo is changed at all, 0 to 1."""
    if rng.random() < 0.5:
        sample = flip(sample)
    dx, dy = (int(v) for v in np.clip(rng.normal(0, 7, 2), -20, 20).round())
    sample = shift(sample, dx, dy)
    points = sample.points + rng.normal(0, 1.2, (5, 2)).astype(np.float32)
    if rng.random() >= strength:
        return Sample(photo=sample.photo, drawing=sample.drawing, matte=sample.matte, points=points)
    photo: Plane = sample.photo.astype(np.float32)
    matte = sample.matte
    if rng.random() < 0.55:
        alpha = (matte.astype(np.float32) / 255)[..., None]
        photo = np.asarray(photo * alpha + background(rng, photo.shape[0]) * (1 - alpha), np.float32)
        if rng.random() < 0.35:
            matte = leak(rng, matte)
    if rng.random() < 0.4:
        photo = flatten(rng, photo)
    if rng.random() < 0.25:
        photo = beautify(rng, photo)
    degraded = degrade(rng, relight(rng, photo))
    if rng.random() < 0.3:
        kernel = np.ones((int(rng.integers(2, 7)),) * 2, np.uint8)
        changed = cv2.erode(matte, kernel) if rng.random() < 0.5 else cv2.dilate(matte, kernel)
        matte = np.asarray(changed, np.uint8)
    return Sample(photo=degraded, drawing=sample.drawing, matte=matte, points=points)
