"""A run on disk: everything that is needed to go on exactly, written whole or not at all.

``state.safetensors`` holds tensors ``model.<network>.<key>``, ``average.<key>`` (of the averaged network) and
``optimizer.<phase>.<i>.<field>``; where the run stands is JSON in its metadata. Randomness needs no state: what a step
draws depends on the seed and the step's number alone (:func:`seed_step`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from train.ema import Average

STATE = "state.safetensors"
_KEY = "apdgan.run"
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""What a network with norm "instance" has no use for."""


class RunError(ValueError):
    """A run that cannot begin or go on; one line that says what to do."""


@dataclass(slots=True, kw_only=True)
class Progress:
    """Where a run stands."""

    step: int = 0
    """Optimiser steps done."""
    stage: int = 0
    stage_step: int = 0
    samples: int = 0
    """Of this stage, over all processes."""
    spent_s: float = 0.0
    stage_spent_s: float = 0.0

    def next_stage(self) -> None:
        """Stand at the beginning of the stage after this one."""
        self.stage += 1
        self.stage_step = self.samples = 0
        self.stage_spent_s = 0.0


def seed_step(seed: int, step: int, rank: int) -> None:
    """Make torch's randomness (dropout) a pure function of run, step and process."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1, np.uint64)[0] >> 1))


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Replace a file in one go; a full disk leaves the old one.

    Args:
        path: the file.
        write: writes it under the name that it is given.
    Raises:
        RunError: names the file.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, safetensors.SafetensorError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        kept = "the last good one is still there" if path.exists() else "none was written before"
        raise RunError(f"{path}: cannot be saved: {reason}; {kept}; free some space and start again") from None
    finally:
        with suppress(OSError):
            part.unlink()


def save_state(
    folder: Path,
    *,
    networks: Mapping[str, nn.Module],
    average: Average,
    optimizers: Mapping[str, torch.optim.Optimizer],
    progress: Progress,
    facts: Mapping[str, str],
) -> None:
    """Write the checkpoint of a run.

    Args:
        facts: what a resumed run must agree with (see :func:`load_state`).
    Raises:
        RunError: a weight is not finite, or the disk is full; the last checkpoint stays as it is.
    """
    tensors = {f"model.{n}.{k}": v for n, network in networks.items() for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.tensors.items()}
    for name, optimizer in optimizers.items():
        for i, fields in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{name}.{i}.{k}": torch.as_tensor(v) for k, v in fields.items()}
    if bad := first_not_finite(tensors):
        raise RunError(f"step {progress.step}: {bad} is not finite; the last good checkpoint is in {folder}")
    plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    meta = {_KEY: json.dumps(asdict(progress)), "step": str(progress.step), "spent_s": str(progress.spent_s)}
    meta |= {f"fact.{k}": v for k, v in facts.items()}
    write_whole(folder / STATE, lambda part: save_file(plain, part, meta))


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The key of a tensor with a NaN or an infinity, or None."""
    floats = {key: value for key, value in tensors.items() if value.is_floating_point()}
    if not floats or bool(torch.stack([value.isfinite().all().cpu() for value in floats.values()]).all()):
        return None
    return next(key for key, value in floats.items() if not value.isfinite().all())


def load_state(
    folder: Path,
    *,
    networks: Mapping[str, nn.Module],
    average: Average,
    optimizers: Mapping[str, torch.optim.Optimizer],
    facts: Mapping[str, str],
) -> Progress:
    """Go on from the folder's checkpoint, or begin where there is none.

    Raises:
        RunError: the file is damaged, or another kind of run is in the folder.
    """
    path = folder / STATE
    if not path.exists():
        return Progress()
    meta, tensors = read_state(path)
    advice = f"choose another [run] out, or remove {path}"
    if _KEY not in meta:
        raise RunError(f"{path}: expected the checkpoint of such a run, got one of another kind; {advice}")
    for key, value in facts.items():
        if (old := meta.get(f"fact.{key}")) != value:
            raise RunError(f"{path}: expected {key} {value}, got a run with {old}; {advice}")
    try:
        for name, network in networks.items():
            network.load_state_dict(_under(tensors, f"model.{name}."))
        average.load(_under(tensors, "average."))
        for name, optimizer in optimizers.items():
            _load_optimizer(optimizer, _under(tensors, f"optimizer.{name}."))
        return Progress(**json.loads(meta[_KEY]))
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RunError(f"{path}: not a checkpoint of this run ({reason}); {advice}") from None


def read_state(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a safetensors file. Raises RunError naming it."""
    try:
        with safetensors.safe_open(path, "pt") as file:
            meta = dict(file.metadata() or {})
        return meta, load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise RunError(
            f"{path}: expected a safetensors file, got one that is damaged or of another kind: {error}"
        ) from None


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, field = key.split(".")
        state.setdefault(int(index), {})[field] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


# --- weights to start from ------------------------------------------------------------------------------------------


def start_from(network: nn.Module, path: Path, *, partial: bool, prefix: str = "average.") -> int:
    """Fill a network from a checkpoint of any kind. Returns how many tensors were taken.

    Args:
        network: what is filled.
        path: an apdgan or official checkpoint, a run's ``state.safetensors`` (its averaged weights are taken), or a
            safetensors file of bare tensors.
        prefix: which tensors of a run's checkpoint.
        partial: take what fits by name and shape; else every tensor must.
    Raises:
        ValueError: what does not fit, by name.
    """
    tensors, own = _start_tensors(path, prefix), network.state_dict()
    fitting = {key: v for key, v in tensors.items() if key in own and v.shape == own[key].shape}
    wrong = [key for key in own if key not in fitting and not key.endswith(_STATISTICS[2])]
    wrong += [key for key in tensors if key not in own and not key.endswith(_STATISTICS)]
    if wrong and not partial:
        key = wrong[0]
        want, got = (tuple(t[key].shape) if key in t else "none" for t in (own, tensors))
        raise RunError(
            f"{path}: expected {key} {want}, got {got} ({len(wrong)} such); "
            "set [model] start_partial = true to take what fits"
        )
    if not fitting:
        raise RunError(f"{path}: expected weights of this kind of network, got none that fits")
    network.load_state_dict({**own, **fitting})
    return len(fitting)


def _start_tensors(path: Path, prefix: str) -> dict[str, Tensor]:
    from apdgan.checkpoint import load

    if path.suffix != ".safetensors":
        return load(path, "batch").state_dict()
    _meta, tensors = read_state(path)
    return _under(tensors, prefix) or tensors
