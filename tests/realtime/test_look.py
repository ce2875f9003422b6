"""Paper, ink, weight and chalk as they are seen on the page."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.core import ConfigError
from realtime.look import BOARD, CHALK, INKS, Look, parse_ink
from realtime.paper import Papers, checked_paper
from realtime.weight import weighed


def page(*widths: float, height: int = 720) -> NDArray[np.uint8]:
    """Upright lines of these widths on paper, 200 px apart."""
    fine = np.full((height, 2 * height), 255, np.uint8)
    for index, width in enumerate(widths):
        left = round((100 + 200 * index - width / 2) * 256)
        box = np.array([(left, -9999), (left + round(width * 256), 9_999_999)], np.int64)
        x = np.arange(fine.shape[1]) * 256
        covered = np.clip(np.minimum(x + 256, box[1, 0]) - np.maximum(x, box[0, 0]), 0, 256) / 256
        fine = np.minimum(fine, np.rint(255 * (1 - covered)).astype(np.uint8)[None])
    return fine


def width_of(picture: NDArray[np.uint8], index: int) -> float:
    """Of an upright line, px."""
    row = picture[picture.shape[0] // 2, 200 * index : 200 * (index + 1)]
    return float((255 - row.astype(float)).sum() / 255)


def test_weight_moves_both_flanks_by_fractions_of_a_pixel_at_720p() -> None:
    lines = page(4.0, 6.3)
    for weight in (-0.75, -0.5, -0.1, 0.1, 0.25, 0.6, 1.0):
        seen = weighed(lines, weight)
        for index, width in enumerate((4.0, 6.3)):
            assert width_of(seen, index) == pytest.approx(width + 2 * weight, abs=0.15), (weight, width)
    assert weighed(lines, 0.0) is lines


def test_weight_grows_with_the_page() -> None:
    lines = page(6.0, height=1440)
    assert width_of(weighed(lines, 1.0), 0) == pytest.approx(10, abs=0.2)


def test_the_thinnest_lines_become_hairlines_and_do_not_break() -> None:
    lines = np.full((720, 800), 255, np.uint8)
    cv2.line(lines, (20, 30), (780, 500), 0, 2, cv2.LINE_AA)
    thin = weighed(lines, -1.0)
    columns = thin[:, 40:760].min(0)
    assert columns.max() < 150
    assert (255 - thin.astype(int)).sum() < 0.75 * (255 - lines.astype(int)).sum()


def test_slanted_lines_grow_as_upright_ones_do_and_stay_smooth() -> None:
    lines = np.full((720, 1280), 255, np.uint8)
    cv2.line(lines, (100, 100), (600, 600), 0, 5, cv2.LINE_AA)
    before, after = ((255 - p[300:400].astype(float)).sum(1) / 255 for p in (lines, weighed(lines, 1.0)))
    grown = (after - before) * np.cos(np.pi / 4)
    assert grown.mean() == pytest.approx(2, abs=0.3)
    assert after.std() < 0.4


@pytest.mark.parametrize(("text", "colour"), [*INKS.items(), ("#1a2B3c", (26, 43, 60)), ((1, 2, 3), (1, 2, 3))])
def test_inks_by_name_and_by_number(text: object, colour: tuple[int, int, int]) -> None:
    assert parse_ink(text) == colour


@pytest.mark.parametrize("text", ["", "pink", "1a1a1a", "#12", "#gggggg", (1, 2), (1, 2, 256), None, 7])
def test_an_ink_that_is_none_is_refused_in_one_line(text: object) -> None:
    with pytest.raises(ConfigError, match="expected black, sepia, blue") as caught:
        parse_ink(text)
    assert "\n" not in str(caught.value)


def test_ink_has_its_colour_and_its_edges_lie_between_it_and_the_paper() -> None:
    grey = np.array([[0, 128, 255]], np.uint8)
    shown = Papers().paint(grey, Look(ink=(200, 40, 0)))[0]
    assert (
        shown.tolist() == [[200, 40, 0], [227, 147, 127], [255, 255, 255]]
        or np.abs(shown[1] - (227, 148, 128)).max() <= 1
    )


def test_the_plain_page_is_the_ink_itself() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(Papers().paint(grey, Look()), np.repeat(grey[..., None], 3, 2))


def test_grain_is_seen_but_stays_paper_and_is_the_same_on_every_run() -> None:
    blank = np.full((300, 400), 255, np.uint8)
    one, two = (Papers().paint(blank, Look(paper="grain")) for _ in range(2))
    assert np.array_equal(one, two)
    assert 1 < one.std(axis=(0, 1)).mean() < 8
    assert one.min() > 215
    inked = Papers().paint(np.zeros_like(blank), Look(paper="grain", ink=INKS["sepia"]))
    assert np.abs(inked.astype(int) - INKS["sepia"]).max() == 0


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (300, 400), (64, 64)])
def test_a_picture_of_the_user_s_covers_the_page_unstretched(tmp_path: Path, width: int, height: int) -> None:
    own = np.full((400, 600, 3), (40, 90, 220), np.uint8)
    cv2.circle(own, (300, 200), 100, (250, 250, 250), -1)
    path = tmp_path / "papier — 纸.png"
    path.write_bytes(cv2.imencode(".png", own[..., ::-1])[1].tobytes())
    shown = Papers().paint(np.full((height, width), 255, np.uint8), Look(paper=str(path)))
    assert shown.shape == (height, width, 3)
    assert np.abs(shown[2, 2].astype(int) - (40, 90, 220)).max() < 3
    disc = np.argwhere(shown[..., 0] > 145)
    assert np.ptp(disc[:, 0]) == pytest.approx(np.ptp(disc[:, 1]), abs=2)
    assert np.abs(disc.mean(0) + 0.5 - (height / 2, width / 2)).max() < 2
    assert np.ptp(disc[:, 0]) == pytest.approx(200 * max(width / 600, height / 400), abs=3)


@pytest.mark.parametrize("content", [None, b"", b"this is text"])
def test_a_paper_that_is_no_picture_is_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "p.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"p\.png.*expected plain, grain or a picture; ") as caught:
        Papers().paint(np.zeros((4, 4), np.uint8), Look(paper=str(path)))
    assert "\n" not in str(caught.value)


def test_a_picture_that_was_chosen_is_not_read_again_for_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "board.png"
    cv2.imwrite(str(path), np.full((30, 3000, 3), 90, np.uint8))
    assert checked_paper(str(path)) == str(path)
    monkeypatch.setattr("realtime.paper.cv2.imdecode", None)
    for height in (100, 200):
        assert (Papers().paint(np.full((height, 300), 255, np.uint8), Look(paper=str(path))) == 90).all()


def test_grain_has_no_seams_and_no_tiles_are_seen() -> None:
    """Lines and places where grain goes on over its sides differ no more than others do."""
    sheet = Papers().paint(np.full((1080, 1920), 255, np.uint8), Look(paper="grain"))[..., 0].astype(float)
    across, down = (np.abs(np.diff(sheet, axis=axis)).mean(axis) for axis in (1, 0))
    steps = np.abs(np.diff(sheet, axis=1)).mean(0)
    assert np.abs(steps - steps.mean()).max() < 6 * steps.std()
    assert across.std() < 0.1 * across.mean()
    assert down.std() < 0.1 * down.mean()


@pytest.mark.parametrize("paper", ["plain", "grain"])
def test_chalk_is_light_on_a_dark_board_and_skips_its_pores(paper: str) -> None:
    grey = np.full((100, 200), 255, np.uint8)
    grey[:, 100:] = 0
    shown = Papers().paint(grey, Look(chalk=True, paper=paper)).astype(int)
    assert np.abs(shown[:, :100].mean((0, 1)) - BOARD).max() < 3
    chalk = shown[:, 100:]
    assert chalk.mean() > 190
    assert 8 < chalk.std() < 45
    assert chalk.max() <= max(CHALK)


def test_chalk_takes_the_stick_nearest_to_the_ink() -> None:
    assert Look(chalk=True).colour == CHALK
    red, green, blue = Look(chalk=True, ink=INKS["blue"]).colour
    assert blue > green > red > 140
