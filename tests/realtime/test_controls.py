import threading

import pytest

from realtime.controls import Controls
from realtime.core import ConfigError


def test_layouts_go_round() -> None:
    controls = Controls(layout="portrait")
    assert [controls.next_layout() for _ in range(3)] == ["inplace", "square", "portrait"]


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_strength_outside_its_range_is_refused_in_words(value: float) -> None:
    with pytest.raises(ConfigError, match="expected a strength from 0"):
        Controls(smooth=value)
    controls = Controls()
    with pytest.raises(ConfigError):
        controls.smooth = value
    assert controls.smooth == 0.5


def test_an_unknown_layout_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"portrait, inplace, square, got 'round'"):
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
