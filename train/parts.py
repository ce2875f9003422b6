"""A portrait in memory, what any store of them answers, and the stores that are one file: packs and raw arrays.

Opening a store checks what is cheap to check (names, sizes, landmarks, meshes) before a run starts; pictures are
decoded when asked for, and a bad one is told by file and reason. Folders are in :mod:`train.folder`.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE
from train.pictures import check_drawing, square

FIVE = (468, 473, 4, 61, 291)
"""Mesh indices that match the authors' five landmarks best: irises, nose tip, mouth corners."""
MESH = (478, 2)
"""Shape of MediaPipe's face mesh."""
PACK = "apdrawing-pack 1"
"""First words of a pack's ``format``."""
MESH_STEPS = 16
"""A pack keeps mesh coordinates as int16 in sixteenths of a pixel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One aligned photo, with its drawing where there is one."""

    photo: NDArray[np.uint8]
    """(512, 512, 3) uint8 RGB, white outside the picture."""
    matte: NDArray[np.uint8]
    """(512, 512) uint8, 255 = person."""
    points: NDArray[np.float32]
    """(5, 2) float32, px: image-left eye, image-right eye, nose tip, left and right mouth corner."""
    mesh: NDArray[np.float32] | None
    """(478, 2) float32, px of MediaPipe's face mesh, where known."""
    drawing: NDArray[np.uint8] | None
    """(512, 512) uint8, 0 = ink, 255 = paper."""
    name: str

    @property
    def landmarks(self) -> NDArray[np.float32]:
        """The mesh, for those who must have one. Raises ValueError without it."""
        if self.mesh is None:
            raise ValueError(f"{self.name}: expected a face mesh, got five points alone; run 'python -m train prepare'")
        return self.mesh


class Part(Protocol):
    """One folder or file of pairs."""

    path: Path
    names: list[str]
    labels: list[str]
    """Of each item, the set that it belongs to; empty where none is told."""

    def has_drawing(self, index: int) -> bool: ...
    def read(self, index: int) -> Pair:
        """Decode one. Raises ValueError naming file and reason."""

    def digest(self, into: Any) -> None:
        """Feed everything that is read to a ``hashlib`` object."""


