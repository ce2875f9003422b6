"""``python -m train COMMAND``: prepare photos, synthesize drawings, distill a student. ``--help`` tells the options."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run; a user's mistake is one line and exit code 2."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    from train import distill, evaluate, prepare, synthesize

    for name, module in (
        ("prepare", prepare),
        ("synthesize", synthesize),
        ("distill", distill),
        ("evaluate", evaluate),
    ):
        sub = commands.add_parser(name, help=(module.__doc__ or "").splitlines()[0])
        module.add_arguments(sub)
        sub.set_defaults(run=module.main)
    args = parser.parse_args(argv)
    try:
        return int(args.run(args))
    except (ValueError, OSError) as error:
        print(f"train {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main())
