"""A plan for a GPU, made beforehand. ``python -m engines.build MODEL --out FILE``.

Not needed for drawing: the first start on a GPU builds what it lacks. It is for packing plans for machines that you
know: TensorRT-RTX builds without a GPU, for any that it knows. The file draws with
``run_stream.py --model FILE --engine tensorrt_rtx``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from engines.backends.trt import MOST, VARIANTS
from engines.building import Building
from engines.catalogue import find
from engines.command import leave
from engines.errors import EngineError, ModelError, UserError
from engines.gpu import find_gpu
from engines.manifest import read_manifest
from engines.plans import SUFFIX, Plan, write_plan
from engines.trt_builder import Built, summary


def build_plan(args: argparse.Namespace, building: Building) -> tuple[Plan, Built]:
    """What the command line asks for, written to its ``--out``.

    Raises:
        UserError: one line says what is wrong.
    """
    out: Path = args.out
    if out.suffix != SUFFIX:
        raise UserError(f"--out {out}: expected a file name that ends in {SUFFIX}")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}; make it first")
    if args.batch < 1 or args.aux_streams < 0:
        raise UserError("expected --batch of 1 or more and --aux-streams of 0 or more")
    backend = VARIANTS[args.backend]
    if (missing := backend.missing()) is not None:
        raise EngineError(f"engine {args.backend}: {missing}")
    model = find(args.model)
    if model.suffix != ".onnx":
        raise ModelError(f"model {model}: expected an export (.onnx); make one with python -m engines.export")
    manifest = read_manifest(model)
    gpu = find_gpu() if args.backend == "tensorrt" else None
    if gpu is not None and args.compute_capability not in (None, ".".join(map(str, gpu.compute_capability))):
        raise EngineError(
            "engine tensorrt: builds for this machine's GPU alone; leave out --compute-capability, or use tensorrt_rtx"
        )
    key = backend.key(
        model,
        args.precision,
        gpu=gpu,
        compute_capability=args.compute_capability,
        batch=args.batch,
        tf32=args.tf32,
        aux_streams=args.aux_streams,
    )
    with building.of(out.name, f"{key.backend} {key.precision}") as progress:
        built = backend.build(model, key=key, progress=progress)
    plan = Plan(key=key, manifest=manifest, blob=built.blob)
    write_plan(out, plan)
    return plan, built


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m engines.build", description=__doc__.splitlines()[0])
    parser.add_argument("model", help="an exported .onnx file, or the name of one in models/")
    parser.add_argument("--backend", choices=tuple(VARIANTS), default="tensorrt_rtx", help="default tensorrt_rtx")
    parser.add_argument("--precision", choices=("fp16", "fp32", "bf16"), default="fp16", help="default fp16")
    parser.add_argument(
        "--compute-capability", metavar="N.N", help="of the GPU, such as 8.9; default: every one of RTX (tensorrt_rtx)"
    )
    parser.add_argument("--batch", type=int, default=MOST, help=f"most portraits in one run; default {MOST}")
    parser.add_argument("--tf32", action="store_true", help="fp32 products may be rounded to 10 bits (default: not)")
    parser.add_argument("--aux-streams", type=int, default=0, metavar="N", help="streams for branches; default 0")
    parser.add_argument("--layers", action="store_true", help="list every layer with its types")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=f"the plan, ending in {SUFFIX}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: written; 2: one line says what is wrong."""
    args = _parser().parse_args(argv)
    start = time.monotonic()
    try:
        plan, built = build_plan(args, Building(lambda line: print(line, file=sys.stderr, flush=True)))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    key = plan.key
    if args.layers:
        for layer in built.layers:
            print(f"{layer.kind:16s} {','.join(layer.takes):24s} -> {','.join(layer.gives):12s} {layer.name}")
    print(
        f"{args.out}: {key.backend} {key.version}, {key.precision}, TF32 {'on' if key.tf32 else 'off'}, compute "
        f"capability {key.compute_capability}, batch 1 to {key.batch}, {len(plan.blob) / 1e6:.1f} MB, "
        f"{time.monotonic() - start:.1f} s"
    )
    print(summary(built.layers))
    for line in built.warnings:
        print(f"warning: {line}")
    return 0


if __name__ == "__main__":
    leave(main)
