"""Train DT1, DT2, Line1 and Line2 on drawings: ``python -m train auxiliary RUN.toml`` (CVPR 2019, section 3.3).

The authors do not say how they trained theirs. The natural targets are taken: DT1 and DT2 regress the distance to black
and to white over its own maximum; Line1 and Line2 find black and white lines, which a disc of ``line_px`` does not fit
into. ``python -m train gan`` uses what comes out with ``[loss] mode = "network"``. ``[model] width`` is theirs.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from apdgan.auxiliary import AUXILIARY, AuxiliaryNetworks, load_auxiliary
from apdgan.distance import LINE_PX, distance_maps, distance_px, line_maps
from apdgan.generator import init_weights
from train.augment import Sample
from train.command import add_run_arguments, train
from train.config import RunConfig, StageTable, read_config
from train.dataset import Pair
from train.distributed import World
from train.samples import Samples, open_data
from train.schedule import PAPER_LR
from train.state import start_from, write_whole
from train.task import Pass, Phase, Terms
from train.turning import ROTATE_DEGREES, SCALE, Changes

CPU_WIDTH, GPU_WIDTH = 16, 64
"""Base width where a run says nothing: the authors' takes 67 million weights for each of the four."""
WEIGHTS = "auxiliary.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuxiliaryLoss:
    """``[loss]`` of the auxiliary networks."""

    distance: float = 10.0
    """Weight of DT1 and DT2: mean absolute error."""
    line: float = 1.0
    """Weight of Line1 and Line2: cross-entropy."""
    line_px: int = LINE_PX
    """What is thinner is a line."""
    unclean: float = 0.6
    """Share of drawings made as soft and grey as a young generator's."""


TABLES = {"loss": AuxiliaryLoss}


