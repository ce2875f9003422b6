"""Shared libraries of the system that the wheels of opencv and mediapipe link but do not carry. Standard library only:
the set-up script reads this before anything is installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

PACKAGES = {
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libGLESv2.so.2": "libgles2",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libgthread-2.0.so.0": "libglib2.0-0",
}
"""Name that the loader looks for, and the package of Debian and Ubuntu that has it."""

_PROBE = """
import ctypes, sys
for name in sys.argv[1:]:
    try:
        ctypes.CDLL(name)
    except OSError:
        print(name)
"""


def missing(python: Path | str = sys.executable) -> list[str]:
    """Names in PACKAGES that cannot be loaded here; asked in a fresh process, because a load cannot be undone."""
    if not sys.platform.startswith("linux"):
        return []
    command = [str(python), "-c", _PROBE, *PACKAGES]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def install_command(names: Iterable[str]) -> list[str]:
    """What brings the libraries to Debian and Ubuntu."""
    return ["apt-get", "install", "-y", *dict.fromkeys(PACKAGES[name] for name in names)]
