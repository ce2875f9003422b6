"""The training loop that every command shares: read it from :meth:`Run.go` down.

A run ends by its stages, by ``[run] minutes`` or ``steps``, by Ctrl-C (everything is saved, exit code 130), or by an
error, and then the last good checkpoint is still there. Started again with the same folder it goes on exactly.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict
from datetime import UTC, datetime

import torch
from torch import Tensor

from apdgan.generator import HierarchicalGenerator
from train.config import RunConfig, StageTable
from train.distributed import World, share_batch_norm
from train.ema import Average
from train.files import finish, read_data, save_weights, write_facts
from train.journal import LOG_STEPS, Journal, Terms
from train.limits import Clock, Interrupt, StageEnd, run_is_over
from train.samples import Batch, Samples, batches, open_data
from train.schedule import rate
from train.state import STATE, RunError, load_state, save_state, seed_step
from train.task import Pass, Task
from train.toml import write_toml
from train.watch import Watch

CHECK_STEPS = 10
"""A GPU is asked so often whether the losses are finite: asking every step would make it wait."""


class Run:
    """One training run in one process."""

    def __init__(self, task: Task, config: RunConfig, world: World, *, command: str, facts: dict[str, str]) -> None:
        """
        Args:
            task: what is trained; its networks are on the world's device.
            config: the run.
            world: this process among its siblings.
            command: distill, gan, ...; for the record.
            facts: what a resumed run must agree with.
        Raises:
            RunError: the folder holds another run, or a damaged one.
        """
        self.task, self.config, self.world = task, config, world
        for network in task.networks.values():
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if world.size > 1:
                share_batch_norm(network)
        self.phases = task.phases()
        self.average = Average(task.networks[task.averaged], decay=config.run.ema)
        self.facts = facts | {"command": command}
        self.optimizers = {phase.name: phase.optimizer for phase in self.phases}
        self.progress = load_state(
            config.out,
            networks=task.networks,
            average=self.average,
            optimizers=self.optimizers,
            facts=self.facts,
        )
        latest, earliest = world.largest(self.progress.step, -self.progress.step)
        if latest != -earliest:
            raise RunError(
                f"{config.out}: expected one run folder for all machines, got several; put it on a shared disk"
            )
        world.same(task.networks.values())
        if config.run.compile:
            for network in task.networks.values():
                network.compile(dynamic=False)
        self.clock, self.interrupt, self.terms = Clock(self.progress), Interrupt(), Terms()
        begun = datetime.now(UTC).isoformat(timespec="seconds")
        self.before = read_data(config.out)
        self.record: dict[str, object] = {"command": command, "begun": begun, "data": {}}
        self.watch: Watch | None = None

    # --- the loop ---------------------------------------------------------------------------------------------------

    def go(self) -> int:
        """Train to the end. Returns 0, or 128 + the signal that ended it early."""
        run, out, stages = self.config.run, self.config.out, self.config.stages
        if self.progress.step and run_is_over(self.config, self.progress):
            if self.world.first:
                told = f"{self.progress.step} steps, {self.progress.spent_s / 60:.1f} minutes"
                print(f"{out}: finished after {told}; nothing is changed; to train longer, say a larger number")
            return 0
        if self.world.first:
            out.mkdir(parents=True, exist_ok=True)
            if not (out / STATE).exists():
                self._save()  # a folder or a disk that cannot take it is told now, not after the first hour
        total = run.steps or 60 * run.minutes
        with self.interrupt, Journal(out, step=self.progress.step, total=total, alone=self.world.first) as journal:
            while self._stage(journal, stages[self.progress.stage]) and self.progress.stage + 1 < len(stages):
                self.progress.next_stage()
                self._save()
            stopped = self.interrupt.signal
            self._save(finished=not stopped)
            if stopped:
                journal.say(f"stopped at step {self.progress.step}; the same command goes on from {out}")
                return 128 + stopped
            self._look(journal)
            journal.say(f"{out}: done, {self.progress.step} steps; next: python -m engines.export {out}")
        if self.world.first:
            finish(out)
        return 0

    def _stage(self, journal: Journal, stage: StageTable) -> bool:
        """Train one stage; True when it came to its end, False when the whole run did."""
        self.interrupt.patient = False  # a teacher may draw for an hour, and what it has drawn is kept
        samples = self.task.begin(self.config, stage, self.progress.stage)
        self.interrupt.patient = True
        self._prepare(stage, samples)
        run, end = self.config.run, StageEnd.of(self.config, stage, samples, self.world)
        feed = batches(samples, start=self.progress.samples, batch=run.batch, world=self.world, workers=run.workers)
        self.clock.start()
        saved = looked = time.monotonic()
        try:
            while True:
                self.clock.read(self.world)
                over = end.done(self.progress) >= 1
                if over or run_is_over(self.config, self.progress) or self.interrupt.shared(self.world):
                    return over
                self._step(stage, end, samples, feed)
                self._log(journal, stage)
                if time.monotonic() - saved >= 60 * run.checkpoint_minutes:
                    self._save()
                    saved = time.monotonic()
                if time.monotonic() - looked >= 60 * run.sample_minutes:
                    self._look(journal)
                    looked = time.monotonic()
        finally:
            feed.close()

    def _step(self, stage: StageTable, end: StageEnd, samples: Samples, feed: Iterator[Batch]) -> None:
        """One optimiser step of every phase."""
        run, progress = self.config.run, self.progress
        passes = self._passes(feed)
        seed_step(run.seed, progress.step, self.world.rank)
        given = (lr for lr in (stage.lr, run.lr, self.task.lr) if lr is not None)
        self.lr = rate(stage.schedule or run.schedule or self.task.schedule, next(given), end.moment(progress))
        terms: dict[str, Tensor] = {}
        for phase in self.phases:
            for group in phase.optimizer.param_groups:
                group["lr"] = self.lr if phase.lr is None else phase.lr
            phase.optimizer.zero_grad(set_to_none=True)
            terms["loss"] = torch.zeros((), device=self.world.device)
            for one in passes:
                loss, named = phase.loss(one)
                (loss / run.accumulate).backward()  # type: ignore[no-untyped-call]
                for name, value in (named | {"loss": loss}).items():
                    part = value.detach().float() / run.accumulate
                    terms[name] = terms[name] + part if name in terms else part
                if run.accumulate > 1:
                    one.memory.clear()
            self.world.average_gradients(phase.parameters)
            if phase.clip:
                torch.nn.utils.clip_grad_norm_(phase.parameters, phase.clip)
            phase.optimizer.step()
        self._take_in(terms, samples, passes)

    def _passes(self, feed: Iterator[Batch]) -> list[Pass]:
        """The batches of a step. A picture that cannot be read ends the run, but nothing of it is lost."""
        run = self.config.run
        try:
            read = [next(feed) for _ in range(run.accumulate)]
        except (ValueError, OSError):
            self._save()
            raise
        keep = run.accumulate == 1
        return [Pass(batch=b, step=self.progress.step, memory={}, keep=keep, autocast=self._autocast) for b in read]

    def _take_in(self, terms: dict[str, Tensor], samples: Samples, passes: list[Pass]) -> None:
        """Count the step, after a look at its losses: spoilt weights must not reach a checkpoint."""
        run, progress = self.config.run, self.progress
        values = self.world.average(torch.stack(list(terms.values())))
        self.terms.add(dict(zip(terms, values.unbind(), strict=True)))
        progress.step += 1
        if self.world.device.type == "cpu" or progress.step % CHECK_STEPS == 0:
            self._expect_finite([samples.name(i) for p in passes for i in p.batch.numbers])
        self.average.follow(self.task.networks[self.task.averaged], progress.step)
        progress.stage_step += 1
        progress.samples += run.batch * run.accumulate * self.world.size

    def _expect_finite(self, names: list[str]) -> None:
        if bad := self.terms.bad():
            raise RunError(
                f"step {self.progress.step}: {bad} is not finite on {', '.join(names[:4]) or 'the last pictures'}; "
                f"the last good checkpoint is in {self.config.out}; lower [run] lr or say precision = 'fp32'"
            )

    def _autocast(self) -> AbstractContextManager[object]:
        on = self.config.run.precision == "bf16"
        return torch.autocast(self.world.device.type, dtype=torch.bfloat16, enabled=on)

    # --- what is written --------------------------------------------------------------------------------------------

    def _prepare(self, stage: StageTable, samples: Samples) -> None:
        """Note what a stage learns from, and choose the pictures to watch."""
        data = self.record["data"]
        assert isinstance(data, dict)
        data[stage.name] = {"pairs": samples.count, "sha256": samples.fingerprint()}
        before = self.before.get(stage.name)
        if self.progress.stage_step and before is not None and before != data[stage.name]:
            raise RunError(
                f"{self.config.out}: expected the {before['pairs']} pairs that this run has learnt from so far, got "
                f"{samples.count} others; name another folder with --out, or go on with those"
            )
        if self.world.first:
            write_toml(self.config.out / "run.toml", self.config.to_dict())
            held_out = self.config.data.held_out
            pairs = open_data(held_out, drawings=False) if held_out else samples.pairs
            self.watch = Watch(pairs, held_out=bool(held_out))

    def _log(self, journal: Journal, stage: StageTable) -> None:
        p, run = self.progress, self.config.run
        journal.show(step=p.step, done=p.step if run.steps else p.spent_s, terms=self.terms)
        if p.step % LOG_STEPS == 0 or p.step == run.steps:
            journal.write(self._line(stage))

    def _line(self, stage: StageTable) -> dict[str, object]:
        p = self.progress
        return {"step": p.step, "minutes": p.spent_s / 60, "stage": stage.name, "lr": self.lr} | self.terms.read()

    def _look(self, journal: Journal) -> None:
        """A sheet, and held-out figures in the log."""
        if self.world.first and self.watch is not None:
            generator = self.task.export(self.average.tensors).to(self.world.device)
            if not isinstance(generator, HierarchicalGenerator):
                return  # it does not draw
            figures = self.watch.look(generator, self.config.out, self.progress.step)
            if self.terms.read():
                journal.write(self._line(self.config.stages[self.progress.stage]) | figures)

    def _save(self, *, finished: bool = False) -> None:
        """A whole checkpoint, then the weights for export. Only the first process writes."""
        if not self.world.first:
            return
        self._expect_finite([])
        out, p = self.config.out, self.progress
        save_state(
            out,
            networks=self.task.networks,
            average=self.average,
            optimizers=self.optimizers,
            progress=p,
            facts=self.facts,
        )
        words = {key: value for key, value in asdict(self.config.card).items() if value}
        save_weights(out / self.task.weights, self.task.export(self.average.tensors), words | {"step": str(p.step)})
        write_facts(out, self.record, progress=p, world=self.world, finished=finished)
