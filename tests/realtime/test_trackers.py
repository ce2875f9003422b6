import builtins
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pipeline_fakes import face, picture

from apdgan.alignment import read_landmarks
from realtime.aligner import five_points
from realtime.core import AssetError, Frame, Tracker
from realtime.identity import Identities
from realtime.models import face_landmarker
from realtime.trackers.mediapipe_face import MediaPipeFaceTracker
from realtime.trackers.mediapipe_matte import SelfieSegmenter
from realtime.trackers.scripted import ScriptedTracker

PORTRAIT = Path(__file__).resolve().parents[2] / "realtime" / "data" / "demo_portrait.jpg"


def read(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path))
    assert image is not None
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def frame(image: NDArray[np.uint8], index: int = 0) -> Frame:
    return Frame(image=image, index=index, captured=time.monotonic(), pts=Fraction(index, 30))


def on_canvas(*places: tuple[int, int, int], width: int = 1280, height: int = 720) -> NDArray[np.uint8]:
    """The demo portrait's middle pasted as squares at (x, y, side), on grey."""
    portrait, canvas = read(PORTRAIT), np.full((height, width, 3), 120, np.uint8)
    margin = (portrait.shape[1] - portrait.shape[0]) // 2
    for x, y, side in places:
        square = portrait[:, margin : margin + portrait.shape[0]]
        canvas[y : y + side, x : x + side] = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)
    return canvas


@pytest.fixture
def tracker() -> Iterator[MediaPipeFaceTracker]:
    with MediaPipeFaceTracker(asset=face_landmarker()) as one:
        yield one


def test_a_face_is_found_in_the_first_frame_and_keeps_its_id(tracker: MediaPipeFaceTracker) -> None:
    assert isinstance(tracker, Tracker)
    found = [tracker.track(frame(on_canvas((300 + 4 * index, 60, 600)), index)) for index in range(8)]
    assert [len(faces) for faces in found] == [1] * 8
    assert {faces[0].id for faces in found} == {0}
    one = found[0][0]
    assert (one.landmarks.shape, one.landmarks.dtype) == ((478, 2), np.float32)
    left, right, nose, mouth_left, mouth_right = five_points(one.landmarks)
    assert left[0] < nose[0] < right[0]
    assert max(left[1], right[1]) < nose[1] < min(mouth_left[1], mouth_right[1])
    assert mouth_left[0] < mouth_right[0]


def test_an_empty_picture_has_no_face(tracker: MediaPipeFaceTracker) -> None:
    for index, level in enumerate((0, 120, 255)):
        assert list(tracker.track(frame(np.full((240, 320, 3), level, np.uint8), index))) == []


@pytest.mark.parametrize("shape", [(1, 1), (2, 3000), (37, 53)])
def test_odd_pictures_do_no_harm(tracker: MediaPipeFaceTracker, shape: tuple[int, int]) -> None:
    assert list(tracker.track(frame(np.full((*shape, 3), 90, np.uint8)))) == []


def test_a_small_face_is_found_by_a_second_look_and_followed(tracker: MediaPipeFaceTracker) -> None:
    """Portrait of 110 px in 720: its face is about a tenth of the picture's height."""
    places = [(900 + 5 * index, 420) for index in range(20)]
    found = [tracker.track(frame(on_canvas((x, y, 110)), index)) for index, (x, y) in enumerate(places)]
    assert [len(faces) for faces in found] == [1] * 20
    assert {faces[0].id for faces in found} == {0}
    for (x, y), faces in zip(places, found, strict=True):
        centre = faces[0].landmarks.mean(0)
        assert x < centre[0] < x + 110
        assert y < centre[1] < y + 110


