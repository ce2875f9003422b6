"""A folder in the paper's layout (section 4), made by us or by others: read lazily, written whole item by whole item.

::

    OUT/data/{train,test}/NAME.png   1024x512 photo | drawing, or a 512x512 photo alone
    OUT/landmark/ALL/NAME.txt        five lines "x y"
    OUT/mask/ALL/NAME.png            512x512, white = person
    OUT/mesh/ALL/NAME.npy            ours: float32 (478, 2), where known

The picture under ``data`` is written last and appears at once, so that an item is there with all that belongs to it or
not at all, whenever the writer is killed.
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE, read_landmarks
from train.parts import MESH, Pair
from train.pictures import SUFFIXES, check_drawing, grey, read_grey, read_photo, size_of

SPLITS = ("train", "test")


def beside(root: Path, kind: str, name: str) -> Path:
    """File of an item that lies beside its picture; kind is ``landmark``, ``mask`` or ``mesh``."""
    return root / kind / "ALL" / (name + {"landmark": ".txt", "mask": ".png", "mesh": ".npy"}[kind])


def write_pair(root: Path, split: str, pair: Pair) -> Path:
    """Add one item, or replace it; landmarks are rounded as in the paper's files. Returns its picture's path.

    Raises:
        OSError: the disk is full or cannot be written; what was there before is still whole.
    """
    lines = "".join(f"{x} {y}\n" for x, y in np.rint(pair.points).astype(int))
    write_whole(beside(root, "landmark", pair.name), lines.encode())
    write_whole(beside(root, "mask", pair.name), png(pair.matte))
    mesh = beside(root, "mesh", pair.name)
    if pair.mesh is None:
        mesh.unlink(missing_ok=True)
    else:
        buffer = io.BytesIO()
        np.save(buffer, pair.mesh.astype(np.float32), allow_pickle=False)
        write_whole(mesh, buffer.getvalue())
    picture = pair.photo
    if pair.drawing is not None:
        picture = np.hstack([picture, np.repeat(pair.drawing[..., None], 3, 2)])
    path = root / "data" / split / f"{pair.name}.png"
    write_whole(path, png(picture))
    return path


def png(picture: NDArray[np.uint8]) -> bytes:
    """(H, W) or RGB (H, W, 3) uint8 as a PNG file."""
    done, data = cv2.imencode(".png", picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise OSError("a picture could not be written as PNG")
    return data.tobytes()


def write_whole(path: Path, data: bytes) -> None:
    """Write beside, then rename: a reader finds the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def read_mesh(path: Path) -> NDArray[np.float32] | None:
    """``mesh/ALL/NAME.npy``; None where there is none. Raises ValueError."""
    try:
        mesh = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(f"{path}: expected a face mesh (478, 2), got {error}") from None
    if not isinstance(mesh, np.ndarray) or mesh.shape != MESH or mesh.dtype.kind != "f" or not np.isfinite(mesh).all():
        got = f"{mesh.dtype} {mesh.shape}" if isinstance(mesh, np.ndarray) else "an archive"
        raise ValueError(f"{path}: expected a finite float face mesh (478, 2), got {got}")
    return mesh.astype(np.float32)


def read_points(path: Path) -> NDArray[np.float32]:
    """(5, 2) float32, the landmarks of an aligned portrait. Raises ValueError naming the file (and line)."""
    if not path.is_file():
        raise ValueError(f"{path}: expected five lines 'x y', got no such file")
    points = read_landmarks(path).astype(np.float32)
    if points.min() < 0 or points.max() > SIZE:
        got = f"{points.min():g} to {points.max():g}"
        raise ValueError(f"{path}: expected landmarks inside the 512 square, got {got}")
    if points[0, 0] >= points[1, 0] or points[3, 0] >= points[4, 0]:
        raise ValueError(f"{path}: expected eyes and corners of the mouth from left to right as seen in the picture")
    return points


class FolderPart:
    """A split of a folder in the paper's layout, made by us or by others."""

    def __init__(self, root: Path, split: str) -> None:
        """Check every header, landmark file and mesh.

        Raises:
            ValueError: names the first bad file, what was expected, and how many more there are.
        """
        self.path = root / "data" / split
        self._root = root
        self._files = sorted(p for p in self.path.iterdir() if p.suffix.lower() in SUFFIXES)
        self.names = [p.stem for p in self._files]
        self.labels = [""] * len(self._files)
        self._first: dict[str, Path] = {}
        self._wide: list[bool] = []
        self._points: list[NDArray[np.float32]] = []
        self._mesh: list[NDArray[np.float32] | None] = []
        if not self._files:
            raise ValueError(f"{self.path}: expected pictures, got none; run 'python -m train prepare'")
        bad = []
        for i in range(len(self._files)):
            try:
                self._check(i)
            except ValueError as error:
                bad.append(str(error))
        if bad:
            more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
            raise ValueError(f"{bad[0]}{more}; 'python -m train prepare {root} OUT' lists and leaves out such files")

    def _check(self, index: int) -> None:
        path = self._files[index]
        first = self._first.setdefault(path.stem, path)
        if first != path:
            raise ValueError(f"{path}: expected one picture of a name, got {first.name} too")
        width, height = size_of(path)
        if height != SIZE or width not in (SIZE, 2 * SIZE):
            raise ValueError(f"{path}: expected a 1024x512 pair or a 512x512 photo, got {width}x{height}")
        points = read_points(beside(self._root, "landmark", self.names[index]))
        mask = beside(self._root, "mask", self.names[index])
        if (seen := size_of(mask)) != (SIZE, SIZE):
            raise ValueError(f"{mask}: expected a mask of 512x512, got {seen[0]}x{seen[1]}")
        self._mesh.append(read_mesh(beside(self._root, "mesh", self.names[index])))
        self._points.append(points)
        self._wide.append(width == 2 * SIZE)

    def has_drawing(self, index: int) -> bool:
        return self._wide[index]

    def read(self, index: int) -> Pair:
        path, wide, mesh = self._files[index], self._wide[index], self._mesh[index]
        picture, mask = read_photo(path), beside(self._root, "mask", self.names[index])
        matte = read_grey(mask)
        for file, array, width in ((path, picture, SIZE + SIZE * wide), (mask, matte, SIZE)):
            if array.shape[:2] != (SIZE, width):
                raise ValueError(f"{file}: expected {width}x512, got {array.shape[1]}x{array.shape[0]}")
        return Pair(
            photo=np.ascontiguousarray(picture[:, :SIZE]),
            matte=matte,
            points=self._points[index].copy(),
            mesh=None if mesh is None else mesh.copy(),
            drawing=check_drawing(grey(picture[:, SIZE:]), str(path)) if wide else None,
            name=self.names[index],
        )

    def digest(self, into: Any) -> None:
        for i, path in enumerate(self._files):
            into.update(self.names[i].encode())
            into.update(self._points[i].tobytes())
            mesh = self._mesh[i]
            into.update(b"" if mesh is None else mesh.tobytes())
            for file in (path, beside(self._root, "mask", self.names[i])):
                into.update(hashlib.sha256(file.read_bytes()).digest())
