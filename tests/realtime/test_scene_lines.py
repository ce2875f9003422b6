"""The drawn surroundings: pen lines, not an edge detector's, calm over time, and never the picture itself."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from realtime.scene_lines import SceneLines

RNG = np.random.default_rng(3)


def room(*, noise: float = 0.0, shift: int = 0, width: int = 1280, height: int = 720) -> NDArray[np.uint8]:
    """A lit wall with a window, a table, a dark sofa and a fine-grained carpet."""
    image = np.full((720, 1280, 3), (205, 190, 170), np.float32)
    image += np.linspace(0, 40, 1280, dtype=np.float32)[None, :, None]
    cv2.rectangle(image, (150 + shift, 80), (480 + shift, 360), (120, 140, 160), -1)
    cv2.circle(image, (900 + shift, 250), 120, (150, 120, 90), -1)
    cv2.rectangle(image, (700 + shift, 520), (1150 + shift, 700), (30, 28, 35), -1)
    image[560:, :500] += np.random.default_rng(0).normal(0, 9, (160, 500, 1))
    image = cv2.resize(cv2.GaussianBlur(image, (0, 0), 1.5), (width, height), interpolation=cv2.INTER_AREA)
    return np.clip(image + RNG.normal(0, noise, image.shape), 0, 255).astype(np.uint8)


def ink(page: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return page < 128


def test_edges_become_even_thin_lines_and_shade_a_solid_black() -> None:
    page = SceneLines().draw(room(noise=3), 1280, 720)
    assert page.shape == (720, 1280)
    widths = ink(page)[200, 120:190].sum(), ink(page)[200, 450:520].sum(), ink(page)[250, 750:820].sum()
    assert all(2 <= width <= 4 for width in widths), widths
    assert ink(page)[560:680, 720:1130].all(), "the sofa is filled"
    assert not ink(page)[380:480].any(), "a wall that grows lighter is paper"


def test_a_dark_room_is_drawn_by_what_is_lit_and_does_not_blink_at_dusk() -> None:
    lines = SceneLines()
    shares = []
    for rows in (300, 420, 500, 420, 420, 300, 200):
        image = np.full((720, 1280, 3), 8, np.uint8)
        image[: 720 - rows] = 220
        cv2.circle(image, (640, 640), 60, (200, 180, 160), -1)
        shares.append(ink(lines.draw(image, 1280, 720)).mean())
    assert min(shares[0], shares[-1]) > 0.2, "less than half is dark: it is filled"
    assert max(shares[2:5]) < 0.03, "most of it is: it is left, and its lines stay"
    assert min(shares[2:5]) > 0.002


def test_fine_texture_and_noise_are_left_out() -> None:
    page = SceneLines().draw(room(noise=6), 1280, 720)
    assert not ink(page)[580:, 20:480].any()
    assert not ink(
        SceneLines().draw(np.clip(RNG.normal(128, 8, (720, 1280, 3)), 0, 255).astype(np.uint8), 640, 360)
    ).any()


def test_nothing_is_grey_but_the_rims_of_lines() -> None:
    page = SceneLines().draw(room(noise=3), 1280, 720)
    grey = (page > 30) & (page < 225)
    assert grey.mean() < 0.01
    solid = cv2.erode(grey.astype(np.uint8), np.ones((3, 3), np.uint8))
    assert not solid.any(), "no smudge is as wide as three pixels"


def test_a_scene_at_rest_stays_as_it_is_drawn() -> None:
    """Edges that are hardly seen, a lamp that flickers and the noise of a dark room."""
    still = room().astype(np.float32)
    for k in range(8):
        cv2.rectangle(still, (150 + 130 * k, 400), (220 + 130 * k, 480), (207 - 3 * k,) * 3, -1)
    still = cv2.GaussianBlur(still, (0, 0), 1.5)
    lines, pages = SceneLines(), []
    for index in range(14):
        seen = still * (1 + 0.01 * (-1) ** index) + RNG.normal(0, 10, still.shape)
        pages.append(ink(lines.draw(np.clip(seen, 0, 255).astype(np.uint8), 1280, 720)))
    changes = [(a ^ b).sum() / b.sum() for a, b in pairwise(pages[5:])]
    assert np.mean(changes) < 0.0013  # 0.005 without loyalty, 0.0016 without averaging


def test_what_moves_is_drawn_where_it_is_now() -> None:
    lines = SceneLines()
    for shift in range(0, 120, 20):
        page = lines.draw(room(noise=3, shift=shift), 1280, 720)
    fresh = SceneLines().draw(room(noise=3, shift=100), 1280, 720)
    ghosts = ink(page) & ~cv2.dilate(ink(fresh).astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    assert ghosts.sum() < 0.02 * ink(fresh).sum()


@pytest.mark.parametrize(("width", "height"), [(320, 180), (405, 721), (1920, 1080), (3, 2)])
def test_pictures_of_any_size_are_drawn(width: int, height: int) -> None:
    lines = SceneLines()
    for size in ((640, 360), (1281, 719)):
        assert lines.draw(room(width=width, height=height), *size).shape == size[::-1]


def test_a_flat_colour_is_paper_or_ink_and_never_the_colour() -> None:
    for level in (0, 90, 255):
        assert set(np.unique(SceneLines().draw(np.full((90, 160, 3), level, np.uint8), 160, 90))) <= {0, 255}


def suit(lit: float) -> NDArray[np.uint8]:
    """A dark suit of which ``lit`` (0 to 1) lies in the light, before a wall in half shade that has a dark corner."""
    image = np.full((720, 1280, 3), 190, np.uint8)
    image[:, :400] = 78  # the wall: as light as the suit's lit side
    image[:40, :60] = 20
    image[300:, 700:1100] = 25
    image[300:, 700 : 700 + int(400 * lit)] = 78
    return image


def test_a_suit_is_black_in_the_light_too_and_a_wall_in_half_shade_is_not() -> None:
    page = SceneLines().draw(suit(0.7), 1280, 720)
    assert ink(page)[320:, 720:1080].all()
    assert not ink(page)[100:, 20:380].any()


def test_a_suit_does_not_blink_as_the_light_on_it_wanders() -> None:
    lines = SceneLines()
    filled = [bool(ink(lines.draw(suit(lit), 1280, 720))[500, 750]) for lit in (0.8, 0.87, 0.9, 0.87, 0.9, 1.0, 0.9)]
    assert filled == [True, True, True, True, True, False, False]
