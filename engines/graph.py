"""An exported graph made fit to ship: nothing of this machine in it, its cost counted, a manifest on it. Needs onnx."""

from __future__ import annotations

import contextlib
import copy
import os
from pathlib import Path
from typing import Any

import numpy as np

from engines.errors import ModelError
from engines.manifest import Manifest
from engines.weights import HALF

DOCUMENTATION = {
    "photo": "uint8 RGB, an aligned portrait",
    "boxes": "int32, top-left x, y of left eye, right eye, nose, mouth; inside the square",
    "matte": "uint8, 255 = person",
    "drawing": "uint8, 0 = ink, 255 = paper",
}

_MAC_OPERATORS = ("Conv", "ConvTranspose", "MatMul", "Gemm")
_KERNEL_OPERATORS = ("Conv", "ConvTranspose")
_WORTH_HALVING = 1024
"""Elements; a smaller constant saves less than the node that widens it again costs."""


def clean(model: Any) -> None:
    """Drop what the exporter tells of this machine (source paths in every node), and say what goes in and out."""
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


def parameters(model: Any) -> int:
    """Elements of every constant that a convolution or matrix product takes: kernels and biases."""
    sizes = {tensor.name.removesuffix(HALF): int(np.prod(tensor.dims)) for tensor in model.graph.initializer}
    used = {name for node in model.graph.node if node.op_type in _MAC_OPERATORS for name in node.input}
    return sum(size for name, size in sizes.items() if name in used)


def store_halves(model: Any) -> None:
    """Keep every large fp32 constant that fp16 holds exactly as fp16, widened again by a Cast, which engines fold.

    Nothing that is computed changes by it: the graph has the same fp32 kernels in half the bytes.

    Raises:
        ModelError: a kernel is not one that fp16 holds exactly (:func:`engines.weights.halved` makes them so).
    """
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    kernels = {node.input[1] for node in graph.node if node.op_type in _KERNEL_OPERATORS}
    kept, casts = [], []
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype != np.float32 or array.size < _WORTH_HALVING:
            kept.append(tensor)
            continue
        with np.errstate(over="ignore"):
            half = array.astype(np.float16)
        if np.array_equal(half.astype(np.float32), array):
            kept.append(numpy_helper.from_array(half, f"{tensor.name}{HALF}"))
            casts.append(
                helper.make_node("Cast", [kept[-1].name], [tensor.name], f"{tensor.name}.cast", to=TensorProto.FLOAT)
            )
        elif tensor.name in kernels:
            raise ModelError(f"the exporter changed the rounded kernel {tensor.name}; export with --weights fp32")
        else:
            kept.append(tensor)
    nodes = [*casts, *graph.node]
    for field, items in ((graph.initializer, kept), (graph.node, nodes)):
        items = [copy.deepcopy(item) for item in items]
        del field[:]
        field.extend(items)


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


def expect_no_norm(model: Any) -> None:
    """Batch norms are folded into convolutions by the exporter; one that is left would run, slowly, at every frame."""
    left = [node.name for node in model.graph.node if node.op_type == "BatchNormalization"]
    if left:
        raise ModelError(
            f"the exporter left {len(left)} batch norms unfolded (first: {left[0]}); use another onnxscript"
        )
