"""torch itself: eager fp32 on the CPU, the reference for every exported graph; and compiled for an NVIDIA GPU.

Two ways to compile the same module: ``inductor``, which needs nothing but torch and runs in CUDA graphs, and
``torch_tensorrt``. Both draw from a checkpoint, or from an export whose checkpoint lies beside it.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.contract import LayerTime, usable_threads
from engines.errors import EngineError, ModelError
from engines.gpu import find_gpu, no_gpu
from engines.manifest import Kind, Manifest, read_manifest
from engines.samples import synthetic
from engines.torch_profile import by_layer
from engines.torch_session import CompiledSession
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
    generator = _exported(path, model, manifest)
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

    def layers(self, batch: int, draws: int) -> list[LayerTime]:
        """Time of every module, by the CPU's clock."""
        arrays = synthetic("drawing", batch)
        return by_layer(lambda: self.run(arrays), self._drawer, draws, cuda=False)

    def close(self) -> None:
        self._drawer = None


class Compiled:
    """What :mod:`engines.backends` asks of a backend, for torch compiled one way."""

    PRECISIONS = ("fp16", "fp32", "bf16")

    def __init__(self, name: str, *, needs: tuple[str, ...], install: str) -> None:
        self.name = name
        self._needs = needs
        self._install = install

    def reads(self, path: Path) -> bool:
        return reads(path) or (path.suffix == ".onnx" and path.with_suffix(".safetensors").is_file())

    def probe(self) -> str | None:
        """None, or why it cannot draw here and what to do."""
        if reason := probe() or no_gpu():
            return reason
        import torch

        if not torch.cuda.is_available():
            return f"this torch ({torch.__version__}) cannot use the GPU; {INSTALL}, a build with CUDA"
        for library in self._needs:
            try:
                importlib.import_module(library)
            except ModuleNotFoundError as error:
                return f"{error.name} is not installed; {self._install}"
            except Exception as error:  # beside another torch than its own it raises anything
                return f"{library} is installed but does not import ({_line(error)}); {self._install}"
        return None

    def choose(self, _manifest: Manifest) -> tuple[str, str]:
        """Precision, and why (empty: nothing to say)."""
        return "fp16", ""

    def describe(self, path: Path) -> Manifest:
        """Manifest of a checkpoint; errors as :func:`describe`."""
        return describe(path)

    def open_session(self, path: Path, *, kind: Kind, precision: str, threads: int | None) -> CompiledSession:
        """Open and compile a checkpoint, or the one beside an export.

        Raises:
            EngineError: as :meth:`probe` tells, or a matte network is asked for.
            ModelError: as :func:`open_reference`.
        """
        del threads  # the GPU has its own
        if kind != "drawing":
            raise EngineError(f"engine {self.name}: draws portraits only; find the matte with openvino or onnxruntime")
        gpu = find_gpu()
        if path.suffix == ".onnx":
            generator = _exported(path.with_suffix(".safetensors"), path, read_manifest(path))
        else:
            generator = _read(path)[0]
        return CompiledSession(
            generator=generator, how=self.name, precision=precision, device="cuda", device_name=gpu.name
        )


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _exported(path: Path, model: Path, manifest: Manifest) -> Any:
    """The generator that ``model`` was exported from, with the weights as that file holds them; errors as above."""
    generator, known = _read(path)
    digest = known.weights_sha256
    if manifest.weights == "fp16":
        generator = halved(generator)
        digest = weights_sha256(generator.state_dict())
    if digest != manifest.weights_sha256:
        raise ModelError(f"model {path}: expected the weights that {model.name} was exported from, got others")
    return generator


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


VARIANTS = {
    "inductor": Compiled("inductor", needs=("triton",), install="pip install triton"),
    "torch_tensorrt": Compiled("torch_tensorrt", needs=("torch_tensorrt",), install="pip install torch-tensorrt"),
}
"""Backend name -> what :mod:`engines.choose` calls; ``torch`` is this module itself."""
