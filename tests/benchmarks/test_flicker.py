"""The flicker benchmark's own arithmetic, and a clip through it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import flicker
from benchmarks.flicker import Flicker, measure, repeats


class Fake:
    """Draws a fixed line; every second drawing it lies ``shift`` px further."""

    name, device = "fake", "nothing"

    def __init__(self, shift: int) -> None:
        self.shift, self.calls = shift, 0

    def draw(self, photo: np.ndarray, _boxes: np.ndarray, _matte: np.ndarray) -> np.ndarray:
        out = np.full((len(photo), 512, 512), 255, np.uint8)
        x = 100 + self.shift * (self.calls % 2)
        out[:, 50:450, x : x + 4] = 0
        self.calls += 1
        return out


def test_toggles_are_counted_against_ink_and_outline() -> None:
    before, after = Fake(1).draw(np.zeros((1, 2, 2)), None, None)[0], Fake(1)
    after.calls = 1
    moved = after.draw(np.zeros((1, 2, 2)), None, None)[0]
    count = Flicker()
    count.add(before, moved)
    figures = count.figures()
    assert figures["toggles_per_ink"] == pytest.approx(2 * 400 / (4 * 400))
    assert figures["toggles_per_outline"] == pytest.approx(2 * 400 / (2 * 400 + 2 * 2))
    assert figures["grey_change"] == pytest.approx(255 * 800 / 512**2)
    assert figures["ink_px"] == 1600


def test_grey_that_stays_on_its_side_of_128_does_not_toggle() -> None:
    a = np.full((64, 64), 200, np.uint8)
    a[10:20, 10:20] = 30
    b = np.where(a > 100, a - 40, a + 40).astype(np.uint8)
    count = Flicker()
    count.add(a, b)
    assert count.figures()["toggles_per_ink"] == 0
    assert count.figures()["grey_change"] == 40


def test_only_pixels_over_a_photo_at_rest_count_as_still() -> None:
    photo = np.full((64, 64, 3), 120, np.uint8)
    later = photo.copy()
    later[:, 32:] += 8
    still = flicker.at_rest(photo, later)
    assert still[:, :26].all()
    assert not still[:, 38:].any()
    assert flicker.at_rest(photo, photo + 2).all()
    before = np.full((64, 64), 255, np.uint8)
    before[10:20] = 0
    after = before.copy()
    after[10:15] = 255
    count = Flicker()
    count.add(before, after, still)
    rest = int(still[10:20].sum())
    gone = int(still[10:15].sum())
    assert count.figures()["still_toggles_per_ink"] == pytest.approx(gone / (0.5 * (rest + rest - gone)))


def test_a_drawing_without_ink_divides_by_nothing() -> None:
    paper = np.full((64, 64), 255, np.uint8)
    count = Flicker()
    count.add(paper, paper)
    assert count.figures()["toggles_per_ink"] == 0
    assert Flicker().figures() == {}


def test_repeats_are_what_changes_far_less_than_its_neighbours() -> None:
    change = np.array([np.inf, 4, 0.2, 5, 4, 0.5, 6, 3.5, 4, 0.3])
    assert np.flatnonzero(repeats(change)).tolist() == [2, 5, 9]


def test_in_a_still_clip_only_exact_repeats_are_told() -> None:
    change = np.array([np.inf, 0.6, 0.1, 0.5, 0.0, 0.4, 0.05])
    assert np.flatnonzero(repeats(change)).tolist() == [4]


def test_models_draw_the_same_portraits_and_repeats_are_left_out(
    demo_clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    still, blinking = Fake(0), Fake(1)
    monkeypatch.setattr(flicker, "repeats", lambda change: np.arange(len(change)) % 5 == 4)
    result = measure(demo_clip, {"still": still, "blinking": blinking})
    assert result["frames"] == 15
    assert result["repeats"] == 3
    assert result["pairs"] == 11
    assert still.calls == blinking.calls == 12
    assert result["models"]["still"]["toggles_per_ink"] == 0
    assert result["models"]["blinking"]["toggles_per_ink"] == pytest.approx(0.5)
    assert result["photo_change"] > 0


def test_the_command_writes_a_table_and_figures(demo_clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    target = tmp_path / "flicker.json"
    assert flicker.main([str(demo_clip), "--model", "lite", "--frames", "6", "--json", str(target)]) == 0
    told = capsys.readouterr().out
    written = json.loads(target.read_text())
    figures = written["clips"][0]["models"]["lite"]
    assert f"| lite | {figures['toggles_per_ink']:.4f} | 1.00 |" in told
    assert figures["ink_px"] > 1000
    assert written["clips"][0]["frames"] == 6


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.mp4", "--model", "lite"], "no such file"),
        (["none.mp4", "--model", "nobody"], "nobody"),
        (["none.mp4", "--model", "lite", "--model", "lite"], "twice"),
        (["none.mp4", "--model", "lite", "--frames", "1"], "--frames"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], says: str, capsys: pytest.CaptureFixture) -> None:
    assert flicker.main(arguments) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_clip_without_a_face_is_told(tmp_path: Path) -> None:
    from contextlib import closing
    from fractions import Fraction

    from engines.errors import UserError
    from realtime.core import Frame
    from realtime.sinks.video_file import VideoFileSink

    path = tmp_path / "empty.mkv"
    with closing(VideoFileSink(path=path, fps=10, time_base=Fraction(1, 10), audio=None)) as sink:
        for i in range(3):
            image = np.full((120, 160, 3), 90 + i, np.uint8)
            sink.send(Frame(image=image, index=i, captured=0.0, pts=Fraction(i, 10)))
    with pytest.raises(UserError, match=r"empty\.mkv.*face"):
        measure(path, {"still": Fake(0)})
