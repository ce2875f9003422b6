"""A camera through OpenCV. What is lost (a plug pulled, a laptop that slept) is reopened while paper is shown."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.core import PAPER, Frame, SourceError, SourceInfo
from realtime.reopening import Reopening

_SYSFS = Path("/sys/class/video4linux")
_PROBED = 4  # where the system keeps no list, so many indices are tried
_FAILED_READS = 3  # in a row: one bad picture (a USB hiccup) is no loss of the camera


class Capture(Protocol):
    """The part of ``cv2.VideoCapture`` that is used."""

    def isOpened(self) -> bool: ...  # noqa: N802
    def set(self, prop: int, value: float, /) -> bool: ...
    def get(self, prop: int, /) -> float: ...
    def read(self) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraDevice:
    """A camera that the system lists."""

    index: int
    """For ``CameraSource(index=...)``."""
    name: str
    virtual: bool
    """True for a loopback device: it shows what another program sends, perhaps this one."""


def list_cameras() -> list[CameraDevice]:
    """Cameras found, real ones first. On systems without a list the first indices are opened for a moment."""
    if sys.platform.startswith("linux"):
        return _listed(_SYSFS)
    found = []
    for index in range(_PROBED):
        capture = _open_capture(index)
        if capture.isOpened():
            found.append(CameraDevice(index=index, name=f"camera {index}", virtual=False))
        capture.release()
    return found


def _listed(sysfs: Path) -> list[CameraDevice]:
    """Read Linux' list of video devices; only the first node of a camera gives pictures, the others metadata."""
    found = []
    for node in sysfs.glob("video*"):
        number = node.name.removeprefix("video")
        if number.isdecimal() and _text(node / "index", "0") == "0":
            virtual = "virtual" in node.resolve().parts
            found.append(CameraDevice(index=int(number), name=_text(node / "name", node.name), virtual=virtual))
    return sorted(found, key=lambda device: (device.virtual, device.index))


def _text(file: Path, otherwise: str) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip() or otherwise
    except OSError:
        return otherwise


def _open_capture(index: int) -> Capture:
    backend = {"linux": cv2.CAP_V4L2, "darwin": cv2.CAP_AVFOUNDATION, "win32": cv2.CAP_DSHOW}
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # the failure is told in one line of ours
    try:
        return cv2.VideoCapture(index, backend.get(sys.platform, cv2.CAP_ANY))
    finally:
        cv2.utils.logging.setLogLevel(level)


class CameraSource:
    """Frames of a camera, newest first: nothing is buffered.

    When the camera stops, it is reopened with exponential back-off, and until it is back the source gives blank frames,
    five a second.

    Args:
        index: number of the camera, see :func:`list_cameras`.
        width, height, fps: asked for; the camera may give something else, ``info`` tells what.
        open_capture: makes the capture of an index; for cameras that OpenCV does not know.
        retry_s: pause before the second attempt at reopening; doubled up to 8 s.
    Raises:
        SourceError: the camera does not open or gives no picture.
    """

    def __init__(
        self,
        *,
        index: int = 0,
        width: int = 1280,
        height: int = 720,
        fps: float = 30.0,
        open_capture: Callable[[int], Capture] = _open_capture,
        retry_s: float = 0.5,
    ) -> None:
        self._index, self._asked, self._retry_s = index, (width, height, fps), retry_s
        self._open_capture = open_capture
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._camera: _Camera | None = self._open()
        camera = self._camera
        height, width = camera.first.shape[:2]
        self._info = SourceInfo(name=f"camera {index}", live=True, width=width, height=height, fps=camera.fps or fps)

    @property
    def info(self) -> SourceInfo:
        return self._info

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        paper = np.full((self._info.height, self._info.width, 3), PAPER, dtype=np.uint8)
        while not self._stopped.is_set():
            image = self._read()
            if image is not None:
                yield Frame(image=image, index=index, captured=time.monotonic())
                index += 1
                continue
            reopening = Reopening(self._open, stopped=self._stopped, first_s=self._retry_s)
            for _ in reopening:
                yield Frame(image=paper, index=index, captured=time.monotonic(), blank=True)
                index += 1
            with self._lock:
                self._camera = reopening.result
        self._release()

    def close(self) -> None:
        """End the iteration and free the camera, also from another thread."""
        self._stopped.set()
        self._release()

    def _open(self) -> _Camera:
        if self._index < 0:
            raise SourceError(f"expected a camera number from 0, got {self._index}; {_advice()}")
        try:
            return _Camera(self._open_capture(self._index), *self._asked)
        except (cv2.error, OSError, ValueError) as error:
            problem = str(error) if type(error) is ValueError else "it cannot be opened"
            raise SourceError(f"camera {self._index}: {problem}; {_advice()}") from None

    def _read(self) -> NDArray[np.uint8] | None:
        """The next picture; None when the camera has stopped (then it is released)."""
        with self._lock:
            camera = self._camera
            if camera is None or self._stopped.is_set():
                return None
            for _ in range(_FAILED_READS):
                image = camera.read()
                if image is not None:
                    return image
            camera.close()
            self._camera = None
            return None

    def _release(self) -> None:
        # A read that hangs in the driver holds the lock; the iterating thread then releases when the read returns.
        if self._lock.acquire(timeout=0.5):
            try:
                if self._camera is not None:
                    self._camera.close()
                    self._camera = None
            finally:
                self._lock.release()


class _Camera:
    """An opened capture that has given a picture."""

    def __init__(self, capture: Capture, width: int, height: int, fps: float) -> None:
        self._capture = capture
        if not capture.isOpened():
            capture.release()
            raise ValueError("it cannot be opened")
        # Uncompressed 720p does not fit USB 2 at 30 fps, so the camera is asked for MJPG, before the size.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        capture.set(cv2.CAP_PROP_FPS, fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        image = next((image for image in (self.read() for _ in range(_FAILED_READS)) if image is not None), None)
        if image is None:
            capture.release()
            raise ValueError("it opens but gives no picture, perhaps because another program is using it")
        self.first = image
        told = capture.get(cv2.CAP_PROP_FPS)
        self.fps = told if 1 <= told <= 240 else 0.0

    def read(self) -> NDArray[np.uint8] | None:
        try:
            good, image = self._capture.read()
        except cv2.error:
            return None
        if not good or image is None or image.ndim != 3 or not image.size:
            return None
        return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)

    def close(self) -> None:
        self._capture.release()


def _advice() -> str:
    """What cameras there are and what to do, in one clause."""
    if not sys.platform.startswith("linux"):
        return "expected a camera that no other program uses; allow this program the camera in the privacy settings"
    found = list_cameras()
    if not found:
        return "expected a camera, found none at /dev/video*; plug one in, or use --source demo"
    listed = ", ".join(f"{device.index} ({device.name})" for device in found)
    return f"expected one of: {listed}; choose it with --source camera:N, and close other programs that use it"
