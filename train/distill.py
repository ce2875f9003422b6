"""Teach a student generator a teacher's drawings: ``python -m train distill RUN.toml``.

Binary cross-entropy and Dice on every level of the hierarchy (fused, global, each local network on its own region),
AdamW with a cosine, the averaged weights kept. Optional: a small PatchGAN (``[loss] adversary``) and steadiness over
time (``[consistency] weight``). The teacher is whoever made the drawings: stored ones, the NPR teacher, a checkpoint.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from apdgan.discriminator import frozen
from apdgan.generator import GeneratorOutput, HierarchicalGenerator
from apdgan.layers import ShuffleFusion
from apdgan.regions import BACKGROUND, FOREGROUND, PARTS, cut, outside_parts, paste
from train.adversary import CROP, Adversary
from train.command import add_run_arguments, run_command
from train.config import RunConfig, StageTable
from train.distributed import World, shared_mean
from train.samples import Samples, open_data
from train.task import Pass, Phase, Terms
from train.teacher import draw_all
from train.turning import Changes
from train.unfolding import start_generator


@dataclass(frozen=True, slots=True, kw_only=True)
class DistillLoss:
    """``[loss]`` of a distillation."""

    adversary: float = 0.0
    """Weight of the PatchGAN term; 0: none."""
    sharpen: tuple[float, float] = (3.0, 0.15)
    """Steepness of the saved student's last step, and how far it leans to paper: cross-entropy leaves its doubt grey, a
    pen has none, and weighing lines more than paper draws them a little wide."""
    thin: float = 2.0
    """How much more the pixels of thin lines weigh: more draws faint lines (jaw, nose) sooner, and wider."""
    slack: float = 0.0
    """0 to 1: how far the pixels right beside a thin line are spared, so that a line half a pixel off is no fault."""
    pixel: float = 1.0
    """Factor of the pixelwise terms. Below 1 for hands that hatch: no two strokes of theirs lie where one would expect
    them, and a network held to every pixel draws their mean, which is grey."""
    parts: float = 1.0
    """Factor of what is asked of eyes, nose and mouth on their own."""
    nose: float = 1.0
    """How much more thin lines weigh in the box of the nose than elsewhere: it is two faint strokes, and who is drawn
    without them is drawn wrong."""
    jaw: float = 1.0
    """How much more thin lines weigh beside and below the mouth than elsewhere: the jaw is the longest faint stroke."""
    tone: float = 0.0
    """Weight of how dark it is on the whole, in squares of 8 and of 32 px: what hatching is for."""
    matching: float = 0.0
    """Weight of what the judge sees in both drawings, layer by layer (pix2pixHD, Wang et al., CVPR 2018, 3.2)."""
    doubt: float = 0.0
    """Weight of grey where the drawing is ink or paper all around: a pen has none, and what the student has never seen
    (a hat, a hand, a room behind) it would else smear."""
    weight_decay: float = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsistencyTable:
    """``[consistency]``: steadiness over time, see :mod:`train.consistency`."""

    weight: float = 0.0
    """0: none."""
    still: float = 0.5
    """Share of second views with next to no motion."""
    shaken: float = 0.0
    """Share of the others that are blurred by motion or taken with fewer pixels."""
    reach: float = 2.5
    """How far the others move, px: twice the standard deviation of the shift, on each axis."""
    exact: float = 0.0
    """Share of the term that compares pixel by pixel, not blurred: a heavy one makes halftone without."""
    share: float = 0.5
    """Share of a batch that is seen a second time."""


NOSE = PARTS[2]
BESIDE, BELOW = 24, 80
"""Px in the aligned square: from the eyes' boxes out to the jaw's ends, from the mouth's box down to the neck."""
TABLES = {"loss": DistillLoss, "consistency": ConsistencyTable}


