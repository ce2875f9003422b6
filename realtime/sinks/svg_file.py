"""Drawings as vector graphics."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from realtime.core import Frame, SinkError
from realtime.vector import ink_of, traced


class SvgFileSink:
    """Writes ``.svg``: the first frame as soon as it comes and, from close() on, the last one.

    For a still that is the one drawing, for a clip its end. The file appears whole or not at all.

    Args:
        path: the file; its folder must exist.
    Raises:
        SinkError: another suffix, no such folder, or (later) it cannot be written.
    """

    def __init__(self, *, path: str | Path) -> None:
        self._path = Path(path)
        if self._path.suffix.lower() != ".svg":
            raise SinkError(f"vector {str(path)!r}: expected a name ending in .svg; rename it")
        if not self._path.parent.is_dir():
            raise SinkError(f"vector {str(path)!r}: there is no folder {str(self._path.parent)!r}; create it first")
        if self._path.is_dir():
            raise SinkError(f"vector {str(path)!r}: expected a file name, got a directory; add a name such as out.svg")
        self._latest: Frame | None = None
        self._written: Frame | None = None

    def send(self, frame: Frame) -> None:
        self._latest = frame
        if self._written is None:
            self._write(frame)

    def close(self) -> None:
        """Write the last frame, if it is not on disk yet."""
        frame, self._latest = self._latest, None
        if frame is not None and frame is not self._written:
            self._write(frame)

    def _write(self, frame: Frame) -> None:
        part = self._path.with_name(self._path.name + ".part")
        try:
            part.write_text(traced(frame.ink or ink_of(frame.image)), encoding="utf-8")
            part.replace(self._path)
        except (OSError, ImportError) as error:
            self._latest = None
            with suppress(OSError):
                part.unlink(missing_ok=True)
            why = getattr(error, "strerror", None) or str(error)
            do = (
                "run make setup again" if isinstance(error, ImportError) else "free some space or choose another folder"
            )
            raise SinkError(f"cannot write vector {str(self._path)!r}: {why}; {do}") from None
        self._written = frame
