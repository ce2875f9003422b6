import itertools
import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from media_clips import frames, picture, read_back, sound_times, write_clip

from realtime.core import Frame, Ink, Sink, SinkError
from realtime.sinks.video_file import VideoFileSink

BASES = [
    pytest.param(Fraction(1, 11_988), 400, 10_214, id="29.97, late start"),
    pytest.param(Fraction(1, 30_000), 1001, 0, id="30000/1001"),
    pytest.param(Fraction(1001, 30_000), 1, 3, id="NTSC frames as ticks"),
    pytest.param(Fraction(1, 25), 1, 0, id="25"),
    pytest.param(Fraction(1, 90_000), 3750, 1, id="24"),
    pytest.param(Fraction(1, 1000), 33, 7, id="milliseconds"),
]


@pytest.mark.parametrize(("base", "step", "start"), BASES)
def test_mp4_gives_every_frame_back_at_exactly_its_time(tmp_path: Path, base: Fraction, step: int, start: int) -> None:
    sent = frames(30, time_base=base, step=step, start=start)
    sent = [f for f in sent if f.index not in (11, 12, 20)]  # a variable rate keeps its gaps
    sink = VideoFileSink(path=tmp_path / "a.mp4", fps=float(1 / (base * step)), time_base=base)
    assert isinstance(sink, Sink)
    for frame in sent:
        sink.send(frame)
    sink.close()
    sink.close()
    times, pictures = read_back(tmp_path / "a.mp4")
    assert times == [f.pts for f in sent]
    for frame, image in zip(sent, pictures, strict=True):
        assert np.abs(frame.image.astype(int) - image).mean() < 3


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_matroska_and_webm_keep_times_to_the_millisecond(tmp_path: Path, suffix: str) -> None:
    sent = frames(12, time_base=Fraction(1, 30_000), step=1001)
    sink = VideoFileSink(path=tmp_path / f"a{suffix}", fps=29.97, time_base=Fraction(1, 30_000))
    for frame in sent:
        sink.send(frame)
    sink.close()
    times, pictures = read_back(tmp_path / f"a{suffix}")
    assert len(times) == 12
    assert all(abs(a - f.pts) <= Fraction(1, 2000) for a, f in zip(times, sent, strict=True))
    assert np.abs(pictures[5].astype(int) - picture(5)).mean() < 4


def test_a_mov_is_exact_too(tmp_path: Path) -> None:
    sent = frames(5, time_base=Fraction(1, 25))
    sink = VideoFileSink(path=tmp_path / "a.mov", fps=25, time_base=Fraction(1, 25))
    for frame in sent:
        sink.send(frame)
    sink.close()
    times, pictures = read_back(tmp_path / "a.mov")
    assert times == [f.pts for f in sent]
    assert np.abs(sent[3].image.astype(int) - pictures[3]).mean() < 3


def _clear_frames(count: int, width: int = 97, height: int = 65) -> list[Frame]:
    """A disc of orange ink that wanders."""
    sent = []
    for k in range(count):
        page = np.full((height, width), 255, np.uint8)
        cv2.circle(page, (30 + 5 * k, 32), 20, 0, -1, cv2.LINE_AA)
        ink = Ink(page=page, colour=(230, 120, 20), transparent=True)
        sent.append(Frame(image=np.repeat(page[..., None], 3, 2), index=k, captured=k / 25, ink=ink))
    return sent


