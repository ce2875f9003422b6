"""Generator weights on disk: our own format, and the import of the authors' published files.

Own format: one ``.safetensors`` file, tensors named ``<Network>.<key>`` as in ``HierarchicalGenerator.state_dict()``,
with the :class:`~apdgan.config.ModelConfig` as JSON in its metadata, so that a file describes itself.

Official formats: ``<epoch>_net_gen.pt`` (the state dicts of all eight networks), and a folder of, or any member of, the
older ``<epoch>_net_<Network>.pth`` files. Zip and legacy pickles are read alike, always with ``weights_only``: a pickle
that wants to run code is refused, and nothing in it is executed. The kind of a file is told by its first bytes.

Everything that is wrong with a file is a :class:`CheckpointError`, one line to show to a user.
"""

from __future__ import annotations

import json
import os
import re
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from apdgan.config import NET_NAMES, ModelConfig, preset
from apdgan.generator import HierarchicalGenerator

NETWORKS = (*NET_NAMES, "GCombine")
"""The eight networks, under the names that the official files use."""

_CONFIG_KEY = "apdgan.config"
_FIRST_CONV = "model.model.0.weight"
_STATISTICS = (".running_mean", ".running_var")
_COUNTER = ".num_batches_tracked"
_HEADER_LIMIT = 100_000_000
"""Bytes; the safetensors format allows no longer header."""
_NAMED = 3
"""So many wrong tensors are named in one message."""
_WANTED = (
    "expected a generator checkpoint: a .safetensors file written by apdgan, the official <epoch>_net_gen.pt, "
    "or the eight <epoch>_net_<Network>.pth files"
)


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or does not hold the generator it should; one line, names the file."""


def save(path: str | Path, generator: HierarchicalGenerator, extra: Mapping[str, str] | None = None) -> None:
    """Write a generator in our own format. The file appears whole or not at all.

    Args:
        path: where to write; an existing file is replaced.
        generator: on any device; weights are stored as they are typed.
        extra: what else to record (style, training data, licence, ...), read back by :func:`read_extra`.
    Raises:
        CheckpointError: the folder is missing or cannot be written, or the disk is full.
    """
    path = _checked(path)
    metadata = {**(extra or {}), _CONFIG_KEY: json.dumps(generator.config.to_dict())}
    tensors = {key: value.detach().cpu().contiguous() for key, value in generator.state_dict().items()}
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(safetensors.torch.save(tensors, metadata))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot write the checkpoint: {error.strerror}; choose another folder") from None
    finally:
        with suppress(OSError):
            part.unlink()


def load(path: str | Path, norm: str | None = None) -> HierarchicalGenerator:
    """Read a generator, on the CPU and in eval mode, from any format named above.

    Args:
        path: a file, or a folder of official files of one epoch.
        norm: None takes the norm a file of ours was saved with, and "instance" for official files: their authors drew
            with the statistics of the single picture, never with the running ones. Give "batch" for those.
    Raises:
        CheckpointError: the file is missing, corrupt, of another kind or malicious, or a tensor is missing, extra or
            misshapen (the message names it, with what was expected and what was found).
    """
    path = _checked(path)
    if _is_own(path):
        config, state = read_config(path), _read_own(path)
    else:
        networks = _read_official(path)
        config, state = _infer(path, networks), _flatten(networks)
    return _build(path, config if norm is None else replace(config, norm=norm), state)


def read_config(path: str | Path) -> ModelConfig:
    """What model a checkpoint holds. Of our own format only the header is read; official files are read whole."""
    path = _checked(path)
    if not _is_own(path):
        return _infer(path, _read_official(path))
    text = _metadata(path).get(_CONFIG_KEY)
    if text is None:
        raise CheckpointError(f"{path}: {_WANTED}; got a safetensors file of something else")
    try:
        return ModelConfig.from_dict(json.loads(text))
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{path}: expected the settings of a generator in its header; got {error}") from None


def read_extra(path: str | Path) -> dict[str, str]:
    """What :func:`save` was given as ``extra``; empty for official files."""
    path = _checked(path)
    return {k: v for k, v in _metadata(path).items() if k != _CONFIG_KEY} if _is_own(path) else {}


def infer_config(networks: Mapping[str, Mapping[str, Tensor]]) -> ModelConfig:
    """Settings of the official generator: its base width is read off the global network's first convolution.

    Args:
        networks: network name -> state dict, as ``<epoch>_net_gen.pt`` holds them.
    Raises:
        CheckpointError: that convolution is missing or misshapen.
    """
    name = f"G.{_FIRST_CONV}"
    first = networks.get("G", {}).get(_FIRST_CONV)
    if first is None:
        raise CheckpointError(f"expected {name} (width, 3, 4, 4); got no such tensor")
    if not isinstance(first, Tensor) or first.ndim != 4 or first.shape[0] < 1 or first.shape[1:] != (3, 4, 4):
        raise CheckpointError(f"expected {name} (width, 3, 4, 4); got {_describe(first)}")
    return preset("paper", norm="instance", width=first.shape[0])


def _infer(path: Path, networks: Mapping[str, Mapping[str, Tensor]]) -> ModelConfig:
    try:
        return infer_config(networks)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _build(path: Path, config: ModelConfig, state: Mapping[str, Any]) -> HierarchicalGenerator:
    """Check every tensor against the model that ``config`` describes, then fill it."""
    try:
        with torch.device("meta"):  # shapes only: a header that lies about its size must not cost memory
            needed = HierarchicalGenerator(config).state_dict()
            # Running statistics are known to every norm, so that a file may hold them where they are not used.
            known = HierarchicalGenerator(replace(config, norm="batch")).state_dict()
    except (ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: expected the settings of a generator in its header; got {error}") from None
    if faults := _faults(state, needed, known):
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        advice = "; load it with norm 'instance'" if _only_statistics_are_missing(state, needed) else ""
        raise CheckpointError(f"{path}: not this generator: " + "; ".join(faults[:_NAMED]) + more + advice)
    generator = HierarchicalGenerator(config)
    # Files older than num_batches_tracked: torch counts from zero, and only training reads the count.
    generator.load_state_dict({key: state.get(key, torch.tensor(0)) for key in needed})
    return generator.eval()


def _faults(state: Mapping[str, Any], needed: Mapping[str, Tensor], known: Mapping[str, Tensor]) -> list[str]:
    faults = []
    for key in sorted(known.keys() | state.keys()):
        if key not in known:
            faults.append(f"expected no tensor {key}, got {_describe(state[key])}")
        elif key not in state:
            if key in needed and not key.endswith(_COUNTER):
                faults.append(f"expected {key} {_describe(known[key])}, got no such tensor")
        elif not _fits(state[key], known[key]):
            faults.append(f"expected {key} {_describe(known[key])}, got {_describe(state[key])}")
    return faults


def _fits(got: Any, want: Tensor) -> bool:
    if not isinstance(got, Tensor) or got.layout is not torch.strided or got.is_meta or got.shape != want.shape:
        return False
    return got.is_floating_point() == want.is_floating_point() and bool(got.isfinite().all())


def _only_statistics_are_missing(state: Mapping[str, Any], needed: Mapping[str, Tensor]) -> bool:
    missing = [key for key in needed if key not in state and not key.endswith(_COUNTER)]
    return bool(missing) and all(key.endswith(_STATISTICS) for key in missing)


def _describe(value: Any) -> str:
    if not isinstance(value, Tensor):
        return type(value).__name__
    text = f"{tuple(value.shape)}"
    if value.layout is not torch.strided or not value.is_floating_point():
        return f"{text} {value.dtype} {value.layout}".replace("torch.", "").removesuffix(" strided")
    return text if value.is_meta or value.isfinite().all() else f"{text} with values that are not finite"


# --- our own format -------------------------------------------------------------------------------------------------


def _checked(path: str | Path) -> Path:
    if not str(path):  # as a Path it would mean the current folder
        raise CheckpointError(f"{_WANTED}; got an empty path")
    return Path(path)


def _is_own(path: Path) -> bool:
    """True for a safetensors file: eight bytes of header length, then the header's opening brace."""
    head = _head(path)
    return int.from_bytes(head[:8], "little") <= _HEADER_LIMIT and head[8:9] == b"{"


