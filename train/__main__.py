"""``python -m train COMMAND``: from photos to a trained network. ``COMMAND --help`` tells the options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from engines.command import leave, unread

COMMANDS = {
    "prepare": "photos of any kind -> aligned squares, landmarks, mattes",
    "pack": "prepared data in files of at most 30 MiB",
    "synthesize": "drawings of the NPR teacher for photos that have none",
    "auxiliary": "the four networks of the paper's distance-transform loss",
    "gan": "the paper's training",
    "distill": "a teacher's drawings into a smaller or faster network",
    "average": "the mean of checkpoints that went on from one another",
    "evaluate": "figures and a sheet, any drawers side by side",
    "report": "a page of a run: curves, samples, settings",
}
"""Each is the module of that name in this folder, with ``add_arguments`` and ``main``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run; a user's mistake is one line and exit code 2."""
    given = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, words in COMMANDS.items():
        sub = commands.add_parser(name, help=words)
        if name in given[:1]:  # the others' libraries need not be there
            module = import_module(f"train.{name}")
            sub.description = (module.__doc__ or words).splitlines()[0]
            module.add_arguments(sub)
            sub.set_defaults(run=module.main)
    args = parser.parse_args(given)
    try:
        return int(args.run(args))
    except (ValueError, OSError) as error:
        if isinstance(error, BrokenPipeError) and unread():
            raise
        print(f"train {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    leave(main)
