"""Which runtime runs a model: asked for by name, or the first of a stated order; always said, never silent."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from engines.building import Building
from engines.catalogue import find
from engines.contract import DrawingEngine, Engine, MatteEngine, MattingEngine, warm_up
from engines.errors import EngineError, ModelError
from engines.gpu import idle_card, no_gpu
from engines.manifest import Kind, Manifest, read_manifest

CPU = ("openvino", "onnxruntime", "torch")
"""The order that ``auto`` follows: OpenVINO is the faster on every CPU measured, torch is there for checkpoints."""
GPU = ("tensorrt", "tensorrt_rtx", "torch_tensorrt", "inductor")
"""Drawing models on an NVIDIA GPU: ``auto`` asks these first where there is one. The last two compile torch."""
BACKENDS = (*CPU, *GPU)

Log = Callable[[str], None]

_MODULES = {
    "openvino": "ov",
    "onnxruntime": "ort",
    "torch": "pytorch",
    "tensorrt": "trt",
    "tensorrt_rtx": "trt",
    "torch_tensorrt": "pytorch",
    "inductor": "pytorch",
}
_ADVICE = {
    "openvino": "it needs an export (python -m engines.export)",
    "onnxruntime": "it needs an export (python -m engines.export)",
    "torch": "it needs a checkpoint",
    "tensorrt": "it needs an export (python -m engines.export) or a plan (python -m engines.build)",
    "tensorrt_rtx": "it needs an export (python -m engines.export) or a plan (python -m engines.build)",
    "torch_tensorrt": "it needs a checkpoint, or an export with its checkpoint beside it",
    "inductor": "it needs a checkpoint, or an export with its checkpoint beside it",
}


def available() -> dict[str, str | None]:
    """Every backend: None when it can be used here, else why not and what to install. Imports the libraries."""
    return {name: _module(name).probe() for name in BACKENDS}


def engine_names() -> list[str]:
    """Every name that ``load`` takes as ``backend``."""
    names = ["auto"]
    for name in BACKENDS:
        precisions = _module(name).PRECISIONS
        names += [name, *(f"{name}-{p}" for p in precisions if len(precisions) > 1)]
    return names


def load(
    model: str | Path,
    backend: str = "auto",
    *,
    threads: int | None = None,
    log: Log | None = None,
    building: Building | None = None,
) -> Engine:
    """Open a drawing model and draw one blank picture with it.

    Args:
        model: an exported ``.onnx`` file, a checkpoint (torch only), or the name of a model in ``models/``.
        backend: one of :func:`engine_names`.
        threads: CPU threads; None takes the cores this process may use, at most 8.
        log: takes the one line that says what runs where and what was passed over; None: the ``engines`` logger.
        building: told of a plan's build; None: a bar on a terminal, lines in ``log`` elsewhere.
    Raises:
        EngineError: no such backend, or it cannot be used here; tells what to install.
        ModelError: the model is missing, corrupt or of another kind.
        ValueError: fewer than one thread.
    """
    return cast(Engine, _open(model, backend, kind="drawing", threads=threads, log=log, building=building))


def describe(path: Path) -> Manifest:
    """What a model says of itself: an export, or a checkpoint, which needs torch.

    Raises:
        EngineError: torch is not installed.
        ModelError: the model is missing, corrupt or of another kind.
    """
    if path.suffix == ".onnx":
        return read_manifest(path)
    if not _module("torch").reads(path):
        raise ModelError(f"model {path}: expected an export (.onnx) or a checkpoint (.safetensors), got {path.name}")
    return cast(Manifest, _module("torch").describe(path))


def auto_order(kind: Kind = "drawing") -> tuple[tuple[str, ...], str]:
    """(the backends that ``auto`` tries, in order; why the GPU's are not among them where that needs saying).

    Mattes stay on the CPU: they are found in another thread, in the time that the GPU draws.
    """
    if kind != "drawing":
        return CPU, ""
    reason = no_gpu()
    if reason is None:
        return (*GPU, *CPU), ""
    card = idle_card()
    return CPU, f"the {card} passed over: {reason}" if card else ""


def load_matte(
    model: str | Path = "matte", backend: str = "auto", *, threads: int | None = None, log: Log | None = None
) -> MatteEngine:
    """Open a person-matte model; arguments and errors as in :func:`load`."""
    return cast(MatteEngine, _open(model, backend, kind="matte", threads=threads, log=log))


def load_reference(checkpoint: str | Path, model: Path, *, threads: int | None = None) -> Engine:
    """Eager torch with the very weights that an exported drawing model holds: what the export is measured against.

    Args:
        checkpoint: what ``model`` was exported from.
        model: the exported ``.onnx`` file.
        threads: as in :func:`load`.
    Raises:
        EngineError: torch is not installed.
        ModelError: a file cannot be used, or they hold different weights.
    """
    module, manifest = _module("torch"), read_manifest(model)
    path = find(checkpoint, suffix=".safetensors")
    session = module.open_reference(path, model=model, manifest=manifest, threads=threads)
    engine = DrawingEngine(session=session, manifest=manifest)
    warm_up(engine)
    return engine


def _open(
    model: str | Path,
    backend: str,
    *,
    kind: Kind,
    threads: int | None,
    log: Log | None,
    building: Building | None = None,
) -> DrawingEngine | MattingEngine:
    wanted, precision = _parse(backend)
    path = find(model, suffix=".safetensors" if wanted == "torch" else ".onnx")
    manifest = read_manifest(path) if path.suffix == ".onnx" else None
    if manifest is not None and manifest.kind != kind:
        raise ModelError(
            f"model {path}: expected a {kind} model, got a {manifest.kind} model; "
            f"choose one that --list-models shows as {kind}"
        )
    say = log or logging.getLogger("engines").info
    if wanted == "torch" and kind == "drawing" and manifest is not None:
        reference = load_reference(_checkpoint_beside(path), path, threads=threads)
        say(f"engine: {reference.name} on {reference.device}, model {path.name} (asked for torch; its checkpoint)")
        return cast(DrawingEngine, reference)
    told = building or (None if log is None else Building(log))
    order, idle = ((wanted,), "") if wanted else auto_order(kind)
    passed: list[str] = [idle] if idle else []
    failures: list[EngineError | ModelError] = []
    for name in order:
        try:
            engine, note = _start(name, path, precision, kind=kind, manifest=manifest, threads=threads, building=told)
        except (EngineError, ModelError) as error:
            if wanted:
                raise
            failures.append(error)
            passed.append(f"{name} passed over: {str(error).split(': ', 1)[-1]}")
            continue
        notes = "; ".join([f"asked for {backend}" if wanted else "auto", *filter(None, [*passed, note])])
        say(f"engine: {engine.name} on {engine.device}, model {path.name} ({notes})")
        return engine
    # What is wrong with the model concerns the user more than what is not installed.
    for failure in failures:
        if isinstance(failure, ModelError):
            raise failure
    raise EngineError(f"model {path}: no engine can run it; " + "; ".join(passed))


def _start(
    name: str,
    path: Path,
    precision: str | None,
    *,
    kind: Kind,
    manifest: Manifest | None,
    threads: int | None,
    building: Building | None,
) -> tuple[DrawingEngine | MattingEngine, str]:
    """One backend, opened and warmed up, and what is to be said about its precision."""
    module = _module(name)
    if not module.reads(path):
        raise EngineError(f"engine {name}: cannot run {path.suffix or 'a folder'}, {_ADVICE[name]}")
    if reason := module.probe():
        raise EngineError(f"engine {name}: {reason}")
    known = manifest if manifest is not None else module.describe(path)
    chosen, note = (precision, "") if precision else module.choose(known)
    extra = {"building": building} if getattr(module, "BUILDS", False) else {}
    session = module.open_session(path, kind=kind, precision=chosen, threads=threads, **extra)
    make = DrawingEngine if kind == "drawing" else MattingEngine
    engine = make(session=session, manifest=known)
    try:
        warm_up(engine)
    except BaseException:
        engine.close()
        raise
    return engine, note


def _parse(backend: str) -> tuple[str | None, str | None]:
    """(backend or None for auto, precision or None for the backend's choice)."""
    names = engine_names()
    if backend not in names:
        raise EngineError(f"engine {backend!r}: no such engine; expected one of {', '.join(names)}")
    if backend == "auto":
        return None, None
    name, _, precision = backend.partition("-")
    return name, precision or None


def _checkpoint_beside(path: Path) -> Path:
    beside = path.with_suffix(".safetensors")
    if not beside.is_file():
        raise ModelError(
            f"model {path}: torch runs checkpoints, and there is no {beside.name} beside it; give the checkpoint itself"
        )
    return beside


def _module(name: str) -> Any:
    """The module of a backend, or its part of one that serves several."""
    module = importlib.import_module(f"engines.backends.{_MODULES[name]}")
    return getattr(module, "VARIANTS", {}).get(name, module)