def test_the_second_look_is_rare(tracker: MediaPipeFaceTracker, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds without a face: a few parts a frame, every half second, after the first frame was searched whole."""
    looked: list[int] = []
    look = tracker._look
    monkeypatch.setattr(tracker, "_look", lambda image, region: (looked.append(index), look(image, region))[1])
    for index in range(60):
        tracker.track(frame(np.full((720, 1280, 3), 90, np.uint8), index))
    each = [looked.count(index) for index in range(60)]
    assert 30 <= each[0] <= 60
    assert max(each[1:]) == 6
    assert sum(each) == 4 * each[0]


def test_a_frame_of_another_size_is_understood(tracker: MediaPipeFaceTracker) -> None:
    for index, (width, height) in enumerate(((1280, 720), (1280, 720), (640, 360), (320, 720), (1280, 720))):
        image = on_canvas((900, 420, 110)) if width == 1280 else on_canvas(width=width, height=height)
        assert len(tracker.track(frame(image, index))) == (width == 1280)


def test_frames_far_apart_are_each_searched_whole(tracker: MediaPipeFaceTracker) -> None:
    places = [(900, 420, 110), (200, 100, 110), (600, 500, 110)]
    for index, place in enumerate(places):
        assert len(tracker.track(frame(on_canvas(place), 30 * index))) == 1


def test_a_face_that_leaves_is_gone_and_one_that_comes_later_is_another(tracker: MediaPipeFaceTracker) -> None:
    there, nobody = on_canvas((300, 60, 600)), on_canvas()
    faces = [tracker.track(frame(there if index < 4 or index >= 40 else nobody, index)) for index in range(46)]
    assert all(len(found) == 0 for found in faces[5:40])
    assert faces[45][0].id > faces[3][0].id


def test_several_faces_are_followed_each_with_its_id() -> None:
    with MediaPipeFaceTracker(asset=face_landmarker(), faces=3) as tracker:
        for index in range(8):
            image = on_canvas((60 + 3 * index, 100, 500), (700 - 3 * index, 100, 500))
            found = {one.id: one.landmarks.mean(0)[0] for one in tracker.track(frame(image, index))}
        assert len(found) == 2
        assert set(found) == {0, 1}


def test_a_small_face_beside_a_large_one_is_found_and_both_are_followed() -> None:
    with MediaPipeFaceTracker(asset=face_landmarker(), faces=3) as tracker:
        for index in range(12):
            image = on_canvas((60, 100, 500), (900 + 5 * index, 420, 110))
            faces = sorted(tracker.track(frame(image, index)), key=lambda one: float(one.landmarks.mean()))
            assert [one.id for one in faces] == [0, 1]
        assert 955 < faces[1].landmarks[:, 0].mean() < 1065


def test_one_who_joins_is_found_within_two_seconds_or_so() -> None:
    with MediaPipeFaceTracker(asset=face_landmarker(), faces=2) as tracker:
        for index in range(95):
            places = [(60, 100, 500), *([(900, 420, 110)] if index > 5 else [])]
            found = tracker.track(frame(on_canvas(*places), index))
    assert [one.id for one in found] == [0, 1]


def test_where_as_many_are_found_as_are_wanted_nobody_looks_around(
    tracker: MediaPipeFaceTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracker, "_look", lambda *_: pytest.fail("looked into a part"))
    for index in range(4):
        assert len(tracker.track(frame(on_canvas((60, 100, 500), (900, 420, 110)), index))) == 1


def test_a_clip_that_starts_again_is_tracked_on(tracker: MediaPipeFaceTracker) -> None:
    image = on_canvas((300, 60, 600))
    for _ in range(2):
        for index in range(4):
            assert len(tracker.track(frame(image, index))) == 1


def test_the_same_clip_gives_the_same_landmarks() -> None:
    runs = []
    for _ in range(2):
        with MediaPipeFaceTracker(asset=face_landmarker()) as tracker:
            clip = [frame(on_canvas((300 + 9 * index, 60, 600)), index) for index in range(5)]
            runs.append(np.stack([tracker.track(one)[0].landmarks for one in clip]))
    assert np.array_equal(*runs)


def test_closing_twice_is_fine(tracker: MediaPipeFaceTracker) -> None:
    tracker.close()
    tracker.close()


def test_starting_and_tracking_keep_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    with MediaPipeFaceTracker(asset=face_landmarker()) as tracker:
        for index in range(3):
            tracker.track(frame(on_canvas((300, 60, 600)), index))
        tracker.track(frame(on_canvas((900, 420, 110)), 90))
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err == ""


def test_a_bundle_that_is_none_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "a.task"
    path.write_bytes(b"no bundle")
    with pytest.raises(AssetError, match=r"a.task: expected a face landmarker bundle, got"):
        MediaPipeFaceTracker(asset=path)
    with pytest.raises(AssetError, match=r"b.task: expected a face landmarker bundle, got No such file"):
        MediaPipeFaceTracker(asset=tmp_path / "b.task")
    with pytest.raises(AssetError, match=r"b.tflite: expected a segmentation model, got No such file"):
        SelfieSegmenter(asset=tmp_path / "b.tflite")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("libGLESv2.so.2: cannot open shared object file"), "apt-get install libgl1 libegl1 libgles2"),
        (ImportError("libGL.so.1: cannot open shared object file"), "apt-get install libgl1 libegl1 libgles2"),
        (ModuleNotFoundError("No module named 'mediapipe'"), "pip install mediapipe"),
    ],
)
def test_a_missing_library_is_told_with_its_packages(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    real = builtins.__import__

    def broken(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("mediapipe"):
            raise error
        return real(name, *args, **kwargs)

    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(AssetError, match=words):
        MediaPipeFaceTracker(asset=tmp_path / "any")


def test_five_points_of_the_labelled_photos(shared: Path) -> None:
    """Mean error at most 4 px over the 28 photos, none missed."""
    folder = shared / "aligned_photos"
    photos = sorted((folder / "photo").iterdir())
    errors = []
    for path in photos:
        with MediaPipeFaceTracker(asset=face_landmarker()) as tracker:
            found = tracker.track(frame(read(path)))
        assert len(found) == 1, path.name
        truth = read_landmarks(folder / "landmark" / f"{path.stem}.txt")
        errors.append(np.linalg.norm(five_points(found[0].landmarks) - truth, axis=1).mean())
    assert len(errors) == 28
    assert np.mean(errors) <= 4.0
    assert max(errors) <= 8.0


def test_the_teacher_s_matte_agrees_with_the_labelled_masks(shared: Path) -> None:
    folder, overlaps = shared / "aligned_photos", []
    with SelfieSegmenter(asset=shared / "models" / "selfie_segmentation.tflite") as segmenter:
        for path in sorted((folder / "photo").iterdir()):
            found = segmenter.matte(read(path)[None])
            assert (found.shape, found.dtype) == ((1, 512, 512), np.uint8)
            truth = read(folder / "mask" / f"{path.stem}.png")[..., 0] >= 128
            overlaps.append(((found[0] >= 128) & truth).sum() / ((found[0] >= 128) | truth).sum())
    assert np.mean(overlaps) >= 0.94
    assert min(overlaps) >= 0.75


def test_the_script_is_followed_by_frame_index() -> None:
    script = [[face(0)], [], [face(0), face(1)]]
    for tracker in (ScriptedTracker(faces=script), ScriptedTracker(faces=lambda i: script[i] if i < 3 else [])):
        assert [len(tracker.track(picture(index))) for index in (2, 0, 1, 9)] == [2, 1, 0, 0]
        tracker.close()


def test_ids_stay_with_the_faces_that_cross() -> None:
    identities = Identities()
    paths = [(100 + 8 * step, 300 - 8 * step) for step in range(26)]
    seen = []
    for step, (a, b) in enumerate(paths):
        points = [face(x=a, y=100, size=90).landmarks, face(x=b, y=180, size=90).landmarks]
        order = [0, 1] if step % 2 else [1, 0]
        ids = identities.assign([points[i] for i in order], step / 30)
        seen.append((ids[order.index(0)], ids[order.index(1)]))
    assert len(set(seen)) == 1


def test_who_passes_behind_another_is_known_again_on_the_other_side() -> None:
    """For 0.6 s only the one in front is found."""
    identities = Identities()
    for step in range(46):
        front, behind = face(x=100 + 6 * step, size=90), face(x=370 - 6 * step, y=130, size=90)
        hidden = abs(front.landmarks[0, 0] - behind.landmarks[0, 0]) < 54
        ids = identities.assign([one.landmarks for one in ((front,) if hidden else (front, behind))], step / 30)
        assert ids == ([0] if hidden else [0, 1])


def test_another_face_in_the_place_of_one_that_left_at_speed_is_not_that_one() -> None:
    identities = Identities()
    for step in range(10):
        assert identities.assign([face(x=40 + 6 * step, size=200).landmarks], step / 30) == [0]
    assert identities.assign([face(x=94, size=200).landmarks], 0.6) == [1]


def test_two_faces_near_one_place_have_two_ids() -> None:
    identities = Identities()
    assert identities.assign([face(x=160).landmarks], 0.0) == [0]
    assert identities.assign([face(x=140).landmarks, face(x=165).landmarks], 0.03) == [1, 0]


def test_an_id_is_kept_over_a_short_loss_and_never_used_again_after_a_long_one() -> None:
    identities, one = Identities(), face().landmarks
    assert identities.assign([one], 0.0) == [0]
    assert identities.assign([], 0.1) == []
    assert identities.assign([one], 0.9) == [0]
    assert identities.assign([one], 2.0) == [1]
    assert identities.assign([one], 0.0) == [2]
    assert identities.assign([face(x=300).landmarks], 0.03) == [3]
