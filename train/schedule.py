"""Learning rates over a run."""

from __future__ import annotations

import math

from train.task import Moment

PAPER_LR = 2e-4
WARM_UP_STEPS = 200
"""Of the cosine: batch norm's statistics and Adam's are young."""


def paper_lr(epoch: int, niter: int = 300, niter_decay: int = 0, *, lr: float = PAPER_LR) -> float:
    """The paper's learning rate in an epoch (counted from 1): constant, then linear to 0.

    With the paper's 300 and 0 it is 2e-4 in epochs 1 to 299 and exactly 0 in epoch 300 (REFERENCE: a surprise kept).
    """
    if epoch < 1 or niter < 0 or niter_decay < 0:
        raise ValueError(f"expected epoch >= 1 and lengths >= 0, got {epoch}, {niter} and {niter_decay}")
    return lr * max(0.0, 1 - max(0, epoch + 1 - niter) / (niter_decay + 1))


def rate(schedule: str, lr: float, moment: Moment) -> float:
    """The learning rate of a step.

    ``cosine``: 200 steps of warm-up, then down to lr / 200 at the stage's end. ``paper``: :func:`paper_lr` over the
    stage's epochs. ``constant``: lr.
    """
    if schedule == "cosine":
        warm = min(1.0, (moment.step + 1) / WARM_UP_STEPS)
        return lr * warm * (0.5 + 0.5 * math.cos(math.pi * min(1.0, moment.progress)) + 0.005)
    if schedule == "paper" and moment.epochs:
        return paper_lr(moment.epoch, moment.epochs, lr=lr)
    return lr
