"""READ FIRST. The values that flow through the program and the one-method contracts of its parts.

A :class:`Frame` is tracked to :class:`Face` s, each face is aligned to a :class:`Portrait`, an engine makes it a
:class:`Drawing`, and a compositor puts the drawings on paper: a Frame again, with the same index and captured time, so
that whoever receives it can print its true age.

Nothing here imports a camera, a tracker or a runtime. Contracts are structural: a part needs the methods, no base
class. The error tree is drawn in :mod:`engines.errors`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engines.errors import UserError

PAPER = 255
"""Grey level of plain paper."""


class SourceError(UserError):
    """A camera, clip, picture or URL cannot be opened or read."""


class PartialSourceError(SourceError):
    """The source broke in the middle: every frame that could be decoded has been delivered."""


class SinkError(UserError):
    """A sink cannot be opened or written."""


class AssetError(UserError):
    """A tracker asset is missing or fails its checksum."""


class ConfigError(UserError):
    """An option or config file has a value that cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ink:
    """What was drawn, apart from the paper that it was laid on: for sinks that trace it or keep it transparent."""

    page: NDArray[np.uint8]
    """(H, W) uint8, 0 = ink, 255 = paper, as large as the frame's image."""
    colour: tuple[int, int, int] = (0, 0, 0)
    """RGB, 0 to 255 each."""
    paper: tuple[int, int, int] = (PAPER, PAPER, PAPER)
    """RGB of the ground, its mean where it has a texture."""
    transparent: bool = False
    """The user wants the ink alone wherever a sink can leave the paper out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One picture on its way through the program."""

    image: NDArray[np.uint8]
    """(H, W, 3) uint8 RGB."""
    index: int
    """Counts from 0 at the source; a composed frame keeps it."""
    captured: float
    """Seconds of ``time.monotonic()`` at the end of decode."""
    pts: Fraction | None = None
    """Presentation time in seconds within a file or peer; None for a camera."""
    blank: bool = False
    """True when the source has no picture now (a camera being reopened): paper is drawn, the image is not used."""
    ink: Ink | None = None
    """What a composed frame's image was made of; None for a picture that was not composed."""

    @property
    def time(self) -> float:
        """Seconds that filters and fades go by: the file's clock where there is one, so that runs repeat exactly."""
        return self.captured if self.pts is None else float(self.pts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """A tracked face."""

    id: int
    """Stable while the face is followed; never reused in a run."""
    landmarks: NDArray[np.float32]
    """(N, 2) float32, frame pixels: 478 of MediaPipe's mesh, or 5 as in :data:`apdgan.alignment.TEMPLATE`."""
    confidence: float
    """0 to 1."""
    age: float = 0.0
    """Seconds from the frame that it was found in to this one; 0 unless the tracker was late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait:
    """A face aligned to the drawing square."""

    photo: NDArray[np.uint8]
    """(512, 512, 3) uint8 RGB, white outside the frame."""
    landmarks: NDArray[np.float32]
    """(5, 2) float32, pixels of the square."""
    matte: NDArray[np.uint8]
    """(512, 512) uint8, 255 = person."""
    matrix: NDArray[np.float32]
    """(2, 3) float32, frame -> square."""
    face_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """What the engine drew of a portrait."""

    ink: NDArray[np.uint8]
    """(512, 512) uint8, 0 = ink, 255 = paper."""
    portrait: Portrait
    opacity: float = 1.0
    """0 to 1: a face that was lost fades out."""
    held: bool = False
    """True when it comes from an earlier frame: its face was not found in this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """What a source knows of itself once it is opened."""

    name: str
    live: bool
    """True: newest frame wins. False: every frame is waited for."""
    width: int
    height: int
    fps: float
    """Nominal frames per second."""
    frames: int | None = None
    """Number of frames, where known (progress bar)."""
    time_base: Fraction | None = None
    """Every pts is a multiple of this many seconds, where known."""
    audio: Path | None = None
    """File whose first audio stream belongs to the pictures, where there is one."""
    still: bool = False
    """True for one picture."""


@runtime_checkable
class Source(Protocol):
    """Frames in order. Constructing opens it (and fails with SourceError); iterating reads."""

    @property
    def info(self) -> SourceInfo: ...
    def __iter__(self) -> Iterator[Frame]: ...
    def close(self) -> None: ...


@runtime_checkable
class Tracker(Protocol):
    """Finds and follows faces. Called with frames in order, from one thread."""

    def track(self, frame: Frame) -> Sequence[Face]: ...
    def close(self) -> None: ...


@runtime_checkable
class Matter(Protocol):
    """Person matte of aligned squares: (B,512,512,3) uint8 RGB -> (B,512,512) uint8, 255 = person."""

    def matte(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]: ...


@runtime_checkable
class Smoother(Protocol):
    """Steadies the drawings of one face over time, in the aligned square. ``strength`` is 0 (off) to 1."""

    def smooth(self, drawing: Drawing, strength: float) -> Drawing: ...


@runtime_checkable
class Sink(Protocol):
    """Takes composed frames. May raise SinkError from the constructor or from ``send``. close() is idempotent."""

    def send(self, frame: Frame) -> None: ...
    def close(self) -> None: ...
