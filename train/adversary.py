"""A small conditional PatchGAN that tells pen lines from stipple and grey: what pixelwise losses cannot see.

The paper's seven discriminators (CVPR 2019, section 3.2) belong to its full training; this one serves distillation.
Least-squares loss, on random crops, so that it costs little beside the student.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

CROP = 256
"""Side of the random crop that is judged, px."""


class Adversary(nn.Module):
    """Judges overlapping patches of 46 px. Input (B, 4, H, W) in [-1, 1]: photo and drawing."""

    def __init__(self, *, width: int = 24, lr: float = 4e-4) -> None:
        super().__init__()
        w = width
        self.layers = nn.Sequential(
            nn.Conv2d(4, w, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(w, 2 * w, 4, 2, 1),
            nn.BatchNorm2d(2 * w),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * w, 4 * w, 4, 2, 1),
            nn.BatchNorm2d(4 * w),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * w, 1, 3, 1, 1),
        )
        self.optimizer = torch.optim.Adam(self.parameters(), lr=lr, betas=(0.5, 0.99))

    def forward(self, photo: Tensor, drawing: Tensor) -> Tensor:
        return self.layers_of(photo, drawing)[-1].float()

    def layers_of(self, photo: Tensor, drawing: Tensor) -> list[Tensor]:
        """What each activation is, then the score: finer to coarser."""
        x = torch.cat([photo, drawing], 1)
        seen = []
        for layer in self.layers:
            x = layer(x)
            if isinstance(layer, nn.LeakyReLU):
                seen.append(x)
        return [*seen, x]
