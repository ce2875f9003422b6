"""What eight bits do to a drawing: convolutions quantised explicitly, measured without a GPU.

    python -m benchmarks.eight_bits MODEL ... --photos DIR [--types int8 fp8] [--calibrate 8] [--out FOLDER]

A QuantizeLinear and a DequantizeLinear stand before every convolution that is quantised, and behind its weights: what
TensorRT turns into int8 or fp8 kernels. Scales come from the first photos (int8: largest value seen, symmetric; fp8:
E4M3, by the spread of the values; weights by output channel); the others are measured. ONNX Runtime runs the graph node
by node, so that every value is rounded as it stands there. Variants leave in float what is most easily hurt: the fusion
network, which draws the lines, and the first and last convolution of every other.

Kept would be what stays within ``KEPT_MEAN`` grey levels, on the mean of every photo.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import io
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from engines.backends import ort
from engines.catalogue import find
from engines.compare import Difference, difference, worst
from engines.errors import EngineError, UserError
from engines.precision import retyped
from engines.samples import read_photos

KEPT_MEAN = 2.0
"""Grey levels, on the mean of every photo."""
TYPES = ("int8", "fp8")
CONVOLUTIONS = ("Conv",)
"""All that the narrow presets have."""
VARIANTS: dict[str, Callable[[str], bool]] = {
    "every convolution": lambda _weight: True,
    "fusion in float": lambda weight: "GCombine." not in weight,
    "fusion, first and last in float": lambda weight: (
        "GCombine." not in weight and ".enter." not in weight and ".leave." not in weight
    ),
    "the parts alone": lambda weight: any(f"{name}." in weight for name in ("GLEyel", "GLEyer", "GLNose", "GLMouth")),
}
"""Name -> whether the convolution with these weights is quantised."""


def quantised(model: Path, photos: Sequence[dict[str, Any]], kind: str, wanted: Callable[[str], bool]) -> bytes:
    """A model's graph with the wanted convolutions in eight bits, as :data:`TYPES` says.

    Raises:
        EngineError: a package is not installed.
    """
    try:
        import onnx
        from onnxruntime import quantization as q
    except ImportError as error:
        raise EngineError(f"expected the package {error.name}; pip install onnx onnxruntime") from None
    graph = retyped(onnx.load(model), "fp32")
    nodes = [n.name for n in graph.graph.node if n.op_type in CONVOLUTIONS and wanted(n.input[1])]
    bits = q.QuantType.QInt8 if kind == "int8" else q.QuantType.QFLOAT8E4M3FN
    method = q.CalibrationMethod.MinMax if kind == "int8" else q.CalibrationMethod.Distribution
    with tempfile.TemporaryDirectory() as folder:
        whole, out = Path(folder) / "whole.onnx", Path(folder) / "quantised.onnx"
        onnx.save(graph, whole)
        with _hushed():
            q.quantize_static(
                whole,
                out,
                _Reader(photos),
                quant_format=q.QuantFormat.QDQ,
                op_types_to_quantize=list(CONVOLUTIONS),
                nodes_to_quantize=nodes,
                per_channel=kind == "int8",
                activation_type=bits,
                weight_type=bits,
                calibrate_method=method,
                extra_options={"ActivationSymmetric": True, "WeightSymmetric": True, "QuantizeBias": False},
            )
        return out.read_bytes()


def share(model: Path, wanted: Callable[[str], bool]) -> float:
    """Of all multiplications in convolutions, those of the wanted ones, 0 to 1."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(retyped(onnx.load(model), "fp32")).graph
    sizes = {value.name: [d.dim_value for d in value.type.tensor_type.shape.dim] for value in graph.value_info}
    weights = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer}
    work = {
        node.input[1]: weights[node.input[1]] * int(np.prod(sizes[node.output[0]][2:]))
        for node in graph.node
        if node.op_type in CONVOLUTIONS
    }
    return sum(macs for name, macs in work.items() if wanted(name)) / sum(work.values())


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """What the quantiser tells of its histograms is not for our user."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


class _Reader:
    """Photos as ONNX Runtime's calibration takes them."""

    def __init__(self, photos: Sequence[dict[str, Any]]) -> None:
        self._photos: Iterator[dict[str, Any]] = iter(photos)

    def get_next(self) -> dict[str, Any] | None:
        return next(self._photos, None)


