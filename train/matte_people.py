"""Portraits on plain studio walls, taken apart into person and wall. numpy and cv2 only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[Any]
"""float32 RGB 0..1 of shape (H, W, 3). (What cv2 returns is declared as any number, hence Any.)"""
Matte = NDArray[Any]
"""float32 0..1 of shape (H, W)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One portrait on a canvas of 1.5 squares (the square is its middle), taken apart.

    photo: (384, 384, 4) uint8, the portrait as RGB, then 255 where the original picture has pixels; colour:
    (384, 384, 4) uint8, the person's own RGB without the wall, then the matte; oval: (36, 2) float32 px, outline of
    the face; weight: how often it is drawn, against others.
    """

    photo: NDArray[np.uint8]
    colour: NDArray[np.uint8]
    oval: NDArray[np.float32]
    weight: float


def _fill(picture: Picture, mask: Matte, sigma: float) -> Picture:
    """Blur that only sees the pixels of ``mask``, from fine to coarse until every pixel is filled."""
    small = cv2.resize(picture * mask[..., None], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    weight = cv2.resize(mask, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    total: Picture = np.zeros_like(small)
    seen: Matte = np.zeros_like(weight)
    for factor in (0.5, 1.5, 6.0):
        blurred = cv2.GaussianBlur(np.dstack([small, weight]), (0, 0), sigma * factor)
        room = np.clip(1 - seen, 0, 1) * np.clip(blurred[..., 3] * 8, 0, 1)
        total += blurred[..., :3] / (blurred[..., 3:] + 1e-4) * room[..., None]
        seen += room
    filled = total / (seen[..., None] + 1e-4)
    return np.asarray(cv2.resize(filled, mask.shape[::-1]), dtype=np.float32)


def separate(photo: NDArray[np.uint8], matte: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Sharpen a teacher's matte against a plain wall and take the wall's colour out of the person's edge.

    Args:
        photo: (H, W, 3) uint8 RGB. matte: (H, W) uint8, the teacher's.
    Returns:
        The person's colour (H, W, 3) uint8, continued past its edge, and the matte (H, W) uint8.
    """
    image, alpha = photo.astype(np.float32) / 255, matte.astype(np.float32) / 255
    wall = _fill(image, cv2.erode((alpha < 0.03).astype(np.float32), np.ones((5, 5))), 6)
    body = _fill(image, cv2.erode((alpha > 0.95).astype(np.float32), np.ones((5, 5))), 3)
    # In the uncertain band, the matte is where the pixel lies between wall and body; where these look alike, or where
    # the wall is not plain (a flag, a window), the teacher is kept.
    span = body - wall
    contrast = (span**2).sum(-1)
    keyed = np.clip(((image - wall) * span).sum(-1) / (contrast + 1e-3), 0, 1)
    plain = cv2.GaussianBlur(((image - wall) ** 2).sum(-1) * (alpha < 0.03), (0, 0), 12)
    trust = np.clip(contrast * 12 - 0.4, 0, 1) * np.clip(1.5 - plain * 1500, 0, 1)
    kernel = np.ones((5, 5))
    trust *= (cv2.dilate(alpha, kernel) > 0.08) & (cv2.erode(alpha, kernel) < 0.92)
    alpha = alpha + (keyed - alpha) * 0.8 * trust
    solid = np.clip((alpha - 0.9) * 10, 0, 1)[..., None]
    colour = np.clip((image - wall * (1 - alpha[..., None])) / np.maximum(alpha[..., None], 0.3), 0, 1)
    near = np.clip(alpha[..., None] * 3 - 1, 0, 1)
    colour = image * solid + (colour * near + body * (1 - near)) * (1 - solid)
    return (colour * 255 + 0.5).astype(np.uint8), (alpha * 255 + 0.5).astype(np.uint8)


def people(
    photos: NDArray[np.uint8], mattes: NDArray[np.uint8], insides: NDArray[np.uint8], ovals: NDArray[np.float32]
) -> list[Person]:
    """Take every portrait apart. Long hair is rare in official portraits, so wide heads get more weight."""
    found = []
    for photo, matte, inside, oval in zip(photos, mattes, insides, ovals, strict=True):
        colour, fine = separate(photo, matte)
        mouth = int(np.clip(oval[:, 1].min() + 0.8 * np.ptp(oval[:, 1]), 6, 378))
        wide = float((fine[mouth - 6 : mouth + 6] > 127).sum(1).mean() / np.ptp(oval[:, 0]))
        weight = 1.0 + 3.0 * float(np.clip((wide - 1.0) / 0.4, 0, 1))
        with_inside, with_matte = np.dstack([photo, inside]), np.dstack([colour, fine])
        found.append(Person(photo=with_inside, colour=with_matte, oval=oval, weight=weight))
    return found
