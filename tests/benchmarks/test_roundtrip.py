"""The time code of the round trip benchmark survives the codec, and a torn row is not taken for a time."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from benchmarks import roundtrip
from benchmarks.timecode import BLOCK, draw_row, read_row
from realtime.webrtc.encoder import Codec, VideoEncoder


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_a_time_is_read_from_what_was_encoded(codec: Codec) -> None:
    encoder = VideoEncoder(codec=codec, width=640, height=480)
    context = av.CodecContext.create("libvpx" if codec == "VP8" else "h264", "r")
    read: list[int | None] = []
    times = [0, 1, 40_000, 65_535, 12_345]
    for index, time in enumerate(times):
        image = np.full((480, 640, 3), 255, np.uint8)
        draw_row(image, time)
        for packet in encoder.encode(image, index / 30, key_frame=index == 0):
            read += [read_row(frame.to_ndarray(format="rgb24")) for frame in context.decode(av.Packet(bytes(packet)))]
    read += [read_row(frame.to_ndarray(format="rgb24")) for frame in context.decode(None)]
    assert read == times


@pytest.mark.parametrize(
    ("drawn", "seen"), [((480, 640), (480, 360)), ((480, 640), (320, 240)), ((240, 320), (320, 240))]
)
def test_a_time_is_read_from_a_picture_that_was_made_smaller(drawn: tuple[int, int], seen: tuple[int, int]) -> None:
    for time in (0, 40_001, 65_535):
        image = np.full((*drawn, 3), 255, np.uint8)
        draw_row(image, time)
        small = np.asarray(cv2.resize(image, seen, interpolation=cv2.INTER_AREA), np.uint8)
        assert read_row(small, width=drawn[1]) == time


def test_a_torn_row_is_no_time() -> None:
    image = np.full((480, 640, 3), 255, np.uint8)
    draw_row(image, 12_345)
    image[:BLOCK, : 3 * BLOCK] = 255 - image[:BLOCK, : 3 * BLOCK]
    assert read_row(image) is None


def test_a_folder_that_cannot_be_made_is_told_before_a_minute_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(roundtrip, "find_chromium", lambda: Path("chromium"))
    monkeypatch.setattr(roundtrip, "run_all", lambda **_chosen: pytest.fail("measured"))
    (tmp_path / "file").touch()
    assert roundtrip.main(["--out", str(tmp_path / "file" / "results")]) == 2
    assert "--out: expected a folder" in capsys.readouterr().err
