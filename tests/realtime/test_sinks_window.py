import os
import shutil
import subprocess
import sys
import textwrap
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime.controls import Controls
from realtime.core import Frame, Sink, SinkError
from realtime.look import INKS
from realtime.sinks import window
from realtime.sinks.window import KEYS, WindowSink, display_problem, overlay

HERE = Path(__file__).resolve().parent


class FakeGui:
    """Records what is shown, and hands out the keys it was given."""

    def __init__(self) -> None:
        self.shown: list[np.ndarray] = []
        self.sizes: list[tuple[int, int]] = []
        self.keys: deque[int] = deque()
        self.open = False
        self.closed_by_user = False
        self.mouse: Callable[..., None] | None = None

    def namedWindow(self, _: str, flags: int) -> None:  # noqa: N802
        assert flags & cv2.WINDOW_KEEPRATIO == cv2.WINDOW_KEEPRATIO
        self.open = True

    def setMouseCallback(self, _: str, callback: Callable[..., None]) -> None:  # noqa: N802
        assert self.open
        self.mouse = callback

    def resizeWindow(self, _: str, width: int, height: int) -> None:  # noqa: N802
        self.sizes.append((width, height))

    def imshow(self, _: str, image: np.ndarray) -> None:
        self.shown.append(image.copy())

    def waitKeyEx(self, delay: int) -> int:  # noqa: N802
        assert delay <= 1
        return self.keys.popleft() if self.keys else -1

    def getWindowProperty(self, _: str, prop: int) -> float:  # noqa: N802
        assert prop == cv2.WND_PROP_VISIBLE
        if self.closed_by_user:
            raise cv2.error("null window")
        return 1.0

    def destroyWindow(self, _: str) -> None:  # noqa: N802
        self.open = False


