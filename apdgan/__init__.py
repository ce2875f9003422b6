"""APDrawingGAN (Yi et al., CVPR 2019): the hierarchical portrait-drawing generator.

Everything but :mod:`apdgan.alignment` needs torch, so the torch names are imported on first use: a machine that only
draws (``realtime`` and ``engines`` without torch) can import this package for its geometry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apdgan.config import ModelConfig as ModelConfig
    from apdgan.config import preset as preset
    from apdgan.drawer import PortraitDrawer as PortraitDrawer
    from apdgan.generator import HierarchicalGenerator as HierarchicalGenerator

_HOMES = {
    "ModelConfig": "apdgan.config",
    "preset": "apdgan.config",
    "HierarchicalGenerator": "apdgan.generator",
    "PortraitDrawer": "apdgan.drawer",
}
__all__ = ["HierarchicalGenerator", "ModelConfig", "PortraitDrawer", "preset"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'apdgan' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
