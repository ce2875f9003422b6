"""What an engine is, and the checks at its door. numpy only.

An exported graph takes and gives whole pictures, so a backend has one thing to offer: a :class:`Session` that runs
named arrays through the graph. :class:`DrawingEngine` and :class:`MattingEngine` put the checks around it, the same
for every backend.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import PART_SIZES, SIZE, TEMPLATE
from apdgan.alignment import boxes as part_boxes
from engines.errors import ModelError
from engines.manifest import Kind, Manifest

INPUTS: Mapping[Kind, tuple[str, ...]] = {"drawing": ("photo", "boxes", "matte"), "matte": ("photo",)}
"""Names of the graph's inputs, in order."""
SHAPES: Mapping[str, tuple[int, ...]] = {"photo": (SIZE, SIZE, 3), "boxes": (4, 2), "matte": (SIZE, SIZE)}
"""Shape of one item of each input."""
OUTPUT: Mapping[Kind, str] = {"drawing": "drawing", "matte": "matte"}
"""Name of the graph's one output."""
BLANK_BOXES: NDArray[np.int32] = part_boxes(TEMPLATE)[None]
"""(1, 4, 2) int32: the part boxes of a face that lies exactly on the template; used to warm up."""

_FURTHEST = SIZE - np.array(PART_SIZES, dtype=np.int32)
MAX_DEFAULT_THREADS = 8
"""A 2.5 GMAC graph gains nothing from more, and the tracker needs cores too."""


class Session(Protocol):
    """A graph opened by one backend. Called from one thread at a time."""

    @property
    def name(self) -> str: ...
    @property
    def device(self) -> str: ...
    def run(self, arrays: Mapping[str, NDArray[np.generic]]) -> NDArray[np.uint8]: ...
    def close(self) -> None: ...


