"""TensorRT-RTX itself, which builds without a GPU: every graph that we export, its types, its plans and their cache."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from narrow_exports import export
from test_engine_load import hide
from tiny_models import MANIFEST, tiny_graph, write

import engines
from engines import EngineError, ModelError, catalogue, plans
from engines.backends.trt import VARIANTS
from engines.build import main
from engines.gpu import Gpu
from engines.manifest import read_manifest
from engines.plans import Plan, PlanKey, cached, mismatch, read_plan, write_plan
from engines.precision import border_casts, retyped
from engines.trt_builder import Built, Log, describe, parse, summary

onnx = pytest.importorskip("onnx", reason="building plans needs onnx")

RTX = VARIANTS["tensorrt_rtx"]
NARROW = {"fp16": "HALF", "bf16": "BF16", "fp32": "FLOAT"}
FLOATS = set(NARROW.values())
HEAVY = ("CONVOLUTION", "DECONVOLUTION", "MATRIX_MULTIPLY")
CAPABILITIES = ("8.6", "8.9", "12.0")

needs_rtx = pytest.mark.skipif(RTX.missing() is not None, reason="needs the TensorRT-RTX wheels (extra gpu-rtx)")


def build(path: Path, precision: str, capability: str | None = "8.9", batch: int = 8) -> tuple[PlanKey, Built]:
    key = RTX.key(path, precision, compute_capability=capability, batch=batch)
    return key, RTX.build(path, key=key)


def expect_types(built: Built, path: Path, precision: str) -> None:
    """Every convolution computes in the precision, norms in fp32, and casts between floats stand at borders alone."""
    heavy = [layer for layer in built.layers if layer.kind in HEAVY]
    graph = retyped(onnx.load(path), precision)
    assert len(heavy) == sum(node.op_type in ("Conv", "ConvTranspose") for node in graph.graph.node)
    assert {*(t for layer in heavy for t in (*layer.takes, *layer.gives))} == {NARROW[precision]}
    sums = {node.name for node in graph.graph.node if node.op_type in ("ReduceSum", "ReduceMean")}
    assert {layer.gives[0] for layer in built.layers if layer.kind == "REDUCE" and layer.name in sums} <= {"FLOAT"}
    norms = [layer for layer in built.layers if layer.kind == "NORMALIZATION"]
    assert len(norms) == sum(node.op_type == "InstanceNormalization" for node in graph.graph.node)
    assert all(set(layer.takes) == {"FLOAT"} for layer in norms)
    casts = [c for c in built.layers if c.kind == "CAST" and {*c.takes, *c.gives} <= FLOATS and c.takes != c.gives]
    assert len(casts) == len(border_casts(graph))
    assert not [layer for layer in built.layers if layer.kind.startswith("PLUGIN")], "a fallback"


@needs_rtx
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_every_exported_graph_parses_with_the_types_that_were_meant(exported, precision: str) -> None:
    path = exported[1].path
    library = RTX.bindings()
    model = retyped(onnx.load(path), precision).SerializeToString()
    log = Log.of(library)
    network, _parser = parse(library, model, log)
    expect_types(Built(blob=b"", layers=describe(network), warnings=()), path, precision)
    assert list(log.heard.warnings) == []
    ports = {network.get_input(i).name: network.get_input(i).dtype.name for i in range(network.num_inputs)}
    assert ports == {"photo": "UINT8", "boxes": "INT32", "matte": "UINT8"}
    assert network.get_output(0).dtype.name == "UINT8"


@needs_rtx
@pytest.mark.parametrize(("model", "precision", "capability"), [("lite", "fp16", "8.9"), ("matte", "fp32", "12.0")])
def test_a_shipped_model_becomes_a_plan_without_a_gpu(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: str, precision: str, capability: str
) -> None:
    out = tmp_path / "built.plan"
    command = [model, "--precision", precision, "--compute-capability", capability, "--batch", "8", "--out", str(out)]
    assert main(command) == 0
    printed = capsys.readouterr().out
    for words in (precision, "TF32 off", f"capability {capability}", "batch 1 to 8", "tensorrt_rtx"):
        assert words in printed
    assert "warning" not in printed
    plan = read_plan(out)
    assert plan.manifest == read_manifest(catalogue.MODELS / f"{model}.onnx")
    assert (plan.key.compute_capability, plan.key.precision, plan.key.batch) == (capability, precision, 8)
    assert plan.blob[:4] != b"\0\0\0\0"
    assert len(plan.blob) > 1_000_000


@needs_rtx
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_the_paper_with_the_statistics_of_each_picture_becomes_a_plan(exported, precision: str) -> None:
    done = exported[1]
    if (done.manifest.preset, done.manifest.norm) != ("paper", "instance"):
        pytest.skip("one of each kind is enough here; make soak builds them all")
    _, built = build(done.path, precision)
    assert len(built.blob) > 100_000
    assert f"convolutions and products in {NARROW[precision].lower()}" in summary(built.layers)


@needs_rtx
def test_bf16_without_transposed_convolutions_is_refused_in_words(exported) -> None:
    done = exported[1]
    if done.manifest.preset != "paper":
        pytest.skip("the narrow presets have none")
    with pytest.raises(ModelError, match=r"cannot build this graph: .*bf16 has no transposed convolutions, use fp16"):
        build(done.path, "bf16")


@needs_rtx
@pytest.mark.soak
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
def test_branches_side_by_side_become_a_plan(tmp_path: Path, exported, precision: str) -> None:
    from engines.export import export_drawing

    done = exported[1]
    path = export_drawing(done.path.with_suffix(".safetensors"), tmp_path / "g.onnx", branches="grouped").path
    _, built = build(path, precision)
    expect_types(built, path, precision)
    assert len(built.blob) > 100_000


@needs_rtx
@pytest.mark.soak
@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("precision", ["fp16", "fp32"])
@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("preset", ["lite", "studio", "paper"])
def test_every_preset_at_its_full_width_becomes_a_plan(
    full_width, preset: str, norm: str, precision: str, capability: str
) -> None:
    path = full_width(preset, norm)
    key, built = build(path, precision, capability)
    expect_types(built, path, precision)
    assert built.warnings == ()
    assert (key.compute_capability, key.batch, key.tf32) == (capability, 8, False)
    size = {"lite": 2e6, "studio": 6e6, "paper": 1e8}[preset]
    assert len(built.blob) > size


@needs_rtx
def test_a_graph_that_cannot_be_parsed_names_its_node_also_while_another_is_built(tmp_path: Path) -> None:
    library = RTX.bindings()
    other = Log.of(library)
    model = tiny_graph("drawing")
    model.graph.node[2].op_type = "Convolute"
    path = write(tmp_path / "odd.onnx", model, MANIFEST)
    with pytest.raises(ModelError, match=r"odd\.onnx: .* cannot parse this graph: .*Convolute") as caught:
        build(path, "fp32")
    assert "\n" not in str(caught.value)
    assert [line for line in other.heard.errors if "Convolute" in line] or not other.heard.errors
    assert "does not say why" not in str(caught.value)


@needs_rtx
@pytest.mark.parametrize(("argument", "words"), [("9.0", "expected one that .* builds for: 7.5"), ("x", "builds for")])
def test_an_unknown_gpu_is_answered_with_the_known_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argument: str, words: str
) -> None:
    import re

    assert main(["lite", "--compute-capability", argument, "--out", str(tmp_path / "x.plan")]) == 2
    assert re.search(words, capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "no such file"),
        (["lite", "--batch", "0"], "--batch of 1 or more"),
        (["lite", "--backend", "tensorrt"], "not installed; pip install tensorrt-cu13"),
    ],
)
def test_what_cannot_be_built_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    hide(monkeypatch, "tensorrt")
    if RTX.missing() is not None and "tensorrt" not in arguments:
        words = "not installed" if "--batch" not in arguments else words
    assert main([*arguments, "--out", str(tmp_path / "x.plan")]) == 2
    printed = capsys.readouterr().err.strip()
    assert words in printed
    assert "\n" not in printed
    assert main(["lite", "--out", str(tmp_path / "x.onnx")]) == 2
    assert "ends in .plan" in capsys.readouterr().err


# -- plan files and their cache ----------------------------------------------------------------------------------------

KEY = PlanKey(
    model_sha256="ab" * 32,
    backend="tensorrt_rtx",
    version="1.5.0.114",
    compute_capability="8.9",
    precision="fp16",
    batch=16,
    tf32=False,
    aux_streams=0,
)
STALE = [
    ({"model_sha256": "cd" * 32}, "built from another model file"),
    ({"version": "1.4"}, "built by version 1.4, this is 1.5.0.114"),
    ({"compute_capability": "8.6"}, "built for compute capability 8.6, expected 8.9"),
    ({"batch": 4}, "batches up to 4, expected 16"),
    ({"tf32": True}, "TF32 on, expected off"),
    ({"system": "win32-amd64"}, "built on win32-amd64"),
]


@pytest.fixture(scope="session")
def real_plan() -> Plan:
    """A plan of the shipped matte model: the library's own bytes where it is installed."""
    model = catalogue.MODELS / "matte.onnx"
    manifest = read_manifest(model)
    if RTX.missing() is not None:
        return Plan(key=KEY, manifest=manifest, blob=bytes(range(256)) * 400)
    key, built = build(model, "fp16", batch=16)
    return Plan(key=dataclasses.replace(KEY, model_sha256=key.model_sha256), manifest=manifest, blob=built.blob)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("APDRAWING_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


class Builder:
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self.built = 0
        self.heard: list[str] = []

    def get(self, key: PlanKey | None = None) -> Plan:
        def build(_name: str, _why: str) -> bytes:
            self.built += 1
            return self._plan.blob

        plan = self._plan
        return cached(key or plan.key, plan.manifest, name="net", build=build, say=self.heard.append)[0]


def test_a_plan_survives_the_disk(tmp_path: Path, real_plan: Plan) -> None:
    path = tmp_path / "a.plan"
    write_plan(path, real_plan)
    assert read_plan(path) == real_plan
    assert [p.name for p in tmp_path.iterdir()] == ["a.plan"]


def test_a_plan_is_built_once_and_then_taken_from_the_cache(cache: Path, real_plan: Plan) -> None:
    builder = Builder(real_plan)
    assert builder.get() == real_plan
    assert builder.get() == real_plan
    assert builder.built == 1
    assert builder.heard == ["plan net-tensorrt_rtx-fp16.plan: there is none yet; building it"]
    assert [path.name for path in cache.iterdir()] == ["net-tensorrt_rtx-fp16.plan"]


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(("change", "words"), STALE)
def test_a_stale_or_foreign_plan_is_built_again_with_the_reason(real_plan: Plan, change: dict, words: str) -> None:
    builder = Builder(real_plan)
    builder.get(dataclasses.replace(real_plan.key, **change))
    builder.get()
    builder.get()
    assert builder.built == 2
    assert words in builder.heard[1]


def test_a_plan_that_was_cut_short_or_altered_anywhere_is_refused(tmp_path: Path, real_plan: Plan) -> None:
    path = tmp_path / "a.plan"
    write_plan(path, real_plan)
    whole = path.read_bytes()
    for length in (9, 39, 45, 300, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match="cut short or altered"):
            read_plan(path)
    for at in (8, 39, 40, 43, 44, 60, 200, len(whole) // 2, len(whole) - 1):
        flipped = bytearray(whole)
        flipped[at] ^= 1 << at % 8
        path.write_bytes(flipped)
        with pytest.raises(ModelError, match="cut short or altered"):
            read_plan(path)
    for data in (b"", b"APD", b"something else altogether", whole[1:]):
        path.write_bytes(data)
        with pytest.raises(ModelError, match="not a plan of this program"):
            read_plan(path)


def test_a_damaged_plan_in_the_cache_is_built_again(cache: Path, real_plan: Plan) -> None:
    builder = Builder(real_plan)
    builder.get()
    path = cache / "net-tensorrt_rtx-fp16.plan"
    path.write_bytes(path.read_bytes()[:-7])
    assert builder.get() == real_plan
    assert builder.built == 2
    assert "cut short or altered since it was written" in builder.heard[1]
    assert read_plan(path) == real_plan


def test_a_cache_that_cannot_be_written_costs_a_build_and_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_plan: Plan
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("APDRAWING_CACHE", str(tmp_path / "file" / "cache"))
    builder = Builder(real_plan)
    assert builder.get() == real_plan
    assert "not kept, the next start builds it again" in builder.heard[1]


def test_the_key_knows_what_the_weights_alone_do_not(tmp_path: Path) -> None:
    """Two exports of the same weights with another crest are two models."""
    path = catalogue.MODELS / "lite.onnx"
    model = onnx.load(path)
    scalars = [tensor for tensor in model.graph.initializer if not tensor.dims and tensor.data_type == 1]
    scalars[0].raw_data = b"\0\0\x40\x40"
    other = tmp_path / "other.onnx"
    onnx.save(model, other)
    assert read_manifest(path).weights_sha256 == read_manifest(other).weights_sha256
    assert plans.file_sha256(path) != plans.file_sha256(other)


GPU = Gpu(name="a GPU", compute_capability=(8, 9), memory=1 << 34, cuda=(13, 0))


@needs_rtx
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"compute_capability": "8.6"}, "built for compute capability 8.6, expected 8.9"),
        ({"version": "1.4"}, "built by version 1.4"),
        ({"backend": "tensorrt"}, "built by tensorrt, this is tensorrt_rtx"),
    ],
)
def test_a_plan_that_is_given_and_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_plan: Plan, change: dict, words: str
) -> None:
    monkeypatch.setattr("engines.backends.trt.no_gpu", lambda: None)
    monkeypatch.setattr("engines.backends.trt.cuda_runtime.probe", lambda: None)
    monkeypatch.setattr("engines.backends.trt.find_gpu", lambda: GPU)
    path = tmp_path / "given.plan"
    write_plan(path, dataclasses.replace(real_plan, key=dataclasses.replace(real_plan.key, **change)))
    with pytest.raises(EngineError, match=f"{words}.*; build it here with python -m engines.build"):
        engines.load_matte(path, "tensorrt_rtx")
    with pytest.raises(ModelError, match="expected a drawing model, got a matte model"):
        engines.load(path, "tensorrt_rtx")