def bce(x: Tensor, ink: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy of a map x in [-1, 1] (ink is -1) against ink in 0..1; mean over ``weight``."""
    p = ((1 - x.float()) / 2).clamp(1e-4, 1 - 1e-4)
    loss = F.binary_cross_entropy(p, ink, reduction="none")
    return loss.mean() if weight is None else (loss * weight).sum() / shared_mean(weight.sum()).clamp_min(1)


def dice(x: Tensor, ink: Tensor) -> Tensor:
    """1 - Dice overlap of ink, per picture, mean."""
    p = (1 - x.float()) / 2
    both, total = (p * ink).sum((1, 2, 3)), (p * p + ink * ink).sum((1, 2, 3))
    return (1 - (2 * both + 1) / (total + 1)).mean()


def grown(x: Tensor, side: int) -> Tensor:
    """The largest within a square of ``side`` px around each pixel, no gradient. (B, 1, H, W) float32."""
    if x.device.type != "cpu":
        return F.max_pool2d(x, side, 1, side // 2)
    kernel = np.ones((side, side), np.uint8)  # torch takes thirty times as long on a CPU
    return torch.from_numpy(np.stack([cv2.dilate(one[0], kernel) for one in x.numpy()]))[:, None]


def thin(ink: Tensor) -> Tensor:
    """Ink of strokes narrower than about 5 px: what is left of it without its solid masses. (B, 1, H, W) 0..1."""
    solid = grown(-grown(-ink, 5), 9)
    return ink * (1 - solid)


def pen(x: Tensor, gain: float, lighten: float) -> Tensor:
    """A map in [-1, 1] as :meth:`ShuffleFusion.sharpen` will make it: what is judged is what will be shipped."""
    return torch.tanh(gain * (torch.atanh(x.float().clamp(-0.999, 0.999)) + lighten))


def losses(
    out: GeneratorOutput,
    ink: Tensor,
    corners: Tensor,
    fg: Tensor,
    *,
    thin_weight: float = 2.0,
    slack: float = 0.0,
    parts: float = 1.0,
    nose: float = 1.0,
    jaw: float = 1.0,
) -> dict[str, Tensor]:
    """Named, weighted terms. ink (B, 1, 512, 512) float 0..1."""
    inside = outside_parts(corners, ink) * fg
    # Thin lines are few: pixels on or beside ink count more than open paper, and the lines themselves more than what is
    # beside them, because a line that could lie a pixel to either side would else not be drawn at all.
    lines = thin(ink)
    beside = grown(lines, 3) - lines
    faint = paste(lines, nose * cut(lines, corners, NOSE), corners, NOSE)
    if jaw != 1:
        faint = faint * (1 + (jaw - 1) * around_jaw(corners, ink) * fg)
    near = 1 + 2 * grown(ink, 7) + thin_weight * faint - 2 * slack * beside
    terms = {
        "fused": bce(out.fused, ink, near),
        "dice": 0.5 * dice(out.fused, ink),
        "global": 0.4 * bce(out.global_, ink, near),
        "foreground": 0.4 * bce(out.raw[FOREGROUND], ink, inside * near),
        "background": 0.1 * bce(out.raw[BACKGROUND], ink, (1 - fg.float()) * near),
    }
    for region in PARTS:
        target, weight = cut(ink, corners, region), cut(near, corners, region)
        raw = out.raw[region.name]
        terms[region.name] = 0.15 * parts * (bce(raw, target, weight) + 0.5 * dice(raw, target))
        fused = cut(out.fused, corners, region)
        terms["parts"] = terms.get("parts", torch.zeros(())) + 0.1 * parts * bce(fused, target, weight)
    return terms


def around_jaw(corners: Tensor, like: Tensor) -> Tensor:
    """1 from the middle of the nose down to the neck, as wide as the face and outside the four boxes, else 0.

    corners (B, 4, 2) integer x, y of the boxes; like gives batch, dtype and device -> (B, 1, 512, 512).
    """
    left_eye, right_eye, nose, mouth = PARTS
    at = corners[:, :, :, None, None].to(like.dtype)
    y, x = torch.meshgrid(*(torch.arange(side, device=like.device) for side in like.shape[-2:]), indexing="ij")
    across = (x >= at[:, left_eye.row, 0] - BESIDE) & (x < at[:, right_eye.row, 0] + right_eye.width + BESIDE)
    down = (y >= at[:, nose.row, 1] + nose.height // 2) & (y < at[:, mouth.row, 1] + mouth.height + BELOW)
    return (across & down)[:, None] * outside_parts(corners, like)


def tone(x: Tensor, ink: Tensor) -> Tensor:
    """Mean difference of how dark squares of 8 and of 32 px are. x (B, 1, H, W) in [-1, 1], ink 0..1."""
    off = (1 - x.float()) / 2 - ink
    return F.avg_pool2d(off, 8).abs().mean() + F.avg_pool2d(off, 32).abs().mean()


def doubt(x: Tensor, ink: Tensor) -> Tensor:
    """Mean grey (0 ink or paper, 1 halfway) away from edges of the drawing, fine halftone counted as the grey it stands
    for. x (B, 1, H, W) in [-1, 1], ink 0..1."""
    flat = (grown(ink, 5) + grown(-ink, 5) < 0.5).float()
    p = F.avg_pool2d((1 - x.float()) / 2, 3, 1, 1, count_include_pad=False)
    return (4 * p * (1 - p) * flat).sum() / flat.sum().clamp_min(1)


class Distill:
    """The task of the shared loop (:class:`train.task.Task`)."""

    averaged, weights, lr, schedule = "student", "student.safetensors", 2e-3, "cosine"

    def __init__(self, config: RunConfig, world: World) -> None:
        """Builds the student on the world's device. Raises ValueError for a preset or a start that does not fit."""
        model = config.model
        self.world, self.seed = world, config.run.seed
        self.student = HierarchicalGenerator(model.network())
        self.loss: DistillLoss = config.extra["loss"]
        if model.start and start_generator(self.student, config) and isinstance(self.student.GCombine, ShuffleFusion):
            gain, lighten = self.loss.sharpen
            self.student.sharpen(1 / gain, -lighten * gain)  # as it was before it was shipped
        self.student.to(world.device)
        self.networks: Mapping[str, nn.Module] = {"student": self.student}
        self.judge = Adversary().to(world.device) if self._uses_judge(config) else None
        if self.judge is not None:
            self.networks = {"student": self.student, "judge": self.judge}
        parameters = self.student.parameters()
        self.optimizer = torch.optim.AdamW(
            parameters, lr=self.lr, betas=(0.9, 0.99), weight_decay=self.loss.weight_decay
        )
        self.steadiness = config.extra["consistency"]

    @staticmethod
    def _uses_judge(config: RunConfig) -> bool:
        tables = [config.stage_table("loss", stage) for stage in config.stages]
        return any(table.adversary or table.matching for table in tables)

    def phases(self) -> Sequence[Phase]:
        """The judge, where there is one, then the student."""
        student = Phase(name="student", optimizer=self.optimizer, loss=self._student, clip=1.0)
        if self.judge is None:
            return [student]
        own = self.judge.optimizer.param_groups[0]["lr"]
        return [Phase(name="judge", optimizer=self.judge.optimizer, loss=self._judge, lr=own), student]

    def begin(self, config: RunConfig, stage: StageTable, number: int) -> Samples:
        """Open a stage's pictures; a teacher that is not stored draws them now."""
        data = config.data
        self.loss = config.stage_table("loss", stage)
        pairs = open_data(config.stage_data(stage), drawings=data.teacher == "drawings")
        drawings = None if data.teacher == "drawings" else draw_all(data.teacher, pairs, config.out, self.world)
        change = Changes(
            strength=data.strength if stage.strength is None else stage.strength,
            degrees=data.rotate_degrees or 0.0,
            scale=data.scale or 0.0,
        )
        return Samples(pairs, seed=config.run.seed, stage=number, change=change, drawings=drawings)

    def export(self, average: Mapping[str, Tensor]) -> HierarchicalGenerator:
        """The averaged student, its last step sharpened."""
        student = HierarchicalGenerator(self.student.config)
        student.load_state_dict(average)
        if isinstance(student.GCombine, ShuffleFusion):
            student.sharpen(*self.loss.sharpen)
        return student

    def _draw(self, one: Pass) -> GeneratorOutput:
        """The student's drawings of a batch; with steadiness, of a part of it a moment later behind them."""
        if "out" not in one.memory:
            photo, corners = one.batch.photo, one.batch.corners
            fg = one.batch.matte if self.student.config.soft_matte else one.batch.fg
            if self.steadiness.weight:
                from train.consistency import Consistency

                told = self.steadiness
                settings = {name: value for name, value in asdict(told).items() if name != "share"}
                steady = Consistency(**settings)
                rng = np.random.default_rng([self.seed, one.step, one.batch.numbers[0]])
                count = max(1, round(self.steadiness.share * len(photo)))
                later = steady.later(photo, corners, fg, count=count, rng=rng)
                one.memory["steady"] = steady, later
                photo, corners, fg = (
                    torch.cat(pair) for pair in ((photo, later.photo), (corners, later.boxes), (fg, later.fg))
                )
            with one.autocast():
                one.memory["out"] = self.student(photo, corners, fg)
        out: GeneratorOutput = one.memory["out"]
        return out

    def _judge(self, one: Pass) -> tuple[Tensor, Terms]:
        """Least squares of the judge on a random crop: the teacher's is 1, the student's 0."""
        assert self.judge is not None
        with nullcontext() if one.keep else torch.no_grad():
            drawn = self._draw(one).fused[: len(one.batch.photo)].detach()
        with one.autocast():
            real = self.judge(*self._crop(one, one.batch.drawing))
            fake = self.judge(*self._crop(one, self._inked(drawn)))
        loss = 0.5 * (F.mse_loss(real, torch.ones_like(real)) + F.mse_loss(fake, torch.zeros_like(fake)))
        return loss, {"judge": loss}

    def _student(self, one: Pass) -> tuple[Tensor, Terms]:
        batch, every = one.batch, self._draw(one)
        count = len(batch.photo)
        out = GeneratorOutput(
            fused=every.fused[:count],
            global_=every.global_[:count],
            local_map=every.local_map[:count],
            raw={name: drawing[:count] for name, drawing in every.raw.items()},
        )
        if not torch.isfinite(out.fused).all():  # cross-entropy would not say so, but fail
            nan = out.fused.sum()
            return nan, {"fused": nan}
        how = {
            "thin_weight": self.loss.thin,
            "slack": self.loss.slack,
            "parts": self.loss.parts,
            "nose": self.loss.nose,
            "jaw": self.loss.jaw,
        }
        terms = losses(out, batch.ink, batch.corners, batch.fg, **how)
        terms = {name: self.loss.pixel * term for name, term in terms.items()}
        if self.loss.tone:
            terms["tone"] = self.loss.tone * tone(self._inked(out.fused), batch.ink)
        if self.loss.doubt:
            terms["doubt"] = self.loss.doubt * doubt(self._inked(out.fused), batch.ink)
        if self.judge is not None and (self.loss.adversary or self.loss.matching):
            terms |= self._believed(one, out.fused)
        if "steady" in one.memory:
            steady, later = one.memory["steady"]
            now, then = self._inked(out.fused[: later.count]), self._inked(every.fused[count:])
            terms["steady"] = steady.term(now, then, later)
        return torch.stack(list(terms.values())).sum(), terms

    def _believed(self, one: Pass, drawn: Tensor) -> Terms:
        """What the judge asks of the student."""
        assert self.judge is not None
        with frozen(self.judge), one.autocast():
            *layers, score = self.judge.layers_of(*self._crop(one, self._inked(drawn)))
            with torch.no_grad():
                *wanted, _ = self.judge.layers_of(*self._crop(one, one.batch.drawing))
        apart = [F.l1_loss(a.float(), b.float()) for a, b in zip(layers, wanted, strict=True)]
        terms = {"adversary": self.loss.adversary * F.mse_loss(score.float(), torch.ones_like(score.float()))}
        return terms | {"matching": self.loss.matching * torch.stack(apart).mean()}

    def _inked(self, drawing: Tensor) -> Tensor:
        """A drawing as :meth:`export` makes it."""
        return pen(drawing, *self.loss.sharpen) if isinstance(self.student.GCombine, ShuffleFusion) else drawing

    def _crop(self, one: Pass, drawing: Tensor) -> tuple[Tensor, Tensor]:
        """The judged crop of photo and drawing: one place a step, the same in every process."""
        photo = one.batch.photo
        y, x = np.random.default_rng([self.seed, one.step]).integers(0, photo.shape[-1] - CROP + 1, 2)
        crop = (..., slice(y, y + CROP), slice(x, x + CROP))
        return photo[crop], drawing[crop]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m train distill``."""
    add_run_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Run from parsed options."""
    return run_command("distill", Distill, TABLES, args)
