"""What a run leaves besides its checkpoint: ``run.json`` and the report."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from safetensors.torch import save_file
from torch import nn

from apdgan.checkpoint import save
from apdgan.generator import HierarchicalGenerator
from train.distributed import World
from train.journal import hardware
from train.state import Progress, write_whole


def write_facts(
    folder: Path, record: Mapping[str, object], *, progress: Progress, world: World, finished: bool
) -> None:
    """Write ``run.json``: where the run stands, on what machine, from which data. Whole or not at all."""
    facts = {
        **record,
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        "finished": finished,
        **asdict(progress),
        "processes": world.size,
        "hardware": hardware(world.device),
    }
    write_whole(folder / "run.json", lambda part: part.write_text(json.dumps(facts, indent=1), encoding="utf-8"))


def read_data(folder: Path) -> dict[str, dict[str, object]]:
    """What the run in a folder has learnt from so far: stage -> pairs and sha256. Empty where there is no run."""
    try:
        return dict(json.loads((folder / "run.json").read_text(encoding="utf-8"))["data"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def save_weights(path: Path, network: nn.Module, facts: Mapping[str, str]) -> None:
    """Write a run's averaged network: a generator in our own format, any other as its bare tensors by name."""
    if isinstance(network, HierarchicalGenerator):
        save(path, network, facts)
        return
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    write_whole(path, lambda part: save_file(tensors, part, dict(facts)))


def finish(folder: Path) -> None:
    """Write the report, where the report's libraries are there; a report that fails loses nothing of the run."""
    try:
        from train.report import write_report
    except ImportError:
        return
    try:
        write_report(folder)
    except (ValueError, OSError) as error:
        print(f"{folder}: the report was not written: {error}", file=sys.stderr)
