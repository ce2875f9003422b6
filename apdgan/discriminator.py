"""The hierarchical discriminators (CVPR 2019, section 3.2): one PatchGAN for the whole drawing, six for its regions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from apdgan.layers import make_norm
from apdgan.network_files import fill, first_width, read_networks
from apdgan.regions import BACKGROUND, FOREGROUND, PARTS, cut, outside_parts

LOCAL = (*(region.name for region in PARTS), FOREGROUND, BACKGROUND)
"""The six regions under the names of their generators: four parts, foreground ("hair") and background."""


def judge_of(region: str) -> str:
    """The authors' name of the discriminator of a local generator: GLNose -> DLNose."""
    return "D" + region.removeprefix("G")


NAMES = ("D", *(judge_of(region) for region in LOCAL))
"""The seven discriminators: the whole drawing's, then its regions'."""


def local_views(
    picture: Tensor, boxes: Tensor, fg: Tensor, raw: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """The six regions of a picture as local losses and local discriminators see them: masked out is black, -1.

    The generator masks its hair and background drawings to white before it joins them; the losses mask them to black.

    Args:
        picture: (B, C, 512, 512) float in [-1, 1]; photo or drawing.
        boxes: (B, 4, 2) integer, top-left x, y of the four parts.
        fg: (B, 1, 512, 512) bool, True on the person.
        raw: the local generators' own outputs, which then take the place of ``picture``'s regions.
    Returns:
        Local generator's name -> (B, C, height, width) for parts, (B, C, 512, 512) for hair and background.
    """
    person = fg.to(picture.dtype)
    keep = {FOREGROUND: outside_parts(boxes, picture) * person, BACKGROUND: 1 - person}
    views = {region.name: cut(picture, boxes, region) if raw is None else raw[region.name] for region in PARTS}
    for name, mask in keep.items():
        whole = picture if raw is None else raw[name]
        views[name] = (whole / 2 + 0.5) * mask * 2 - 1
    return views


class PatchDiscriminator(nn.Module):
    """Judges overlapping patches of 70 px. The tensor names are the authors'."""

    def __init__(self, *, width: int = 64, norm: str = "batch") -> None:
        super().__init__()
        w = width
        layers: list[nn.Module] = [nn.Conv2d(4, w, 4, 2, 1), nn.LeakyReLU(0.2)]
        for inputs, outputs, stride in ((w, 2 * w, 2), (2 * w, 4 * w, 2), (4 * w, 8 * w, 1)):
            conv = nn.Conv2d(inputs, outputs, 4, stride, 1, bias=False)
            layers += [conv, make_norm(norm, outputs), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*layers, nn.Conv2d(8 * w, 1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Photo and drawing (B, 4, H, W) in [-1, 1] -> (B, 1, H/8 - 2, W/8 - 2) logits, any float.

        The paper's probability is the sigmoid of the logit; losses take the logit, which is safe in bfloat16.
        """
        y: Tensor = self.model(x)
        return y


class HierarchicalDiscriminator(nn.Module):
    """The seven discriminators with separate weights; sub-modules carry the authors' names, so their files load."""

    def __init__(self, *, width: int = 64, norm: str = "batch") -> None:
        super().__init__()
        for name in NAMES:
            self.add_module(name, PatchDiscriminator(width=width, norm=norm))

    def forward(self, photo: Tensor, drawing: Tensor, boxes: Tensor, fg: Tensor) -> dict[str, Tensor]:
        """Judge a drawing of a photo: as a whole, and its regions, cut out of it (of a generated one, too).

        Args:
            photo: (B, 3, 512, 512) float in [-1, 1].
            drawing: (B, 1, 512, 512) float in [-1, 1].
            boxes: (B, 4, 2) integer, top-left x, y of the four parts.
            fg: (B, 1, 512, 512) bool, True on the person.
        Returns:
            Discriminator's name -> (B, 1, h, w) logits; above 0 is believed to be an artist's.
        """
        net = self._modules
        photos, drawings = local_views(photo, boxes, fg), local_views(drawing, boxes, fg)
        logits = {"D": net["D"](torch.cat([photo, drawing], 1))}  # type: ignore[misc]
        for region in LOCAL:
            name = judge_of(region)
            logits[name] = net[name](torch.cat([photos[region], drawings[region]], 1))  # type: ignore[misc]
        return logits


def load_discriminator(path: str | Path) -> HierarchicalDiscriminator:
    """Read all seven: our file, the official ``<epoch>_net_dis.pt``, or ``<epoch>_net_<Name>.pth`` (their folder).

    Raises:
        CheckpointError: the file is missing, damaged or holds something else; one line.
    """
    states = read_networks(path, NAMES)
    discriminator = HierarchicalDiscriminator(width=first_width(path, states["D"], "model.0.weight"))
    fill(discriminator, states, path)
    return discriminator


@contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Gradients flow through the module, none reaches its weights."""
    wanted = [p for p in module.parameters() if p.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)
