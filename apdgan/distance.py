"""Distance transforms of drawings: the exact one that the loss compares with, and a soft one that has a gradient."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

Map = NDArray[np.float32]

LINE_PX = 9
"""A line is what a disc of this diameter does not fit into."""


def distance_px(marked: NDArray[np.bool_]) -> Map:
    """Euclidean distance (px) of every pixel to the nearest True one, by cv2's 5x5 mask. (H, W) -> float32.

    Without a True pixel every distance is the picture's diagonal: farther than any could be.
    """
    if not marked.any():
        return np.full(marked.shape, float(np.hypot(*marked.shape)), np.float32)
    return np.asarray(cv2.distanceTransform((~marked).astype(np.uint8), cv2.DIST_L2, 5), np.float32)


def distance_maps(drawing: NDArray[np.uint8]) -> tuple[Map, Map]:
    """Distance to the nearest black and to the nearest white, each over its own maximum (CVPR 2019, section 3.3).

    Args:
        drawing: (H, W) uint8; black up to 127.
    Returns:
        Two (H, W) float32 maps in 0..1, 0 on the black (on the white) itself. Where there is no black at all, every
        pixel is as far from it as can be, 1; the original divides by zero there.
    """
    black = drawing <= 127
    return _over_maximum(distance_px(black)), _over_maximum(distance_px(~black))


def _over_maximum(distance: Map) -> Map:
    largest = distance.max()
    return np.asarray(distance / largest, np.float32) if largest > 0 else distance


def batch_distance_maps(drawing: Tensor) -> tuple[Tensor, Tensor]:
    """:func:`distance_maps` of a batch. (B, 1, H, W) float in [-1, 1] -> two (B, 1, H, W) float32, same device."""
    grey = ((drawing.detach().float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    pairs = [distance_maps(one[0]) for one in grey]
    first, second = (torch.from_numpy(np.stack(maps))[:, None].to(drawing.device) for maps in zip(*pairs, strict=True))
    return first, second


def line_maps(drawing: NDArray[np.uint8], *, line_px: int = LINE_PX) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Black lines and white lines: the ink, and the paper, that a disc of ``line_px`` cannot be opened into.

    (H, W) uint8, black up to 127 -> two (H, W) bool.
    """
    black = drawing <= 127
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (line_px, line_px))

    def thin(marked: NDArray[np.bool_]) -> NDArray[np.bool_]:
        solid = cv2.morphologyEx(marked.astype(np.uint8), cv2.MORPH_OPEN, disc, borderValue=0)
        return np.asarray(marked & (solid == 0))

    return thin(black), thin(~black)


# --- with a gradient ------------------------------------------------------------------------------------------------


def strokes(ink: Tensor) -> tuple[Tensor, Tensor]:
    """How surely a stroke of ink, and a stroke of paper, runs through each pixel.

    That is the mean of the 5 px around it along the darkest (the lightest) of four directions. On a stroke it is the
    ink itself. On a screen of dots, which is near everything and draws nothing, it is little more than on the even
    grey that the screen stands for.

    Args:
        ink: (B, 1, H, W) float in 0..1, 1 = ink; outside is paper.
    Returns:
        Two (B, 1, H, W) float32 in 0..1, 1 = ink, and 1 = paper.
    """
    darkest, lightest = _Strokes.apply(ink.float())  # type: ignore[no-untyped-call]
    return darkest, 1 - lightest


