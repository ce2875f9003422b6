"""The drawing step as one exportable graph: bytes in, bytes out. Every engine runs exactly this."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from apdgan.generator import HierarchicalGenerator


class PortraitDrawer(nn.Module):
    """Normalise, cut, draw, join, quantise.

    Only integers enter, so no backend's float precision can move a box; the cast to uint8 is the last operation.
    """

    def __init__(self, generator: HierarchicalGenerator) -> None:
        super().__init__()
        self.generator = generator
        self.soft = generator.config.soft_matte

    def forward(self, photo: Tensor, boxes: Tensor, matte: Tensor) -> Tensor:
        """Draw a batch of aligned portraits.

        Args:
            photo: (B, 512, 512, 3) uint8 RGB.
            boxes: (B, 4, 2) int32, top-left x, y of left eye, right eye, nose, mouth.
            matte: (B, 512, 512) uint8, 255 on the person; cut at 128 unless the network takes a soft one.
        Returns:
            (B, 512, 512) uint8, 0 = ink; truncated as the authors save it: (x + 1) / 2 * 255.
        """
        x = photo.float().permute(0, 3, 1, 2) / 255.0
        fused = self.generator((x - 0.5) / 0.5, boxes, self.person(matte)).fused
        grey = torch.floor((fused.float() + 1) / 2 * 255.0)
        return grey.clamp(0.0, 255.0).squeeze(1).to(torch.uint8)

    def person(self, matte: Tensor) -> Tensor:
        """What the generator takes for the person. (B, 512, 512) uint8 -> (B, 1, 512, 512) bool, or float 0..1."""
        plane = matte.float().unsqueeze(1)
        return plane / 255.0 if self.soft else plane >= 128.0
