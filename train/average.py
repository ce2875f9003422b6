"""The mean of checkpoints that were trained one from the other: ``python -m train average A B --out C``.

Runs that go on from one another lie in one valley, and the mean of their weights draws at least as well and steadier
than either ("model soups", Wortsman et al., ICML 2022). The settings of the last step (crest, knee) are those of the
first one named.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from apdgan import checkpoint
from apdgan.generator import HierarchicalGenerator
from engines.runs import open_run

RIGHTS = ("licence", "data", "data_rights")


def average(sources: Sequence[Path], shares: Sequence[float]) -> tuple[HierarchicalGenerator, dict[str, str]]:
    """Mean of generators, tensor by tensor, running statistics included.

    Args:
        sources: run folders or checkpoints, two or more.
        shares: one for each, above 0; only their proportions count.
    Returns:
        The generator in eval mode, and what the first checkpoint says of itself.
    Raises:
        ValueError: fewer than two, a share that is none, networks of different settings, or rights that differ.
    """
    if len(sources) < 2 or len(shares) != len(sources) or min(shares) <= 0:
        raise ValueError(
            f"expected two checkpoints or more and a share above 0 for each, got {len(sources)} and shares "
            f"{', '.join(f'{share:g}' for share in shares) or 'none'}"
        )
    files = [open_run(source).weights for source in sources]
    generators = [checkpoint.load(file) for file in files]
    words = [checkpoint.read_extra(file) for file in files]
    first = generators[0]
    for file, other, said in zip(files[1:], generators[1:], words[1:], strict=True):
        if _body(other) != _body(first):
            raise ValueError(f"{file}: expected the network of {files[0]}, got another preset, width or norm")
        if _rights(said) != _rights(words[0]):
            raise ValueError(
                f"{file}: expected the licence and data that {files[0]} states, got others; say in both runs' [card] "
                f"what holds for the mean"
            )
    states = [one.state_dict() for one in generators]
    whole = sum(shares)
    with torch.no_grad():
        mean = {
            key: torch.stack(
                [state[key].double() * (share / whole) for state, share in zip(states, shares, strict=True)]
            )
            .sum(0)
            .to(value.dtype)
            for key, value in states[0].items()
        }
    first.load_state_dict(mean)
    return first.eval(), words[0]


def _body(generator: HierarchicalGenerator) -> dict[str, object]:
    """Its settings but for the last step's."""
    fusion = replace(generator.config.fusion, crest=0.0, knee=0.0, along=False)
    return replace(generator.config, fusion=fusion).to_dict()


def _rights(said: Mapping[str, str]) -> list[str | None]:
    return [said.get(key) for key in RIGHTS]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m train average``."""
    parser.add_argument("sources", nargs="+", type=Path, metavar="RUN", help="run folder or checkpoint")
    parser.add_argument("--shares", nargs="+", type=float, metavar="SHARE", help="of each; default: all alike")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the .safetensors to write")


def main(args: argparse.Namespace) -> int:
    """Run from parsed options."""
    generator, words = average(args.sources, args.shares or [1.0] * len(args.sources))
    checkpoint.save(args.out, generator, words)
    print(f"{args.out}: mean of {len(args.sources)}; next: python -m engines.export {args.out}")
    return 0