def measure(
    model: Path, calibration: Sequence[dict[str, Any]], photos: Sequence[dict[str, Any]], kinds: Sequence[str]
) -> list[dict[str, Any]]:
    """A row for each type and variant: figures over ``photos`` against the graph in fp32."""
    import onnx

    wide = ort.run_graph(retyped(onnx.load(model), "fp32").SerializeToString(), photos, as_it_is=True)
    rows = []
    for kind in kinds:
        for name, wanted in VARIANTS.items():
            drawn = ort.run_graph(quantised(model, calibration, kind, wanted), photos, as_it_is=True)
            rows.append({"type": kind, "variant": name, "share": share(model, wanted), **figures(drawn, wide)})
            print(f"{model.stem}, {kind}, {name}: mean {rows[-1]['mean']:.2f}", file=sys.stderr, flush=True)
    return rows


def figures(drawn: Sequence[Any], wanted: Sequence[Any]) -> dict[str, Any]:
    """``worst`` of every figure, ``mean`` and ``ink_iou_median`` over the photos, and whether it would be ``kept``."""
    found: list[Difference] = [difference(got, want) for got, want in zip(drawn, wanted, strict=True)]
    return {
        "worst": dataclasses.asdict(worst(found)),
        "mean": float(np.mean([one.mean for one in found])),
        "ink_iou_median": float(np.median([one.ink_iou for one in found])),
        "within": sum(one.mean <= KEPT_MEAN for one in found),
        "kept": worst(found).mean <= KEPT_MEAN,
    }


def table(report: dict[str, Any]) -> str:
    """Markdown."""
    of = report["machine"]
    lines = [
        f"# Eight bits against fp32, {of['date']}",
        "",
        f"{report['photos']} photos, scales from {report['calibrated']} others; ONNX Runtime on {of['cpu']}, Python "
        f"{of['python']}. Kept would be what stays within {KEPT_MEAN:g} grey levels on the mean of every photo.",
        "",
        "| model | type | in eight bits | of the work | mean, worst photo | mean, all | ink IoU, worst | median | "
        "photos within | kept |",
        "|" + "---|" * 10,
    ]
    for model, rows in report["models"].items():
        for row in rows:
            w = row["worst"]
            lines.append(
                f"| {model} | {row['type']} | {row['variant']} | {row['share']:.0%} | {w['mean']:.2f} | "
                f"{row['mean']:.2f} | {w['ink_iou']:.4f} | {row['ink_iou_median']:.4f} | {row['within']} of "
                f"{report['photos']} | {'yes' if row['kept'] else 'NO'} |"
            )
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.eight_bits", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--photos", type=Path, required=True, metavar="DIR", help="aligned portraits")
    parser.add_argument("--types", nargs="+", choices=TYPES, default=["int8"], help="default int8")
    parser.add_argument("--calibrate", type=int, default=8, metavar="N", help="photos that give the scales; default 8")
    parser.add_argument("--most", type=int, metavar="N", help="measure the first N of the others alone")
    parser.add_argument("--out", type=Path, help="write a dated .md and .json into this folder")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: measured; 2: one line says what is wrong."""
    args = _parser().parse_args(argv)
    try:
        photos = [inputs for _, inputs in read_photos(args.photos)]
        if not 0 < args.calibrate < len(photos):
            raise UserError(f"--calibrate {args.calibrate}: expected 1 to {len(photos) - 1}, of {len(photos)} photos")
        calibration, others = photos[: args.calibrate], photos[args.calibrate :][: args.most]
        report: dict[str, Any] = {
            "machine": machine.describe(),
            "calibrated": len(calibration),
            "photos": len(others),
            "models": {name: measure(find(name), calibration, others, args.types) for name in args.models},
        }
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(report), end="")
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        stem = args.out / f"eight-bits-{report['machine']['date'][:10]}"
        stem.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        stem.with_suffix(".md").write_text(table(report), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
