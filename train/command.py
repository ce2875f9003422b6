"""What the training commands share on the command line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from train.config import RunConfig, read_config
from train.distributed import World
from train.run import Run
from train.task import Task


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The TOML file, and what may be said differently beside it."""
    parser.add_argument("run_file", type=Path, metavar="RUN.toml", help="settings, see train/config.py")
    parser.add_argument("--out", help="run folder; a run found there goes on")
    parser.add_argument("--minutes", type=float, help="time box of the whole run")
    parser.add_argument("--steps", type=int, help="optimiser steps of the whole run")
    parser.add_argument(
        "--set", action="append", default=[], metavar="TABLE.KEY=VALUE", help="any key of the file; may be repeated"
    )


def run_command(
    command: str,
    build: Callable[[RunConfig, World], Task],
    tables: Mapping[str, type[Any]],
    args: argparse.Namespace,
) -> int:
    """Read the settings, build the task, train. Returns the exit code.

    Raises:
        ValueError, OSError: one line for the user.
    """
    config = read_config(args.run_file, tables, args.set, out=args.out, minutes=args.minutes, steps=args.steps)
    return train(command, build, config)


def train(command: str, build: Callable[[RunConfig, World], Task], config: RunConfig) -> int:
    """The same from settings already read."""
    world = World.join(config.run.device)
    try:
        if config.run.threads:
            torch.set_num_threads(config.run.threads)
        torch.manual_seed(config.run.seed)
        facts = {"model": json.dumps(config.model.network().to_dict())}
        run = Run(build(config, world), config, world, command=command, facts=facts)
        return run.go()
    except torch.OutOfMemoryError:
        raise ValueError(
            f"the device's memory is too small for [run] batch {config.run.batch}; halve it and double [run] accumulate"
        ) from None
    finally:
        world.leave()
