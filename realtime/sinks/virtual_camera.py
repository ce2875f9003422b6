"""A camera that other programs see. The only owner of pyvirtualcam (GPL-2.0, an optional extra, imported when used)."""

from __future__ import annotations

import math
import sys
from typing import Any

from realtime.core import Frame, SinkError
from realtime.letterbox import letterbox

_DRIVERS = {
    "linux": (
        "load v4l2loopback: `sudo modprobe v4l2loopback devices=1 exclusive_caps=1 card_label=Drawing` "
        "(Debian/Ubuntu package: v4l2loopback-dkms), and give this user access to /dev/video*"
    ),
    "win32": "install OBS Studio (its virtual camera is registered with it) or the UnityCapture driver",
    "darwin": "install OBS Studio, start its virtual camera once and allow its system extension",
}


class VirtualCameraSink:
    """Sends frames to a virtual camera device, RGB.

    The device takes its size from the first frame; a frame of another size is laid on paper of that size.
    Sending does not wait: the stream has its own pace, and a camera's readers take the newest frame.

    Args:
        device: device file or name; None takes the first that is free.
        fps: nominal rate told to the device, above 0.
    Raises:
        SinkError: the package or the driver is missing (the message tells what to install), or the device is gone.
    """

    def __init__(self, *, device: str | None = None, fps: float = 30.0) -> None:
        if not (math.isfinite(fps) and fps > 0):
            raise SinkError(f"virtual camera: expected frames per second above 0, got {fps}; try 30")
        self._module = _import()
        self._device, self._fps = device, fps
        self._camera: Any = None
        self._closed = False

    @property
    def device(self) -> str | None:
        """Name of the device in use; before the first frame, the name that was asked for."""
        return str(self._camera.device) if self._camera is not None else self._device

    def send(self, frame: Frame) -> None:
        if self._closed:
            raise SinkError("virtual camera: it has been closed; expected an open one; make another")
        if self._camera is None:
            height, width = frame.image.shape[:2]
            # Drivers want even sides (their formats halve the colours).
            self._camera = self._open(width + width % 2, height + height % 2)
        try:
            self._camera.send(letterbox(frame.image, self._camera.width, self._camera.height))
        except (RuntimeError, OSError) as error:
            raise SinkError(
                f"virtual camera {self.device!r} stopped taking frames: {_line(error)}; {advice()}"
            ) from None

    def close(self) -> None:
        self._closed = True
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()

    def _open(self, width: int, height: int) -> Any:
        module = self._module
        try:
            return module.Camera(
                width=width, height=height, fps=self._fps, fmt=module.PixelFormat.RGB, device=self._device
            )
        except Exception as error:  # each driver raises in its own way; all of them mean: no device
            wanted = f"device {self._device!r}" if self._device else "a virtual camera"
            raise SinkError(f"cannot open {wanted}: {_line(error)}; {advice()}") from None


def advice(platform: str = sys.platform) -> str:
    """What to install or load on an operating system, for the message and for the doctor."""
    return _DRIVERS.get(platform, "no virtual camera driver is known for this system; use --sink window or a file")


def _import() -> Any:
    try:
        import pyvirtualcam
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError) and error.name == "pyvirtualcam"
        what = "the package pyvirtualcam is not installed" if missing else f"pyvirtualcam does not load: {_line(error)}"
        raise SinkError(f"virtual camera: {what}; `pip install pyvirtualcam` (GPL-2.0), then {advice()}") from None
    return pyvirtualcam


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
