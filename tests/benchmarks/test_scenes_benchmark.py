"""The arithmetic of the scenes and of the layouts, on drawings of bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import layouts, scenes
from benchmarks.scenes import Shot, figures, strip
from benchmarks.staging import SCENES, Scene, ramp


def bar(x: int | None) -> NDArray[np.uint8]:
    page = np.full((360, 640), 255, np.uint8)
    if x is not None:
        page[100:300, x : x + 20] = 0
    return page


def shot(index: int, *, shown: int | None = 100, drawn: int | None = 100, faces: int = 1) -> Shot:
    camera = np.full((180, 320, 3), 90, np.uint8)
    return Shot(index=index, camera=camera, page=bar(shown), drawn=bar(drawn), faces=faces, coloured=False)


def script(**values: int) -> Scene:
    shown = tuple(range(12))
    return Scene(**{"name": "x", "told": "x", "frames": 12, "event": 6, "over": 9, "shown": shown} | values, stage=max)


def test_what_is_shown_as_it_is_drawn_has_no_fault() -> None:
    told = figures(script(), [shot(index) for index in range(12)])
    assert told == {"stray": 0, "missing": 0, "jump": 0, "stale_s": 0}


def test_a_line_of_another_place_strays_and_the_one_of_this_place_is_missing() -> None:
    shots = [shot(index, shown=300 if index == 8 else 100) for index in range(12)]
    told = figures(script(), shots)
    assert told["stray"] == told["missing"] == pytest.approx(1.0)
    assert told["jump"] == 0


def test_ink_that_stands_without_a_face_is_stale_and_no_ghost() -> None:
    shots = [shot(index, faces=int(not 6 <= index < 9), drawn=None if 6 <= index < 9 else 100) for index in range(12)]
    told = figures(script(), shots)
    assert told["stale_s"] == pytest.approx(3 / 30)
    assert told["stray"] == 0


def test_a_drawing_that_is_gone_for_a_frame_is_a_jump_but_a_cut_is_none() -> None:
    shots = [shot(index, shown=None if index == 8 else 100) for index in range(12)]
    assert figures(script(), shots)["jump"] == pytest.approx(1.0)
    cut = [shot(index, shown=100 if index < 6 else None) for index in range(12)]
    assert figures(script(cut=6), cut)["jump"] == 0


def test_a_strip_shows_the_camera_and_each_layout_twelve_times() -> None:
    row = [shot(index, faces=index % 2) for index in range(12)]
    picture = strip(script(), [row, row])
    assert picture.shape == (2 * (20 + 3 * 181), 6 * 320, 3)


def test_every_scene_is_told_by_a_dozen_frames_before_within_and_after_it() -> None:
    for scene in SCENES:
        assert len(scene.shown) == 12
        assert list(scene.shown) == sorted(set(scene.shown))
        assert 0 <= scene.shown[0] <= scene.event
        assert scene.over < scene.shown[-1] < scene.frames


def test_a_ramp_is_eased_and_stays_at_its_ends() -> None:
    values = [ramp(index, 4, 8) for index in range(12)]
    assert values[:5] == [0] * 5
    assert values[8:] == [1] * 4
    assert values[6] == 0.5
    assert values == sorted(values)


def test_a_face_that_sways_is_told_by_how_far_and_how_fast() -> None:
    stood = np.array([(600 + 3 * (-1) ** index, 300, 100) for index in range(10)], float)
    assert "std of x 3.00 px, y 0.00 px, size 0.00%; from frame to frame 6.00 px" in layouts.told("x", stood)
    assert layouts.told("x", stood[:1]) == "x: no face in two frames"


def test_a_name_that_is_none_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scenes.main(["dance", "--out", str(tmp_path)]) == 2
    assert "expected scenes of cut, covered, away, lamp, hand, got dance" in capsys.readouterr().err
    with pytest.raises(Exception, match="expected a clip or one of demo, cut"):
        next(layouts.frames_of("dance"))
