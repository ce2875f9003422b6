from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pipeline_fakes import face, picture

from apdgan.alignment import SIZE, invert, transform
from realtime.aligner import Aligner
from realtime.compositor import Compositor
from realtime.controls import LAYOUTS, PHOTO_LAYOUTS, Layout
from realtime.core import Drawing, Frame, Portrait

DRAWN_LAYOUTS = tuple(layout for layout in LAYOUTS if layout not in PHOTO_LAYOUTS)
WHITE = np.full((SIZE, SIZE), 255, np.uint8)


def drawing(ink: NDArray[np.uint8] = WHITE, *, matrix: object = None, face_id: int = 0, opacity: float = 1) -> Drawing:
    portrait = Portrait(
        photo=np.full((SIZE, SIZE, 3), 77, np.uint8),
        landmarks=np.zeros((5, 2), np.float32),
        matte=WHITE,
        matrix=np.asarray(np.eye(2, 3) if matrix is None else matrix, np.float32),
        face_id=face_id,
    )
    return Drawing(ink=ink, portrait=portrait, opacity=opacity)


def on_frame(x: float, y: float, side: float) -> NDArray[np.float64]:
    """The matrix of a square of ``side`` frame px with its corner at (x, y)."""
    k = SIZE / side
    return np.array([[k, 0, -x * k], [0, k, -y * k]])


def strokes() -> NDArray[np.uint8]:
    """Thin lines of every direction on paper."""
    ink = WHITE.copy()
    for angle in np.linspace(0, np.pi, 7, endpoint=False):
        end = (int(256 + 150 * np.cos(angle)), int(256 + 150 * np.sin(angle)))
        cv2.line(ink, (512 - end[0], 512 - end[1]), end, 0, 2, cv2.LINE_AA)
    return ink


def dark(frame: Frame) -> NDArray[np.int64]:
    return np.argwhere(frame.image[..., 0] < 128)


def wide(width: int = 1280, height: int = 720) -> Frame:
    return picture(3, width=width, height=height)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_drawings_every_layout_is_paper_with_the_frame_s_times(layout: Layout) -> None:
    frame = wide()
    for out in (Compositor().paper(frame, layout), Compositor().compose(frame, [], layout, True)):
        assert out.image.dtype == np.uint8
        assert (out.image == 255).all()
        assert (out.index, out.captured, out.pts) == (frame.index, frame.captured, frame.pts)


def test_square_gives_the_very_drawing() -> None:
    ink = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE)).astype(np.uint8)
    out = Compositor().compose(wide(), [drawing(ink, matrix=on_frame(100, 50, 300))], "square", False)
    assert np.array_equal(out.image[..., 0], ink)


@pytest.mark.parametrize(
    ("layout", "size", "frame_size", "expected"),
    [
        ("portrait", None, (1280, 720), (1280, 720)),
        ("portrait", None, (176, 144), (626, 512)),
        ("portrait", (640, 360), (1280, 720), (640, 360)),
        ("inplace", None, (720, 1280), (720, 1280)),
        ("inplace", None, (335, 411), (336, 412)),
        ("frame", None, (720, 1280), (720, 1280)),
        ("split", None, (335, 411), (336, 412)),
        ("side-by-side", None, (1280, 720), (1440, 720)),
        ("side-by-side", None, (640, 360), (1024, 512)),
        ("side-by-side", (1280, 720), (720, 1280), (1280, 720)),
        ("square", None, (1280, 720), (512, 512)),
        ("square", (1024, 1024), (1280, 720), (1024, 1024)),
    ],
)
def test_size_of_the_output(
    layout: Layout, size: tuple[int, int] | None, frame_size: tuple[int, int], expected: tuple[int, int]
) -> None:
    out = Compositor(size=size).compose(wide(*frame_size), [drawing(strokes())], layout, False)
    assert out.image.shape == (expected[1], expected[0], 3)
    assert len(dark(out)) > 100


def test_a_picture_may_keep_an_odd_size() -> None:
    assert Compositor(even=False).paper(wide(335, 411), "inplace").image.shape == (411, 335, 3)


