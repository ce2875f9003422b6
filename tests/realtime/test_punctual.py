"""A tracker that is late is not waited for; one that is in time is. Whoever waits here waits for an event."""

import threading
from collections.abc import Iterator, Sequence

import pytest
from pipeline_fakes import face, picture

from realtime import punctual
from realtime.core import Face, Frame
from realtime.punctual import LATEST_S, PunctualTracker

LONG_S = 20.0


class Gated:
    """Answers a frame when it is let to; what it was asked for is kept. Frame 3 breaks it."""

    def __init__(self) -> None:
        self.gate, self.begun = threading.Semaphore(0), threading.Semaphore(0)
        self.asked: list[int] = []
        self.closed = 0

    def track(self, frame: Frame) -> Sequence[Face]:
        self.asked.append(frame.index)
        self.begun.release()
        assert self.gate.acquire(timeout=LONG_S)
        if frame.index == 3:
            raise ValueError("no tracking today")
        return [face(x=100 + frame.index)]

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def slow() -> Gated:
    return Gated()


@pytest.fixture
def delays() -> list[float]:
    return []


@pytest.fixture
def tracker(slow: Gated, delays: list[float]) -> Iterator[PunctualTracker]:
    one = PunctualTracker(tracker=slow, frame_s=0.0, on_delay=delays.append)
    yield one
    for _ in range(50):
        slow.gate.release()
    assert one.end()


def place(faces: Sequence[Face]) -> list[float]:
    return [float(one.landmarks[:, 0].mean().round()) for one in faces]


def first(tracker: PunctualTracker, slow: Gated) -> Sequence[Face]:
    slow.gate.release()
    faces = tracker.track(picture(0))
    assert slow.begun.acquire(timeout=LONG_S)
    return faces


def test_a_tracker_in_time_is_waited_for_and_its_own_faces_are_given(slow: Gated, delays: list[float]) -> None:
    one = PunctualTracker(tracker=slow, frame_s=LONG_S, on_delay=delays.append)
    for _ in range(3):
        slow.gate.release()
    faces = [one.track(picture(index)) for index in range(3)]
    assert slow.asked == [0, 1, 2]
    assert len({tuple(place(found)) for found in faces}) == 3
    assert {found[0].age for found in faces} == {0.0}
    assert delays == [0.0, 0.0, 0.0]
    one.close()
    assert slow.closed == 1


def test_a_late_one_is_not_waited_for_the_last_faces_are_given_with_their_age(
    tracker: PunctualTracker, slow: Gated, delays: list[float]
) -> None:
    here = place(first(tracker, slow))
    later = [tracker.track(picture(index)) for index in range(1, 6)]  # it answers none of these
    assert [place(found) for found in later] == [here] * 5
    assert [found[0].age for found in later] == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.20])
    assert delays == pytest.approx([0.0, 0.04, 0.08, 0.12, 0.16, 0.20])


def test_when_it_is_done_it_takes_up_the_newest_frame_and_none_between(tracker: PunctualTracker, slow: Gated) -> None:
    first(tracker, slow)
    tracker.track(picture(1))
    assert slow.begun.acquire(timeout=LONG_S)  # with frame 1
    for index in range(4, 9):
        tracker.track(picture(index))
    slow.gate.release()
    assert slow.begun.acquire(timeout=LONG_S)
    assert slow.asked == [0, 1, 8]


def test_a_face_is_given_no_longer_than_its_landmarks_hold(tracker: PunctualTracker, slow: Gated) -> None:
    first(tracker, slow)
    last = int(LATEST_S * 25)
    assert tracker.track(picture(last))
    assert not tracker.track(picture(last + 1))
    assert not tracker.track(picture(10_000))


def test_nobody_of_a_time_to_come_is_given_when_a_clip_starts_again(tracker: PunctualTracker, slow: Gated) -> None:
    slow.gate.release()
    assert tracker.track(picture(50))
    assert not tracker.track(picture(0))


def test_before_anything_is_known_a_late_tracker_gives_nobody(
    monkeypatch: pytest.MonkeyPatch, tracker: PunctualTracker
) -> None:
    monkeypatch.setattr(punctual, "FIRST_S", 0.0)
    assert list(tracker.track(picture(0))) == []


def test_a_tracker_that_breaks_says_so_to_the_one_who_asks(slow: Gated) -> None:
    one = PunctualTracker(tracker=slow, frame_s=LONG_S, on_delay=lambda _: None)
    slow.gate.release()
    with pytest.raises(ValueError, match="no tracking today"):
        one.track(picture(3))
    with pytest.raises(ValueError, match="no tracking today"):
        one.track(picture(4))
    assert one.end()


def test_a_tracker_that_hangs_is_left_alone_at_the_end(
    monkeypatch: pytest.MonkeyPatch, tracker: PunctualTracker, slow: Gated
) -> None:
    first(tracker, slow)
    tracker.track(picture(1))
    assert slow.begun.acquire(timeout=LONG_S)
    with monkeypatch.context() as patch:
        patch.setattr(punctual, "END_S", 0.01)
        tracker.close()
    assert slow.closed == 0
