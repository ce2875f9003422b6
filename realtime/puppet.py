"""A portrait set in motion: picture ``k`` is a pure function of ``k``, so a run can be repeated exactly.

The head turns, nods and tilts by a smooth 2.5D warp (depth from the landmark mesh), the body sways and leans, the light
moves from side to side, the eyelids close, and a sensor adds noise. Everything that does not change from one picture
to the next is prepared once; a 1280 x 720 picture then costs a few milliseconds of one core.
"""

from __future__ import annotations

import json
import math
from importlib import resources
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_STEP = 16  # px between nodes of the warp grid: the fields are smooth, so full resolution would only cost time
_NO_MAP: Any = None  # cv2.remap's second map, when the first holds x and y; OpenCV's stubs know of no None
_LIGHT_SCALE = 0.7  # the two side-lit pictures are stored darker, so that neither of them clips

# Landmarks of MediaPipe's mesh along each upper lid, lower lid and lid crease, in order of x.
_EYES = (
    (
        (33, 246, 161, 160, 159, 158, 157, 173, 133),
        (33, 7, 163, 144, 145, 153, 154, 155, 133),
        (247, 30, 29, 27, 28, 56, 190),
    ),
    (
        (362, 398, 384, 385, 386, 387, 388, 466, 263),
        (362, 382, 381, 380, 374, 373, 390, 249, 263),
        (414, 286, 258, 257, 259, 260, 467),
    ),
)

# Seconds at which a blink begins, within a period of 10 s; the pair is a double blink.
_BLINKS = (1.4, 4.0, 4.5, 7.7)
_BLINK_PERIOD = 10.0


def eyelid_closure(seconds: float) -> float:
    """How far the lids are down at a time of the script: 0 open, 1 closed. A blink lasts a third of a second."""
    for start in _BLINKS:
        t = (seconds - start) % _BLINK_PERIOD
        if t < 0.10:
            return _smooth(t / 0.10)
        if t < 0.17:
            return 1.0
        if t < 0.33:
            return 1.0 - _smooth((t - 0.17) / 0.16)
    return 0.0


