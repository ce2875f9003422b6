"""What a run learns from: sample i of a stage is a pure function of (seed, stage, i), whoever makes it.

So a resumed run sees what an unbroken one would have seen, bit for bit, and neither the number of worker processes nor
that of training processes changes it.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from apdgan.alignment import boxes
from train.augment import Sample
from train.distributed import World

if TYPE_CHECKING:
    from train.dataset import Pairs

Item = dict[str, Any]
Change = Callable[[np.random.Generator, Sample], Sample]
More = Callable[[Sample], Mapping[str, NDArray[np.generic]]]


class Samples(Dataset[Item]):
    """Augmented samples of a stage, without end."""

    def __init__(
        self,
        pairs: Pairs,
        *,
        seed: int,
        stage: int,
        change: Change,
        more: More | None = None,
        drawings: Callable[[int], NDArray[np.uint8]] | None = None,
    ) -> None:
        """
        Args:
            pairs: where photos come from.
            seed, stage: with a sample's number, all that its randomness depends on.
            change: augmentation.
            more: further arrays of a sample, for instance the distances of its drawing.
            drawings: by pair number, in place of the pairs' own.
        """
        if not len(pairs):
            raise ValueError("data: expected at least one pair, got none; see 'python -m train prepare'")
        self.pairs, self.seed, self.stage = pairs, seed, stage
        self.change, self.more, self.drawings = change, more, drawings
        self._pass: tuple[int, NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    @property
    def count(self) -> int:
        """Pairs: samples of one epoch."""
        return len(self.pairs)

    def which(self, i: int) -> int:
        """The pair of sample i: every epoch is a shuffle of its own."""
        epoch, place = divmod(i, self.count)
        if self._pass[0] != epoch:
            self._pass = epoch, np.random.default_rng([self.seed, self.stage, epoch, 1]).permutation(self.count)
        return int(self._pass[1][place])

    def name(self, i: int) -> str:
        """The picture of sample i."""
        return str(self.pairs.names[self.which(i)])

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the pairs."""
        return self.pairs.fingerprint()

    def __getitem__(self, i: int) -> Item:
        try:
            return self._make(i)
        except (ValueError, OSError) as error:  # out of a worker process, an error would come with its traceback
            return {"fault": str(error)}

    def _make(self, i: int) -> Item:
        number = self.which(i)
        pair = self.pairs[number]
        drawing = pair.drawing if self.drawings is None else self.drawings(number)
        if drawing is None:
            raise ValueError(f"{pair.name}: expected a drawing beside the photo, got none; see 'train synthesize'")
        sample = Sample(photo=pair.photo, drawing=drawing, matte=pair.matte, points=np.asarray(pair.points))
        sample = self.change(np.random.default_rng([self.seed, self.stage, i, 0]), sample)
        item = {"photo": sample.photo, "drawing": sample.drawing, "matte": sample.matte, "number": i}
        return item | {"corners": boxes(sample.points), **(self.more(sample) if self.more else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """B samples on the device they are learnt on."""

    photo: Tensor
    """(B, 3, 512, 512) float32 in [-1, 1], channels last."""
    drawing: Tensor
    """(B, 1, 512, 512) float32 in [-1, 1], ink -1."""
    corners: Tensor
    """(B, 4, 2) int32, top-left x, y of the four part boxes."""
    matte: Tensor
    """(B, 1, 512, 512) float32 in 0..1, 1 = person."""
    numbers: tuple[int, ...]
    """Which samples of the stage."""
    more: Mapping[str, Tensor]
    """What the task asked for besides."""

    @property
    def fg(self) -> Tensor:
        """(B, 1, 512, 512) bool, the person."""
        return self.matte >= 0.5

    @property
    def ink(self) -> Tensor:
        """(B, 1, 512, 512) float32 in 0..1, 1 = ink."""
        return (1 - self.drawing) / 2

    @staticmethod
    def of(item: Mapping[str, Tensor], device: torch.device) -> Batch:
        """From collated samples."""
        moved = {key: value.to(device, non_blocking=True) for key, value in item.items() if key != "number"}
        photo = moved.pop("photo").permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
        drawing, matte = moved.pop("drawing").unsqueeze(1), moved.pop("matte").unsqueeze(1)
        return Batch(
            photo=photo.contiguous(memory_format=torch.channels_last),
            drawing=drawing.float().div_(127.5).sub_(1),
            corners=moved.pop("corners"),
            matte=matte.float().div_(255),
            numbers=tuple(int(n) for n in item["number"]),
            more=moved,
        )


class Share(Sampler[list[int]]):
    """The samples of one process: batch k of the run is cut into equal shares, in the order of ranks."""

    def __init__(self, *, start: int, batch: int, world: World) -> None:
        self.start, self.batch, self.world = start, batch, world

    def __iter__(self) -> Iterator[list[int]]:
        at = self.start + self.world.rank * self.batch
        while True:
            yield list(range(at, at + self.batch))
            at += self.batch * self.world.size


def batches(samples: Samples, *, start: int, batch: int, world: World, workers: int) -> Generator[Batch, None, None]:
    """Endless batches from sample ``start`` on."""
    cv2.setNumThreads(0)  # before workers are forked: a pool of threads does not survive that
    loader = DataLoader(
        samples,
        batch_sampler=Share(start=start, batch=batch, world=world),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        pin_memory=world.device.type == "cuda",
        worker_init_fn=_deaf if workers else None,
        collate_fn=_together,
    )
    for item in loader:
        if "fault" in item:
            raise ValueError(item["fault"])
        yield Batch.of(item, world.device)


def open_data(names: Sequence[str], *, drawings: bool = True) -> Pairs:
    """Pairs of several files and folders; see :func:`train.dataset.open_pairs`."""
    from train.dataset import open_pairs

    return open_pairs([Path(name) for name in names], drawings=drawings)


def _together(items: list[Item]) -> Item:
    faults = [item for item in items if "fault" in item]
    return faults[0] if faults else dict(default_collate(items))


def _deaf(_worker: int) -> None:
    """Ctrl-C is for the trainer, which then ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
