"""What a figure was measured on."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def describe() -> dict[str, str | int | float]:
    """date, cpu, cores this process may use, load of the last minute (-1: unknown), system, python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        "cpu": _cpu(),
        "cores": cores,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else -1,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def slug(described: dict[str, str | int | float]) -> str:
    """A short name for files, for example ``2-cores``."""
    return f"{described['cores']}-cores"


def write(folder: Path, name: str, result: Mapping[str, Any], text: str) -> Path:
    """Write ``NAME-DATE-CORES.json`` and ``.md`` (``text``) into ``folder``, which is made; returns their stem.

    ``result["machine"]`` is of :func:`describe`. Raises OSError.
    """
    told = result["machine"]
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{name}-{str(told['date'])[:10]}-{slug(told)}"
    stem.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(text, encoding="utf-8")
    return stem