def soften(rng: np.random.Generator, drawing: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blur, fade or darken, and stain a drawing: what a generator that still learns hands to the networks."""
    ink = 255 - cv2.GaussianBlur(drawing, (0, 0), float(rng.uniform(0.4, 2.5))).astype(np.float32)
    ink = ink * float(rng.uniform(0.6, 2.5)) + cv2.resize(
        rng.normal(0, rng.uniform(0, 25), (64, 64)).astype(np.float32), drawing.shape[::-1]
    )
    return np.clip(255 - ink, 0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawingChanges:
    """The paper's augmentation of a pair, and drawings as a generator makes them."""

    base: Changes
    unclean: float

    def __call__(self, rng: np.random.Generator, sample: Sample) -> Sample:
        sample = self.base(rng, sample)
        if rng.random() >= self.unclean:
            return sample
        drawing = soften(rng, sample.drawing)
        return Sample(photo=sample.photo, drawing=drawing, matte=sample.matte, points=sample.points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """What the four networks should answer to a sample's drawing."""

    line_px: int

    def __call__(self, sample: Sample) -> dict[str, NDArray[np.float32]]:
        """By network: (1, 512, 512) float32 in [-1, 1]. A black line is -1 for Line1, a white one +1 for Line2."""
        to_black, to_white = distance_maps(sample.drawing)
        black, white = line_maps(sample.drawing, line_px=self.line_px)
        maps = (to_black * 2 - 1, to_white * 2 - 1, np.where(black, -1.0, 1.0), np.where(white, 1.0, -1.0))
        return {name: one[None].astype(np.float32) for name, one in zip(AUXILIARY, maps, strict=True)}


class Auxiliary:
    """The task of the shared loop (:class:`train.task.Task`)."""

    averaged, weights, lr, schedule = "auxiliary", WEIGHTS, PAPER_LR, "cosine"

    def __init__(self, config: RunConfig, world: World) -> None:
        """Builds the networks on the world's device. Raises ValueError for a start that does not fit."""
        self.width = config.model.width or (GPU_WIDTH if world.device.type == "cuda" else CPU_WIDTH)
        self.auxiliary = AuxiliaryNetworks(width=self.width)
        self.auxiliary.apply(init_weights)
        if config.model.start:
            start_from(self.auxiliary, Path(config.model.start), partial=config.model.start_partial)
        self.networks: Mapping[str, nn.Module] = {"auxiliary": self.auxiliary.to(world.device)}
        self.optimizer = torch.optim.Adam(self.auxiliary.parameters(), lr=PAPER_LR, betas=(0.5, 0.999))
        self.loss: AuxiliaryLoss = config.extra["loss"]

    def phases(self) -> Sequence[Phase]:
        """One: the four networks share nothing but the drawing."""
        return [Phase(name="auxiliary", optimizer=self.optimizer, loss=self._answer)]

    def begin(self, config: RunConfig, stage: StageTable, number: int) -> Samples:
        """Open a stage's drawings."""
        data = config.data
        self.loss = config.stage_table("loss", stage)
        base = Changes(
            strength=0.0,
            degrees=ROTATE_DEGREES if data.rotate_degrees is None else data.rotate_degrees,
            scale=SCALE if data.scale is None else data.scale,
            paper=True,
        )
        return Samples(
            open_data(config.stage_data(stage)),
            seed=config.run.seed,
            stage=number,
            change=DrawingChanges(base=base, unclean=self.loss.unclean),
            more=Targets(line_px=self.loss.line_px),
        )

    def export(self, average: Mapping[str, Tensor]) -> AuxiliaryNetworks:
        """The averaged networks, for ``apdgan.auxiliary.load_auxiliary``."""
        networks = AuxiliaryNetworks(width=self.width)
        networks.load_state_dict(average)
        return networks

    def _answer(self, one: Pass) -> tuple[Tensor, Terms]:
        drawing, wanted, terms = one.batch.drawing, one.batch.more, Terms()
        for name in AUXILIARY:
            with one.autocast():
                answer = self.auxiliary.ask(name, drawing)
            if name.startswith("DT"):
                terms[name] = self.loss.distance * F.l1_loss(answer, wanted[name])
            else:
                terms[name] = self.loss.line * line_loss(answer, wanted[name])
        return torch.stack(list(terms.values())).sum(), terms


def line_loss(answer: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy of a map in [-1, 1]; the rarer side of each picture counts as much as the other one."""
    wanted = wanted / 2 + 0.5
    share = wanted.mean((1, 2, 3), keepdim=True).clamp(0.02, 0.98)
    weight = 0.5 * (wanted / share + (1 - wanted) / (1 - share))
    return F.binary_cross_entropy((answer / 2 + 0.5).clamp(1e-4, 1 - 1e-4), wanted, weight.sqrt())


# --- how far off they are -------------------------------------------------------------------------------------------


@torch.no_grad()
def measure(networks: AuxiliaryNetworks, drawings: Sequence[NDArray[np.uint8]], *, line_px: int) -> dict[str, float]:
    """Errors against the exact transforms, in the mode the networks are in. Drawings are asked in batches of 2.

    Returns:
        ``DT1_px``, ``DT2_px``: mean absolute error of the distance, px of the 512 square; ``DT1_near_px``,
        ``DT2_near_px``: the same where the distance is at most 16 px; ``Line1_f1``, ``Line2_f1``: of the lines' pixels.
    """
    device = next(networks.parameters()).device
    found: dict[str, list[float]] = {}
    for at in range(0, len(drawings), 2):
        some = drawings[at : at + 2]
        batch = torch.from_numpy(np.stack(some)).to(device)[:, None].float() / 127.5 - 1
        answers = {name: networks.ask(name, batch).cpu().numpy()[:, 0] for name in AUXILIARY}
        for i, drawing in enumerate(some):
            for key, value in _errors({name: answer[i] for name, answer in answers.items()}, drawing, line_px).items():
                found.setdefault(key, []).append(value)
    return {key: float(np.nanmean(values)) for key, values in found.items()}


def _errors(answers: Mapping[str, NDArray[np.float32]], drawing: NDArray[np.uint8], line_px: int) -> dict[str, float]:
    black, errors = drawing <= 127, {}
    for name, marked in (("DT1", black), ("DT2", ~black)):
        exact = distance_px(marked)
        apart = np.abs((answers[name] / 2 + 0.5) * exact.max() - exact)
        errors[f"{name}_px"] = float(apart.mean())
        errors[f"{name}_near_px"] = float(apart[exact <= 16].mean()) if (exact <= 16).any() else float("nan")
    lines = line_maps(drawing, line_px=line_px)
    said = (black & (answers["Line1"] < 0), ~black & (answers["Line2"] >= 0))
    for name, wanted, found in zip(("Line1", "Line2"), lines, said, strict=True):
        total = int(wanted.sum() + found.sum())
        errors[f"{name}_f1"] = 2 * float((wanted & found).sum()) / total if total else 1.0
    return errors


def held_out_drawings(pairs: Sequence[Pair], most: int = 64) -> list[NDArray[np.uint8]]:
    """Up to ``most`` drawings, evenly spread."""
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(most, len(pairs))).round().astype(int))
    drawings = [pairs[int(i)].drawing for i in chosen]
    return [one for one in drawings if one is not None]


def report(out: Path, held_out: Sequence[str], *, line_px: int) -> dict[str, dict[str, float]]:
    """Measure a run's networks in the mode the loss uses (batch statistics, dropout) and with running statistics.

    Writes ``OUT/auxiliary.json``.
    """
    networks, drawings = load_auxiliary(out / WEIGHTS), held_out_drawings(open_data(held_out))
    torch.manual_seed(0)  # dropout
    found = {mode: measure(networks.train(mode == "training"), drawings, line_px=line_px) for mode in MODES}
    text = json.dumps({"drawings": len(drawings), **found}, indent=1) + "\n"
    write_whole(out / "auxiliary.json", lambda part: part.write_text(text, encoding="utf-8"))
    return found


MODES = ("training", "evaluation")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m train auxiliary``."""
    add_run_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Run from parsed options; with ``[data] held_out``, measure what came out."""
    config = read_config(args.run_file, TABLES, args.set, out=args.out, minutes=args.minutes, steps=args.steps)
    code = train("auxiliary", Auxiliary, config)
    if code or not config.data.held_out:
        return code
    for mode, figures in report(config.out, config.data.held_out, line_px=config.extra["loss"].line_px).items():
        print(f"{mode:10s} " + "  ".join(f"{key} {value:.3f}" for key, value in figures.items()))
    return 0
