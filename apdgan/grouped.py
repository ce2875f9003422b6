"""The branches of the generator side by side: fewer and larger launches for a GPU, the same drawing.

Two rewrites, and a way to run the branches on streams of their own. Each is exact:

- the four part networks as one grouped network on a common canvas. A part smaller than the canvas stays exact only
  because what lies outside it is set back to zero before every convolution, as its own border would be, and left out of
  the statistics of every instance norm;
- foreground and background as one grouped pass, where their networks have the same form (in ``paper``).

Held against the plain module for any boxes (tests): every map within 1e-12 in double precision. In single precision
every branch is within 1e-5, and so is the fused map of a network that training starts from (5.1e-6 at full width). A
fusion that is steeper, as trained ones are, multiplies the branches' last bits: 4.5e-5 in a paper network with running
statistics, 1.5e-4 with a gain of 4.5 and a crest of 16. No rewrite is the cause: the plain network is as far from
itself in double precision (1.2e-4 in that paper network), and where grouped convolutions add up in the order of single
ones (torch's kernels without oneDNN, running statistics), nothing is off at all.

What is worth it depends on the GPU: ``python -m benchmarks.branches`` measures it. For inference only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from apdgan.generator import HierarchicalGenerator
from apdgan.layers import ShuffleUNet, SkipBlock, UNet
from apdgan.regions import BACKGROUND, FOREGROUND, PARTS, cut

Branches = Literal["single", "grouped", "streams"]
BRANCHES: tuple[Branches, ...] = get_args(Branches)
"""``single``: one by one. ``grouped``: as above. ``streams``: one by one, each on a CUDA stream of its own."""

Size = tuple[int, int]
"""Height, width."""
CANVAS: Size = (max(region.height for region in PARTS), max(region.width for region in PARTS))


def with_branches(generator: HierarchicalGenerator, branches: Branches) -> HierarchicalGenerator:
    """The same generator, its branches run another way. It takes the networks over from the one that is given.

    Args:
        generator: in eval mode.
        branches: one of :data:`BRANCHES`.
    Raises:
        ValueError: another word, or a generator in training mode.
    """
    if branches not in BRANCHES:
        raise ValueError(f"branches: expected one of {', '.join(BRANCHES)}, got {branches!r}")
    if branches == "single":
        return generator
    if generator.training:
        raise ValueError("branches: expected a generator in eval mode, got one in training; call eval() first")
    kind = GroupedGenerator if branches == "grouped" else StreamedGenerator
    return kind(generator).eval()


class GroupedGenerator(HierarchicalGenerator):
    """Parts as one grouped network; foreground and background as another, where they have the same form."""

    def __init__(self, generator: HierarchicalGenerator) -> None:
        _take_over(self, generator)
        sizes = [(region.height, region.width) for region in PARTS]
        self.parts = group([_child(self, region.name) for region in PARTS], sizes, CANVAS)
        same = self.config.nets[FOREGROUND] == self.config.nets[BACKGROUND]
        names = (FOREGROUND, BACKGROUND)
        self.areas = group([_child(self, name) for name in names], None, None) if same else None
        for name in [region.name for region in PARTS] + list(names if same else ()):
            del self._modules[name]

    def draw_parts(self, seen: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        patches = [cut(seen, boxes, region) for region in PARTS]
        height, width = CANVAS
        canvas = [F.pad(patch, (0, width - patch.shape[3], 0, height - patch.shape[2])) for patch in patches]
        drawn = self.parts(torch.cat(canvas, 1))
        return {region.name: drawn[:, i : i + 1, : region.height, : region.width] for i, region in enumerate(PARTS)}

    def draw_areas(self, foreground: Tensor, background: Tensor) -> dict[str, Tensor]:
        if self.areas is None:
            return super().draw_areas(foreground, background)
        drawn = self.areas(torch.cat([foreground, background], 1))
        return {FOREGROUND: drawn[:, :1], BACKGROUND: drawn[:, 1:]}


class StreamedGenerator(HierarchicalGenerator):
    """Every branch on a CUDA stream of its own; on a CPU one after the other. Not for torch.compile, which has none."""

    def __init__(self, generator: HierarchicalGenerator) -> None:
        _take_over(self, generator)
        self._streams: list[torch.cuda.Stream] = []

    def draw_parts(self, seen: Tensor, boxes: Tensor) -> dict[str, Tensor]:
        jobs = [lambda region=region: _child(self, region.name)(cut(seen, boxes, region)) for region in PARTS]
        return dict(zip((region.name for region in PARTS), on_streams(jobs, seen, self._streams), strict=True))

    def draw_areas(self, foreground: Tensor, background: Tensor) -> dict[str, Tensor]:
        pairs = {FOREGROUND: foreground, BACKGROUND: background}
        jobs = [lambda name=name, x=x: _child(self, name)(x) for name, x in pairs.items()]
        return dict(zip(pairs, on_streams(jobs, foreground, self._streams), strict=True))


def on_streams(jobs: Sequence[Callable[[], Tensor]], like: Tensor, streams: list[torch.cuda.Stream]) -> list[Tensor]:
    """What the jobs give, each run on a stream of its own that starts and ends with the current one.

    Args:
        jobs: give one tensor each.
        like: on the device of the jobs; without CUDA they run one after the other.
        streams: of earlier calls; those that lack are added. Each keeps memory of its own.
    """
    if like.device.type != "cuda":
        return [job() for job in jobs]
    main = torch.cuda.current_stream(like.device)
    while len(streams) < len(jobs):
        streams.append(torch.cuda.Stream(like.device))  # type: ignore[no-untyped-call]
    results = []
    for stream, job in zip(streams, jobs, strict=False):
        stream.wait_stream(main)
        with torch.cuda.stream(stream):
            results.append((stream, job()))
    for stream, result in results:
        main.wait_stream(stream)
        result.record_stream(main)
    return [result for _, result in results]


def group(nets: Sequence[nn.Module], sizes: Sequence[Size] | None, canvas: Size | None) -> nn.Module:
    """Networks of one form as one grouped network in eval mode.

    Args:
        nets: N networks (C, H, W) -> (1, H, W), alike but for their weights.
        sizes: height and width of what each works on, at the canvas's top left; None: all work on the whole of it.
        canvas: height and width of the common canvas; None where ``sizes`` is.
    Returns:
        A module (B, N * C, H, W) -> (B, N, H, W), N networks side by side; outside its size a network's output is not
        defined.
    """
    grouped = _Grouping(len(nets), None if sizes is None or canvas is None else _Masks(sizes, canvas)).of(nets)
    return grouped.eval()


def _take_over(module: HierarchicalGenerator, generator: HierarchicalGenerator) -> None:
    """A generator's networks without building new ones first."""
    nn.Module.__init__(module)
    module.config = generator.config
    for name, net in generator.named_children():
        module.add_module(name, net)


