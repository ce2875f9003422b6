"""FID: the distance against closed forms, the network against what torchvision's computes."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from train.fid import FEATURES, InceptionFeatures, drawing_features, frechet, load_inception

TORCHVISION = [0.0, 0.027240820229053497, 0.003352709347382188, 0.0, 0.004866802133619785]
"""First features that torchvision 0.28's ``inception_v3`` gives for weights and picture by the rules below."""
MEAN = 0.2175573706626892


def ruled() -> InceptionFeatures:
    network = InceptionFeatures().eval()
    for key, value in network.state_dict().items():
        if key.endswith("num_batches_tracked"):
            continue
        n = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(tuple(value.shape), dtype=np.float32)
        if key.endswith("running_var"):
            n = 0.5 + abs(n)
        elif key.endswith("bn.weight"):
            n = 1 + 0.1 * n
        elif key.endswith(("bias", "running_mean")):
            n *= 0.1
        else:
            n *= np.float32(np.sqrt(2 / np.prod(value.shape[1:])))
        value.copy_(torch.from_numpy(np.asarray(n, np.float32)))
    return network


@pytest.fixture(scope="module")
def network() -> InceptionFeatures:
    return ruled()


def ruled_picture(side: int = 299) -> torch.Tensor:
    y, x = np.mgrid[:side, :side].astype(np.float64)
    turn = 2 * np.pi / side
    planes = [
        np.sin(turn * ((3 + c) * x + (5 - c) * y) + 0.7 * c) * np.cos(turn * (2 + c) * x * y / side) for c in range(3)
    ]
    return torch.from_numpy(np.stack(planes).astype(np.float32))[None]


def test_in_one_dimension_it_is_means_and_deviations() -> None:
    a, b = np.array([[1.0], [3.0], [5.0]]), np.array([[10.0], [12.0]])
    assert frechet(a, b) == pytest.approx((3 - 11) ** 2 + (2 - np.sqrt(2)) ** 2)


@pytest.mark.parametrize("count", [5, 200])
def test_it_is_the_published_formula_for_few_and_many_pictures(count: int) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(count, 12)), 1.4 * rng.normal(size=(count + 3, 12)) + 0.3
    ca, cb = np.cov(a.T), np.cov(b.T)
    if count > 12:
        root = sqrtm(ca @ cb).real
    else:  # of covariances without full rank the root is found by the symmetric form
        half = sqrtm(ca + 1e-12 * np.eye(12)).real
        root = sqrtm(half @ cb @ half + 1e-12 * np.eye(12)).real
    wanted = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * root)
    assert frechet(a, b) == pytest.approx(wanted, rel=1e-4)
    assert frechet(a, a) == pytest.approx(0, abs=1e-9)


def test_one_picture_has_no_spread() -> None:
    with pytest.raises(ValueError, match="two or more"):
        frechet(np.zeros((1, 4)), np.zeros((5, 4)))


def test_the_network_is_torchvisions(network: InceptionFeatures) -> None:
    with torch.inference_mode():
        features = network(ruled_picture())[0]
    assert features.shape == (FEATURES,)
    assert features[:5].tolist() == pytest.approx(TORCHVISION, abs=1e-5)
    assert float(features.mean()) == pytest.approx(MEAN, abs=1e-5)


def test_a_state_dict_with_heads_is_read_and_a_drawing_goes_through(network: InceptionFeatures, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    state = dict(network.state_dict()) | {"fc.weight": torch.zeros(10, FEATURES)}
    save_file(state, tmp_path / "inception.safetensors")
    torch.save(state, tmp_path / "inception.pth")
    page = np.full((64, 64), 255, np.uint8)
    page[20:40, 30] = 0
    found = drawing_features(tmp_path / "inception.safetensors")(page)
    assert found.shape == (FEATURES,)
    assert np.isfinite(found).all()
    again = load_inception(tmp_path / "inception.pth")
    assert torch.equal(again.Mixed_7c.branch1x1.conv.weight, state["Mixed_7c.branch1x1.conv.weight"])
    assert found.std() > 0


def test_a_file_of_another_network_is_told_by_its_tensor(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"Conv2d_1a_3x3.conv.weight": torch.zeros(32, 3, 5, 5)}, path)
    with pytest.raises(ValueError, match=r"other\.pth.*1a_3x3\.conv\.weight \(32, 3, 3, 3\), got \(32, 3, 5, 5\)"):
        load_inception(path)
    torch.save([1], path)
    with pytest.raises(ValueError, match=r"other\.pth.*got a list"):
        load_inception(path)
    path.write_text("no weights")
    with pytest.raises(ValueError, match=r"other\.pth"):
        load_inception(path)
    with pytest.raises(ValueError, match=r"none\.pth"):
        load_inception(tmp_path / "none.pth")


def test_a_pickle_that_wants_to_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"x": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match=r"evil\.pth"):
        load_inception(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()
