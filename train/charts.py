"""Curves as inline SVG: no script, no outside host; colours come from the page's own style, light or dark."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

MOST_POINTS = 240
"""A longer series is cut into so many spans: their means are the line, their extremes a band behind it."""
WIDE_RANGE = 50.0
"""A positive series whose largest value is so many times its smallest is drawn on a logarithmic axis."""
NAMED_STAGES = 600
"""From this width on stages are named beside their lines; a small chart has no room."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 10, 8, 20


@dataclass(frozen=True, slots=True)
class Span:
    """Some neighbouring points of a series."""

    x: float
    mean: float
    low: float
    high: float


def spans(points: Sequence[tuple[float, float]]) -> list[Span | None]:
    """At most MOST_POINTS spans of a series in order of x; None where no value is finite (a gap in the line)."""
    count = min(len(points), MOST_POINTS)
    found: list[Span | None] = []
    for i in range(count):
        part = points[i * len(points) // count : (i + 1) * len(points) // count]
        values = [y for _, y in part if math.isfinite(y)]
        x = part[len(part) // 2][0] if i < count - 1 else part[-1][0]
        found.append(Span(x, math.fsum(values) / len(values), min(values), max(values)) if values else None)
    return found


def ticks(low: float, high: float, count: int) -> list[float]:
    """Round numbers within low..high, about ``count`` of them."""
    if not low < high:
        return [low]
    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min((s for s in (1, 2, 5, 10) if s * power >= rough * 0.999), default=10)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """A number for an axis: 12k, 5,000, 0.05, 2e-05."""
    if math.isfinite(value) and abs(value) >= 1e6:
        return f"{value / 1e6:.3g}M"
    if math.isfinite(value) and abs(value) >= 1e4:
        return f"{value / 1e3:.3g}k"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


class _Axes:
    """Data to pixels."""

    def __init__(self, known: Sequence[Span], width: int, height: int) -> None:
        self.width, self.height = width, height
        self.left, self.right = known[0].x, max(known[-1].x, known[0].x + 1)
        low, high = min(s.low for s in known), max(s.high for s in known)
        self.log = low > 0 and high / low > WIDE_RANGE
        if self.log:
            low, high = math.log10(low), math.log10(high)
        if not low < high:
            low, high = low - (abs(low) or 1) * 0.1, high + (abs(high) or 1) * 0.1
        edge = 0.04 * (high - low)
        self.low, self.high = low - edge, high + edge

    def x(self, value: float) -> float:
        share = (value - self.left) / (self.right - self.left)
        return _LEFT + share * (self.width - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        value = math.log10(value) if self.log else value
        share = (value - self.low) / (self.high - self.low)
        return self.height - _BOTTOM - share * (self.height - _TOP - _BOTTOM)

    def marks(self) -> list[float]:
        """Values of the horizontal lines."""
        if not self.log:
            return ticks(self.low, self.high, max(3, self.height // 44))
        decades = range(math.floor(self.low), math.ceil(self.high) + 1)
        inside = [10.0**d * m for d in decades for m in (1, 2, 5) if self.low <= math.log10(10.0**d * m) <= self.high]
        return inside if len(inside) <= self.height // 20 else [v for v in inside if f"{v:e}".startswith("1.0")]


def chart(
    points: Sequence[tuple[float, float]],
    *,
    title: str,
    width: int = 340,
    height: int = 170,
    stages: Sequence[tuple[float, str]] = (),
) -> str:
    """An SVG element of one series.

    Args:
        points: (x, y) in order of x; a y that is not finite leaves a gap.
        title: read by screen readers and shown by a pointer that rests on it.
        width, height: units of the view box; the page scales it.
        stages: x at which a stage begins, and its name.
    Returns:
        Markup; a line of words when no value is finite.
    """
    cut = spans(points)
    known = [span for span in cut if span is not None]
    if not known:
        return '<p class="quiet">no value is a number</p>'
    axes = _Axes(known, width, height)
    body = [_grid(axes), _stages(axes, stages)]
    for run in _runs(cut):
        if any(span.low < span.high for span in run):
            there = [f"{axes.x(s.x):.1f},{axes.y(s.high):.1f}" for s in run]
            back = [f"{axes.x(s.x):.1f},{axes.y(s.low):.1f}" for s in reversed(run)]
            body.append(f'<polygon class="band" points="{" ".join(there + back)}"/>')
        line = " ".join(f"{axes.x(s.x):.1f},{axes.y(s.mean):.1f}" for s in run)
        body.append(f'<polyline class="line" points="{line}"/>')
    end = known[-1]
    body.append(f'<circle class="end" cx="{axes.x(end.x):.1f}" cy="{axes.y(end.mean):.1f}" r="2.5"/>')
    name = html.escape(title)
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{name}"><title>{name}</title>'
        + "".join(body)
        + "</svg>"
    )


def _runs(cut: Sequence[Span | None]) -> list[list[Span]]:
    """Spans between gaps."""
    found: list[list[Span]] = [[]]
    for span in cut:
        if span is None:
            found.append([])
        else:
            found[-1].append(span)
    return [run for run in found if run]


def _grid(axes: _Axes) -> str:
    out = []
    for value in axes.marks():
        y = axes.y(value)
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{axes.width - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(f'<text class="tick" x="{_LEFT - 5}" y="{y + 3.5:.1f}" text-anchor="end">{short(value)}</text>')
    for value in ticks(axes.left, axes.right, max(3, axes.width // 110)):
        x, y = axes.x(value), axes.height - 6
        anchor = "end" if x > axes.width - 30 else "middle"
        out.append(f'<text class="tick" x="{x:.1f}" y="{y}" text-anchor="{anchor}">{short(value)}</text>')
    return "".join(out)


def _stages(axes: _Axes, stages: Sequence[tuple[float, str]]) -> str:
    out = []
    for at, name in stages:
        if axes.left <= at <= axes.right:
            x, bottom = axes.x(at), axes.height - _BOTTOM
            out.append(f'<line class="stage" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}"/>')
            if axes.width >= NAMED_STAGES:
                out.append(f'<text class="tick" x="{x + 4:.1f}" y="{_TOP + 9}">{html.escape(name)}</text>')
    return "".join(out)
