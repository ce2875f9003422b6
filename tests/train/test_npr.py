"""The teacher draws a painted face the way the artist would: black hair, clean skin, thin lines, dark clothes."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from train import metrics
from train.npr import draw, with_pen_strokes
from train.npr_features import STROKES
from train.npr_geometry import BROWS, EYES, IRISES, LIPS, MOUTH, NOSE_BASE, OVAL

SKIN, DARK_HAIR, FAIR_HAIR, SUIT, WALL = (222, 178, 150), (40, 28, 22), (196, 168, 120), (30, 32, 44), (120, 150, 190)


def ellipse(centre, radii, count, start=0.0, turn=1):
    angle = np.radians(start) + turn * 2 * np.pi * np.arange(count) / count
    return np.stack([centre[0] + radii[0] * np.cos(angle), centre[1] + radii[1] * np.sin(angle)], 1)


def along_x(xs, y, bow):
    """Points on a bow that is deepest in the middle."""
    t = np.linspace(-1, 1, len(xs))
    return np.stack([np.asarray(xs, float), y + bow * (1 - t**2)], 1)


def make_mesh(gap: float = 0.0) -> np.ndarray:
    """A frontal face mesh, float32 (478, 2): the named outlines in place, the rest in the middle of the face."""
    p = np.tile(np.array([[256.0, 300.0]]), (478, 1))
    p[list(OVAL)] = ellipse((256, 290), (118, 150), len(OVAL), start=-90)
    for eye, brow, iris, x in zip(EYES, BROWS, IRISES, (201, 311), strict=True):
        flip = 1 if x < 256 else -1
        p[list(eye)] = ellipse((x, 248), (24, 9), len(eye), start=180 if flip > 0 else 0, turn=-flip)
        p[list(brow[:5])] = along_x(np.linspace(x - 34 * flip, x + 30 * flip, 5), 218, -8)
        p[list(brow[5:])] = along_x(np.linspace(x + 30 * flip, x - 34 * flip, 5), 226, -8)
        p[list(iris)] = [(x, 248), (x + 9, 248), (x, 239), (x - 9, 248), (x, 257)]
    p[list(NOSE_BASE)] = ellipse((256, 318), (26, 9), len(NOSE_BASE), start=180, turn=-1)
    for side, wing in ((-1, (131, 49, 48, 64, 98)), (1, (360, 279, 278, 294, 327))):
        p[list(wing)] = [(256 + side * x, y) for x, y in ((24, 300), (28, 308), (28, 318), (22, 325), (14, 326))]
    p[2], p[4] = (256, 328), (256, 308)
    below, above = LIPS[:11], LIPS[10:] + LIPS[:1]
    p[list(below)] = along_x(np.linspace(214, 298, 11), 375, 18 + gap / 2)
    p[list(above)] = along_x(np.linspace(298, 214, 11), 375, -12 - gap / 2)
    p[list(MOUTH[:11])] = along_x(np.linspace(220, 292, 11), 375, gap / 2)
    p[list(MOUTH[10:] + MOUTH[:1])] = along_x(np.linspace(292, 220, 11), 375, -gap / 2)
    p[[18, 200, 199, 175, 83, 313]] = [(256, 402), (256, 412), (256, 420), (256, 428), (240, 405), (272, 405)]
    p[[164, 92, 322]] = [(256, 340), (232, 348), (280, 348)]
    return p.astype(np.float32)


def paint(
    mesh: np.ndarray, hair=DARK_HAIR, bald: bool = False, skin=SKIN, cloth=SUIT, iris_colour=(50, 36, 30)
) -> tuple[np.ndarray, np.ndarray]:
    """A photo uint8 (512, 512, 3) of that face and its matte uint8 (512, 512)."""
    photo = np.full((512, 512, 3), WALL, np.uint8)
    matte = np.zeros((512, 512), np.uint8)
    suit = np.array([(60, 512), (110, 470), (200, 440), (312, 440), (402, 470), (452, 512)])

    def fill(points, colour, person=True):
        polygon = [np.round(np.asarray(points)).astype(np.int32)]
        cv2.fillPoly(photo, polygon, colour, cv2.LINE_AA)
        if person:
            cv2.fillPoly(matte, polygon, (255,), cv2.LINE_AA)

    if not bald:
        fill(ellipse((256, 225), (160, 180), 90), hair)
        rng = np.random.default_rng(0)
        for x in rng.integers(100, 412, 160):  # strands
            shade = tuple(int(np.clip(c * f, 0, 255)) for f in [rng.uniform(0.6, 1.5)] for c in hair)
            start, end = (256 + int((x - 256) * 0.4), 60), (int(x), 330)
            strand = np.zeros((512, 512), np.uint8)
            cv2.line(strand, start, end, (255,), 2, cv2.LINE_AA)
            photo[(strand > 128) & (matte > 128)] = shade
    fill([(200, 380), (312, 380), (312, 450), (256, 480), (200, 450)], tuple(int(c * 0.8) for c in skin))
    fill(suit, cloth)
    fill([(215, 440), (297, 440), (256, 512)], (238, 238, 242))
    fill(mesh[list(OVAL)], skin)
    for eye, brow, iris in zip(EYES, BROWS, IRISES, strict=True):
        fill(mesh[list(brow)], (90, 62, 48), person=False)
        fill(mesh[list(eye)], (240, 238, 235), person=False)
        centre = tuple(int(v) for v in mesh[iris[0]])
        cv2.circle(photo, centre, 8, iris_colour, -1, cv2.LINE_AA)
        cv2.circle(photo, (centre[0] + 3, centre[1] - 3), 2, (250, 250, 250), -1, cv2.LINE_AA)
    for x in (242, 270):
        cv2.ellipse(photo, (x, 322), (5, 3), 0, 0, 360, (70, 40, 35), -1, cv2.LINE_AA)
    fill(mesh[list(LIPS)], (196, 110, 105), person=False)
    fill(mesh[list(MOUTH)], (236, 230, 220), person=False)
    cv2.polylines(photo, [np.round(mesh[list(MOUTH)]).astype(np.int32)], True, (110, 50, 50), 2, cv2.LINE_AA)
    return cv2.GaussianBlur(photo, (0, 0), 0.8), matte


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """On a busy machine the threads of many small filters wait for each other longer than they work."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


