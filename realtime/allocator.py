"""Keep the C allocator from spreading frames over many heaps.

glibc gives each thread a heap of its own, and a heap that has once held frames keeps its pages. Frames pass through
four threads here: left alone, resident memory climbs by some 90 MB in the first minutes; with two heaps it stays flat.
"""

from __future__ import annotations

import ctypes
import sys

_M_ARENA_MAX = -8
"""From malloc.h; see mallopt(3)."""


def bound_heaps(count: int = 2) -> bool:
    """Let glibc use at most ``count`` heaps from now on; call before threads start. False where there is no glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_ARENA_MAX, count))
    except AttributeError:  # another C library
        return False
