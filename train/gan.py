"""The paper's training: ``python -m train gan RUN.toml`` (CVPR 2019, sections 3.2, 3.3 and 4).

A step draws once, teaches the seven discriminators, then the generator. Stages do what the paper does in two runs:
pre-training on synthetic drawings, then fine-tuning on an artist's. Any preset can be trained; ``paper`` with norm
"batch" and batch 1 is the original's own setting. The averaged generator is what is exported.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from apdgan.auxiliary import AuxiliaryNetworks, load_auxiliary
from apdgan.chamfer import ExactChamfer, NetworkChamfer
from apdgan.discriminator import HierarchicalDiscriminator, load_discriminator
from apdgan.distance import distance_maps
from apdgan.generator import GeneratorOutput, HierarchicalGenerator, init_weights
from apdgan.losses import ChamferLoss, LossWeights, discriminator_terms, generator_terms
from train.augment import Sample
from train.command import add_run_arguments, run_command
from train.config import RunConfig, StageTable
from train.distributed import World, share_batch_norm
from train.samples import Samples, open_data
from train.schedule import PAPER_LR
from train.state import start_from
from train.task import Pass, Phase, Terms
from train.teacher import draw_all
from train.turning import ROTATE_DEGREES, SCALE, Changes
from train.unfolding import start_generator

CHAMFERS = ("none", "network", "exact")


@dataclass(frozen=True, slots=True, kw_only=True)
class GanLoss(LossWeights):
    """``[loss]`` of a GAN: factors of the paper's terms, and how the distance-transform loss is computed."""

    mode: str = "exact"
    """none, network (the paper's, by frozen networks) or exact (a soft distance transform)."""
    auxiliary: str = ""
    """network: the file that 'python -m train auxiliary' made, or the folder of the official four."""
    differentiable: bool = False
    """network: give the second term the gradient that it lacks in the original."""
    reach_px: int = 16
    """exact: distances stop counting here."""

    @property
    def weights(self) -> LossWeights:
        """The factors alone."""
        return LossWeights(**{f.name: getattr(self, f.name) for f in fields(LossWeights)})


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscriminatorTable:
    """``[discriminator]``."""

    width: int = 64
    norm: str = "batch"
    start: str | None = None
    """A run's state.safetensors or the official files, to start from."""


TABLES = {"loss": GanLoss, "discriminator": DiscriminatorTable}


