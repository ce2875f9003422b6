import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from realtime.controls import LAYOUTS, PHOTO_LAYOUTS, Controls
from realtime.core import ConfigError
from realtime.look import INKS, Look


def test_layouts_go_round() -> None:
    controls = Controls(layout="portrait")
    assert [controls.next_layout() for _ in range(4)] == ["inplace", "frame", "square", "portrait"]


def test_a_key_leads_to_the_photo_only_where_it_was_asked_for_by_name() -> None:
    never = Controls(layout="square")
    assert not {never.next_layout() for _ in range(20)} & set(PHOTO_LAYOUTS)
    for asked in (Controls(layout="split"), Controls()):
        asked.layout = "split"
        assert {asked.next_layout() for _ in range(6)} == set(LAYOUTS)


def test_papers_inks_and_weights_go_round_and_stop_at_their_ends(tmp_path: Path) -> None:
    own = tmp_path / "own.png"
    cv2.imwrite(str(own), np.zeros((4, 4, 3), np.uint8))
    controls = Controls(look=Look(paper=str(own), ink=(1, 2, 3)))
    assert [controls.next_paper() for _ in range(3)] == ["plain", "grain", str(own)]
    assert [controls.next_ink() for _ in range(4)] == [*INKS.values(), INKS["black"]]
    assert [controls.bolder(1) for _ in range(5)] == [0.25, 0.5, 0.75, 1, 1]
    assert controls.bolder(-9) == controls.weight == -1


def test_every_part_of_the_look_is_set_live() -> None:
    controls = Controls()
    controls.paper, controls.ink, controls.weight, controls.chalk, controls.transparent = (
        "grain",
        "sepia",
        0.5,
        True,
        True,
    )
    assert controls.look == Look(paper="grain", ink=INKS["sepia"], weight=0.5, chalk=True, transparent=True)
    controls.split = 0.25
    assert controls.split == 0.25


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("paper", "missing.png"),
        ("ink", "#12"),
        ("ink", "pink"),
        ("weight", 1.5),
        ("weight", float("nan")),
        ("split", 2),
    ],
)
def test_a_look_that_does_not_exist_is_refused_and_changes_nothing(name: str, value: object) -> None:
    controls = Controls()
    before = getattr(controls, name)
    with pytest.raises(ConfigError, match="expected") as caught:
        setattr(controls, name, value)
    assert "\n" not in str(caught.value)
    assert getattr(controls, name) == before


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_strength_outside_its_range_is_refused_in_words(value: float) -> None:
    with pytest.raises(ConfigError, match="expected a strength from 0"):
        Controls(smooth=value)
    controls = Controls()
    with pytest.raises(ConfigError):
        controls.smooth = value
    assert controls.smooth == 0.5


def test_an_unknown_layout_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"portrait, inplace, frame, square, side-by-side, split, got 'round'"):
        Controls().layout = "round"


def test_a_snapshot_request_is_taken_once() -> None:
    controls = Controls()
    assert not controls.take_snapshot()
    controls.request_snapshot()
    assert [controls.take_snapshot(), controls.take_snapshot()] == [True, False]


def test_recording_toggles_and_can_be_stopped() -> None:
    controls = Controls()
    assert controls.toggle_record()
    assert controls.recording
    controls.stop_recording()
    assert not controls.recording
    assert controls.toggle_record()


def test_status_is_a_copy_that_readers_may_iterate_while_it_grows() -> None:
    controls = Controls()
    done = threading.Event()

    def write() -> None:
        for i in range(3000):
            controls.report(**{f"key{i}": i})
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set():
        assert all(value >= 0 for value in controls.status.values() if isinstance(value, int))
    thread.join()
    assert len(controls.status) == 3000
    controls.status["mine"] = 1
    assert "mine" not in controls.status
