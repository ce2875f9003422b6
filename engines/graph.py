"""From a torch module to one clean ONNX file. Needs torch and onnx, which an installation that only draws has not.

What it takes for every runtime to build the graph: the dynamo exporter at opset 20, weights inside the file, an example
batch of two (a batch of one would be baked in), and nothing of this machine left in the file: the exporter writes
source paths into every node.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engines.contract import OUTPUT
from engines.errors import EngineError, ModelError
from engines.manifest import Kind, Manifest
from engines.samples import synthetic

if TYPE_CHECKING:
    from torch import nn

OPSET = 20
BATCH = "batch"
DOCUMENTATION = {
    "photo": "uint8 RGB, an aligned portrait",
    "boxes": "int32, top-left x, y of left eye, right eye, nose, mouth; inside the square",
    "matte": "uint8, 255 = person",
    "drawing": "uint8, 0 = ink, 255 = paper",
}

_MAC_OPERATORS = ("Conv", "ConvTranspose", "MatMul", "Gemm")


def to_onnx(module: nn.Module, kind: Kind) -> Any:
    """Trace a module in eval mode to a clean, checked onnx.ModelProto with a dynamic batch.

    Raises:
        EngineError: torch or onnx is not installed.
        ModelError: the module cannot be traced.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401  (the exporter's own need; its absence would be a trace)
        import torch
    except ImportError as error:
        raise EngineError(f"exporting needs {error.name}; pip install torch onnx onnxscript") from None

    batch = torch.export.Dim(BATCH, min=1, max=1024)
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
    clean(model)
    onnx.checker.check_model(model, full_check=True)
    _expect_no_norm(model)
    return model


def clean(model: Any) -> None:
    """Drop what the exporter tells of this machine, and say what goes in and out."""
    graph = model.graph
    model.producer_name, model.producer_version = "apdgan", ""
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.doc_string = ""
    for value in (*graph.input, *graph.output):
        value.doc_string = DOCUMENTATION[value.name]


def gmac(model: Any) -> float:
    """Multiply-accumulates of one picture in units of 1e9: every convolution and matrix product of the graph."""
    import onnx

    single = onnx.ModelProto()
    single.CopyFrom(model)
    for value in single.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    single.graph.ClearField("value_info")
    graph = onnx.shape_inference.infer_shapes(single, data_prop=True).graph
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = [d.dim_value for d in value.type.tensor_type.shape.dim]
    return sum(_macs(node, shapes) for node in graph.node if node.op_type in _MAC_OPERATORS) / 1e9


def save(model: Any, path: Path, manifest: Manifest) -> None:
    """Write a graph with its manifest; the file appears whole or not at all.

    Raises:
        ModelError: the folder is missing or cannot be written.
    """
    import onnx

    onnx.helper.set_model_props(model, manifest.to_metadata())
    model.doc_string = f"{manifest.preset} {manifest.kind} model, {manifest.style}. Licence: {manifest.licence}"
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(model.SerializeToString())
        part.replace(path)
    except OSError as error:
        raise ModelError(f"{path}: cannot write the model: {error.strerror}; choose another folder") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _macs(node: Any, shapes: dict[str, list[int]]) -> int:
    first, second, out = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
    if node.op_type == "Conv":
        return int(np.prod(out) * np.prod(second[1:]))
    if node.op_type == "ConvTranspose":
        return int(np.prod(first) * np.prod(second[1:]))
    return int(np.prod(out) * first[-1])


def _expect_no_norm(model: Any) -> None:
    """Batch norms are folded into convolutions by the exporter; one that is left would run, slowly, at every frame."""
    left = [node.name for node in model.graph.node if node.op_type == "BatchNormalization"]
    if left:
        raise ModelError(
            f"the exporter left {len(left)} batch norms unfolded (first: {left[0]}); use another onnxscript"
        )


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