class Puppet:
    """Draws the moving portrait.

    Args:
        width, height: size of the pictures, px.
        fps: pictures per second of the script.
    """

    def __init__(self, *, width: int, height: int, fps: float) -> None:
        self._width, self._height, self._fps = width, height, fps
        portrait, mesh = _load()
        # The stored picture shows 1280 x 720 with spare rows below; other shapes are covered from the top centre.
        self._scale = max(width / 1280, height / 720)
        size = (max(width, round(portrait.shape[1] * self._scale)), max(height, round(portrait.shape[0] * self._scale)))
        shrink = self._scale < 1
        portrait = np.asarray(
            cv2.resize(portrait, size, interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC), dtype=np.uint8
        )
        left = (size[0] - width) // 2
        portrait = np.ascontiguousarray(portrait[:, left : left + width])
        mesh = mesh * self._scale
        mesh[:, 0] -= left
        self._lights = _side_lit(portrait)
        self._lids = [_Lid(mesh, *curves, scale=self._scale) for curves in _EYES]
        self._prepare_warp(mesh)
        self._noise = _noise_fields(height, width)

    def _prepare_warp(self, mesh: Floats) -> None:
        """Fields on the coarse grid, and the columns outside which nothing moves."""
        s, w, h = self._scale, self._width, self._height
        middle = w / 2
        # Inside these columns people move; outside, the backdrop stands still and is copied.
        self._x0 = max(0, int(middle - 500 * s))
        self._x1 = min(w, math.ceil(middle + 500 * s))
        # cv2.resize takes a node to the centre of its cell; one more node all round spares the border from clamping.
        gx = self._x0 + (np.arange(-1, math.ceil((self._x1 - self._x0) / _STEP) + 1) + 0.5) * _STEP - 0.5
        gy = (np.arange(-1, math.ceil(h / _STEP) + 1) + 0.5) * _STEP - 0.5
        self._gx, self._gy = np.meshgrid(gx.astype(np.float32), gy.astype(np.float32))
        # The body moves as a whole and fades into the still backdrop at the sides and above the hair.
        across = np.abs(self._gx - middle) / s
        self._body = _fade((500 - across) / 130) * _fade(self._gy / (55 * s))
        face = mesh[:468]
        self._centre = (float(face[:, 0].mean()), float(face[:, 1].min() * 0.28 + face[:, 1].max() * 0.72))
        radius = np.hypot((self._gx - middle) / (140 * s), (self._gy - 265 * s) / (208 * s))
        head = _fade((1.75 - radius) / 0.75)
        # Depth towards the camera, measured from the axis of the neck: normalised Gaussian regression of the mesh.
        distance2 = (self._gx[..., None] - face[:, 0]) ** 2 + (self._gy[..., None] - face[:, 1]) ** 2
        weights = np.exp(-distance2 / (2 * (20 * s) ** 2)) + 1e-12
        depth = (weights * (95 * s - face[:, 2])).sum(-1) / weights.sum(-1)
        # Beyond the face lies hair on the far side of a ball: its depth runs out instead of being carried on.
        depth = np.maximum(depth, 0) * np.exp(-np.maximum(radius - 0.8, 0) * 1.5)
        self._fields = np.dstack([head, (depth + 40 * s) * head]).astype(np.float32)

    def render(self, index: int) -> Bytes:
        """Picture ``index`` of the script, (height, width, 3) uint8 RGB."""
        t = index / self._fps
        scene = self._lit(t)
        closure = eyelid_closure(t)
        if closure > 0:
            for lid in self._lids:
                lid.close(scene, closure)
        fine = cv2.resize(self._warp_grid(t), None, fx=_STEP, fy=_STEP, interpolation=cv2.INTER_LINEAR)
        moving = fine[_STEP : _STEP + self._height, _STEP : _STEP + self._x1 - self._x0]
        picture = scene[: self._height].copy()
        picture[:, self._x0 : self._x1] = cv2.remap(
            scene, moving, _NO_MAP, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return self._with_noise(picture, index)

    def _lit(self, t: float) -> Bytes:
        """The still portrait under the light of the moment: its level and its side change."""
        level = 1 + 0.14 * _wave(t, 6.7)
        side = 0.9 * _wave(t, 9.1)
        left, right = self._lights
        weight = level / _LIGHT_SCALE / 2
        return np.asarray(cv2.addWeighted(left, weight * (1 + side), right, weight * (1 - side), 0), dtype=np.uint8)

    def _warp_grid(self, t: float) -> Floats:
        """Where each node of the grid takes its colour from, (rows, columns, 2) float32 scene pixels."""
        s = self._scale
        # Body: sway and lean about the middle of the lower edge. Every motion is zero at t = 0.
        zoom, angle = 1 + 0.035 * _wave(t, 8.3), math.radians(1.2 * _wave(t, 7.7))
        px, py = self._width / 2, self._height + 60 * s
        u, v = self._gx - px, self._gy - py
        cos, sin = math.cos(angle) / zoom, math.sin(angle) / zoom
        sway = 20 * s * _wave(t, 6.1)
        bx = self._gx + self._body * (cos * (u - sway) + sin * v - u)
        by = self._gy + self._body * (-sin * (u - sway) + cos * v - v)
        # Head: sample its fields where the body's motion lands.
        gx0, gy0 = self._gx[0, 0], self._gy[0, 0]
        fields = cv2.remap(
            self._fields,
            ((bx - gx0) / _STEP).astype(np.float32),
            ((by - gy0) / _STEP).astype(np.float32),
            interpolation=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        head, depth = fields[..., 0], fields[..., 1]
        yaw, pitch, roll = (math.radians(a * _wave(t, period)) for a, period in ((11, 5.3), (5, 4.1), (3, 7.1)))
        hx, hy = bx - self._centre[0], by - self._centre[1]
        dx = depth * math.sin(yaw) - head * (hx * (1 - math.cos(yaw)) + hy * roll)
        dy = depth * math.sin(pitch) + head * (hx * roll - hy * (1 - math.cos(pitch)))
        return np.dstack([bx - dx, by - dy]).astype(np.float32)

    def _with_noise(self, picture: Bytes, index: int) -> Bytes:
        """Add the sensor noise of this picture: one of a few fields, shifted by a hash of the index."""
        key = (index * 2654435761) & 0xFFFFFFFF
        field = self._noise[key % len(self._noise)]
        oy, ox = (key >> 8) % _NOISE_ROOM, (key >> 16) % _NOISE_ROOM
        shifted = field[oy : oy + self._height, ox : ox + self._width]
        return np.asarray(cv2.addWeighted(picture, 1.0, shifted, 1.0, -128.0), dtype=np.uint8)


class _Lid:
    """One upper eyelid: its skin is drawn down over the eye, the lashes ride on its edge."""

    def __init__(
        self, mesh: Floats, upper: tuple[int, ...], lower: tuple[int, ...], crease: tuple[int, ...], *, scale: float
    ) -> None:
        pad = max(2, round(6 * scale))
        eye = mesh[list(upper + lower + crease), :2]
        self._x0, self._y0 = (int(v) - pad for v in eye.min(0))
        self._x1, self._y1 = (int(v) + pad for v in eye.max(0))
        xs = np.arange(self._x0, self._x1, dtype=np.float32)
        top, bottom, fold = (
            _rounded(np.interp(xs, mesh[list(ids), 0], mesh[list(ids), 1]).astype(np.float32), scale)
            for ids in (upper, lower, crease)
        )
        self._reach = np.maximum(bottom - top + 0.5 * scale, 0)
        self._reach *= _fade((xs - mesh[upper[0], 0]) / (3 * scale)) * _fade((mesh[upper[-1], 0] - xs) / (3 * scale))
        self._edge = top + 1.5 * scale
        self._lashes = 4.0 * scale
        self._crease = np.minimum(fold - 3 * scale, self._edge - self._lashes - 3 * scale)
        self._xs, self._ys = np.meshgrid(xs, np.arange(self._y0, self._y1, dtype=np.float32))

    def close(self, scene: Bytes, closure: float) -> None:
        """Draw the lid ``closure`` (0 to 1) of the way down, in place."""
        drop = closure * self._reach
        low = self._edge + drop
        # From the crease down to the lashes the skin stretches; the lashes keep their width; below, the eye stays.
        soft = self._edge - self._lashes
        stretch = (soft - self._crease) / (soft + drop - self._crease)
        source = np.where(self._ys > soft + drop, self._ys - drop, self._crease + (self._ys - self._crease) * stretch)
        source = np.where(self._ys < self._crease, self._ys, source)
        hidden = np.clip(self._ys - low + 0.5, 0, 1)  # 1 below the lid's edge, where nothing has moved
        patch = scene[self._y0 : self._y1, self._x0 : self._x1]
        dx, dy = np.float32(self._x0), np.float32(self._y0)
        moved = cv2.remap(
            patch,
            self._xs - dx,
            (source - dy).astype(np.float32),
            interpolation=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        blend = hidden[..., None]
        patch[:] = (moved * (1 - blend) + patch * blend + 0.5).astype(np.uint8)


_NOISE_ROOM = 61


def _noise_fields(height: int, width: int) -> list[Bytes]:
    """Noise about 128, mostly in luma, a little coarser than a pixel as a webcam's processing leaves it."""
    rng = np.random.default_rng(20)
    fields = []
    for _ in range(3):
        shape = (height + _NOISE_ROOM, width + _NOISE_ROOM)
        luma = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), 0.6) * 4.2
        field = luma[..., None] + rng.standard_normal((*shape, 3), dtype=np.float32) * 0.9 + 128.5
        fields.append(np.clip(field, 0, 255).astype(np.uint8))
    return fields


def _side_lit(portrait: Bytes) -> tuple[Bytes, Bytes]:
    """The portrait lit from the left and from the right; the mean of both is the portrait, darker by a known factor."""
    width = portrait.shape[1]
    across = np.clip((np.arange(width, dtype=np.float32) - width / 2) / (width * 0.22), -1, 1)
    ramp = (0.38 * np.sin(across * math.pi / 2))[None, :, None]
    left, right = (
        np.clip(portrait * (_LIGHT_SCALE * gain) + 0.5, 0, 255).astype(np.uint8) for gain in (1 - ramp, 1 + ramp)
    )
    return left, right


def _load() -> tuple[Bytes, Floats]:
    """The stored portrait (800, 1280, 3) uint8 RGB and its mesh (478, 3) float32, x and y in its pixels, z alike."""
    folder = resources.files("realtime") / "data"
    encoded = np.frombuffer((folder / "demo_portrait.jpg").read_bytes(), dtype=np.uint8)
    picture = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB), dtype=np.uint8)
    mesh = json.loads((folder / "demo_landmarks.json").read_text(encoding="utf-8"))["landmarks"]
    return picture, np.asarray(mesh, dtype=np.float32)


def _rounded(values: Floats, scale: float) -> Floats:
    """Smooth a polyline, so that a lid's edge has no corners."""
    kernel = max(3, round(7 * scale) | 1)
    padded = np.pad(values, kernel // 2, mode="edge")
    return np.convolve(padded, np.ones(kernel, dtype=np.float32) / kernel, mode="valid").astype(np.float32)


def _wave(seconds: float, period: float) -> float:
    return math.sin(2 * math.pi * seconds / period)


def _smooth(x: float) -> float:
    return x * x * (3 - 2 * x)


def _fade(x: Floats) -> Floats:
    """0 below 0, 1 above 1, smooth between."""
    clipped = np.clip(x, 0, 1).astype(np.float32)
    return np.asarray(clipped * clipped * (3 - 2 * clipped), dtype=np.float32)