@needs_rtx
def test_a_plan_serves_its_own_gpu_and_one_for_all_serves_any(real_plan: Plan) -> None:
    library = RTX.bindings()
    assert RTX.refusal(real_plan.key, GPU, library) is None
    assert RTX.refusal(dataclasses.replace(real_plan.key, compute_capability="portable"), GPU, library) is None
    assert mismatch(real_plan.key, real_plan.key) is None


@needs_rtx
def test_a_gpu_newer_than_the_library_gets_a_plan_for_all() -> None:
    path = catalogue.MODELS / "matte.onnx"
    assert RTX.key(path, "fp16", gpu=GPU).compute_capability == "8.9"
    newer = dataclasses.replace(GPU, compute_capability=(13, 1))
    assert RTX.key(path, "fp16", gpu=newer).compute_capability == "portable"


@pytest.fixture(scope="module")
def full_width(tmp_path_factory: pytest.TempPathFactory):
    """(preset, norm) -> an exported file of the preset's own width, made once."""
    from apdgan.config import _PRESETS

    made: dict[tuple[str, str], Path] = {}

    def make(preset: str, norm: str) -> Path:
        if (preset, norm) not in made:
            folder = tmp_path_factory.mktemp("full")
            made[preset, norm] = export(folder, preset, norm, _PRESETS[preset][1])[1].path
        return made[preset, norm]

    return make
