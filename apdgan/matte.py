"""The person matte of the aligned square: which pixels are the person, by a small U-Net. Pure tensors.

The face always stands in the template's place, so the network is also told where each pixel lies. It looks at the
square at half size and decides at a quarter size; the edge is drawn by enlarging the decision before the sigmoid,
which keeps it soft and steady.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SIZE = 512
GAIN, BIAS = 1 / 64, 2.0
"""Pixels 0..255 enter the network as pixel * GAIN - BIAS."""


def _conv(in_channels: int, out_channels: int, size: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


def _look() -> Tensor:
    """(12, 3, 4, 4) weights, stride 4: halve by 2 x 2 means, scale by GAIN, fold 2 x 2 pixels into channels."""
    weights = torch.zeros(3, 2, 2, 3, 4, 4)
    for channel in range(3):
        for i in range(2):
            for j in range(2):
                weights[channel, i, j, channel, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] = GAIN / 4
    return weights.reshape(12, 3, 4, 4)


def _enlarge(factor: int) -> Tensor:
    """(factor^2, 1, 3, 3) weights of bilinear enlargement (pixel centres aligned), to be unfolded by pixel_shuffle."""
    offsets = (torch.arange(factor) + 0.5) / factor - 0.5
    line = torch.stack([(-offsets).clamp(min=0), 1 - offsets.abs(), offsets.clamp(min=0)], 1)
    return torch.einsum("iy,jx->ijyx", line, line).reshape(factor * factor, 1, 3, 3)


class Residual(nn.Module):
    """Two 3x3 convolutions about a narrower middle, added to their input."""

    def __init__(self, *, channels: int, middle: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            _conv(channels, middle),
            nn.Conv2d(middle, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.inner(x))


class Join(nn.Module):
    """Decoder step: narrow the coarse features, double their side, add the encoder's, and mix."""

    def __init__(self, *, coarse: int, fine: int) -> None:
        super().__init__()
        self.narrow = nn.Sequential(nn.Conv2d(coarse, fine, 1, bias=False), nn.BatchNorm2d(fine))
        self.mix = _conv(fine, fine)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        up = F.interpolate(self.narrow(coarse), scale_factor=2, mode="bilinear", align_corners=False)
        out: Tensor = self.mix(F.relu(up + fine))
        return out


class MatteNet(nn.Module):
    """Photo of the aligned square -> person matte.

    ``widths`` are the channels at sides 128, 64, 32, 16 and 8 of the 512 square.
    """

    position: Tensor
    look: Tensor
    enlarge: Tensor

    def __init__(self, *, widths: tuple[int, int, int, int, int] = (8, 16, 40, 72, 112)) -> None:
        super().__init__()
        edge, w64, w32, w16, w8 = widths
        self.edge = _conv(12, edge)
        self.down64 = _conv(12, w64, stride=2)
        self.down32 = _conv(w64 + 2, w32, stride=2)
        self.body32 = Residual(channels=w32, middle=w32 // 2)
        self.down16 = _conv(w32, w16, stride=2)
        self.body16 = Residual(channels=w16, middle=w16)
        self.down8 = _conv(w16, w8, stride=2)
        self.body8 = nn.Sequential(Residual(channels=w8, middle=w8), Residual(channels=w8, middle=w8))
        self.context = nn.Conv2d(w8, w8, 1)
        self.up16 = Join(coarse=w8, fine=w16)
        self.up32 = Join(coarse=w16, fine=w32)
        self.up64 = Join(coarse=w32, fine=w64)
        self.up128 = Join(coarse=w64, fine=edge)
        self.head = nn.Conv2d(edge, 1, 3, padding=1)
        ramp = torch.linspace(-1, 1, 64)
        self.register_buffer("position", torch.stack(torch.meshgrid(ramp, ramp, indexing="ij"))[None], persistent=False)
        self.register_buffer("look", _look(), persistent=False)
        self.register_buffer("enlarge", _enlarge(4), persistent=False)

    def _decide(self, x: Tensor) -> Tensor:
        f128, f64 = self.edge(x), self.down64(x)
        where = self.position.expand(f64.shape[0], -1, -1, -1)
        f32 = self.body32(self.down32(torch.cat([f64, where], 1)))
        f16 = self.body16(self.down16(f32))
        f8 = self.body8(self.down8(f16))
        f8 = F.relu(f8 + self.context(f8.mean((2, 3), keepdim=True)))
        out: Tensor = self.head(self.up128(self.up64(self.up32(self.up16(f8, f16), f32), f64), f128))
        return out

    def logits(self, low: Tensor) -> Tensor:
        """Decide at a quarter of the square's side; this is what training sees.

        Args:
            low: (B, 3, 256, 256) float32 RGB 0..255, the square at half size.
        Returns:
            (B, 1, 128, 128) float32, log odds of "person".
        """
        return self._decide(F.pixel_unshuffle(low * GAIN - BIAS, 2))

    def forward(self, photo: Tensor) -> Tensor:
        """Photo (B, 512, 512, 3) uint8 RGB -> matte (B, 512, 512) uint8, 255 = person.

        Halving the photo, scaling it and folding it to 128 x 128 x 12 is one strided convolution. Enlarging is a
        convolution too: the runtimes' own bilinear resize of a single large plane takes longer than the network.
        """
        x = F.conv2d(photo.to(torch.float32).permute(0, 3, 1, 2), self.look, stride=4) - BIAS
        framed = F.pad(self._decide(x), (1, 1, 1, 1), mode="replicate")
        full = F.pixel_shuffle(F.conv2d(framed, self.enlarge), 4)
        # At most 255.5, so floor rounds to 0..255 without a clamp.
        return (torch.sigmoid(full) * 255 + 0.5).squeeze(1).floor().to(torch.uint8)
