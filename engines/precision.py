"""A graph in another precision, for runtimes that compute in exactly the types that stand in the graph. Needs onnx.

Three zones, so that a narrow type costs nothing that shows::

    head   whatever comes before the first convolution: bytes, boxes, masks, crops          fp32
    body   from the first convolution on                                                   fp16 or bf16
    tail   the last squashing function and what turns it into bytes                         fp32

Norms compute their statistics in fp32 also within the body. A Cast stands at every border and nowhere else.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np

from engines.errors import ModelError

Precision = Literal["fp32", "fp16", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

BORDER = ".to_"
"""Within the name of every Cast that stands at a border of zones."""

_CONVOLUTIONS = {"Conv", "ConvTranspose"}
_SQUASHING = {"Tanh", "Sigmoid"}
_TAIL = {"Add", "Cast", "Clip", "Div", "Floor", "Mul", "Squeeze", "Sub", *_SQUASHING}
_STATISTICS = {"InstanceNormalization"}
_SUMS = {"ReduceMean", "ReduceSum"}
"""A norm over part of a canvas (:mod:`apdgan.grouped`) is written out: sums over pixels, which fp16 would not hold."""
_AROUND_SUMS = {"Add", "Div", "Expand", "Mul", "Reshape", "Sqrt", "Sub", *_SUMS}
_ALWAYS_FP32 = {"Resize": {1, 2}}
"""Operator -> its inputs that the standard wants as fp32 whatever it works on (regions and scales)."""
_FP16_MAX = 65504.0
_BF16_OPSET = 22
"""The first in which convolutions take bf16; it changes nothing else that our graphs use."""


def retyped(model: Any, precision: Precision) -> Any:
    """A copy of an exported graph that computes in ``precision``; its inputs and its output stay bytes and boxes.

    Kernels that the file keeps as fp16 are stored plainly: what widens them again is gone in every precision.

    Args:
        model: onnx.ModelProto as :mod:`engines.export` writes it, fp32.
        precision: of the body.
    Raises:
        ValueError: no such precision.
        ModelError: a weight is beyond what fp16 holds, or the graph is not one of ours.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    out = copy.deepcopy(model)
    _widen_stored_halves(out.graph)
    if precision == "bf16":
        out.opset_import[0].version = _BF16_OPSET
    if precision != "fp32":
        _Retyping(out.graph, precision).run()
    return out


def border_casts(model: Any) -> list[str]:
    """Names of the Casts that :func:`retyped` put at the borders of zones."""
    return [node.name for node in model.graph.node if node.op_type == "Cast" and BORDER in node.name]


def _widen_stored_halves(graph: Any) -> None:
    """Constants behind a Cast to fp32 become fp32 constants."""
    from onnx import TensorProto, numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    widening = [
        node
        for node in graph.node
        if node.op_type == "Cast" and node.input[0] in constants and node.attribute[0].i == TensorProto.FLOAT
    ]
    wide = [
        numpy_helper.from_array(numpy_helper.to_array(constants[node.input[0]]).astype(np.float32), node.output[0])
        for node in widening
    ]
    gone = {id(node) for node in widening}
    _replace(graph.node, [node for node in graph.node if id(node) not in gone])
    used = {name for node in graph.node for name in node.input}
    _replace(graph.initializer, [tensor for tensor in graph.initializer if tensor.name in used] + wide)


