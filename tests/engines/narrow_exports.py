"""Both presets, narrow, in both norms, with random weights that leave ink and paper in the drawing; exported."""

from __future__ import annotations

from pathlib import Path

CASES = [("lite", "batch", 8), ("lite", "instance", 8), ("paper", "batch", 4), ("paper", "instance", 4)]


def make_generator(name: str, norm: str, width: int):
    """A generator in eval mode with random weights and running statistics."""
    import torch

    from apdgan.config import preset
    from apdgan.generator import HierarchicalGenerator

    torch.manual_seed(5)
    generator = HierarchicalGenerator(preset(name, norm=norm, width=width))
    for module in generator.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.05, 0.5)
    return generator.eval()


def export(folder: Path, name: str, norm: str, width: int):
    """(generator, what was exported): net.safetensors and net.onnx in the folder."""
    from apdgan.checkpoint import save
    from engines.export import export_drawing

    generator = make_generator(name, norm, width)
    save(folder / "net.safetensors", generator, {"style": "noise", "licence": "Apache-2.0", "data": "none"})
    return generator, export_drawing(folder / "net.safetensors", folder / "net.onnx", stated={"version": "3"})
