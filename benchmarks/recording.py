"""A short recording of what comes before and after the drawing: frames, aligned photos, landmarks, mattes, times.

A machine that only draws can play it: nothing here needs a tracker, a matte network or a video decoder. The file is an
npz of plain numbers (pictures are JPEG, mattes PNG) and is read without pickle. It shows a person: keep it out of a
repository (``*.recording.npz`` is ignored).
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE, invert, transform
from apdgan.alignment import boxes as part_boxes
from engines.errors import UserError
from realtime.aligner import Aligner
from realtime.core import Face, Frame, Portrait
from realtime.presence import MESH_TO_FIVE
from realtime.puppet import Puppet, _load

Bytes = NDArray[np.uint8]
VERSION = 1
SUFFIX = ".recording.npz"
MOST_FRAMES = 300
MOST_BYTES = 128 << 20
"""A file that is larger is not read."""
LONGEST_SIDE = 1280
"""Frames are kept no larger."""
QUALITY = 90
"""Of the JPEGs."""
PICTURES = ("frames", "photos", "mattes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One frame with the one face that is drawn of it."""

    time: float
    """Seconds from the first."""
    frame: bytes
    """JPEG."""
    photo: Bytes
    """(512, 512, 3) uint8 RGB, aligned."""
    landmarks: NDArray[np.float32]
    """(5, 2), pixels of the square."""
    matte: Bytes
    """(512, 512), 255 = person."""
    matrix: NDArray[np.float32]
    """(2, 3), frame -> square."""

    @property
    def boxes(self) -> NDArray[np.int32]:
        """(4, 2), as an engine takes them."""
        return part_boxes(self.landmarks)

    def image(self) -> Bytes:
        """The frame, (H, W, 3) uint8 RGB, decoded anew."""
        return decoded(np.frombuffer(self.frame, np.uint8), cv2.IMREAD_COLOR_RGB)

    def face(self) -> Face:
        """The landmarks back in the frame."""
        points = transform(invert(self.matrix), self.landmarks).astype(np.float32)
        return Face(id=0, landmarks=points, confidence=1.0)

    def portrait(self, face_id: int) -> Portrait:
        return Portrait(
            photo=self.photo, landmarks=self.landmarks, matte=self.matte, matrix=self.matrix, face_id=face_id
        )


def moments(located: Iterable[tuple[Frame, Sequence[Portrait]]], most: int = MOST_FRAMES) -> list[Moment]:
    """Of the frames that show a face, the first ``most``: the face that is largest in the frame."""
    found: list[Moment] = []
    first = None
    for frame, portraits in located:
        if not portraits:
            continue
        first = frame.time if first is None else first
        one = min(portraits, key=lambda portrait: float(np.linalg.det(portrait.matrix[:, :2])))
        scale = min(1.0, LONGEST_SIDE / max(frame.image.shape[:2]))
        image = frame.image if scale == 1 else cv2.resize(frame.image, None, fx=scale, fy=scale)
        matrix = one.matrix.copy()
        matrix[:, :2] /= scale
        found.append(
            Moment(
                time=frame.time - first,
                frame=encoded(as_bgr(np.asarray(image, np.uint8)), ".jpg").tobytes(),
                photo=one.photo,
                landmarks=one.landmarks,
                matte=one.matte,
                matrix=matrix,
            )
        )
        if len(found) == most:
            break
    return found


