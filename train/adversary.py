"""A small conditional PatchGAN that tells pen lines from stipple and grey: what pixelwise losses cannot see.

The paper's seven discriminators (CVPR 2019, section 3.2) belong to its full training; this one serves distillation.
Least-squares loss, on random crops, so that it costs little beside the student.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
        score: Tensor = self.layers(torch.cat([photo, drawing], 1))
        return score.float()

    def judge(self, photo: Tensor, drawn: Tensor, wanted: Tensor) -> Tensor:
        """One learning step of the judge; returns what the student should lower.

        Args:
            photo: (B, 3, 512, 512) float in [-1, 1].
            drawn: (B, 1, 512, 512) float in [-1, 1], the student's, with its gradient.
            wanted: (B, 1, 512, 512) float in [-1, 1], the teacher's.
        """
        y, x = (int(v) for v in torch.randint(0, photo.shape[-1] - CROP + 1, (2,)))
        photo, drawn, wanted = (t[..., y : y + CROP, x : x + CROP] for t in (photo, drawn, wanted))
        real, fake = self(photo, wanted), self(photo, drawn.detach())
        loss = 0.5 * (F.mse_loss(real, torch.ones_like(real)) + F.mse_loss(fake, torch.zeros_like(fake)))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        for parameter in self.parameters():
            parameter.requires_grad_(False)
        believed = self(photo, drawn)
        for parameter in self.parameters():
            parameter.requires_grad_(True)
        return F.mse_loss(believed, torch.ones_like(believed))
