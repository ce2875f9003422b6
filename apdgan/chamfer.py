"""The distance-transform loss (CVPR 2019, section 3.3): where two drawings have lines, tolerant of small shifts.

``network``: the paper's, by four frozen networks. ``exact``: by a soft distance transform, no network, a gradient both
ways. Both sum over pixels and take the mean over the batch; ink is below 0 in [-1, 1].
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from apdgan.auxiliary import AuxiliaryNetworks
from apdgan.distance import LINE_PX, batch_distance_maps, line_maps, soft_distance, strokes

Maps = tuple[Tensor, Tensor]
"""Distances (B, 1, H, W) to black and to white of the wanted drawing, made by ``apdgan.distance.distance_maps``."""


class NetworkChamfer:
    """The paper's loss.

    d(wanted, drawn) trains the generator. d(drawn, wanted) has no gradient in the original, a constant map summed
    over a hard mask: so by default. ``differentiable`` keeps its value and gives it the gradient of a soft mask: ink
    that lies far from where ink is wanted fades.
    """

    def __init__(self, networks: AuxiliaryNetworks, *, differentiable: bool = False) -> None:
        """Freezes ``networks`` and puts them in training mode, as the original does: batch statistics, dropout."""
        self.networks = networks.requires_grad_(False).train()
        self.differentiable = differentiable

    def __call__(self, drawn: Tensor, wanted: Tensor, maps: Maps | None = None) -> tuple[Tensor, Tensor]:
        """d(wanted, drawn) and d(drawn, wanted), each a scalar.

        Args:
            drawn: (B, 1, 512, 512) float in [-1, 1], with gradient.
            wanted: (B, 1, 512, 512) float in [-1, 1].
            maps: the wanted drawing's distances; made on the spot when None.
        """
        to_black, to_white = (m.float() for m in (maps or batch_distance_maps(wanted)))
        ask, batch = self.networks.ask, len(drawn)
        ink, paper = self._lines(wanted)
        first = ((ask("DT1", drawn) / 2 + 0.5) * ink).sum() + ((ask("DT2", drawn) / 2 + 0.5) * paper).sum()
        ink, paper = self._lines(drawn.detach())
        if self.differentiable:
            light = drawn.float() / 2
            ink, paper = ink * (1 + light.detach() - light), paper * (1 + light - light.detach())
        second = (ink * to_black).sum() + (paper * to_white).sum()
        return first / batch, second / batch

    @torch.no_grad()
    def _lines(self, drawing: Tensor) -> tuple[Tensor, Tensor]:
        """1 where a drawing has ink on a black line, and where it has paper on a white one."""
        ink = (drawing < 0) & (self.networks.ask("Line1", drawing) < 0)
        paper = (drawing >= 0) & (self.networks.ask("Line2", drawing) >= 0)
        return ink.float(), paper.float()


UNIT_PX = 200.0
"""What counts as distance 1 in :class:`ExactChamfer`. The paper's maps are over their own maximum, which on portraits
is about this, so its factor 0.1 suits both."""


class ExactChamfer:
    """The same two sums by :func:`apdgan.distance.soft_distance`, over distances up to ``reach_px``.

    d(wanted, drawn): from each pixel of the wanted drawing's lines to what is drawn. d(drawn, wanted): from all that
    is drawn, weighted with how dark it is (how light, for white lines), to the wanted drawing. Distances stop
    counting at ``reach_px``: what has no counterpart so near is not missing a line by a shift, and is left to the
    other losses.
    """

    def __init__(self, *, reach_px: int = 16, stride: int = 2, line_px: int = LINE_PX) -> None:
        """
        Args:
            reach_px: where distances stop counting, px; a multiple of ``stride``.
            stride: side of the cells it works on, px (see :func:`apdgan.distance.soft_distance`).
            line_px: what is thinner is a line of the wanted drawing.
        Raises:
            ValueError: reach and stride do not fit.
        """
        if stride < 1 or reach_px < stride or reach_px % stride:
            raise ValueError(f"chamfer reach: expected a multiple of {max(stride, 1)} px, got {reach_px}")
        self.reach_px, self.stride, self.line_px = reach_px, stride, line_px

    def __call__(self, drawn: Tensor, wanted: Tensor, maps: Maps | None = None) -> tuple[Tensor, Tensor]:
        """As :meth:`NetworkChamfer.__call__`; ``maps`` are over their own maximum, not in px, and not used."""
        del maps
        ink = ((1 - drawn.float()) / 2).clamp(0, 1)
        with torch.no_grad():
            wanted_ink = (wanted < 0).float()
            black, white = self._lines(wanted)
            to_black, to_white = self._distance(wanted_ink), self._distance(1 - wanted_ink)
        inked, blank = strokes(ink)
        first = (black * self._distance(inked)).sum() + (white * self._distance(blank)).sum()
        darkness = self._per_cell(ink)
        second = (darkness * to_black).sum() + ((self.stride**2 - darkness) * to_white).sum()
        return first / len(drawn), second / len(drawn)

    def _distance(self, ink: Tensor) -> Tensor:
        return soft_distance(ink, reach_px=self.reach_px, stride=self.stride) / UNIT_PX

    def _per_cell(self, x: Tensor) -> Tensor:
        """Sum over each cell."""
        return F.avg_pool2d(x, self.stride) * self.stride**2

    def _lines(self, drawing: Tensor) -> Maps:
        """How many pixels of black lines, and of white lines, each cell has."""
        grey = ((drawing.float() + 1) * 127.5).to(torch.uint8).cpu().numpy()[:, 0]
        pairs = [line_maps(one, line_px=self.line_px) for one in grey]
        black, white = (torch.from_numpy(np.stack(maps))[:, None] for maps in zip(*pairs, strict=True))
        return self._per_cell(black.to(drawing)), self._per_cell(white.to(drawing))