@pytest.fixture(scope="module")
def mesh():
    return make_mesh()


@pytest.fixture(scope="module")
def portrait(mesh):
    return paint(mesh)


@pytest.fixture(scope="module")
def drawing(portrait, mesh):
    photo, matte = portrait
    return draw(photo, mesh, matte)


def ink_share(drawing, x0, y0, x1, y1):
    return float((drawing[y0:y1, x0:x1] < 128).mean())


def test_it_is_one_grey_square_and_almost_two_tone(drawing):
    assert drawing.shape == (512, 512)
    assert drawing.dtype == np.uint8
    assert ((drawing > 40) & (drawing < 215)).mean() < 0.01
    assert metrics.grey_away_from_ink(drawing) < 0.004


def test_the_same_photo_gives_the_same_drawing(portrait, mesh, drawing):
    photo, matte = portrait
    assert np.array_equal(draw(photo.copy(), mesh.copy(), matte.copy()), drawing)


def test_it_does_not_touch_its_input(portrait, mesh):
    photo, matte = (x.copy() for x in portrait)
    draw(photo, mesh, matte)
    assert np.array_equal(photo, portrait[0])
    assert np.array_equal(matte, portrait[1])


def test_the_wall_stays_white(drawing):
    assert ink_share(drawing, 0, 0, 60, 400) == 0
    assert ink_share(drawing, 452, 0, 512, 400) == 0


def test_cheeks_and_forehead_stay_white(drawing):
    assert ink_share(drawing, 160, 280, 215, 350) == 0
    assert ink_share(drawing, 297, 280, 350, 350) == 0
    assert ink_share(drawing, 230, 160, 282, 200) == 0


def test_dark_hair_is_black_with_white_strands(drawing):
    share = ink_share(drawing, 200, 60, 312, 115)
    assert 0.6 < share < 0.995


def test_a_thin_pen_draws_hair_in_strokes_and_leaves_the_rest_to_the_artist(portrait, mesh):
    photo, matte = portrait
    artist = np.full((512, 512), 255, np.uint8)
    artist[340:344, 150:360] = 0  # a mouth
    artist[60:115, 200:312] = 128  # hair in grey
    pen = with_pen_strokes(artist, photo, mesh, matte)
    np.testing.assert_array_equal(pen[200:400, 190:322], artist[200:400, 190:322])
    assert 0.1 < ink_share(pen, 200, 60, 312, 115) < 0.6  # strokes with paper between
    solid = cv2.erode((pen[60:115, 200:312] < 128).astype(np.uint8), np.ones((7, 7), np.uint8))
    assert solid.mean() < 0.01
    assert ink_share(pen, 0, 0, 60, 400) == 0


