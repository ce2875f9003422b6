"""Hair, hats and clothes that official portraits lack, drawn onto a person. numpy and cv2 only.

Each takes the person's colour (SIDE, SIDE, 3) float32 0..1, where needed the matte (SIDE, SIDE) float32 0..1, and the
outline of the face (36, 2) float32 px. They need only have the right outline and a plausible texture: the matte learns
from them that a person may be wider than an official portrait.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from train.matte_backdrops import noise
from train.matte_people import Matte, Picture

Rng = np.random.Generator

SIDE = 256
"""Side of a training picture, in pixels: the aligned square at half its size."""


def _blob(points: NDArray[np.floating], soft: float) -> Matte:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), soft), dtype=np.float32) / 255


def _strands(colour: NDArray[np.floating], rng: Rng) -> Picture:
    """Hair-like texture: noise drawn out downwards, bent sideways, light on dark."""
    grain: Matte = rng.random((SIDE // 8, SIDE), dtype=np.float32)
    grain = cv2.resize(cv2.GaussianBlur(grain, (0, 0), 0.8), (SIDE, SIDE))
    bend = (noise(SIDE, 3, rng) - 0.5) * float(rng.uniform(0, 40))
    x, y = np.meshgrid(np.arange(SIDE, dtype=np.float32), np.arange(SIDE, dtype=np.float32))
    grain = cv2.remap(grain, x + bend, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    shade = noise(SIDE, 4, rng) * 0.8 + 0.5
    light = 1 + (grain - 0.5) * float(rng.uniform(0.6, 2.0))
    return np.asarray(np.clip(colour * (light * shade)[..., None], 0, 1), dtype=np.float32)


HAIR = np.array(
    [
        (20, 16, 15),
        (35, 25, 20),
        (60, 40, 28),
        (95, 62, 38),
        (140, 100, 62),
        (190, 150, 100),
        (120, 50, 30),
        (150, 145, 140),
    ]
)


def add_hair(colour: Picture, matte: Matte, oval: NDArray[np.float32], rng: Rng) -> tuple[Picture, Matte]:
    """Long hair falling behind or over the shoulders, on both sides or one."""
    left, right, top, chin = oval[:, 0].min(), oval[:, 0].max(), oval[:, 1].min(), oval[:, 1].max()
    height, width = chin - top, right - left
    own = colour[int(np.clip(top - 0.12 * height, 0, SIDE - 1)), int(np.clip((left + right) / 2, 0, SIDE - 1))]
    tone = own if rng.random() < 0.5 else HAIR[rng.integers(len(HAIR))] / 255.0
    texture = _strands(np.asarray(tone), rng)
    mask = np.zeros((SIDE, SIDE), np.float32)
    end = chin + float(rng.uniform(-0.2, 1.6)) * height
    for side in (-1.0, 1.0):
        if rng.random() < 0.15:
            continue
        edge = left if side < 0 else right
        steps = np.linspace(0, 1, 9)
        wave = np.cumsum(rng.normal(0, 0.03, 9))
        spread = float(rng.uniform(0.05, 0.55))
        outer = edge + side * width * (0.10 + spread * np.sin(steps * rng.uniform(1.2, 2.4)) + wave)
        inner = edge - side * width * (0.15 + float(rng.uniform(-0.1, 0.2)) * steps + rng.normal(0, 0.02, 9))
        ys = top + 0.05 * height + steps * (end - top)
        points = np.concatenate([np.stack([outer, ys], 1), np.stack([inner, ys], 1)[::-1]])
        mask = np.maximum(mask, _blob(points, float(rng.uniform(0.7, 2.5))))
    cap = np.array([(left + right) / 2, top + 0.28 * height])
    turn = np.linspace(np.pi, 2 * np.pi, 24)
    dome = (
        np.stack([np.cos(turn) * width * rng.uniform(0.56, 0.68), np.sin(turn) * height * rng.uniform(0.44, 0.6)], 1)
        + cap
    )
    mask = np.maximum(mask, _blob(dome, 1.5))
    return _over(colour, matte, texture, mask * (1 - _blob(oval, 2.0)))


def _over(colour: Picture, matte: Matte, texture: Picture, mask: Matte) -> tuple[Picture, Matte]:
    return colour * (1 - mask[..., None]) + texture * mask[..., None], np.maximum(matte, mask)


def add_hat(colour: Picture, matte: Matte, oval: NDArray[np.float32], rng: Rng) -> tuple[Picture, Matte]:
    """A beret, cap, brim, head scarf, flower wreath or headphones."""
    left, right, top, chin = oval[:, 0].min(), oval[:, 0].max(), oval[:, 1].min(), oval[:, 1].max()
    height, width, middle = chin - top, right - left, (oval[:, 0].min() + oval[:, 0].max()) / 2
    tone = rng.random(3) * rng.uniform(0.1, 1)
    texture = np.clip(tone * (0.6 + 0.8 * noise(SIDE, float(rng.uniform(2, 30)), rng))[..., None], 0, 1).astype(
        np.float32
    )
    face = _blob(oval, 1.5)
    kind = rng.choice(["cap", "brim", "scarf", "wreath", "phones"], p=[0.35, 0.15, 0.2, 0.2, 0.1])
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    if kind in ("cap", "brim"):
        centre = (int(middle + rng.normal(0, 0.08) * width), int(top + rng.uniform(-0.25, 0.02) * height))
        axes = (int(width * rng.uniform(0.6, 0.95)), int(height * rng.uniform(0.22, 0.5)))
        cv2.ellipse(canvas, centre, axes, float(rng.normal(0, 10)), 0, 360, 255, -1, cv2.LINE_AA)
        if kind == "brim":
            cv2.ellipse(
                canvas,
                (centre[0], int(top + 0.02 * height)),
                (int(width * rng.uniform(0.9, 1.3)), int(0.13 * height)),
                float(rng.normal(0, 5)),
                0,
                360,
                255,
                -1,
                cv2.LINE_AA,
            )
        face *= np.arange(SIDE)[:, None] > top + 0.25 * height
    elif kind == "scarf":
        axes = (int(width * rng.uniform(0.62, 0.8)), int(height * rng.uniform(0.68, 0.85)))
        cv2.ellipse(canvas, (int(middle), int((top + chin) / 2)), axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
        drop = np.array(
            [
                (left - 0.12 * width, chin - 0.3 * height),
                (right + 0.12 * width, chin - 0.3 * height),
                (right + 0.5 * width, SIDE),
                (left - 0.5 * width, SIDE),
            ]
        )
        canvas = np.maximum(canvas, (_blob(drop, 1.5) * 255).astype(np.uint8))
    elif kind == "wreath":
        flowers = texture.copy()
        for turn in rng.uniform(np.pi * 1.02, np.pi * 1.98, rng.integers(8, 26)):
            at = (
                int(middle + np.cos(turn) * width * 0.6),
                int(top + 0.3 * height + np.sin(turn) * height * rng.uniform(0.4, 0.65)),
            )
            size = int(rng.integers(4, 17))
            cv2.circle(canvas, at, size, 255, -1, cv2.LINE_AA)
            cv2.circle(flowers, at, size, [float(v) for v in np.clip(tone + rng.normal(0.2, 0.25, 3), 0, 1)], -1)
            cv2.circle(flowers, at, max(1, size // 3), [float(v) for v in rng.random(3)], -1)
        texture = cv2.GaussianBlur(flowers, (0, 0), 1.0) * (0.7 + 0.6 * noise(SIDE, 40, rng))[..., None]
    else:
        for edge in (left - 0.08 * width, right + 0.08 * width):
            cv2.ellipse(
                canvas,
                (int(edge), int((top + chin) / 2)),
                (int(0.11 * width), int(0.2 * height)),
                0,
                0,
                360,
                255,
                -1,
                cv2.LINE_AA,
            )
        cv2.ellipse(
            canvas,
            (int(middle), int((top + chin) / 2)),
            (int(0.64 * width), int(0.85 * height)),
            0,
            180,
            360,
            255,
            5,
            cv2.LINE_AA,
        )
    mask = canvas.astype(np.float32) / 255
    return _over(colour, matte, np.clip(texture, 0, 1).astype(np.float32), mask * (1 - face))


def add_hand(colour: Picture, matte: Matte, oval: NDArray[np.float32], rng: Rng) -> tuple[Picture, Matte]:
    """A raised hand with its forearm, in the skin's colour: palm, fingers, shaded towards their edges."""
    middle, height = oval.mean(0), float(np.ptp(oval[:, 1]))
    cheek = colour[int(np.clip(middle[1], 0, SIDE - 1)), int(np.clip(middle[0], 0, SIDE - 1))]
    skin = cheek * float(rng.uniform(0.75, 1.1))
    side = float(rng.choice([-1.0, 1.0]))
    palm = np.array([middle[0] + side * rng.uniform(0.1, 1.1) * height, middle[1] + rng.uniform(0.2, 0.9) * height])
    size = float(rng.uniform(0.2, 0.32)) * height
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    aim = float(rng.normal(-np.pi / 2 - side * 0.5, 0.7))
    for finger in range(5):
        turn = aim + (finger - 2) * float(rng.uniform(0.1, 0.32))
        reach = size * float(rng.uniform(0.7, 1.9))
        tip = palm + np.array([np.cos(turn), np.sin(turn)]) * reach
        root = palm + np.array([np.cos(turn), np.sin(turn)]) * size * 0.3
        cv2.line(canvas, root.astype(int).tolist(), tip.astype(int).tolist(), 255, max(3, int(size * 0.3)), cv2.LINE_AA)
    cv2.ellipse(canvas, palm.astype(int).tolist(), (int(size * 0.62), int(size * 0.5)), 0, 0, 360, 255, -1, cv2.LINE_AA)
    elbow = np.array([palm[0] + side * rng.uniform(-0.3, 0.5) * height, SIDE + 20.0])
    cv2.line(canvas, palm.astype(int).tolist(), elbow.astype(int).tolist(), 255, int(size * 0.8), cv2.LINE_AA)
    mask = canvas.astype(np.float32) / 255
    depth = np.asarray(cv2.GaussianBlur(mask, (0, 0), size * 0.12 + 0.5))
    texture = np.clip(skin * (0.45 + 0.6 * depth + 0.2 * noise(SIDE, 12, rng))[..., None], 0, 1)
    if rng.random() < 0.6:  # a sleeve
        sleeve = np.clip((np.arange(SIDE) - palm[1] - size * float(rng.uniform(0.5, 1.5))) / 3, 0, 1)[:, None, None]
        texture = texture * (1 - sleeve) + rng.random(3) * (0.5 + 0.5 * depth)[..., None] * sleeve
    return _over(colour, matte, texture.astype(np.float32), mask)


