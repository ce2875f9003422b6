"""The true export: both presets, narrow, in both norms, against the network itself."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_models import MANIFEST, Inputs, draw, part, tiny_graph, write

import engines
from engines import ModelError
from engines.manifest import read_manifest

torch = pytest.importorskip("torch", reason="exporting needs torch, a package for developers")
onnx = pytest.importorskip("onnx", reason="exporting needs onnx, a package for developers")

from apdgan.checkpoint import save  # noqa: E402
from apdgan.config import preset  # noqa: E402
from apdgan.cost import generator_gmac  # noqa: E402
from apdgan.drawer import PortraitDrawer  # noqa: E402
from apdgan.generator import HierarchicalGenerator  # noqa: E402
from apdgan.matte import MatteNet  # noqa: E402
from engines.backends import ort  # noqa: E402
from engines.export import export_drawing, export_matte_checkpoint, main  # noqa: E402

CASES = [("lite", "batch", 8), ("lite", "instance", 8), ("paper", "batch", 4), ("paper", "instance", 4)]


def make_generator(name: str, norm: str, width: int) -> HierarchicalGenerator:
    """Random weights and running statistics that leave ink and paper in the drawing."""
    torch.manual_seed(5)
    generator = HierarchicalGenerator(preset(name, norm=norm, width=width))
    for module in generator.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.05, 0.5)
    return generator.eval()


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(map(str, case)))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("export")
    generator = make_generator(*request.param)
    save(folder / "net.safetensors", generator, {"style": "noise", "licence": "Apache-2.0", "data": "none"})
    done = export_drawing(folder / "net.safetensors", folder / "net.onnx", stated={"version": "3"})
    return generator, done


def test_every_engine_draws_what_the_network_draws(exported, five: Inputs) -> None:
    generator, done = exported
    with torch.inference_mode():
        wanted = PortraitDrawer(generator)(*(torch.from_numpy(a) for a in five.values())).numpy()
    assert wanted.std() > 5, "the test's own drawing is blank"
    for backend in ("openvino-fp32", "onnxruntime"):
        with engines.load(done.path, backend) as engine:
            off = np.abs(draw(engine, five).astype(int) - wanted)
        assert off.max() <= 1, backend


def test_batches_of_the_graph_itself_equal_their_singles(exported, five: Inputs) -> None:
    _, done = exported
    batches = [part(five, 0, 1), part(five, 0, 2), five, *(part(five, i, i + 1) for i in range(5))]
    one, two, all_five, *singles = ort.run_graph(done.path.read_bytes(), batches)
    alone = np.concatenate(singles).astype(int)
    for together in (one, two, all_five):
        assert np.abs(together - alone[: len(together)]).max() <= 1
        assert np.mean(together != alone[: len(together)]) < 1e-3


def test_the_manifest_says_what_was_exported(exported) -> None:
    generator, done = exported
    manifest = read_manifest(done.path)
    assert manifest == done.manifest
    assert (manifest.preset, manifest.norm, manifest.width) == (
        generator.config.family,
        generator.config.norm,
        generator.config.width,
    )
    assert (manifest.style, manifest.licence, manifest.data, manifest.version) == ("noise", "Apache-2.0", "none", "3")
    assert manifest.bf16_ok is None
    assert manifest.gmac == pytest.approx(generator_gmac(generator)["total"], abs=2e-3)


def test_nothing_of_this_machine_is_in_the_file(exported) -> None:
    _, done = exported
    data = done.path.read_bytes()
    assert str(Path(__file__).resolve().parents[2]).encode() not in data
    assert b".py" not in data
    assert b"aten" not in data


def test_the_ports_are_those_of_the_contract(exported) -> None:
    _, done = exported
    graph = onnx.load(done.path).graph

    def port(value) -> tuple[str, int, list]:
        dims = value.type.tensor_type.shape.dim
        return value.name, value.type.tensor_type.elem_type, [d.dim_param or d.dim_value for d in dims]

    uint8, int32 = onnx.TensorProto.UINT8, onnx.TensorProto.INT32
    assert [port(v) for v in graph.input] == [
        ("photo", uint8, ["batch", 512, 512, 3]),
        ("boxes", int32, ["batch", 4, 2]),
        ("matte", uint8, ["batch", 512, 512]),
    ]
    assert [port(v) for v in graph.output] == [("drawing", uint8, ["batch", 512, 512])]
    assert all(value.doc_string for value in (*graph.input, *graph.output))
    assert "BatchNormalization" not in {node.op_type for node in graph.node}


def test_torch_runs_the_checkpoint_beside_a_model_if_it_has_its_weights(exported, five: Inputs) -> None:
    generator, done = exported
    with engines.load(done.path, "torch") as eager, engines.load(done.path, "onnxruntime") as other:
        assert eager.manifest.weights_sha256 == done.manifest.weights_sha256
        one = part(five, 0, 1)
        assert np.abs(draw(eager, one).astype(int) - draw(other, one)).max() <= 1
    beside = done.path.with_suffix(".safetensors")
    kept = beside.read_bytes()
    try:
        with torch.no_grad():
            next(generator.parameters()).view(-1)[0] += 1
        save(beside, generator)
        with pytest.raises(ModelError, match=r"expected the weights that net\.onnx was exported from"):
            engines.load(done.path, "torch")
    finally:
        with torch.no_grad():
            next(generator.parameters()).view(-1)[0] -= 1
        beside.write_bytes(kept)


def test_auto_runs_a_checkpoint_with_torch_and_says_why(exported) -> None:
    _, done = exported
    heard: list[str] = []
    with engines.load(done.path.with_suffix(".safetensors"), log=heard.append) as engine:
        assert engine.name == "torch fp32"
    assert "openvino passed over: cannot run .safetensors" in heard[0]


def test_the_official_file_draws_live_after_two_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import run_stream
    from apdgan.checkpoint import NETWORKS

    generator = make_generator("paper", "instance", 4)
    file, out, drawn = tmp_path / "300_net_gen.pt", tmp_path / "apdrawing.onnx", tmp_path / "drawn.png"
    torch.save({name: getattr(generator, name).state_dict() for name in NETWORKS}, file)
    assert main([str(file), "--out", str(out)]) == 0
    manifest = read_manifest(out)
    assert (manifest.preset, manifest.width, manifest.norm) == ("paper", 4, "instance")
    assert (manifest.style, "ask them" in manifest.licence) == ("APDrawingGAN", True)
    assert "`300_net_gen.pt`" in out.with_suffix(".md").read_text()
    capsys.readouterr()
    code = run_stream.main(["--model", str(out), "--source", "demo", "--frames", "2", "--sink", str(drawn)])
    assert (code, capsys.readouterr().err) == (0, "")
    assert cv2.imread(str(drawn)).std() > 1


def test_a_matte_network_exports_with_its_widths_read_off_the_tensors(
    tmp_path: Path, five: Inputs, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(1)
    net = MatteNet(widths=(4, 8, 12, 16, 20)).eval()
    save_file(net.state_dict(), tmp_path / "m.safetensors")
    out = tmp_path / "m.onnx"
    command = ["--kind", "matte", "--checkpoint", str(tmp_path / "m.safetensors"), "--out", str(out)]
    assert main([*command, "--licence", "Apache-2.0"]) == 0
    assert "width 4" in capsys.readouterr().out
    assert read_manifest(out).licence == "Apache-2.0"
    with torch.inference_mode():
        wanted = net(torch.from_numpy(five["photo"])).numpy()
    for backend in ("openvino-fp32", "onnxruntime"):
        with engines.load_matte(out, backend) as engine:
            assert np.abs(engine.matte(five["photo"]).astype(int) - wanted).max() <= 1
    (tmp_path / "odd.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(ModelError, match="expected the weights of a matte network"):
        export_matte_checkpoint(tmp_path / "odd.safetensors", out)


@pytest.mark.parametrize(
    ("checkpoint", "out", "message"),
    [
        ("none.safetensors", "x.onnx", "found nothing there"),
        ("text.pt", "x.onnx", "another kind"),
        ("good.safetensors", "x.bin", "ends in .onnx"),
        ("good.safetensors", "missing/x.onnx", "choose another folder"),
    ],
)
def test_the_command_ends_with_2_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], checkpoint: str, out: str, message: str
) -> None:
    (tmp_path / "text.pt").write_text("hello")
    save(tmp_path / "good.safetensors", make_generator("lite", "batch", 4))
    code = main(["--checkpoint", str(tmp_path / checkpoint), "--norm", "batch", "--out", str(tmp_path / out)])
    printed = capsys.readouterr().err.strip()
    assert code == 2
    assert message in printed
    assert "\n" not in printed
    assert not list(tmp_path.rglob("*.onnx"))
    assert not list(tmp_path.rglob("*.part"))


def test_a_graph_that_draws_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = write(tmp_path / "wrong.onnx", tiny_graph("drawing"), MANIFEST)
    monkeypatch.setattr("engines.tracing._trace", lambda _module, _kind: onnx.load(wrong))
    save(tmp_path / "net.safetensors", make_generator("lite", "batch", 4))
    with pytest.raises(ModelError, match=r"not written: the exported graph is .* grey levels off"):
        export_drawing(tmp_path / "net.safetensors", tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()