def test_fair_hair_is_drawn_black_too(mesh):
    photo, matte = paint(mesh, hair=FAIR_HAIR)
    drawing = draw(photo, mesh, matte)
    assert 0.35 < ink_share(drawing, 200, 60, 312, 115) < 0.95
    inside = cv2.erode((drawing < 128).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert not drawing[inside].any()  # tone that changes slowly gives no grey wash


def test_white_hair_is_drawn_in_sparse_strokes(mesh, drawing):
    photo, matte = paint(mesh, hair=(150, 150, 152))
    white = draw(photo, mesh, matte)
    assert ink_share(white, 130, 60, 382, 130) < 0.6 * ink_share(drawing, 130, 60, 382, 130)
    assert ink_share(white, 130, 60, 382, 130) > 0.02


def test_no_pinholes_are_left_in_the_hair(drawing):
    white = (drawing[:200] >= 128).astype(np.uint8)
    assert cv2.connectedComponentsWithStats(white, connectivity=8)[2][:, cv2.CC_STAT_AREA].min() >= 4


def test_a_bald_head_is_an_outline(mesh):
    photo, matte = paint(mesh, bald=True)
    drawing = draw(photo, mesh, matte)
    assert ink_share(drawing, 215, 165, 297, 205) == 0
    assert ink_share(drawing, 240, 130, 272, 150) > 0.02


def test_pupils_are_black_and_brows_are_drawn(drawing):
    for x in (201, 311):
        assert ink_share(drawing, x - 3, 247, x + 1, 252) == 1
        assert ink_share(drawing, x - 20, 212, x + 20, 225) > 0.3


def test_a_pale_iris_has_its_ring_its_pupil_and_white_between(mesh):
    photo, matte = paint(mesh, iris_colour=(128, 150, 176))
    for x in (201, 311):
        cv2.circle(photo, (x, 248), 8, (70, 80, 96), 1, cv2.LINE_AA)
        cv2.circle(photo, (x, 248), 6, (128, 150, 176), -1, cv2.LINE_AA)  # no pupil to be seen in this light
    drawing = draw(photo, mesh, matte)
    for x in (201, 311):
        assert ink_share(drawing, x - 1, 247, x + 2, 250) == 1
        assert ink_share(drawing, x - 10, 247, x - 6, 250) > 0
        assert ink_share(drawing, x - 6, 246, x + 7, 251) < 0.9


def test_each_upper_lid_is_one_line(drawing, mesh):
    near = cv2.dilate((drawing < 128).astype(np.uint8), np.ones((5, 5), np.uint8))
    for side in ("right", "left"):
        lid = next(s for s in STROKES if s.name == f"{side} upper lid")
        x, y = np.round(mesh[list(lid.curve[1:-1])]).astype(int).T
        assert near[y, x].all()


def test_both_wings_of_the_nose_are_drawn_when_the_light_shows_one(portrait, mesh):
    photo, matte = portrait
    edges = cv2.polylines(
        photo.copy(), [np.int32([(227, 306), (224, 312), (226, 322)])], False, (170, 130, 110), 2, cv2.LINE_AA
    )
    faint = cv2.polylines(edges, [np.int32([(285, 306), (288, 312), (286, 322)])], False, (214, 170, 143), 2)
    drawing = draw(cv2.GaussianBlur(faint, (0, 0), 1.0), mesh, matte)
    assert (drawing[300:325, 215:236] < 128).sum() > 10
    assert (drawing[300:325, 276:297] < 128).sum() > 10


def test_the_jaw_is_drawn_from_cheek_to_cheek(drawing, mesh):
    jaw = next(s for s in STROKES if s.name == "jaw")
    near = cv2.dilate((drawing < 128).astype(np.uint8), np.ones((9, 9), np.uint8))
    x, y = np.round(mesh[list(jaw.curve[4:-4])]).astype(int).T
    assert near[y, x].mean() > 0.75


def test_dark_clothes_are_solid_and_the_white_shirt_is_not(drawing):
    assert ink_share(drawing, 120, 485, 200, 508) > 0.95
    assert ink_share(drawing, 245, 485, 267, 495) < 0.2


def test_a_dark_suit_is_black_on_dark_skin_too(mesh):
    photo, matte = paint(mesh, skin=(74, 50, 40), cloth=(30, 29, 31))
    waves = 1.4 + 1.15 * np.sin(np.arange(512) / 14)  # the skin spans all lights, down to the suit's
    photo[140:430] = np.clip(photo[140:430] * waves[:, None], 0, 255).astype(np.uint8)
    drawing = draw(photo, mesh, matte)
    assert ink_share(drawing, 120, 485, 200, 508) > 0.95
    assert ink_share(drawing, 312, 485, 392, 508) > 0.95


def test_teeth_are_not_drawn_like_cracks():
    mesh = make_mesh(gap=24)
    photo, matte = paint(mesh)
    for x in range(226, 290, 8):
        cv2.line(photo, (x, 366), (x, 384), (120, 110, 100), 2)
    drawing = draw(photo, mesh, matte)
    assert ink_share(drawing, 236, 369, 276, 382) == 0
    assert ink_share(drawing, 225, 355, 287, 368) > 0.05  # the upper lip is there


def test_padding_gives_no_line_and_no_ink(portrait, mesh):
    photo, matte = (x.copy() for x in portrait)
    photo[:, :150] = photo[500:] = 255
    matte[:, :150] = matte[500:] = 0
    drawing = draw(photo, mesh, matte)
    assert ink_share(drawing, 0, 0, 150, 512) == 0
    assert ink_share(drawing, 0, 500, 512, 512) == 0
    assert (drawing[260:430, 150:156] < 128).mean() < 0.2  # no stroke runs down the seam


def darken(photo, *spots):
    """The photo with soft spots (x, y, radius) of less than half the light."""
    shade = np.zeros((512, 512), np.float32)
    for x, y, radius in spots:
        cv2.circle(shade, (x, y), radius, (1.0,), -1)
    return (photo * (1 - 0.6 * cv2.GaussianBlur(shade, (0, 0), 4.0)[..., None])).astype(np.uint8)


def test_shade_on_one_side_of_the_jaw_is_no_beard(portrait, mesh):
    photo, matte = portrait
    assert ink_share(draw(darken(photo, (325, 385, 16)), mesh, matte), 317, 377, 333, 393) == 0


def test_a_beard_is_black(portrait, mesh):
    photo, matte = portrait
    lip = [(x, 346, 9) for x in range(230, 290, 8)]
    beard = [(256, 416, 20), (220, 405, 18), (292, 405, 18), *lip]
    assert ink_share(draw(darken(photo, *beard), mesh, matte), 240, 408, 272, 424) > 0.8


def test_noise_of_a_camera_hardly_moves_the_ink(portrait, mesh, drawing):
    photo, matte = portrait
    noisy = np.clip(photo + np.random.default_rng(1).normal(0, 3, photo.shape), 0, 255).astype(np.uint8)
    assert metrics.ink_iou(draw(noisy, mesh, matte), drawing) > 0.9


def test_strokes_are_thin(drawing):
    assert metrics.thin_stroke_width(drawing) < 2.6


@pytest.mark.parametrize(
    ("photo", "mesh_", "matte", "message"),
    [
        (np.zeros((256, 256, 3), np.uint8), make_mesh(), np.zeros((512, 512), np.uint8), "aligned photo"),
        (np.zeros((512, 512, 3), np.float32), make_mesh(), np.zeros((512, 512), np.uint8), "aligned photo"),
        (np.zeros((512, 512, 3), np.uint8), make_mesh()[:68], np.zeros((512, 512), np.uint8), "face mesh"),
        (np.zeros((512, 512, 3), np.uint8), make_mesh() * np.nan, np.zeros((512, 512), np.uint8), "face mesh"),
        (np.zeros((512, 512, 3), np.uint8), make_mesh(), np.zeros((512, 512), bool), "matte"),
        (np.zeros((512, 512, 3), np.uint8), make_mesh() + 900, np.zeros((512, 512), np.uint8), "no face in the square"),
    ],
)
def test_unfit_input_is_refused_in_one_line(photo, mesh_, matte, message):
    with pytest.raises(ValueError, match=message) as caught:
        draw(photo, mesh_, matte)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_it_comes_close_to_the_published_drawings(shared: Path, tmp_path: Path):
    from train.dataset import open_pairs
    from train.prepare import prepare
    from train.readers import Item

    models, look = shared / "models", shared / "look"
    items = [Item(name=photo.stem, photo=photo) for photo in sorted(look.glob("*_photo.png"))]
    prepare(
        items,
        tmp_path,
        segmenter=models / "selfie_segmentation.tflite",
        landmarker=models / "face_landmarker.task",
    )
    pairs = open_pairs([tmp_path], drawings=False)
    assert len(pairs) == len(items) == 3
    figures = []
    for pair in (pairs[i] for i in range(3)):
        published = cv2.imread(str(look / f"{pair.name.replace('_photo', '_apdrawinggan')}.png"), cv2.IMREAD_GRAYSCALE)
        figures.append(metrics.report(draw(pair.photo, pair.mesh, pair.matte), published))
    mean = {key: float(np.mean([f[key] for f in figures])) for key in figures[0]}
    assert mean["chamfer"] <= 0.4
    assert mean["ink_f1"] >= 0.955
    assert mean["outline_f1"] >= 0.62
    assert mean["thin_stroke"] <= 2.45
    assert mean["grey_away"] <= 0.004