def _child(module: nn.Module, name: str) -> nn.Module:
    net = module._modules[name]
    assert net is not None
    return net


class _Masks(nn.Module):
    """1 where a network works, 0 elsewhere, at every resolution that the canvas is halved to."""

    def __init__(self, sizes: Sequence[Size], canvas: Size) -> None:
        super().__init__()
        self._canvas = canvas
        scale = 1
        while all(side % scale == 0 for size in (*sizes, canvas) for side in size):
            mask = torch.zeros(1, len(sizes), 1, canvas[0] // scale, canvas[1] // scale)
            for i, (height, width) in enumerate(sizes):
                mask[0, i, :, : height // scale, : width // scale] = 1
            self.register_buffer(f"mask{scale}", mask, persistent=False)
            scale *= 2

    def like(self, x: Tensor) -> Tensor:
        """x (B, N, C, H, W) -> (1, N, 1, H, W) of x's type."""
        scale = self._canvas[0] // x.shape[3]
        return self.get_buffer(f"mask{scale}").to(x.dtype)


class _Grouping:
    """Puts modules of one form side by side, whatever they are made of."""

    def __init__(self, count: int, masks: _Masks | None) -> None:
        self._n = count
        self._masks = masks

    def of(self, modules: Sequence[nn.Module]) -> nn.Module:
        first = modules[0]
        if isinstance(first, nn.Sequential):
            return nn.Sequential(*(self.of(same) for same in zip(*modules, strict=True)))
        if isinstance(first, nn.ModuleList):
            return nn.ModuleList(self.of(same) for same in zip(*modules, strict=True))
        if isinstance(first, nn.Conv2d | nn.ConvTranspose2d):
            return _GroupedConvolution(modules, self._masks)
        if isinstance(first, nn.InstanceNorm2d):
            return _GroupedInstanceNorm(modules, self._masks)
        if isinstance(first, nn.BatchNorm2d):
            return _batch_norm(modules)
        if isinstance(first, SkipBlock):
            return _GroupedSkip(self.of([_child(m, "model") for m in modules]), self._n, first.outermost)
        if isinstance(first, UNet):
            return self.of([_child(m, "model") for m in modules])
        if isinstance(first, ShuffleUNet):
            names = ("enter", "down", "encode", "up", "decode", "leave")
            parts = {name: self.of([_child(m, name) for m in modules]) for name in names}
            return _GroupedShuffleUNet(parts, self._n, first.stem)
        assert not list(first.parameters()), f"{type(first).__name__} has weights that are not grouped"
        return first


class _GroupedConvolution(nn.Module):
    def __init__(self, modules: Sequence[nn.Module], masks: _Masks | None) -> None:
        super().__init__()
        first = modules[0]
        assert isinstance(first, nn.Conv2d | nn.ConvTranspose2d)
        assert first.groups == 1
        assert first.padding_mode == "zeros"
        n = len(modules)
        kind = type(first)
        self.n, self.masks = n, masks
        self.conv = kind(
            n * first.in_channels,
            n * first.out_channels,
            first.kernel_size,  # type: ignore[arg-type]
            stride=first.stride,  # type: ignore[arg-type]
            padding=first.padding,  # type: ignore[arg-type]
            groups=n,
            bias=first.bias is not None,
        ).to(first.weight)
        with torch.no_grad():
            self.conv.weight.copy_(torch.cat([_weight(m, "weight") for m in modules]))
            if self.conv.bias is not None:
                self.conv.bias.copy_(torch.cat([_weight(m, "bias") for m in modules]))

    def forward(self, x: Tensor) -> Tensor:
        if self.masks is not None:
            parted = _parted(x, self.n)
            x = (parted * self.masks.like(parted)).flatten(1, 2)
        y: Tensor = self.conv(x)
        return y


class _GroupedInstanceNorm(nn.Module):
    """Statistics of each network's own pixels, two passes, as torch has them: biased variance, eps inside the root."""

    def __init__(self, modules: Sequence[nn.Module], masks: _Masks | None) -> None:
        super().__init__()
        first = modules[0]
        assert isinstance(first, nn.InstanceNorm2d)
        self.n, self.masks, self.eps = len(modules), masks, first.eps
        self.weight = nn.Parameter(torch.cat([_weight(m, "weight") for m in modules]))
        self.bias = nn.Parameter(torch.cat([_weight(m, "bias") for m in modules]))

    def forward(self, x: Tensor) -> Tensor:
        if self.masks is None:
            return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
        parted = _parted(x, self.n)
        if parted.dtype in (torch.float16, torch.bfloat16):
            parted = parted.float()  # the sum of a map's squares is more than half precision holds
        mask = self.masks.like(parted)
        pixels = mask.sum((3, 4), keepdim=True)
        mean = (parted * mask).sum((3, 4), keepdim=True) / pixels
        off = (parted - mean) * mask
        variance = (off * off).sum((3, 4), keepdim=True) / pixels
        y = (off / torch.sqrt(variance + self.eps)).flatten(1, 2).to(x.dtype)
        scaled: Tensor = y * self.weight[:, None, None] + self.bias[:, None, None]
        return scaled


class _GroupedSkip(nn.Module):
    """:class:`apdgan.layers.SkipBlock`: each network's output joined to its own input."""

    def __init__(self, model: nn.Module, count: int, outermost: bool) -> None:
        super().__init__()
        self.model, self.n, self.outermost = model, count, outermost

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.model(x)
        if self.outermost:
            return y
        return torch.cat([_parted(t, self.n) for t in (x, y)], 2).flatten(1, 2)


class _GroupedShuffleUNet(nn.Module):
    """:class:`apdgan.layers.ShuffleUNet`, N side by side."""

    def __init__(self, parts: dict[str, nn.Module], count: int, stem: int) -> None:
        super().__init__()
        self.n, self.stem = count, stem
        for name, module in parts.items():
            self.add_module(name, module)

    def forward(self, x: Tensor) -> Tensor:
        # Channels of a network lie together, so shuffling all of them shuffles each network's own.
        x = _child(self, "enter")(F.pixel_unshuffle(x, self.stem))
        skips = [x]
        for down, encode in zip(*(_list(self, name) for name in ("down", "encode")), strict=True):
            x = down(x)
            x = x + encode(x)
            skips.append(x)
        skips.pop()
        for up, decode in zip(*(reversed(_list(self, name)) for name in ("up", "decode")), strict=True):
            x = skips.pop() + F.interpolate(up(x), scale_factor=2.0, mode="nearest")
            x = x + decode(x)
        return torch.tanh(F.pixel_shuffle(_child(self, "leave")(x), self.stem))


def _parted(x: Tensor, count: int) -> Tensor:
    """(B, N * C, H, W) -> (B, N, C, H, W)."""
    return x.reshape(-1, count, x.shape[1] // count, *x.shape[2:])


def _batch_norm(modules: Sequence[nn.Module]) -> nn.BatchNorm2d:
    first = modules[0]
    assert isinstance(first, nn.BatchNorm2d)
    joined = nn.BatchNorm2d(len(modules) * first.num_features, eps=first.eps).to(first.weight)
    state = {
        name: torch.cat([m.state_dict()[name] for m in modules])
        for name in ("weight", "bias", "running_mean", "running_var")
    }
    joined.load_state_dict(state | {"num_batches_tracked": torch.tensor(0)})
    return joined


def _weight(module: nn.Module, name: str) -> Tensor:
    tensor: Tensor = getattr(module, name)
    return tensor.detach()


def _list(module: nn.Module, name: str) -> list[nn.Module]:
    return list(_child(module, name).children())
