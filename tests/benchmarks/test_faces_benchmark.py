"""Who is where in mosaics and walks, what is counted of ids, and what one more face costs."""

import numpy as np
import pytest

from benchmarks import faces
from benchmarks.faces import Clock, slopes, table
from benchmarks.mosaics import HEIGHT, WALL, WIDTH, Mosaic, covering, grid, to_and_fro
from benchmarks.people import SIDE, WALKS, Head, Spot, picture, there, whose
from benchmarks.who import Who
from realtime.core import Portrait


def portrait(face_id: int, x: float, y: float = 100.0) -> Portrait:
    return Portrait(
        photo=np.zeros((512, 512, 3), np.uint8),
        landmarks=np.zeros((5, 2), np.float32),
        matte=np.zeros((512, 512), np.uint8),
        matrix=np.array([[1, 0, 256 - x], [0, 1, 256 - y]], np.float32),
        face_id=face_id,
    )


def left_or_right(x: float, y: float) -> int:  # noqa: ARG001
    return int(x >= 500)


@pytest.mark.parametrize(("count", "tiles"), [(1, (1, 1)), (2, (2, 1)), (5, (3, 2)), (8, (4, 2))])
def test_tiles_hold_everybody_on_a_wide_page(count: int, tiles: tuple[int, int]) -> None:
    assert grid(count) == tiles
    assert Mosaic.tile(count) == (WIDTH // tiles[0], HEIGHT // tiles[1])


def test_everybody_has_a_tile_and_what_is_left_over_is_wall() -> None:
    width, height = Mosaic.tile(5)
    mosaic = Mosaic([[np.full((height, width, 3), 10 * n, np.uint8)] for n in range(3)], tiles=5)
    page = mosaic.picture(7)
    for n in range(5):
        x, y = (n % 3 + 0.5) * width, (n // 3 + 0.5) * height
        assert page[int(y), int(x), 0] == (10 * n if n < 3 else WALL)
        assert mosaic.whose(x, y) == n
    assert mosaic.whose(-5, HEIGHT + 50) == 3


def test_a_picture_covers_its_tile_without_being_stretched() -> None:
    image = np.zeros((100, 400, 3), np.uint8)
    image[:, 150:250] = 200
    found = covering(image, (100, 100))
    assert found.shape == (100, 100, 3)
    assert (found == 200).all()


def test_a_clip_turns_round_at_its_ends() -> None:
    assert [to_and_fro(4, index) for index in range(10)] == [0, 1, 2, 3, 2, 1, 0, 1, 2, 3]
    assert [to_and_fro(1, index) for index in range(3)] == [0, 0, 0]


def test_ids_that_stay_are_no_swap_and_one_that_changes_hands_is() -> None:
    who = Who(2)
    for _ in range(5):
        who.add([portrait(0, 100), portrait(1, 900)], left_or_right)
    assert who.figures() == {"found": 1.0, "most_ids": 1, "swaps": 0, "strays": 0, "longest_wait": 0}
    who.add([portrait(1, 100), portrait(0, 900)], left_or_right)
    assert who.figures()["swaps"] == 2
    assert who.figures()["most_ids"] == 2


def test_a_loss_is_counted_by_its_length_and_the_new_id_by_its_person() -> None:
    who = Who(2)
    for index in range(10):
        lost = 3 <= index < 7
        found = [portrait(0, 100), *([] if lost else [portrait(1 if index < 3 else 2, 900)])]
        who.add(found, left_or_right)
    assert who.figures() == {"found": 0.8, "most_ids": 2, "swaps": 0, "strays": 0, "longest_wait": 4}


def test_who_is_not_there_is_not_missed_and_a_face_of_nobody_is_a_stray() -> None:
    who = Who(2)
    who.add([portrait(0, 100), portrait(1, 900)], lambda x, _: 0 if x < 500 else None, there=[0])
    assert who.figures() == {"found": 1.0, "most_ids": 1, "swaps": 0, "strays": 1, "longest_wait": 0}


def test_in_a_walk_it_is_known_who_is_where_but_not_where_two_are_one_behind_the_other() -> None:
    apart, behind = [Spot(x=300, y=300), Spot(x=900, y=300)], [Spot(x=300, y=300), Spot(x=330, y=300)]
    assert [whose(apart, x, 310) for x in (290, 880, 600)] == [0, 1, None]
    assert whose(behind, 315, 300) is None
    assert there(apart) == [0, 1]
    assert there(behind) == [0]
    assert there([Spot(x=20, y=300), Spot(x=900, y=300)]) == [1]


def test_the_first_walks_in_front_and_who_is_beyond_the_border_is_not_seen() -> None:
    heads = [
        [Head(photo=np.full((SIDE, SIDE, 3), grey, np.uint8), cover=np.ones((SIDE, SIDE, 1), np.float32))]
        for grey in (10, 250)
    ]
    page = picture(heads, [Spot(x=400, y=300), Spot(x=500, y=300)], 3)
    assert page.shape == (HEIGHT, WIDTH, 3)
    assert [page[300, x, 0] for x in (400, 590, 640, 900)] == [10, 10, 250, WALL]
    assert (picture(heads, [Spot(x=-900, y=300), Spot(x=WIDTH + 900, y=300)], 0) == WALL).all()


@pytest.mark.parametrize("name", WALKS)
def test_walks_are_smooth(name: str) -> None:
    """Nobody goes faster than some 25 px a frame."""
    path, seconds = WALKS[name]
    places = np.array([[(spot.x, spot.y) for spot in path(index / 30)] for index in range(round(30 * seconds))])
    assert np.abs(np.diff(places, axis=0)).max() < 25


def test_one_more_face_is_told_by_the_slope_beside_one_face() -> None:
    told = {
        n: {"stages": {name: {"ms": 10 + 6 * n, "cpu_ms": 20.0 * n} for name in (*faces.STAGES, "frame")}}
        for n in (1, 2, 5)
    }
    found = slopes(told)["frame"]
    assert found["ms"] == pytest.approx(6)
    assert found["ms_share"] == pytest.approx(6 / 16)
    assert found["cpu_ms_share"] == pytest.approx(1.0)
    assert slopes({2: told[2], 5: told[5]}) == {}


def test_a_frame_is_the_sum_of_its_stages_and_one_without_a_stage_counts_nothing_for_it() -> None:
    clock = Clock()
    clock.frames = [{"track": (8.0, 4.0), "draw": (10.0, 20.0)}, {"track": (8.0, 4.0)}, {"track": (8.0, 4.0)}]
    told = clock.figures()
    assert told["frame"]["ms"] == 8.0
    assert told["frame"]["ms_p95"] > 15
    assert told["smooth"]["ms"] == 0
    with clock.stage("smooth"):
        pass
    assert "smooth" in clock.frames[-1]


def test_the_table_tells_times_ids_and_the_slope() -> None:
    stages = {name: {"ms": 2.0, "ms_p95": 3.0, "cpu_ms": 4.0} for name in (*faces.STAGES, "frame")}
    who = {"found": 1.0, "most_ids": 1, "swaps": 0, "strays": 0, "longest_wait": 7}
    told = {n: {"stages": stages, "ids": who} for n in (1, 2)}
    text = table(
        {
            "machine": {"date": "2026-01-01", "cpu": "", "cores": 2, "load": 0, "system": "", "python": ""},
            "engine": "fake",
            "layout": "inplace",
            "command": "",
            "crowd": {"frames": 30, "tile": [320, 360], "counts": told, "slope": slopes(told)},
            "walks": {"cross": who},
        }
    )
    assert "| 2 | 2.0 / 3.0 (4.0) |" in text
    assert "| cross | 100% | 1 | 0 | 7 | 0 |" in text
    assert "one more face takes" in text


@pytest.mark.parametrize("counts", ["", "0,1", "2,9", "two"])
def test_counts_that_make_no_sense_are_refused_in_words(counts: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert faces.main(["a.mp4", "--counts", counts]) == 2
    assert "--counts: expected numbers of 1 to 8" in capsys.readouterr().err
