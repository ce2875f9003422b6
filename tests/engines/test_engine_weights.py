"""Weights stored as fp16: the same fp32 graph in half the bytes, and a fingerprint that says which."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
from tiny_models import MANIFEST, Inputs, draw, part, tiny_graph, write

import engines
from engines import ModelError, graph, weights
from engines.manifest import read_manifest
from engines.samples import synthetic
from engines.trial import verify

torch = pytest.importorskip("torch", reason="exporting needs torch, a package for developers")
onnx = pytest.importorskip("onnx", reason="exporting needs onnx, a package for developers")

from apdgan.checkpoint import save  # noqa: E402
from apdgan.config import preset  # noqa: E402
from apdgan.generator import HierarchicalGenerator  # noqa: E402
from apdgan.matte import MatteNet  # noqa: E402
from engines.export import export_drawing  # noqa: E402
from engines.weights import halved, weights_sha256  # noqa: E402


def with_statistics(module: torch.nn.Module) -> torch.nn.Module:
    for norm in module.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.05, 0.5)
            torch.nn.init.uniform_(norm.weight, 0.5, 1.5)
            torch.nn.init.normal_(norm.bias, 0, 0.1)
    return module.eval()


def make(name: str, norm: str = "batch", width: int = 4) -> HierarchicalGenerator:
    torch.manual_seed(2)
    return with_statistics(HierarchicalGenerator(preset(name, norm=norm, width=width)))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """(checkpoint, its export with fp32 weights, with fp16 weights), wide enough to be worth halving."""
    folder = tmp_path_factory.mktemp("halves")
    save(folder / "net.safetensors", make("lite", width=16))
    for kind in ("fp32", "fp16"):
        export_drawing(folder / "net.safetensors", folder / f"{kind}.onnx", weights=kind)
    return folder / "net.safetensors", folder / "fp32.onnx", folder / "fp16.onnx"


def kernels(path: Path) -> dict[str, int]:
    """Name -> element type of every convolution's kernel, as it lies in the file."""
    model = onnx.load(path).graph
    stored = {tensor.name: tensor for tensor in model.initializer}
    casts = {node.output[0]: node.input[0] for node in model.node if node.op_type == "Cast"}
    names = {node.input[1] for node in model.node if node.op_type in ("Conv", "ConvTranspose")}
    return {name: stored[casts.get(name, name)].data_type for name in names}


def test_the_file_is_half_as_large_and_says_how_it_stores(both) -> None:
    _, full, half = both
    assert half.stat().st_size < 0.6 * full.stat().st_size
    assert (read_manifest(full).weights, read_manifest(half).weights) == ("fp32", "fp16")
    assert set(kernels(full).values()) == {onnx.TensorProto.FLOAT}
    assert onnx.TensorProto.FLOAT16 in kernels(half).values()
    assert read_manifest(half).gmac == read_manifest(full).gmac


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino-fp32"])
def test_engines_draw_nearly_the_same_from_either(both, five: Inputs, backend: str) -> None:
    _, full, half = both
    one = part(five, 0, 2)
    with engines.load(full, backend) as a, engines.load(half, backend) as b:
        whole, rounded = draw(a, one).astype(int), draw(b, one).astype(int)
    assert whole.std() > 5, "the test's own drawing is blank"
    gap = np.abs(whole - rounded)
    assert (gap > 1).mean() < 1e-3
    assert gap.max() <= 4


def test_the_checkpoint_rounded_likewise_is_the_reference(both) -> None:
    checkpoint, full, half = both
    photos = [synthetic("drawing", batch=1, seed=4)]
    for model in (full, half):
        report = verify(model, photos, backends=["onnxruntime"], checkpoint=checkpoint)
        assert report.reference == "torch fp32"
        assert report.failures(promised=False) == []
    half.with_suffix(".safetensors").write_bytes(checkpoint.read_bytes())
    with engines.load(half, "torch") as engine:
        assert engine.manifest.weights_sha256 == read_manifest(half).weights_sha256


def test_the_fingerprint_is_that_of_the_weights_in_the_file(both) -> None:
    checkpoint, full, half = both
    generator = make("lite", width=16)
    assert read_manifest(full).weights_sha256 == weights_sha256(generator.state_dict())
    assert read_manifest(half).weights_sha256 == weights_sha256(halved(generator).state_dict())
    assert read_manifest(half).weights_sha256 != read_manifest(full).weights_sha256
    with torch.no_grad():
        generator.GCombine.leave.weight[0, 0, 0, 0] += 0.25
    other = checkpoint.with_name("other.safetensors")
    save(other, generator)
    with pytest.raises(ModelError, match=r"expected the weights that fp16\.onnx was exported from"):
        verify(half, [synthetic("drawing", batch=1)], checkpoint=other)


@pytest.mark.parametrize(("name", "norm"), [("lite", "batch"), ("paper", "batch"), ("paper", "instance")])
def test_folding_alone_changes_nothing(name: str, norm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = make(name, norm)
    inputs = (torch.rand(1, 3, 512, 512) * 2 - 1, torch.from_numpy(synthetic("drawing", 1)["boxes"]))
    inputs = (*inputs, torch.ones(1, 1, 512, 512, dtype=torch.bool))
    monkeypatch.setattr(torch.Tensor, "half", lambda tensor: tensor)
    folded = halved(generator)
    assert not [m for m in folded.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    with torch.inference_mode():
        assert (folded(*inputs).fused - generator(*inputs).fused).abs().max() < 1e-4


def test_every_kernel_is_one_that_fp16_holds_and_the_original_is_left_alone() -> None:
    net = with_statistics(MatteNet(widths=(4, 8, 12, 16, 20)))
    before = copy.deepcopy(net.state_dict())
    rounded = halved(net)
    for name, value in rounded.named_parameters():
        if value.ndim > 1:
            assert torch.equal(value, value.half().float()), name
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_weight_beyond_fp16_is_refused() -> None:
    generator = make("lite")
    with torch.no_grad():
        generator.G.leave.weight[0, 0, 0, 0] = 1e5
    with pytest.raises(ModelError, match=r"G\.leave\.weight is beyond what fp16 can hold; export with --weights fp32"):
        halved(generator)


def test_a_kernel_that_was_not_rounded_is_not_stored_as_half(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "_WORTH_HALVING", 1)
    model = tiny_graph("drawing")
    with pytest.raises(ModelError, match="changed the rounded kernel"):
        graph.store_halves(model)


def test_older_files_are_read_as_fp32_and_an_unknown_storage_is_refused(tmp_path: Path) -> None:
    metadata = MANIFEST.to_metadata()
    assert metadata.pop("weights") == "fp32"
    assert engines.Manifest.from_metadata(metadata) == MANIFEST
    with pytest.raises(ValueError, match="weights: expected fp32 or fp16"):
        engines.Manifest.from_metadata(metadata | {"weights": "int4"})
    assert read_manifest(write(tmp_path / "m.onnx", tiny_graph("drawing"), MANIFEST)).weights == "fp32"


def test_nothing_here_loads_torch_by_itself() -> None:
    assert "torch" not in vars(weights)
