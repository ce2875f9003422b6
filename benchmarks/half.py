"""Does a narrower type keep the drawing? Measured without a GPU.

    python -m benchmarks.half MODEL ... --photos DIR [--precision fp16] [--out FOLDER]

The very graph that TensorRT is given (:mod:`engines.precision`) is run by ONNX Runtime on the CPU, node by node, beside
the fp32 graph. Where the CPU has no kernel of the narrow type, a node computes in fp32 and its result is rounded: as on
a GPU, whose matrix units take fp16 and add up in fp32, every value that is stored is rounded. Sums are taken in another
order there, so this tells what the type does to a drawing, not that a certain GPU draws the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from engines.backends import ort
from engines.catalogue import find
from engines.compare import HALF_INK_IOU, HALF_MEAN, Difference, difference, worst
from engines.errors import EngineError, UserError
from engines.precision import PRECISIONS, retyped
from engines.samples import read_photos


def compare(model: Path, photos: Sequence[dict[str, Any]], precision: str) -> list[Difference]:
    """Of each photo, the drawing in ``precision`` against fp32. bf16: ONNX Runtime on the CPU has no kernels for it.

    Raises:
        UserError: onnx is not installed, or the runtime cannot run the type.
    """
    try:
        import onnx
    except ImportError:
        raise EngineError("expected the package onnx; pip install onnx") from None
    graph = onnx.load(model)
    wide, narrow = (
        ort.run_graph(retyped(graph, p).SerializeToString(), photos, as_it_is=True)  # type: ignore[arg-type]
        for p in ("fp32", precision)
    )
    return [difference(got, wanted) for got, wanted in zip(narrow, wide, strict=True)]


def table(report: dict[str, Any]) -> str:
    """Markdown."""
    of = report["machine"]
    lines = [
        f"# {report['precision']} against fp32, {of['date']}",
        "",
        f"{report['photos']} photos; ONNX Runtime on {of['cpu']}, Python {of['python']}. Bounds, of every photo: mean "
        f"at most {HALF_MEAN:g} grey level, ink IoU at least {HALF_INK_IOU:g}.",
        "",
        "| model | mean, worst photo | mean, all | off by more than 2, worst | ink IoU, worst | median | in bounds |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in report["models"].items():
        w = found["worst"]
        lines.append(
            f"| {name} | {w['mean']:.4f} | {found['mean']:.4f} | {w['off_by_more_than_2']:.4%} | {w['ink_iou']:.4f} | "
            f"{found['ink_iou_median']:.4f} | {'yes' if found['within'] else 'NO'} |"
        )
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.half", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--photos", type=Path, required=True, metavar="DIR", help="aligned portraits")
    parser.add_argument("--precision", choices=[p for p in PRECISIONS if p != "fp32"], default="fp16")
    parser.add_argument("--most", type=int, metavar="N", help="the first N photos alone")
    parser.add_argument("--out", type=Path, help="write a dated .md and .json into this folder")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: within the bounds; 1: not; 2: one line says what is wrong."""
    args = _parser().parse_args(argv)
    report: dict[str, Any] = {"machine": machine.describe(), "precision": args.precision, "models": {}}
    try:
        photos = [inputs for _, inputs in read_photos(args.photos)][: args.most]
        report["photos"] = len(photos)
        for name in args.models:
            found = compare(find(name), photos, args.precision)
            report["models"][name] = {
                "worst": dataclasses.asdict(worst(found)),
                "mean": float(np.mean([d.mean for d in found])),
                "ink_iou_median": float(np.median([d.ink_iou for d in found])),
                "within": worst(found).mean <= HALF_MEAN and worst(found).ink_iou >= HALF_INK_IOU,
            }
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(report), end="")
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        stem = args.out / f"half-{report['machine']['date'][:10]}"
        stem.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        stem.with_suffix(".md").write_text(table(report), encoding="utf-8")
    return 0 if all(found["within"] for found in report["models"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