def _with_alpha(path: Path) -> list[np.ndarray]:
    """RGBA pictures; FFmpeg's own decoder of VP9 leaves the transparency out, libvpx's does not."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        if stream.codec_context.name != "vp9":
            return [frame.to_ndarray(format="rgba") for frame in container.decode(stream)]
        decoder = av.codec.CodecContext.create("libvpx-vp9", "r")
        found = [frame for packet in container.demux(stream) if packet.size for frame in decoder.decode(packet)]
        return [frame.to_ndarray(format="rgba") for frame in found]


@pytest.mark.parametrize("suffix", [".webm", ".mov"])
def test_a_transparent_clip_holds_the_ink_alone(tmp_path: Path, suffix: str) -> None:
    sent = _clear_frames(6)
    sink = VideoFileSink(path=tmp_path / f"a{suffix}", fps=25, transparent=True)
    for frame in sent:
        sink.send(frame)
    sink.close()
    seen = _with_alpha(tmp_path / f"a{suffix}")
    assert len(seen) == 6
    for frame, rgba in zip(sent, seen, strict=True):
        assert rgba.shape == (66, 98, 4)
        assert frame.ink is not None
        assert np.abs(rgba[:65, :97, 3].astype(int) - (255 - frame.ink.page)).mean() < 4
        assert rgba[65, :, 3].mean() < 8, "the row that makes it even is clear"  # VP9 rings
        assert np.abs(rgba[10:60, 10:90, :3].astype(int) - (230, 120, 20)).max() < 12, "one colour all over"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_container_without_transparency_is_refused_with_those_that_have_it(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(SinkError, match=r"no transparency; expected a name ending in \.webm or \.mov; rename"):
        VideoFileSink(path=tmp_path / f"a{suffix}", fps=25, transparent=True)


def test_a_camera_is_timed_by_its_captures_from_zero_and_always_rises(tmp_path: Path) -> None:
    sent = [Frame(image=picture(k), index=k, captured=t) for k, t in enumerate((77.5, 77.54, 77.54, 77.53, 77.7))]
    sink = VideoFileSink(path=tmp_path / "a.mp4", fps=25)
    for frame in sent:
        sink.send(frame)
    sink.close()
    times, _ = read_back(tmp_path / "a.mp4")
    assert [round(t * 90_000) for t in times] == [0, 3600, 3601, 3602, 18_000]


@pytest.mark.parametrize(
    ("source", "target", "codec"),
    [("s.mp4", "o.mp4", "aac"), ("s.mp4", "o.mkv", "aac"), ("s.mp4", "o.webm", "opus"), ("s.mkv", "o.mp4", "aac")],
)
def test_the_sound_is_kept(tmp_path: Path, source: str, target: str, codec: str) -> None:
    base = Fraction(1, 25)
    kind = "aac" if source.endswith(".mp4") else "pcm_s16le"
    if kind == "aac":
        write_clip(tmp_path / source, range(50), time_base=base, sound_s=2.1)
    else:
        _with_pcm(tmp_path / source)
    sink = VideoFileSink(path=tmp_path / target, fps=25, time_base=base, audio=tmp_path / source)
    for frame in frames(50, time_base=base):
        sink.send(frame)
    sink.close()
    with av.open(str(tmp_path / target)) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.name == codec
        sound = list(container.decode(stream))
    length = sum(f.samples for f in sound) / sound[0].sample_rate
    assert length == pytest.approx(2.1 if kind == "aac" else 2.0, abs=0.08)
    loud = np.concatenate([f.to_ndarray()[0] for f in sound]).astype(np.float64)
    assert loud[len(loud) // 4 : -len(loud) // 4].std() > 0.1
    if kind == "aac" and target.endswith(".mp4"):
        assert sound_times(tmp_path / target) == sound_times(tmp_path / source)


def _with_pcm(path: Path) -> None:
    """Sound that an MP4 player does not expect: it has to be encoded anew."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        tone = container.add_stream("pcm_s16le", rate=44_100)
        for k in range(50):
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture(k), format="rgb24")))
        container.mux(video.encode(None))
        for begin in range(0, 88_200, 1470):
            wave = (np.sin(np.arange(begin, begin + 1470) * 0.06) * 9000).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            frame.sample_rate, frame.pts, frame.time_base = 44_100, begin, Fraction(1, 44_100)
            container.mux(tone.encode(frame))


def test_the_sound_ends_with_pictures_that_were_cut_short_and_is_interleaved(tmp_path: Path) -> None:
    base = Fraction(1, 25)
    write_clip(tmp_path / "s.mp4", range(100), time_base=base, sound_s=4)
    sink = VideoFileSink(path=tmp_path / "o.mp4", fps=25, time_base=base, audio=tmp_path / "s.mp4")
    for frame in frames(75, time_base=base):
        sink.send(frame)
    sink.close()
    times = sound_times(tmp_path / "o.mp4")
    assert 2.9 < times[-1] < 3.0
    with av.open(str(tmp_path / "o.mp4")) as container:
        places = [(p.pos, float(p.pts * p.time_base)) for p in container.demux() if p.pts is not None and p.pos]
    by_place = [t for _, t in sorted(places)]
    assert max(b - a for a, b in itertools.pairwise(np.maximum.accumulate(by_place))) < 2.5


