"""Every runtime draws the same photos, beside a reference: how far off, and how fast.

The reference is eager torch for a checkpoint, and where the weights are given that a model was exported from, else
ONNX Runtime in fp32.
fp32 engines must stay within 1 grey level of it; bf16 draws the same when on every photo the mean difference is at most
0.5 grey level and the ink IoU at least 0.985; fp16, which GPUs draw in, 1 grey level and 0.995.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.choose import describe, engine_names, load, load_matte, load_reference
from engines.compare import (
    FASTER,
    FP32_MAX,
    HALF_INK_IOU,
    HALF_MEAN,
    SAME_INK_IOU,
    SAME_MEAN,
    Difference,
    difference,
    worst,
)
from engines.contract import Engine, MatteEngine
from engines.errors import EngineError, ModelError
from engines.manifest import Manifest

Inputs = dict[str, NDArray[np.generic]]

DEFAULT = ("openvino-fp32", "openvino-bf16", "onnxruntime")
OF_CHECKPOINTS = ("inductor-fp32", "inductor-fp16")
"""What draws from a checkpoint, beside the reference."""
TIMED_RUNS = 3
"""Timed draws of a photo in one go, after one that is not timed: as in a live stream, other work comes between."""
MIN_TIMINGS = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One engine against the reference, each figure at its worst photo."""

    engine: str
    difference: Difference
    ms_p10: float
    """What it takes when nothing else runs: the figure to compare engines by on a busy machine."""
    ms_p50: float
    ms_p95: float
    same: bool
    """Within the bounds of its precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What :func:`verify` found."""

    manifest: Manifest
    reference: str
    device: str
    photos: int
    rows: tuple[Row, ...]
    passed_over: dict[str, str]
    """Engines that could not be tried here, and why."""

    def row(self, engine: str) -> Row | None:
        return next((row for row in self.rows if row.engine == engine), None)

    @property
    def bf16_ok(self) -> bool | None:
        """True: OpenVINO bf16 draws the same and is faster. None: it was not tried beside fp32."""
        half, full = self.row("openvino bf16"), self.row("openvino fp32")
        if half is None or full is None:
            return None
        return half.same and half.ms_p10 <= FASTER * full.ms_p10

    def failures(self, promised: bool) -> list[str]:
        """Engines outside their bounds. bf16 counts only where it was ``promised``: elsewhere ``auto`` leaves it."""
        return [row.engine for row in self.rows if not row.same and (promised or "bf16" not in row.engine)]

    def table(self) -> str:
        """Text for a person."""
        lines = [
            f"reference {self.reference}, {self.photos} photos, {self.device}; worst photo of each figure",
            f"{'engine':20s} {'max':>4s} {'mean':>7s} {'>2 levels':>10s} {'ink IoU':>8s} "
            f"{'ms p10':>7s} {'p50':>6s} {'p95':>6s}",
        ]
        for row in self.rows:
            d = row.difference
            lines.append(
                f"{row.engine:20s} {d.max:4d} {d.mean:7.4f} {d.off_by_more_than_2:9.4%} {d.ink_iou:8.4f} "
                f"{row.ms_p10:7.1f} {row.ms_p50:6.1f} {row.ms_p95:6.1f}  {'same' if row.same else 'DIFFERS'}"
            )
        lines += [f"{name:20s} passed over: {reason}" for name, reason in self.passed_over.items()]
        return "\n".join(lines)


def verify(
    model: Path,
    photos: Sequence[Inputs],
    *,
    backends: Sequence[str] = DEFAULT,
    checkpoint: Path | None = None,
    threads: int | None = None,
) -> Report:
    """Run every engine over the photos and compare with the reference.

    Args:
        model: an exported ``.onnx`` file, or a checkpoint.
        photos: inputs of the graph, a batch of one each; at least one.
        backends: names as :func:`engines.load` takes them.
        checkpoint: weights for the eager reference of an export; None: ONNX Runtime fp32 is its reference.
        threads: CPU threads of every engine.
    Raises:
        ModelError: the model or checkpoint cannot be used, or they hold different weights.
        EngineError: the reference cannot be had here.
    """
    manifest = describe(model)
    reference = _reference(model, manifest, checkpoint, threads)
    opened = [reference]
    passed_over: dict[str, str] = {}
    try:
        for name in backends:
            engine = _try(model, name, manifest, threads, passed_over)
            if engine is not None and engine.name not in [other.name for other in opened]:
                opened.append(engine)
            elif engine is not None:
                engine.close()
        rows = _rows(opened, photos)
    finally:
        for engine in opened:
            engine.close()
    return Report(
        manifest=manifest,
        reference=reference.name,
        device=opened[-1].device,
        photos=len(photos),
        rows=rows,
        passed_over=passed_over,
    )


