"""torch itself, eager fp32 on the CPU: runs checkpoints, and is the reference for every exported graph."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.contract import usable_threads
from engines.errors import EngineError, ModelError
from engines.manifest import Kind, Manifest
from engines.weights import halved, weights_sha256

PRECISIONS = ("fp32",)
INSTALL = "pip install torch safetensors"
SUFFIXES = (".safetensors", ".pt", ".pth")


def reads(path: Path) -> bool:
    return path.suffix in SUFFIXES or path.is_dir()


def probe() -> str | None:
    """None, or why torch cannot be used here and what to do."""
    try:
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ModuleNotFoundError as error:
        return f"{error.name} is not installed; {INSTALL}"
    except (ImportError, OSError, RuntimeError) as error:
        return f"installed but does not import ({error}); {INSTALL} --force-reinstall"
    return None


def choose(_manifest: Manifest) -> tuple[str, str]:
    """Precision, and why (empty: nothing to say)."""
    return "fp32", ""


def describe(path: Path) -> Manifest:
    """Manifest of a checkpoint.

    Raises:
        EngineError: torch is not installed.
        ModelError: the checkpoint is missing, damaged, malicious or of another network.
    """
    return _read(path)[1]


def open_session(path: Path, *, kind: Kind, precision: str, threads: int | None) -> TorchSession:
    """Open a checkpoint.

    Raises:
        EngineError: torch is not installed, or a matte network is asked for.
        ModelError: the checkpoint is missing, damaged, malicious or of another network.
    """
    if kind != "drawing":
        raise EngineError("engine torch: draws portraits only; find the matte with openvino or onnxruntime")
    return TorchSession(generator=_read(path)[0], precision=precision, threads=usable_threads(threads))


def open_reference(path: Path, *, model: Path, manifest: Manifest, threads: int | None) -> TorchSession:
    """Open the checkpoint that ``model`` was exported from, its weights as that file holds them.

    Raises:
        EngineError: torch is not installed.
        ModelError: as :func:`open_session`, or the checkpoint's weights are not those of the model.
    """
    generator, known = _read(path)
    digest = known.weights_sha256
    if manifest.weights == "fp16":
        generator = halved(generator)
        digest = weights_sha256(generator.state_dict())
    if digest != manifest.weights_sha256:
        raise ModelError(f"model {path}: expected the weights that {model.name} was exported from, got others")
    return TorchSession(generator=generator, precision="fp32", threads=usable_threads(threads))


class TorchSession:
    """One drawer in eager torch. The thread count is torch's own, one for the whole process."""

    def __init__(self, *, generator: Any, precision: str, threads: int) -> None:
        import torch

        from apdgan.drawer import PortraitDrawer

        torch.set_num_threads(threads)
        self._drawer: Any = PortraitDrawer(generator).eval()
        self.name = f"torch {precision}"
        self.device = f"CPU, {threads} thread{'s' if threads > 1 else ''}"

    def run(self, arrays: Mapping[str, NDArray[np.generic]]) -> NDArray[np.uint8]:
        import torch

        photo, boxes, matte = (torch.from_numpy(_own(arrays[name])) for name in ("photo", "boxes", "matte"))
        with torch.inference_mode():
            result: NDArray[np.uint8] = self._drawer(photo, boxes, matte).numpy()
        return result

    def close(self) -> None:
        self._drawer = None


def _own(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """Contiguous and writable, which torch wants of memory it shares; copied only where it is neither."""
    return np.require(array, requirements=["C", "W"])


def _read(path: Path) -> tuple[Any, Manifest]:
    """(generator in eval mode, its manifest)."""
    if reason := probe():
        raise EngineError(f"engine torch: {reason}")
    from apdgan import checkpoint
    from apdgan.cost import generator_gmac

    try:
        generator = checkpoint.load(path)
        extra = checkpoint.read_extra(path)
    except checkpoint.CheckpointError as error:
        raise ModelError(f"model {error}") from None
    config = generator.config
    return generator, Manifest(
        kind="drawing",
        family="apdrawinggan",
        preset=config.family,
        width=config.width,
        norm="instance" if config.norm == "instance" else "batch",
        weights_sha256=weights_sha256(generator.state_dict()),
        gmac=round(generator_gmac(generator)["total"], 3),
        style=extra.get("style", "not stated"),
        licence=extra.get("licence", "not stated"),
        data=extra.get("data", "not stated"),
        version=extra.get("version", "1"),
    )
