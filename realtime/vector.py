"""Ink as curves: the only owner of vtracer, imported when something is traced."""

from __future__ import annotations

import re

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.core import Ink

FINER = 2
"""The page is traced at this many times its size, so that curves follow the grey of an edge and not its pixels."""
SPECK_PX = 3
"""Spots smaller than this, a side, px of the page, are left out."""
_PATH = re.compile(r'<path d="([^"]+)" fill="[^"]*" transform="translate\(([^"]+)\)"/>')


def traced(ink: Ink) -> str:
    """An SVG document: each stroke a filled path of smooth curves, in page pixels.

    The paper is left out where it is white or was asked to be, so that a plotter finds nothing but ink.
    """
    from vtracer import convert_raw_image_to_svg

    height, width = ink.page.shape
    large = cv2.resize(ink.page, (width * FINER, height * FINER), interpolation=cv2.INTER_CUBIC)
    sharp = cv2.threshold(large, 127, 255, cv2.THRESH_BINARY)[1]
    _, encoded = cv2.imencode(".png", sharp, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    found: str = convert_raw_image_to_svg(
        encoded.tobytes(),
        img_format="png",
        colormode="binary",
        mode="spline",
        filter_speckle=SPECK_PX * FINER,
        corner_threshold=60,
        length_threshold=4.0,
        splice_threshold=45,
        path_precision=1,
    )
    bare = ink.transparent or min(ink.paper) == 255
    ground = "" if bare else f'<rect width="{width}" height="{height}" fill="{_hex(ink.paper)}"/>\n'
    paths = "".join(f'<path d="{d.strip()}" transform="translate({at})"/>\n' for d, at in _PATH.findall(found))
    page = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    pen = f'fill="{_hex(ink.colour)}" fill-rule="evenodd" transform="scale({1 / FINER:g})"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {page}>\n{ground}<g {pen}>\n{paths}</g>\n</svg>\n'


def ink_of(image: NDArray[np.uint8]) -> Ink:
    """The ink of a picture that was not composed here: (H, W, 3) uint8 RGB, whatever is dark."""
    return Ink(page=np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), dtype=np.uint8))


def _hex(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
