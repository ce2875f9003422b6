"""From a graph to a plan, by TensorRT or TensorRT-RTX: the same calls, the library is handed in.

Networks are strongly typed: what is computed in which type stands in the graph (:mod:`engines.precision`), so nothing
is rounded that was not meant to be. TensorRT-RTX builds without a GPU, for any it knows; TensorRT needs the one that
will run the plan.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from engines.building import Progress
from engines.contract import SHAPES
from engines.errors import EngineError, ModelError
from engines.plans import PORTABLE

LINES = 64
"""Lines of the library's log that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer of a parsed network, before the builder fuses it with others."""

    name: str
    kind: str
    """Such as CONVOLUTION, CAST."""
    takes: tuple[str, ...]
    """Types of its inputs, such as HALF, FLOAT, UINT8; empty ones are left out."""
    gives: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    blob: bytes
    layers: tuple[Layer, ...]
    warnings: tuple[str, ...]
    """What the library warned of, one line each."""


def build(
    library: Any,
    model: bytes,
    *,
    batch: int,
    compute_capability: str | None = None,
    tf32: bool = False,
    aux_streams: int = 0,
    progress: Progress | None = None,
    timing: bytes | None = None,
    keep_timing: Callable[[bytes], None] | None = None,
) -> Built:
    """Build a plan.

    Args:
        library: the module ``tensorrt`` or ``tensorrt_rtx``.
        model: a serialised graph whose body is in the wanted precision.
        batch: the most pictures in one run; any number from 1 is served, 1 is what it is tuned for.
        compute_capability: such as ``8.9``; :data:`engines.plans.PORTABLE`: all of the library's default set; None:
            whatever the library takes of itself, with TensorRT this machine's GPU.
        tf32: fp32 products may be rounded to 10 bits first.
        aux_streams: streams beside the main one, on which branches may run.
        progress: called as the build goes on, by libraries that tell.
        timing: an earlier build's timings, where the library keeps some.
        keep_timing: takes the timings of this build.
    Raises:
        EngineError: the library cannot build here, or does not know the compute capability.
        ModelError: the library cannot parse or build the graph.
    """
    log = Log.of(library)
    network, parser = parse(library, model, log)
    builder = log.builder
    config = builder.create_builder_config()
    _set_target(library, config, compute_capability)
    (config.set_flag if tf32 else config.clear_flag)(library.BuilderFlag.TF32)
    config.profiling_verbosity = library.ProfilingVerbosity.DETAILED
    config.max_aux_streams = aux_streams
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        name = network.get_input(i).name
        one, most = ((n, *SHAPES[name]) for n in (1, batch))
        profile.set_shape(name, one, one, most)
    config.add_optimization_profile(profile)
    cache = None
    if keep_timing is not None:
        cache = config.create_timing_cache(timing or b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    if progress is not None and hasattr(library, "IProgressMonitor"):
        config.progress_monitor = _monitor(library, progress)
    blob = builder.build_serialized_network(network, config)
    if blob is None:
        raise ModelError(f"{library.__name__} cannot build this graph: {log.heard.why()}")
    if cache is not None and keep_timing is not None:
        keep_timing(bytes(config.get_timing_cache().serialize()))
    layers = describe(network)
    del parser  # it owns what the network's weights lie in
    return Built(blob=bytes(blob), layers=layers, warnings=tuple(log.heard.warnings))


def parse(library: Any, model: bytes, log: Log) -> tuple[Any, Any]:
    """(network, the parser that must outlive it).

    Raises:
        EngineError: the library finds no GPU and needs one.
        ModelError: an operator is not supported; names it.
    """
    # From version 11 on, every network is strongly typed, with the flag or without.
    typed = getattr(library.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = log.builder.create_network(0 if typed is None else 1 << int(typed))
    parser = library.OnnxParser(network, listen(library)[0])
    if not parser.parse(model):
        found = [parser.get_error(i) for i in range(parser.num_errors)]
        what = "; ".join(f"{e.node_operator()} {e.node_name()}: {_line(e.desc())}" for e in found[:3])
        raise ModelError(f"{library.__name__} cannot parse this graph: {what or log.heard.why()}")
    return network, parser


def describe(network: Any) -> tuple[Layer, ...]:
    """Every layer of a parsed network with the types that it takes and gives."""
    layers = []
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        inputs = [layer.get_input(at) for at in range(layer.num_inputs)]
        layers.append(
            Layer(
                name=layer.name,
                kind=layer.type.name,
                takes=tuple(tensor.dtype.name for tensor in inputs if tensor is not None),
                gives=tuple(layer.get_output(at).dtype.name for at in range(layer.num_outputs)),
            )
        )
    return tuple(layers)


def summary(layers: Sequence[Layer]) -> str:
    """One line: how many layers, what the convolutions compute in, how many casts between types."""
    heavy = [layer for layer in layers if layer.kind in ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY")]
    types = sorted({layer.gives[0].lower() for layer in heavy})
    casts = sum(layer.kind == "CAST" and layer.takes != layer.gives for layer in layers)
    return f"{len(layers)} layers, {len(heavy)} convolutions and products in {', '.join(types)}, {casts} casts"


def _set_target(library: Any, config: Any, wanted: str | None) -> None:
    if wanted is None or wanted == PORTABLE:
        return
    known = getattr(library, "ComputeCapability", None)
    if known is None:
        raise EngineError(f"{library.__name__} builds for this machine's GPU alone; leave out the compute capability")
    major, _, minor = wanted.partition(".")
    target = known.__members__.get(f"SM{major}{minor}")
    if target is None:
        names = [name[2:] for name in known.__members__ if name.startswith("SM")]
        told = ", ".join(f"{name[:-1]}.{name[-1]}" for name in names)
        raise EngineError(f"compute capability {wanted}: expected one that {library.__name__} builds for: {told}")
    config.num_compute_capabilities = 1
    config.set_compute_capability(target, 0)


class Heard:
    """The last lines that the library said since this was made."""

    def __init__(self) -> None:
        self.warnings: deque[str] = deque(maxlen=LINES)
        self.errors: deque[str] = deque(maxlen=LINES)

    def why(self) -> str:
        """The last error: the reason that a user is told."""
        return self.errors[-1] if self.errors else "it does not say why"


class Log:
    """A builder, and what the library says while it is used."""

    def __init__(self, builder: Any, heard: Heard) -> None:
        self.builder = builder
        self.heard = heard

    @classmethod
    def of(cls, library: Any) -> Log:
        """Raises EngineError when the library does not start."""
        logger, heard = listen(library)
        try:
            builder = library.Builder(logger)
        except (TypeError, RuntimeError) as error:  # what pybind makes of a null pointer
            reason = heard.errors[-1] if heard.errors else _line(str(error))
            raise EngineError(f"{library.__name__} does not start ({reason})") from None
        return cls(builder, heard)


def listen(library: Any) -> tuple[Any, Heard]:
    """(the library's logger, what it says from now on).

    A library takes one logger for the whole process, and passes over every other.
    """
    if library not in _LOGGERS:
        _LOGGERS[library] = _make_logger(library)
    logger, listeners = _LOGGERS[library]
    heard = Heard()
    listeners.add(heard)
    return logger, heard


def _make_logger(library: Any) -> tuple[Any, WeakSet[Heard]]:
    listeners: WeakSet[Heard] = WeakSet()
    severity = library.ILogger.Severity

    class Broadcast(library.ILogger):  # type: ignore[misc]
        def log(self, level: Any, message: str) -> None:
            for heard in list(listeners):
                if level in (severity.ERROR, severity.INTERNAL_ERROR):
                    heard.errors.append(_line(message))
                elif level == severity.WARNING:
                    heard.warnings.append(_line(message))

    return Broadcast(), listeners


_LOGGERS: WeakKeyDictionary[Any, tuple[Any, WeakSet[Heard]]] = WeakKeyDictionary()


class Phases:
    """From a library's phases within phases, each of so many steps, to the share of the whole that is done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._lock = threading.Lock()  # a library may tell from several threads
        self._open: dict[str, tuple[str | None, int, int]] = {}
        """Phase -> the one around it, its steps, those that are done."""
        self._told = 0.0

    def start(self, name: str, parent: str | None, steps: int) -> None:
        with self._lock:
            self._open.setdefault(name, (parent, max(steps, 1), 0))

    def step(self, name: str, step: int) -> None:
        """``step`` counts from 0."""
        with self._lock:
            if name in self._open:
                parent, steps, _ = self._open[name]
                self._open[name] = parent, steps, step + 1
            self._tell(max((self._share(top) for top, (parent, *_) in self._open.items() if parent is None), default=0))

    def finish(self, name: str) -> None:
        with self._lock:
            parent = self._open.pop(name, ("", 1, 0))[0]
            if parent is None:
                self._tell(1.0)

    def _share(self, name: str) -> float:
        _, steps, done = self._open[name]
        within = (self._share(inner) for inner, (parent, *_) in self._open.items() if parent == name)
        return min(1.0, (done + max(within, default=0.0)) / steps)

    def _tell(self, share: float) -> None:
        if share > self._told:  # between a phase's end and the step that it was, nothing goes back
            self._told = share
            self._progress(share)


def _monitor(library: Any, progress: Progress) -> Any:
    phases = Phases(progress)

    class Monitor(library.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            phases.start(name, parent, steps)

        def step_complete(self, name: str, step: int) -> bool:
            phases.step(name, step)
            return True

        def phase_finish(self, name: str) -> None:
            phases.finish(name)

    return Monitor()


def _line(text: str) -> str:
    return " ".join(text.split())[:300]
