"""The GPU check's TensorRT with branches side by side: real plans, timed by a stand-in, as there is no GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import engine as timing
from benchmarks import trt_branches
from engines.backends.trt import VARIANTS
from engines.gpu import no_gpu
from engines.manifest import read_manifest
from engines.plans import read_plan

pytest.importorskip("onnx", reason="building plans needs onnx")
pytestmark = pytest.mark.skipif(
    VARIANTS["tensorrt_rtx"].missing() is not None, reason="needs the TensorRT-RTX wheels (extra gpu-rtx)"
)
BACKENDS = ("inductor-fp16", "tensorrt_rtx-fp16", "tensorrt_rtx-fp32")


one_model = pytest.mark.parametrize("exported", [("paper", "batch", 4)], indirect=True, ids=["paper"])


@one_model
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.soak)])
def test_branches_are_grouped_in_the_graph_or_given_streams_of_the_plan(
    exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    model = exported[1].path
    seen: dict[str, int] = {}

    def measured(path: Path, backend: str, batches, **_rest: object) -> list[dict]:
        assert (backend, batches) == ("tensorrt_rtx-fp16", (1, 16))
        if path.suffix == ".plan":
            key = read_plan(path).key
            assert (key.precision, key.batch) == ("fp16", 16)
            seen[path.stem] = key.aux_streams
        else:
            import onnx

            nodes = onnx.load(path).graph.node
            groups = [a.i for node in nodes for a in node.attribute if a.name == "group" and "Conv" in node.op_type]
            seen[path.stem] = max(groups)
        return [{"model": path.stem, "engine": "tensorrt_rtx fp16", "batch": 1, "ms_p50": 1.0}]

    if not whole:  # exporting once more takes long
        monkeypatch.setattr(trt_branches, "_grouped", lambda *_what: model)
    monkeypatch.setattr(timing, "measure", measured)
    report: dict = {"rows": [], "models": {}, "passed_over": {}}
    trt_branches.note(report, [model, tmp_path / "without.onnx"], BACKENDS, lambda: 60.0)
    grouped, groups = ("net-grouped", 4) if whole else ("net", 1)
    assert seen == {grouped: groups, "net-streams": trt_branches.STREAMS}
    assert [row["model"] for row in report["rows"]] == [grouped, "net-streams"]
    known = read_manifest(model)
    assert report["models"]["net-streams"] == {"preset": "paper", "gmac": known.gmac}
    assert report["passed_over"] == {}


@one_model
def test_without_a_gpu_or_time_the_reason_is_told(exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if no_gpu() is None:
        pytest.skip("a GPU is here")
    model = exported[1].path
    monkeypatch.setattr(trt_branches, "_grouped", lambda *_what: model)
    left = iter([1.0, 0.0])
    rows, passed = trt_branches.measure(model, BACKENDS, (1,), folder=tmp_path, seconds=0.1, left=lambda: next(left))
    assert rows == []
    assert "driver" in passed["net-grouped, tensorrt_rtx-fp16"]
    assert passed["net-streams, tensorrt_rtx-fp16"] == "out of time"
