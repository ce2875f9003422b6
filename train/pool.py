"""The same work on many items, in this process or in several, with progress and without surprises."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import cv2
from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")
Result = TypeVar("Result")

_state: list[Any] = []
"""In a worker: what its ``setup`` made."""


def default_workers() -> int:
    """The cores this process may use, at most 4: each worker holds its own tracker and networks."""
    mine = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(mine, 4)


def progress(items: Iterable[Item], told: str, *, total: int | None = None) -> Iterator[Item]:
    """The items again, with a bar on a terminal's stderr and nothing anywhere else."""
    console = Console(stderr=True)
    yield from track(items, told, total=total, console=console, disable=not console.is_terminal)


def each(
    work: Callable[[Any, Item], Result],
    items: Sequence[Item],
    *,
    setup: Callable[..., Any],
    arguments: tuple[Any, ...],
    workers: int,
    told: str,
) -> Iterator[Result]:
    """Results of ``work(setup(*arguments), item)``, in order; ``setup`` runs once in every process.

    Args:
        work, setup: functions of a module. Processes are spawned, never forked: forking after a library has started
            threads can hang.
        workers: 1 = in this process.
        told: what the progress bar says.
    Raises:
        ValueError: a worker died (out of memory, most often), or fewer than one was asked for.
    """
    if workers < 1:
        raise ValueError(f"--workers: expected 1 or more, got {workers}")
    if workers == 1 or len(items) < 2:
        if items:
            state = setup(*arguments)
            try:
                yield from (work(state, item) for item in progress(items, told))
            finally:
                _close(state)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(items)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(setup, arguments),
    )
    try:
        results = pool.map(_one, [(work, item) for item in items], chunksize=4)
        yield from progress(results, told, total=len(items))
    except BrokenProcessPool:
        raise ValueError("a worker process died; run the same again to go on, with fewer --workers") from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(setup: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    cv2.setNumThreads(1)
    _state[:] = [setup, arguments]


def _one(job: tuple[Callable[[Any, Any], Any], Any]) -> Any:
    # The first job makes the state, so that an error of setup is the job's own and reaches the caller.
    if callable(_state[0]):
        _state[:] = [None, _state[0](*_state[1])]
    return job[0](_state[1], job[1])


def _close(state: Any) -> None:
    close = getattr(state, "close", None)
    if close is not None:
        close()
