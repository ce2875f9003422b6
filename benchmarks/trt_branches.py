"""TensorRT with the generator's branches side by side: grouped in the graph, or on auxiliary streams of the plan."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import engine as timing
from engines import build
from engines.backends.trt import VARIANTS
from engines.building import Building
from engines.choose import describe
from engines.errors import EngineError, ModelError

STREAMS = 6
"""As many as there are branches beside the global network."""


def measure(
    model: Path,
    backends: Sequence[str],
    batches: Sequence[int],
    *,
    folder: Path,
    seconds: float,
    left: Callable[[], float],
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows as :func:`benchmarks.engine.measure` gives them, of models named ``NAME-grouped`` and ``NAME-streams``; and
    what was passed over, with the reason.

    Args:
        model: an export with its checkpoint beside it.
        backends: names with their precision; those of TensorRT in fp16 are taken.
        batches: sizes.
        folder: for what is made on the way.
        seconds: of timed draws for each size.
        left: seconds until nothing new is begun.
    """
    rows: list[dict[str, Any]] = []
    passed: dict[str, str] = {}
    for backend in backends:
        name, _, precision = backend.partition("-")
        if name not in VARIANTS or precision not in ("", "fp16"):
            continue
        for way, make in (("grouped", _grouped), ("streams", _streams)):
            what = f"{model.stem}-{way}, {backend}"
            if left() == 0:
                passed[what] = "out of time"
                continue
            try:
                made = make(model, name, folder)
                rows += timing.measure(made, backend, batches, seconds=seconds, peaks={})
            except (EngineError, ModelError, RuntimeError, OSError) as error:  # what stands in the report is not lost
                passed[what] = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return rows, passed


def note(report: dict[str, Any], models: Sequence[Path], backends: Sequence[str], left: Callable[[], float]) -> None:
    """Models whose checkpoints are there, into a report of :mod:`benchmarks.gpu_check`."""
    for model in [one for one in models if one.suffix == ".onnx" and one.with_suffix(".safetensors").is_file()]:
        with tempfile.TemporaryDirectory() as folder:
            rows, passed = measure(model, backends, (1, 16), folder=Path(folder), seconds=0.5, left=left)
        report["rows"] += rows
        known = describe(model)
        report["models"] |= {row["model"]: {"preset": known.preset, "gmac": known.gmac} for row in rows}
        report["passed_over"] |= passed


def _grouped(model: Path, _backend: str, folder: Path) -> Path:
    from engines.export import export_drawing

    out = folder / f"{model.stem}-grouped.onnx"
    if not out.is_file():
        export_drawing(model.with_suffix(".safetensors"), out, branches="grouped")
    return out


def _streams(model: Path, backend: str, folder: Path) -> Path:
    out = folder / backend / f"{model.stem}-streams.plan"
    out.parent.mkdir(exist_ok=True)
    asked = build._parser().parse_args(
        [str(model), "--backend", backend, "--aux-streams", str(STREAMS), "--out", str(out)]
    )
    build.build_plan(asked, Building(lambda _line: None))
    return out