def frame(width: int = 320, height: int = 180) -> Frame:
    image = np.full((height, width, 3), 255, dtype=np.uint8)
    image[:, : width // 2] = (10, 100, 250)
    return Frame(image=image, index=0, captured=0.0)


def test_it_shows_the_frame_in_the_right_colours_and_leaves_it_alone() -> None:
    gui = FakeGui()
    sink = WindowSink(controls=Controls(), gui=gui)
    assert isinstance(sink, Sink)
    sent = frame()
    before = sent.image.copy()
    sink.send(sent)
    assert gui.shown[0][0, 0].tolist() == [250, 100, 10]
    np.testing.assert_array_equal(sent.image, before)
    assert gui.sizes == [(320, 180)]
    sink.send(sent)
    assert gui.sizes == [(320, 180)]
    sink.send(frame(512, 512))
    assert gui.sizes[1:] == [(512, 512)]
    sink.close()
    sink.close()
    assert not gui.open


def test_every_key_acts_on_the_controls() -> None:
    gui, controls = FakeGui(), Controls()
    sink = WindowSink(controls=controls, gui=gui)
    sink.send(frame())

    def press(key: str) -> None:
        gui.keys.append(ord(key))
        sink.poll()

    press(" ")
    assert controls.paused
    press(" ")
    assert not controls.paused
    press("m")
    assert controls.mirror
    press("l")
    assert controls.layout == "inplace"
    press("p")
    assert controls.paper == "grain"
    press("k")
    assert controls.ink == INKS["sepia"]
    press("c")
    assert controls.chalk
    press("]")
    press("]")
    press("[")
    assert controls.weight == 0.25
    press("s")
    assert controls.take_snapshot()
    press("r")
    assert controls.recording
    press("i")
    assert controls.info
    press("?")
    assert controls.help
    assert not controls.quit.is_set()
    press("Q")
    assert controls.quit.is_set()
    assert {key for key, _ in KEYS} == {"q", "space", "m", "l", "p", "k", "c", "[ ]", "drag", "s", "r", "i", "?"}


def test_the_line_of_split_follows_the_mouse_while_its_button_is_down() -> None:
    gui, controls = FakeGui(), Controls(layout="split")
    sink = WindowSink(controls=controls, gui=gui)
    sink.send(frame(320, 180))
    assert gui.mouse is not None
    gui.mouse(cv2.EVENT_MOUSEMOVE, 80, 5, 0, None)
    assert controls.split == 0.5
    gui.mouse(cv2.EVENT_LBUTTONDOWN, 80, 5, cv2.EVENT_FLAG_LBUTTON, None)
    assert controls.split == 0.25
    for x, share in ((200, 0.625), (-30, 0.0), (900, 1.0)):
        gui.mouse(cv2.EVENT_MOUSEMOVE, x, 5, cv2.EVENT_FLAG_LBUTTON, None)
        assert controls.split == share
    controls.layout = "portrait"
    gui.mouse(cv2.EVENT_MOUSEMOVE, 80, 5, cv2.EVENT_FLAG_LBUTTON, None)
    assert controls.split == 1.0


def test_keys_that_mean_nothing_do_nothing() -> None:
    gui, controls = FakeGui(), Controls()
    sink = WindowSink(controls=controls, gui=gui)
    sink.send(frame())
    for code in (0xFF51, 65361, 0x71 + 0x100, ord("x"), 0, 0x2500FF):  # arrows end in the byte of Q
        gui.keys.append(code)
        sink.poll()
    assert not controls.quit.is_set()
    gui.keys.append(ord("m") | 0x100000)  # num lock is on
    sink.poll()
    assert controls.mirror


def test_the_close_button_ends_the_stream_and_no_other_window_opens() -> None:
    gui, controls = FakeGui(), Controls()
    sink = WindowSink(controls=controls, gui=gui)
    sink.send(frame())
    shown = len(gui.shown)
    gui.closed_by_user = True
    sink.send(frame())
    assert controls.quit.is_set()
    assert len(gui.shown) == shown
    sink.close()


def test_help_and_figures_are_written_over_a_copy_and_appear_without_a_new_frame() -> None:
    gui, controls = FakeGui(), Controls()
    sink = WindowSink(controls=controls, gui=gui)
    sink.send(frame())
    gui.keys.append(ord("?"))
    sink.poll()
    assert len(gui.shown) == 2
    assert (gui.shown[0] != gui.shown[1]).any()
    sink.poll()
    assert len(gui.shown) == 2


@pytest.mark.parametrize("size", [(1280, 720), (512, 512), (160, 90), (40, 30)])
@pytest.mark.parametrize("ground", [255, 0])
def test_what_is_written_can_be_read_on_paper_and_on_ink_and_fits(size: tuple[int, int], ground: int) -> None:
    controls = Controls(info=True)
    controls.report(fps=29.97, age_ms=61.2, faces=1, engine="openvino bf16", message="snapshot: " + "word " * 30)
    for controls.help in (False, True):
        picture = np.full((size[1], size[0], 3), ground, dtype=np.uint8)
        overlay(picture, controls)
        text = picture[:, : size[0] // 2].min()
        panel = picture[2, 2].max()
        if size[0] > 100:  # below that, letters cover the panel; it only must not fail
            assert panel > 190
            assert int(panel) - int(text) > 100


def test_a_recording_is_marked() -> None:
    controls = Controls()
    controls.toggle_record()
    picture = np.full((720, 1280, 3), 255, dtype=np.uint8)
    overlay(picture, controls)
    assert (picture.astype(int)[..., 2] - picture[..., 0] > 150).any()
    controls.stop_recording()
    picture[:] = 255
    overlay(picture, controls)
    assert (picture == 255).all()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a display")
def test_without_a_display_it_says_so_instead_of_ending_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(SinkError, match=r"no display .*--sink FILE"):
        WindowSink(controls=Controls())
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert "Xwayland" in str(display_problem())
    for display in (":987", "nonsense", "127.0.0.1:987", ":x.0"):
        monkeypatch.setenv("DISPLAY", display)
        assert "does not answer" in str(display_problem())


def test_a_headless_build_of_opencv_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window.cv2, "getBuildInformation", lambda: "General\n  GUI:   NONE\n")
    assert "no windows (headless)" in str(display_problem())


REAL_WINDOW = """
    import subprocess, sys, time
    import numpy as np
    from realtime.controls import Controls
    from realtime.core import Frame
    from realtime.sinks.window import WindowSink
    controls = Controls()
    sink = WindowSink(controls=controls, title="drawing test")
    frame = Frame(image=np.full((180, 320, 3), 255, dtype=np.uint8), index=0, captured=0.0)

    def until(done):
        end = time.monotonic() + 10
        while not done() and time.monotonic() < end:
            sink.send(frame)
            time.sleep(0.01)
        return done()

    def find():
        return subprocess.run(["xdotool", "search", "--name", "drawing test"], capture_output=True, text=True).stdout

    assert until(lambda: find().split())
    window = find().split()[-1]

    def press(key):
        subprocess.run(["xdotool", "windowfocus", window, "key", "--window", window, key], check=True)

    for key, done in (
        ("m", lambda: controls.mirror),
        ("space", lambda: controls.paused),
        ("question", lambda: controls.help),
        ("l", lambda: controls.layout == "inplace"),
    ):
        press(key)
        assert until(done), key
    press("Left")
    controls.layout = "split"
    sink.send(frame)

    def mouse(*words):
        subprocess.run(["xdotool", "mousemove", "--window", window, *words], check=True)

    mouse("160", "90", "mousedown", "1")
    assert until(lambda: abs(controls.split - 0.5) < 0.05), controls.split
    mouse("80", "90")
    assert until(lambda: abs(controls.split - 0.25) < 0.05), controls.split
    mouse("80", "90", "mouseup", "1")
    subprocess.run([sys.executable, sys.argv[1], window], check=True)
    assert until(controls.quit.is_set)
    sink.close()
    print("good")
"""


@pytest.mark.skipif(not shutil.which("Xvfb") or not shutil.which("xdotool"), reason="needs Xvfb and xdotool")
def test_a_real_window_answers_keys_and_its_close_button(tmp_path: Path) -> None:
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        pass_fds=[write],
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        with os.fdopen(read) as told:
            display = told.readline().strip()
        assert display, "Xvfb did not start"
        env = {**os.environ, "DISPLAY": f":{display}", "PYTHONPATH": str(HERE.parents[1])}
        begun = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(REAL_WINDOW), str(HERE / "x11_close.py")],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=tmp_path,
        )
        assert done.stdout == "good\n", f"{done.stderr[-2000:]} after {time.monotonic() - begun:.1f} s"
    finally:
        server.terminate()
        server.wait()
