"""Some steps of plain gradient descent in this process's share of the world; run by test_distributed with torchrun."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from apdgan.alignment import TEMPLATE, boxes
from apdgan.config import preset
from apdgan.generator import HierarchicalGenerator
from train.distributed import World, share_batch_norm

STEPS, LR = 4, 0.1


def main(batch: int, out: Path) -> None:
    """Train on ``batch`` pictures of every step's ``batch * world.size``; the first process writes the weights."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    world = World.join("cpu")
    model = HierarchicalGenerator(preset("lite", width=8))
    start = {key: value.clone() for key, value in model.state_dict().items()}
    if world.size > 1:
        share_batch_norm(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=LR)
    corners = torch.from_numpy(boxes(TEMPLATE))[None].expand(batch, -1, -1)
    matte = torch.ones(batch, 1, 512, 512)
    for step in range(STEPS):
        everything = torch.rand(2, 4, 512, 512, generator=torch.Generator().manual_seed(step)) * 2 - 1
        mine = everything[world.rank * batch : (world.rank + 1) * batch]
        loss = F.mse_loss(model(mine[:, :3], corners, matte).fused, mine[:, 3:])
        optimizer.zero_grad()
        loss.backward()
        world.average_gradients(model.parameters())
        optimizer.step()
    if world.first:
        now = model.state_dict()
        moved = torch.stack([(now[key] - start[key]).abs().max() for key, _ in model.named_parameters()]).max()
        save_file({key: value.contiguous() for key, value in now.items()} | {"moved": moved}, out)
    world.leave()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