class _Retyping:
    """One pass over the nodes in their order, which an exported graph keeps."""

    def __init__(self, graph: Any, precision: Precision) -> None:
        from onnx import TensorProto

        self._graph = graph
        self._narrow = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.BFLOAT16
        self._suffix = precision
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._zones = self._find_zones()
        self._types: dict[str, int] = {}
        """Value -> FLOAT or the narrow type; values of other types are not in it."""
        self._casts: dict[tuple[str, int], str] = {}
        self._narrowed: dict[str, Any] = {}
        self._nodes: list[Any] = []

    def run(self) -> None:
        from onnx import TensorProto

        wide = _float_values(self._graph)
        self._types = dict.fromkeys(wide, TensorProto.FLOAT)
        for node in self._graph.node:
            wanted = self._narrow if self._zones[node.name] == "body" else TensorProto.FLOAT
            for at, name in enumerate(node.input):
                if name in wide and at not in _ALWAYS_FP32.get(node.op_type, ()):
                    node.input[at] = self._as(name, wanted)
            if node.op_type == "Cast" and node.attribute[0].i == TensorProto.FLOAT:
                node.attribute[0].i = wanted
            self._nodes.append(node)
            self._types.update((name, wanted) for name in node.output if name in wide)
        _replace(self._graph.node, self._nodes)
        used = {name for node in self._nodes for name in node.input}
        kept = [tensor for tensor in self._graph.initializer if tensor.name in used]
        _replace(self._graph.initializer, kept + list(self._narrowed.values()))
        self._graph.ClearField("value_info")

    def _as(self, name: str, wanted: int) -> str:
        """The value in the wanted type: itself, a narrowed constant, or behind one Cast that all its users share."""
        from onnx import helper

        if self._types[name] == wanted:
            return name
        if name in self._constants:
            return self._constant(name)
        if (name, wanted) not in self._casts:
            suffix = self._suffix if wanted == self._narrow else "fp32"
            cast = f"{name}{BORDER}{suffix}"
            self._nodes.append(helper.make_node("Cast", [name], [cast], cast, to=wanted))
            self._casts[name, wanted] = cast
        return self._casts[name, wanted]

    def _constant(self, name: str) -> str:
        from onnx import helper, numpy_helper

        array = numpy_helper.to_array(self._constants[name])
        if self._suffix == "fp16" and array.size and float(np.abs(array).max()) > _FP16_MAX:
            raise ModelError(f"weight {name} is beyond what fp16 holds; build in bf16 or fp32")
        narrow = f"{name}.{self._suffix}"
        if self._suffix == "fp16":
            self._narrowed[narrow] = numpy_helper.from_array(array.astype(np.float16), narrow)
        else:
            self._narrowed[narrow] = helper.make_tensor(narrow, self._narrow, array.shape, _bf16(array), raw=True)
        return narrow

    def _find_zones(self) -> dict[str, str]:
        """Node name -> head, body, statistics or tail."""
        nodes = list(self._graph.node)
        if len({node.name for node in nodes}) != len(nodes):
            raise ModelError("the graph's nodes have no names of their own; export the model again")
        zones = dict.fromkeys((node.name for node in nodes), "head")
        after: set[str] = set()
        for node in nodes:
            if node.op_type in _CONVOLUTIONS or after & set(node.input):
                zones[node.name] = "body"
                after |= set(node.output)
        makers = {name: node for node in nodes for name in node.output}
        for name in _statistics(nodes, makers):
            if zones[name] == "body":
                zones[name] = "statistics"
        node = makers.get(self._graph.output[0].name)
        while node is not None and node.op_type in _TAIL:
            zones[node.name] = "tail"
            if node.op_type in _SQUASHING:
                return zones
            node = next((makers[name] for name in node.input if name in makers), None)
        raise ModelError("the graph does not end in a squashing function; export the model again")


def _statistics(nodes: list[Any], makers: dict[str, Any]) -> set[str]:
    """Names of the nodes that norms are made of: from a convolution's output to what is divided by the deviation."""
    found = {node.name for node in nodes if node.op_type in _STATISTICS}
    waiting = [node for node in nodes if node.op_type in _SUMS]
    roots = {name for node in nodes if node.op_type == "Sqrt" for name in node.output}
    waiting += [node for node in nodes if node.op_type == "Div" and roots & set(node.input)]
    while waiting:
        node = waiting.pop()
        if node.name not in found:
            found.add(node.name)
            makers_of = (makers[name] for name in node.input if name in makers)
            waiting += [maker for maker in makers_of if maker.op_type in _AROUND_SUMS]
    return found


def _float_values(graph: Any) -> set[str]:
    """Names of all fp32 values and constants, by the standard's own shape inference."""
    import onnx
    from onnx import TensorProto

    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10)
    known = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*known.input, *known.value_info, *known.output)
    found = {value.name for value in values if value.type.tensor_type.elem_type == TensorProto.FLOAT}
    return found | {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}


def _bf16(array: Any) -> bytes:
    """Rounded to nearest even, little-endian, two bytes each; finite numbers only."""
    bits = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return rounded.astype("<u2").tobytes()


def _replace(field: Any, items: Iterator[Any] | list[Any]) -> None:
    kept = [copy.deepcopy(item) for item in items]
    del field[:]
    field.extend(kept)
