"""What an opened engine does with arrays, the same in every backend."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from tiny_models import Inputs, draw, part

import engines
from engines import Engine, MatteEngine

BACKENDS = ("openvino-fp32", "onnxruntime")


@pytest.fixture(params=BACKENDS)
def engine(request: pytest.FixtureRequest, tiny: Path) -> Iterator[Engine]:
    with engines.load(tiny, request.param) as opened:
        yield opened


def expected(inputs: Inputs) -> np.ndarray:
    """What the tiny graph computes, in numpy."""
    mean = inputs["photo"].astype(np.float64).sum(-1)
    padded = np.pad(mean, ((0, 0), (1, 1), (1, 1)))
    grey = sum(padded[:, dy : dy + 512, dx : dx + 512] for dy in range(3) for dx in range(3)) / 27
    low = grey - inputs["boxes"].sum((1, 2))[:, None, None] * 0.01
    return np.floor(np.clip(np.where(inputs["matte"] >= 128, low, 255), 0, 255))


def test_a_batch_is_drawn_as_the_graph_says(engine: Engine, five: Inputs) -> None:
    drawing = draw(engine, five)
    assert drawing.shape == (5, 512, 512)
    assert drawing.dtype == np.uint8
    assert np.abs(drawing - expected(five)).max() <= 1


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_batches_equal_their_singles(engine: Engine, five: Inputs, batch: int) -> None:
    together = draw(engine, part(five, 0, batch))
    alone = np.concatenate([draw(engine, part(five, i, i + 1)) for i in range(batch)])
    np.testing.assert_array_equal(together, alone)


def test_a_drawing_is_not_changed_by_the_next_one(engine: Engine, five: Inputs) -> None:
    first = draw(engine, part(five, 0, 1))
    kept = first.copy()
    draw(engine, part(five, 1, 2))
    np.testing.assert_array_equal(first, kept)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="asks Linux which processors a thread may use")
@pytest.mark.parametrize("backend", BACKENDS)
def test_who_draws_with_one_thread_is_tied_to_no_processor(tiny: Path, five: Inputs, backend: str) -> None:
    mine, seen = os.sched_getaffinity(0), set()
    if len(mine) < 2:
        pytest.skip("there is one processor")
    with engines.load(tiny, backend, threads=1) as engine:
        thread = threading.Thread(target=lambda: [draw(engine, five) for _ in range(10)])
        thread.start()
        while thread.is_alive():
            for one in Path("/proc/self/task").iterdir():
                with suppress(OSError):
                    seen.add(frozenset(os.sched_getaffinity(int(one.name))))
    assert seen == {frozenset(mine)}


def test_strided_and_read_only_pictures_are_drawn_alike(engine: Engine, five: Inputs) -> None:
    photo = five["photo"][:1]
    wide = np.zeros((1, 512, 1024, 3), np.uint8)
    wide[:, :, ::2] = photo
    strided = wide[:, :, ::2]
    strided.flags.writeable = False
    one = part(five, 0, 1)
    np.testing.assert_array_equal(draw(engine, one | {"photo": strided}), draw(engine, one))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("photo", lambda a: a.astype(np.float32), r"photo: expected uint8 \(5, 512, 512, 3\), got float32"),
        ("photo", lambda a: a[0], r"photo: expected uint8 \(1, 512, 512, 3\), got uint8 \(512, 512, 3\)"),
        ("photo", lambda a: a[:0], r"photo: expected uint8 \(1, 512, 512, 3\), got uint8 \(0, 512"),
        ("photo", lambda a: a[:, :256], r"photo: expected .* got uint8 \(5, 256, 512, 3\)"),
        ("photo", lambda _: [[1, 2, 3]], "photo: expected .* got list"),
        ("boxes", lambda a: a.astype(np.int64), r"boxes: expected int32 \(5, 4, 2\), got int64"),
        ("boxes", lambda a: a[:2], r"boxes: expected int32 \(5, 4, 2\), got int32 \(2, 4, 2\)"),
        ("boxes", lambda a: a - 400, "boxes: expected part boxes inside the 512 square"),
        ("boxes", lambda a: a + 250, "boxes: expected part boxes inside the 512 square"),
        ("matte", lambda a: a[..., None], r"matte: expected uint8 \(5, 512, 512\), got"),
        ("matte", lambda a: a > 0, r"matte: expected uint8 .* got bool"),
    ],
)
def test_wrong_arrays_are_told_at_the_door(engine: Engine, five: Inputs, name, change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw(engine, five | {name: change(five[name])})


def test_a_closed_engine_says_so_and_closes_twice(tiny: Path, five: Inputs) -> None:
    engine = engines.load(tiny, "onnxruntime")
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="'onnxruntime fp32' is closed"):
        draw(engine, five)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_matte_engine_finds_the_matte(tiny_matte: Path, five: Inputs, backend: str) -> None:
    with engines.load_matte(tiny_matte, backend) as engine:
        assert isinstance(engine, MatteEngine)
        assert not isinstance(engine, Engine)
        matte = engine.matte(five["photo"])
        with pytest.raises(ValueError, match="photo: expected uint8"):
            engine.matte(five["matte"])
    everyone = five | {"matte": np.full_like(five["matte"], 255), "boxes": np.zeros_like(five["boxes"])}
    assert matte.dtype == np.uint8
    assert np.abs(matte - expected(everyone)).max() <= 1