def synthetic(seconds: float, fps: float = 30.0) -> list[Moment]:
    """The repository's portrait, which is in the public domain, moved by a smooth script: head and frame as one.

    Its landmarks are moved along, the live program's own aligner cuts the square, the matte is an oval of head and
    shoulders.
    """
    width, height = 1280, 720
    still = Puppet(width=width, height=height, fps=fps).render(0)
    mesh = _load()[1]
    points = mesh[list(MESH_TO_FIVE), :2].astype(np.float32)
    aligner = Aligner(matter=_Oval())

    def located() -> Iterable[tuple[Frame, list[Portrait]]]:
        for index in range(round(seconds * fps)):
            t = index / fps
            turn, zoom = 5 * math.sin(1.7 * t), 1 + 0.06 * math.sin(1.1 * t)
            move = np.array(cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom), np.float64)
            move[:, 2] += np.array([40 * math.sin(2.3 * t), 12 * math.sin(3.1 * t)])
            image = np.asarray(cv2.warpAffine(still, move, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)
            frame = Frame(image=image, index=index, captured=t)
            face = Face(id=0, landmarks=transform(move, points).astype(np.float32), confidence=1.0)
            yield frame, aligner.align(frame, [face], time=t)

    return moments(located())


class _Oval:
    """Head and shoulders where a portrait has them."""

    def __init__(self) -> None:
        y, x = np.mgrid[:SIZE, :SIZE] / SIZE
        head = ((x - 0.5) / 0.3) ** 2 + ((y - 0.5) / 0.4) ** 2 < 1
        body = ((x - 0.5) / 0.45) ** 2 + ((y - 1.05) / 0.3) ** 2 < 1
        self._one = ((head | body) * 255).astype(np.uint8)

    def matte(self, photo: Bytes) -> Bytes:
        return np.repeat(self._one[None], len(photo), axis=0)


def write(path: Path, found: Sequence[Moment]) -> None:
    """Raises UserError: nothing to write, or the file cannot be written."""
    if not found:
        raise UserError(f"{path}: expected a face in the clip, found none; choose another clip")
    blobs: dict[str, list[Bytes]] = {
        "frames": [np.frombuffer(one.frame, np.uint8) for one in found],
        "photos": [encoded(as_bgr(one.photo), ".jpg") for one in found],
        "mattes": [encoded(one.matte, ".png") for one in found],
    }
    arrays: dict[str, Any] = {"version": np.array(VERSION), "times": np.array([one.time for one in found])}
    for name, parts in blobs.items():
        arrays[name] = np.concatenate(parts)
        arrays[f"{name}_ends"] = np.cumsum([len(part) for part in parts])
    for name in ("landmarks", "boxes", "matrix"):
        arrays[name] = np.stack([getattr(one, name) for one in found])
    try:
        with path.open("wb") as file:  # given a name, savez would add a suffix
            np.savez(file, **arrays)
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}; name another file") from None


def read(path: Path) -> list[Moment]:
    """Raises UserError: no recording of ours, or one that is damaged or too large."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UserError(f"recording {path}: expected at most {MOST_BYTES >> 20} MB; record fewer frames")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            if sum(member.file_size for member in data.zip.infolist()) > MOST_BYTES:
                raise ValueError("it is larger than it says")
            found = _unpacked({name: data[name] for name in data.files})
    except OSError as error:
        raise UserError(f"recording {path}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"recording {path}: not one of python -m benchmarks.record, or damaged ({' '.join(str(error).split())})"
        ) from None
    return found


def _unpacked(data: dict[str, NDArray[Any]]) -> list[Moment]:
    if int(data["version"]) != VERSION:
        raise ValueError(f"version {int(data['version'])}, expected {VERSION}")
    count = len(data["times"])
    shapes = {"times": (count,), "landmarks": (count, 5, 2), "boxes": (count, 4, 2), "matrix": (count, 2, 3)}
    for name, shape in shapes.items():
        if data[name].shape != shape or not np.isfinite(data[name]).all():
            raise ValueError(f"{name}: expected finite numbers of shape {shape}")
    if not 0 < count <= MOST_FRAMES or (np.diff(data["times"]) < 0).any():
        raise ValueError(f"expected 1 to {MOST_FRAMES} frames in order")
    blobs = {name: np.split(data[name], data[f"{name}_ends"][:-1]) for name in PICTURES}
    found = [
        Moment(
            time=float(data["times"][i]),
            frame=blobs["frames"][i].tobytes(),
            photo=decoded(blobs["photos"][i], cv2.IMREAD_COLOR_RGB),
            landmarks=data["landmarks"][i].astype(np.float32),
            matte=decoded(blobs["mattes"][i], cv2.IMREAD_GRAYSCALE),
            matrix=data["matrix"][i].astype(np.float32),
        )
        for i in range(count)
    ]
    for one, corners in zip(found, data["boxes"], strict=True):
        if one.photo.shape != (SIZE, SIZE, 3) or one.matte.shape != (SIZE, SIZE) or (one.boxes != corners).any():
            raise ValueError("a photo, matte or box that is not of a drawing square")
    return found


def as_bgr(picture: Bytes) -> Bytes:
    """RGB as OpenCV has it."""
    return np.ascontiguousarray(picture[..., ::-1])


def encoded(picture: NDArray[np.uint8], suffix: str) -> Bytes:
    """A picture as OpenCV has it (BGR or grey) as a file's bytes."""
    ok, data = cv2.imencode(suffix, picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY] if suffix == ".jpg" else [])
    assert ok
    return np.asarray(data, np.uint8).ravel()


def decoded(data: NDArray[np.uint8], how: int) -> Bytes:
    """Raises ValueError when the bytes are no picture."""
    picture = cv2.imdecode(np.ascontiguousarray(data, np.uint8), how) if data.size else None
    if picture is None:
        raise ValueError("a picture that cannot be decoded")
    return np.asarray(picture, np.uint8)