def _head(path: Path) -> bytes:
    """The first bytes of a file, none of a folder: the door that every path comes in through."""
    if path.is_dir():
        return b""
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise CheckpointError(f"{path}: {_WANTED}; got: {error.strerror}") from None
    if not head:
        raise CheckpointError(f"{path}: {_WANTED}; got an empty file")
    return head


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except (safetensors.SafetensorError, OSError) as error:
        raise _corrupt(path, error) from None


def _read_own(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError) as error:
        raise _corrupt(path, error) from None


def _corrupt(path: Path, error: Exception) -> CheckpointError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
    return CheckpointError(f"{path}: the file is damaged or incomplete ({reason}); copy or download it again")


# --- the official formats -------------------------------------------------------------------------------------------

_GENERATOR = re.compile(r"(?P<epoch>.+)_net_gen\.pt")
_MEMBER = re.compile(rf"(?P<epoch>.+)_net_(?P<network>{'|'.join(NETWORKS)})\.pth")


def _read_official(path: Path) -> dict[str, dict[str, Tensor]]:
    """Network -> state dict of an official file or folder; the names of the networks are checked, not the tensors."""
    if path.is_dir():
        return _read_folder(path)
    if member := _MEMBER.fullmatch(path.name):
        return _read_members(path.parent, member["epoch"])
    networks = _unpickle(path)
    found = ", ".join(sorted(map(str, networks))[:4]) or "nothing"
    if set(networks).isdisjoint(NETWORKS):
        raise CheckpointError(f"{path}: {_WANTED}; got a file that holds {found}")
    for name in [*NETWORKS, *networks]:
        if name not in networks:
            raise CheckpointError(f"{path}: expected the eight networks {', '.join(NETWORKS)}; got no {name}")
        if name not in NETWORKS:
            raise CheckpointError(f"{path}: expected the eight networks {', '.join(NETWORKS)}; got also {name}")
    return {name: _state(path, name, networks[name]) for name in NETWORKS}


