"""How a command of this project ends when whoever read its output has gone: without a word, as Unix tools do."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable
from typing import NoReturn

UNREAD = 128 + 13
"""Exit code of who wrote to a pipe that nobody reads any more, as shells tell it: 128 and the number of SIGPIPE."""


def leave(main: Callable[[], int]) -> NoReturn:
    """Run ``main`` and exit with what it returns, or with :data:`UNREAD`."""
    code: int | str | None
    try:
        try:
            code = main()
        except SystemExit as end:  # of argparse
            code = end.code
        sys.stdout.flush()
    except BrokenPipeError:
        if not unread():
            raise
        code = UNREAD
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # Python writes what is left when it ends
    sys.exit(code)


def unread() -> bool:
    """Whether nobody reads our output any more: other pipes may break too, and that is a fault. False on Windows."""
    if not hasattr(select, "poll"):
        return False
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # errors are always told
    return any(event & select.POLLERR for _, event in poll.poll(0))
