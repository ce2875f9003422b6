import itertools
import os
import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from media_clips import picture, write_clip

from realtime.core import PartialSourceError, Source, SourceError
from realtime.sources.video import VideoSource

NTSC = Fraction(1, 30_000)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 frames; frame 7 repeats the time step twice, as variable rates do."""
    ticks = [1001 * k if k < 7 else 1001 * (k + 1) for k in range(20)]
    return write_clip(tmp_path_factory.mktemp("v") / "clip.mp4", ticks, time_base=NTSC, sound_s=0.7)


def test_every_frame_comes_with_its_exact_time_and_picture(clip: Path) -> None:
    source = VideoSource(path=clip)
    assert isinstance(source, Source)
    taken = list(source)
    assert [f.pts for f in taken] == [1001 * NTSC * (k if k < 7 else k + 1) for k in range(20)]
    assert [f.index for f in taken] == list(range(20))
    for frame in taken:
        assert np.abs(frame.image.astype(int) - picture(frame.index)).mean() < 4


def test_info_tells_all_that_the_file_knows(clip: Path) -> None:
    info = VideoSource(path=str(clip)).info
    assert (info.name, info.width, info.height, info.frames, info.live) == ("clip.mp4", 96, 64, 20, False)
    assert info.time_base == NTSC
    assert info.audio == clip
    assert info.fps == pytest.approx(29.97, abs=2)


def test_a_silent_clip_has_no_audio_and_odd_sizes_are_kept(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "odd.mkv", range(3), time_base=Fraction(1, 25), size=(97, 65))
    source = VideoSource(path=path)
    assert source.info.audio is None
    assert [f.image.shape for f in source] == [(65, 97, 3)] * 3


@pytest.mark.parametrize(("rotation", "corner"), [(90, "bottom left"), (-90, "top right"), (180, "bottom right")])
def test_a_phone_clip_is_turned_upright(tmp_path: Path, rotation: int, corner: str) -> None:
    path = write_clip(tmp_path / "phone.mp4", range(2), time_base=Fraction(1, 25), rotation=rotation)
    source = VideoSource(path=path)
    image = next(iter(source)).image
    assert image.shape[:2] == ((96, 64) if rotation != 180 else (64, 96)) == (source.info.height, source.info.width)
    h, w = image.shape[0] // 4, image.shape[1] // 4
    bright = {
        "top left": image[h, w, 0],
        "top right": image[h, -w, 0],
        "bottom left": image[-h, w, 0],
        "bottom right": image[-h, -w, 0],
    }
    assert max(bright, key=lambda name: bright[name]) == corner


def test_looping_goes_on_rising(clip: Path) -> None:
    source = VideoSource(path=clip, loop=True)
    taken = list(itertools.islice(source, 45))
    times = [f.pts for f in taken]
    assert all(a < b for a, b in itertools.pairwise(times))
    assert [f.index for f in taken] == list(range(45))
    assert times[20] - times[19] == pytest.approx(1 / source.info.fps, abs=1e-4)
    assert times[25] - times[20] == times[5] - times[0]
    assert source.info.frames is None


def test_live_plays_in_real_time_and_close_ends_it_at_once(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "slow.mp4", [0, 20, 40, 9000], time_base=Fraction(1, 100))
    source = VideoSource(path=path, live=True)
    assert source.info.live
    begun = time.monotonic()
    frames = iter(source)
    captured = [next(frames).captured for _ in range(3)]
    assert 0.38 < captured[2] - captured[0] < 0.8
    threading.Timer(0.1, source.close).start()  # the fourth frame is due in a minute and a half
    assert list(frames) == []
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_a_truncated_clip_gives_what_decodes_and_then_says_so(tmp_path: Path, suffix: str) -> None:
    import av

    whole = tmp_path / f"whole{suffix}"
    rng = np.random.default_rng(0)
    codec = "libvpx" if suffix == ".webm" else "libx264"
    options = {"movflags": "faststart"} if suffix == ".mp4" else {}
    with av.open(str(whole), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(20):
            frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(list(VideoSource(path=whole))) == 20
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * 0.6)])
    taken = []
    with pytest.raises(PartialSourceError, match=r"cut off.*frames could be decoded") as caught:
        taken.extend(VideoSource(path=cut))  # extend() keeps what came before the error
    assert 5 <= len(taken) < 20
    assert "\n" not in str(caught.value)


def _bad_paths(folder: Path) -> dict[str, str]:
    (folder / "text.mp4").write_text("this is no clip, it is only called one\n" * 30, encoding="utf-8")
    (folder / "empty.mp4").touch()
    (folder / "noise.mkv").write_bytes(os.urandom(20_000))
    sound = folder / "sound.mp4"
    write_clip(sound, range(2), time_base=Fraction(1, 25))
    (folder / "header.mp4").write_bytes(sound.read_bytes()[:200])
    return {
        "text": str(folder / "text.mp4"),
        "empty": str(folder / "empty.mp4"),
        "noise": str(folder / "noise.mkv"),
        "header": str(folder / "header.mp4"),
        "missing": str(folder / "none.mp4"),
        "directory": str(folder),
        "blank": "",
        "nul": "a\0b.mp4",
        "long": "x" * 5000,
    }


@pytest.mark.parametrize("kind", ["text", "empty", "noise", "header", "missing", "directory", "blank", "nul", "long"])
def test_what_is_no_clip_is_refused_at_once_in_one_line(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SourceError) as caught:
        VideoSource(path=_bad_paths(tmp_path)[kind])
    assert not isinstance(caught.value, PartialSourceError)
    assert "\n" not in str(caught.value)
    assert "expected" in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_sound_file_is_no_video(tmp_path: Path) -> None:
    import av

    path = tmp_path / "song.mkv"
    with av.open(str(path), "w") as container:
        tone = container.add_stream("aac", rate=48_000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        silence.sample_rate = 48_000
        container.mux(tone.encode(silence))
        container.mux(tone.encode(None))
    with pytest.raises(SourceError, match="no video stream"):
        VideoSource(path=path)
