"""Made-up backgrounds for the person matte: walls, rooms, windows, foliage, lights. numpy and cv2 only."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[Any]
Rng = np.random.Generator


def noise(side: int, cells: float, rng: Rng) -> NDArray[np.float32]:
    """Smooth noise 0..1 of shape (side, side); ``cells`` bumps across the picture."""
    grid = rng.random((int(cells) + 3, int(cells) + 3)).astype(np.float32)
    return np.clip(cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC), 0, 1)


def _tone(rng: Rng) -> NDArray[np.float64]:
    """A background colour: mostly muted, now and then vivid, black or white."""
    kind = rng.random()
    if kind < 0.12:
        return np.full(3, rng.uniform(0.9, 1.0))
    if kind < 0.2:
        return np.full(3, rng.uniform(0.0, 0.1))
    grey = rng.uniform(0.08, 0.95)
    return np.clip(grey + rng.normal(0, 0.22 if kind < 0.5 else 0.06, 3), 0, 1)


def _plain(side: int, rng: Rng) -> Picture:
    x, y = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.clip(0.5 + (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle), 0, 1)[..., None]
    first = _tone(rng)
    second = _tone(rng) if rng.random() < 0.4 else np.clip(first + rng.normal(0, 0.1, 3), 0, 1)
    return np.asarray(first * ramp + second * (1 - ramp), dtype=np.float32)


def _clouds(side: int, rng: Rng) -> Picture:
    """Several octaves of noise between two or three colours: foliage, stone, fabric, out-of-focus rooms."""
    cells = float(rng.uniform(2, 12))
    field = np.zeros((side, side), np.float32)
    for octave in range(int(rng.integers(1, 6))):
        field += noise(side, min(cells * 2**octave, side / 2), rng) * float(rng.uniform(0.4, 0.8)) ** octave
    field = (field - field.min()) / (np.ptp(field) + 1e-6)
    if rng.random() < 0.5:
        field = np.clip((field - 0.5) * float(rng.uniform(1, 6)) + 0.5, 0, 1)
    second = noise(side, float(rng.uniform(2, 30)), rng)[..., None]
    leaves = np.array([0.25, 0.4, 0.15]) * rng.uniform(0.3, 2) if rng.random() < 0.3 else _tone(rng)
    base = leaves * field[..., None] + _tone(rng) * (1 - field[..., None])
    return np.asarray(base * (1 - second * 0.5) + _tone(rng) * second * 0.5, dtype=np.float32)


def _room(side: int, rng: Rng) -> Picture:
    """Boxes with edges: shelves, doors, windows, pictures, screens."""
    out = np.ascontiguousarray(_plain(side, rng))
    for _ in range(int(rng.integers(2, 22))):
        width, height = (rng.uniform(0.03, 0.6, 2) * side).astype(int)
        if rng.random() < 0.3:
            width, height = (int(side * 0.04), side) if rng.random() < 0.6 else (side, int(side * 0.05))
        corner = rng.uniform(-0.2, 1.0, 2) * side
        box = cv2.boxPoints(
            ((float(corner[0]), float(corner[1])), (float(width), float(height)), float(rng.normal(0, 4)))
        )
        colour = [float(v) for v in (rng.uniform(0.9, 1.0, 3) if rng.random() < 0.15 else _tone(rng))]
        cv2.fillPoly(out, [box.astype(np.int32)], colour, cv2.LINE_AA)
        if rng.random() < 0.3:
            cv2.polylines(
                out, [box.astype(np.int32)], True, [float(v) for v in _tone(rng)], int(rng.integers(1, 5)), cv2.LINE_AA
            )
    return out


def _stripes(side: int, rng: Rng) -> Picture:
    x, y = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    angle = rng.choice([0, np.pi / 2, rng.uniform(0, np.pi)])
    wave = np.sin(
        (x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(10, 120)
        + rng.uniform(0, 6)
        + noise(side, 3, rng) * rng.uniform(0, 6)
    )
    mix = np.clip(wave * rng.uniform(0.6, 6) + 0.5, 0, 1)[..., None]
    return np.asarray(_plain(side, rng) * mix + _plain(side, rng) * (1 - mix), dtype=np.float32)


def _lights(side: int, rng: Rng) -> Picture:
    """Out-of-focus discs over a calm ground: lamps, leaves against the sky, flowers."""
    out = np.ascontiguousarray(_clouds(side, rng) if rng.random() < 0.5 else _plain(side, rng))
    for _ in range(int(rng.integers(5, 70))):
        layer = out.copy()
        centre = [int(v) for v in rng.uniform(0, side, 2)]
        cv2.circle(layer, centre, int(rng.integers(2, side // 8)), [float(v) for v in _tone(rng)], -1, cv2.LINE_AA)
        mix = float(rng.uniform(0.2, 0.9))
        out = layer * mix + out * (1 - mix)
    return out


def _shapes(side: int, rng: Rng) -> Picture:
    """Curved blobs of any size: chairs, curtains, plants, people out of focus."""
    out = np.ascontiguousarray(_plain(side, rng) if rng.random() < 0.5 else _clouds(side, rng))
    for _ in range(int(rng.integers(2, 14))):
        turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        radius = rng.uniform(0.04, 0.4) * side * np.exp(rng.normal(0, 0.35, 12))
        points = rng.uniform(0, side, 2) + np.stack([np.cos(turn), np.sin(turn)], 1) * radius[:, None]
        mask: NDArray[Any] = np.zeros((side, side), np.float32)
        cv2.fillPoly(mask, [points.astype(np.int32)], 1.0, cv2.LINE_AA)
        mask = cv2.GaussianBlur(mask, (0, 0), float(rng.uniform(0.5, 5)))[..., None]
        fill = _clouds(side, rng) if rng.random() < 0.4 else _tone(rng)
        out = (out * (1 - mask) + fill * mask).astype(np.float32)
    return out


FOLIAGE = np.array(
    [(40, 70, 30), (70, 110, 45), (110, 150, 70), (25, 40, 28), (150, 60, 35), (190, 110, 40), (215, 120, 150)]
)
"""Colours of leaves and blossom, RGB."""


def _leaves(side: int, rng: Rng) -> Picture:
    """Foliage from dark depth to lit front: leaves or blossom of one or two colours, painted back to front."""
    tones = FOLIAGE[rng.integers(len(FOLIAGE), size=2)] / 255
    out = np.ascontiguousarray(
        _plain(side, rng) if rng.random() < 0.4 else _clouds(side, rng) * tones[0].astype(np.float32)
    )
    count = int(rng.integers(30, 260))
    size = float(np.exp(rng.uniform(1.2, 3.4)))
    for index in range(count):
        lit = (0.25 + 0.75 * index / count) * float(np.exp(rng.normal(0, 0.35)))
        colour = [float(v) for v in np.clip(tones[index % 2] * lit * 1.5 + rng.normal(0, 0.03, 3), 0, 1)]
        axes = (int(size * np.exp(rng.normal(0, 0.4))) + 1, int(size * rng.uniform(0.2, 0.8)) + 1)
        at = [int(v) for v in rng.uniform(0, side, 2)]
        cv2.ellipse(out, at, axes, float(rng.uniform(0, 180)), 0, 360, colour, -1, cv2.LINE_AA)
    return out


def _clothes(side: int, other: NDArray[np.uint8], rng: Rng) -> Picture:
    """A magnified piece of somebody's clothes or flag, which is real texture without a face."""
    height = other.shape[0]
    size = int(rng.integers(30, 120))
    top = int(rng.integers(int(height * 0.72), height - min(size, int(height * 0.25))))
    left = int(rng.integers(int(height * 0.2), int(height * 0.8) - min(size, 100)))
    piece = other[top : top + size, left : left + size]
    return np.asarray(cv2.resize(piece, (side, side), interpolation=cv2.INTER_CUBIC), dtype=np.float32) / 255


