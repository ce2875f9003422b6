"""The paper's losses (CVPR 2019, section 3.3) as pure functions that return named, already weighted terms.

The names are those the original logs. ``G = G_GAN + G_L1 + G_local + G_chamfer + G_chamfer2``; G_GAN contains
G_GAN_local, D_real and D_fake contain their local sums, and ``D = 0.5 (D_real + D_fake)``. Minimise G and D; the rest
is for the log. Ink is below 0 in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from apdgan.chamfer import Maps
from apdgan.discriminator import LOCAL, HierarchicalDiscriminator, frozen, local_views
from apdgan.generator import GeneratorOutput

Terms = dict[str, Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossWeights:
    """Factors of the terms; the paper's by default. A term with weight 0 is not computed."""

    adversarial: float = 1.0
    adversarial_local: float = 0.25
    l1: float = 100.0
    l1_local: float = 25.0
    chamfer: float = 0.1
    chamfer2: float = 0.1


class ChamferLoss(Protocol):
    """Either of :mod:`apdgan.chamfer`: d(wanted, drawn) and d(drawn, wanted), unweighted."""

    def __call__(self, drawn: Tensor, wanted: Tensor, maps: Maps | None = None) -> tuple[Tensor, Tensor]: ...


def adversarial(logits: Mapping[str, Tensor], *, real: bool) -> tuple[Tensor, Tensor]:
    """Cross-entropy of the global discriminator, and the sum over the six local ones, against one answer."""
    losses = {name: _cross_entropy(value, real) for name, value in logits.items()}
    whole = losses.pop("D")
    return whole, torch.stack(list(losses.values())).sum()


def _cross_entropy(logits: Tensor, real: bool) -> Tensor:
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


def local_l1(out: GeneratorOutput, drawing: Tensor, boxes: Tensor, fg: Tensor) -> Tensor:
    """Sum over the six regions of the mean absolute difference within each region's own tensor.

    The local generators' raw outputs are compared, not crops of the joined drawing; hair and background are masked to
    black on both sides.
    """
    drawn, wanted = local_views(out.fused, boxes, fg, out.raw), local_views(drawing, boxes, fg)
    return torch.stack([F.l1_loss(drawn[name].float(), wanted[name].float()) for name in LOCAL]).sum()


def generator_terms(
    out: GeneratorOutput,
    drawing: Tensor,
    photo: Tensor,
    boxes: Tensor,
    fg: Tensor,
    discriminator: HierarchicalDiscriminator | None,
    *,
    weights: LossWeights = LossWeights(),
    chamfer: ChamferLoss | None = None,
    maps: Maps | None = None,
) -> Terms:
    """What the generator should lower.

    Args:
        out: what it drew.
        drawing: (B, 1, 512, 512) float in [-1, 1], what it should have drawn.
        photo: (B, 3, 512, 512) float in [-1, 1].
        boxes: (B, 4, 2) integer, top-left x, y of the four parts.
        fg: (B, 1, 512, 512) bool, True on the person.
        discriminator: None leaves the adversarial terms out. No gradient reaches its weights.
        weights: factors of the terms.
        chamfer: None leaves the distance-transform terms out.
        maps: the drawing's distances for ``chamfer``; made on the spot when None.
    Returns:
        Name -> scalar with gradient; "G" is their sum.
    """
    w, terms = weights, Terms()
    if discriminator is not None and w.adversarial:
        with frozen(discriminator):
            whole, local = adversarial(discriminator(photo, out.fused, boxes, fg), real=True)
        terms["G_GAN_local"] = w.adversarial_local * local
        terms["G_GAN"] = w.adversarial * whole + terms["G_GAN_local"]
    if w.l1:
        terms["G_L1"] = w.l1 * F.l1_loss(out.fused.float(), drawing.float())
    if w.l1_local:
        terms["G_local"] = w.l1_local * local_l1(out, drawing, boxes, fg)
    if chamfer is not None and (w.chamfer or w.chamfer2):
        first, second = chamfer(out.fused, drawing, maps)
        terms["G_chamfer"], terms["G_chamfer2"] = w.chamfer * first, w.chamfer2 * second
    counted = [value for name, value in terms.items() if name != "G_GAN_local"]
    if not counted:
        raise ValueError("loss: expected a term with a weight above 0, got none; set l1 or another weight")
    return terms | {"G": torch.stack(counted).sum()}


def discriminator_terms(
    out: GeneratorOutput,
    drawing: Tensor,
    photo: Tensor,
    boxes: Tensor,
    fg: Tensor,
    discriminator: HierarchicalDiscriminator,
) -> Terms:
    """What the discriminators should lower; arguments as for :func:`generator_terms`, ``out`` is taken as constant.

    Returns:
        Name -> scalar with gradient; "D" is half the sum of D_real and D_fake.
    """
    fake = adversarial(discriminator(photo, out.fused.detach(), boxes, fg), real=False)
    real = adversarial(discriminator(photo, drawing, boxes, fg), real=True)
    terms = Terms(D_fake=fake[0] + fake[1], D_real=real[0] + real[1], D_fake_local=fake[1], D_real_local=real[1])
    return terms | {"D": 0.5 * (terms["D_real"] + terms["D_fake"])}
