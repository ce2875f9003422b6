"""LPIPS: the distance against a computation by hand, against the published package, and as a loss."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from train.lpips import LAYERS, SCALE, SHIFT, Lpips, as_input, drawing_distances, load_lpips

PUBLISHED = {"alex": 0.1271100491285324, "vgg": 0.3642510175704956}
"""``lpips`` 0.1.4 (its own linear weights and forward, the convolutions of the shared files) on pictures 0 and 1."""


def picture(i: int, side: int = 96) -> torch.Tensor:
    """(1, 3, side, side) in [-1, 1] by a closed rule."""
    y, x = np.mgrid[:side, :side].astype(np.float64)
    turn = 2 * np.pi / side
    planes = [
        np.sin(turn * ((3 + i + c) * x + (5 - c) * y) + 0.7 * c + i) * np.cos(turn * (2 + c) * x * y / side)
        for c in range(3)
    ]
    return torch.from_numpy(np.stack(planes).astype(np.float32))[None]


def drawing() -> np.ndarray:
    page = np.full((128, 128), 255, np.uint8)
    cv2.circle(page, (64, 60), 40, (0,), 2)
    cv2.line(page, (30, 90), (100, 100), (0,), 3)
    return page


@pytest.fixture(scope="module")
def random_alex() -> Lpips:
    torch.manual_seed(0)
    return Lpips("alex").eval()


def save(path: Path, network: str, **changed: np.ndarray) -> Path:
    arrays = {}
    for i, c in enumerate(LAYERS[network]):
        arrays[f"conv{i}.weight"] = np.zeros((c.outputs, c.inputs, c.size, c.size), np.float16)
        arrays[f"conv{i}.bias"] = np.zeros(c.outputs, np.float32)
    for j, c in enumerate(c for c in LAYERS[network] if c.tap):
        arrays[f"lin{j}"] = np.zeros(c.outputs, np.float32)
    np.savez(path, **{k: v for k, v in (arrays | changed).items() if v is not None})
    return path


def test_the_first_tap_is_what_a_hand_finds(random_alex: Lpips) -> None:
    x = picture(0, 40)
    conv = random_alex.convs[0]
    weight, bias = conv.weight.double().numpy(), conv.bias.double().numpy()
    shown = (x[0].double().numpy() - np.array(SHIFT)[:, None, None]) / np.array(SCALE)[:, None, None]
    padded = np.pad(shown, ((0, 0), (2, 2), (2, 2)))
    tap = random_alex.taps(x)[0]
    assert tap.shape == (1, 64, 9, 9)
    for y, left in ((0, 0), (3, 5), (8, 8)):
        window = padded[:, 4 * y : 4 * y + 11, 4 * left : 4 * left + 11]
        feature = np.maximum((weight * window).sum((1, 2, 3)) + bias, 0)
        assert np.allclose(tap[0, :, y, left], feature / np.linalg.norm(feature), atol=1e-5)


def test_the_distance_weighs_squared_differences_by_channel(random_alex: Lpips) -> None:
    a, b = picture(0), picture(1)
    wanted = 0.0
    for one, other, lin in zip(random_alex.taps(a), random_alex.taps(b), random_alex.lins, strict=True):
        each = ((one - other) ** 2)[0].numpy() * lin.numpy()[:, None, None]
        wanted += each.sum(0).mean()
    assert float(random_alex(a, b)[0]) == pytest.approx(wanted, rel=1e-5)


def test_a_picture_is_as_near_to_itself_as_can_be(random_alex: Lpips) -> None:
    a, b = picture(0), picture(1)
    assert float(random_alex(a, a)[0]) == 0
    assert float(random_alex(a, b)[0]) == pytest.approx(float(random_alex(b, a)[0]))
    both = random_alex(torch.cat([a, b]), torch.cat([b, b]))
    assert both.shape == (2,)
    assert float(both[0]) > 0.01
    assert float(both[1]) == pytest.approx(0, abs=1e-6)


def test_a_grey_picture_is_one_of_three_equal_colours(random_alex: Lpips) -> None:
    grey = as_input(drawing())
    assert grey.shape == (1, 1, 128, 128)
    assert (float(grey.min()), float(grey.max())) == (-1, 1)
    assert torch.allclose(random_alex.taps(grey)[4], random_alex.taps(grey.repeat(1, 3, 1, 1))[4], atol=1e-6)


def test_as_a_loss_it_moves_the_picture_and_nothing_else(random_alex: Lpips) -> None:
    a = picture(0).requires_grad_()
    random_alex(a, picture(1)).sum().backward()
    assert a.grad is not None
    assert torch.isfinite(a.grad).all()
    assert float(a.grad.abs().max()) > 0
    assert all(p.grad is None and not p.requires_grad for p in random_alex.parameters())


def test_features_that_are_all_zero_have_a_gradient() -> None:
    dead = Lpips("alex")
    for conv in dead.convs:
        conv.bias.fill_(-1e6)
    a = picture(0).requires_grad_()
    distance = dead(a, picture(1)).sum()
    distance.backward()
    assert float(distance.detach()) == 0
    assert torch.isfinite(a.grad).all()


def test_too_small_a_picture_is_refused(random_alex: Lpips) -> None:
    with pytest.raises(ValueError, match="32 px"):
        random_alex(torch.zeros(1, 3, 31, 64), torch.zeros(1, 3, 31, 64))
    with pytest.raises(ValueError, match="got \\(1, 4"):
        random_alex(torch.zeros(1, 4, 64, 64), torch.zeros(1, 4, 64, 64))


def test_a_file_tells_its_network_by_its_shapes(tmp_path: Path) -> None:
    assert load_lpips(save(tmp_path / "a.npz", "alex")).network == "alex"
    assert load_lpips(save(tmp_path / "v.npz", "vgg")).network == "vgg"


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"conv1.weight": np.zeros((192, 64, 3, 3))}, r"conv1\.weight \(192, 64, 5, 5\).*got \(192, 64, 3, 3\)"),
        ({"lin4": None}, r"lin4 \(256,\).*no such array"),
        ({"conv0.bias": np.array([{}])}, "allow_pickle"),
    ],
)
def test_a_file_that_does_not_fit_is_told_by_its_array(tmp_path: Path, changed: dict, says: str) -> None:
    with pytest.raises(ValueError, match=rf"w\.npz: expected .*{says}"):
        load_lpips(save(tmp_path / "w.npz", "alex", **changed))


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nothing\.npz"):
        load_lpips(tmp_path / "nothing.npz")
    (tmp_path / "text.npz").write_text("weights")
    with pytest.raises(ValueError, match=r"text\.npz"):
        load_lpips(tmp_path / "text.npz")


@pytest.mark.parametrize(("network", "name"), [("alex", "alexnet"), ("vgg", "vgg16")])
def test_it_agrees_with_the_published_package(shared: Path, network: str, name: str) -> None:
    real = load_lpips(shared / "models" / f"lpips_{name}_fp16.npz")
    assert real.network == network
    with torch.inference_mode():
        assert float(real(picture(0), picture(1))[0]) == pytest.approx(PUBLISHED[network], rel=1e-4)


@pytest.mark.parametrize("kind", ["shift", "blur", "torn"])
def test_more_distortion_is_further_away(shared: Path, kind: str) -> None:
    distances = drawing_distances(shared / "models" / "lpips_alexnet_fp16.npz")
    page = cv2.imread(str(shared / "look" / "img_1673_apdrawinggan.png"), cv2.IMREAD_GRAYSCALE)[96:352, 128:384]
    found = distances(page, [page, *(distorted(page, kind, much) for much in (1, 2, 3))])
    assert found[0] == 0
    assert found == sorted(found)
    assert found[1] > 0.02
    assert found[3] > 1.2 * found[1]


def distorted(page: np.ndarray, kind: str, much: int) -> np.ndarray:
    if kind == "shift":
        return np.roll(page, 2 * much, axis=1)
    if kind == "blur":
        return cv2.GaussianBlur(page, (0, 0), 1.0 * much)
    holes = np.random.default_rng(0).random(page.shape) < 0.03 * much
    return np.where(holes, 255 - page, page).astype(np.uint8)
