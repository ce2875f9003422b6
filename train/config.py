"""A training run as data: one TOML file, checked key by key before anything is read or computed.

```toml
[run]                         # every key has a default, see RunTable
out = "runs/lite"
minutes = 60
batch = 4
precision = "bf16"
[model]
preset = "lite"
[data]
train = ["pairs-00.npz", "pairs-01.npz"]
[loss]                        # keys of the command: train.distill.DistillLoss, train.gan.GanLoss
adversary = 0.05
[[stage]]                     # optional; one stage without
name = "pretrain"
data = ["npr.npz"]
epochs = 100
```

Paths are relative to the current folder, as on the command line.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from apdgan.config import ModelConfig, preset
from train.toml import overridden, override, table

OWN = ("run", "model", "data", "card")
"""Tables that every command has."""
PRECISIONS = ("fp32", "bf16")
SCHEDULES = ("cosine", "constant", "paper")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTable:
    """``[run]``: how long, how fast, where to."""

    out: str = ""
    """The run folder; a run found there goes on."""
    seed: int = 1
    minutes: float = 0.0
    """Time box of the whole run, kept across resumes; 0: none."""
    steps: int = 0
    """Optimiser steps of the whole run; 0: none."""
    batch: int = 4
    """Pictures of one process in one forward pass."""
    accumulate: int = 1
    """Forward passes to one optimiser step."""
    lr: float | None = None
    """Highest learning rate; None: the command's own."""
    schedule: str | None = None
    """cosine, constant or paper; None: the command's own."""
    precision: str = "fp32"
    """fp32, or bf16 (autocast)."""
    ema: float = 0.998
    """Decay of the averaged weights, which are what a run is for; 0: the last weights."""
    compile: bool = False
    threads: int = 0
    """CPU threads of torch; 0: its own choice."""
    workers: int = 1
    """Processes that prepare samples; 0: none beside the trainer."""
    checkpoint_minutes: float = 2.0
    """At least so often everything is saved; 0: after every step."""
    sample_minutes: float = 15.0
    """At least so often a sheet is drawn and held-out pairs are measured, and always at the end."""
    device: str = "auto"
    """auto, cpu or cuda."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelTable:
    """``[model]``: what is trained."""

    preset: str = "lite"
    norm: str | None = None
    width: int | None = None
    crest: float | None = None
    """Of the narrow presets' fusion, see :class:`apdgan.config.FusionConfig`: 0 lets lines be as broad as they were
    taught; None: the preset's own."""
    knee: float | None = None
    """Of the same: the logit, before the last step is sharpened, from which holding back levels off."""
    start: str | None = None
    """Weights to start from: a checkpoint, a run folder's state.safetensors, a file of bare tensors, or a model file
    (``models/lite.onnx``) of the same preset and width."""
    start_partial: bool = False
    """Take from ``start`` what fits, leave the rest as it is initialised."""

    def network(self) -> ModelConfig:
        """What is to be built. Raises ValueError for a preset, norm, crest or knee that is none."""
        return preset(self.preset, norm=self.norm, width=self.width, crest=self.crest, knee=self.knee)


