"""Endless training pictures for the person matte, made from portraits on plain studio walls. numpy and cv2 only.

A studio wall is smooth, so the wall and the person can be told apart almost exactly (``matte_people``). The person is
then moved, bent, dressed, given hair or a hat (``matte_dress``), lit, and set before a made-up background
(``matte_backdrops``).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from train.matte_backdrops import backdrop, noise
from train.matte_dress import SIDE, add_hair, add_hand, add_hat, dress
from train.matte_people import Matte, Person, Picture

Rng = np.random.Generator

RAMPS = np.meshgrid(*[np.linspace(-1, 1, SIDE, dtype=np.float32)] * 2)
"""x and y of each pixel, -1..1."""


def _warp(person: Person, rng: Rng) -> tuple[Picture, Picture, Matte, Matte, NDArray[np.float32]]:
    """Move and bend a person into the square: photo, colour, matte, inside and oval, all at SIDE."""
    scale = float(rng.uniform(0.68, 1.3)) if rng.random() < 0.2 else float(np.exp(rng.normal(0, 0.07)))
    angle = np.deg2rad(rng.normal(0, 4))
    flip = -1.0 if rng.random() < 0.5 else 1.0
    shift = rng.normal(0, 5, 2)
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    back = np.array([[cos * flip, sin * flip], [-sin, cos]])  # square -> canvas, about the middle of both
    x, y = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    rel = np.stack([x - SIDE / 2 - shift[0], y - SIDE / 2 - shift[1]], -1)
    source = (rel @ back.T + 192).astype(np.float32)
    oval = ((person.oval - 192) @ np.linalg.inv(back).T + SIDE / 2 + shift).astype(np.float32)
    if rng.random() < 0.6:
        face = np.zeros((SIDE, SIDE), np.float32)
        cv2.fillPoly(face, [oval.astype(np.int32)], 1.0)
        free = 1 - np.clip(cv2.GaussianBlur(face, (0, 0), 7) * 1.6, 0, 1)
        reach = float(rng.uniform(4, 26))
        source[..., 0] += (noise(SIDE, float(rng.uniform(2, 5)), rng) - 0.5) * reach * free
        source[..., 1] += (noise(SIDE, float(rng.uniform(2, 5)), rng) - 0.5) * reach * free
    # Hair puffed up or flattened about the head: the source is pulled in or out along the ray from the face's middle.
    if rng.random() < 0.4:
        middle = oval.mean(0)
        ray = np.stack([x, y], -1) - middle
        radius = np.linalg.norm(ray, axis=-1) / (0.5 * np.ptp(oval[:, 1]))
        gain = float(rng.uniform(-0.12, 0.22)) * np.clip(radius - 0.9, 0, 0.5) * 2
        above = np.clip((float(oval[:, 1].max()) + 40 - y) / 40, 0, 1)
        source -= ((ray * (gain * above)[..., None]) @ back.T).astype(np.float32)
    x, y = source[..., 0], source[..., 1]
    photo, colour = (
        cv2.remap(layer, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).astype(np.float32) / 255
        for layer in (person.photo, person.colour)
    )
    return photo[..., :3], colour[..., :3], colour[..., 3], photo[..., 3], oval


def _light(picture: Picture, rng: Rng, strength: float) -> Picture:
    """Exposure, gamma, colour temperature, and light from one side."""
    x, y = RAMPS
    out = np.power(np.clip(picture, 0, 1), np.float32(np.exp(rng.normal(0, 0.3 * strength))))
    gain = np.exp(rng.normal(0, 0.10 * strength, 3)) * np.exp(rng.normal(0, 0.2 * strength))
    out *= gain.astype(np.float32)
    if rng.random() < 0.4:
        ramp = 1 + float(rng.normal(0, 0.35 * strength)) * x + float(rng.normal(0, 0.2 * strength)) * y
        out = out * np.clip(ramp, 0.2, 1.8)[..., None]
    if rng.random() < 0.3:
        grey = out.mean(-1, keepdims=True)
        out = grey + (out - grey) * float(rng.uniform(0, 1.5))
    lift = float(rng.uniform(0, 0.2)) if rng.random() < 0.2 else 0.0
    return np.asarray(np.clip(lift + out * (1 - lift), 0, 1), dtype=np.float32)


def _degrade(picture: Picture, rng: Rng) -> NDArray[np.uint8]:
    """What a webcam adds: low resolution, defocus, noise, compression."""
    if rng.random() < 0.35:
        side = int(rng.uniform(48, 200))
        picture = cv2.resize(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), (SIDE, SIDE))
    elif rng.random() < 0.3:
        picture = cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 2)))
    if rng.random() < 0.5:
        grain = rng.standard_normal((SIDE, SIDE, 3), dtype=np.float32) * float(rng.uniform(0, 0.07))
        picture = picture + (cv2.GaussianBlur(grain, (0, 0), 0.7) * 1.6 if rng.random() < 0.5 else grain)
    out: NDArray[Any] = (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.3:
        coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.uniform(15, 80))])[1]
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return out


def scene(persons: list[Person], rng: Rng) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One training picture: photo (256, 256, 3) uint8 RGB and its matte (256, 256) uint8."""
    weights = np.array([p.weight for p in persons])
    person = persons[int(rng.choice(len(persons), p=weights / weights.sum()))]
    photo, colour, matte, inside, oval = _warp(person, rng)
    white = inside < 0.5
    if rng.random() < 0.1:
        picture = photo
    else:
        if rng.random() < 0.45:
            colour = dress(colour, oval, rng)
        if rng.random() < 0.35:
            colour, matte = add_hair(colour, matte, oval, rng)
        if rng.random() < 0.22:
            colour, matte = add_hat(colour, matte, oval, rng)
        if rng.random() < 0.1:
            colour, matte = add_hand(colour, matte, oval, rng)
        colour = _light(colour, rng, 1.0)
        other = persons[int(rng.integers(len(persons)))].photo[..., :3]
        wall = backdrop(SIDE, colour, matte, other, rng)
        picture = colour * matte[..., None] + wall * (1 - matte[..., None])
    picture = _light(picture, rng, 0.6)
    if rng.random() < 0.35:
        white = np.zeros_like(white)
    for _ in range(rng.choice([0, 1, 2], p=[0.7, 0.2, 0.1])):
        normal = (
            rng.normal(0, 0.12, 2)
            + np.array([(0, 1), (0, -1), (1, 0), (-1, 0)])[rng.choice(4, p=[0.4, 0.1, 0.25, 0.25])]
        )
        x, y = RAMPS
        white = white | (x * normal[0] + y * normal[1] < -float(rng.uniform(0.75, 1.05)))
    degraded = _degrade(picture, rng)
    degraded[white] = 255
    return degraded, np.where(white, 0, matte * 255 + 0.5).astype(np.uint8)
