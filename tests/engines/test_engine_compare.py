"""The figures that say whether two drawings are the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from engines.compare import difference, ink_iou, worst

PAPER = np.full((10, 10), 255, np.uint8)


def with_ink(rows: slice, grey: int = 0) -> np.ndarray:
    drawing = PAPER.copy()
    drawing[rows] = grey
    return drawing


def test_figures_are_pythons_own_for_what_comes_of_them_is_written_into_files() -> None:
    off = difference(with_ink(slice(0, 4)), with_ink(slice(2, 6)))
    assert [type(getattr(off, f.name)) for f in dataclasses.fields(off)] == [int, float, float, float]


def test_ink_iou_is_the_share_of_ink_in_common() -> None:
    assert ink_iou(with_ink(slice(0, 4)), with_ink(slice(2, 6))) == pytest.approx(2 / 6)
    assert ink_iou(PAPER, PAPER) == 1
    assert ink_iou(PAPER, with_ink(slice(0, 1))) == 0


def test_grey_from_128_is_paper() -> None:
    assert ink_iou(with_ink(slice(0, 4), 127), with_ink(slice(0, 4))) == 1
    assert ink_iou(with_ink(slice(0, 4), 128), with_ink(slice(0, 4))) == 0


def test_differences_do_not_wrap_around_in_uint8() -> None:
    found = difference(with_ink(slice(0, 1)), PAPER)
    assert found.max == 255
    assert found.mean == pytest.approx(25.5)
    assert found.off_by_more_than_2 == pytest.approx(0.1)


def test_two_levels_off_are_not_more_than_two() -> None:
    assert difference(with_ink(slice(0, 1), 253), PAPER).off_by_more_than_2 == 0
    assert difference(with_ink(slice(0, 1), 252), PAPER).off_by_more_than_2 == pytest.approx(0.1)


def test_the_worst_photo_counts() -> None:
    good, bad = difference(PAPER, PAPER), difference(with_ink(slice(0, 1)), PAPER)
    assert worst([good, bad, good]) == bad
