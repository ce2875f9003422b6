import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.core import Drawing, Portrait
from realtime.smoothing import InkSmoother, OneEuro, make_smoother


def drawing(ink: NDArray[np.uint8], photo: NDArray[np.uint8]) -> Drawing:
    portrait = Portrait(
        photo=photo,
        landmarks=np.zeros((5, 2), np.float32),
        matte=np.full((512, 512), 255, np.uint8),
        matrix=np.eye(2, 3, dtype=np.float32),
        face_id=0,
    )
    return Drawing(ink=ink, portrait=portrait)


def flickering(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Ink that comes and goes on its own."""
    return np.where(rng.random((512, 512)) < 0.5, 0, 255).astype(np.uint8)


def photo(seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).integers(30, 220, (32, 32, 3), dtype=np.uint8)
    return cv2.resize(noise, (512, 512), interpolation=cv2.INTER_CUBIC)


def noisy(base: NDArray[np.uint8], rng: np.random.Generator, sigma: float) -> NDArray[np.uint8]:
    return np.clip(base + rng.normal(0, sigma, base.shape), 0, 255).astype(np.uint8)


def test_the_first_value_passes_unchanged() -> None:
    assert OneEuro(min_cutoff_hz=1, beta=0)(np.array([3.0, 4.0]), 10.0).tolist() == [3.0, 4.0]


def test_rest_is_calm_and_motion_is_prompt() -> None:
    rng = np.random.default_rng(0)
    at_rest = OneEuro(min_cutoff_hz=1, beta=10)
    still = [at_rest(rng.normal(0, 0.01, 2), index / 30)[0] for index in range(200)]
    assert np.std(still[30:]) < 0.006
    moving = OneEuro(min_cutoff_hz=1, beta=10)
    late = [index / 30 - moving(np.array([index / 30, 0.0]), index / 30)[0] for index in range(60)]
    assert max(late[30:]) < 0.03  # one width a second
    slow = OneEuro(min_cutoff_hz=1, beta=0)
    assert index_lag(slow) > 0.1


def index_lag(filter_: OneEuro) -> float:
    return max(index / 30 - float(filter_(np.array([index / 30, 0.0]), index / 30)[0]) for index in range(60))


def test_the_rate_of_frames_does_not_change_the_filter() -> None:
    def step_after(seconds: float, fps: int) -> float:
        one = OneEuro(min_cutoff_hz=1, beta=0)
        one(np.zeros(1), 0.0)
        return float([one(np.ones(1), index / fps)[0] for index in range(1, int(seconds * fps) + 1)][-1])

    assert step_after(0.2, 60) == pytest.approx(step_after(0.2, 30), abs=0.05)


@pytest.mark.parametrize("time_now", [0.0, 9.0])
def test_a_gap_or_a_step_back_starts_afresh(time_now: float) -> None:
    one = OneEuro(min_cutoff_hz=0.1, beta=0)
    one(np.zeros(1), 5.0)
    assert one(np.ones(1), time_now)[0] == 1.0


def test_strength_0_is_the_drawing_itself() -> None:
    rng, smoother = np.random.default_rng(0), make_smoother()
    for _ in range(3):
        one = drawing(flickering(rng), photo())
        assert smoother.smooth(one, 0.0) is one


def test_ink_stays_where_the_photo_stays_in_spite_of_noise() -> None:
    rng, smoother = np.random.default_rng(0), make_smoother()
    raw, smooth = [], []
    for _ in range(20):
        one = drawing(flickering(rng), noisy(photo(), rng, 6))
        raw.append(one.ink.astype(float))
        smooth.append(smoother.smooth(one, 1.0).ink.astype(float))
    change = [np.abs(np.diff(frames[5:], axis=0)).mean() for frames in (raw, smooth)]
    assert change[1] < 0.2 * change[0]


def test_more_strength_is_calmer() -> None:
    def change(strength: float) -> float:
        rng, smoother = np.random.default_rng(0), make_smoother()
        seen = [smoother.smooth(drawing(flickering(rng), photo()), strength).ink.astype(float) for _ in range(12)]
        return float(np.abs(np.diff(seen[4:], axis=0)).mean())

    assert change(1.0) < 0.6 * change(0.5) < 0.6 * change(0.1)


def test_an_eye_that_closes_is_closed_at_once_while_the_rest_stays() -> None:
    smoother, rng = make_smoother(), np.random.default_rng(0)
    open_photo, shut_photo = photo(), photo()
    shut_photo[220:260, 160:240] = 235 - shut_photo[220:260, 160:240]
    open_ink = np.full((512, 512), 255, np.uint8)
    open_ink[225:255, 170:230] = 0
    shut_ink = np.full((512, 512), 255, np.uint8)
    shut_ink[400:420] = flickering(rng)[400:420]
    for _ in range(10):
        smoother.smooth(drawing(open_ink, open_photo), 1.0)
    out = smoother.smooth(drawing(shut_ink, shut_photo), 1.0).ink
    assert out[225:255, 170:230].min() > 230
    assert out[400:420].min() > 200  # 0.85 of paper, 0.15 of the new ink


def test_slow_change_is_not_kept_for_ever() -> None:
    """A photo that drifts by less than the noise floor a frame: the ink still follows."""
    smoother = make_smoother()
    before, after = np.zeros((512, 512), np.uint8), np.full((512, 512), 255, np.uint8)
    for _ in range(5):
        smoother.smooth(drawing(before, photo(0)), 1.0)
    for step in range(1, 11):
        mix = cv2.addWeighted(photo(0), 1 - step / 25, photo(1), step / 25, 0)
        out = smoother.smooth(drawing(after, mix), 1.0)
    assert np.median(out.ink) > 245  # without accumulating, 0.85 ** 10 of the old ink would be left: 205


def test_another_picture_lets_everything_go() -> None:
    smoother = make_smoother()
    smoother.smooth(drawing(np.zeros((512, 512), np.uint8), photo(0)), 1.0)
    fresh = drawing(np.full((512, 512), 255, np.uint8), photo(1))
    assert np.array_equal(smoother.smooth(fresh, 1.0).ink, fresh.ink)


def test_a_lamp_that_dims_is_no_movement() -> None:
    smoother, rng = make_smoother(), np.random.default_rng(0)
    kept = np.zeros((512, 512), np.uint8)
    smoother.smooth(drawing(kept, photo()), 1.0)
    dim = np.clip(photo().astype(int) - 25, 0, 255).astype(np.uint8)
    out = smoother.smooth(drawing(flickering(rng), dim), 1.0)
    assert out.ink.mean() < 60


def test_a_faint_line_that_the_engine_begins_to_draw_is_shown_after_some_frames() -> None:
    """The photo is at rest: the vote of paper alone would put it off for a second and more."""
    smoother, picture = make_smoother(), photo()
    blank = np.full((512, 512), 255, np.uint8)
    line = blank.copy()
    line[200:300, 255:258] = 60
    for _ in range(12):
        smoother.smooth(drawing(blank, picture), 0.5)
    shown = [bool((smoother.smooth(drawing(line, picture), 0.5).ink[200:300, 256] < 128).all()) for _ in range(8)]
    assert shown.index(True) == InkSmoother.PATIENCE[0] - 1


def test_a_line_that_comes_and_goes_is_not_shown() -> None:
    smoother, picture = make_smoother(), photo()
    blank = np.full((512, 512), 255, np.uint8)
    line = blank.copy()
    line[200:300, 255:258] = 60
    for _ in range(12):
        smoother.smooth(drawing(blank, picture), 0.5)
    for count in range(24):
        ink = line if count % 4 < 2 else blank
        assert (smoother.smooth(drawing(ink, picture), 0.5).ink >= 128).all()


def test_what_was_missed_before_a_cut_does_not_count_after_it() -> None:
    smoother = make_smoother()
    blank = np.full((512, 512), 255, np.uint8)
    line = blank.copy()
    line[200:300, 255:258] = 60
    for _ in range(12):
        smoother.smooth(drawing(blank, photo(0)), 0.5)
    for _ in range(int(InkSmoother.PATIENCE[0]) - 1):
        smoother.smooth(drawing(line, photo(0)), 0.5)
    smoother.smooth(drawing(blank, photo(1)), 0.5)
    assert (smoother.smooth(drawing(line, photo(1)), 0.5).ink >= 128).all()


def shifted(image: NDArray[np.uint8], x: float) -> NDArray[np.uint8]:
    matrix = np.array([[1, 0, x], [0, 1, 0]], np.float64)
    return np.asarray(cv2.warpAffine(image, matrix, (512, 512), borderMode=cv2.BORDER_REFLECT), np.uint8)


def test_lines_of_a_head_that_goes_go_with_it_and_do_not_flicker() -> None:
    """The engine draws a block anew, a little thicker or thinner, in each frame; the head moves by 5 px."""
    rng, smoother = np.random.default_rng(0), make_smoother()
    raw, out = [], []
    for step in range(24):
        thick = int(rng.integers(-2, 3))
        ink = np.full((512, 512), 255, np.uint8)
        ink[200 - thick : 300 + thick, 120 - thick : 220 + thick] = 0
        moved = shifted(ink, 5 * step)
        moved[:, : 5 * step] = 255
        shown = smoother.smooth(drawing(moved, shifted(photo(), 5 * step)), 0.5).ink
        raw.append((moved[:, 5 * step : 5 * step + 380] < 128).sum())
        out.append((shown[:, 5 * step : 5 * step + 380] < 128).sum())
    assert np.abs(np.diff(out[4:])).mean() < 0.35 * np.abs(np.diff(raw[4:])).mean()


def test_a_faint_line_of_a_head_that_goes_is_grey_at_once() -> None:
    """It would come a pixel aside in each frame, and paper would win every vote."""
    smoother = make_smoother()
    blank = np.full((512, 512), 255, np.uint8)
    for step in range(12):
        smoother.smooth(drawing(blank, shifted(photo(), 5 * step)), 0.5)
    line = blank.copy()
    line[200:300, 255:258] = 90
    shown = smoother.smooth(drawing(line, shifted(photo(), 60)), 0.5).ink[210:290, 256]
    assert (shown >= 128).all()
    assert (shown < 190).all()


@pytest.mark.parametrize(("width", "shown"), [(1, False), (3, True)])
def test_of_a_head_that_goes_strokes_are_owned_up_to_and_dots_are_not(width: int, shown: bool) -> None:
    smoother = make_smoother()
    blank = np.full((512, 512), 255, np.uint8)
    for step in range(12):
        smoother.smooth(drawing(blank, shifted(photo(), 5 * step)), 0.5)
    ink = blank.copy()
    for dot in range(200, 300, 12):
        ink[dot : dot + width, 255 : 255 + width] = 0
    for step in range(12, 16):
        out = smoother.smooth(drawing(ink, shifted(photo(), 5 * step)), 0.5).ink
    assert (out < 128).any() == shown


def test_an_edge_between_pixels_is_decided_at_rest_and_left_soft_where_the_head_goes() -> None:
    """Decided, it would tremble from one pixel to the other as the head goes on."""
    edge = {}
    for step in (0, 5):
        smoother = make_smoother()
        for k in range(12):
            ink, at = np.full((512, 512), 255, np.uint8), 200 + step * k
            ink[:, at - 60 : at], ink[:, at] = 0, 132
            shown = smoother.smooth(drawing(ink, shifted(photo(), step * k)), 0.5).ink
        edge[step] = float(np.median(shown[150:350, at]))
    assert edge[0] >= 155  # the grey that was drawn is 132
    assert 128 < edge[5] < 184  # 192 as at rest: what is carried has been mixed with paper
