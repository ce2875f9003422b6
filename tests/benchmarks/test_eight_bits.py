"""Eight bits stand where they are wanted and nowhere else, and what they do to a drawing is judged photo by photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import eight_bits
from benchmarks.eight_bits import KEPT_MEAN, VARIANTS, figures, quantised, share
from engines.backends import ort
from engines.catalogue import MODELS
from engines.precision import retyped
from engines.samples import synthetic

onnx = pytest.importorskip("onnx", reason="quantising needs onnx")
LITE = MODELS / "lite.onnx"


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_the_wanted_convolutions_alone_take_and_weigh_in_eight_bits(kind: str) -> None:
    photos = [synthetic("drawing", 1)]
    data = quantised(LITE, photos, kind, VARIANTS["the parts alone"])
    graph = onnx.load_from_string(data).graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    eight = {
        node.name
        for node in graph.node
        if node.op_type == "Conv" and [made_by.get(name) for name in node.input[:2]] == ["DequantizeLinear"] * 2
    }
    convolutions = [node for node in retyped(onnx.load(LITE), "fp32").graph.node if node.op_type == "Conv"]
    assert eight == {node.name for node in convolutions if VARIANTS["the parts alone"](node.input[1])}
    assert (len(eight), len(convolutions)) == (44, 89)  # one of them the means along strokes, which is never wanted
    types = {tensor.data_type for tensor in graph.initializer if tensor.name.endswith("_quantized")}
    assert types == {onnx.TensorProto.INT8 if kind == "int8" else onnx.TensorProto.FLOAT8E4M3FN}
    wide = ort.run_graph(retyped(onnx.load(LITE), "fp32").SerializeToString(), photos, as_it_is=True)
    found = figures(ort.run_graph(data, photos, as_it_is=True), wide)
    assert 0 < found["mean"] < 2


def test_variants_leave_more_and_more_of_the_work_in_float() -> None:
    shares = [share(LITE, wanted) for wanted in VARIANTS.values()]
    assert shares[0] == 1
    assert shares == sorted(shares, reverse=True)
    assert 0.05 < shares[-1] < 0.3


def test_one_photo_beyond_the_bound_is_enough_to_leave_it() -> None:
    white = np.full((1, 512, 512), 255, np.uint8)
    near, far = white - np.uint8(KEPT_MEAN), white - np.uint8(KEPT_MEAN + 1)
    assert figures([near, near], [white, white])["kept"]
    found = figures([near, white, far], [white] * 3)
    assert (found["kept"], found["within"], found["mean"]) == (False, 2, pytest.approx(5 / 3))


def test_what_cannot_be_measured_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert eight_bits.main(["lite", "--photos", str(tmp_path)]) == 2
    assert "expected a folder of 512 x 512 pictures" in capsys.readouterr().err