@dataclass(frozen=True, slots=True, kw_only=True)
class DataTable:
    """``[data]``: what it learns from."""

    train: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    """Pairs that are only looked at: figures of the log."""
    strength: float = 0.85
    """Share of samples whose photo is made to look like a webcam's."""
    teacher: str = "drawings"
    """distill: drawings (stored ones), npr, or a checkpoint that draws."""
    rotate_degrees: float | None = None
    """Largest turn of a pair (the paper's small rotations); None: the command's own."""
    scale: float | None = None
    """Largest relative change of size of a pair; None: the command's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTable:
    """``[[stage]]``: a part of a run. It ends by the first of steps, epochs and minutes that is given and reached."""

    name: str = "train"
    data: tuple[str, ...] = ()
    """Empty: ``[data] train``."""
    steps: int = 0
    epochs: int = 0
    minutes: float = 0.0
    lr: float | None = None
    schedule: str | None = None
    strength: float | None = None
    loss: Mapping[str, Any] = field(default_factory=dict)
    """Keys of ``[loss]`` that differ in this stage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardTable:
    """``[card]``: what only a person can say; goes into the weights, the model file and its card."""

    style: str = ""
    licence: str = ""
    data: str = ""
    data_rights: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """A whole run. ``extra`` holds the command's own tables, each a dataclass, by table name."""

    run: RunTable = field(default_factory=RunTable)
    model: ModelTable = field(default_factory=ModelTable)
    data: DataTable = field(default_factory=DataTable)
    card: CardTable = field(default_factory=CardTable)
    stages: tuple[StageTable, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        """The run folder."""
        return Path(self.run.out)

    def stage_data(self, stage: StageTable) -> tuple[str, ...]:
        """Files of a stage."""
        return stage.data or self.data.train

    def stage_table(self, name: str, stage: StageTable) -> Any:
        """A table of the command's own as a stage sees it."""
        return overridden(self.extra[name], stage.loss if name == "loss" else {}, f"[[stage]] {stage.name}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values as in the file."""
        tables: dict[str, Any] = {name: asdict(getattr(self, name)) for name in OWN}
        tables |= {name: asdict(table) for name, table in self.extra.items()}
        return tables | {"stage": [asdict(stage) for stage in self.stages]}


def read_config(
    path: Path, tables: Mapping[str, type[Any]], overrides: Sequence[str] = (), **run: float | str | None
) -> RunConfig:
    """Read and check a run's file.

    Args:
        path: the TOML file.
        tables: the command's own tables (``loss``, ...): table name -> dataclass of plain values.
        overrides: ``TABLE.KEY=VALUE`` texts, VALUE as TOML or a bare word; ``stage.0.KEY`` for the first stage.
        run: keys of ``[run]`` that were given as options (``out``, ``minutes``, ``steps``); None: not given.
    Raises:
        ValueError: one line that names file, key and what was expected.
        OSError: the file cannot be read.
    """
    if not path.is_file():
        raise ValueError(f"{path}: expected a run's TOML file, got none; docs/training.md has some")
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: expected TOML, got {error}") from None
    for text in overrides:
        override(data, text)
    given = data.setdefault("run", {})
    if isinstance(given, dict):
        given.update({key: value for key, value in run.items() if value is not None})
    return build_config(data, tables, str(path))


def build_config(data: Mapping[str, Any], tables: Mapping[str, type[Any]], where: str = "run") -> RunConfig:
    """The same from values already parsed. Raises ValueError as :func:`read_config`."""
    known = (*OWN, *tables, "stage")
    for name in data:
        if name not in known:
            raise ValueError(f"{where}: [{name}] is not known; expected {', '.join(known)}")
    stages = data.get("stage", [])
    if not isinstance(stages, Sequence) or not all(isinstance(stage, Mapping) for stage in stages):
        raise ValueError(f"{where}: stage: expected tables [[stage]], got {stages!r}")
    config = RunConfig(
        run=table(RunTable, data.get("run", {}), f"{where}: [run]"),
        model=table(ModelTable, data.get("model", {}), f"{where}: [model]"),
        data=table(DataTable, data.get("data", {}), f"{where}: [data]"),
        card=table(CardTable, data.get("card", {}), f"{where}: [card]"),
        stages=tuple(table(StageTable, stage, f"{where}: [[stage]] {i + 1}") for i, stage in enumerate(stages)),
        extra={name: table(kind, data.get(name, {}), f"{where}: [{name}]") for name, kind in tables.items()},
    )
    for i, stage in enumerate(config.stages):
        if "loss" in config.extra:
            overridden(config.extra["loss"], stage.loss, f"{where}: [[stage]] {i + 1}: loss")
    _check(config, where)
    return replace(config, stages=config.stages or (_only_stage(config, where),))


# --- checks ---------------------------------------------------------------------------------------------------------


def _check(config: RunConfig, where: str) -> None:
    run = config.run
    if not run.out:
        raise ValueError(f"{where}: [run] out: expected the run folder; give it here or with --out")
    rules: list[tuple[str, bool, str, object]] = [
        ("[run] batch", run.batch >= 1, "1 or more", run.batch),
        ("[run] accumulate", run.accumulate >= 1, "1 or more", run.accumulate),
        ("[run] seed", run.seed >= 0, "0 or more", run.seed),
        ("[run] minutes", run.minutes >= 0, "0 or more", run.minutes),
        ("[run] steps", run.steps >= 0, "0 or more", run.steps),
        ("[run] ema", 0 <= run.ema < 1, "0 to below 1", run.ema),
        ("[run] precision", run.precision in PRECISIONS, " or ".join(PRECISIONS), run.precision),
        ("[run] device", run.device in ("auto", "cpu", "cuda"), "auto, cpu or cuda", run.device),
        ("[data] strength", 0 <= config.data.strength <= 1, "0 to 1", config.data.strength),
    ]
    for schedule in (run.schedule, *(stage.schedule for stage in config.stages)):
        rules.append(("schedule", schedule in (None, *SCHEDULES), " or ".join(SCHEDULES), schedule))
    for stage in config.stages:
        ends = stage.steps or stage.epochs or stage.minutes or (len(config.stages) == 1 and (run.steps or run.minutes))
        rules.append((f"[[stage]] {stage.name}", bool(ends), "steps, epochs or minutes", "none of them"))
        data = config.stage_data(stage)
        rules.append((f"[[stage]] {stage.name}: data", bool(data), "one or more files or folders", "none"))
    for key, good, expected, got in rules:
        if not good:
            raise ValueError(f"{where}: {key}: expected {expected}, got {got!r}")
    starts = [config.model.start] if config.model.start else []
    for name in (*config.data.train, *config.data.held_out, *(n for s in config.stages for n in s.data), *starts):
        pack, _, _label = name.rpartition(":")  # PACK.npz:LABEL is one of the sets in a pack
        if not Path(name).exists() and not (pack.endswith(".npz") and Path(pack).exists()):
            raise ValueError(f"{where}: {name}: expected a file or folder of that name, got none")


def _only_stage(config: RunConfig, where: str) -> StageTable:
    if not (config.run.minutes or config.run.steps):
        raise ValueError(f"{where}: [run]: expected minutes or steps to end the run; give one here or as an option")
    if not config.data.train:
        raise ValueError(f"{where}: [data] train: expected one or more files or folders, got none")
    return StageTable()
