"""From a tracked face to the drawing square: steadied, warped, with a person matte.

The square is carried by the motion of the picture under it (:mod:`realtime.registration`), so that a head stands still
in its square, whether it rests or moves. Sizes are pixels of the 512 x 512 square unless a name says frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import ALIGNED_TOLERANCE, SIZE, fit_similarity, invert, is_aligned, transform
from realtime.core import Face, Frame, Matter, Portrait
from realtime.each_face import EachFace
from realtime.matting import SteadyMatte
from realtime.presence import MESH_TO_FIVE
from realtime.registration import Pull, Registration
from realtime.smoothing import RESET_S, OneEuro

MOST_FACES = 64
"""States kept at most; the ones not seen for longest go first."""


@dataclass(slots=True, kw_only=True)
class _State:
    """What is remembered of one face."""

    place: Registration
    points: OneEuro
    seen: float = 0.0
    as_is: bool | None = None
    """The picture is already aligned, so it is not warped; decided when the face is first seen."""
    steady: SteadyMatte = field(default_factory=SteadyMatte)
    matte_age: int = 0


class _Placed(NamedTuple):
    """One face in its square."""

    matrix: NDArray[np.float64]
    points: NDArray[np.float64]
    photo: NDArray[np.uint8]
    unknown: float
    """Share of the photo that the matte before says nothing of."""


class Aligner:
    """Aligns the faces of frames that come in order."""

    def __init__(
        self,
        *,
        matter: Matter | None,
        matte_every: int = 3,
        matte_change: float = 0.15,
        pull: Pull | None = None,
        points_min_cutoff_hz: float = 1.0,
        points_beta: float = 0.05,
    ) -> None:
        """
        Args:
            matter: makes person mattes; None takes the whole frame for person.
            matte_every: a matte serves so many frames in a row, carried along with its face.
            matte_change: share of the square, 0 to 1, that asks for a new matte at once when it shows something new.
            pull: how the square is drawn towards the landmarks, where they part.
            points_min_cutoff_hz: cutoff of the five points within the square at rest, Hz.
            points_beta: Hz gained for each pixel a second.
        """
        self._matter = matter
        self._matte_every = max(1, matte_every)
        self._matte_change = matte_change
        self._pull = pull or Pull()
        self._points = (points_min_cutoff_hz, points_beta)
        self._states: dict[int, _State] = {}
        self._each = EachFace()

    def align(self, frame: Frame, faces: Sequence[Face], *, time: float | None = None) -> list[Portrait]:
        """One portrait for each face whose landmarks can be placed; the others are left out.

        Args:
            frame: the picture that the faces were found in.
            faces: any number.
            time: seconds that the filters go by; the frame's pts, else its captured time, when left out.
        """
        now = time if time is not None else frame.captured if frame.pts is None else float(frame.pts)
        self._forget(now)
        height, width = frame.image.shape[:2]
        seats = []
        for face in faces:
            points = five_points(face.landmarks)
            try:
                fitted = fit_similarity(points)
            except ValueError:  # points that coincide or are not numbers: nothing that could be drawn
                continue
            state = self._states.setdefault(face.id, self._new_state())
            state.seen = now
            seats.append((state, face, points, fitted))

        def placed(seat: tuple[_State, Face, NDArray[np.float64], NDArray[np.float64]]) -> _Placed:
            state, face, points, fitted = seat
            matrix = self._steady(state, frame.image, fitted, now, face.age)
            # Late landmarks lie in the square as it was then; on the head they still lie there.
            then = matrix if state.as_is or face.age <= 0 else state.place.at(now - face.age)
            photo = warp(frame.image, matrix)
            unknown = 0.0 if self._matter is None else state.steady.carry(photo)
            return _Placed(matrix, state.points(transform(then, points), now), photo, unknown)

        found = self._each.map(placed, seats)
        mattes = self._mattes([state for state, *_ in seats], found)
        return [
            Portrait(
                photo=one.photo,
                landmarks=one.points.astype(np.float32),
                matte=cut_to_frame(matte, one.matrix, width, height),
                matrix=one.matrix.astype(np.float32),
                face_id=face.id,
            )
            for (_, face, *_), one, matte in zip(seats, found, mattes, strict=True)
        ]

    def close(self) -> None:
        """Let all threads go. May be called twice."""
        self._each.close()

    def _new_state(self) -> _State:
        return _State(
            place=Registration(self._pull),
            points=OneEuro(min_cutoff_hz=self._points[0], beta=self._points[1]),
        )

    def _forget(self, now: float) -> None:
        recent = {face: state for face, state in self._states.items() if 0 <= now - state.seen <= RESET_S}
        self._states = dict(sorted(recent.items(), key=lambda item: item[1].seen)[-MOST_FACES:])

    def _steady(
        self, state: _State, image: NDArray[np.uint8], fitted: NDArray[np.float64], now: float, age: float
    ) -> NDArray[np.float64]:
        """The steadied matrix, frame -> square; the identity for a picture that is aligned already."""
        if state.as_is is None:
            state.as_is = is_aligned(fitted, *image.shape[1::-1])
        if state.as_is:
            # A clip may leave the place that it started in; twice the tolerance keeps it from switching to and fro.
            corners = np.array([(0, 0), (SIZE, 0), (0, SIZE), (SIZE, SIZE)], dtype=np.float64)
            away = np.linalg.norm(transform(fitted, corners) - corners, axis=1).max()
            state.as_is = bool(away <= 2 * ALIGNED_TOLERANCE)
        return np.eye(2, 3) if state.as_is else state.place(image, fitted, now, age=age)

    def _mattes(self, states: Sequence[_State], found: Sequence[_Placed]) -> list[NDArray[np.uint8]]:
        """One matte for each face, made anew in one batch for those that need it."""
        if self._matter is None:
            return [np.full((SIZE, SIZE), 255, np.uint8) for _ in found]
        due = []
        for index, (state, one) in enumerate(zip(states, found, strict=True)):
            state.matte_age += 1
            if one.unknown > self._matte_change or state.matte_age >= self._matte_every:
                due.append(index)
        if due:
            fresh = self._matter.matte(np.stack([found[index].photo for index in due]))
            for index, matte in zip(due, fresh, strict=True):
                states[index].steady.take(matte)
                states[index].matte_age = 0
        return [state.steady.matte for state in states]


def five_points(landmarks: NDArray[np.float32]) -> NDArray[np.float64]:
    """The template's five points: of a mesh of 478, or the five themselves. Returns (5, 2) float64, frame px."""
    if len(landmarks) not in (5, 478):
        raise ValueError(f"expected 5 or 478 landmarks, got {len(landmarks)}")
    points = landmarks[list(MESH_TO_FIVE)] if len(landmarks) == 478 else landmarks
    return np.asarray(points, dtype=np.float64)


