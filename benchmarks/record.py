"""Record what a clip's frames, faces and mattes are, so that a machine that has no tracker can draw it.

    python -m benchmarks.record CLIP OUT.recording.npz [--frames 300]

Faces are tracked, aligned and matted exactly as the live program does it; :mod:`benchmarks.recording` tells the format,
``make gpu-check ARGS="--recording FILE"`` plays it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks import recording
from benchmarks.flicker import located
from engines.errors import UserError

NO_ENGINE: Any = SimpleNamespace(name="none", device="none")
"""Nothing is drawn here."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.record", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("out", type=Path, help=f"expected to end in {recording.SUFFIX}, which git ignores")
    most = recording.MOST_FRAMES
    parser.add_argument("--frames", type=int, default=most, help=f"read so many of the clip, at most {most}")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0: written; 2: one line says what is wrong."""
    args = _parser().parse_args(argv)
    try:
        if not args.out.name.endswith(recording.SUFFIX):
            raise UserError(f"{args.out}: expected a name that ends in {recording.SUFFIX}")
        if not 0 < args.frames <= recording.MOST_FRAMES:
            raise UserError(f"--frames {args.frames}: expected 1 to {recording.MOST_FRAMES}")
        found = recording.moments(located(args.clip, args.frames, NO_ENGINE), args.frames)
        recording.write(args.out, found)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: {len(found)} frames, {found[-1].time:.1f} s, {args.out.stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
