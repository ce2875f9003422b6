"""The hierarchical generator (CVPR 2019, section 3.1): one global network, six local ones, one that joins them."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from apdgan.config import NET_NAMES, ModelConfig
from apdgan.layers import ShuffleFusion, make_fusion, make_net
from apdgan.regions import BACKGROUND, FOREGROUND, PARTS, cut, outside_parts, paste_min


class GeneratorOutput(NamedTuple):
    """Every map in [-1, 1], ink is -1."""

    fused: Tensor
    """(B, 1, 512, 512): the drawing."""
    global_: Tensor
    """(B, 1, 512, 512): what the global network draws."""
    local_map: Tensor
    """(B, 1, 512, 512): the six local drawings joined by their minimum."""
    raw: dict[str, Tensor]
    """Each local network's own output by its name, unmasked; parts at their box size."""


class HierarchicalGenerator(nn.Module):
    """Photo, part boxes and person mask -> drawing. Sub-modules carry the authors' names, so their files load."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        for name in NET_NAMES:
            self.add_module(name, make_net(config.nets[name], config.norm))
        self.GCombine = make_fusion(config.fusion, config.norm)

    def forward(self, photo: Tensor, boxes: Tensor, fg: Tensor) -> GeneratorOutput:
        """Draw.

        Args:
            photo: (B, 3, 512, 512) float in [-1, 1], RGB.
            boxes: (B, 4, 2) integer, top-left x, y of the four parts, inside the square.
            fg: (B, 1, 512, 512), the person: bool, or float 0..1 for networks with a soft matte.
        """
        net = self._modules
        person = fg.to(photo.dtype)
        seen = photo * person + (1 - person) if self.config.matted else photo
        raw = self.draw_parts(seen, boxes)

        light = photo / 2 + 0.5  # masked out is black
        inside, outside = outside_parts(boxes, photo) * person, 1 - person
        raw |= self.draw_areas(light * inside * 2 - 1, light * outside * 2 - 1)

        local_map = torch.minimum(self.masked(raw[FOREGROUND], inside), self.masked(raw[BACKGROUND], outside))
        for region in PARTS:
            local_map = paste_min(local_map, raw[region.name], boxes, region)

        global_ = net["G"](seen)  # type: ignore[misc]
        fused = self.GCombine(torch.cat([global_, local_map], 1))
        return GeneratorOutput(fused, global_, local_map, raw)

    def draw_parts(self, seen: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        """What each part's network draws of its box. seen (B, 3, 512, 512) -> name: (B, 1, height, width)."""
        net = self._modules
        return {region.name: net[region.name](cut(seen, boxes, region)) for region in PARTS}  # type: ignore[misc]

    def draw_areas(self, foreground: Tensor, background: Tensor) -> dict[str, Tensor]:
        """What is drawn of both areas. Each (B, 3, 512, 512), black outside its area -> name: (B, 1, 512, 512)."""
        net = self._modules
        return {
            FOREGROUND: net[FOREGROUND](foreground),  # type: ignore[misc]
            BACKGROUND: net[BACKGROUND](background),  # type: ignore[misc]
        }

    def sharpen(
        self, gain: float = 1.0, lighten: float = 0.0, *, crest: float | None = None, knee: float | None = None
    ) -> None:
        """Make the last step of a narrow preset steeper, lighter, thinner, in place; the configuration follows.

        Args:
            gain, lighten: see :meth:`apdgan.layers.ShuffleFusion.sharpen`.
            crest, knee: of :class:`apdgan.config.FusionConfig`, in place of its own.
        Raises:
            ValueError: the paper's fusion, which has no such step, or a crest or knee below 0.
        """
        fusion = self.GCombine
        if not isinstance(fusion, ShuffleFusion) or (crest or 0) < 0 or (knee or 0) < 0:
            raise ValueError(
                f"crest and knee: expected 0 or more, of a studio or lite network; got {crest} and {knee} of "
                f"{self.config.family}"
            )
        fusion.sharpen(gain, lighten)
        fusion.crest = fusion.crest if crest is None else crest
        fusion.knee = fusion.knee if knee is None else knee
        own = replace(self.config.fusion, crest=fusion.crest, knee=fusion.knee)
        self.config = replace(self.config, fusion=own)

    def masked(self, drawing: Tensor, mask: Tensor) -> Tensor:
        """A drawing on its mask, white paper elsewhere. Both (B, 1, 512, 512); mask 0..1."""
        if self.config.soft_matte:
            return 1 - (1 - drawing) * mask
        return torch.where(mask > 0, drawing, torch.ones_like(mask))


def init_weights(module: nn.Module) -> None:
    """The paper's start: convolutions N(0, 0.02), norm weights N(1, 0.02), biases 0. Use with ``apply``."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
