"""A graph in a narrower type: where the type changes, that nothing else does, and that the drawing stays."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from tiny_models import Inputs, part, tiny_graph

from engines import ModelError, catalogue
from engines.backends import ort
from engines.compare import HALF_INK_IOU, HALF_MEAN, difference
from engines.precision import border_casts, retyped
from engines.samples import synthetic

onnx = pytest.importorskip("onnx", reason="retyping needs onnx")


def types_of(model) -> dict[str, int]:
    """Value -> element type, by the standard's own inference, which checks every node's types on the way."""
    onnx.checker.check_model(model, full_check=True)
    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    found = {v.name: v.type.tensor_type.elem_type for v in (*graph.input, *graph.value_info, *graph.output)}
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}


def run(model, inputs: Inputs) -> np.ndarray:
    return ort.run_graph(model.SerializeToString(), [inputs], as_it_is=True)[0]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_convolutions_are_narrow_and_head_norms_and_tail_are_not(exported, precision: str) -> None:
    model = retyped(onnx.load(exported[1].path), precision)
    types = types_of(model)
    narrow = {"fp16": onnx.TensorProto.FLOAT16, "bf16": onnx.TensorProto.BFLOAT16}[precision]
    wide = onnx.TensorProto.FLOAT
    for node in model.graph.node:
        if node.op_type in ("Conv", "ConvTranspose"):
            assert {types[name] for name in (*node.input, *node.output) if name} == {narrow}
        if node.op_type in ("InstanceNormalization", "GatherElements", "Floor", "Div") and types[node.output[0]] < 20:
            floats = {types[name] for name in node.output} & {wide, narrow}
            local = node.op_type == "GatherElements" and narrow in floats  # drawings are joined in the body's type
            assert local or floats <= {wide} or node.op_type == "Div"
    assert all(types[name] == wide for name in tail(model.graph))
    assert {v.type.tensor_type.elem_type for v in model.graph.input} == {onnx.TensorProto.UINT8, onnx.TensorProto.INT32}


def tail(graph) -> list[str]:
    """Values from the last tanh to the last cast."""
    makers = {name: node for node in graph.node for name in node.output}
    names, node = [], makers[makers[graph.output[0].name].input[0]]
    while True:
        names.append(node.output[0])
        if node.op_type == "Tanh":
            return names
        node = next(makers[name] for name in node.input if name in makers)


def test_a_cast_stands_at_every_border_and_is_shared(exported) -> None:
    model = retyped(onnx.load(exported[1].path), "fp16")
    norms = sum(node.op_type == "InstanceNormalization" for node in model.graph.node)
    casts = border_casts(model)
    assert len(casts) == len(set(casts))
    # The seven networks' inputs, the two masks, and the tail; of each norm its input and its output.
    assert len(casts) == 10 + 2 * norms


def test_fp32_draws_what_the_file_draws(exported, five: Inputs) -> None:
    model = onnx.load(exported[1].path)
    assert np.array_equal(run(retyped(model, "fp32"), part(five, 0, 1)), run(model, part(five, 0, 1)))


def test_fp16_draws_nearly_the_same_on_synthetic_pictures(exported, five: Inputs) -> None:
    model = onnx.load(exported[1].path)
    one = part(five, 0, 1)
    found = difference(run(retyped(model, "fp16"), one), run(model, one))
    assert found.max > 0, "nothing was rounded"
    assert found.mean <= HALF_MEAN
    assert found.ink_iou >= HALF_INK_IOU


def test_the_shipped_model_keeps_its_drawing_in_fp16() -> None:
    model = onnx.load(catalogue.MODELS / "lite.onnx")
    inputs = synthetic("drawing", 1, seed=8)
    wide = run(model, inputs)
    assert wide.std() > 5
    found = difference(run(retyped(model, "fp16"), inputs), wide)
    assert found.mean <= HALF_MEAN
    assert found.ink_iou >= HALF_INK_IOU


def test_kernels_kept_as_fp16_are_stored_plainly_and_nothing_widens_them() -> None:
    model = onnx.load(catalogue.MODELS / "thin.onnx")
    constants = {tensor.name for tensor in model.graph.initializer}
    assert any(n.op_type == "Cast" and n.input[0] in constants for n in model.graph.node), "the file has some"
    for precision in ("fp32", "fp16", "bf16"):
        out = retyped(model, precision)
        constants = {tensor.name for tensor in out.graph.initializer}
        assert not [n.name for n in out.graph.node if n.op_type == "Cast" and n.input[0] in constants]


def test_the_file_s_own_graph_is_left_alone() -> None:
    model = onnx.load(catalogue.MODELS / "matte.onnx")
    before = copy.deepcopy(model)
    retyped(model, "fp16")
    assert model == before


def test_a_weight_that_fp16_cannot_hold_is_refused_and_bf16_holds_it(exported) -> None:
    model = onnx.load(exported[1].path)
    kernel = next(t for t in model.graph.initializer if len(t.dims) == 4 and t.data_type == onnx.TensorProto.FLOAT)
    array = onnx.numpy_helper.to_array(kernel).copy()
    array.flat[0] = 1e5
    kernel.CopyFrom(onnx.numpy_helper.from_array(array, kernel.name))
    with pytest.raises(ModelError, match=r"is beyond what fp16 holds; build in bf16 or fp32"):
        retyped(model, "fp16")
    stored = next(t for t in retyped(model, "bf16").graph.initializer if t.name == f"{kernel.name}.bf16")
    first = np.frombuffer(stored.raw_data, "<u2")[:1].astype(np.uint32) << 16
    assert first.view(np.float32)[0] == pytest.approx(1e5, rel=2**-8)


def test_other_graphs_and_words_are_refused() -> None:
    with pytest.raises(ModelError, match="does not end in a squashing function"):
        retyped(tiny_named(), "fp16")
    with pytest.raises(ValueError, match="expected one of fp32, fp16, bf16, got 'fp8'"):
        retyped(tiny_named(), "fp8")  # type: ignore[arg-type]


def tiny_named():
    model = tiny_graph("drawing")
    for i, node in enumerate(model.graph.node):
        node.name = f"node{i}"
    return model
