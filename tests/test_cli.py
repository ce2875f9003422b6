"""The program as a user meets it: what it writes, what it says, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import pytest

import engines
import run_stream
from realtime import wiring
from realtime.controls import Controls
from realtime.core import Frame
from realtime.sources.video import VideoSource

ROOT = Path(__file__).resolve().parents[1]
STATS_KEYS = {
    *("frames_in", "frames_out", "dropped", "fps", "age_ms", "stages_ms", "engine", "device", "faces", "rss_mb"),
}
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs the program in an empty folder of its own, on a machine without camera and display."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(wiring, "find_camera", lambda: None)
    monkeypatch.setattr(wiring, "display_problem", lambda: "window: no display; use --sink FILE")

    def run(*argv: str | Path) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run_stream.main([str(arg) for arg in argv])
        out, err = capfd.readouterr()
        return code, out, err

    return run


def frames_of(clip: Path) -> list[Frame]:
    with closing(VideoSource(path=clip)) as source:
        return list(source)


def has_ink(frame: Frame) -> bool:
    return bool((frame.image < 64).mean() > 0.005)


# -- what it draws -----------------------------------------------------------------------------------------------------


def test_without_arguments_the_demo_is_drawn_into_a_clip_with_a_sheet_and_a_table(run: Run) -> None:
    code, out, err = run("--seconds", "0.5", "--stats", "stats.json")
    assert (code, err) == (0, "")
    frames = frames_of(Path("out/demo.mp4"))
    assert len(frames) == 15
    assert all(has_ink(frame) for frame in frames)
    assert (frames[0].image != frames[-1].image).mean() > 0.005, "the drawing moves"
    sheet = cv2.imread("out/demo.png")
    assert sheet is not None
    assert sheet.shape[1] > 4 * 400
    assert "source: demo" in out
    assert "sink: out" in out
    assert "p95" in out
    stats = json.loads(Path("stats.json").read_text())
    assert set(stats) >= STATS_KEYS
    assert (stats["frames_in"], stats["frames_out"], stats["dropped"], stats["faces"]) == (15, 15, 0, 1)
    assert set(stats["age_ms"]) == {"p50", "p95", "p99"}
    assert {"track", "align", "draw", "compose"} <= set(stats["stages_ms"])
    assert 0 < stats["age_ms"]["p50"] <= stats["age_ms"]["p95"]
    assert stats["fps"] > 0
    assert stats["rss_mb"] > 50


def test_a_clip_keeps_every_frame_at_its_time(run: Run, demo_clip: Path) -> None:
    code, _, err = run("--source", demo_clip, "--sink", "drawn.mkv", "--layout", "inplace")
    assert (code, err) == (0, "")
    drawn, source = frames_of(Path("drawn.mkv")), frames_of(demo_clip)
    assert [frame.pts for frame in drawn] == [frame.pts for frame in source]
    assert drawn[0].image.shape == source[0].image.shape


def test_a_picture_becomes_a_picture_and_several_sinks_get_the_same(run: Run, demo_clip: Path) -> None:
    photo = frames_of(demo_clip)[0].image
    cv2.imwrite("face.png", photo[..., ::-1])
    code, _, err = run("--source", "face.png", "--sink", "a.png", "--sink", "b.jpg", "--size", "300x400", "--mirror")
    assert (code, err) == (0, "")
    a, b = cv2.imread("a.png"), cv2.imread("b.jpg")
    assert a is not None
    assert b is not None
    assert a.shape == b.shape == (400, 300, 3)
    assert a.min() < 64
    code, _, err = run("--source", "face.png", "--layout", "square")
    assert (code, err) == (0, "")
    square = cv2.imread("out/face.png")
    assert square is not None
    assert square.shape == (512, 512, 3)


def test_a_still_becomes_curves_and_the_look_is_in_all_files(run: Run, demo_clip: Path) -> None:
    cv2.imwrite("face.png", frames_of(demo_clip)[0].image[..., ::-1])
    sinks = ("--sink", "a.svg", "--sink", "a.png")
    code, _, err = run("--source", "face.png", *sinks, "--ink", "#205080", "--layout", "frame", "--weight", "0.5")
    assert (code, err) == (0, "")
    text = Path("a.svg").read_text()
    assert 'fill="#205080"' in text
    assert text.count("<path") > 5
    picture = cv2.imread("a.png")
    assert picture is not None
    assert (picture == (0x80, 0x50, 0x20)).all(-1).mean() > 0.005
    code, _, err = run("--source", "face.png", "--sink", "b.png", "--transparent")
    assert (code, err) == (0, "")
    clear = cv2.imread("b.png", cv2.IMREAD_UNCHANGED)
    assert clear is not None
    assert clear.shape[2] == 4
    assert {int(clear[..., 3].min()), int(clear[..., 3].max())} == {0, 255}


def test_a_snapshot_is_saved_as_pixels_and_as_curves(
    run: Run, demo_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Controls] = []

    class Asked(Controls):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.request_snapshot()
            made.append(self)

    monkeypatch.setattr(wiring, "Controls", Asked)
    assert run("--source", demo_clip, "--sink", "null", "--frames", "2")[0] == 0
    png, svg = (sorted(Path("out").glob(f"snapshot-*.{kind}")) for kind in ("png", "svg"))
    assert [path.stem for path in png] == [path.stem for path in svg]
    assert len(png) == 1
    assert "message" not in made[0].status
    assert "<path" in svg[0].read_text()


def test_a_toml_file_says_the_same_as_argv(run: Run, demo_clip: Path) -> None:
    Path("live.toml").write_text(f"source = {str(demo_clip)!r}\nsink = 'null'\nframes = 3\nstats = 's.json'\n")
    assert run("--config", "live.toml")[0] == 0
    assert json.loads(Path("s.json").read_text())["frames_out"] == 3


def test_a_live_run_ends_by_the_clock(run: Run, demo_clip: Path) -> None:
    begun = time.monotonic()
    assert (
        run("--source", demo_clip, "--live", "--loop", "--sink", "null", "--seconds", "1.5", "--stats", "s.json")[0]
        == 0
    )
    assert time.monotonic() - begun < 30
    stats = json.loads(Path("s.json").read_text())
    assert stats["frames_in"] >= stats["frames_out"] + stats["dropped"]


def test_models_and_devices_are_listed(run: Run) -> None:
    code, out, err = run("--list-models")
    assert (code, err) == (0, "")
    assert "--model lite" in out
    code, out, err = run("--list-devices")
    assert (code, err) == (0, "")
    assert "camera" in out


# -- what it refuses ---------------------------------------------------------------------------------------------------

BAD = {
    "missing file": (["--source", "missing.mp4", "--sink", "null"], "no such file"),
    "directory": (["--source", ".", "--sink", "null"], "directory"),
    "empty string": (["--source", "", "--sink", "null"], "--source"),
    "empty picture": (["--source", "empty.png", "--sink", "null"], "empty"),
    "garbage picture": (["--source", "text.png", "--sink", "null"], "picture"),
    "text named mp4": (["--source", "text.mp4", "--sink", "null"], "text.mp4"),
    "unknown camera": (["--source", "camera:97", "--sink", "null"], "camera 97"),
    "camera that is no number": (["--source", "camera:front", "--sink", "null"], "camera:N"),
    "refused URL": (["--source", "http://127.0.0.1:9/x", "--sink", "null"], "127.0.0.1:9"),
    "odd protocol": (["--source", "gopher://127.0.0.1/x", "--sink", "null"], "gopher"),
    "unknown suffix": (["--source", "demo", "--sink", "a.gif"], ".mp4"),
    "missing parent": (["--source", "demo", "--sink", "no/folder/a.mp4"], "no/folder"),
    "sink is a directory": (["--source", "demo", "--sink", "folder.mp4"], "directory"),
    "unknown virtual camera": (
        ["--source", "demo", "--sink", "virtual-camera:/dev/none", "--frames", "1"],
        "/dev/none",
    ),
    "no display": (["--source", "demo", "--sink", "window", "--frames", "1"], "display"),
    "unknown engine": (["--source", "demo", "--sink", "null", "--engine", "abacus"], "abacus"),
    "missing model": (["--source", "demo", "--sink", "null", "--model", "none"], "none"),
    "model that is text": (["--source", "demo", "--sink", "null", "--model", "text.png"], "text.png"),
    "model cut short": (["--source", "demo", "--sink", "null", "--model", "short.onnx"], "short.onnx"),
    "model of another kind": (["--source", "demo", "--sink", "null", "--model", "matte"], "matte"),
    "fps of nothing": (["--source", "demo", "--sink", "null", "--fps", "0"], "--fps"),
    "negative fps": (["--source", "demo", "--sink", "null", "--fps=-5"], "--fps"),
    "odd sides of a clip": (["--source", "demo", "--sink", "a.mp4", "--size", "321x201"], "even"),
    "missing paper": (["--source", "demo", "--sink", "null", "--paper", "missing.png"], "missing.png"),
    "paper that is text": (["--source", "demo", "--sink", "null", "--paper", "text.png"], "text.png"),
    "unknown ink": (["--source", "demo", "--sink", "null", "--ink", "pink"], "sepia"),
    "transparent mp4": (["--source", "demo", "--sink", "a.mp4", "--transparent"], ".png .svg .webm .mov"),
    "transparent jpg": (["--source", "demo", "--sink", "a.jpg", "--transparent"], ".png .svg .webm .mov"),
    "transparent photo": (["--source", "demo", "--sink", "a.png", "--transparent", "--layout", "split"], "split"),
    "stats into nowhere": (["--source", "demo", "--sink", "null", "--stats", "no/s.json"], "no"),
    "unknown option": (["--sauce", "demo"], "--sauce"),
}


@pytest.mark.parametrize(("argv", "word"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_told_in_one_line(run: Run, argv: list[str], word: str) -> None:
    Path("empty.png").touch()
    Path("text.png").write_text("this is text\n" * 40)
    Path("text.mp4").write_text("this is text\n" * 40)
    Path("folder.mp4").mkdir()
    Path("short.onnx").write_bytes((engines.MODELS / "lite.onnx").read_bytes()[:20_000])
    code, _, err = run(*argv)
    assert code == 2
    assert err.count("\n") == 1, err
    assert err.startswith("run_stream.py: ")
    assert word in err
    assert "; " in err, "what is wrong, and what to do"
    assert "Traceback" not in err


def test_a_clip_that_breaks_off_is_drawn_as_far_as_it_goes_then_refused(run: Run, demo_clip: Path) -> None:
    whole = demo_clip.read_bytes()
    Path("cut.mkv").write_bytes(whole[: len(whole) // 3])
    code, out, err = run("--source", "cut.mkv", "--sink", "drawn.mp4", "--stats", "s.json")
    assert code == 2
    assert err.count("\n") == 1
    assert "cut.mkv" in err
    drawn = len(frames_of(Path("drawn.mp4")))
    assert 0 < drawn < 15
    assert json.loads(Path("s.json").read_text())["frames_out"] == drawn
    assert "p95" in out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, the disk without space")
@pytest.mark.parametrize("name", ["full.mkv", "stats"])
def test_a_full_disk_is_told_in_one_line(run: Run, name: str) -> None:
    Path(name).symlink_to("/dev/full")
    sink = ["--sink", name] if name == "full.mkv" else ["--sink", "null", "--stats", name]
    code, _, err = run("--source", "demo", "--frames", "8", *sink)
    assert code == 2
    assert err.count("\n") == 1
    assert "space" in err


def test_a_fault_of_the_program_is_one_line_with_the_place_of_its_log(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_args: object, **_options: object) -> None:
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(wiring, "build", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, _, err = run("--source", "demo", "--sink", "null")
    assert code == 1
    assert err.count("\n") == 1
    assert "two lines" in err
    assert "RuntimeError" in next(tmp_path.glob("*fault*")).read_text()


# -- how it ends -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="signals of another process are told otherwise on Windows")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_run_cleanly_and_the_file_plays(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, str(ROOT / "run_stream.py"), "--source", "demo", "--live", "--sink", "out.mp4"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        wait_for(lambda: (tmp_path / "out.mp4").exists())
        time.sleep(1.0)
        os.kill(child.pid, number)
        out, err = child.communicate(timeout=30)
    assert (child.returncode, err) == (130, "")
    assert "frames" in out
    assert len(frames_of(tmp_path / "out.mp4")) > 1
    with pytest.raises(ProcessLookupError):
        os.killpg(child.pid, 0)


INTERRUPTED_EARLY = """
import os, signal, sys, time
import run_stream
from realtime import wiring
from realtime.controls import Controls

def interrupted(*args, **options):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)

wiring.build = interrupted
before = signal.getsignal(signal.SIGINT)
code = run_stream.main(["--source", "demo", "--sink", "null"])
sys.exit(code if signal.getsignal(signal.SIGINT) == before else 3)
"""


def test_an_interrupt_before_anything_runs_ends_at_once() -> None:
    begun = time.monotonic()
    # A process of its own: native libraries that other tests have loaded do not expect a signal.
    done = subprocess.run([sys.executable, "-c", INTERRUPTED_EARLY], cwd=ROOT, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (130, b"")
    assert time.monotonic() - begun < 30


def wait_for(ready: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)