def load_arrays(path: Path, keys: Sequence[str] | None, what: str) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz``, all or those named. Raises ValueError in one line; KeyError for a missing one."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {key: file[key] for key in (keys or file.files)}
    except KeyError:
        raise
    except FileNotFoundError:
        raise ValueError(f"{path}: expected {what}, got no such file") from None
    except (OSError, ValueError, TypeError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: expected {what}, got a damaged or foreign file ({_line(error)})") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


class PackPart:
    """A file of ``python -m train pack``: everything in memory as WebP, decoded when asked for."""

    def __init__(self, path: Path, arrays: dict[str, NDArray[Any]], label: str | None = None) -> None:
        """Check names, shapes, types and offsets.

        Args:
            label: take the items of this set alone.
        Raises:
            ValueError: names the file and what does not fit.
        """
        self.path = path
        self._arrays = arrays
        self._check()
        every = [str(one) for one in arrays["labels"]]
        self._rows = [i for i, one in enumerate(every) if label in (None, one)]
        if not self._rows:
            known = ", ".join(sorted(set(every)))
            raise ValueError(f"{path}: expected one of its sets ({known}), got {label!r}")
        self.names = [str(arrays["names"][i]) for i in self._rows]
        self.labels = [every[i] for i in self._rows]

    def _check(self) -> None:
        a = self._arrays
        count = len(a["names"]) if "names" in a and a["names"].ndim == 1 else -1
        wanted = {"names": ("U", (count,)), "points": ("f", (count, 5, 2)), "mesh": ("i", (count, *MESH)),
                  "has_mesh": ("b", (count,)), "labels": ("U", (count,))}  # fmt: skip
        for kind in ("photo", "matte", "drawing"):
            wanted |= {kind: ("u", (-1,)), f"{kind}_ends": ("i", (count,))}
        for key, (dtype, shape) in wanted.items():
            if key not in a:
                raise ValueError(f"{self.path}: expected '{key}' in a pack, got none; make it again")
            got = a[key]
            if got.dtype.kind != dtype or got.ndim != len(shape) or (shape[0] >= 0 and got.shape != shape):
                raise ValueError(f"{self.path}: '{key}' is {got.dtype} {got.shape}, which no pack has; make it again")
        if count < 1:
            raise ValueError(f"{self.path}: expected portraits in a pack, got none")
        for kind in ("photo", "matte", "drawing"):
            ends = a[f"{kind}_ends"]
            if ends[0] < 0 or (np.diff(ends) < 0).any() or ends[-1] != len(a[kind]) or a[kind].dtype != np.uint8:
                raise ValueError(f"{self.path}: the offsets of '{kind}' do not fit its bytes; make it again")
        if not np.isfinite(a["points"]).all():
            raise ValueError(f"{self.path}: expected finite landmarks, got others; make it again")

    def _bytes(self, kind: str, index: int) -> bytes:
        ends = self._arrays[f"{kind}_ends"]
        return bytes(self._arrays[kind][int(ends[index - 1]) if index else 0 : int(ends[index])])

    def has_drawing(self, index: int) -> bool:
        return bool(self._bytes("drawing", self._rows[index]))

    def read(self, index: int) -> Pair:
        where, row, mesh = f"{self.path}, item {self.names[index]!r}", self._rows[index], None
        drawing = self._bytes("drawing", row)
        if self._arrays["has_mesh"][row]:
            mesh = self._arrays["mesh"][row].astype(np.float32) / MESH_STEPS
        return Pair(
            photo=square(self._bytes("photo", row), "RGB", f"{where}, photo"),
            matte=square(self._bytes("matte", row), "L", f"{where}, matte"),
            points=self._arrays["points"][row].astype(np.float32),
            mesh=mesh,
            drawing=check_drawing(square(drawing, "L", f"{where}, drawing"), where) if drawing else None,
            name=self.names[index],
        )

    def digest(self, into: Any) -> None:
        for name, row in zip(self.names, self._rows, strict=True):
            into.update(name.encode())
            for key in ("points", "has_mesh", "mesh"):
                into.update(self._arrays[key][row].tobytes())
            for kind in ("photo", "matte", "drawing"):
                into.update(hashlib.sha256(self._bytes(kind, row)).digest())


class ArraysPart:
    """Raw arrays of equal length: ``photo``, ``landmarks`` (N, 478, 2), ``matte``, ``name`` and maybe ``drawing``."""

    def __init__(self, path: Path, arrays: dict[str, NDArray[Any]]) -> None:
        """Check shapes and types. Raises ValueError naming the file."""
        count = len(arrays["name"])
        shapes = {"photo": (SIZE, SIZE, 3), "landmarks": MESH, "matte": (SIZE, SIZE), "drawing": (SIZE, SIZE)}
        for key, shape in shapes.items():
            if key in arrays and arrays[key].shape != (count, *shape):
                raise ValueError(f"{path}: expected '{key}' of shape {(count, *shape)}, got {arrays[key].shape}")
        self.path, self._arrays = path, arrays
        self.names = [str(name) for name in arrays["name"]]
        self.labels = [""] * count

    def has_drawing(self, index: int) -> bool:  # noqa: ARG002
        return "drawing" in self._arrays

    def read(self, index: int) -> Pair:
        a = self._arrays
        mesh = np.asarray(a["landmarks"][index], np.float32)
        return Pair(
            photo=np.asarray(a["photo"][index], np.uint8),
            matte=np.asarray(a["matte"][index], np.uint8),
            points=mesh[list(FIVE)],
            mesh=mesh,
            drawing=np.asarray(a["drawing"][index], np.uint8) if "drawing" in a else None,
            name=self.names[index],
        )

    def digest(self, into: Any) -> None:
        for key in sorted(self._arrays):
            into.update(np.ascontiguousarray(self._arrays[key]).view(np.uint8).data)
