"""What a process holds over time or visits: its slope after warm-up, and a picture of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Points = Sequence[Mapping[str, float]]
SIZE = (1000, 420)
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 50, 45
COLOURS = ((20, 20, 20), (180, 60, 40), (40, 90, 170))
GRID = (225, 225, 225)


def slope(points: Points, *, x: str, y: str, warm_up: float) -> float:
    """Change of ``y`` per unit of ``x``, by least squares, without the points before ``warm_up`` (in units of ``x``);
    0 where fewer than three are left."""
    steady = [point for point in points if point[x] >= warm_up]
    if len(steady) < 3:
        return 0.0
    return float(np.polyfit([one[x] for one in steady], [one[y] for one in steady], 1)[0])


def doubt(points: Points, *, x: str, y: str, warm_up: float) -> float:
    """Standard error of :func:`slope`, in its unit, as if the points did not hang together; 0 where it is 0."""
    steady = [point for point in points if point[x] >= warm_up]
    if len(steady) < 3:
        return 0.0
    across, up = (np.array([one[name] for one in steady], np.float64) for name in (x, y))
    off = up - np.polyval(np.polyfit(across, up, 1), across)
    return float(np.sqrt(off @ off / (len(steady) - 2) / ((across - across.mean()) @ (across - across.mean()))))


def picture(path: Path, points: Points, *, title: str, x: str, names: Mapping[str, str], warm_up: float) -> None:
    """Lines over ``x``, from 0 up; what belongs to the warm-up is shaded.

    Args:
        path: of the PNG.
        points: each with a value for ``x`` and for every key of ``names``.
        title: over it.
        x: the key of the horizontal axis.
        names: what the lines are called, by key.
        warm_up: in units of ``x``.
    """
    width, height = SIZE
    page = Image.new("RGB", SIZE, "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    last = max(point[x] for point in points) or 1.0
    top = 1.1 * max(point[name] for point in points for name in names) or 1.0

    def place(across: float, up: float) -> tuple[float, float]:
        return (
            LEFT + across / last * (width - LEFT - RIGHT),
            height - BOTTOM - up / top * (height - TOP - BOTTOM),
        )

    pen.rectangle((*place(0, top), *place(warm_up, 0)), fill=(245, 243, 235))
    for share in np.linspace(0, 1, 6):
        pen.line((place(0, share * top), place(last, share * top)), GRID)
        pen.text((LEFT - 8, place(0, share * top)[1]), f"{share * top:.0f}", "black", font, anchor="rm")
        pen.text((place(share * last, 0)[0], height - BOTTOM + 8), f"{share * last:.0f}", "black", font, anchor="mt")
    pen.text((width / 2, height - 8), x, "black", font, anchor="mb")
    pen.text((LEFT, 10), title, "black", font)
    for index, ((name, shown), colour) in enumerate(zip(names.items(), COLOURS, strict=False)):
        pen.line([place(point[x], point[name]) for point in points], colour, 2)
        pen.text((width - RIGHT - 170 * (len(names) - index), 30), shown, colour, font)
    page.save(path)
