"""Does every runtime draw the same, and how fast? ``python -m engines.verify MODEL --photos DIR``.

The reference is eager torch where ``--checkpoint`` gives the weights that the model was exported from, else ONNX
Runtime in fp32. fp32 engines must stay within 1 grey level of it. OpenVINO in bf16 counts as drawing the same when on
every photo the mean difference is at most 0.5 grey level and the ink IoU at least 0.985; ``--record`` writes into the
model whether that holds and bf16 is faster too, which is what ``auto`` goes by.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.catalogue import find
from engines.choose import available, engine_names, load, load_matte
from engines.compare import FASTER, FP32_MAX, SAME_INK_IOU, SAME_MEAN, Difference, difference, worst
from engines.contract import Engine, MatteEngine
from engines.errors import EngineError, ModelError, UserError
from engines.manifest import Manifest, read_manifest, write_manifest
from engines.samples import read_photos, synthetic

Inputs = dict[str, NDArray[np.generic]]

DEFAULT = ("openvino-fp32", "openvino-bf16", "onnxruntime")
TIMED_RUNS = 3
"""Timed draws of a photo in one go, after one that is not timed: as in a live stream, other work comes between."""
MIN_TIMINGS = 45


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
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
            f"{'engine':20s} {'max':>4s} {'mean':>7s} {'>2 levels':>10s} {'ink IoU':>8s} {'ms p10':>7s} {'p50':>6s} {'p95':>6s}",
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
        model: an exported ``.onnx`` file.
        photos: inputs of the graph, a batch of one each; at least one.
        backends: names as :func:`engines.load` takes them.
        checkpoint: weights for the eager reference; None: ONNX Runtime fp32 is the reference.
        threads: CPU threads of every engine.
    Raises:
        ModelError: the model or checkpoint cannot be used, or they hold different weights.
        EngineError: the reference cannot be had here.
    """
    manifest = read_manifest(model)
    reference = _reference(model, manifest, checkpoint, threads)
    opened, passed_over = [reference], {}
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
    return d.max <= FP32_MAX


def _reference(model: Path, manifest: Manifest, checkpoint: Path | None, threads: int | None) -> Engine | MatteEngine:
    if checkpoint is None:
        return _load(model, "onnxruntime", manifest, threads)
    if manifest.kind != "drawing":
        raise ModelError(f"{checkpoint}: --checkpoint is for drawing models; leave it out for {model.name}")
    engine = load(checkpoint, "torch", threads=threads, log=_say_nothing)
    if engine.manifest.weights_sha256 != manifest.weights_sha256:
        raise ModelError(f"{checkpoint}: expected the weights that {model.name} was exported from, got others")
    return engine


def _load(model: Path, backend: str, manifest: Manifest, threads: int | None) -> Engine | MatteEngine:
    if manifest.kind == "matte":
        return load_matte(model, backend, threads=threads, log=_say_nothing)
    return load(model, backend, threads=threads, log=_say_nothing)


def _try(
    model: Path, backend: str, manifest: Manifest, threads: int | None, passed_over: dict[str, str]
) -> Engine | MatteEngine | None:
    """The engine, or None with the reason put into ``passed_over``."""
    if reason := available().get(backend.split("-")[0]):
        passed_over[backend] = reason
        return None
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engines.verify", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="an exported .onnx file, or the name of one in models/")
    parser.add_argument("--backends", nargs="+", metavar="NAME", help=f"default: {' '.join(DEFAULT)}")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="aligned portraits; default: synthetic pictures")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="compare with eager torch on these weights")
    parser.add_argument("--threads", type=int, help="CPU threads; default: the cores this process may use, at most 8")
    parser.add_argument("--record", action="store_true", help="write into the model whether bf16 may be used")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: all within bounds; 1: an engine is outside them; 2: one line says what is wrong."""
    args = _parser().parse_args(argv)
    try:
        if args.record and args.photos is None:
            raise UserError("--record: expected --photos DIR as well; synthetic pictures say too little about drawings")
        model = find(args.model)
        manifest = read_manifest(model)
        photos = [inputs for _, inputs in read_photos(args.photos)] if args.photos else None
        report = verify(
            model,
            photos or [synthetic(manifest.kind, batch=1, seed=seed) for seed in range(4)],
            backends=args.backends or DEFAULT,
            checkpoint=args.checkpoint,
            threads=args.threads,
        )
        print(report.table())
        if args.record:
            print(_record(model, report))
    except (UserError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    asked = any("bf16" in name for name in args.backends or ())
    failed = report.failures(promised=asked or (manifest.bf16_ok is True and not args.record))
    if failed:
        print(f"outside the bounds: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _record(model: Path, report: Report) -> str:
    if report.bf16_ok is None:
        return "bf16_ok not recorded: openvino-fp32 and openvino-bf16 did not both run here"
    write_manifest(model, dataclasses.replace(report.manifest, bf16_ok=report.bf16_ok))
    verdict = "faster and the same drawing" if report.bf16_ok else "not faster, or another drawing"
    return f"recorded bf16_ok = {str(report.bf16_ok).lower()} ({verdict})"


if __name__ == "__main__":
    sys.exit(main())
