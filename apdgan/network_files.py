"""Files of the networks that only training needs: the discriminators, and the four auxiliary networks.

Ours: one ``.safetensors`` file, tensors named ``<Network>.<key>``. Official: one torch file with the state dicts by
name (``<epoch>_net_dis.pt``), or a folder of ``<epoch>_net_<Network>.pth`` (``latest_net_DT1.pth``, ...), or any member
of it. Pickles are read with ``weights_only``, so nothing in them is executed.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from apdgan.checkpoint import CheckpointError

State = Mapping[str, Tensor]
_COUNTER = ".num_batches_tracked"


def read_networks(path: str | Path, names: Sequence[str]) -> dict[str, State]:
    """Network -> state dict, of the networks named.

    Raises:
        CheckpointError: one line that names the file, what was expected and what it holds.
    """
    path = Path(path)
    files = _members(path, names)
    if files:
        return {name: _state(file, name, _unpickle(file)) for name, file in files.items()}
    if path.suffix == ".safetensors":
        tensors = _read_safetensors(path)
        found = {n: {k[len(n) + 1 :]: v for k, v in tensors.items() if k.startswith(f"{n}.")} for n in names}
        found = {name: state for name, state in found.items() if state}
    else:
        found = {str(name): state for name, state in _unpickle(path).items()}
    if missing := [name for name in names if name not in found]:
        raise CheckpointError(f"{path}: expected the networks {', '.join(names)}; got no {', '.join(missing)}")
    return {name: _state(path, name, found[name]) for name in names}


def fill(module: nn.Module, networks: Mapping[str, State], path: str | Path) -> None:
    """Load state dicts into the sub-modules of those names; counters that old files lack start at zero.

    Raises:
        CheckpointError: the first tensor that is missing, extra or misshapen, by name.
    """
    for name, state in networks.items():
        network = module.get_submodule(name)
        own = network.state_dict()
        for key in sorted(own.keys() | state.keys()):
            want, got = (tuple(s[key].shape) if key in s else "none" for s in (own, state))
            if want != got and not (got == "none" and key.endswith(_COUNTER)):
                raise CheckpointError(f"{path}: expected {name}.{key} {want}, got {got}; it is of another network")
        network.load_state_dict({key: state.get(key, torch.tensor(0)) for key in own})


def first_width(path: str | Path, state: State, key: str) -> int:
    """Base width of a network: how many channels its first convolution, ``key``, puts out."""
    weight = state.get(key)
    if weight is None or weight.ndim != 4:
        raise CheckpointError(f"{path}: expected a convolution {key}, got {'none' if weight is None else 'another'}")
    return weight.shape[0]


def _members(path: Path, names: Sequence[str]) -> dict[str, Path]:
    """The official per-network files that a folder holds, or that lie beside the member named; else nothing."""
    pattern = re.compile(rf"(?P<epoch>.+)_net_(?:{'|'.join(names)})\.pth")
    member = pattern.fullmatch(path.name)
    if not member and not path.is_dir():
        return {}
    epochs = {member["epoch"]} if member else {m["epoch"] for p in path.iterdir() if (m := pattern.fullmatch(p.name))}
    if len(epochs) != 1:
        got = ", ".join(sorted(epochs)) or "none"
        raise CheckpointError(f"{path}: expected files <epoch>_net_<Network>.pth of one epoch; got {got}")
    folder, epoch = path.parent if member else path, epochs.pop()
    files = {name: folder / f"{epoch}_net_{name}.pth" for name in names}
    if missing := [file.name for file in files.values() if not file.is_file()]:
        raise CheckpointError(f"{folder}: expected a file for each of {', '.join(names)}; got no {', '.join(missing)}")
    return files


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(f"{path}: expected a safetensors file; got {_line(error)}") from None


def _unpickle(path: Path) -> Mapping[str, Any]:
    try:
        # An open file, because torch would choose another reader by the suffix of a name.
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on pickles newer than its own; they are refused or read
            value = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's readers raise nearly every built-in error on damaged bytes
        raise CheckpointError(f"{path}: expected a torch file that holds weights only; got {_line(error)}") from None
    if not isinstance(value, Mapping):
        raise CheckpointError(f"{path}: expected state dicts; got a file that holds a {type(value).__name__}")
    return value


def _state(path: Path, name: str, state: Any) -> dict[str, Tensor]:
    """A state dict under plain keys; what a data-parallel wrapper puts before every key is dropped."""
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path}: expected {name} to be a state dict; got {type(state).__name__}")
    if not all(bool(value.isfinite().all()) for value in state.values()):
        raise CheckpointError(f"{path}: {name} holds values that are not finite; copy or download it again")
    return {str(key).removeprefix("module."): value for key, value in state.items()}


def _line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return ((str(error).strip() or type(error).__name__).splitlines())[0][:120]
