"""Recordings come back as they were written, damaged ones are refused in words, and are played as a live run."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from apdgan.alignment import TEMPLATE
from benchmarks import layers, pipeline, record, recording
from benchmarks.pipeline import Nothing, added, play
from engines.contract import DrawingEngine
from engines.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def short() -> list[recording.Moment]:
    return recording.synthetic(0.6)


def test_the_moved_portrait_is_a_face_in_the_square_and_moves_in_the_frame(short: list[recording.Moment]) -> None:
    assert len(short) == 18
    eyes = np.stack([one.landmarks[:2].mean(0) for one in short])
    assert np.abs(eyes - eyes[0]).max() < 12, "the square follows the head"
    faces = np.stack([one.face().landmarks for one in short])
    assert np.ptp(faces[:, :, 0], 0).min() > 20
    photo, image = short[9].photo.astype(int), short[9].image()
    x, y = short[9].face().landmarks[2].round().astype(int)
    u, v = short[9].landmarks[2].round().astype(int)
    # The nose in the square is the nose in the frame.
    there, here = photo[v - 4 : v + 5, u - 4 : u + 5].mean((0, 1)), image[y - 3 : y + 4, x - 3 : x + 4].mean((0, 1))
    assert np.abs(there - here).max() < 12


def test_a_recording_survives_the_disk(tmp_path: Path, short: list[recording.Moment]) -> None:
    path = tmp_path / "a.recording.npz"
    recording.write(path, short)
    found = recording.read(path)
    assert len(found) == len(short)
    for one, two in zip(found, short, strict=True):
        assert (one.time, one.frame) == (two.time, two.frame)
        for name in ("landmarks", "matrix", "matte", "boxes"):
            assert np.array_equal(getattr(one, name), getattr(two, name)), name
        assert np.abs(one.photo.astype(int) - two.photo).mean() < 3


def altered(path: Path, out: Path, **changes) -> Path:
    with np.load(path) as data:
        arrays = {name: data[name] for name in data.files} | changes
    np.savez(out, **{name: value for name, value in arrays.items() if value is not None})
    return out


def test_what_is_no_recording_is_refused_in_one_line(
    tmp_path: Path, short: list[recording.Moment], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "a.recording.npz", tmp_path / "b.npz"
    recording.write(path, short[:2])
    whole = path.read_bytes()
    cases: list[dict] = [
        {"version": np.array(2)},
        {"times": np.array([1.0, 0.0])},
        {"times": np.array([0.0, np.nan])},
        {"times": np.array([])},
        {"landmarks": np.zeros((2, 4, 2))},
        {"boxes": np.zeros((2, 4, 2), np.int32)},
        {"photos": np.zeros(50, np.uint8)},
        {"mattes_ends": np.array([0, 0])},
        {"matrix": None},
        {"times": np.array([{}, {}], dtype=object)},
    ]
    for change in cases:
        altered(path, other, **change)
        with pytest.raises(UserError, match=r"recording .*b\.npz: not one of python -m benchmarks\.record"):
            recording.read(other)
    np.save(path.with_name("c.npy"), np.zeros(3))
    for data in (path.with_name("c.npy").read_bytes(), b"", b"PK\3\4 nothing", whole[: len(whole) // 2], whole[:-40]):
        other.write_bytes(data)
        with pytest.raises(UserError, match=r"recording .*b\.npz: not one of"):
            recording.read(other)
    with pytest.raises(UserError, match="cannot be read"):
        recording.read(tmp_path / "none.npz")
    monkeypatch.setattr(recording, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match="expected at most 0 MB; record fewer frames"):
        recording.read(path)
    with pytest.raises(UserError, match="expected a face in the clip, found none"):
        recording.write(other, [])


class Trap:
    """Unpickled, it leaves a mark."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_nothing_in_a_recording_is_run(tmp_path: Path, short: list[recording.Moment]) -> None:
    path, mark = tmp_path / "a.recording.npz", tmp_path / "mark"
    recording.write(path, short[:2])
    altered(path, path, times=np.array([Trap(mark), Trap(mark)], dtype=object))
    with pytest.raises(UserError, match="not one of"):
        recording.read(path)
    assert not mark.exists()