def test_the_size_stays_when_the_layout_or_the_source_changes() -> None:
    compositor = Compositor()
    shapes = {compositor.paper(wide(), "portrait").image.shape}
    for layout in LAYOUTS:
        shapes.add(compositor.compose(wide(640, 480), [drawing(strokes())], layout, False).image.shape)
    assert shapes == {(720, 1280, 3)}


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (720, 1280), (512, 512)])
def test_portrait_fills_the_height_or_the_width_centred_and_unstretched(width: int, height: int) -> None:
    ink = WHITE.copy()
    cv2.circle(ink, (256, 256), 128, 0, -1)
    out = Compositor().compose(wide(width, height), [drawing(ink, matrix=on_frame(200, 100, 400))], "portrait", False)
    side = min(width, height)
    places = dark(out)
    assert np.abs(places.mean(0) + 0.5 - (height / 2, width / 2)).max() < 1
    assert np.abs(np.ptp(places, axis=0) + 1 - side / 2).max() <= 2


def test_inplace_puts_ink_where_it_was_seen() -> None:
    matrix = Aligner(matter=None).align(wide(), [face(x=900, y=300, size=360)])[0].matrix.astype(np.float64)
    ink = WHITE.copy()
    cv2.circle(ink, (200, 300), 12, 0, -1)
    out = Compositor().compose(wide(), [drawing(ink, matrix=matrix)], "inplace", False)
    seen = transform(invert(matrix), np.array([[200.0, 300.0]]))[0]
    assert np.abs(dark(out).mean(0)[::-1] - seen).max() < 0.5


@pytest.mark.parametrize("side", [90, 250, 384, 700])
def test_inplace_keeps_places_at_every_scale(side: int) -> None:
    ink = WHITE.copy()
    cv2.circle(ink, (256, 256), 100, 0, -1)
    matrix = on_frame(300, 10, side)
    out = Compositor().compose(wide(), [drawing(ink, matrix=matrix)], "inplace", False)
    seen = transform(invert(matrix), np.array([[256.0, 256.0]]))[0]
    assert np.abs(dark(out).mean(0)[::-1] - seen).max() < 0.2


def test_inplace_scales_with_the_size_that_is_asked_for() -> None:
    ink = WHITE.copy()
    cv2.circle(ink, (256, 256), 30, 0, -1)
    out = Compositor(size=(640, 480)).compose(wide(), [drawing(ink, matrix=on_frame(500, 100, 400))], "inplace", False)
    # 1280 x 720 at half size, 60 rows of paper above and below
    assert np.abs(dark(out).mean(0) - (300 / 2 + 60, 700 / 2)).max() < 1


def test_inplace_square_that_leaves_the_frame_is_cut_by_it() -> None:
    for x, y in ((-200, 300), (1100, 300), (500, -250), (500, 600), (-2000, 0), (5000, 5000)):
        out = Compositor().compose(
            wide(), [drawing(np.zeros_like(WHITE), matrix=on_frame(x, y, 400))], "inplace", False
        )
        assert out.image.shape == (720, 1280, 3)
        seen = 0 if x in (-2000, 5000) else 10_000
        assert len(dark(out)) >= seen


def test_no_square_is_seen_in_place_and_none_is_softened_away_at_the_frame_s_edge() -> None:
    solid = np.zeros_like(WHITE)
    out = Compositor().compose(wide(), [drawing(solid, matrix=on_frame(-60, 100, 400))], "inplace", False).image
    inside = out[100:500, 0:340, 0].astype(float)
    assert inside[:2].min() > 150  # the top side of the square lies in the picture: it runs out
    assert inside[-2:].min() > 150
    assert inside[:, -2:].min() > 150
    assert inside[150:250, 0].max() < 40  # the left side lies outside: ink goes to the picture's own edge
    assert inside[100:300, 60:280].max() == 0


def test_portrait_runs_out_at_the_sides_but_not_at_the_page_s_edge() -> None:
    solid = np.zeros_like(WHITE)
    out = Compositor().compose(wide(), [drawing(solid, matrix=on_frame(300, 100, 400))], "portrait", False).image
    square = out[:, 280:1000, 0]
    assert (out[:, :280] == 255).all()
    assert square[:, :2].min() > 150
    assert square[0, 200:500].max() == square[-1, 200:500].max() == 0


