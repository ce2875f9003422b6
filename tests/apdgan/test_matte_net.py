"""The person matte: bytes in, bytes out, and what the shipped model does on real photos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from apdgan.matte import MatteNet

ROOT = Path(__file__).parents[2]
ALIGNED = ROOT.parent / "shared" / "data" / "aligned_photos"
MODEL = ROOT / "models" / "matte.onnx"


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers this small only lose time when threads wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def net() -> MatteNet:
    """Random weights with the statistics of a real batch, so that every layer matters."""
    torch.manual_seed(3)
    net = MatteNet()
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        net.train()(photos(4))
        net.head.weight.mul_(6)
    return net.eval()


def photos(count: int, seed: int = 0) -> torch.Tensor:
    """Smooth random pictures (count, 512, 512, 3) uint8."""
    grid = torch.rand((count, 3, 9, 9), generator=torch.Generator().manual_seed(seed)) * 255
    return F.interpolate(grid, size=(512, 512), mode="bicubic").clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8)


def test_a_matte_has_the_photo_s_size_and_uses_the_whole_range_of_bytes(net: MatteNet) -> None:
    matte = net(photos(2))
    assert matte.shape == (2, 512, 512)
    assert matte.dtype == torch.uint8
    assert matte.unique().numel() > 100


def test_the_exportable_graph_equals_pooling_and_bilinear_enlargement(net: MatteNet) -> None:
    photo = photos(2, seed=1)
    low = F.avg_pool2d(photo.float().permute(0, 3, 1, 2), 2)
    full = F.interpolate(net.logits(low), scale_factor=4, mode="bilinear", align_corners=False)
    expected = torch.sigmoid(full)[:, 0] * 255
    assert (net(photo).float() - expected).abs().max() <= 0.51  # rounding


def test_certain_pixels_are_exactly_0_and_255() -> None:
    net = MatteNet().eval()
    for bias, byte in ((40.0, 255), (-40.0, 0)):
        torch.nn.init.zeros_(net.head.weight)
        torch.nn.init.constant_(net.head.bias, bias)  # type: ignore[arg-type]
        assert net(photos(1)).unique().tolist() == [byte]


def test_a_batch_equals_its_photos_one_by_one(net: MatteNet) -> None:
    batch = photos(3, seed=2)
    singles = torch.cat([net(batch[i : i + 1]) for i in range(3)])
    assert (net(batch).int() - singles.int()).abs().max() <= 1


def test_the_face_s_place_matters() -> None:
    """A blank photo still has a middle and a border: the network is told where each pixel lies."""
    torch.manual_seed(0)
    net = MatteNet().eval()
    blank = torch.full((1, 3, 256, 256), 128.0)
    with torch.no_grad():
        seen = net.logits(blank)
        net.position.zero_()
        unseen = net.logits(blank)
    assert (seen - unseen).abs().max() > 1e-4


@pytest.mark.skipif(not MODEL.is_file(), reason="models/matte.onnx is not there")
@pytest.mark.skipif(not ALIGNED.is_dir(), reason="the aligned photos with masks are not on this machine")
def test_the_shipped_model_finds_the_person_on_real_photos() -> None:
    from engines import load_matte

    files = sorted((ALIGNED / "photo").iterdir())
    scores = []
    with load_matte(MODEL, "onnxruntime", threads=1) as engine:
        for file in files:
            photo = cv2.imread(str(file))[..., ::-1]
            want = cv2.imread(str(ALIGNED / "mask" / f"{file.stem}.png"), cv2.IMREAD_GRAYSCALE) >= 128
            got = engine.matte(np.ascontiguousarray(photo)[None])[0] >= 128
            scores.append((got & want).sum() / (got | want).sum())
    assert np.mean(scores) >= 0.94
    assert np.min(scores) >= 0.76
