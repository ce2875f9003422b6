"""From a network to its graph: traced, cleaned, compared with the network, written. Needs torch and onnx."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engines import graph
from engines.backends import ort
from engines.compare import FP32_MAX, Difference, difference
from engines.contract import OUTPUT
from engines.errors import EngineError, ModelError
from engines.manifest import Kind, Manifest, Weights
from engines.samples import synthetic

if TYPE_CHECKING:
    from torch import nn

OPSET = 20


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written and how true it is."""

    path: Path
    manifest: Manifest
    size: int
    """Bytes."""
    parameters: int
    """Of the graph: norms that were folded away are not counted."""
    against_eager: Difference
    """ONNX Runtime against the network itself, a batch of two."""
    batch_against_singles: Difference
    """The same batch against its pictures run one by one."""


def write_graph(
    module: nn.Module,
    out: Path,
    *,
    kind: Kind,
    identity: Mapping[str, Any],
    words: Mapping[str, Any],
    weights: Weights = "fp32",
) -> Exported:
    """Trace a network that takes and gives bytes, compare, and write the graph with its manifest.

    Args:
        module: takes the inputs of :data:`engines.contract.INPUTS`; its kernels rounded where ``weights`` is fp16.
        out: the ``.onnx`` file to write.
        kind: what the network does.
        identity: fields of the manifest that come from the network.
        words: fields of the manifest that a person stated.
        weights: how the file stores the kernels.
    Raises:
        EngineError: onnxruntime is not installed.
        ModelError: the network does not export, the graph does not draw what it draws, or the file cannot be written.
    """
    check_place(out)
    model = _trace(module, kind)
    if weights == "fp16":
        graph.store_halves(model)
    manifest = Manifest(kind=kind, gmac=round(graph.gmac(model), 3), weights=weights, **identity, **words)
    eager, singles = _compare(module, model, kind)
    if max(eager.max, singles.max) > FP32_MAX:
        raise ModelError(
            f"{out}: not written: the exported graph is {eager.max} grey levels off the network, and its batches "
            f"{singles.max} off its singles; expected at most {FP32_MAX}"
        )
    graph.save(model, out, manifest)
    return Exported(
        path=out,
        manifest=manifest,
        size=out.stat().st_size,
        parameters=graph.parameters(model),
        against_eager=eager,
        batch_against_singles=singles,
    )


def check_place(out: Path) -> None:
    """Refuse, before anything slow, a file that cannot be written. Raises ModelError."""
    if out.suffix != ".onnx":
        raise ModelError(f"{out}: expected a file name that ends in .onnx")
    if not out.parent.is_dir():
        raise ModelError(f"{out}: cannot write the model: no folder {out.parent}; choose another folder")


def need_libraries() -> None:
    """Raises EngineError, with what to install."""
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
        import safetensors  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise EngineError(
            f"exporting needs {error.name}; pip install torch safetensors onnx onnxscript onnxruntime"
        ) from None


def _trace(module: nn.Module, kind: Kind) -> Any:
    """A module in eval mode as a clean, checked onnx.ModelProto with a dynamic batch.

    What it takes for every runtime to build the graph: the dynamo exporter at opset 20, weights inside the file, and an
    example batch of two (a batch of one would be baked in).
    """
    import onnx
    import torch

    batch = torch.export.Dim("batch", min=1, max=1024)
    inputs = synthetic(kind, batch=2)
    try:
        with _quiet():
            program = torch.onnx.export(
                module.eval(),
                tuple(torch.from_numpy(array) for array in inputs.values()),
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                input_names=list(inputs),
                output_names=[OUTPUT[kind]],
                dynamic_shapes=tuple({0: batch} for _ in inputs),
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise ModelError(f"the network does not export: {str(error).strip().splitlines()[0]}") from None
    assert program is not None
    model = program.model_proto
    graph.clean(model)
    graph.expect_no_norm(model)
    onnx.checker.check_model(model, full_check=True)
    return model


def _compare(module: nn.Module, model: Any, kind: Kind) -> tuple[Difference, Difference]:
    """(ONNX Runtime against eager, batch against singles), the graph run as it is, with its real batch."""
    import torch

    inputs = synthetic(kind, batch=2, seed=1)
    with torch.inference_mode():
        eager = module(*(torch.from_numpy(a) for a in inputs.values())).numpy()
    batch, *singles = ort.run_graph(
        model.SerializeToString(), [inputs, *({k: a[i : i + 1] for k, a in inputs.items()} for i in range(2))]
    )
    return difference(batch, eager), difference(batch, np.concatenate(singles))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter remarks on its own insides (missing torchvision, renamed axes) at length."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