def _read_folder(folder: Path) -> dict[str, dict[str, Tensor]]:
    names = sorted(p.name for p in folder.iterdir())
    whole = {m["epoch"] for name in names if (m := _GENERATOR.fullmatch(name))}
    epochs = sorted(whole | {m["epoch"] for name in names if (m := _MEMBER.fullmatch(name))})
    if not epochs:
        raise CheckpointError(f"{folder}: {_WANTED}; got a folder without any of them")
    if len(epochs) > 1:
        raise CheckpointError(f"{folder}: expected one epoch; got {', '.join(epochs)}; name a file of one epoch")
    epoch = epochs[0]
    return _read_official(folder / f"{epoch}_net_gen.pt") if epoch in whole else _read_members(folder, epoch)


def _read_members(folder: Path, epoch: str) -> dict[str, dict[str, Tensor]]:
    paths = {name: folder / f"{epoch}_net_{name}.pth" for name in NETWORKS}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if missing:
        raise CheckpointError(f"{folder}: expected eight files {epoch}_net_<Network>.pth; got no {', '.join(missing)}")
    return {name: _state(path, name, _unpickle(path)) for name, path in paths.items()}


def _state(path: Path, network: str, state: Any) -> dict[str, Tensor]:
    """A state dict under plain keys; what a data-parallel wrapper puts before every key is dropped."""
    if not isinstance(state, Mapping):
        raise CheckpointError(f"{path}: expected {network} to be a state dict; got {_describe(state)}")
    wrapped = bool(state) and all(str(key).startswith("module.") for key in state)
    return {str(key).removeprefix("module.") if wrapped else str(key): value for key, value in state.items()}


def _flatten(networks: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {f"{name}.{key}": value for name, state in networks.items() for key, value in state.items()}


def _unpickle(path: Path) -> Mapping[str, Any]:
    """The mapping in a torch file; never executes what a pickle asks for."""
    head = _head(path)
    if head[:2] == b"PK":
        _expect_torch_archive(path)
    elif head[:1] != b"\x80":
        raise CheckpointError(f"{path}: {_WANTED}; got a file of another kind")
    try:
        # An open file, because torch would choose another reader by the suffix of a name.
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on pickles newer than its own; they are refused or read
            value = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's readers raise nearly every built-in error on damaged bytes
        if code := re.search(r"GLOBAL\s+([\w.]+)", str(error)):
            raise CheckpointError(
                f"{path}: expected weights only; got code that wants to run {code[1]}; nothing was run; do not trust it"
            ) from None
        raise _corrupt(path, error) from None
    if not isinstance(value, Mapping):
        raise CheckpointError(f"{path}: {_WANTED}; got a file that holds a {type(value).__name__}")
    return value


def _expect_torch_archive(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise _corrupt(path, error) from None
    if not any(name.endswith("data.pkl") for name in names):
        raise CheckpointError(f"{path}: {_WANTED}; got a zip archive of other files; unpack it and name one of those")
