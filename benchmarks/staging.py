"""Events before a camera, staged with the demo portrait: pictures of scripts that repeat exactly.

All are (720, 1280, 3) uint8 RGB, :data:`FPS` a second. The sensor's noise, the blinks and the turns of the head go on
through every event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.puppet import Puppet

Image = NDArray[np.uint8]

FPS = 30
WIDTH, HEIGHT = 1280, 720
MOUTH = (643, 437)
"""Where the mouth is before the head moves, px; so are these."""
_SKIN = np.array([196, 146, 122], np.float32)
_CLOTH = (94, 100, 112)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A script of frames."""

    name: str
    told: str
    """What happens, and what must not."""
    frames: int
    event: int
    """The first frame in which something happens."""
    over: int
    """The first frame in which it is over."""
    shown: tuple[int, ...]
    """A dozen frames that tell it."""
    cut: int | None = None
    """The first frame of another scene."""
    stage: Callable[[Image, int], Image]
    """The portrait's picture of a frame -> what the camera sees in it."""

    def images(self) -> Iterator[Image]:
        puppet = Puppet(width=WIDTH, height=HEIGHT, fps=FPS)
        for index in range(self.frames):
            yield self.stage(puppet.render(index), index)


def ramp(index: int, start: int, stop: int) -> float:
    """0 up to frame ``start``, 1 from ``stop`` on, eased in between."""
    share = min(1.0, max(0.0, (index - start) / (stop - start)))
    return share * share * (3 - 2 * share)


def _cut(image: Image, index: int) -> Image:
    """To the same person the other way round, nearer, in other light: no line of one lies on a line of the other."""
    if index < 12:
        return image
    near = np.ascontiguousarray(image[40:580, 160:1120][:, ::-1])
    large = cv2.resize(near, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    moved = cv2.warpAffine(large, np.array([[1.0, 0, -170], [0, 1, 0]]), (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(cv2.convertScaleAbs(moved, alpha=0.8, beta=8), np.uint8)


def _covered(image: Image, index: int) -> Image:
    """A folder is lifted before the whole face, held there for a second and taken away."""
    down = 1 - ramp(index, 12, 18) + ramp(index, 48, 54)
    top = round(20 + 740 * down)
    if top >= HEIGHT:
        return image
    out = image.copy()
    cv2.rectangle(out, (400, top), (880, HEIGHT + 20), _CLOTH, -1)
    cv2.rectangle(out, (400, top), (880, HEIGHT + 20), (70, 74, 84), 4)
    cv2.rectangle(out, (470, top + 60), (810, top + 170), (214, 210, 198), -1)
    return _as_seen(out, index)


def _away(image: Image, index: int) -> Image:
    """The person walks out of the picture, and comes back from the other side after a second."""
    out, back = ramp(index, 9, 24), 1 - ramp(index, 48, 63)
    by = round(WIDTH * out if index < 36 else -WIDTH * back)
    return _as_seen(_aside(image, by), index) if by else image


def _aside(image: Image, by: int) -> Image:
    """Moved to the right; what comes in is the wall."""
    out = image.copy()
    for edge, columns in ((0, slice(0, 40)), (-1, slice(-40, None))):  # the wall goes on without the noise of a column
        mean = image[:, columns].mean(1, keepdims=True).astype(np.float32)
        out[:, edge] = np.rint(cv2.blur(mean, (1, 61)))[:, 0]
    matrix = np.array([[1.0, 0, by], [0, 1, 0]])
    return np.asarray(cv2.warpAffine(out, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _lamp(image: Image, index: int) -> Image:
    """The lamp goes off; the camera opens up by and by; another lamp, warmer, comes on, and the camera closes down."""
    if index < 12:
        return image
    gain = 0.42 + 0.28 * ramp(index, 14, 30)
    if index >= 36:
        gain = 1.3 - 0.3 * ramp(index, 38, 54)
    colour = np.array([1.0, 1.0, 1.0] if index < 36 else [1.06, 1.0, 0.86])
    return np.clip(image * (gain * colour) + 0.5, 0, 255).astype(np.uint8)


def _hand(image: Image, index: int) -> Image:
    """A hand comes up before the mouth, rests there for half a second and goes down again."""
    away = 1 - ramp(index, 12, 20) + ramp(index, 38, 46)
    if away >= 1:
        return image
    x, y = MOUTH[0] + 24 - round(120 * away), MOUTH[1] + round(420 * away)
    out = image.astype(np.float32)
    cover, colour = _hand_at(x, y)
    out += cover[..., None] * (colour - out)
    return _as_seen(out.astype(np.uint8), index)


def _hand_at(x: int, y: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A hand laid flat over (x, y): coverage (H, W) float32, 0 to 1, and colour (H, W, 3) float32."""
    colour = np.empty((HEIGHT, WIDTH, 3), np.float32)
    colour[:] = _SKIN
    cover = np.zeros((HEIGHT, WIDTH), np.uint8)
    limbs = [((-60, 150), (40, 340), 150), ((-70, 60), (60, 60), 130), ((10, 60), (10, 110), 150)]
    limbs += [((-84 + 49 * k, 40), (-84 + 49 * k, -84 + 14 * abs(k - 1)), 52) for k in range(4)]
    limbs += [((-60, 110), (-150, 40), 50)]
    for start, stop, wide in limbs:
        one = np.zeros((HEIGHT, WIDTH), np.uint8)
        a, b = ((x + dx, y + dy) for dx, dy in (start, stop))
        cv2.line(one, a, b, (255,), wide, cv2.LINE_AA)
        # Round limbs: darker towards their sides.
        depth = cv2.distanceTransform((one > 127).astype(np.uint8), cv2.DIST_L2, 3)
        shade = 1 - 0.42 * np.exp(-depth / (0.16 * wide))
        inside = one > 127
        colour[inside] = _SKIN * shade[inside][:, None]
        cover = np.maximum(cover, one)
    soft = cv2.GaussianBlur(cover, (0, 0), 1.2).astype(np.float32) * np.float32(1 / 255)
    return soft, np.asarray(cv2.GaussianBlur(colour, (0, 0), 2.0), np.float32)


def _as_seen(image: Image, index: int) -> Image:
    """What was put before the camera has the sensor's noise too."""
    noise = np.random.default_rng(index).standard_normal((HEIGHT // 2, WIDTH // 2), np.float32)
    grain = cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(image + 3 * grain[..., None], 0, 255), np.uint8)


SCENES = (
    Scene(
        name="cut",
        told="a cut to another scene",
        frames=30,
        event=12,
        over=13,
        shown=(9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 24, 29),
        cut=12,
        stage=_cut,
    ),
    Scene(
        name="covered",
        told="a face is covered, and seen again",
        frames=66,
        event=12,
        over=54,
        shown=(10, 14, 15, 16, 20, 24, 28, 40, 50, 51, 52, 56),
        stage=_covered,
    ),
    Scene(
        name="away",
        told="a face leaves and returns",
        frames=72,
        event=9,
        over=63,
        shown=(8, 14, 16, 18, 22, 26, 30, 50, 54, 55, 56, 66),
        stage=_away,
    ),
    Scene(
        name="lamp",
        told="a lamp is switched off, another one on",
        frames=60,
        event=12,
        over=54,
        shown=(10, 11, 12, 13, 14, 20, 28, 35, 36, 37, 40, 56),
        stage=_lamp,
    ),
    Scene(
        name="hand",
        told="a hand before the mouth",
        frames=58,
        event=12,
        over=46,
        shown=(12, 16, 17, 18, 19, 20, 28, 38, 40, 41, 42, 50),
        stage=_hand,
    ),
)
