"""Draws you live: argv -> StreamConfig -> build() -> run.

What the program says of itself goes to stdout; stderr gets one line for what went wrong, one when the model that was
chosen may not be used commercially, and nothing else. Exit code: 0 done, 2 bad input, 130 interrupted (Ctrl-C or
SIGTERM), 141 nobody reads what it says any more, 1 a fault of the program itself.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Self

from engines.command import leave, unread
from engines.errors import UserError
from realtime.config import StreamConfig, parse

if TYPE_CHECKING:
    from realtime.program import Program
    from realtime.webrtc.server import Server

DONE, FAULT, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130
QUIET = {"GLOG_minloglevel": "3", "TF_CPP_MIN_LOG_LEVEL": "3", "OPENCV_LOG_LEVEL": "SILENT"}
"""Environment that some libraries read as they load; what they print about themselves is not for our user."""


def main(argv: Sequence[str] | None = None) -> int:
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        config, action = parse(sys.argv[1:] if argv is None else argv)
        return draw(config) if action is None else look(action)
    except UserError as error:
        return complain(str(error), BAD_INPUT)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, BrokenPipeError) and unread():
            raise
        log = Path(tempfile.gettempdir()) / "apdrawing-live-fault.txt"
        log.write_text(traceback.format_exc(), encoding="utf-8")
        return complain(f"a fault of the program, {type(error).__name__}: {error}; please report it with {log}", FAULT)


def draw(config: StreamConfig) -> int:
    from realtime.core import PartialSourceError

    broke: PartialSourceError | None = None
    with Interrupts() as interrupts, opened(config) as program:
        interrupts.stop = program.stop
        try:
            program.run()
        except PartialSourceError as error:  # everything that decoded is in the outputs: they are finished as usual
            broke = error
    program.report()
    if broke is not None:
        raise broke
    return INTERRUPTED if interrupts.came else DONE


def opened(config: StreamConfig) -> Program | Server:
    """A run from source to sinks, or a server."""
    from realtime import wiring

    make = wiring.build if config.serve is None else wiring.build_server
    return make(config, say=say, warn=warn)


def look(action: str) -> int:
    """One of realtime.config.ACTIONS."""
    from realtime import doctor, model_list

    looks = {
        "list-devices": doctor.list_devices,
        "list-models": model_list.list_models,
        "list-models-json": model_list.list_models_json,
        "doctor": doctor.examine,
    }
    return DONE if looks[action](say) else BAD_INPUT


class Interrupts:
    """Ctrl-C and SIGTERM: the first ends the run after the drawing at hand, the second at once."""

    def __init__(self) -> None:
        self.came = False
        self.stop: Callable[[], None] | None = None
        """How to end the run; None while there is none yet."""

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        if self.came or self.stop is None:
            raise KeyboardInterrupt
        self.came = True
        self.stop()

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def say(line: str) -> None:
    print(line, flush=True)


def warn(line: str) -> None:
    print(f"run_stream.py: {' '.join(line.split())}", file=sys.stderr, flush=True)


def complain(text: str, code: int) -> int:
    warn(text)
    return code


if __name__ == "__main__":
    leave(main)
