"""Several pictures on one sheet."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.contact_sheet import GAP, contact_sheet, evenly
from realtime.core import Frame


def frames(count: int) -> list[Frame]:
    return [Frame(image=np.full((90, 160, 3), 10 * i, np.uint8), index=i, captured=float(i)) for i in range(count)]


@pytest.mark.parametrize(
    ("total", "picked"), [(8, [0, 1, 2, 3, 4, 5, 6, 7]), (15, [0, 2, 4, 6, 8, 10, 12, 14]), (1, [0])]
)
def test_pictures_are_spread_from_the_first_to_the_last(total: int, picked: list[int]) -> None:
    assert [frame.index for frame in evenly(frames(total), total=total, count=8)] == picked


def test_pictures_read_left_to_right_then_down() -> None:
    sheet = contact_sheet(frames(6), columns=4, width=160).image
    assert sheet.shape == (GAP + 2 * (90 + GAP), GAP + 4 * (160 + GAP), 3)
    seen = [int(sheet[GAP + 45 + i // 4 * (90 + GAP), GAP + 80 + i % 4 * (160 + GAP), 0]) for i in range(6)]
    assert seen == [0, 10, 20, 30, 40, 50]
    assert sheet[-1, -1, 0] == 255


def test_nothing_makes_no_sheet() -> None:
    with pytest.raises(ValueError, match="at least one"):
        contact_sheet([])
