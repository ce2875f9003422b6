"""Trackers find faces. This folder owns mediapipe: here it is loaded, its faults put in words, its log kept quiet."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any

from realtime.core import AssetError


def load_mediapipe() -> Any:
    """The mediapipe module.

    Raises:
        AssetError: it is not installed, or a shared library that it links is missing.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        import mediapipe
        from mediapipe.tasks.python import vision  # noqa: F401  makes mediapipe.tasks.python.vision known
    except ModuleNotFoundError as error:
        raise AssetError(f"mediapipe: not installed ({error}); run: pip install mediapipe") from error
    except (ImportError, OSError) as error:
        raise missing_library(error) from error
    return mediapipe


def missing_library(error: BaseException) -> AssetError:
    """A shared library that did not load, with the packages that carry it."""
    if sys.platform.startswith("linux"):
        advice = "on Debian and Ubuntu run: apt-get install libgl1 libegl1 libgles2"
    else:
        advice = "install it, or reinstall mediapipe: pip install --force-reinstall mediapipe"
    return AssetError(f"mediapipe: a shared library that it needs is missing ({error}); {advice}")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what C++ code writes to stderr, past Python, off the screen while a graph starts."""
    sys.stderr.flush() if sys.stderr is not None else None
    try:
        kept = os.dup(2)
    except OSError:  # started without a console: nothing to keep quiet
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  a device, not a path
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