class Gan:
    """The task of the shared loop (:class:`train.task.Task`)."""

    averaged, weights, lr, schedule = "generator", "generator.safetensors", PAPER_LR, "paper"

    def __init__(self, config: RunConfig, world: World) -> None:
        """Builds the networks on the world's device. Raises ValueError for settings or files that do not fit."""
        model, judge = config.model, config.extra["discriminator"]
        self.world = world
        self.generator = HierarchicalGenerator(model.network())
        if model.preset == "paper":
            self.generator.apply(init_weights)
        if model.start:
            start_generator(self.generator, config)
        self.discriminator = _discriminator(judge)
        self.networks: Mapping[str, nn.Module] = {
            "generator": self.generator.to(world.device),
            "discriminator": self.discriminator.to(world.device),
        }
        betas = (0.5, 0.999)
        self.for_generator = torch.optim.Adam(self.generator.parameters(), lr=PAPER_LR, betas=betas)
        self.for_discriminator = torch.optim.Adam(self.discriminator.parameters(), lr=PAPER_LR, betas=betas)
        self.loss: GanLoss = config.extra["loss"]
        self.chamfer: ChamferLoss | None = None
        self._networks: dict[str, AuxiliaryNetworks] = {}
        for stage in config.stages:  # before a run begins, not hours later
            self.chamfer_of(config.stage_table("loss", stage))

    def phases(self) -> Sequence[Phase]:
        """The discriminators, then the generator."""
        return [
            Phase(name="discriminator", optimizer=self.for_discriminator, loss=self._judge),
            Phase(name="generator", optimizer=self.for_generator, loss=self._generate),
        ]

    def begin(self, config: RunConfig, stage: StageTable, number: int) -> Samples:
        """Open a stage's pairs and set its losses."""
        data = config.data
        self.loss = config.stage_table("loss", stage)
        self.chamfer = self.chamfer_of(self.loss)
        pairs = open_data(config.stage_data(stage), drawings=data.teacher == "drawings")
        drawings = None if data.teacher == "drawings" else draw_all(data.teacher, pairs, config.out, self.world)
        change = Changes(
            strength=data.strength if stage.strength is None else stage.strength,
            degrees=ROTATE_DEGREES if data.rotate_degrees is None else data.rotate_degrees,
            scale=SCALE if data.scale is None else data.scale,
            paper=True,
        )
        more = distances if self.loss.mode == "network" else None
        return Samples(pairs, seed=config.run.seed, stage=number, change=change, more=more, drawings=drawings)

    def export(self, average: Mapping[str, Tensor]) -> HierarchicalGenerator:
        """The averaged generator."""
        generator = HierarchicalGenerator(self.generator.config)
        generator.load_state_dict(average)
        return generator

    def chamfer_of(self, loss: GanLoss) -> ChamferLoss | None:
        """The distance-transform loss that settings ask for. Raises ValueError for a mode or file that is none."""
        if loss.mode not in CHAMFERS:
            raise ValueError(f"[loss] mode: expected {', '.join(CHAMFERS)}, got {loss.mode!r}")
        if loss.mode == "none":
            return None
        if loss.mode == "exact":
            return ExactChamfer(reach_px=loss.reach_px)
        if not loss.auxiliary:
            raise ValueError("[loss] auxiliary: expected the file that 'python -m train auxiliary' made, got none")
        if loss.auxiliary not in self._networks:
            networks = load_auxiliary(loss.auxiliary)
            if self.world.size > 1:
                share_batch_norm(networks)
            self._networks[loss.auxiliary] = networks.to(self.world.device)
        return NetworkChamfer(self._networks[loss.auxiliary], differentiable=loss.differentiable)

    def _draw(self, one: Pass) -> GeneratorOutput:
        if "out" not in one.memory:
            batch = one.batch
            person = batch.matte if self.generator.config.soft_matte else batch.fg
            with one.autocast():
                one.memory["out"] = self.generator(batch.photo, batch.corners, person)
        out: GeneratorOutput = one.memory["out"]
        return out

    def _judge(self, one: Pass) -> tuple[Tensor, Terms]:
        b = one.batch
        with nullcontext() if one.keep else torch.no_grad():
            out = self._draw(one)
        with one.autocast():
            terms = discriminator_terms(out, b.drawing, b.photo, b.corners, b.fg, self.discriminator)
        return terms["D"], terms

    def _generate(self, one: Pass) -> tuple[Tensor, Terms]:
        b = one.batch
        maps = (b.more["to_black"], b.more["to_white"]) if "to_black" in b.more else None
        with one.autocast():
            terms = generator_terms(
                self._draw(one),
                b.drawing,
                b.photo,
                b.corners,
                b.fg,
                self.discriminator,
                weights=self.loss.weights,
                chamfer=self.chamfer,
                maps=maps,
            )
        return terms["G"], terms


def _discriminator(table: DiscriminatorTable) -> HierarchicalDiscriminator:
    discriminator = HierarchicalDiscriminator(width=table.width, norm=table.norm)
    discriminator.apply(init_weights)
    if table.start and Path(table.start).suffix == ".safetensors":
        start_from(discriminator, Path(table.start), partial=False, prefix="model.discriminator.")
    elif table.start:
        discriminator.load_state_dict(load_discriminator(table.start).state_dict(), strict=table.norm == "batch")
    return discriminator


def distances(sample: Sample) -> dict[str, NDArray[np.float32]]:
    """Distance maps (1, 512, 512) of a sample's drawing, computed beside the trainer."""
    black, white = distance_maps(sample.drawing)
    return {"to_black": black[None], "to_white": white[None]}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m train gan``."""
    add_run_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Run from parsed options."""
    return run_command("gan", Gan, TABLES, args)