@runtime_checkable
class Engine(Protocol):
    """Draws aligned portraits. Called from one thread at a time; a context manager; close() is idempotent."""

    @property
    def name(self) -> str:
        """Backend and precision, for example ``openvino bf16``."""

    @property
    def device(self) -> str:
        """What it runs on, in words for a user."""

    @property
    def manifest(self) -> Manifest: ...
    def draw(
        self, photo: NDArray[np.uint8], boxes: NDArray[np.int32], matte: NDArray[np.uint8]
    ) -> NDArray[np.uint8]: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class MatteEngine(Protocol):
    """Finds the person in aligned squares. Otherwise as :class:`Engine`."""

    @property
    def name(self) -> str: ...
    @property
    def device(self) -> str: ...
    @property
    def manifest(self) -> Manifest: ...
    def matte(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTime:
    """One layer or kernel, as its runtime names it."""

    name: str
    ms: float
    """In one run."""
    calls: float = 1.0
    """In one run."""
    what: str = ""
    """Its kind and kernel, where that is told."""


class _Opened:
    """A session with its manifest; what both kinds of engine share."""

    def __init__(self, *, session: Session, manifest: Manifest) -> None:
        self._session: Session | None = session
        self.name = session.name
        self.device = session.device
        self.manifest = manifest

    def _run(self, arrays: Mapping[str, NDArray[np.generic]]) -> NDArray[np.uint8]:
        if self._session is None:
            raise ValueError(f"engine {self.name!r} is closed; load it again")
        return self._session.run(arrays)

    def gpu_ms(self, batch: int) -> float | None:
        """Milliseconds of one run by the GPU's own clock, of a size that has been drawn; None where there is no GPU."""
        timer = getattr(self._session, "gpu_ms", None)
        return None if timer is None else timer(batch)

    def layers(self, batch: int, draws: int = 10) -> list[LayerTime] | None:
        """Where the time of one run goes, slowest first, over ``draws`` runs; None where the runtime does not tell.

        A profiler slows the runs down: shares are of worth, their sum is no draw time.
        """
        teller = getattr(self._session, "layers", None)
        return None if teller is None else sorted(teller(batch, draws), key=lambda one: -one.ms)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class DrawingEngine(_Opened):
    """An :class:`Engine` around any session."""

    def draw(self, photo: NDArray[np.uint8], boxes: NDArray[np.int32], matte: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Draw B portraits; each is drawn as if it were alone.

        Args:
            photo: (B, 512, 512, 3) uint8 RGB, aligned; B >= 1.
            boxes: (B, 4, 2) int32, top-left x, y of left eye, right eye, nose, mouth (:func:`apdgan.alignment.boxes`).
            matte: (B, 512, 512) uint8, 255 = person.
        Returns:
            (B, 512, 512) uint8, 0 = ink, 255 = paper; a fresh array.
        Raises:
            ValueError: another dtype or shape, a box that leaves the square, or the engine is closed.
        """
        check_photo(photo)
        batch = len(photo)
        _check("boxes", boxes, np.int32, (batch, 4, 2))
        _check("matte", matte, np.uint8, (batch, SIZE, SIZE))
        if (boxes < 0).any() or (boxes > _FURTHEST).any():
            raise ValueError("boxes: expected part boxes inside the 512 square; make them with apdgan.alignment.boxes")
        return self._run({"photo": photo, "boxes": boxes, "matte": matte})


class MattingEngine(_Opened):
    """A :class:`MatteEngine` around any session."""

    def matte(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Person matte of B aligned squares.

        Args:
            photo: (B, 512, 512, 3) uint8 RGB; B >= 1.
        Returns:
            (B, 512, 512) uint8, 255 = person; a fresh array.
        Raises:
            ValueError: another dtype or shape, or the engine is closed.
        """
        check_photo(photo)
        return self._run({"photo": photo})


def check_photo(photo: NDArray[np.uint8]) -> None:
    """(B, 512, 512, 3) uint8 with B >= 1, or ValueError."""
    batch = len(photo) if isinstance(photo, np.ndarray) and photo.ndim == 4 else 1
    _check("photo", photo, np.uint8, (max(batch, 1), SIZE, SIZE, 3))


def one_by_one(
    run: Callable[[dict[str, NDArray[np.generic]]], NDArray[np.uint8]], arrays: Mapping[str, NDArray[np.generic]]
) -> NDArray[np.uint8]:
    """Run a batch as single pictures, for runtimes on the CPU, where a batch gains nothing.

    Measured with the lite graph on 2 cores, three pictures: OpenVINO fp32 142 ms as one batch of a dynamic graph, 50 ms
    as three runs of a graph compiled for one; ONNX Runtime 120 and 80 ms. Graphs compiled for a fixed batch of 2 or 5
    gain nothing either: 22.2 ms of processor time a picture instead of 22.8 in OpenVINO bf16, nor do two streams (26.3
    instead of 25.0). And a second face costs no compiling.
    """
    photo = arrays["photo"]
    out = np.empty((len(photo), SIZE, SIZE), dtype=np.uint8)
    for i in range(len(photo)):
        single = run({name: np.ascontiguousarray(array[i : i + 1]) for name, array in arrays.items()})
        if single.dtype != np.uint8 or single.shape != (1, SIZE, SIZE):
            raise ModelError(
                f"the graph's output: expected uint8 (1, {SIZE}, {SIZE}), got {single.dtype} {single.shape}; "
                "export the model again"
            )
        out[i] = single[0]
    return out


def warm_up(engine: Engine | MatteEngine) -> None:
    """One blank picture: the first real one is not the slow one, and a graph that does not run is found here."""
    photo = np.full((1, SIZE, SIZE, 3), 255, dtype=np.uint8)
    if isinstance(engine, Engine):
        engine.draw(photo, BLANK_BOXES, np.full((1, SIZE, SIZE), 255, dtype=np.uint8))
    else:
        engine.matte(photo)


def usable_threads(threads: int | None) -> int:
    """The number asked for, or the cores this process may use, at most ``MAX_DEFAULT_THREADS``.

    Raises:
        ValueError: fewer than one thread.
    """
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads: expected 1 or more, got {threads}")
        return threads
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(mine, MAX_DEFAULT_THREADS)


def _check(name: str, array: NDArray[np.generic], dtype: type[np.generic], shape: tuple[int, ...]) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        got = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(f"{name}: expected {np.dtype(dtype)} {shape}, got {got}")
