"""Bytes in, bytes out: the rules at both ends of the graph."""

from __future__ import annotations

from collections.abc import Callable

import golden_rule as rule
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from apdgan import alignment
from apdgan.config import NORMS, preset
from apdgan.drawer import PortraitDrawer
from apdgan.generator import GeneratorOutput, HierarchicalGenerator


class Scripted(nn.Module):
    """Stands for a generator: draws what it is told and keeps what it was given."""

    def __init__(self, fused: Callable[[Tensor], Tensor], family: str = "paper") -> None:
        super().__init__()
        self.fused = fused
        self.config = preset(family)

    def forward(self, photo: Tensor, boxes: Tensor, fg: Tensor) -> GeneratorOutput:
        self.photo, self.boxes, self.fg = photo, boxes, fg
        fused = self.fused(photo)
        return GeneratorOutput(fused, fused, fused, {})


def portraits(count: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    cases = [i % 2 for i in range(count)]
    return (
        torch.from_numpy(np.stack([rule.photo(c) for c in cases])),
        torch.from_numpy(np.stack([alignment.boxes(rule.landmarks(c)) for c in cases])),
        torch.from_numpy(np.stack([rule.mask(c) for c in cases])),
    )


def draw_flat(value: float) -> int:
    """The byte that a constant drawing becomes."""
    drawer = PortraitDrawer(Scripted(lambda photo: torch.full_like(photo[:, :1], value)))  # type: ignore[arg-type]
    drawing = drawer(*portraits())
    assert drawing.unique().numel() == 1
    return int(drawing[0, 0, 0])


@pytest.mark.parametrize(
    ("value", "byte"),
    [
        (-1.0, 0),
        (1.0, 255),
        (0.0, 127),
        (0.999, 254),
        (-0.9999, 0),
        (2 * 100.02 / 255 - 1, 100),
        (2 * 100.98 / 255 - 1, 100),
    ],
)
def test_a_grey_level_is_truncated_not_rounded(value: float, byte: int) -> None:
    assert draw_flat(value) == byte


@pytest.mark.parametrize(("value", "byte"), [(-1.5, 0), (1.5, 255)])
def test_a_value_out_of_range_does_not_wrap_around(value: float, byte: int) -> None:
    assert draw_flat(value) == byte


def test_bytes_of_the_photo_become_minus_one_to_one_in_rgb_order() -> None:
    generator = Scripted(lambda photo: photo[:, :1])
    photo, boxes, matte = portraits(2)
    PortraitDrawer(generator)(photo, boxes, matte)  # type: ignore[arg-type]
    expected = (photo.numpy().transpose(0, 3, 1, 2).astype(np.float64) / 255 - 0.5) / 0.5
    np.testing.assert_allclose(generator.photo.numpy(), expected, atol=1e-6)
    assert generator.photo.dtype == torch.float32
    assert torch.equal(generator.boxes.int(), boxes)


def test_a_person_begins_at_matte_128() -> None:
    generator = Scripted(lambda photo: photo[:, :1])
    photo, boxes, matte = portraits()
    matte[0, :4, 0] = torch.tensor([0, 127, 128, 255], dtype=torch.uint8)
    PortraitDrawer(generator)(photo, boxes, matte)  # type: ignore[arg-type]
    assert generator.fg.shape == (1, 1, 512, 512)
    assert generator.fg[0, 0, :4, 0].tolist() == [False, False, True, True]
    assert torch.equal(generator.fg[0, 0], matte[0] >= 128)


@pytest.mark.parametrize("norm", NORMS)
def test_the_drawing_is_the_fused_map_of_the_generator(norm: str) -> None:
    torch.manual_seed(0)
    generator = HierarchicalGenerator(preset("paper", norm=norm, width=8)).eval()
    photo, boxes, matte = portraits(3)
    with torch.inference_mode():
        drawing = PortraitDrawer(generator)(photo, boxes, matte)
        fused = generator((photo.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5, boxes, matte[:, None] >= 128).fused
    assert drawing.shape == (3, 512, 512)
    assert drawing.dtype == torch.uint8
    expected = ((fused[:, 0].double() + 1) / 2 * 255).floor()
    assert expected.std() > 1  # a flat picture would compare nothing
    assert (drawing.double() - expected).abs().max() <= 1  # a value on the edge of two levels may fall to either
    assert (drawing.double() == expected).double().mean() > 0.999


def test_a_soft_matte_reaches_the_networks_as_a_weight() -> None:
    generator = Scripted(torch.zeros_like, "lite")
    matte = torch.zeros(1, 512, 512, dtype=torch.uint8)
    matte[0, :3, 0] = torch.tensor([64, 128, 255], dtype=torch.uint8)
    PortraitDrawer(generator)(*portraits()[:2], matte)  # type: ignore[arg-type]
    assert generator.fg[0, 0, :4, 0].tolist() == pytest.approx([64 / 255, 128 / 255, 1.0, 0.0])
