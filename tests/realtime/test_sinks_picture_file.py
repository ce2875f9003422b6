from pathlib import Path

import numpy as np
import pytest
from media_clips import frames, picture
from PIL import Image

from realtime.core import Frame, Ink, Sink, SinkError
from realtime.sinks.null import NullSink
from realtime.sinks.picture_file import PictureFileSink


def load(path: Path) -> np.ndarray:
    return np.array(Image.open(path).convert("RGB")).astype(int)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".PNG"])
def test_a_still_is_on_disk_as_soon_as_it_is_drawn(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"dessin — 画{suffix}"
    sink = PictureFileSink(path=path)
    assert isinstance(sink, Sink)
    colour = np.zeros((20, 30, 3), dtype=np.uint8)
    colour[:] = (250, 120, 10)
    (frame,) = frames(1)
    sink.send(type(frame)(image=colour, index=0, captured=0.0))
    assert np.abs(load(path) - colour).max() <= (0 if suffix.lower() == ".png" else 6)
    sink.close()


def test_a_transparent_png_holds_the_ink_alone_and_a_jpg_its_paper(tmp_path: Path) -> None:
    page = np.tile(np.array([0, 100, 255], np.uint8), (20, 8))
    ink = Ink(page=page, colour=(200, 40, 10), transparent=True)
    frame = Frame(image=np.repeat(page[..., None], 3, 2), index=0, captured=0.0, ink=ink)
    for name in ("a.png", "a.jpg"):
        sink = PictureFileSink(path=tmp_path / name)
        sink.send(frame)
        sink.close()
    with Image.open(tmp_path / "a.png") as file:
        picture = np.array(file)
    assert picture.shape == (20, 24, 4)
    assert (picture[..., :3] == (200, 40, 10)).all(), "no light rim: the colour is not mixed with paper"
    assert np.array_equal(picture[..., 3], 255 - page)
    opaque = Frame(image=frame.image, index=0, captured=0.0, ink=Ink(page=page))
    sink = PictureFileSink(path=tmp_path / "b.png")
    sink.send(opaque)
    for name in ("a.jpg", "b.png"):
        with Image.open(tmp_path / name) as file:
            assert file.mode == "RGB"


def test_of_a_clip_the_last_frame_stays(tmp_path: Path) -> None:
    sink = PictureFileSink(path=tmp_path / "a.png")
    for frame in frames(5):
        sink.send(frame)
    sink.close()
    sink.close()
    assert (load(tmp_path / "a.png") == picture(4)).all()
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_numbered_name_gives_every_frame_a_file(tmp_path: Path) -> None:
    sink = PictureFileSink(path=tmp_path / "a%03d.png")
    for frame in frames(3):
        sink.send(frame)
    sink.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a000.png", "a001.png", "a002.png"]
    assert (load(tmp_path / "a001.png") == picture(1)).all()


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    PictureFileSink(path=tmp_path / "a.png").close()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for name in ("a.gif", "none/a.png", "folder.png", "%d%d.png"):
        with pytest.raises(SinkError, match=r"expected|no folder") as caught:
            PictureFileSink(path=tmp_path / name)
        assert "\n" not in str(caught.value)


def test_a_failed_write_leaves_the_old_picture_whole_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = PictureFileSink(path=tmp_path / "a.png")
    first, second = frames(2)
    sink.send(first)

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    sink.send(second)
    with pytest.raises(SinkError, match="No space left"):
        sink.close()
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert (load(tmp_path / "a.png") == picture(0)).all()
    sink.close()


def test_the_null_sink_counts() -> None:
    sink = NullSink()
    assert isinstance(sink, Sink)
    for frame in frames(3):
        sink.send(frame)
    sink.close()
    assert sink.frames == 3
