"""Where the time of a run goes, layer by layer, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engines.contract import DrawingEngine, Engine, LayerTime, warm_up
from engines.errors import EngineError, ModelError

DRAWS = 20
ROWS, KEPT = 12, 300
"""Rows of the table, and of the file of figures; what is left out is one row more."""


def of(engine: Engine) -> list[dict[str, Any]] | None:
    """``name``, ``what``, ``ms`` and ``calls`` of one run of one portrait, slowest first; None: its runtime does not
    tell. Raises what the runtime does: a profiler that may not be used is no reason to end."""
    found = engine.layers(1, DRAWS) if isinstance(engine, DrawingEngine) else None
    return None if found is None else _rows(found)


def eager(model: Path) -> tuple[list[dict[str, Any]] | None, str]:
    """(rows by the network's own modules, run on the GPU in fp16 as they stand; why there are none).

    Compiled kernels carry the names of what they were fused from; this tells which layer it is.
    """
    from engines.backends.pytorch import INSTALL, Compiled

    backend = Compiled("eager", needs=(), install=INSTALL)
    if (why := backend.probe()) is not None:
        return None, why
    if not backend.reads(model):
        return None, f"there is no {model.with_suffix('.safetensors').name} beside it"
    try:
        session = backend.open_session(model, kind="drawing", precision="fp16", threads=None)
    except (EngineError, ModelError) as error:
        return None, str(error)
    with DrawingEngine(session=session, manifest=backend.describe(model.with_suffix(".safetensors"))) as engine:
        warm_up(engine)
        return of(engine), ""


def _rows(found: Sequence[LayerTime]) -> list[dict[str, Any]]:
    rows = [
        {"name": one.name, "what": one.what, "ms": round(one.ms, 5), "calls": round(one.calls, 2)}
        for one in found[:KEPT]
    ]
    if rest := found[KEPT:]:
        ms, calls = sum(one.ms for one in rest), sum(one.calls for one in rest)
        rows.append({"name": f"{len(rest)} more", "what": "", "ms": round(ms, 5), "calls": round(calls, 2)})
    return rows


def table(layers: dict[str, list[dict[str, Any]]]) -> str:
    """Markdown: a table for each engine, the slowest layers and the rest."""
    lines: list[str] = []
    for what, rows in layers.items():
        total = sum(row["ms"] for row in rows)
        lines += [f"{what}, {total:.3f} ms under the profiler:", "", "| layer | what | ms | of all | times |"]
        lines.append("|---|---|---|---|---|")
        rest = rows[ROWS:]
        shown = [(row["name"], row["what"], row["ms"], f"{row['calls']:g}") for row in rows[:ROWS]]
        if rest:
            shown.append((f"{len(rest)} more", "", sum(row["ms"] for row in rest), ""))
        for name, kind, ms, calls in shown:
            lines.append(f"| {_cell(name)} | {_cell(kind)} | {ms:.4f} | {ms / total if total else 0:.0%} | {calls} |")
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    short = text if len(text) <= 80 else f"{text[:77]}..."
    return short.replace("|", "/").replace("\n", " ")
