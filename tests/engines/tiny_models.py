"""A tiny model of each kind, made on the spot with real uint8 ports, and what several test files do with engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import engines
from engines.contract import Engine
from engines.manifest import Manifest

Inputs = dict[str, NDArray]

MANIFEST = Manifest(
    kind="drawing",
    family="apdrawinggan",
    preset="lite",
    width=4,
    norm="batch",
    weights_sha256="ab" * 32,
    gmac=0.01,
    style="pen",
    licence="Apache-2.0",
    data="none: a test",
    version="7",
)


def tiny_graph(kind: str, steepness: float = 1.0):
    """photo's mean colour, smoothed, lowered by the boxes, white off the person; ``steepness``: contrast."""
    onnx = pytest.importorskip("onnx", reason="tiny test models are made with onnx, a package for developers")
    from onnx import TensorProto as T
    from onnx import helper as h
    from onnx import numpy_helper as nh

    value = h.make_tensor_value_info
    kernel = np.full((1, 3, 3, 3), steepness / 27, dtype=np.float32)
    constants = {
        "kernel": kernel,
        "axes": np.array([1, 2], np.int64),
        "one": np.array([1], np.int64),
        "share": np.array(0.01, np.float32),
        "half": np.array(128, np.float32),
        "white": np.array(255, np.float32),
        "black": np.array(0, np.float32),
        "offset": np.array(128 * (1 - steepness), np.float32),
    }
    nodes = [
        h.make_node("Cast", ["photo"], ["photo_f"], to=T.FLOAT),
        h.make_node("Transpose", ["photo_f"], ["planes"], perm=[0, 3, 1, 2]),
        h.make_node("Conv", ["planes", "kernel"], ["steep"], pads=[1, 1, 1, 1]),
        h.make_node("Add", ["steep", "offset"], ["grey"]),
        h.make_node("Squeeze", ["grey", "one"], ["flat"]),
    ]
    last = "flat"
    if kind == "drawing":
        nodes += [
            h.make_node("Cast", ["boxes"], ["boxes_f"], to=T.FLOAT),
            h.make_node("ReduceSum", ["boxes_f", "axes"], ["sum"], keepdims=1),
            h.make_node("Mul", ["sum", "share"], ["drop"]),
            h.make_node("Sub", ["flat", "drop"], ["low"]),
            h.make_node("Cast", ["matte"], ["matte_f"], to=T.FLOAT),
            h.make_node("GreaterOrEqual", ["matte_f", "half"], ["person"]),
            h.make_node("Where", ["person", "low", "white"], ["inked"]),
        ]
        last = "inked"
    nodes += [
        h.make_node("Clip", [last, "black", "white"], ["clipped"]),
        h.make_node("Floor", ["clipped"], ["whole"]),
        h.make_node("Cast", ["whole"], [kind], to=T.UINT8),
    ]
    inputs = [value("photo", T.UINT8, ["batch", 512, 512, 3])]
    if kind == "drawing":
        inputs += [value("boxes", T.INT32, ["batch", 4, 2]), value("matte", T.UINT8, ["batch", 512, 512])]
    graph = h.make_graph(
        nodes,
        "tiny",
        inputs,
        [value(kind, T.UINT8, ["batch", 512, 512])],
        initializer=[nh.from_array(array, name) for name, array in constants.items()],
    )
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    return model


def write(path: Path, model, manifest: Manifest | None) -> Path:
    from onnx import helper

    if manifest is not None:
        helper.set_model_props(model, manifest.to_metadata())
    path.write_bytes(model.SerializeToString())
    return path


def draw(engine: Engine, inputs: Inputs) -> NDArray[np.uint8]:
    return engine.draw(inputs["photo"], inputs["boxes"], inputs["matte"])


def part(inputs: Inputs, start: int, stop: int) -> Inputs:
    return {name: array[start:stop] for name, array in inputs.items()}


def need_bf16() -> None:
    from engines.backends.ov import native_bf16

    if engines.available()["openvino"] or not native_bf16():
        pytest.skip("needs OpenVINO on a CPU that computes in bf16")
