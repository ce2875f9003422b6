"""Drawings as curves."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.core import Frame, Ink, Sink, SinkError
from realtime.sinks.svg_file import SvgFileSink
from realtime.vector import traced

SVG = "{http://www.w3.org/2000/svg}"


def page() -> NDArray[np.uint8]:
    """A ring, a slanted stroke and specks of dirt."""
    ink = np.full((180, 320), 255, np.uint8)
    cv2.circle(ink, (100, 90), 60, 0, 8, cv2.LINE_AA)
    cv2.line(ink, (200, 20), (300, 160), 0, 3, cv2.LINE_AA)
    ink[10, 10] = ink[170, 20] = 0
    return ink


def frame(ink: Ink | None = None) -> Frame:
    used = ink or Ink(page=page())
    return Frame(image=np.repeat(used.page[..., None], 3, 2), index=0, captured=0.0, ink=used)


def points(d: str, transform: str) -> NDArray[np.float64]:
    """Corners and control points of a path, in units of its group."""
    numbers = np.array([float(n) for n in re.findall(r"-?[\d.]+", d)]).reshape(-1, 2)
    return numbers + [float(n) for n in re.findall(r"-?[\d.]+", transform)]


def paths_of(text: str) -> list[NDArray[np.float64]]:
    root = ET.fromstring(text)
    scale = float(re.findall(r"scale\(([\d.]+)\)", root.find(f"{SVG}g").attrib["transform"])[0])
    return [points(path.attrib["d"], path.attrib["transform"]) * scale for path in root.iter(f"{SVG}path")]


def drawn(text: str) -> NDArray[np.uint8]:
    """The paths filled, curves taken as their corners and control points, four times as large."""
    root = ET.fromstring(text)
    width, height = int(root.attrib["width"]), int(root.attrib["height"])
    canvas = np.full((4 * height, 4 * width), 255, np.uint8)
    for path in root.iter(f"{SVG}path"):
        rings = [points(d, path.attrib["transform"]) for d in re.findall(r"M([^MZ]+)Z", path.attrib["d"])]
        curves = [np.concatenate([bezier(ring[i : i + 4]) for i in range(0, len(ring) - 3, 3)]) for ring in rings]
        cv2.fillPoly(canvas, [np.rint(curve * 2).astype(np.int32) for curve in curves], 0)
    return cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)


def bezier(four: NDArray[np.float64]) -> NDArray[np.float64]:
    t = np.linspace(0, 1, 8)[:, None]
    a, b, c, d = four
    return (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d


def test_it_is_the_drawing_in_smooth_curves_of_the_page_s_size() -> None:
    text = traced(Ink(page=page()))
    root = ET.fromstring(text)
    assert (root.attrib["width"], root.attrib["height"], root.attrib["viewBox"]) == ("320", "180", "0 0 320 180")
    assert " C" in text
    clean = page()
    clean[10, 10] = clean[170, 20] = 255
    off = np.abs(drawn(text).astype(int) - clean)
    assert off.mean() < 1.9  # moved by one pixel: 3
    assert (off > 128).mean() < 0.003
    assert len(text) < 4000


def test_specks_are_left_out_and_nothing_leaves_the_page() -> None:
    paths = paths_of(traced(Ink(page=page())))
    assert len(paths) == 2
    for path in paths:
        assert np.ptp(path, axis=0).min() > 20
        assert path.min() >= -1
        assert (path.max(0) <= (321, 181)).all()


def test_the_ink_has_its_colour_and_white_paper_is_left_out() -> None:
    text = traced(Ink(page=page(), colour=(1, 171, 255)))
    assert ET.fromstring(text).find(f"{SVG}g").attrib["fill"] == "#01abff"
    assert "<rect" not in text


@pytest.mark.parametrize(("transparent", "rects"), [(False, 1), (True, 0)])
def test_a_board_lies_under_chalk_unless_it_shall_be_transparent(transparent: bool, rects: int) -> None:
    text = traced(Ink(page=page(), colour=(244, 244, 236), paper=(36, 42, 40), transparent=transparent))
    found = list(ET.fromstring(text).iter(f"{SVG}rect"))
    assert len(found) == rects
    assert [one.attrib["fill"] for one in found] == ["#242a28"] * rects


def test_blank_paper_is_a_page_without_paths() -> None:
    assert paths_of(traced(Ink(page=np.full((50, 60), 255, np.uint8)))) == []


def test_a_still_is_on_disk_at_once_and_of_a_clip_the_last_frame_stays(tmp_path: Path) -> None:
    path = tmp_path / "dessin — 画.svg"
    sink = SvgFileSink(path=path)
    assert isinstance(sink, Sink)
    sink.send(frame())
    first = path.read_text(encoding="utf-8")
    assert len(paths_of(first)) == 2
    blank = Ink(page=np.full((180, 320), 255, np.uint8))
    sink.send(frame(blank))
    assert path.read_text(encoding="utf-8") == first
    sink.close()
    sink.close()
    assert paths_of(path.read_text(encoding="utf-8")) == []
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_picture_that_was_not_composed_is_traced_where_it_is_dark(tmp_path: Path) -> None:
    sink = SvgFileSink(path=tmp_path / "a.svg")
    sink.send(Frame(image=np.repeat(page()[..., None], 3, 2), index=0, captured=0.0))
    assert len(paths_of((tmp_path / "a.svg").read_text())) == 2


def test_without_a_frame_there_is_no_file(tmp_path: Path) -> None:
    SvgFileSink(path=tmp_path / "a.svg").close()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.svg").mkdir()
    for name in ("a.png", "none/a.svg", "folder.svg"):
        with pytest.raises(SinkError, match=r"expected|no folder") as caught:
            SvgFileSink(path=tmp_path / name)
        assert "\n" not in str(caught.value)

    def full(*_args: object, **_options: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(SinkError, match=r"No space left.*; free some space"):
        SvgFileSink(path=tmp_path / "b.svg").send(frame())
