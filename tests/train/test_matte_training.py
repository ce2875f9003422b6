"""Scenes that teach the person matte, and a training that learns from them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from apdgan.alignment import TEMPLATE
from apdgan.matte import MatteNet
from train import matte, matte_data
from train.dataset import FIVE
from train.matte_people import Person, people, separate
from train.matte_scenes import scene

WALL, SKIN = (60, 90, 200), (220, 170, 140)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers this small only lose time when threads wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def portrait(shift: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]:
    """A head and shoulders on a blue wall: photo and exact matte (384, 384), outline of the face (36, 2)."""
    big = np.zeros((1536, 1536), np.uint8)
    cv2.ellipse(big, (768 + 4 * shift, 760), (270, 360), 0, 0, 360, 255, -1)
    cv2.ellipse(big, (768 + 4 * shift, 1536), (620, 400), 0, 0, 360, 255, -1)
    exact = cv2.resize(big, (384, 384), interpolation=cv2.INTER_AREA)
    alpha = exact[..., None] / 255.0
    photo = (np.array(SKIN) * alpha + np.array(WALL) * (1 - alpha) + 0.5).astype(np.uint8)
    turn = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    oval = np.stack([192 + shift + np.cos(turn) * 60, 195 + np.sin(turn) * 80], 1).astype(np.float32)
    return photo, exact, oval


@pytest.fixture(scope="module")
def persons() -> list[Person]:
    photos, exacts, ovals = (np.stack(a) for a in zip(*[portrait(s) for s in (-6, 0, 6)], strict=True))
    return people(photos, exacts, np.full_like(exacts, 255), ovals)


def test_a_blurred_teacher_s_matte_is_sharpened_against_a_plain_wall() -> None:
    photo, exact, _ = portrait()
    blurred = cv2.GaussianBlur(exact, (0, 0), 2.5)
    _, fine = separate(photo, blurred)

    def error(matte: NDArray[np.uint8]) -> float:
        return float(np.abs(matte.astype(int) - exact).mean())

    assert error(fine) < 0.5 * error(blurred)


def test_the_wall_s_colour_is_taken_out_of_the_person_s_edge() -> None:
    photo, exact, _ = portrait()
    colour, _ = separate(photo, exact)
    edge = (exact > 90) & (exact < 200)
    assert np.abs(photo[edge].astype(int) - SKIN).max() > 60
    assert np.abs(colour[edge].astype(int) - SKIN).max() <= 12


def test_a_scene_repeats_with_its_seed_and_changes_with_it(persons: list[Person]) -> None:
    first, again, other = (scene(persons, np.random.default_rng(s)) for s in (5, 5, 6))
    assert first[0].shape == (256, 256, 3)
    assert first[1].shape == (256, 256)
    assert first[0].dtype == first[1].dtype == np.uint8
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).mean() > 0.2


def test_white_outside_the_picture_is_never_a_person(persons: list[Person]) -> None:
    rng = np.random.default_rng(1)
    seen = 0
    for _ in range(60):
        photo, truth = scene(persons, rng)
        corner = (photo[:3] == 255).all()
        seen += int(corner)
        assert not corner or truth[:3].max() == 0
    assert seen > 2


def test_the_middle_of_the_face_is_a_person_in_every_scene(persons: list[Person]) -> None:
    rng = np.random.default_rng(2)
    for _ in range(40):
        _, truth = scene(persons, rng)
        assert truth[118:138, 118:138].min() > 200


def test_the_loss_falls_from_wrong_to_right_and_counts_edges_more() -> None:
    truth = torch.zeros(1, 1, 256, 256)
    truth[..., 128:] = 1
    right = (truth[..., ::2, ::2] - 0.5) * 20
    edge, far = right.clone(), right.clone()
    edge[..., 64:66] *= -1
    far[..., 126:128] *= -1
    terms = [matte.loss_terms(logits, truth) for logits in (right, edge, far, -right)]
    assert terms[0]["bce"] < 0.01
    assert terms[0]["iou"] < 0.01
    assert terms[1]["bce"] > 1.5 * terms[2]["bce"]
    assert terms[3]["iou"] > 0.9


def test_learning_one_batch_by_heart_works(persons: list[Person]) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(4)
    photo, truth = matte.collate([scene(persons, rng) for _ in range(4)])
    net = MatteNet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
    losses = [sum(matte._step(net, optimiser, photo, truth).values()) for _ in range(25)]
    assert losses[-1] < 0.5 * losses[0]


def test_training_goes_on_from_weights_and_writes_weights_that_load(tmp_path: Path) -> None:
    photos, exacts, ovals = (np.stack(a) for a in zip(*[portrait(s) for s in (-4, -2, 0, 2, 4)], strict=True))
    data, start, out = (tmp_path / name for name in ("data.npz", "start.safetensors", "out.safetensors"))
    np.savez(data, photo=photos, matte=exacts, inside=np.full_like(exacts, 255), oval=ovals)
    torch.manual_seed(5)
    matte.save(MatteNet(), start, {})
    best = matte.train(data=data, out=out, start=start, steps=3, checks=2, batch=2, workers=0)
    assert 0 < best <= 1
    net = MatteNet()
    net.load_state_dict(load_file(out))
    moved = (net.down64[0].weight - load_file(start)["down64.0.weight"]).abs().max()  # type: ignore[operator]
    assert 0 < moved < 0.1


def test_a_portrait_s_canvas_holds_the_square_in_its_middle_at_half_size() -> None:
    """The face of the picture is at twice the template's size and off to a side; the teacher calls red a person."""
    mesh = np.full((478, 2), 700.0)
    mesh[list(FIVE)] = TEMPLATE * 2 + (100, 0)
    picture = np.zeros((1100, 1000, 3), np.uint8)
    picture[400:1100, 300:900] = (200, 0, 0)
    one = matte_data.canvas(picture, mesh, lambda image: np.where(image[..., 0] > 100, 255, 0).astype(np.uint8))
    assert {key: value.shape for key, value in one.items()} == {
        "photo": (384, 384, 3), "matte": (384, 384), "inside": (384, 384), "oval": (36, 2),
    }  # fmt: skip
    # Picture (x, y) lies at ((x - 100) / 2 + 128) / 2 of the canvas.
    np.testing.assert_allclose(one["oval"], np.tile([(700 - 100) / 4 + 64, 700 / 4 + 64], (36, 1)), atol=0.01)
    assert one["matte"][200, 150] == 255
    assert one["matte"][200, 100] == 0
    assert np.flatnonzero(one["matte"][200] > 127)[[0, -1]].tolist() == pytest.approx([114, 264], abs=1)
    assert one["inside"][200, 38] == 0
    assert one["inside"][200, 41] == 255


def test_a_missing_data_file_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        matte.main(["--data", str(tmp_path / "none.npz"), "--out", str(tmp_path / "m.safetensors")])
    assert stop.value.code == 2
    assert "--data: expected a file" in capsys.readouterr().err
