"""One run, opened by :mod:`realtime.wiring`: start it, stop it, and afterwards tell how it went."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from realtime.controls import Controls
from realtime.core import SinkError
from realtime.stream import Stream
from realtime.timing import Stats


@dataclass(kw_only=True)
class Program:
    """Everything that one run needs. A context manager: leaving it closes whatever is still open, newest first."""

    stream: Stream
    stats: Stats
    controls: Controls
    progress: AbstractContextManager[object]
    """Shown while the stream runs."""
    outputs: tuple[Path, ...]
    """Files that the sinks write."""
    write_sheet: Callable[[], Path] | None
    """Makes a contact sheet of the finished clip."""
    stats_file: Path | None
    say: Callable[[str], None]
    opened: ExitStack

    def run(self) -> None:
        """Until the source ends, a limit is reached or :meth:`stop`. Raises UserError of any part."""
        with self.progress:
            self.stream.run()

    def stop(self) -> None:
        """Ask the run to end after the drawing at hand. May be called from a signal handler or another thread."""
        self.controls.quit.set()

    def report(self) -> None:
        """After closing: the contact sheet, the table of figures, the stats file. Raises SinkError."""
        written = [path for path in self.outputs if path.exists()]
        if self.write_sheet is not None and self.stats.frames_out:
            written.append(self.write_sheet())
        self.say(self.stats.table())
        if self.stats_file is not None:
            try:
                self.stats_file.write_text(json.dumps(self.stats.as_dict(), indent=2) + "\n", encoding="utf-8")
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise SinkError(f"--stats {str(self.stats_file)!r}: {reason}; expected a file; name another") from None
            written.append(self.stats_file)
        if written:
            self.say(f"written  {', '.join(map(str, written))}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.opened.close()
