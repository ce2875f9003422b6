"""The drawing metrics give the known answers on drawings made by hand."""

import math

import cv2
import numpy as np
import pytest

from train import metrics


def paper() -> np.ndarray:
    return np.full((512, 512), 255, np.uint8)


def column(x: int, width: int = 1) -> np.ndarray:
    drawing = paper()
    drawing[100:400, x : x + width] = 0
    return drawing


def test_a_drawing_matches_itself():
    figures = metrics.report(column(50, 2), column(50, 2))
    assert figures["chamfer"] == 0
    assert figures["ink_f1"] == figures["outline_f1"] == figures["ink_iou"] == 1


def test_chamfer_is_the_shift_of_a_line():
    assert metrics.chamfer(column(50), column(57)) == pytest.approx(7)


def test_chamfer_is_the_mean_of_both_directions():
    both = np.minimum(column(50), column(70))
    # Every pixel of one line is on the pair (0 px); half of the pair is 20 px from the line: (0 + 10) / 2.
    assert metrics.chamfer(column(50), both) == pytest.approx(5)


def test_ink_f1_forgives_two_pixels_and_no_more():
    assert metrics.ink_f1(column(50), column(52)) == 1
    assert metrics.ink_f1(column(50), column(53)) == 0


def test_ink_f1_weighs_precision_and_recall():
    both = np.minimum(column(50), column(70))
    assert metrics.ink_f1(both, column(50)) == pytest.approx(2 * 0.5 / 1.5)


def test_outline_f1_forgives_one_pixel_and_a_half():
    assert metrics.outline_f1(column(50), column(51)) == 1
    assert metrics.outline_f1(column(50), column(52)) == 0


def test_solid_ink_does_not_flatter_the_outline():
    solid, torn = paper(), paper()
    solid[100:200, 100:200] = torn[100:200, 100:200] = 0
    torn[110:190:10, 110:190] = 255
    assert metrics.ink_f1(solid, torn) == 1
    assert metrics.outline_f1(solid, torn) < 0.7


@pytest.mark.parametrize(("width", "reads"), [(1, 2), (2, 2), (3, 4)])
def test_thin_lines_read_their_width(width, reads):
    assert metrics.thin_stroke_width(column(50, width)) == pytest.approx(reads)


def test_stroke_width_leaves_solid_masses_out():
    drawing = column(50, 1)
    cv2.circle(drawing, (250, 250), 60, (0,), -1)
    assert metrics.thin_stroke_width(drawing) == pytest.approx(2, abs=0.05)


def test_a_drawing_without_thin_strokes_has_no_width():
    assert math.isnan(metrics.thin_stroke_width(paper()))


def test_grey_counts_only_away_from_ink():
    drawing = column(50, 2)
    drawing[100:400, 52] = 128  # an antialiased edge
    assert metrics.grey_away_from_ink(drawing) == 0
    drawing[:, 300] = 128  # a smudge
    assert metrics.grey_away_from_ink(drawing) == pytest.approx(512 / 512**2)


@pytest.mark.parametrize(("grey", "counts"), [(128, True), (214, True), (215, False)])
def test_pale_grey_counts_below_215(grey, counts):
    drawing = paper()
    drawing[0, 0] = grey
    assert (metrics.grey_away_from_ink(drawing) > 0) is counts


def test_coverage_and_overlap_are_shares():
    assert metrics.ink_coverage(column(0, 512)) == pytest.approx(300 / 512)
    assert metrics.ink_iou(column(50, 2), column(51, 2)) == pytest.approx(1 / 3)


def test_ink_is_darker_than_128():
    drawing = paper()
    drawing[0, :2] = 127, 128
    assert metrics.ink_of(drawing).sum() == 1


def test_the_border_of_the_picture_is_no_outline():
    assert not metrics.outline_of(np.ones((9, 9), bool)).any()


def test_empty_drawings():
    assert metrics.chamfer(paper(), paper()) == 0
    assert metrics.ink_f1(paper(), paper()) == metrics.ink_iou(paper(), paper()) == 1
    assert metrics.chamfer(paper(), column(5)) == math.inf
    assert metrics.ink_f1(paper(), column(5)) == 0


def test_unfit_drawings_are_refused():
    with pytest.raises(ValueError, match="expected uint8"):
        metrics.ink_coverage(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="differ in size"):
        metrics.chamfer(paper(), paper()[:100])


def test_ssim_of_flat_pictures_is_its_luminance_term():
    a, b = np.full((32, 32), 100, np.uint8), np.full((32, 32), 150, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert metrics.ssim(a, b) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1))
    assert metrics.ssim(a, a) == 1


def test_ssim_of_one_window_is_what_a_hand_finds():
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (11, 11), dtype=np.uint8) for _ in range(2))
    reach = np.arange(-5, 6)
    line = np.exp(-(reach**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    x, y = a.astype(float), b.astype(float)
    mx, my = (window * x).sum(), (window * y).sum()
    vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
    both = (window * (x - mx) * (y - my)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    wanted = (2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert metrics.ssim(a, b) == pytest.approx(wanted, rel=1e-9)


def test_ssim_falls_as_a_line_moves_away():
    found = [metrics.ssim(column(50, 2), column(50 + shift, 2)) for shift in (0, 1, 3, 8)]
    assert found[0] == 1
    assert found == sorted(found, reverse=True)
    with pytest.raises(ValueError, match="11 px"):
        metrics.ssim(paper()[:10], paper()[:10])


def test_every_figure_of_a_report_is_named():
    assert set(metrics.report(column(5), column(5))) | {"lpips"} == set(metrics.FIGURES)
    assert set(metrics.alone(column(5))) == {"thin_stroke", "grey_away", "coverage"}
