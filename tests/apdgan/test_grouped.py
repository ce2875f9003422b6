"""Branches side by side, or on streams, draw what they draw one by one."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from test_generator import named, run, small
from torch import Tensor
from torch.nn import functional as F

from apdgan import alignment
from apdgan.config import NORMS, preset
from apdgan.drawer import PortraitDrawer
from apdgan.generator import HierarchicalGenerator, init_weights
from apdgan.grouped import BRANCHES, CANVAS, GroupedGenerator, _GroupedInstanceNorm, _Masks, with_branches
from apdgan.layers import SkipBlock
from apdgan.regions import PARTS

BOUNDS = {torch.float64: 1e-12, torch.float32: 1e-5}
FURTHEST = 512 - np.array(alignment.PART_SIZES)


def lively(family: str, norm: str) -> HierarchicalGenerator:
    """Random weights and statistics at which every region draws, and a shift in every norm that would leak out of a
    region were it not masked."""
    generator = small(family, norm)
    torch.manual_seed(3)
    for module in generator.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.InstanceNorm2d):
            module.bias.data.normal_(0, 0.5)
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.05, 0.5)
    return generator


def boxes(kind: str) -> Tensor:
    rng = np.random.default_rng(7)
    random = rng.integers(0, FURTHEST + 1, (2, 4, 2))
    found = {
        "random": random,
        "overlapping": np.broadcast_to(rng.integers(150, 250, (2, 1, 2)), (2, 4, 2)) + rng.integers(0, 9, (2, 4, 2)),
        "border": np.stack([np.zeros((4, 2), int), FURTHEST]),
        "mixed": np.where(rng.integers(0, 2, (2, 4, 2)) > 0, FURTHEST, 0),
    }[kind]
    return torch.from_numpy(np.ascontiguousarray(found)).int()


def pictures(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    torch.manual_seed(11)
    photo = torch.rand(2, 3, 512, 512, dtype=torch.float64) * 2 - 1
    person = torch.rand(2, 1, 512, 512) > 0.4
    return photo.to(dtype), person


every_form = pytest.mark.parametrize(
    ("family", "norm", "branches"),
    [(f, n, b) for f in ("paper", "studio", "lite") for n in NORMS for b in ("grouped", "streams")],
)


@every_form
@pytest.mark.parametrize("dtype", BOUNDS)
def test_every_branch_draws_what_it_draws_alone(family: str, norm: str, branches: str, dtype: torch.dtype) -> None:
    plain = lively(family, norm).to(dtype)
    other = with_branches(copy.deepcopy(plain), branches)
    assert type(other) is not type(plain)
    photo, person = pictures(dtype)
    # The areas' networks work on any size; a small one shows the same and takes no minute in double precision.
    small_area, mask = photo[:, :, :64, :128], person[:, :, :64, :128]
    with torch.inference_mode():
        for kind in ("random", "overlapping", "border", "mixed"):
            wanted, got = (g.draw_parts(photo, boxes(kind)) for g in (plain, other))
            expect_same(got, wanted, dtype)
        wanted, got = (g.draw_areas(small_area * mask, small_area * ~mask) for g in (plain, other))
        expect_same(got, wanted, dtype)


@pytest.mark.parametrize("family", ["paper", "lite"])
def test_the_whole_drawing_is_the_plain_one(family: str) -> None:
    expect_same_whole(family, "batch", "grouped", torch.float64)


@pytest.mark.soak
@every_form
@pytest.mark.parametrize("dtype", BOUNDS)
def test_the_whole_drawing_is_the_plain_one_in_every_form(
    family: str, norm: str, branches: str, dtype: torch.dtype
) -> None:
    expect_same_whole(family, norm, branches, dtype)


def expect_same_whole(family: str, norm: str, branches: str, dtype: torch.dtype) -> None:
    plain = lively(family, norm).to(dtype)
    other = with_branches(copy.deepcopy(plain), branches)
    wanted, got = (whole(g, "overlapping") for g in (plain, other))
    if dtype == torch.float32:
        # Fusion, which is not rewritten, multiplies what fp32 rounds off in its input: below is shown by how much.
        del wanted["fused"], got["fused"]
    expect_same(got, wanted, dtype)


def whole(generator: HierarchicalGenerator, kind: str) -> dict[str, Tensor]:
    """Every map that a generator draws of one picture, in its own type."""
    dtype = next(generator.parameters()).dtype
    photo, person = (tensor[1:] for tensor in pictures(dtype))
    fg = person.to(dtype) * 0.7 if generator.config.soft_matte else person
    return named(run(generator, photo, boxes(kind)[1:], fg))


def furthest(one: dict[str, Tensor], two: dict[str, Tensor]) -> float:
    """By how much the fused maps differ at most."""
    return float((one["fused"].double() - two["fused"].double()).abs().max())


narrow_forms = pytest.mark.parametrize(
    ("family", "norm"), [(f, n) for f in ("paper", "studio", "lite") for n in NORMS], ids=lambda word: word
)


@narrow_forms
def test_in_single_precision_a_network_at_its_start_draws_the_same_fused_map(family: str, norm: str) -> None:
    """At full width 5.1e-6 at most; the weights are those that training starts from."""
    plain = small(family, norm).apply(init_weights)
    other = with_branches(copy.deepcopy(plain), "grouped")
    for kind in ("random", "overlapping", "border", "mixed"):
        wanted, got = (whole(g, kind) for g in (plain, other))
        for name, value in wanted.items():
            torch.testing.assert_close(got[name], value, rtol=0, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    if (family, norm) != ("paper", "batch"):  # whose running statistics are not those of any picture
        assert wanted["fused"].std() > 0.05  # not flat


@narrow_forms
def test_where_the_fused_map_is_off_by_more_the_plain_network_itself_is(family: str, norm: str) -> None:
    """Steep networks multiply what fp32 rounds off: up to 1.5e-4 in a fused map whose inputs are within 4e-6.

    Held against double precision, the rewritten network is as near as the plain one.
    """
    plain = steep(family, norm)
    exact = whole(copy.deepcopy(plain).double(), "overlapping")
    one = whole(plain, "overlapping")
    two = whole(with_branches(copy.deepcopy(plain), "grouped"), "overlapping")
    own = furthest(one, exact)
    assert own > 1e-6
    assert furthest(two, exact) <= 1.5 * own
    assert furthest(two, one) <= 1.5 * own


@pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN:UserWarning")
@pytest.mark.parametrize("family", ["paper", "studio", "lite"])
def test_with_sums_in_the_same_order_also_a_steep_network_draws_the_same(family: str) -> None:
    """oneDNN adds up in another order in a grouped convolution; torch's own kernels do not, and nothing is off.

    Instance norm is left out: its sums over a canvas with zeros in it are taken in another order in any case.
    """
    plain = steep(family, "batch")
    other = with_branches(copy.deepcopy(plain), "grouped")
    with torch.backends.mkldnn.flags(enabled=False):
        wanted, got = (whole(g, "overlapping") for g in (plain, other))
    expect_same(got, wanted, torch.float32)


def steep(family: str, norm: str) -> HierarchicalGenerator:
    """A lively generator whose last step is as steep as that of a shipped model, where it has such a step."""
    generator = lively(family, norm)
    if family != "paper":
        generator.sharpen(4.5, crest=16.0)
    return generator


def expect_same(got: dict[str, Tensor], wanted: dict[str, Tensor], dtype: torch.dtype) -> None:
    assert list(got) == list(wanted)
    for name, value in wanted.items():
        assert value.std() > 1e-3, f"{name} is blank, and would be the same whatever happened"
        torch.testing.assert_close(got[name], value, rtol=0, atol=BOUNDS[dtype], msg=lambda m, n=name: f"{n}: {m}")


def test_a_region_smaller_than_the_canvas_is_not_touched_by_what_lies_beside_it() -> None:
    grouped = with_branches(lively("paper", "instance").double(), "grouped")
    assert isinstance(grouped, GroupedGenerator)
    canvas = torch.rand(1, 3 * len(PARTS), *CANVAS, dtype=torch.float64)
    other = canvas.clone()
    for i, region in enumerate(PARTS):
        part = other[:, 3 * i : 3 * i + 3]
        part[:, :, region.height :] = 9
        part[:, :, :, region.width :] = -9
    with torch.inference_mode():
        one, two = grouped.parts(canvas), grouped.parts(other)
    for i, region in enumerate(PARTS):
        inside = (slice(None), i, slice(region.height), slice(region.width))
        assert torch.equal(one[inside], two[inside])


def test_foreground_and_background_are_one_pass_only_where_they_have_one_form() -> None:
    for family, joined in (("paper", True), ("studio", False), ("lite", False)):
        grouped = with_branches(small(family, "batch"), "grouped")
        assert isinstance(grouped, GroupedGenerator)
        assert (grouped.areas is not None) is joined
        left = {"G", "GCombine", "parts", "areas" if joined else "GLHair"}
        assert left <= {name for name, _ in grouped.named_children()}
        assert not [region for region in PARTS if region.name in grouped._modules]


def test_nothing_is_lost_or_doubled() -> None:
    generator = small("paper", "batch")
    before = sum(p.numel() for p in generator.parameters())
    grouped = with_branches(generator, "grouped")
    assert sum(p.numel() for p in grouped.parameters()) == before
    assert not [m for m in grouped.modules() if isinstance(m, SkipBlock) and not hasattr(m, "model")]


def test_bytes_come_out_the_same() -> None:
    plain = lively("lite", "batch")
    grouped = with_branches(copy.deepcopy(plain), "grouped")
    rng = np.random.default_rng(1)
    photo = torch.from_numpy(rng.integers(0, 256, (2, 512, 512, 3), dtype=np.uint8))
    matte = torch.from_numpy(rng.integers(0, 256, (2, 512, 512), dtype=np.uint8))
    with torch.inference_mode():
        one, two = (PortraitDrawer(g)(photo, boxes("random"), matte) for g in (plain, grouped))
    assert one.float().std() > 5
    assert (one.int() - two.int()).abs().max() <= 1


def test_plain_stays_what_it_is_and_other_words_are_refused() -> None:
    generator = small("lite", "batch")
    assert with_branches(generator, "single") is generator
    with pytest.raises(ValueError, match="expected one of single, grouped, streams, got 'both'"):
        with_branches(generator, "both")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="call eval"):
        with_branches(HierarchicalGenerator(preset("lite", width=8)).train(), "grouped")
    assert BRANCHES == ("single", "grouped", "streams")


@pytest.mark.parametrize("spread", [4.0, 12.0])
def test_half_precision_holds_the_statistics_of_a_masked_norm(spread: float) -> None:
    """A sum of some thousand squares is beyond 65504."""
    torch.manual_seed(1)
    sizes = [(64, 96), (40, 48)]
    norms = [torch.nn.InstanceNorm2d(2, affine=True) for _ in sizes]
    grouped = _GroupedInstanceNorm(norms, _Masks(sizes, (64, 96)))
    maps = [spread * torch.randn(1, 2, *size) for size in sizes]
    canvas = torch.cat([F.pad(one, (0, 96 - one.shape[3], 0, 64 - one.shape[2])) for one in maps], 1)
    with torch.inference_mode():
        drawn = grouped.half()(canvas.half())
        assert drawn.dtype == torch.float16
        for i, (one, norm, (height, width)) in enumerate(zip(maps, norms, sizes, strict=True)):
            off = drawn[:, 2 * i : 2 * i + 2, :height, :width].float() - norm(one)
            assert off.abs().max() < 0.01
