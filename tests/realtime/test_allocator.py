"""The allocator's heaps are bounded where there is glibc."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

HEAPS = """
import ctypes, threading
from realtime.allocator import bound_heaps

assert bound_heaps(2)
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
gate = threading.Barrier(9)

def work():
    libc.malloc(1000)
    gate.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
gate.wait()
libc.malloc_stats()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the bound is glibc's")
def test_many_threads_share_two_heaps() -> None:
    done = subprocess.run([sys.executable, "-c", HEAPS], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 1 <= done.stderr.count("Arena ") <= 2


GIVEN_BACK = """
import numpy as np, psutil
from realtime.allocator import bound_heaps, give_back, heap_in_use

assert bound_heaps(2)
process = psutil.Process()
kept, gone = [], []
for _ in range(64):  # small things between large ones: the heap's top stays taken
    gone.append(np.ones(1 << 20, np.uint8))
    kept.append(np.ones(4096, np.uint8))
asked = heap_in_use()
gone.clear()
assert asked - heap_in_use() >= 64 << 20
before = process.memory_info().rss
assert give_back()
print(before - process.memory_info().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the heaps are glibc's")
def test_what_the_heaps_keep_can_be_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", GIVEN_BACK], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) > 48 << 20
