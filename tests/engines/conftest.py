"""A tiny model of each kind, and photos to run them on."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
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
