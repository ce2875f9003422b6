"""Which picture comes when, and how it is changed, depends on the run's seed and the sample's number alone."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import tiny_runs
import torch

from apdgan.alignment import TEMPLATE
from train.augment import Sample, flip
from train.dataset import open_pairs
from train.distributed import World
from train.samples import Samples, batches
from train.turning import Changes, turn


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tiny_runs.write_pairs(tmp_path / "pairs", 5)


def samples(data: Path, seed: int = 1, stage: int = 0, change: Changes | None = None) -> Samples:
    return Samples(open_pairs([data]), seed=seed, stage=stage, change=change or Changes(strength=0.5))


def test_a_sample_is_the_same_however_it_is_asked_for(data: Path) -> None:
    forwards, backwards = samples(data), samples(data)
    first = [forwards[i] for i in range(4)]
    second = [backwards[i] for i in reversed(range(4))][::-1]
    for one, other in zip(first, second, strict=True):
        assert all(np.array_equal(one[key], other[key]) for key in one)
    assert not np.array_equal(first[0]["photo"], samples(data, seed=2)[0]["photo"])
    assert not np.array_equal(first[0]["photo"], samples(data, stage=1)[0]["photo"])


def test_an_epoch_holds_every_pair_once_in_an_order_of_its_own(data: Path) -> None:
    all_samples = samples(data)
    epochs = [[all_samples.which(5 * epoch + i) for i in range(5)] for epoch in range(6)]
    assert all(sorted(epoch) == [0, 1, 2, 3, 4] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_processes_share_what_one_would_see_alone(data: Path) -> None:
    def numbers(batch: int, world: World) -> list[tuple[int, ...]]:
        feed = batches(samples(data), start=2, batch=batch, world=world, workers=0)
        return [b.numbers for b in islice(feed, 3)]

    alone = numbers(4, World())
    shares = [numbers(2, World(rank=rank, size=2)) for rank in (0, 1)]
    assert alone == [(2, 3, 4, 5), (6, 7, 8, 9), (10, 11, 12, 13)]
    assert [a + b for a, b in zip(*shares, strict=True)] == alone


def test_a_batch_is_what_the_networks_take(data: Path) -> None:
    batch = next(batches(samples(data), start=0, batch=2, world=World(), workers=0))
    assert batch.photo.shape == (2, 3, 512, 512)
    assert batch.drawing.shape == batch.fg.shape == batch.matte.shape == (2, 1, 512, 512)
    assert batch.corners.shape == (2, 4, 2)
    assert batch.fg.dtype == torch.bool
    for tensor in (batch.photo, batch.drawing):
        assert -1 <= float(tensor.min()) < float(tensor.max()) <= 1
    assert float(batch.ink.max()) == 1.0


def test_a_turned_pair_stays_a_pair() -> None:
    drawing = np.full((512, 512), 255, np.uint8)
    cv2.circle(drawing, (340, 180), 9, 0, -1)
    photo = np.repeat(drawing[..., None], 3, axis=2)
    points = np.array([(340, 180), *TEMPLATE[1:]], np.float32)
    sample = Sample(photo=photo, drawing=drawing, matte=255 - drawing, points=points)
    turned = turn(sample, degrees=5.0, scale=1.05)
    y, x = (float(v.mean()) for v in np.nonzero(turned.drawing < 128))
    assert (x, y) == pytest.approx(tuple(turned.points[0]), abs=0.5)  # the boxes go with the picture
    assert abs(x - 340) + abs(y - 180) > 5
    assert np.array_equal(turned.photo[..., 0], turned.drawing)
    assert np.array_equal(turned.matte >= 128, turned.drawing < 128)
    assert turned.drawing[0, 0] == 255  # what comes in is paper


def test_nothing_turns_by_nothing() -> None:
    rng = np.random.default_rng(0)
    drawing = rng.integers(0, 256, (512, 512)).astype(np.uint8)
    photo = rng.integers(0, 256, (512, 512, 3)).astype(np.uint8)
    sample = Sample(photo=photo, drawing=drawing, matte=drawing, points=TEMPLATE.astype(np.float32))
    same = turn(sample, degrees=0.0, scale=1.0)
    assert np.array_equal(same.photo, photo)
    assert np.allclose(same.points, TEMPLATE, atol=1e-4)


def test_the_paper_s_changes_are_a_mirror_and_what_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (512, 512, 3)).astype(np.uint8)
    drawing = photo[..., 0].copy()
    sample = Sample(photo=photo, drawing=drawing, matte=drawing, points=TEMPLATE.astype(np.float32))
    mirror, seen = flip(sample), set()
    change = Changes(strength=0.0, paper=True)
    for i in range(12):
        out = change(np.random.default_rng(i), sample)
        seen.add(np.array_equal(out.drawing, mirror.drawing))
        assert np.array_equal(out.drawing, mirror.drawing) or np.array_equal(out.drawing, drawing)
    assert seen == {True, False}
