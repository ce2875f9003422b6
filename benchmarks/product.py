"""The server as it ships, for measurements that run it in a process of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.timecode import TimecodeStylizer
from realtime import wiring
from realtime.config import StreamConfig

if TYPE_CHECKING:
    from realtime.webrtc.server import Server


def product(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    engine: str = "auto",
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: print(line, flush=True),
) -> Server:
    """What ``--serve`` builds, with the time code of the camera's picture kept and the face drawn in its place.

    Args:
        host, port: where it listens; port 0 is one that the system chooses.
        token: of whoever may send.
        engine: as the option of the program.
        threads: of each engine; None: as many as it ships with.
        say: takes its lines.
    """
    config = StreamConfig(serve=(host, port), token=token, engine=engine, layout="inplace")
    return wiring.build_server(config, say=say, warn=say, threads=threads, make_stylizer=TimecodeStylizer)
