"""Have the C allocator keep frames in few heaps, and keep their pages.

glibc gives each thread a heap of its own, and a heap that has once held frames keeps its pages. Frames pass through
four threads here: left alone, resident memory climbs by some 90 MB in the first minutes; with two heaps it stays flat.
A server whose peers come and go makes new threads with each: left alone it climbs by 300 KiB a visit and more.

Planes of a megabyte come and go many times a frame. glibc asks the system for each anew and gives it back, and a page
that is touched for the first time costs more than what is then done with it: a fifth of the time of the filter over
time. Up to 32 MB are therefore taken from the heap, and what is free at its top is kept. Once nobody is drawn any more,
:func:`give_back` hands all of it to the system.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
"""From malloc.h; see mallopt(3)."""
_FROM_HEAP = 32 << 20
_KEPT_FREE = 256 << 20


def bound_heaps(count: int = 2) -> bool:
    """Let glibc use at most ``count`` heaps from now on; call before threads start. False where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return False
    wanted = ((_M_ARENA_MAX, count), (_M_MMAP_THRESHOLD, _FROM_HEAP), (_M_TRIM_THRESHOLD, _KEPT_FREE))
    try:
        mallopt = ctypes.CDLL(None).mallopt
        return bool(min(mallopt(*one) for one in wanted) == 1)  # each is set, whatever the others say
    except AttributeError:  # another C library
        return False


def give_back() -> bool:
    """Return what the heaps keep free; takes some milliseconds. For when no frames pass: the next ones pay for their
    pages anew. False where there is no glibc, or nothing to return."""
    try:
        return sys.platform.startswith("linux") and bool(ctypes.CDLL(None).malloc_trim(0))
    except AttributeError:
        return False


def heap_in_use() -> int | None:
    """Bytes that were asked of the C allocator and not freed, without what it keeps; None where it does not tell."""
    try:
        mallinfo = ctypes.CDLL(None).mallinfo2  # glibc 2.33
    except (AttributeError, TypeError):
        return None
    mallinfo.restype = _MallInfo
    told = mallinfo()
    return int(told.uordblks + told.hblkhd)


class _MallInfo(ctypes.Structure):
    """mallinfo(3)."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks"),
            *("uordblks", "fordblks", "keepcost"),
        )
    ]
