"""MediaPipe FaceLandmarker (Tasks API): 478 points a face, ids that stay, and a second look for small faces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from realtime.core import AssetError, Face, Frame
from realtime.identity import Identities
from realtime.trackers import load_mediapipe, missing_library, quiet

MESH_POINTS = 478
SCAN_EVERY_S = 0.5
"""While no face is found, the picture is searched in parts this often (and at once when a face was just lost)."""
SCAN_PARTS = (2, 3)
"""Parts along the shorter side: MediaPipe's detector misses faces lower than about a sixth of what it looks at."""
SCAN_PER_FRAME = 6
"""Parts looked at in one frame, about 1 ms each. A frame that stands alone (a picture, the first of a clip or of a
size, one of a source slower than SCAN_EVERY_S) is searched whole."""
AROUND_EVERY_S = 2.0
AROUND_PER_FRAME = 2
"""While some faces are found, but fewer than are wanted, the parts are searched this often and this slowly. Where one
was lost it is looked for at once."""
SMALLEST_PX = 24.0
"""A face with a smaller bounding box has nothing to draw from and is passed over."""
_CROP = 3.0
"""A small face is followed in a square this many times its size."""

Region = tuple[int, int, int, int]
"""x, y, width, height in frame pixels."""


class MediaPipeFaceTracker:
    """Follows up to ``faces`` faces.

    The whole frame goes through the task's video mode, which tracks: detection runs only when a face is missing. When
    it finds nobody, or not all, the frame is searched in overlapping parts, and a small face found there is followed in
    a crop around it until it has grown or gone.
    """

    def __init__(self, *, asset: Path, faces: int = 1) -> None:
        """
        Args:
            asset: checked ``face_landmarker.task``.
            faces: the most that are followed at once.
        Raises:
            AssetError: mediapipe or a library that it links is missing, or the asset does not load.
        """
        self._asset = asset
        self._faces = faces
        self._mediapipe = load_mediapipe()
        self._video: Any = self._open("VIDEO", faces)
        self._still: Any = None
        self._clock = 0
        self._last_time: float | None = None
        self._crops: list[Region] = []
        self._pending: list[Region] = []
        self._last: list[NDArray[np.float32]] = []
        self._looked = self._looked_around = float("-inf")
        self._saw = self._begun = False
        self._shape: tuple[int, ...] = ()
        self._identities = Identities()

    def track(self, frame: Frame) -> Sequence[Face]:
        """The faces of this frame. Frames come in order; a clip that starts again is understood."""
        time = frame.captured if frame.pts is None else float(frame.pts)
        alone = self._last_time is None or not 0 <= time - self._last_time < SCAN_EVERY_S
        stamp = self._stamp(time)
        if alone or frame.image.shape != self._shape:  # nothing leads here from the frame before
            self._crops, self._pending, self._last, self._begun = [], [], [], False
            self._looked = self._looked_around = float("-inf")
        self._shape = frame.image.shape
        found = self._find(np.ascontiguousarray(frame.image), stamp, time)
        self._last = found = [points for points in found if _size(points) >= SMALLEST_PX][: self._faces]
        ids = self._identities.assign(found, time)
        # The task gives no score: what passes its thresholds counts as sure.
        return [Face(id=face, landmarks=points, confidence=1.0) for face, points in zip(ids, found, strict=True)]

    def _find(self, image: NDArray[np.uint8], stamp: int, time: float) -> list[NDArray[np.float32]]:
        """The landmarks of each face, those first that the video mode sees."""
        due = self._saw or time - self._looked >= SCAN_EVERY_S
        self._looked = time if due else self._looked
        followed = self._follow(image) if self._crops else []
        whole: list[NDArray[np.float32]] = []
        if not followed or due:
            whole = _distinct(self._points(self._video.detect_for_video(self._picture(image), stamp), image, (0, 0)))
        self._saw = bool(whole)
        small = _others(followed, whole)[: self._faces - len(whole)]
        self._crops = [_around(points, image) for points in small]
        found = [*whole, *small]
        if not found:
            return self._search(image, again=due)
        if len(found) < self._faces:
            found += self._look_around(image, found, time)
        return found

    def close(self) -> None:
        """Release both graphs. May be called twice."""
        for task in (self._video, self._still):
            if task is not None:
                task.close()
        self._video = self._still = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _open(self, mode: str, faces: int) -> Any:
        vision = self._mediapipe.tasks.vision
        try:
            data = self._asset.read_bytes()
        except OSError as error:
            raise AssetError(f"{self._asset}: expected a face landmarker bundle, got {error.strerror}") from error
        options = vision.FaceLandmarkerOptions(
            base_options=self._mediapipe.tasks.BaseOptions(model_asset_buffer=data),
            running_mode=vision.RunningMode[mode],
            num_faces=faces,
        )
        blank = self._picture(np.full((64, 64, 3), 255, np.uint8))
        with quiet():
            try:
                task = vision.FaceLandmarker.create_from_options(options)
                # The first run loads what is lazy, and says so on stderr.
                task.detect_for_video(blank, 0) if mode == "VIDEO" else task.detect(blank)
            except OSError as error:
                raise missing_library(error) from error
            except (RuntimeError, ValueError) as error:
                raise AssetError(f"{self._asset}: expected a face landmarker bundle, got {error}") from error
        return task

    def _stamp(self, time: float) -> int:
        """Milliseconds for the task, which wants them to rise strictly."""
        step = 33.0 if self._last_time is None or time < self._last_time else (time - self._last_time) * 1000
        self._last_time = time
        self._clock += max(1, round(step))
        return self._clock

    def _picture(self, image: NDArray[np.uint8]) -> Any:
        return self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=image)

    def _points(self, result: Any, image: NDArray[np.uint8], origin: tuple[int, int]) -> list[NDArray[np.float32]]:
        """Each face's landmarks in frame pixels."""
        height, width = image.shape[:2]
        return [
            np.array([(p.x * width + origin[0], p.y * height + origin[1]) for p in face], dtype=np.float32)
            for face in result.face_landmarks
        ]

    def _look(self, image: NDArray[np.uint8], region: Region) -> list[NDArray[np.float32]]:
        """Faces within a part of the frame, without memory."""
        if self._still is None:
            self._still = self._open("IMAGE", self._faces)
        x, y, width, height = region
        part = np.ascontiguousarray(image[y : y + height, x : x + width])
        return self._points(self._still.detect(self._picture(part)), part, (x, y))

    def _follow(self, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        found: list[NDArray[np.float32]] = []
        for crop in self._crops:
            middle = np.array([crop[0] + crop[2] / 2, crop[1] + crop[3] / 2])
            seen = self._look(image, crop)
            # A crop may hold a neighbour too: the face that it follows is the one in its middle.
            away = [float(np.hypot(*(points.mean(0) - middle))) for points in seen]
            found += [seen[int(np.argmin(away))]] if seen else []
        found = _distinct(found)
        self._crops = [_around(points, image) for points in found]
        return found

    def _search(self, image: NDArray[np.uint8], *, again: bool) -> list[NDArray[np.float32]]:
        """Look at the next few parts, coarse ones first; a face counts when it is found again in a crop of its own."""
        if again:
            self._pending = [region for parts in SCAN_PARTS for region in _regions(image, parts)]
        count = SCAN_PER_FRAME if self._begun else len(self._pending)
        self._begun = True
        regions, self._pending = self._pending[:count], self._pending[count:]
        seen = _distinct([points for region in regions for points in self._look(image, region)])
        large = [points for points in seen if _size(points) >= SMALLEST_PX]
        self._crops = [_around(points, image) for points in large[: self._faces]]
        return self._follow(image) if self._crops else []

    def _look_around(
        self, image: NDArray[np.uint8], found: list[NDArray[np.float32]], time: float
    ) -> list[NDArray[np.float32]]:
        """More faces than those found: where one was lost, and a few parts of the frame."""
        if time - self._looked_around >= AROUND_EVERY_S:
            self._looked_around = time
            self._pending = [region for parts in SCAN_PARTS for region in _regions(image, parts)]
        count = AROUND_PER_FRAME if self._begun else len(self._pending)
        self._begun = True
        regions, self._pending = self._pending[:count], self._pending[count:]
        regions = [*(_around(points, image) for points in _others(self._last, found)), *regions]
        if not regions:
            return []
        hidden = image.copy()  # who is known is painted over: each would be found, and cost, again
        for points in found:
            (left, top), (right, bottom) = np.maximum(0, points.min(0)).astype(int), points.max(0).astype(int)
            hidden[top : bottom + 1, left : right + 1] = 128
        seen = [points for region in regions for points in self._look(hidden, region)]
        more = [points for points in _others(_distinct(seen), found) if _size(points) >= SMALLEST_PX]
        more = more[: self._faces - len(found)]
        self._crops += [_around(points, image) for points in more]
        return more


def _regions(image: NDArray[np.uint8], parts: int) -> list[Region]:
    """Squares that overlap by a third and cover the frame, ``parts`` along its shorter side; at most 16 a row.

    None where they would be so small that a face in them could not be drawn.
    """
    height, width = image.shape[:2]
    side = min(height, width) // parts
    if side < 2 * SMALLEST_PX:
        return []
    xs, ys = (
        np.linspace(0, n - side, min(16, 1 + math.ceil(1.5 * (n / side - 1)))).round().astype(int)
        for n in (width, height)
    )
    return [(int(x), int(y), side, side) for y in ys for x in xs]


def _around(points: NDArray[np.float32], image: NDArray[np.uint8]) -> Region:
    """A square around a face, moved to lie within the frame."""
    height, width = image.shape[:2]
    low, high = points.min(0), points.max(0)
    side = int(min(height, width, max(32.0, _CROP * float((high - low).max()))))
    x, y = ((low + high) / 2 - side / 2).round().astype(int)
    return int(np.clip(x, 0, width - side)), int(np.clip(y, 0, height - side)), side, side


def _distinct(faces: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Each face once, the largest first: parts overlap and see the same face."""
    kept: list[NDArray[np.float32]] = []
    for points in sorted(faces, key=lambda p: -_size(p)):
        kept += _others([points], kept)
    return kept


def _others(faces: list[NDArray[np.float32]], known: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """The faces that are none of those known, by their place."""
    return [
        points
        for points in faces
        if all(np.hypot(*(points.mean(0) - one.mean(0))) > 0.5 * _size(points) for one in known)
    ]


def _size(points: NDArray[np.float32]) -> float:
    """Longer side of the bounding box, px."""
    return float(np.ptp(points, axis=0).max())
