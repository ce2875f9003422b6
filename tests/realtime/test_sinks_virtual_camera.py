import builtins
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from realtime.core import Frame, Sink, SinkError
from realtime.sinks.virtual_camera import VirtualCameraSink, advice

pyvirtualcam = pytest.importorskip("pyvirtualcam", reason="the optional extra virtualcam is not installed")


class Device:
    """What pyvirtualcam sees of a driver; keeps what it is sent."""

    made: list["Device"]
    names = ("/dev/video9",)

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None, **_: Any) -> None:
        if device is not None and device not in self.names:
            raise RuntimeError(f"device {device}\n is not there")
        self.width, self.height, self.fps, self.fourcc, self.name = width, height, fps, fourcc, device or self.names[0]
        self.frames: list[np.ndarray] = []
        self.closed = 0
        Device.made.append(self)

    def send(self, frame: np.ndarray) -> None:
        self.frames.append(frame.copy().reshape(self.height, self.width, 3))

    def close(self) -> None:
        self.closed += 1

    def device(self) -> str:
        return self.name

    def native_fourcc(self) -> None:
        return None


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Device]]:
    monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", {})
    pyvirtualcam.register_backend("test", Device)
    Device.made = []
    return Device.made


def frame(image: np.ndarray, index: int = 0) -> Frame:
    return Frame(image=image, index=index, captured=0.0)


def test_frames_arrive_in_size_rate_and_colour_order(made: list[Device]) -> None:
    image = np.zeros((48, 64, 3), dtype=np.uint8)
    image[:, :32] = (250, 100, 5)
    sink = VirtualCameraSink(fps=24.0)
    assert isinstance(sink, Sink)
    assert made == []
    for k in range(3):
        sink.send(frame(image, k))
    (device,) = made
    assert (device.width, device.height, device.fps) == (64, 48, 24.0)
    assert device.fourcc == pyvirtualcam.util.encode_fourcc(pyvirtualcam.PixelFormat.RGB.value)
    assert len(device.frames) == 3
    np.testing.assert_array_equal(device.frames[2], image)
    assert sink.device == "/dev/video9"
    sink.close()
    sink.close()
    assert device.closed == 1
    with pytest.raises(SinkError, match="closed"):
        sink.send(frame(image))


def test_a_change_of_size_is_laid_on_paper_of_the_first_size(made: list[Device]) -> None:
    sink = VirtualCameraSink()
    sink.send(frame(np.zeros((48, 64, 3), dtype=np.uint8)))
    sink.send(frame(np.zeros((96, 32, 3), dtype=np.uint8)))
    sink.close()
    (device,) = made
    shown = device.frames[1]
    assert shown.shape == (48, 64, 3)
    assert (shown[:, 24:40] == 0).all()
    assert (shown[:, :20] == 255).all()
    assert (shown[:, -20:] == 255).all()


def test_sizes_are_even(made: list[Device]) -> None:
    sink = VirtualCameraSink()
    sink.send(frame(np.zeros((47, 63, 3), dtype=np.uint8)))
    assert (made[0].width, made[0].height) == (64, 48)
    assert (made[0].frames[0][:47, :63] == 0).all()
    sink.close()


def test_sending_never_waits_for_the_rate(made: list[Device]) -> None:
    sink = VirtualCameraSink(fps=1.0)
    begun = time.monotonic()
    for k in range(10):
        sink.send(frame(np.zeros((8, 8, 3), dtype=np.uint8), k))
    assert time.monotonic() - begun < 0.5
    assert len(made[0].frames) == 10
    sink.close()


@pytest.mark.usefixtures("made")
def test_a_device_that_is_not_there_is_said_with_what_to_do() -> None:
    sink = VirtualCameraSink(device="/dev/video3")
    with pytest.raises(SinkError, match=r"'/dev/video3'.*is not there") as caught:
        sink.send(frame(np.zeros((8, 8, 3), dtype=np.uint8)))
    assert advice() in str(caught.value)
    assert "\n" not in str(caught.value)
    sink.close()


def test_a_device_that_goes_away_is_said(made: list[Device], monkeypatch: pytest.MonkeyPatch) -> None:
    sink = VirtualCameraSink()
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    sink.send(frame(image))

    def gone(_: Device, __: np.ndarray) -> None:
        raise RuntimeError("error writing frame")

    monkeypatch.setattr(Device, "send", gone)
    with pytest.raises(SinkError, match="stopped taking frames"):
        sink.send(frame(image))
    sink.close()
    assert made[0].closed == 1


def test_without_the_package_the_message_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyvirtualcam")
    original = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "pyvirtualcam":
            raise ModuleNotFoundError("No module named 'pyvirtualcam'", name="pyvirtualcam")
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(SinkError, match=r"not installed; `pip install pyvirtualcam` \(GPL-2\.0\)"):
        VirtualCameraSink()


def test_each_system_has_its_driver_named() -> None:
    assert "sudo modprobe v4l2loopback" in advice("linux")
    assert "OBS" in advice("win32")
    assert "UnityCapture" in advice("win32")
    assert "OBS" in advice("darwin")
    assert "--sink window" in advice("plan9")


@pytest.mark.parametrize("fps", [0, -1, float("inf")])
def test_a_rate_that_is_none_is_refused(fps: float) -> None:
    with pytest.raises(SinkError, match="above 0"):
        VirtualCameraSink(fps=fps)
