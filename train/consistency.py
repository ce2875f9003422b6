"""Temporal consistency without clips: a still photo, moved and degraded a little, must give the same drawing, moved.

After ReCoNet (Gao et al., ACCV 2018), whose loss compares consecutive outputs along the optical flow: here the motion
is made, so it is known exactly and nothing is occluded. Steadiness is paid for once, in training; live it is free.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

_DOT = np.zeros((33, 33), np.float32)
_DOT[16, 16] = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The first ``count`` pictures of a batch a moment later."""

    photo: Tensor
    """(K, 3, 512, 512) float in [-1, 1]."""
    boxes: Tensor
    """(K, 4, 2) integer."""
    fg: Tensor
    """(K, 1, 512, 512), bool or float 0..1, as it was given."""
    grid: Tensor
    """(K, 512, 512, 2) float32, where each pixel came from, in grid_sample's units."""

    @property
    def count(self) -> int:
        """K."""
        return len(self.photo)


class Consistency:
    """Makes the second view and compares the drawings of both.

    Args:
        weight: of the term.
        still: share of second views without motion, where only sensor, codec and matte differ (the flicker of a
            person who sits still).
        shaken: share of the other second views that are also out of focus or blurred by motion, or taken with fewer
            pixels: what a head that turns fast looks like to a webcam.
        reach: how far the others move, px: twice the standard deviation of the shift, on each axis.
        exact: share of the term that compares the drawings pixel by pixel, not blurred. With none, a heavy term makes
            halftone: blurred it is a grey that holds still, and in the drawing a screen that stays where it is.
    """

    def __init__(
        self,
        *,
        weight: float = 1.0,
        still: float = 0.5,
        shaken: float = 0.0,
        reach: float = 2.5,
        exact: float = 0.0,
    ) -> None:
        if weight < 0 or any(not 0 <= one <= 1 for one in (still, shaken, exact)) or not 0 < reach <= 64:
            raise ValueError(
                "consistency: expected weight >= 0, still, shaken and exact in 0..1, reach in px above 0 and at most "
                f"64, got {weight}, {still}, {shaken}, {exact} and {reach}"
            )
        self.weight, self.still, self.shaken = weight, still, shaken
        self.reach, self.exact = reach, exact

    def later(self, photo: Tensor, boxes: Tensor, fg: Tensor, *, count: int, rng: np.random.Generator) -> Moment:
        """The first ``count`` pictures moved by up to some pixels, with new noise.

        Args:
            photo: (B, 3, H, W) float in [-1, 1].
            boxes: (B, 4, 2) integer.
            fg: (B, 1, H, W) bool, or float 0..1.
            rng: every choice comes from it.
        """
        photo, boxes, fg = photo[:count], boxes[:count], fg[:count]
        size = photo.shape[-1]
        moves = [rng.random() >= self.still for _ in range(count)]
        flows = np.stack([motion(rng, size, self.reach if one else 0.0) for one in moves])
        axis = torch.arange(size, dtype=torch.float32)
        here = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
        grid = ((here + torch.from_numpy(flows)) * 2 + 1) / size - 1
        grid = grid.to(photo.device)
        moved = F.grid_sample(photo.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
        views = [((m.permute(1, 2, 0) + 1) * 127.5).cpu().numpy() for m in moved]
        hasty = [one and self.shaken > 0 and rng.random() < self.shaken for one in moves]
        noisy = [sensor(rng, shake(rng, view) if one else view) for view, one in zip(views, hasty, strict=True)]
        out = torch.from_numpy(np.stack(noisy)).to(photo.device).permute(0, 3, 1, 2).float() / 127.5 - 1
        mask = F.grid_sample(fg.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
        wobble = np.stack([wavering(rng, size) for _ in range(count)])[:, None]
        edge = 4 * (wide := F.avg_pool2d(mask, 7, 1, 3)) * (1 - wide)
        mask = (mask + edge * torch.from_numpy(wobble).to(mask.device)).clamp(0, 1)
        nudge = torch.from_numpy(rng.integers(-1, 2, (count, 4, 2))).to(boxes)
        limit = torch.tensor([0, 0], device=boxes.device, dtype=boxes.dtype)
        corners = torch.maximum(boxes + nudge, limit)
        # A box at the border stays where it is: its size is not known here.
        corners = torch.where(boxes + 129 < size, corners, boxes)
        return Moment(
            photo=out.to(photo.dtype).contiguous(memory_format=torch.channels_last),
            boxes=corners,
            fg=mask if fg.is_floating_point() else mask >= 0.5,
            grid=grid,
        )

    def term(self, now: Tensor, later: Tensor, moment: Moment) -> Tensor:
        """What differs between the drawing of now, moved, and that of later.

        Args:
            now: (K, 1, H, W) float in [-1, 1], the drawings of the unmoved pictures.
            later: (K, 1, H, W) float in [-1, 1].

        Both are blurred a little, but for the share that is ``exact``, because moving by a fraction of a pixel softens
        edges: what counts are strokes that come and go.
        """
        moved = F.grid_sample(now.float(), moment.grid, mode="bilinear", padding_mode="border", align_corners=False)
        apart = moved - later.float()
        terms = ((1 - self.exact, soften(apart)), (self.exact, apart))
        return self.weight * torch.stack([share * _size(one) for share, one in terms if share]).sum()


def _size(apart: Tensor) -> Tensor:
    """Of a difference: its mean, small ones squared (Huber)."""
    return F.smooth_l1_loss(apart, torch.zeros_like(apart), beta=0.2)


def soften(x: Tensor) -> Tensor:
    """A 3x3 binomial blur. (B, 1, H, W)."""
    k = torch.tensor([1.0, 2.0, 1.0], device=x.device) / 4
    return F.conv2d(x, torch.outer(k, k)[None, None], padding=1)


def smooth(rng: np.random.Generator, size: int, cells: int) -> NDArray[np.float32]:
    """(size, size) float32 of standard deviation about 1: normal values on a grid, cubic between them."""
    grid = rng.standard_normal((cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def wavering(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """(size, size) float32: by how much a matte network changes its mind at the border of the person."""
    amount = float(rng.gamma(1.5, 0.08))
    return np.asarray(smooth(rng, size, int(rng.integers(12, 90))) * np.float32(amount), np.float32)


def motion(rng: np.random.Generator, size: int, reach_px: float) -> NDArray[np.float32]:
    """(size, size, 2) float32 px: a small similarity and a small smooth deformation, as of a face that speaks."""
    shift = rng.normal(0, reach_px * 0.5, 2)
    turn, scale = rng.normal(0, reach_px * 0.0012, 2)
    y, x = (np.mgrid[0:size, 0:size] - size / 2).astype(np.float32)
    flow = np.stack([shift[0] + scale * x - turn * y, shift[1] + turn * x + scale * y], -1).astype(np.float32)
    if reach_px > 1:
        bend = np.stack([smooth(rng, size, 8), smooth(rng, size, 8)], -1)
        flow += bend * np.float32(rng.uniform(0, 0.3 * reach_px))
    return flow


def shake(rng: np.random.Generator, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """A frame of a head in motion: smeared along a line, or of fewer pixels. (H, W, 3) float32 0..255."""
    size = image.shape[0]
    if rng.random() < 0.5:
        small = int(size * rng.uniform(0.3, 0.8))
        reduced = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.resize(reduced, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)
    length, angle = rng.uniform(1.5, 6.0), rng.uniform(0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    kernel = np.zeros((9, 9), np.float32)
    for x, y in (4 + np.linspace(-1, 1, 25)[:, None] * reach).astype(np.float32):
        kernel += cv2.getRectSubPix(_DOT, (9, 9), (float(20 - x), float(20 - y)))
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE), np.float32)


def sensor(rng: np.random.Generator, image: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A frame of the same scene: light flickers, the sensor's noise is new, the codec decides anew.

    (H, W, 3) float32 0..255 -> uint8.
    """
    x = image * np.float32(1 + rng.normal(0, 0.012)) + np.float32(rng.normal(0, 1.0))
    sigma = float(rng.gamma(1.5, 1.5))
    noise = rng.standard_normal(x.shape, np.float32)
    if rng.random() < 0.5:
        noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.0), np.float32) * 2.5
    x = x + noise * np.float32(sigma)
    if rng.random() < 0.2:
        x = np.asarray(cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.4, 0.9))), np.float32)
    out: NDArray[np.uint8] = np.clip(x, 0, 255).round().astype(np.uint8)
    if rng.random() < 0.6:
        ok, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 96))])
        if ok:
            out = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return out
