import time

import cv2
import numpy as np
import pytest

from realtime.core import Source, SourceError
from realtime.puppet import Puppet, eyelid_closure
from realtime.sources.demo import DemoSource


@pytest.fixture(scope="module")
def puppet() -> Puppet:
    return Puppet(width=1280, height=720, fps=30)


def grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(int)


def test_frame_k_is_the_same_in_every_run_and_in_any_order(puppet: Puppet) -> None:
    first = [f.image for f in DemoSource(live=False, seconds=0.2)]
    assert len(first) == 6
    again = {k: puppet.render(k) for k in (5, 0, 3)}
    for k, image in again.items():
        np.testing.assert_array_equal(image, first[k])
    assert first[0].shape == (720, 1280, 3)
    assert first[0].dtype == np.uint8


def test_it_moves_the_light_changes_and_there_is_noise(puppet: Puppet) -> None:
    start, turned = puppet.render(0), puppet.render(40)
    nose = start[300:350, 640:720]
    score = cv2.matchTemplate(turned, nose, cv2.TM_CCOEFF_NORMED)
    _, best, _, (x, _) = cv2.minMaxLoc(score)
    assert best > 0.8
    assert abs(x - 640) > 20
    left, right = (slice(600, 700), slice(20, 120)), (slice(600, 700), slice(1160, 1260))
    balance = [grey(puppet.render(k))[left].mean() / grey(puppet.render(k))[right].mean() for k in (68, 205)]
    assert balance[0] > 1.3 * balance[1]
    flat = (slice(300, 420), slice(40, 140))
    noise = grey(puppet.render(1))[flat] - grey(puppet.render(0))[flat]
    assert 1 < noise.std() < 6


def test_a_blink_covers_the_eyes_and_nothing_else(puppet: Puppet) -> None:
    closed = next(k for k in range(30, 60) if eyelid_closure(k / 30) == 1)
    opened = next(k for k in range(closed, 30, -1) if eyelid_closure(k / 30) == 0)
    assert closed - opened <= 4
    change = np.abs(
        cv2.GaussianBlur((grey(puppet.render(closed)) - grey(puppet.render(opened))).astype(np.float32), (0, 0), 2)
    )
    eyes = change[235:300, 575:775].max()
    assert eyes > 40
    assert eyes > 2.5 * change[320:450, 560:760].max()
    assert [eyelid_closure(t) for t in (0.0, 1.0, 1.39)] == [0, 0, 0]


def test_the_backdrop_stands_still_and_nothing_tears(puppet: Puppet) -> None:
    for k in (40, 62, 119, 140, 215):
        image = puppet.render(k)
        assert image[:, :30].std() < 25
        # The warp never takes a pixel further from its neighbour than a few pixels: no folds, no tears.
        grid = puppet._warp_grid(k / 30)
        across, down = np.diff(grid[..., 0], axis=1), np.diff(grid[..., 1], axis=0)
        assert 0.35 * 16 < across.min() < across.max() < 2 * 16
        assert 0.35 * 16 < down.min() < down.max() < 2 * 16


@pytest.mark.parametrize("size", [(640, 360), (720, 1280), (301, 200), (1920, 1080)])
def test_any_size_and_shape_is_filled(size: tuple[int, int]) -> None:
    source = DemoSource(width=size[0], height=size[1], live=False, seconds=0.1)
    assert isinstance(source, Source)
    frames = list(source)
    assert len(frames) == 3
    assert frames[2].image.shape == (size[1], size[0], 3)
    assert frames[2].image.mean() > 40


def test_live_keeps_its_pace_and_ends_when_closed() -> None:
    source = DemoSource(fps=20, width=160, height=90)
    assert source.info.live
    frames = iter(source)
    taken = [next(frames) for _ in range(5)]
    assert taken[4].captured - taken[0].captured == pytest.approx(0.2, abs=0.15)
    source.close()
    assert list(frames) == []


def test_odd_rates_have_exact_times() -> None:
    source = DemoSource(fps=29.97, seconds=1, live=False, width=64, height=64)
    times = [f.pts for f in source]
    assert source.info.frames == len(times) == 30
    assert all(pts % source.info.time_base == 0 for pts in times)


@pytest.mark.parametrize("value", [{"fps": 0}, {"fps": float("nan")}, {"seconds": -1}, {"width": 8}, {"height": 9000}])
def test_values_out_of_range_are_refused_in_words(value: dict[str, float]) -> None:
    with pytest.raises(SourceError, match="expected"):
        DemoSource(**value)


def test_a_frame_is_cheap(puppet: Puppet) -> None:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        costs = []
        for k in range(20):
            begun = time.thread_time()
            puppet.render(k)
            costs.append(time.thread_time() - begun)
    finally:
        cv2.setNumThreads(threads)
    assert min(costs) < 0.012  # 4 to 5 ms of one core; the bound leaves room for slow machines