def warp(image: NDArray[np.uint8], matrix: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The square cut out of a frame: (H, W, 3) uint8 -> (512, 512, 3) uint8, bilinear, white outside the frame.

    A frame that shrinks is averaged down first (bilinear alone would alias).
    """
    if np.array_equal(matrix, np.eye(2, 3)) and image.shape[:2] == (SIZE, SIZE):
        return image
    scale = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    if scale < 0.7:
        # Only the part of the frame that the square shows is worth averaging.
        corners = transform(invert(matrix), np.array([(0, 0), (SIZE, 0), (0, SIZE), (SIZE, SIZE)], dtype=np.float64))
        limit = np.array(image.shape[1::-1])
        low = np.clip(np.floor(corners.min(0)) - 2, 0, limit - 1).astype(int)
        high = np.clip(np.ceil(corners.max(0)) + 2, low + 1, limit).astype(int)
        image = image[low[1] : high[1], low[0] : high[0]]
        target = np.maximum(1, np.rint((high - low) * scale)).astype(int)
        ratio = (high - low) / target
        image = np.asarray(cv2.resize(image, (int(target[0]), int(target[1])), interpolation=cv2.INTER_AREA), np.uint8)
        shift = matrix[:, 2] + matrix[:, :2] @ (low + (ratio - 1) / 2)  # centres of the averaged pixels
        matrix = np.hstack([matrix[:, :2] * ratio, shift[:, None]])
    square = cv2.warpAffine(
        image, matrix, (SIZE, SIZE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(255, 255, 255)
    )
    return np.asarray(square, dtype=np.uint8)


def cut_to_frame(matte: NDArray[np.uint8], matrix: NDArray[np.float64], width: int, height: int) -> NDArray[np.uint8]:
    """The matte with 0 wherever the square shows nothing of the frame."""
    frame = np.array([(0, 0), (width - 1, 0), (width - 1, height - 1), (0, height - 1)], dtype=np.float64)
    square = transform(invert(matrix), np.array([(0, 0), (SIZE - 1, 0), (0, SIZE - 1), (SIZE - 1, SIZE - 1)]))
    if (square >= -0.5).all() and (square <= np.array([width - 0.5, height - 0.5])).all():
        return matte
    inside = np.zeros((SIZE, SIZE), np.uint8)
    corners = np.clip(transform(matrix, frame) * 16, -(2.0**30), 2.0**30)
    cv2.fillConvexPoly(inside, np.rint(corners).astype(np.int32), (255,), shift=4)
    return np.minimum(matte, inside)
