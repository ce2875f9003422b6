"""TensorRT (datacentre, Jetson) and TensorRT-RTX (GeForce, RTX): one backend, two libraries, the same exported graph.

A plan is built on first use, kept in the cache and built again when it does not fit: another model file, library
version, GPU, precision. TensorRT-RTX builds in seconds, TensorRT in minutes.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import sys
from pathlib import Path
from typing import Any

from engines import cuda as cuda_runtime
from engines.building import Building, Progress
from engines.errors import EngineError, ModelError
from engines.gpu import Gpu, find_gpu, no_gpu
from engines.manifest import Kind, Manifest, read_manifest
from engines.plans import PORTABLE, SUFFIX, Plan, PlanKey, cache_folder, cached, file_sha256, keep, mismatch, read_plan
from engines.precision import retyped
from engines.trt_builder import Built
from engines.trt_builder import build as build_plan
from engines.trt_session import BUCKETS, TrtSession

MOST = BUCKETS[-1]

_LOG = logging.getLogger("engines")


class TensorRt:
    """What :mod:`engines.backends` asks of a backend, for one of the two libraries."""

    PRECISIONS = ("fp16", "fp32", "bf16")
    BUILDS = True
    """``open_session`` takes ``building``."""

    def __init__(self, name: str, *, modules: tuple[str, ...], install: str) -> None:
        self.name = name
        self.install = install
        self._modules = modules

    def reads(self, path: Path) -> bool:
        return path.suffix in (".onnx", SUFFIX)

    def probe(self) -> str | None:
        """None, or why it cannot draw here and what to do."""
        return self.missing() or no_gpu() or cuda_runtime.probe()

    def missing(self) -> str | None:
        """None when the library is here, which is enough for TensorRT-RTX to build; else what to install."""
        try:
            self.bindings()
        except EngineError as error:
            return str(error)
        return None

    def bindings(self) -> Any:
        """The module. Raises EngineError, with what to install."""
        for module in self._modules:
            try:
                return importlib.import_module(module)
            except ModuleNotFoundError as error:
                if error.name != module:
                    raise EngineError(f"installed but lacks {error.name}; {self.install}") from None
            except Exception as error:  # their own loaders raise anything when a shared library is missing
                reason = str(error).strip().splitlines()[0:1]
                raise EngineError(
                    f"installed but does not import ({''.join(reason)}); {self.install} --force-reinstall"
                ) from None
        raise EngineError(f"not installed; {self.install}")

    def choose(self, _manifest: Manifest) -> tuple[str, str]:
        """Precision, and why (empty: nothing to say)."""
        return "fp16", ""

    def describe(self, path: Path) -> Manifest:
        """Manifest of a plan. Raises ModelError."""
        return read_plan(path).manifest

    def open_session(
        self, path: Path, *, kind: Kind, precision: str, threads: int | None, building: Building | None = None
    ) -> TrtSession:
        """Open an exported graph, through a plan in the cache, or a plan.

        Args:
            path, kind, precision: as every backend.
            threads: not used, the GPU has its own.
            building: told why a plan is built, and how far that is; None: the ``engines`` logger and the terminal.
        Raises:
            EngineError: not installed, no GPU, or a plan that was given does not fit it.
            ModelError: the file cannot be used.
        """
        del threads
        told = Building(_LOG.warning) if building is None else building
        gpu, library = find_gpu(), self.bindings()
        if path.suffix == SUFFIX:
            plan = read_plan(path)
            if plan.manifest.kind != kind:
                raise ModelError(f"plan {path}: expected a {kind} model, got a {plan.manifest.kind} model")
            if (why := self.refusal(plan.key, gpu, library)) is not None:
                raise EngineError(f"plan {path}: {why}; build it here with python -m engines.build")
            return self._session(library, gpu, plan, kind, None)
        key = self.key(path, precision, gpu=gpu)
        manifest = read_manifest(path)

        def build(name: str, why: str) -> bytes:
            with told.of(name, why) as progress:
                return self.build(path, key=key, progress=progress).blob

        plan, kept = cached(key, manifest, name=path.stem, build=build, say=told.say)
        try:
            return self._session(library, gpu, plan, kind, kept)
        except EngineError as error:
            if "does not take this plan" not in str(error):
                raise
            told.say(f"plan {kept.name}: {error}; building it again")
            plan = Plan(key=key, manifest=manifest, blob=build(kept.name, "the library does not take the old one"))
            return self._session(library, gpu, keep(plan, kept, told.say), kind, kept)

    def key(
        self,
        path: Path,
        precision: str,
        *,
        gpu: Gpu | None = None,
        compute_capability: str | None = None,
        batch: int = MOST,
        tf32: bool = False,
        aux_streams: int = 0,
    ) -> PlanKey:
        """What a plan of a model depends on.

        Args:
            path: the model, ``.onnx``.
            precision: one of :attr:`PRECISIONS`.
            gpu: this machine's, if it has one.
            compute_capability: such as ``8.9``; None: the GPU's own, or without one all that TensorRT-RTX knows.
            batch, tf32, aux_streams: as :func:`engines.trt_builder.build` takes them.
        """
        library = self.bindings()
        known = getattr(library, "ComputeCapability", None)
        own = None if gpu is None else ".".join(map(str, gpu.compute_capability))
        if own is not None and known is not None and f"SM{own.replace('.', '')}" not in known.__members__:
            own = PORTABLE  # a GPU that is newer than the library
        return PlanKey(
            model_sha256=file_sha256(path),
            backend=self.name,
            version=str(library.__version__),
            compute_capability=compute_capability or own or PORTABLE,
            precision=precision,
            batch=batch,
            tf32=tf32,
            aux_streams=aux_streams,
        )

    def build(self, path: Path, *, key: PlanKey, progress: Progress | None = None) -> Built:
        """Build a plan for a key of :meth:`key`.

        Raises:
            EngineError: the library or onnx is not installed, it needs a GPU, or it does not know this one.
            ModelError: the graph cannot be built.
        """
        try:
            import onnx
        except ImportError:
            raise EngineError(f"engine {self.name}: building a plan needs onnx; pip install onnx") from None
        library = self.bindings()
        try:
            model = onnx.load(path)
        except Exception as error:  # protobuf raises kinds of its own
            raise ModelError(f"model {path}: onnx cannot read it ({type(error).__name__}); export it again") from None
        tuned = hasattr(library, "ITimingCache") and not hasattr(library, "IRuntimeCache")
        timings = _TimingFile(key) if tuned else None
        try:
            return build_plan(
                library,
                retyped(model, key.precision).SerializeToString(),  # type: ignore[arg-type]
                batch=key.batch,
                compute_capability=key.compute_capability if hasattr(library, "ComputeCapability") else None,
                tf32=key.tf32,
                aux_streams=key.aux_streams,
                progress=progress,
                timing=timings.read() if timings else None,
                keep_timing=timings.write if timings else None,
            )
        except ModelError as error:
            hint = "; bf16 has no transposed convolutions, use fp16" if key.precision == "bf16" else ""
            raise ModelError(f"model {path}: {error}{hint}") from None

    def refusal(self, key: PlanKey, gpu: Gpu, library: Any) -> str | None:
        """Why a plan that was given cannot run here; None: nothing is known against it."""
        own = ".".join(map(str, gpu.compute_capability))
        wanted = PlanKey(
            model_sha256=key.model_sha256,
            backend=self.name,
            version=str(library.__version__),
            compute_capability=PORTABLE if key.compute_capability == PORTABLE else own,
            precision=key.precision,
            batch=key.batch,
            tf32=key.tf32,
            aux_streams=key.aux_streams,
        )
        return mismatch(key, wanted)

    def _session(self, library: Any, gpu: Gpu, plan: Plan, kind: Kind, kept: Path | None) -> TrtSession:
        try:
            cuda = cuda_runtime.Cuda()
        except EngineError as error:
            raise EngineError(f"engine {self.name}: {error}") from None
        try:
            return TrtSession(
                library=library,
                cuda=cuda,
                blob=plan.blob,
                kind=kind,
                name=f"{self.name} {plan.key.precision}",
                device=f"{gpu.name}, compute capability {'.'.join(map(str, gpu.compute_capability))}",
                most=plan.key.batch,
                kernels=None if kept is None else kept.with_suffix(".kernels"),
            )
        except BaseException:
            cuda.close()
            raise


class _TimingFile:
    """Timings of TensorRT's kernels, which make the next build on the same GPU a matter of seconds."""

    def __init__(self, key: PlanKey) -> None:
        self._path = cache_folder() / f"{key.backend}-{key.version}-{key.compute_capability}.timing"

    def read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except OSError:
            return None

    def write(self, blob: bytes) -> None:
        with contextlib.suppress(OSError):  # the next build takes longer, no more
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_bytes(blob)


_JETSON = "on a Jetson it comes with JetPack"
VARIANTS = {
    "tensorrt": TensorRt(
        "tensorrt", modules=("tensorrt",), install=f"pip install tensorrt-cu13 cuda-bindings onnx ({_JETSON})"
    ),
    "tensorrt_rtx": TensorRt(
        "tensorrt_rtx",
        modules=("tensorrt_rtx", "tensorrt_rtx_bindings"),
        install="pip install 'apdrawing-live[gpu-rtx]'"
        if sys.platform != "darwin"
        else "TensorRT-RTX does not exist for macOS; use openvino",
    ),
}
"""Backend name -> what :mod:`engines.choose` calls."""
