"""Building blocks: the paper's U-Net and fusion network with the authors' tensor names, and their narrow kin."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from apdgan.config import FusionConfig, NetConfig


def make_norm(norm: str, channels: int) -> nn.Module:
    """``batch``: running statistics. ``instance``: affine, statistics of each picture, eps 1e-5, biased variance."""
    if norm == "instance":
        return nn.InstanceNorm2d(channels, affine=True)
    return nn.BatchNorm2d(channels)


def make_dropout(norm: str, used: bool) -> list[nn.Module]:
    """Dropout 0.5 where the paper has it; none with per-picture statistics, which stand for its deterministic form."""
    return [nn.Dropout(0.5) if norm == "batch" else nn.Identity()] if used else []


class SkipBlock(nn.Module):
    """One level of the paper's U-Net: down 4x4 s2, the deeper levels, up 4x4 s2; output joined to its input."""

    def __init__(
        self,
        *,
        outer: int,
        inner: int,
        deeper: nn.Module | None,
        norm: str,
        inputs: int | None = None,
        dropout: bool = False,
    ) -> None:
        super().__init__()
        outermost = inputs is not None
        self.outermost = outermost
        down = nn.Conv2d(inputs or outer, inner, 4, 2, 1, bias=False)
        up = nn.ConvTranspose2d(inner if deeper is None else 2 * inner, outer, 4, 2, 1, bias=outermost)
        layers: list[nn.Module]
        if inputs is not None:
            if deeper is None:
                raise ValueError("a U-Net needs at least two levels")
            layers = [down, deeper, nn.ReLU(), up, nn.Tanh()]
        elif deeper is None:
            layers = [nn.LeakyReLU(0.2), down, nn.ReLU(), up, make_norm(norm, outer)]
        else:
            layers = [nn.LeakyReLU(0.2), down, make_norm(norm, inner), deeper, nn.ReLU(), up, make_norm(norm, outer)]
            layers += make_dropout(norm, dropout)
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y if self.outermost else torch.cat([x, y], 1)


