import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from realtime.core import Source, SourceError
from realtime.sources.picture import PictureSource

RAMP = np.dstack([np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1))] * 3)
RAMP[:20, :, 2] = 250


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".jpg", ".webp"])
def test_a_picture_is_one_still_frame(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"Gesicht — 顔{suffix}"
    Image.fromarray(RAMP).save(path, quality=98)
    source = PictureSource(path=path)
    assert isinstance(source, Source)
    (frame,) = source
    assert (source.info.still, source.info.live, source.info.frames) == (True, False, 1)
    assert (source.info.width, source.info.height) == (60, 40)
    tolerance = 0 if suffix in (".png", ".bmp") else 4
    assert np.abs(frame.image.astype(int) - RAMP).mean() <= tolerance


def test_a_photo_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    Image.fromarray(RAMP).save(tmp_path / "turned.jpg", exif=exif, quality=98)
    (frame,) = PictureSource(path=tmp_path / "turned.jpg")
    assert np.abs(frame.image.astype(int) - np.rot90(RAMP, -1)).mean() < 3


def test_transparency_shows_white(tmp_path: Path) -> None:
    layer = np.zeros((8, 8, 4), dtype=np.uint8)
    layer[:, 4:] = (10, 20, 30, 255)
    layer[0, 0] = (0, 0, 0, 51)
    Image.fromarray(layer).save(tmp_path / "alpha.png")
    (frame,) = PictureSource(path=tmp_path / "alpha.png")
    assert frame.image[4, 1].tolist() == [255, 255, 255]
    assert frame.image[4, 6].tolist() == [10, 20, 30]
    assert frame.image[0, 0].tolist() == [204, 204, 204]


def test_sixteen_bits_and_grey_and_palette_become_eight_bit_colour(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    (frame,) = PictureSource(path=tmp_path / "deep.png")
    assert frame.image.dtype == np.uint8
    assert np.abs(frame.image[..., 0] - deep / 257).max() <= 1
    for mode in ("L", "P", "1", "LA", "CMYK"):
        path = tmp_path / f"{mode}.{'jpg' if mode == 'CMYK' else 'png'}"
        Image.fromarray(RAMP).convert(mode).save(path)
        (frame,) = PictureSource(path=path)
        assert frame.image.shape == (40, 60, 3)


def test_live_repeats_it_like_a_camera(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    source = PictureSource(path=tmp_path / "a.png", live=True)
    assert not source.info.still
    taken = list(itertools.islice(source, 4))
    assert [f.index for f in taken] == [0, 1, 2, 3]
    assert taken[3].captured - taken[0].captured == pytest.approx(0.1, abs=0.08)
    source.close()
    assert list(source) == []


def test_what_is_no_picture_is_refused_in_one_line(tmp_path: Path) -> None:
    Image.fromarray(RAMP).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("no picture", encoding="utf-8")
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.png").write_bytes(whole[:60] + bytes([whole[60] ^ 255]) + whole[61:])
    for name in ("empty.png", "text.jpg", "cut.png", "flipped.png", "missing.png", ".", "", "a\0b.png"):
        path = str(tmp_path / name) if name and "\0" not in name else name
        with pytest.raises(SourceError, match="expected") as caught:
            PictureSource(path=path)
        assert "\n" not in str(caught.value)


def test_a_picture_that_claims_to_be_huge_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    Image.new("1", (9000, 9000)).save(path)  # 81 megapixels in a few kilobytes
    with pytest.raises(SourceError, match="too large: expected up to 64 megapixels, got 9000x9000"):
        PictureSource(path=path)
    Image.new("1", (20_000, 20_000)).save(path)  # beyond what Pillow itself allows
    with pytest.raises(SourceError, match="64 megapixels"):
        PictureSource(path=path)
