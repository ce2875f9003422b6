"""The server leaves no memory behind: its heaps are few, and threads that have ended have left nothing in OpenCV."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

SERVED = """
import ctypes, threading
import cv2, numpy as np
from benchmarks.product import product
from realtime.allocator import heap_in_use

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
picture, gate = np.zeros((480, 640, 3), np.uint8), threading.Barrier(9)

def draw():
    cv2.cvtColor(cv2.resize(picture, (512, 512)), cv2.COLOR_RGB2GRAY)

def meet():
    libc.malloc(1000)
    gate.wait()

def after(threads):
    for _ in range(threads):
        thread = threading.Thread(target=draw)
        thread.start()
        thread.join()
    return heap_in_use()

with product(say=lambda _line: None):
    print(-after(50) + after(200))
    together = [threading.Thread(target=meet) for _ in range(8)]
    for thread in together:
        thread.start()
    gate.wait()
    libc.malloc_stats()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the heaps are glibc's")
def test_a_server_has_two_heaps_and_keeps_nothing_of_threads_that_have_ended() -> None:
    exactly = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}  # what is freed counts as free at once
    command = [sys.executable, "-c", SERVED]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | exactly, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200 * 100, "bytes; OpenCV keeps 880 of each thread that may share its work out"
    assert 1 <= done.stderr.count("Arena ") <= 2
