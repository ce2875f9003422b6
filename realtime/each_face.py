"""Work that each face needs by itself, for all faces at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import cv2

Item = TypeVar("Item")
Made = TypeVar("Made")

MOST_THREADS = 4


def one_thread_each() -> None:
    """OpenCV shares no call out to threads of its own; for the whole process.

    Pictures are small here: sharing them out takes more processor time than it saves, and several faces, or the stages
    of the stream, keep the processors busy anyway. (It also keeps 0.9 KiB for ever of each thread that shares out.)
    """
    cv2.setNumThreads(1)


class EachFace:
    """Maps over faces, in threads from the second one on: OpenCV and NumPy let others run while they work.

    Threads are started when they are needed for the first time; :meth:`close` ends them.
    """

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None

    def map(self, make: Callable[[Item], Made], faces: Sequence[Item]) -> list[Made]:
        """``make`` of each, in order. What it raises is raised here; for one face all happens in this thread."""
        if len(faces) < 2:
            return [make(face) for face in faces]
        if self._pool is None:
            threads = max(2, min(MOST_THREADS, os.cpu_count() or 2))
            self._pool = ThreadPoolExecutor(threads, thread_name_prefix="face")
        return list(self._pool.map(make, faces))

    def close(self) -> None:
        """May be called twice; the next map starts threads anew."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None
