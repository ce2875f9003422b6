"""What a generator is made of. A preset is data: one class builds every family from a :class:`ModelConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

NORMS = ("batch", "instance")
"""``batch``: running statistics, folds into convolutions. ``instance``: statistics of each picture, what the authors'
published outputs were made with (they never called eval())."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetConfig:
    """One encoder-decoder.

    ``kind="unet"``: the paper's U-Net block by block (``channels`` of each 4x4 stride-2 convolution; ``dropout`` = how
    many of the innermost middle blocks have it). ``kind="shuffle"``: space-to-depth by ``stem``, then 3x3 convolutions
    with ``channels`` at each halving and additive skips; ``depth`` convolutions in the innermost level.
    """

    kind: str
    channels: tuple[int, ...]
    dropout: int = 0
    stem: int = 1
    depth: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionConfig:
    """The network that joins global drawing and local map. ``residual``: the paper's; ``shuffle``: 3x3 at half size."""

    kind: str
    width: int
    blocks: int = 2
    crest: float = 0.0
    """shuffle: how strongly the darkest pixel of each 3x3 holds its neighbours back. Strokes stay as thin as a pen's
    even where the network is not sure of their place."""
    knee: float = 0.0
    """shuffle: the logit from which the holding back levels off; 0: never. What is surely ink or surely paper takes no
    part in it then, which keeps solid hair solid, and the drawing steadier from frame to frame."""
    along: bool = False
    """shuffle: not single pixels are compared but strokes, each pixel's darkest mean of three in a row. Pixels of
    one line then do not hold each other back, and a thin line is drawn whole, not dotted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """A whole hierarchical generator (CVPR 2019, section 3.1)."""

    family: str
    width: int
    norm: str
    nets: Mapping[str, NetConfig] = field(hash=False)
    fusion: FusionConfig
    matted: bool = False
    """The global network and the parts see the person on white, so that no background can pass for dark hair. The
    paper's see the photo as it is."""
    soft_matte: bool = False
    """The matte weighs instead of cutting: where it wavers at the border of hair, the drawing does not jump. The paper
    cuts at one half."""

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ValueError(f"norm: expected one of {', '.join(NORMS)}, got {self.norm!r}")
        missing = set(NET_NAMES) - set(self.nets)
        if missing:
            raise ValueError(f"nets: expected {', '.join(NET_NAMES)}, got none for {', '.join(sorted(missing))}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "family": self.family,
            "width": self.width,
            "norm": self.norm,
            "nets": {name: asdict(net) for name, net in self.nets.items()},
            "fusion": asdict(self.fusion),
            "matted": self.matted,
            "soft_matte": self.soft_matte,
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> ModelConfig:
        """Inverse of :meth:`to_dict`. Raises ValueError naming what is wrong."""
        try:
            nets = {
                name: NetConfig(**{**net, "channels": tuple(int(c) for c in net["channels"])})
                for name, net in data["nets"].items()
            }
            fusion = FusionConfig(**data["fusion"])
            return ModelConfig(
                family=str(data["family"]),
                width=int(data["width"]),
                norm=str(data["norm"]),
                nets=nets,
                fusion=fusion,
                matted=bool(data.get("matted", False)),
                soft_matte=bool(data.get("soft_matte", False)),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"model config: expected family, width, norm, nets and fusion, got {error!r}") from None


NET_NAMES = ("G", "GLEyel", "GLEyer", "GLNose", "GLMouth", "GLHair", "GLBG")
"""The authors' names: global, four parts, foreground ("hair") and background."""


def _paper(width: int, norm: str) -> ModelConfig:
    w = width
    area = NetConfig(kind="unet", channels=(w, 2 * w, 2 * w, 2 * w), dropout=1)
    part = NetConfig(kind="unet", channels=(w, 2 * w, 4 * w))
    nets = {"G": NetConfig(kind="unet", channels=(w, 2 * w, 4 * w, 8 * w, 8 * w, 8 * w, 8 * w, 8 * w), dropout=3)}
    nets |= dict.fromkeys(NET_NAMES[1:5], part) | dict.fromkeys(NET_NAMES[5:], area)
    return ModelConfig(family="paper", width=w, norm=norm, nets=nets, fusion=FusionConfig(kind="residual", width=width))


def _lite(width: int, norm: str) -> ModelConfig:
    w = width
    whole = NetConfig(kind="shuffle", stem=4, channels=(w, w * 3 // 2, 2 * w, 3 * w))
    part = NetConfig(kind="shuffle", stem=2, channels=(w * 3 // 4, w * 3 // 2, 2 * w))
    back = NetConfig(kind="shuffle", stem=8, channels=(w // 4, w // 2, w))
    nets = {"G": whole} | dict.fromkeys(NET_NAMES[1:5], part) | {"GLHair": whole, "GLBG": back}
    fusion = FusionConfig(kind="shuffle", width=3 * w // 8, blocks=1, crest=2.0, along=True)
    return ModelConfig(family="lite", width=w, norm=norm, nets=nets, fusion=fusion, matted=True, soft_matte=True)


def _studio(width: int, norm: str) -> ModelConfig:
    w = width
    lite = _lite(width, norm)
    part = NetConfig(kind="shuffle", stem=1, channels=(w * 3 // 4, w * 3 // 2, 9 * w // 4, 3 * w))
    hair = NetConfig(kind="shuffle", stem=2, channels=(w, 2 * w, 3 * w, 4 * w, 6 * w))
    nets = {**lite.nets} | dict.fromkeys(NET_NAMES[1:5], part) | {"GLHair": hair}
    fusion = FusionConfig(kind="shuffle", width=3 * w // 4, blocks=2, crest=2.0)
    return ModelConfig(family="studio", width=w, norm=norm, nets=nets, fusion=fusion, matted=True, soft_matte=True)


_PRESETS = {"paper": (_paper, 64, "instance"), "studio": (_studio, 32, "batch"), "lite": (_lite, 32, "batch")}
PRESETS = tuple(_PRESETS)


def preset(
    name: str,
    *,
    norm: str | None = None,
    width: int | None = None,
    crest: float | None = None,
    knee: float | None = None,
) -> ModelConfig:
    """A named configuration. ``paper``: exactly the paper's networks (63.8 M parameters at width 64). ``lite``: the
    same hierarchy, narrow, for live use on a CPU (about 2 GMAC at width 32).

    Args:
        name: ``paper``, ``studio`` or ``lite``.
        norm: ``batch`` or ``instance``; None: the preset's own.
        width: channels of its widest outer layers; None: the preset's own.
        crest, knee: of a narrow preset's fusion, in place of its own; see :class:`FusionConfig`.
    Raises:
        ValueError: an unknown name or norm, or a crest or knee where there is none.
    """
    if name not in _PRESETS:
        raise ValueError(f"preset: expected one of {', '.join(PRESETS)}, got {name!r}")
    build, default_width, default_norm = _PRESETS[name]
    config = build(width or default_width, norm or default_norm)
    fusion = config.fusion
    for key, value in (("crest", crest), ("knee", knee)):
        if value is not None and (fusion.kind != "shuffle" or value < 0):
            raise ValueError(f"{key}: expected 0 or more, with preset studio or lite; got {value} with {name}")
    own = replace(fusion, crest=fusion.crest if crest is None else crest, knee=fusion.knee if knee is None else knee)
    return replace(config, fusion=own)