def test_size_is_made_even_and_a_change_of_size_is_laid_on_paper(tmp_path: Path) -> None:
    sink = VideoFileSink(path=tmp_path / "a.mp4", fps=10)
    black = [np.zeros((h, w, 3), dtype=np.uint8) for h, w in ((65, 97), (65, 97), (64, 32))]
    for k, image in enumerate(black):
        sink.send(Frame(image=image, index=k, captured=k / 10))
    sink.close()
    _, pictures = read_back(tmp_path / "a.mp4")
    assert [p.shape for p in pictures] == [(66, 98, 3)] * 3
    assert pictures[2][33, 49].max() < 30
    assert pictures[2][33, [3, 94]].min() > 230


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    VideoFileSink(path=tmp_path / "a.mp4", fps=30).close()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_not_touched_before_the_first_frame(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", range(3), time_base=Fraction(1, 25))
    before = path.read_bytes()
    VideoFileSink(path=path, fps=30).close()
    assert path.read_bytes() == before


def test_what_cannot_be_written_is_refused_at_once_in_one_line(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", range(3), time_base=Fraction(1, 25))
    (tmp_path / "folder.mp4").mkdir()
    cases = [
        {"path": tmp_path / "none" / "a.mp4", "fps": 30},
        {"path": tmp_path / "a.avi", "fps": 30},
        {"path": tmp_path / "folder.mp4", "fps": 30},
        {"path": tmp_path / "b.mp4", "fps": 0},
        {"path": tmp_path / "b.mp4", "fps": float("nan")},
        {"path": clip, "fps": 30, "audio": clip},
    ]
    for case in cases:
        with pytest.raises(SinkError) as caught:
            VideoFileSink(**case)
        assert "\n" not in str(caught.value)


def test_sound_that_cannot_be_read_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no sound", encoding="utf-8")
    sink = VideoFileSink(path=tmp_path / "o.mp4", fps=30, audio=tmp_path / "text.mp4")
    with pytest.raises(SinkError, match=r"the sound of 'text\.mp4' cannot be kept"):
        sink.send(frames(1)[0])
    sink.close()
    assert not (tmp_path / "o.mp4").exists()


WRITER = """
    import sys, time
    import numpy as np
    from pathlib import Path
    from realtime.core import Frame, SinkError
    from realtime.sinks.video_file import VideoFileSink
    sink = VideoFileSink(path=Path(sys.argv[1]), fps=30)
    rng = np.random.default_rng(0)
    {setup}
    try:
        for k in range({count}):
            image = rng.integers(0, 255, (144, 256, 3), dtype=np.uint8)
            sink.send(Frame(image=image, index=k, captured=k / 30))
            {each}
        {end}
    except SinkError as error:
        sink.close()
        print(error)
        sys.exit(2)
"""


def _run_writer(path: Path, **parts: object) -> subprocess.Popen[str]:
    code = textwrap.dedent(WRITER).format(**{"setup": "", "each": "", "end": "sink.close()", "count": 150, **parts})
    root = Path(__file__).resolve().parents[2]
    env = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    )


def _playable(path: Path) -> int:
    """Pictures that a player shows: it skips a last packet that was cut in two."""
    shown = 0
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            with suppress(av.error.InvalidDataError):
                shown += len(packet.decode())
    return shown


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are a POSIX matter")
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_full_disk_is_said_in_one_line_and_what_was_written_plays(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2_500_000, 2_500_000))"
    process = _run_writer(path, setup=limit)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2, err
    assert len(out.strip().splitlines()) == 1
    assert "cannot write video" in out
    assert err == ""
    assert _playable(path) > 20


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_process_leaves_a_clip_that_plays(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    process = _run_writer(path, end="print('written', flush=True); time.sleep(60)")
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "written"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert _playable(path) >= 60  # of 150: all but the last fragment


def test_a_frame_costs_little(tmp_path: Path) -> None:
    page = np.full((720, 1280, 3), 255, dtype=np.uint8)
    for k in range(60):
        cv2.ellipse(page, (640, 360), (20 + 5 * k, 15 + 5 * k), 10, 0, 300, (0, 0, 0), 2, cv2.LINE_AA)
    sink = VideoFileSink(path=tmp_path / "a.mp4", fps=30)
    costs = []
    for k in range(20):
        image = np.roll(page, k, axis=1)
        begun = time.thread_time()
        sink.send(Frame(image=image, index=k, captured=k / 30))
        costs.append(time.thread_time() - begun)
    sink.close()
    assert sorted(costs)[10] < 0.015  # about 4 ms; the bound leaves room for slow machines
