"""What ``make gpu-check`` measured, beside what is wanted of an H100."""

from __future__ import annotations

from typing import Any

TARGETS = {
    "paper, TensorRT fp16, batch 1": ("tensorrt fp16", 1, "ms_p50", 1.0),
    "paper, compiled fp16, batch 1": ("inductor fp16", 1, "ms_p50", 1.3),
    "paper, faces a second, batch 16": ("tensorrt fp16", 16, "faces_per_s", 1500.0),
}
"""On an H100: (engine, batch, figure, bound)."""
FASTER = 5.0
"""Target: so many times as fast as torch as it stands, ``paper``, batch 1."""


def lines(report: dict[str, Any]) -> list[str]:
    """One line for each target: the figure, and whether it is met."""
    told = []
    for what, (name, batch, figure, bound) in TARGETS.items():
        found = [
            row[figure]
            for row in report["rows"]
            if row["engine"] == name
            and row["batch"] == batch
            and figure in row
            and report["models"][row["model"]]["preset"] == "paper"
        ]
        if not found:
            told.append(f"{what}: not measured")
            continue
        value = min(found) if figure.startswith("ms") else max(found)
        met = value <= bound if figure.startswith("ms") else value >= bound
        told.append(f"{what}: {value:g}, target {bound:g}: {'met' if met else 'MISSED'}")
    return [*told, _faster(report)]


def _faster(report: dict[str, Any]) -> str:
    """One line: how many times as fast as torch as it stands the fastest engine draws one portrait with ``paper``."""
    what = "paper, fp16, batch 1, times as fast as eager torch"
    eager = [
        row["ms_p50"]
        for row in report["branches"]
        if (row["model"], row["engine"], row["branches"], row["batch"]) == ("paper", "eager fp16", "single", 1)
        and "ms_p50" in row
    ]
    ours = [
        row["ms_p50"]
        for row in report["rows"]
        if row["engine"].endswith(" fp16")
        and row["batch"] == 1
        and "ms_p50" in row
        and report["models"][row["model"]]["preset"] == "paper"
    ]
    if not eager or not ours:
        return f"{what}: not measured"
    value = eager[0] / min(ours)
    return f"{what}: {value:.1f}, target {FASTER:g}: {'met' if value >= FASTER else 'MISSED'}"