def _rows(engines: Sequence[Engine | MatteEngine], photos: Sequence[Inputs]) -> tuple[Row, ...]:
    """Figures of every engine; the first is the reference. They take turns, so that noise hits all alike."""
    found: dict[str, list[Difference]] = {engine.name: [] for engine in engines}
    times: dict[str, list[float]] = {engine.name: [] for engine in engines}
    rounds = -(-MIN_TIMINGS // (TIMED_RUNS * len(photos)))
    for turn in range(rounds):
        for photo in photos:
            wanted = None
            for engine in engines:
                if turn > 0 and engine.name.startswith("torch"):
                    continue  # eager torch is the reference, no candidate, and slow
                drawing = _run(engine, photo)
                wanted = drawing if wanted is None else wanted
                if turn == 0:
                    found[engine.name].append(difference(drawing, wanted))
                times[engine.name] += [_milliseconds(engine, photo) for _ in range(TIMED_RUNS)]
    return tuple(
        Row(
            engine=engine.name,
            difference=worst(found[engine.name]),
            same=_same(engine.name, found[engine.name]),
            **_percentiles(times[engine.name]),
        )
        for engine in engines
    )


def _milliseconds(engine: Engine | MatteEngine, inputs: Inputs) -> float:
    start = time.perf_counter()
    _run(engine, inputs)
    return (time.perf_counter() - start) * 1e3


def _percentiles(ms: list[float]) -> dict[str, float]:
    return {f"ms_p{p}": float(np.percentile(ms, p)) for p in (10, 50, 95)}


def _same(engine: str, differences: list[Difference]) -> bool:
    d = worst(differences)
    if "bf16" in engine:
        return d.mean <= SAME_MEAN and d.ink_iou >= SAME_INK_IOU
    if "fp16" in engine:
        return d.mean <= HALF_MEAN and d.ink_iou >= HALF_INK_IOU
    return d.max <= FP32_MAX


def _reference(model: Path, manifest: Manifest, checkpoint: Path | None, threads: int | None) -> Engine | MatteEngine:
    if checkpoint is None:
        return _load(model, "onnxruntime" if model.suffix == ".onnx" else "torch", manifest, threads)
    if model.suffix != ".onnx":
        raise ModelError(
            f"{checkpoint}: --checkpoint is for exports; {model.name} is a checkpoint and its own reference"
        )
    if manifest.kind != "drawing":
        raise ModelError(f"{checkpoint}: --checkpoint is for drawing models; leave it out for {model.name}")
    return load_reference(checkpoint, model, threads=threads)


def _load(model: Path, backend: str, manifest: Manifest, threads: int | None) -> Engine | MatteEngine:
    if manifest.kind == "matte":
        return load_matte(model, backend, threads=threads, log=_say_nothing)
    return load(model, backend, threads=threads, log=_say_nothing)


def _try(
    model: Path, backend: str, manifest: Manifest, threads: int | None, passed_over: dict[str, str]
) -> Engine | MatteEngine | None:
    """The engine, or None with the reason put into ``passed_over``."""
    try:
        return _load(model, backend, manifest, threads)
    except EngineError as error:
        if backend not in engine_names():
            raise
        passed_over[backend] = str(error)
        return None


def _run(engine: Engine | MatteEngine, inputs: Inputs) -> NDArray[np.uint8]:
    photo = inputs["photo"].astype(np.uint8, copy=False)
    if isinstance(engine, Engine):
        boxes, matte = inputs["boxes"].astype(np.int32, copy=False), inputs["matte"].astype(np.uint8, copy=False)
        return engine.draw(photo, boxes, matte)
    # Of a matte the person is what counts; as ink it is what the figures look at.
    person: NDArray[np.uint8] = 255 - engine.matte(photo)
    return person


def _say_nothing(line: str) -> None:
    """The table names every engine."""
