"""Where portraits stand on the page: equal squares in rows, between which they glide when people come, go or swap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from apdgan.alignment import SIZE, invert, transform
from realtime.core import Drawing

GLIDE_S = 0.3
"""A portrait is at its new place after so long, and a new one has come up."""
PAUSE_S = 0.5
"""After a gap this long (another layout, a pause) nothing glides: everybody is simply there."""
SWAP = 0.15
"""Two people change places on the page when they have passed each other by so much of a square's width."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A square on the page, px."""

    x: float
    y: float
    side: float

    def towards(self, other: Cell, share: float) -> Cell:
        return Cell(
            x=self.x + (other.x - self.x) * share,
            y=self.y + (other.y - self.y) * share,
            side=self.side + (other.side - self.side) * share,
        )

    def whole(self) -> tuple[int, int, int]:
        """x, y and side in whole px, within what the cell covers."""
        x, y = round(self.x), round(self.y)
        right, bottom = (math.floor(start + self.side + 1e-6) for start in (self.x, self.y))
        return x, y, max(1, min(round(self.side), right - x, bottom - y))


def cells(count: int, width: int, height: int) -> list[Cell]:
    """``count`` equal squares, as large as they can be, in centred rows."""
    if count == 0:
        return []
    columns = max(range(1, count + 1), key=lambda c: min(width // c, height // math.ceil(count / c)))
    rows = math.ceil(count / columns)
    side = max(1, min(width // columns, height // rows))
    found = []
    for i in range(count):
        row = i // columns
        in_row = min(columns, count - row * columns)
        x = (width - in_row * side) // 2 + (i % columns) * side
        found.append(Cell(x=x, y=(height - rows * side) // 2 + row * side, side=side))
    return found


@dataclass(slots=True, kw_only=True)
class _Seat:
    """One portrait's way across the page."""

    start: Cell
    target: Cell
    since: float
    born: float
    """When it came up; -inf for one that was simply there."""

    def at(self, time: float) -> Cell:
        return self.start.towards(self.target, _ease((time - self.since) / GLIDE_S))


class Framing:
    """Seats the drawings of frames that come in order."""

    def __init__(self) -> None:
        self._seats: dict[int, _Seat] = {}
        self._page = (0, 0)
        self._time = float("-inf")

    def forget(self) -> None:
        """Everybody is new."""
        self._seats.clear()

    def place(self, drawings: Sequence[Drawing], width: int, height: int, time: float) -> list[tuple[Drawing, Cell]]:
        """The drawings and where they are now, from left to right as people sit before the camera.

        Args:
            drawings: any number, of different faces.
            width, height: of the page, px.
            time: seconds; after a step backwards, :data:`PAUSE_S` or on another page nothing glides.
        """
        if not 0 <= time - self._time <= PAUSE_S or self._page != (width, height):
            self.forget()
        self._time, self._page = time, (width, height)
        order = self._order(drawings)
        present = {drawing.portrait.face_id for drawing in order}
        known = {face: seat for face, seat in self._seats.items() if face in present}
        gone = [seat.at(time) for face, seat in self._seats.items() if face not in known]
        fresh = not known
        self._seats = {}
        for drawing, target in zip(order, cells(len(order), width, height), strict=True):
            seat = known.get(drawing.portrait.face_id)
            if seat is None:
                seat = _newcomer(target, gone, time, at_once=fresh)
            elif seat.target != target:
                seat = _Seat(start=seat.at(time), target=target, since=time, born=seat.born)
            self._seats[drawing.portrait.face_id] = seat
        seats = [self._seats[drawing.portrait.face_id] for drawing in order]
        return [(_risen(drawing, seat, time), seat.at(time)) for drawing, seat in zip(order, seats, strict=True)]

    def _order(self, drawings: Sequence[Drawing]) -> list[Drawing]:
        """By place in the frame; those who have sat here keep their order until they have clearly passed each other."""
        if len(drawings) == 1:
            return list(drawings)
        rank = {face: index for index, face in enumerate(self._seats)}
        order = sorted(drawings, key=_centre_x)
        seated = sorted((d for d in order if d.portrait.face_id in rank), key=lambda d: rank[d.portrait.face_id])
        for _ in seated:
            for i in range(len(seated) - 1):
                a, b = seated[i], seated[i + 1]
                if _centre_x(a) - _centre_x(b) > SWAP * max(_side(a), _side(b)):
                    seated[i], seated[i + 1] = b, a
        for drawing in order:
            if drawing.portrait.face_id not in rank:
                left = sum(_centre_x(other) <= _centre_x(drawing) for other in seated)
                seated.insert(left, drawing)
        return seated


def _newcomer(target: Cell, gone: list[Cell], time: float, *, at_once: bool) -> _Seat:
    """A face that takes the place of one that has just left glides on from there: a tracker may lose its thread."""
    if at_once:
        return _Seat(start=target, target=target, since=time, born=float("-inf"))
    for cell in gone:
        if max(abs(cell.x - target.x), abs(cell.y - target.y)) < target.side / 2:
            gone.remove(cell)
            return _Seat(start=cell, target=target, since=time, born=float("-inf"))
    return _Seat(start=target, target=target, since=time, born=time)


def _risen(drawing: Drawing, seat: _Seat, time: float) -> Drawing:
    share = _ease((time - seat.born) / GLIDE_S)
    return drawing if share >= 1 else replace(drawing, opacity=drawing.opacity * share)


def _ease(share: float) -> float:
    share = min(1.0, max(0.0, share))
    return share * share * (3 - 2 * share)


def _centre_x(drawing: Drawing) -> float:
    """Where the face is in the frame: people stand on the page as they sit before the camera."""
    return float(transform(invert(drawing.portrait.matrix), np.array([[SIZE / 2, SIZE / 2]]))[0, 0])


def _side(drawing: Drawing) -> float:
    """Width of the square on the frame, px."""
    return SIZE / math.sqrt(max(1e-12, abs(float(np.linalg.det(drawing.portrait.matrix[:, :2])))))
