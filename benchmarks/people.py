"""People who walk: heads cut out of clips and moved over a wall, so that it is known who is where."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import engines
from benchmarks.flicker import located
from benchmarks.mosaics import FPS, HEIGHT, WALL, WIDTH, Image, to_and_fro
from benchmarks.mosaics import frame as frame_of
from benchmarks.who import Who
from engines.errors import UserError
from realtime.core import Portrait
from realtime.stylizer import Stylizer

SIDE = 420
"""Of a head's square on the page, px: the face is about 200 px high."""
HEADS = 60
"""Pictures of each head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """Middle of a head's square on the page, px."""

    x: float
    y: float


Walk = Callable[[float], Sequence[Spot]]
"""Where everybody is after so many seconds; the first stands in front."""


def _cross(t: float) -> Sequence[Spot]:
    """Two pass each other within 3 s, one right in front of the other."""
    go = 220 + 840 * min(1.0, max(0.0, (t - 1) / 3))
    return Spot(x=go, y=380), Spot(x=WIDTH - go, y=330)


def _return(t: float) -> Sequence[Spot]:
    """One leaves to the right, is away for 2 s and comes back; the other stays."""
    out = min(1.0, max(0.0, t - 1)) - min(1.0, max(0.0, t - 4))
    return Spot(x=360, y=350), Spot(x=920 + 700 * out, y=370)


def _border(t: float) -> Sequence[Spot]:
    """One sways at the left border, at times half beyond it; the other stays."""
    return Spot(x=90 + 110 * math.sin(2 * t), y=360), Spot(x=850, y=360)


WALKS: Mapping[str, tuple[Walk, float]] = {"cross": (_cross, 5.0), "return": (_return, 6.0), "border": (_border, 6.0)}
"""Name -> who goes where, and for how many seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A head in its aligned square."""

    photo: Image
    """(SIDE, SIDE, 3) uint8 RGB."""
    cover: NDArray[np.float32]
    """(SIDE, SIDE, 1) float32, 1 = person."""


def heads(clip: Path, engine: engines.Engine) -> list[Head]:
    """The heads of a clip's first frames, as the live program aligns them."""
    found = []
    for _, portraits in located(clip, HEADS, engine):
        for portrait in portraits[:1]:
            photo, matte = (
                cv2.resize(one, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for one in (portrait.photo, portrait.matte)
            )
            found.append(Head(photo=np.asarray(photo, np.uint8), cover=matte[..., None] * np.float32(1 / 255)))
    if not found:
        raise UserError(f"{clip}: expected a face in its first {HEADS} frames, found none; choose another clip")
    return found


def picture(cast: Sequence[Sequence[Head]], spots: Sequence[Spot], index: int) -> Image:
    """The page (HEIGHT, WIDTH, 3) uint8 with everybody at their spots."""
    page = np.full((HEIGHT + 2 * SIDE, WIDTH + 2 * SIDE, 3), WALL, np.uint8)  # with room for those beyond the border
    for people, spot in reversed(list(zip(cast, spots, strict=True))):
        head = people[to_and_fro(len(people), index)]
        x, y = (int(min(max(round(v + SIDE / 2), 0), n + SIDE)) for v, n in ((spot.x, WIDTH), (spot.y, HEIGHT)))
        part = page[y : y + SIDE, x : x + SIDE]
        part[:] = np.rint(part + head.cover * (head.photo.astype(np.float32) - part))
    return np.ascontiguousarray(page[SIDE:-SIDE, SIDE:-SIDE])


def whose(spots: Sequence[Spot], x: float, y: float) -> int | None:
    """The person at a point; None where nobody is, or two are so near that it cannot be told."""
    away = [math.hypot(spot.x - x, spot.y - y) for spot in spots]
    order = sorted(range(len(spots)), key=lambda i: away[i])
    clear = away[order[0]] < 0.25 * SIDE and away[order[0]] < 0.4 * away[order[1]]
    return order[0] if clear else None


def there(spots: Sequence[Spot]) -> list[int]:
    """Those whose whole face is on the page and not behind another."""
    reach = 0.25 * SIDE
    seen = []
    for i, spot in enumerate(spots):
        inside = reach <= spot.x <= WIDTH - reach
        if inside and all(math.hypot(spot.x - other.x, spot.y - other.y) > 2 * reach for other in spots[:i]):
            seen.append(i)
    return seen


def walk(name: str, core: Stylizer, cast: Sequence[Sequence[Head]]) -> dict[str, float]:
    """One walk through the tracker and the aligner: figures of :class:`benchmarks.who.Who`."""
    path, seconds = WALKS[name]
    who = Who(len(cast))
    for index in range(round(seconds * FPS)):
        spots = path(index / FPS)
        portraits: list[Portrait] = core.locate(frame_of(picture(cast, spots, index), index))
        who.add(portraits, partial(whose, spots), there(spots))
    return who.figures()


def measure(clips: Sequence[Path], engine: engines.Engine, make: Callable[[], Stylizer]) -> dict[str, dict[str, float]]:
    """Every walk, of two people: name -> figures."""
    cast = [heads(clip, engine) for clip in [*clips, *clips][:2]]
    told = {}
    for name in WALKS:
        with make() as core:
            told[name] = walk(name, core, cast)
    return told