_DIRECTIONS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Rows down and columns right from one pixel of a stroke to the next."""
_ARM = 2
"""Pixels of a stroke on either side of its middle."""


class _Strokes(torch.autograd.Function):
    """Largest and smallest mean over directions; remembers which, so that the way back is a few shifted sums."""

    @staticmethod
    def forward(ctx: Any, ink: Tensor) -> tuple[Tensor, Tensor]:
        means = [_along(ink, direction) for direction in _DIRECTIONS]
        darkest, lightest = means[0], means[0]
        for mean in means[1:]:
            darkest, lightest = torch.maximum(darkest, mean), torch.minimum(lightest, mean)
        is_darkest = [mean == darkest for mean in means]
        is_lightest = [mean == lightest for mean in means]
        ctx.save_for_backward(*is_darkest, *is_lightest)
        return darkest, lightest

    @staticmethod
    def backward(ctx: Any, darkest: Tensor, lightest: Tensor) -> Tensor:
        masks, total = ctx.saved_tensors, torch.zeros_like(darkest)
        for number, direction in enumerate(_DIRECTIONS):
            total += _along(darkest * masks[number] + lightest * masks[number + len(_DIRECTIONS)], direction)
        return total


def _along(x: Tensor, direction: tuple[int, int]) -> Tensor:
    """Mean over the 5 px of a stroke centred on each pixel; outside is 0. Its own transpose. (B, 1, H, W)."""
    height, width = x.shape[-2:]
    # Laid out flat with a margin, a step in any direction is one offset: contiguous sums are twice as fast.
    wide = F.pad(x, (_ARM, _ARM, _ARM + 1, _ARM + 1))
    flat = wide.flatten(1)
    step = direction[0] * (width + 2 * _ARM) + direction[1]
    two = flat[:, :-step] + flat[:, step:]
    four = two[:, : -2 * step] + two[:, 2 * step :]
    five = four[:, : flat.shape[1] - 4 * step] + flat[:, 4 * step :]
    middle = F.pad(five, (2 * step, 2 * step)).view_as(wide) / (2 * _ARM + 1)
    return middle[..., _ARM + 1 : _ARM + 1 + height, _ARM : _ARM + width].contiguous()


def soft_distance(ink: Tensor, *, reach_px: int, stride: int = 1) -> Tensor:
    """Truncated distance to ink, with a gradient and without a network.

    The distance of a grey drawing is the mean, over all thresholds between paper and ink, of the distance to what is
    darker than the threshold. That is the sum over radii r of 1 - (darkest ink within r), the discs being octagons.
    Its gradient asks the darkest pixel within each radius to be darker, so it moves a line rather than starting one
    from nothing.

    Args:
        ink: (B, 1, H, W) float in 0..1, 1 = ink; H and W multiples of ``stride``.
        reach_px: distances count up to here, px; a multiple of ``stride``.
        stride: work on cells of so many pixels squared, each as dark as its darkest pixel: 2 is four times as fast.
    Returns:
        (B, 1, H / stride, W / stride) float32 in 0..reach_px, px. Against the Euclidean distance of black and white:
        mean error 0.4 px, worst 2 px up to 24 px, and as much again as the cells are wide.
    """
    cells = F.max_pool2d(ink, stride) if stride > 1 else ink
    distance: Tensor = _SoftDistance.apply(cells.float(), reach_px // stride)  # type: ignore[no-untyped-call]
    return distance * stride


_STEPS = ("square", "cross", "cross")
"""Grown by these in turn, a point becomes an octagon whose radius is, on average, the number of steps."""


class _SoftDistance(torch.autograd.Function):
    """Growing ink together with where it came from, so that the way back is one scatter for each radius.

    A non-negative float orders like its bits. Value and pixel number, packed into one integer, grow by integer maxima.
    """

    @staticmethod
    def forward(ctx: Any, ink: Tensor, steps: int) -> Tensor:
        ink = ink.contiguous().clamp(0, 1) + 0.0  # -0.0 would order last
        if not ctx.needs_input_grad[0]:
            return _distance(ink, steps)
        number = torch.arange(ink.numel(), device=ink.device).view_as(ink)
        key = (ink.view(torch.int32).long() << 32) | number
        total, sources = 1 - ink, [number.int()]
        for step in range(steps - 1):
            key = _grow(key, _STEPS[step % len(_STEPS)])
            sources.append((key & 0xFFFFFFFF).int())
            total += 1 - (key >> 32).int().view(torch.float32)
        ctx.save_for_backward(*sources)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        flat = gradient.reshape(-1)
        out = torch.zeros_like(flat)
        for source in ctx.saved_tensors:
            out.index_add_(0, source.view(-1), flat, alpha=-1)
        return out.view_as(gradient), None


def _distance(ink: Tensor, steps: int) -> Tensor:
    """The same without a way back."""
    total = 1 - ink
    for step in range(steps - 1):
        ink = _grow(ink, _STEPS[step % len(_STEPS)])
        total += 1 - ink
    return total


def _grow(x: Tensor, shape: str) -> Tensor:
    """The largest of each pixel's neighbours and itself; nothing comes in from outside. Any dtype, 0 or more."""
    wide = F.pad(x, (1, 1, 1, 1))
    across = torch.maximum(torch.maximum(wide[..., :-2], wide[..., 2:]), wide[..., 1:-1])
    if shape == "square":
        return torch.maximum(torch.maximum(across[..., :-2, :], across[..., 2:, :]), across[..., 1:-1, :])
    return torch.maximum(across[..., 1:-1, :], torch.maximum(wide[..., :-2, 1:-1], wide[..., 2:, 1:-1]))
