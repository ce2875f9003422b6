"""The arithmetic of the benchmark over time, and a clip through it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import temporal
from benchmarks.steadiness import LATEST, Change, Flow, PlainAverage, Steadiness, frames_to_half
from realtime.core import Drawing, Portrait
from realtime.smoothing import make_smoother

HERE = np.dstack(np.meshgrid(np.arange(512, dtype=np.float32), np.arange(512, dtype=np.float32)))
ALL = np.ones((512, 512), np.bool_)


def texture() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(30, 220, (48, 48, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (512, 512), interpolation=cv2.INTER_CUBIC), np.uint8)


def bar(x: int) -> NDArray[np.uint8]:
    ink = np.full((512, 512), 255, np.uint8)
    ink[100:400, x : x + 10] = 0
    return ink


def drawing(x: int) -> Drawing:
    portrait = Portrait(
        photo=np.roll(texture(), x, axis=1),
        landmarks=np.zeros((5, 2), np.float32),
        matte=np.full((512, 512), 255, np.uint8),
        matrix=np.eye(2, 3, dtype=np.float32),
        face_id=0,
    )
    return Drawing(ink=bar(100 + x), portrait=portrait)


def shifted(dx: float, *, moving: bool) -> Change:
    """The picture went ``dx`` px to the right."""
    flags = ALL if moving else ~ALL
    return Change(source=HERE - np.array([dx, 0], np.float32), seen=ALL, still=~flags, moving=flags)


def test_a_drawing_that_goes_where_the_photo_goes_has_no_warp_error() -> None:
    count = Steadiness()
    count.add(bar(100), bar(106), [bar(106)], shifted(6, moving=True))
    assert count.figures()["warp_error"] == 0


def test_a_frozen_drawing_over_a_moving_photo_has_one_and_is_full_of_ghosts_and_late() -> None:
    frozen, count = bar(100), Steadiness()
    for step in range(4, 9):
        drawn = [bar(100 + 6 * (step - back)) for back in range(LATEST + 1)]
        count.add(frozen, frozen, drawn, shifted(6, moving=True))
    figures = count.figures()
    assert figures["warp_error"] == pytest.approx(12 / 16)  # 6 px on either side, of 10 + 6
    assert figures["ghosts"] > 0.3
    assert figures["difference"] > 0.6
    assert figures["lag_frames"] == LATEST
    assert figures["still_toggles"] == 0


def test_what_is_hidden_in_one_of_the_photos_does_not_count() -> None:
    count = Steadiness()
    count.add(bar(100), bar(300), [bar(300)], replace(shifted(0, moving=True), seen=~ALL))
    assert count.figures()["warp_error"] == 0


def test_a_line_one_pixel_aside_is_a_difference_and_no_ghost() -> None:
    count = Steadiness()
    count.add(bar(100), bar(101), [bar(100)], shifted(0, moving=True))
    assert count.figures()["ghosts"] == 0
    assert count.figures()["difference"] == pytest.approx(2 / 11)


def test_only_pixels_over_a_photo_at_rest_count_as_still() -> None:
    count = Steadiness()
    count.add(bar(100), bar(102), [bar(102)], shifted(0, moving=False))
    assert count.figures()["still_toggles"] == pytest.approx(4 / 10)
    assert count.figures()["difference"] == 0


def test_flow_finds_a_shift_and_stillness() -> None:
    change = Flow()(texture(), np.roll(texture(), 5, axis=1))
    inner = np.s_[50:-50, 50:-50]
    assert np.median((HERE - change.source)[inner][..., 0]) == pytest.approx(5, abs=0.2)
    assert change.moving[inner].mean() > 0.9
    at_rest = Flow()(texture(), texture())
    assert at_rest.still.all()
    assert not at_rest.moving.any()


def test_frames_to_half_of_no_filter_and_of_a_slow_mean() -> None:
    drawings = [drawing(0)] * 24
    assert frames_to_half(PlainAverage, 0.0, drawings) == 0
    assert frames_to_half(PlainAverage, 0.9, drawings) == 6  # 0.9 ** 7 < 0.5


def test_the_filter_is_at_once_where_the_face_has_gone() -> None:
    assert frames_to_half(make_smoother, 0.5, [drawing(0)] * 24) <= 1


def test_the_command_writes_figures_and_puts_an_earlier_run_beside(
    demo_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert temporal.main([str(demo_clip), "--frames", "4", "--out", str(tmp_path)]) == 0
    (written,) = tmp_path.glob("temporal-*.json")
    report = json.loads(written.read_text())
    assert set(report["mean"]) == {"off", "filter", "mean"}
    assert report["mean"]["off"]["difference"] == 0
    assert report["clips"][0]["pairs"] == 3
    assert str(demo_clip) not in report["command"]
    assert temporal.main([str(demo_clip), "--frames", "3", "--first", str(written)]) == 0
    assert f"at commit {report['commit']}, weights {report['weights']}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.mp4"], "no such file"),
        (["none.mp4", "--frames", "1"], "--frames"),
        (["none.mp4", "--first", "none.json"], "--first"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert temporal.main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
