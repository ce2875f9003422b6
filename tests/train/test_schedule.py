"""The learning rate of every step."""

from __future__ import annotations

from itertools import pairwise

import pytest

from train.schedule import paper_lr, rate
from train.task import Moment


def moment(step: int = 0, progress: float = 0.0, epoch: int = 1, epochs: int = 0) -> Moment:
    return Moment(step=step, progress=progress, epoch=epoch, epochs=epochs)


def test_the_paper_learns_at_one_rate_until_its_last_epoch_where_it_learns_nothing() -> None:
    assert {paper_lr(epoch) for epoch in range(1, 300)} == {2e-4}
    assert paper_lr(300) == 0.0
    assert paper_lr(301) == 0.0


def test_the_paper_s_decay_is_a_line_to_nothing() -> None:
    rates = [paper_lr(epoch, 100, 100) for epoch in range(1, 201)]
    assert rates[:99] == [2e-4] * 99
    assert rates[99] == pytest.approx(2e-4 * 100 / 101)
    assert all(a > b for a, b in pairwise(rates[98:]))
    assert rates[-1] == 0.0


def test_an_epoch_is_counted_from_one() -> None:
    with pytest.raises(ValueError, match="epoch >= 1"):
        paper_lr(0)


def test_a_stage_in_epochs_follows_the_paper_and_another_does_not_change() -> None:
    assert rate("paper", 1e-3, moment(epoch=4, epochs=5)) == 1e-3
    assert rate("paper", 1e-3, moment(epoch=5, epochs=5)) == 0.0
    assert rate("paper", 1e-3, moment(epoch=5)) == 1e-3
    assert rate("constant", 1e-3, moment(progress=1.0)) == 1e-3


def test_a_cosine_warms_up_and_goes_almost_to_nothing() -> None:
    assert rate("cosine", 1.0, moment(step=0)) == pytest.approx(1.005 / 200)
    assert rate("cosine", 1.0, moment(step=199)) == pytest.approx(1.005)
    assert rate("cosine", 1.0, moment(step=10_000, progress=0.5)) == pytest.approx(0.505)
    assert rate("cosine", 1.0, moment(step=10_000, progress=1.0)) == pytest.approx(0.005)
