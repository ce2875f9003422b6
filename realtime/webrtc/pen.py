"""The models that draw for all peers: each is loaded when somebody first asks for its style, then shared."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engines import Engine, Manifest, StandbyEngine
from engines.batcher import Batcher, Seat
from realtime.core import ConfigError

Bytes = NDArray[np.uint8]
CHANGES = 16
"""Changes of engine that are remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """A model that a peer may choose."""

    name: str
    text: str
    """What a person reads."""


class Styles:
    """Loads engines by name; every method may be called from any thread."""

    def __init__(self, *, styles: Sequence[Style], load: Callable[[str], Engine], first: str) -> None:
        """
        Args:
            styles: those that may be chosen; ``first`` is one of them.
            load: opens the engine of a name; may take a second. It may be one that changes (engines.StandbyEngine).
            first: loaded at once, so that the first peer does not wait.
        """
        self.styles = tuple(styles)
        self.first = first
        self._load = load
        self._lock = threading.Lock()
        self._opened = ExitStack()
        self._batchers: dict[str, Batcher] = {}
        self._changes: deque[dict[str, str]] = deque(maxlen=CHANGES)
        self._batcher(first)

    def pen(self) -> Pen:
        return Pen(styles=self)

    def seat(self, name: str) -> Seat:
        """Raises ConfigError for a name that is not among the styles."""
        if name not in [style.name for style in self.styles]:
            raise ConfigError(f"style: expected one of {', '.join(style.name for style in self.styles)}; got {name!r}")
        return self._batcher(name).seat()

    def manifest(self, name: str) -> Manifest:
        return self._batcher(name).engine.manifest

    @property
    def loads(self) -> dict[str, tuple[int, int]]:
        """Batches and portraits drawn, by style."""
        return {name: (one.batches, one.portraits) for name, one in list(self._batchers.items())}

    @property
    def busy_s(self) -> float:
        """Seconds that the engines have been drawing, all together."""
        return sum(one.busy_s for one in list(self._batchers.values()))

    @property
    def changes(self) -> list[dict[str, str]]:
        """The last changes of engine, of all styles: style, engine and device from then on, why."""
        return list(self._changes)

    def close(self) -> None:
        """May be called twice."""
        with self._lock:
            self._opened.close()

    def _batcher(self, name: str) -> Batcher:
        # What is loaded is had without the lock: the event loop must not wait for another peer's model.
        if (ready := self._batchers.get(name)) is not None:
            return ready
        with self._lock:
            if name not in self._batchers:
                engine = self._opened.enter_context(self._load(name))
                if isinstance(engine, StandbyEngine):
                    engine.watch(lambda *told: self._changed(name, *told))
                batcher = Batcher(engine=engine)
                self._opened.callback(batcher.close)
                self._batchers[name] = batcher
            return self._batchers[name]

    def _changed(self, style: str, engine: str, device: str, why: str) -> None:
        self._changes.append({"style": style, "engine": engine, "device": device, "why": why})


class Pen:
    """An engine for one peer, whose style may change while it draws."""

    def __init__(self, *, styles: Styles) -> None:
        self._styles = styles
        self._lock = threading.Lock()
        self.style = styles.first
        self._seat = styles.seat(self.style)

    @property
    def name(self) -> str:
        return self._seat.name

    @property
    def device(self) -> str:
        return self._seat.device

    @property
    def manifest(self) -> Manifest:
        return self._seat.manifest

    def choose(self, style: str) -> None:
        """Draw with another model from the next frame on. May take a second. Raises ConfigError."""
        seat = self._styles.seat(style)
        with self._lock:  # not while a drawing is under way
            self._seat.close()
            self._seat, self.style = seat, style

    def draw(self, photo: Bytes, boxes: NDArray[np.int32], matte: Bytes) -> Bytes:
        with self._lock:
            return self._seat.draw(photo, boxes, matte)

    def close(self) -> None:
        self._seat.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
