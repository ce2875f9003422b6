"""An engine for live use that is never without a drawing: what is ready draws, what is better takes over, what breaks
is replaced.

::

    ready (CPU, at once) --when it is built--> better (GPU) --when it breaks--> the spare (CPU), then the next better

It changes between two pictures; a picture at which an engine breaks is drawn again by the spare. Every change is said.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines.building import BackgroundBuilding
from engines.catalogue import DEFAULT, find
from engines.choose import CPU, GPU, auto_order, load
from engines.contract import Engine
from engines.errors import EngineError, EngineLostError, UserError
from engines.manifest import Manifest, read_manifest
from engines.plans import SUFFIX

Open = Callable[[], Engine]
OnSwitch = Callable[[str, str, str], None]
"""Takes the new engine's name, its device, and why it draws now."""

CPU_GMAC = 8.0
"""A heavier model is not drawn on a CPU while it waits for the GPU; the default model is."""
BREAKS = (EngineLostError, RuntimeError, MemoryError, OSError)
"""What an engine raises when it will not draw again. A ValueError is the caller's."""
JOIN_S = 10.0
"""A build that is still going on at the end is waited for no longer."""


class StandbyEngine:
    """An :class:`engines.Engine` of several. Called from one thread at a time; builds in a thread of its own."""

    def __init__(
        self,
        *,
        first: Engine,
        manifest: Manifest,
        better: Sequence[tuple[str, Open]] = (),
        spare: Open | None = None,
        say: Callable[[str], None],
        building: BackgroundBuilding | None = None,
    ) -> None:
        """
        Args:
            first: draws from now on; it is its own spare unless ``spare`` is given.
            manifest: of the model that the user asked for.
            better: (name, what opens it), best first; the first that opens takes over. Opened in a thread.
            spare: opens what draws on when an engine breaks; called when that happens.
            say: takes one line at every change, and for every engine that was passed over.
            building: what ``better`` tells of its builds.
        """
        self.manifest = manifest
        self._say = say
        self._told = building
        self._current: Engine | None = first
        self._spare_engine: Engine | None = first if spare is None else None
        self._open_spare = spare
        self._better = list(better)
        self._next: Engine | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._on_switch: OnSwitch | None = None
        self._switches: list[tuple[str, str, str]] = []
        self._thread: threading.Thread | None = None
        self._build()

    @property
    def name(self) -> str:
        """Of the engine that draws now."""
        return self._drawing().name

    @property
    def device(self) -> str:
        """Of the engine that draws now."""
        return self._drawing().device

    @property
    def building(self) -> bool:
        """A better engine is being built."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def build(self) -> tuple[str, float] | None:
        """The plan that is built now, and the share of it that is done."""
        return None if self._told is None else self._told.now

    def watch(self, on_switch: OnSwitch) -> None:
        """Call this at every change, from the thread that draws; the last change so far is told at once."""
        self._on_switch = on_switch
        for switch in self._switches[-1:]:
            on_switch(*switch)

    def draw(self, photo: NDArray[np.uint8], boxes: NDArray[np.int32], matte: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """As :meth:`engines.contract.DrawingEngine.draw`. Raises what the spare raises when that breaks too."""
        self._take_over()
        engine = self._drawing()
        try:
            return engine.draw(photo, boxes, matte)
        except BREAKS as error:
            self._replace(engine, error)
        return self._drawing().draw(photo, boxes, matte)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            opened = {id(e): e for e in (self._current, self._next, self._spare_engine) if e is not None}
            self._current = self._next = self._spare_engine = None
        for engine in opened.values():
            engine.close()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(JOIN_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _drawing(self) -> Engine:
        engine = self._current
        if engine is None:
            raise ValueError("this engine is closed; load it again")
        return engine

    def _take_over(self) -> None:
        """What was built meanwhile draws from this picture on."""
        with self._lock:
            engine, self._next = self._next, None
        if engine is None:
            return
        before, self._current = self._current, engine
        self._tell(engine, "it is built")
        if before is not None and before is not self._spare_engine:
            before.close()

    def _replace(self, broken: Engine, error: BaseException) -> None:
        """The spare draws from this picture on, and what remains of the better ones is tried."""
        if broken is self._spare_engine:
            raise error
        lines = str(error).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        self._say(f"engine: {broken.name} broke: {reason}")
        if self._spare_engine is None:
            assert self._open_spare is not None
            self._spare_engine = self._open_spare()
        self._current = self._spare_engine
        self._tell(self._current, f"{broken.name} broke: {reason}")
        try:
            broken.close()
        except BREAKS as trouble:  # the GPU may be gone; nothing of it is needed any more
            self._say(f"engine: {broken.name} does not close ({type(trouble).__name__})")
        self._build()

    def _tell(self, engine: Engine, why: str) -> None:
        self._say(f"engine: now {engine.name} on {engine.device} ({why})")
        self._switches = [*self._switches[-1:], (engine.name, engine.device, why)]
        if self._on_switch is not None:
            self._on_switch(engine.name, engine.device, why)

    def _build(self) -> None:
        if self._better and not self.building:
            self._thread = threading.Thread(target=self._open_better, name="engine builder", daemon=True)
            self._thread.start()

    def _open_better(self) -> None:
        while self._better and not self._closed:
            name, opener = self._better.pop(0)
            try:
                engine = opener()
            except UserError as error:
                self._say(f"engine: {name} passed over: {str(error).removeprefix(f'engine {name}: ')}")
                continue
            except Exception as error:  # a thread's edge: the picture must go on, and the reason be seen
                self._say(f"engine: {name} passed over: {type(error).__name__}: {error}")
                continue
            with self._lock:
                if not self._closed:
                    self._next = engine
                    return
            engine.close()


def load_live(
    model: str | Path,
    backend: str = "auto",
    *,
    threads: int | None = None,
    log: Callable[[str], None] | None = None,
    wait: bool = False,
) -> Engine:
    """Open a drawing model for a stream: as :func:`engines.load`, but it does not wait for a GPU's engine.

    With ``auto`` on a machine with a GPU the CPU draws until the GPU's engine is built: the model itself, or the
    default model where it is too heavy for a CPU. A GPU's engine that breaks is replaced, also one asked for by name.

    Args:
        model, backend, threads, log: as :func:`engines.load`.
        wait: for the GPU's engine after all, as a clip must, whose every run is to be the same.
    Raises:
        UserError: as :func:`engines.load`; with ``auto`` only of the engine on the CPU.
    """
    say = log or logging.getLogger("engines").info
    order = auto_order()[0] if backend == "auto" else (backend,)
    gpus = [name for name in order if name.partition("-")[0] in GPU]
    if not gpus:
        return load(model, backend, threads=threads, log=log)
    path = find(model)
    if path.suffix not in (".onnx", SUFFIX):
        return load(model, backend, threads=threads, log=log)
    spare = path
    if path.suffix == SUFFIX or read_manifest(path).gmac > CPU_GMAC:
        spare = find(DEFAULT)

    def open_spare() -> Engine:
        return _load_on_cpu(spare, threads, say)

    if backend != "auto" or wait:
        chosen = load(path, backend, threads=threads, log=log)
        if chosen.name.partition(" ")[0] not in GPU:
            return chosen
        return StandbyEngine(first=chosen, manifest=chosen.manifest, spare=open_spare, say=say)
    manifest = read_manifest(path) if path.suffix == ".onnx" else None
    first, building = open_spare(), BackgroundBuilding(say)
    return StandbyEngine(
        first=first,
        manifest=manifest or first.manifest,
        better=[
            (name, lambda name=name: load(path, name, log=say, building=building))  # type: ignore[misc]
            for name in gpus
        ],
        say=say,
        building=building,
    )


def _load_on_cpu(model: Path, threads: int | None, say: Callable[[str], None]) -> Engine:
    """The first of the CPU's backends that can be used here; EngineError of the first when none can."""
    first: EngineError | None = None
    for name in CPU:
        try:
            return load(model, name, threads=threads, log=say)
        except EngineError as error:
            first = first or error
    assert first is not None
    raise first