class Slow(Nothing):
    """Takes its time, and remembers what it was given."""

    def __init__(self, seconds: float) -> None:
        super().__init__(np.full((512, 512), 255, np.uint8))
        self.seconds, self.drawn = seconds, []

    def draw(self, photo, boxes, matte):
        self.drawn.append((photo[0].copy(), boxes[0].copy()))
        time.sleep(self.seconds)
        return super().draw(photo, boxes, matte)


def test_every_frame_is_drawn_from_what_was_recorded_of_it(short: list[recording.Moment]) -> None:
    engine = Slow(0.0)
    told = play(short, engine, 0.3)
    assert (told["frames_in"], told["in_flight"], told["faces"]) == (9, 0, 1)
    assert told["frames_out"] + told["dropped"] == 9
    photos = [one.photo for one in short]
    for photo, boxes in engine.drawn:
        index = next(i for i, one in enumerate(photos) if np.array_equal(one, photo))
        assert np.array_equal(boxes, short[index].boxes)
    assert np.array_equal(engine.drawn[-1][0], photos[8]), "the newest is never overtaken"


def test_what_drawing_adds_is_what_it_takes(short: list[recording.Moment]) -> None:
    nothing = play(short, Slow(0.0), 0.6)
    found = added(short, Slow(0.2), nothing, 0.6)
    assert found["draw_ms_p50"] >= 200
    assert found["draw_ms_p95"] >= found["draw_ms_p50"]
    assert found["added_ms_p50"] == pytest.approx(found["age_ms_p50"] - nothing["age_ms"]["p50"], abs=0.02)
    assert found["frames"] + found["dropped"] == 18


def test_a_clip_is_recorded_by_the_live_program_s_own_parts(
    tmp_path: Path, demo_clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clip, out = demo_clip, tmp_path / "x.recording.npz"
    assert record.main([str(clip), str(out), "--frames", "2"]) == 0
    assert "x.recording.npz: 2 frames" in capsys.readouterr().out
    one, two = recording.read(out)
    assert two.time == pytest.approx(1 / 15, abs=1e-3)
    assert np.abs(one.landmarks - TEMPLATE).max() < 40
    assert one.image().shape == (360, 640, 3)
    assert one.matte.mean() > 40
    for arguments, words in (([clip, "x.npz"], "ends in .recording.npz"), ([clip, out, "--frames", "0"], "1 to 300")):
        assert record.main(list(map(str, arguments))) == 2
        assert words in capsys.readouterr().err


def test_layers_are_told_slowest_first_and_the_rest_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from engines.contract import LayerTime

    class Session:
        name, device = "tensorrt fp16", "a GPU"

        def layers(self, batch: int, draws: int) -> list[LayerTime]:
            assert (batch, draws) == (1, layers.DRAWS)
            return [LayerTime(name=f"conv|{i}", ms=float(i), what="CASK") for i in range(4)]

    monkeypatch.setattr(layers, "ROWS", 2)
    rows = layers.of(DrawingEngine(session=Session(), manifest=None))  # type: ignore[arg-type]
    assert rows is not None
    text = layers.table({"lite, tensorrt": rows})
    assert "lite, tensorrt, 6.000 ms under the profiler:" in text
    assert (
        "| conv/3 | CASK | 3.0000 | 50% | 1 |\n| conv/2 | CASK | 2.0000 | 33% | 1 |\n| 2 more |  | 1.0000 | 17% |  |"
        in text
    )
    monkeypatch.setattr(layers, "KEPT", 3)
    rows = layers.of(DrawingEngine(session=Session(), manifest=None))  # type: ignore[arg-type]
    assert rows is not None
    assert [row["name"] for row in rows] == ["conv|3", "conv|2", "conv|1", "1 more"]
    assert layers.of(pipeline.Nothing(np.zeros((512, 512), np.uint8))) is None


def test_the_gpu_check_needs_numpy_and_opencv_alone() -> None:
    """A machine with a GPU has what its owner put there: no tracker, no OpenVINO, no rich."""
    code = "import sys, benchmarks.gpu_check; print(*{name.partition('.')[0] for name in sys.modules})"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    ours = {"apdgan", "benchmarks", "engines", "realtime"}
    others = {name for name in found.stdout.split() if name not in sys.stdlib_module_names and name[0] != "_"}
    assert others - ours <= {"cv2", "numpy"}
