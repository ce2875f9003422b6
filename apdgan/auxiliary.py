"""The four auxiliary networks of the distance-transform loss (CVPR 2019, section 3.3), frozen while a generator learns.

DT1 and DT2 tell from a drawing the distance to its black and to its white; Line1 and Line2 find its black and its white
lines. Each is a U-Net with nine halvings, 512 to 1, one channel in and out, 67 million weights at width 64.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from apdgan.layers import SkipBlock
from apdgan.network_files import fill, first_width, read_networks

AUXILIARY = ("DT1", "DT2", "Line1", "Line2")
"""The authors' names: distance to black, distance to white, black lines, white lines."""

_MULTIPLES = (1, 2, 4, 8, 8, 8, 8, 8, 8)
_DROPOUT_LEVELS = (4, 5, 6, 7)
"""The middle blocks of full width, which the authors train and use with dropout 0.5."""


class AuxiliaryNet(nn.Module):
    """Drawing (B, 1, 512, 512) in [-1, 1] -> a map of the same shape in [-1, 1]. The tensor names are the authors'."""

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        channels = [width * m for m in _MULTIPLES]
        block: nn.Module | None = None
        for level in range(len(channels) - 1, 0, -1):
            block = SkipBlock(
                outer=channels[level - 1],
                inner=channels[level],
                deeper=block,
                norm="batch",
                dropout=level in _DROPOUT_LEVELS,
            )
        self.model = SkipBlock(outer=1, inner=channels[0], deeper=block, norm="batch", inputs=1)

    def forward(self, drawing: Tensor) -> Tensor:
        y: Tensor = self.model(drawing)
        return y


class AuxiliaryNetworks(nn.Module):
    """DT1, DT2, Line1 and Line2 as sub-modules of those names.

    DT networks answer distance / (largest distance) * 2 - 1; Line networks are below 0 on a black line (Line1) and at
    or above 0 on a white line (Line2).
    """

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        for name in AUXILIARY:
            self.add_module(name, AuxiliaryNet(width=width))

    def ask(self, name: str, drawing: Tensor) -> Tensor:
        """One network's answer, float32 (B, 1, 512, 512), by its name in :data:`AUXILIARY`."""
        answer: Tensor = self.get_submodule(name)(drawing)
        return answer.float()


def load_auxiliary(path: str | Path) -> AuxiliaryNetworks:
    """Read the four networks: our file, or the official ``latest_net_{DT1,DT2,Line1,Line2}.pth`` (their folder).

    Raises:
        CheckpointError: the file is missing, damaged or holds something else; one line.
    """
    states = read_networks(path, AUXILIARY)
    networks = AuxiliaryNetworks(width=first_width(path, states["DT1"], "model.model.0.weight"))
    fill(networks, states, path)
    return networks
