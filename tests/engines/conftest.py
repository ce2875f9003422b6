"""A tiny model of each kind, and photos to run them on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from narrow_exports import CASES, export
from tiny_models import MANIFEST, Inputs, tiny_graph, write

from engines.samples import synthetic


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write(tmp_path / "tiny.onnx", tiny_graph("drawing"), MANIFEST)


@pytest.fixture
def tiny_matte(tmp_path: Path) -> Path:
    return write(tmp_path / "matte.onnx", tiny_graph("matte"), dataclasses.replace(MANIFEST, kind="matte"))


@pytest.fixture(scope="session")
def five() -> Inputs:
    """A batch of five synthetic portraits."""
    return synthetic("drawing", batch=5, seed=3)


@pytest.fixture(scope="session", params=CASES, ids=lambda case: "-".join(map(str, case)))
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """(generator, what was exported) of each case; a test that changes a file puts it back."""
    pytest.importorskip("torch", reason="exporting needs torch, a package for developers")
    pytest.importorskip("onnx", reason="exporting needs onnx, a package for developers")
    return export(tmp_path_factory.mktemp("export"), *request.param)