class UNet(nn.Module):
    """The paper's encoder-decoder. (B, 3, H, W) in [-1, 1] -> (B, 1, H, W) in [-1, 1]; H, W multiples of 2^levels."""

    def __init__(self, *, config: NetConfig, norm: str) -> None:
        super().__init__()
        c = config.channels
        block: nn.Module | None = None
        for level in range(len(c) - 1, 0, -1):
            dropout = len(c) - 1 - config.dropout <= level < len(c) - 1
            block = SkipBlock(outer=c[level - 1], inner=c[level], deeper=block, norm=norm, dropout=dropout)
        self.model = SkipBlock(outer=1, inner=c[0], deeper=block, norm=norm, inputs=3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y


class ResidualBlock(nn.Module):
    """Two reflected 3x3 convolutions added to the input, no activation after the sum."""

    def __init__(self, *, width: int, norm: str) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=False),
            make_norm(norm, width),
            nn.ReLU(),
            *make_dropout(norm, True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3, bias=False),
            make_norm(norm, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv_block(x)
        return x + y


class ResidualFusion(nn.Module):
    """The paper's combining network. Two maps (B, 2, H, W) -> (B, 1, H, W), all in [-1, 1]."""

    def __init__(self, *, config: FusionConfig, norm: str) -> None:
        super().__init__()
        w = config.width
        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(2, w, 7, bias=False),
            make_norm(norm, w),
            nn.ReLU(),
            *(ResidualBlock(width=w, norm=norm) for _ in range(config.blocks)),
            nn.ReflectionPad2d(3),
            nn.Conv2d(w, 1, 7),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        return y


def conv_norm_relu(inputs: int, outputs: int, norm: str, stride: int = 1) -> nn.Sequential:
    """3x3 convolution, norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), make_norm(norm, outputs), nn.ReLU(inplace=True)
    )


class ShuffleUNet(nn.Module):
    """A U-Net that never works at full resolution: space-to-depth in front, depth-to-space at the end.

    (B, 3, H, W) in [-1, 1] -> (B, 1, H, W) in [-1, 1]; H and W multiples of stem * 2^(levels - 1).
    """

    def __init__(self, *, config: NetConfig, norm: str) -> None:
        super().__init__()
        c, stem = config.channels, config.stem
        self.stem = stem
        self.enter = conv_norm_relu(3 * stem * stem, c[0], norm)
        self.down = nn.ModuleList(conv_norm_relu(c[i], c[i + 1], norm, 2) for i in range(len(c) - 1))
        self.encode = nn.ModuleList(
            nn.Sequential(*(conv_norm_relu(w, w, norm) for _ in range(config.depth if i == len(c) - 2 else 1)))
            for i, w in enumerate(c[1:])
        )
        self.up = nn.ModuleList(nn.Conv2d(c[i + 1], c[i], 1, bias=False) for i in range(len(c) - 1))
        self.decode = nn.ModuleList(conv_norm_relu(c[i], c[i], norm) for i in range(len(c) - 1))
        self.leave = nn.Conv2d(c[0], stem * stem, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(F.pixel_unshuffle(x, self.stem))
        skips = [x]
        for down, encode in zip(self.down, self.encode, strict=True):
            x = down(x)
            x = x + encode(x)
            skips.append(x)
        skips.pop()
        for up, decode in zip(reversed(self.up), reversed(self.decode), strict=True):
            x = skips.pop() + F.interpolate(up(x), scale_factor=2.0, mode="nearest")
            x = x + decode(x)
        return torch.tanh(F.pixel_shuffle(self.leave(x), self.stem))


class ShuffleFusion(nn.Module):
    """A cheap combining network at half size. It starts as "the darker of the two" and learns a correction.

    Last, lateral inhibition: each pixel is held back by the darkest of its 3x3, ``config.crest`` times what it lacks,
    up to ``config.knee``; with ``config.along``, each short stroke by the darkest beside it.

    Two maps (B, 2, H, W) -> (B, 1, H, W), all in [-1, 1]; H and W even.
    """

    def __init__(self, *, config: FusionConfig, norm: str) -> None:
        super().__init__()
        w = config.width
        self.enter = conv_norm_relu(8, w, norm)
        self.blocks = nn.Sequential(*(conv_norm_relu(w, w, norm) for _ in range(config.blocks)))
        self.leave = nn.Conv2d(w, 4, 3, 1, 1)
        self.darker = nn.Parameter(torch.full((1,), 2.0))
        self.crest, self.knee, self.along = config.crest, config.knee, config.along
        self.strokes: Tensor
        self.register_buffer("strokes", short_strokes(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.enter(F.pixel_unshuffle(x, 2))
        y = F.pixel_shuffle(self.leave(y + self.blocks(y)), 2)
        y = y + self.darker * x.amin(1, keepdim=True)
        if self.crest:
            y = y + self.crest * self.inhibition(y)
        return torch.tanh(y)

    def inhibition(self, y: Tensor) -> Tensor:
        """What each pixel lacks of the darkest around it, 0 or more.

        Homogeneous in ``y`` and ``knee``, so that :meth:`sharpen` scales it along.

        Args:
            y: (B, 1, H, W) logits, ink below 0.
        """
        doubt = self.knee * torch.tanh(y / self.knee) if self.knee else y
        if self.along:
            doubt = F.conv2d(doubt, self.strokes, padding=1).amin(1, keepdim=True)
        return doubt + F.max_pool2d(-doubt, 3, 1, 1)

    @torch.no_grad()
    def sharpen(self, gain: float, lighten: float = 0.0) -> None:
        """Steepen the last step from paper to ink, in place: doubtful grey goes to the side it leans to.

        ``lighten`` is first added to the logit, towards paper: it thins strokes that a weighted loss drew too wide.
        """
        assert self.leave.bias is not None
        self.leave.bias.add_(lighten).mul_(gain)
        self.leave.weight.mul_(gain)
        self.darker.mul_(gain)
        self.knee *= gain


def short_strokes() -> Tensor:
    """Means of three pixels in a row: across, down, and along both diagonals. (4, 1, 3, 3) float32."""
    diagonal = torch.eye(3)
    across = torch.zeros(3, 3)
    across[1] = 1.0
    return torch.stack([across, across.T, diagonal, diagonal.flip(1)])[:, None] / 3


def make_net(config: NetConfig, norm: str) -> nn.Module:
    """The encoder-decoder a :class:`NetConfig` describes."""
    if config.kind == "unet":
        return UNet(config=config, norm=norm)
    if config.kind == "shuffle":
        return ShuffleUNet(config=config, norm=norm)
    raise ValueError(f"net kind: expected unet or shuffle, got {config.kind!r}")


def make_fusion(config: FusionConfig, norm: str) -> nn.Module:
    """The fusion network a :class:`FusionConfig` describes."""
    if config.kind == "residual":
        return ResidualFusion(config=config, norm=norm)
    if config.kind == "shuffle":
        return ShuffleFusion(config=config, norm=norm)
    raise ValueError(f"fusion kind: expected residual or shuffle, got {config.kind!r}")
