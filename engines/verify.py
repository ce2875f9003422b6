"""Does every runtime draw the same, and how fast? ``python -m engines.verify MODEL --photos DIR``.

Prints a table (:mod:`engines.trial` says what is the same) and ends with 1 when an engine is outside its bounds.
``--record`` writes into the model whether OpenVINO bf16 draws the same and is faster, which is what ``auto`` goes by.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

from engines.catalogue import find
from engines.choose import describe
from engines.command import leave
from engines.errors import UserError
from engines.manifest import write_manifest
from engines.plans import SUFFIX
from engines.samples import read_photos, synthetic
from engines.trial import DEFAULT, OF_CHECKPOINTS, Report, verify


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engines.verify", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="an exported .onnx file, the name of one in models/, or a checkpoint")
    parser.add_argument("--backends", nargs="+", metavar="NAME", help=f"default: {' '.join(DEFAULT)}")
    parser.add_argument("--photos", type=Path, metavar="DIR", help="aligned portraits; default: synthetic pictures")
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="compare with eager torch on these weights")
    parser.add_argument("--threads", type=int, help="CPU threads; default: the cores this process may use, at most 8")
    parser.add_argument("--record", action="store_true", help="write into the model whether bf16 may be used")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: all within bounds; 1: an engine is outside them; 2: one line says what is wrong."""
    args = _parser().parse_args(argv)
    try:
        if Path(args.model).suffix == SUFFIX:
            raise UserError(
                f"{args.model}: a plan has nothing to be held against; give the model that it was built from, and "
                "--backends tensorrt_rtx-fp16 or what it was built for"
            )
        if args.record and args.photos is None:
            raise UserError("--record: expected --photos DIR as well; synthetic pictures say too little about drawings")
        model = find(args.model)
        if args.record and model.suffix != ".onnx":
            raise UserError(f"--record: expected an export (.onnx) to write into, got {model}")
        manifest = describe(model)
        photos = [inputs for _, inputs in read_photos(args.photos)] if args.photos else None
        report = verify(
            model,
            photos or [synthetic(manifest.kind, batch=1, seed=seed) for seed in range(4)],
            backends=args.backends or (DEFAULT if model.suffix == ".onnx" else OF_CHECKPOINTS),
            checkpoint=args.checkpoint,
            threads=args.threads,
        )
        print(report.table())
        if model.suffix != ".onnx" and len(report.rows) < 2:
            raise UserError(
                f"{model}: no engine that draws from a checkpoint could be held against torch here; export it, or try "
                "on a machine with a GPU"
            )
        if args.record:
            print(_record(model, report))
    except (UserError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    asked = any("bf16" in name for name in args.backends or ())
    failed = report.failures(promised=asked or (manifest.bf16_ok is True and not args.record))
    if failed:
        print(f"outside the bounds: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _record(model: Path, report: Report) -> str:
    if report.bf16_ok is None:
        return "bf16_ok not recorded: openvino-fp32 and openvino-bf16 did not both run here"
    write_manifest(model, dataclasses.replace(report.manifest, bf16_ok=report.bf16_ok))
    verdict = "faster and the same drawing" if report.bf16_ok else "not faster, or another drawing"
    return f"recorded bf16_ok = {str(report.bf16_ok).lower()} ({verdict})"


if __name__ == "__main__":
    leave(main)