def dress(colour: Picture, oval: NDArray[np.float32], rng: Rng) -> Picture:
    """Other clothes: what lies below the chin gets another colour, and sometimes a pattern."""
    chin, middle, width = float(oval[:, 1].max()), float(oval[:, 0].mean()), float(np.ptp(oval[:, 0]))
    x, y = np.meshgrid(np.arange(SIDE, dtype=np.float32), np.arange(SIDE, dtype=np.float32))
    away = np.abs(x - middle) / width
    region = np.clip((y - chin - 14 + 10 * (away > 0.4) + noise(SIDE, 4, rng) * 20 - 10) / 12, 0, 1)[..., None]
    tone = rng.random(3) ** 0.8
    light = colour.mean(-1, keepdims=True)
    cloth = np.clip(tone * (0.35 + 1.3 * light) + float(rng.uniform(-0.05, 0.25)), 0, 1)
    if rng.random() < 0.4:
        wave = np.sin((x * rng.normal(0, 1) + y * rng.normal(0, 1)) * rng.uniform(0.15, 1.2))
        cloth = np.where(
            (wave > rng.uniform(-0.5, 0.9))[..., None], cloth, np.clip(cloth + rng.normal(0, 0.35, 3), 0, 1)
        )
    return np.asarray(colour * (1 - region) + cloth * region, dtype=np.float32)