def _alike(side: int, person: Picture, matte: NDArray[np.float32], rng: Rng) -> Picture:
    """A wall in one of the person's own colours (hair, skin, clothes): the hardest kind."""
    rows, columns = np.nonzero(matte > 0.9)
    if not len(rows):
        return _plain(side, rng)
    pick = rng.integers(len(rows), size=2)
    first, second = person[rows[pick], columns[pick]]
    field = noise(side, float(rng.uniform(1, 20)), rng)[..., None]
    return np.asarray(
        first * (1 - field) + (second if rng.random() < 0.4 else first * 0.85 + 0.05) * field, dtype=np.float32
    )


def backdrop(side: int, person: Picture, matte: NDArray[np.float32], other: NDArray[np.uint8], rng: Rng) -> Picture:
    """A background (side, side, 3) float32 0..1 for ``person``; ``other`` is any other portrait, uint8."""
    kind = int(rng.choice(9, p=[0.15, 0.13, 0.17, 0.04, 0.09, 0.1, 0.06, 0.1, 0.16]))
    if kind == 0:
        out = _plain(side, rng)
    elif kind == 1:
        out = _clouds(side, rng)
    elif kind == 2:
        out = _room(side, rng)
    elif kind == 3:
        out = _stripes(side, rng)
    elif kind == 4:
        out = _lights(side, rng)
    elif kind == 5:
        out = _shapes(side, rng)
    elif kind == 6:
        out = _clothes(side, other, rng)
    elif kind == 8:
        out = _leaves(side, rng)
    else:
        out = _alike(side, person, matte, rng)
    if rng.random() < 0.6:
        out = cv2.GaussianBlur(out, (0, 0), float(np.exp(rng.uniform(-1, 2.3))))
    if rng.random() < 0.3:  # texture of the wall itself
        out = out * (
            1 + (noise(side, side / float(rng.uniform(1, 4)), rng)[..., None] - 0.5) * float(rng.uniform(0, 0.5))
        )
    if rng.random() < 0.2:  # a room darker than the person
        out = out * float(rng.uniform(0.08, 0.6))
    if rng.random() < 0.25:  # the shadow a person casts on the wall
        move = np.array([[1, 0, rng.normal(0, 12)], [0, 1, rng.uniform(-4, 14)]])
        cast = cv2.GaussianBlur(cv2.warpAffine(matte, move, (side, side)), (0, 0), float(rng.uniform(3, 14)))
        out = out * (1 - cast[..., None] * float(rng.uniform(0.1, 0.6)))
    return np.asarray(np.clip(out, 0, 1), dtype=np.float32)
