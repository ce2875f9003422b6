import itertools
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime.core import Source, SourceError
from realtime.sources import camera
from realtime.sources.camera import CameraSource, list_cameras

BLUE_BGR = np.full((48, 64, 3), (200, 100, 10), dtype=np.uint8)


class FakeCapture:
    """A camera that gives ``pictures`` pictures and then fails."""

    def __init__(self, pictures: int = 10**9, *, opened: bool = True) -> None:
        self.left, self.opened, self.settings, self.released = pictures, opened, [], False

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def set(self, prop: int, value: float) -> bool:
        self.settings.append((prop, value))
        return True

    def get(self, prop: int) -> float:
        return 25.0 if prop == cv2.CAP_PROP_FPS else 0.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        if self.released or self.left <= 0:
            return False, None
        self.left -= 1
        return True, BLUE_BGR

    def release(self) -> None:
        self.released = True


def test_frames_are_rgb_and_stamped_after_they_are_decoded() -> None:
    capture = FakeCapture()
    source = CameraSource(open_capture=lambda _: capture)
    assert isinstance(source, Source)
    before = time.monotonic()
    frames = list(itertools.islice(source, 3))
    assert frames[0].image[0, 0].tolist() == [10, 100, 200]
    assert [f.index for f in frames] == [0, 1, 2]
    assert before <= frames[0].captured <= frames[1].captured <= time.monotonic()
    assert frames[0].pts is None
    assert not frames[0].blank
    assert (source.info.live, source.info.width, source.info.height, source.info.fps) == (True, 64, 48, 25.0)


def test_mjpg_is_asked_for_before_the_size_and_one_buffer() -> None:
    capture = FakeCapture()
    CameraSource(open_capture=lambda _: capture, width=1280, height=720, fps=30)
    asked = dict(capture.settings)
    assert capture.settings[0] == (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    assert (asked[cv2.CAP_PROP_FRAME_WIDTH], asked[cv2.CAP_PROP_FRAME_HEIGHT]) == (1280, 720)
    assert (asked[cv2.CAP_PROP_FPS], asked[cv2.CAP_PROP_BUFFERSIZE]) == (30, 1)


@pytest.mark.parametrize("capture", [FakeCapture(opened=False), FakeCapture(0)])
def test_a_camera_that_never_gives_a_picture_is_an_error_that_names_it(capture: FakeCapture) -> None:
    with pytest.raises(SourceError, match=r"camera 3: it .*expected") as caught:
        CameraSource(index=3, open_capture=lambda _: capture)
    assert "\n" not in str(caught.value)
    assert capture.released


def test_a_camera_number_that_does_not_exist_is_an_error_without_noise(capfd: pytest.CaptureFixture[str]) -> None:
    for index in (77, -1):
        with pytest.raises(SourceError, match=str(index)):
            CameraSource(index=index)
    assert capfd.readouterr().err == ""


def test_a_camera_that_stops_is_replaced_by_paper_until_it_is_back() -> None:
    captures = iter([FakeCapture(4), FakeCapture(opened=False), FakeCapture(0), FakeCapture(50)])
    source = CameraSource(open_capture=lambda _: next(captures), retry_s=0.1)
    frames = []
    begun = time.monotonic()
    for frame in source:
        frames.append(frame)
        if len([f for f in frames if not f.blank]) == 6:
            break
    assert time.monotonic() - begun < 5
    blanks = [f for f in frames if f.blank]
    assert 1 <= len(blanks) <= 12
    assert all((f.image == 255).all() for f in blanks)
    assert [f.blank for f in frames] == [False] * 3 + [True] * len(blanks) + [False] * 3
    assert [f.index for f in frames] == list(range(len(frames)))


def test_one_bad_picture_is_no_loss() -> None:
    class Hiccup(FakeCapture):
        reads = 0

        def read(self) -> tuple[bool, np.ndarray | None]:
            self.reads += 1
            return (False, None) if self.reads % 3 == 0 else super().read()

    source = CameraSource(open_capture=lambda _: Hiccup())
    assert not any(f.blank for f in itertools.islice(source, 8))


def test_blank_frames_come_five_a_second_with_growing_pauses() -> None:
    opened = []

    def factory(_: int) -> FakeCapture:
        opened.append(time.monotonic())
        return FakeCapture(2) if len(opened) == 1 else FakeCapture(opened=False)

    source = CameraSource(open_capture=factory, retry_s=0.2)
    frames = iter(source)
    next(frames)
    blanks = [next(frames) for _ in range(9)]
    assert blanks[-1].captured - blanks[0].captured == pytest.approx(1.6, abs=0.6)
    pauses = np.diff(opened[1:])
    assert len(pauses) >= 2
    assert pauses[1] > 1.4 * pauses[0]
    source.close()
    assert list(frames) == []


def test_close_releases_the_camera_and_ends_the_frames() -> None:
    capture = FakeCapture()
    source = CameraSource(open_capture=lambda _: capture)
    frames = iter(source)
    next(frames)
    source.close()
    source.close()
    assert list(frames) == []
    assert capture.released


def test_the_list_of_cameras_leaves_out_metadata_nodes_and_puts_real_ones_first(tmp_path: Path) -> None:
    for number, name, index, folder in (
        (0, "Loopback", "0", "virtual"),
        (2, "Webcam", "0", "pci"),
        (3, "Webcam", "1", "pci"),
    ):
        device = tmp_path / "devices" / folder / f"video{number}"
        device.mkdir(parents=True)
        (device / "name").write_text(f"{name}\n", encoding="utf-8")
        (device / "index").write_text(index, encoding="utf-8")
        (tmp_path / f"video{number}").symlink_to(device)
    found = camera._listed(tmp_path)
    assert [(d.index, d.name, d.virtual) for d in found] == [(2, "Webcam", False), (0, "Loopback", True)]
    assert camera._listed(tmp_path / "nothing") == []
    assert isinstance(list_cameras(), list)