def test_specks_at_the_rim_of_a_drawing_do_not_stand_along_the_page_s_edge() -> None:
    ink = WHITE.copy()
    ink[:2, 100:400:3] = ink[-2:, 100:400:3] = 0
    ink[300:, 240:260] = 0
    out = Compositor().compose(wide(), [drawing(ink, matrix=on_frame(300, 100, 400))], "portrait", False).image[..., 0]
    assert (out[:100] == 255).all()
    line = slice(280 + 720 * 242 // 512, 280 + 720 * 258 // 512)
    assert out[-1, line].max() < 40  # a line goes on to the edge
    assert (out[-1, : line.start - 10] == 255).all()


def test_portrait_runs_out_where_the_frame_ends_inside_the_square() -> None:
    ink = np.zeros_like(WHITE)
    ink[400:] = 255  # nothing is drawn beyond the frame, which ends at row 400 of the square
    out = Compositor().compose(wide(), [drawing(ink, matrix=on_frame(300, 720 - 312.5, 400))], "portrait", False).image
    page = cv2.resize(out[:, 280:1000, 0], (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    assert page[396:400, 100:400].mean() > 200
    assert page[300:330, 100:400].max() == 0


def test_an_aligned_picture_of_512_is_not_softened() -> None:
    solid = np.zeros_like(WHITE)
    out = Compositor().compose(picture(0, width=512, height=512), [drawing(solid)], "portrait", False)
    assert (out.image == 0).all()


def test_mirror_flips_the_finished_picture() -> None:
    ink = WHITE.copy()
    ink[200:300, 100:150] = 0
    frame, one = wide(), drawing(ink, matrix=on_frame(800, 100, 400))
    for layout in DRAWN_LAYOUTS:
        plain = Compositor().compose(frame, [one], layout, False).image
        assert np.array_equal(Compositor().compose(frame, [one], layout, True).image, plain[:, ::-1])


def test_several_faces_stand_side_by_side_as_they_sit() -> None:
    left, right = WHITE.copy(), WHITE.copy()
    cv2.circle(left, (256, 256), 100, 0, -1)
    cv2.rectangle(right, (200, 200), (300, 300), 0, -1)
    faces = [
        drawing(right, matrix=on_frame(800, 100, 300), face_id=0),
        drawing(left, matrix=on_frame(100, 100, 300), face_id=1),
    ]
    out = Compositor().compose(wide(), faces, "portrait", False).image[..., 0]
    halves = [(half < 128).sum() * (512 / 640) ** 2 for half in (out[:, :640], out[:, 640:])]
    assert halves[0] == pytest.approx((left == 0).sum(), rel=0.03)
    assert halves[1] == pytest.approx((right == 0).sum(), rel=0.03)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_any_number_of_faces_fits_the_page_without_overlap(count: int) -> None:
    dot = WHITE.copy()
    cv2.circle(dot, (256, 256), 150, 0, -1)
    faces = [drawing(dot, matrix=on_frame(i * 140, 100, 100), face_id=i) for i in range(count)]
    out = Compositor().compose(wide(), faces, "portrait", False).image[..., 0]
    found, _ = cv2.connectedComponents((out < 128).astype(np.uint8))
    assert found - 1 == count


def test_inplace_runs_out_where_the_picture_ends_and_the_page_goes_on() -> None:
    """A tall picture on a wide page: no straight edge of black stands at its sides."""
    solid = drawing(np.zeros_like(WHITE), matrix=on_frame(-100, 300, 920))
    for layout in ("inplace", "frame"):
        out = Compositor(size=(1280, 720)).compose(wide(720, 1280), [solid], layout, False).image[..., 0]
        assert (out[:, :436] == 255).all()
        assert out[300:600, 438:442].min() > 200
        assert out[300:600, 500:780].max() == 0


def test_faces_in_place_overlap_by_the_darker_ink() -> None:
    a, b = WHITE.copy(), WHITE.copy()
    a[200:220], b[:, 200:220] = 0, 0
    matrix = on_frame(300, 100, 512)
    one, two = (Compositor().compose(wide(), [drawing(ink, matrix=matrix)], "inplace", False).image for ink in (a, b))
    both = Compositor().compose(wide(), [drawing(a, matrix=matrix), drawing(b, matrix=matrix)], "inplace", False).image
    assert np.array_equal(both, np.minimum(one, two))


def test_opacity_pales_the_ink() -> None:
    for layout in DRAWN_LAYOUTS:
        one = drawing(np.zeros_like(WHITE), matrix=on_frame(400, 100, 400))
        pale = replace(one, opacity=0.25)
        full, quarter = (Compositor().compose(wide(), [d], layout, False).image[..., 0] for d in (one, pale))
        assert (full == 0).sum() > 10_000
        assert np.abs(quarter[full == 0].astype(int) - 191).max() <= 1


@pytest.mark.parametrize("height", [720, 1080])
def test_lines_stay_crisp_when_enlarged(height: int) -> None:
    """The share of half-toned pixels in the ink does not grow as it does by plain enlarging."""
    one = drawing(strokes(), matrix=on_frame(400, 100, 400))
    out = Compositor(size=(height * 16 // 9, height)).compose(wide(), [one], "portrait", False).image[..., 0]

    def soft_share(page: NDArray[np.uint8]) -> float:
        return float(((page > 50) & (page < 205)).sum() / (page < 205).sum())

    plain = cv2.resize(strokes(), (height, height), interpolation=cv2.INTER_CUBIC)
    assert soft_share(out) < 0.75 * soft_share(plain)
    assert (out < 128).sum() * (512 / height) ** 2 == pytest.approx((strokes() < 128).sum(), rel=0.12)


@pytest.mark.parametrize("height", [720, 1080])
def test_an_enlarged_slanted_edge_has_no_stairs(height: int) -> None:
    """An edge of hard pixels strays from a straight line by less than it did, in small pixels."""
    y, x = np.mgrid[:SIZE, :SIZE]
    hard = np.where((x > 200 + 0.37 * y) & (x < 440), 0, 255).astype(np.uint8)
    size = (height * 16 // 9, height)
    one = drawing(hard, matrix=on_frame(400, 100, 400))
    page = Compositor(size=size).compose(wide(), [one], "portrait", False).image[..., 0].astype(float)
    rows = np.arange(int(0.2 * height), int(0.6 * height))
    widths = (255 - page[rows]).sum(1) / 255
    off = (widths - np.polyval(np.polyfit(rows, widths, 1), rows)) * SIZE / height
    assert off.std() < 0.19  # 0.23 when it is only enlarged


def test_thin_lines_survive_a_small_face() -> None:
    ink = WHITE.copy()
    ink[:, 250:252] = 0
    out = Compositor().compose(wide(), [drawing(ink, matrix=on_frame(500, 100, 150))], "inplace", False).image[..., 0]
    line = out[130:220].min(1)  # every row of the line, though it is 0.6 px wide now
    assert line.max() < 160


def test_beside_its_photo_a_drawing_that_the_frame_cuts_off_runs_out_where_paper_follows() -> None:
    """The square is wider than a frame in portrait format: of what is drawn at its bottom only a part is shown."""
    solid = drawing(np.zeros_like(WHITE), matrix=on_frame(-100, 200, 920))
    out = Compositor(size=(1280, 720)).compose(wide(720, 1280), [solid], "side-by-side", False).image
    assert (out[:40] == 255).all()
    assert (out[680:] == 255).all()
    assert out[676:680, 660:1260].min() > 150
    assert out[42:44, 660:1260].min() > 150
    assert out[300:400, 640:].max() == 0  # to the page's own edge, and to the photo


def test_beside_its_photo_a_drawing_that_is_shown_whole_runs_out_once() -> None:
    solid = drawing(np.zeros_like(WHITE), matrix=on_frame(300, 100, 400))
    side_by_side = Compositor(size=(1280, 720)).compose(wide(), [solid], "side-by-side", False).image[..., 0]
    assert side_by_side[40 + 80 : 680 - 80, 640 + 70 : 1280 - 70].max() == 0
