"""How a page looks, whatever is drawn on it: paper, ink, weight of the lines, chalk, transparency."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from realtime.core import ConfigError

RGB = tuple[int, int, int]
INKS: dict[str, RGB] = {"black": (0, 0, 0), "sepia": (92, 54, 24), "blue": (22, 48, 140)}
"""Inks by name."""
PLAIN, GRAIN = "plain", "grain"
PAPERS = (PLAIN, GRAIN)
"""Papers by name; any other name is the path of a picture."""
CHALK: RGB = (244, 244, 236)
BOARD: RGB = (36, 42, 40)
_WHITE: RGB = (255, 255, 255)
_PASTEL = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """All of it. The default is black ink on white paper."""

    paper: str = PLAIN
    """One of :data:`PAPERS`, or the path of a picture that covers the page."""
    ink: RGB = INKS["black"]
    """RGB, 0 to 255 each."""
    weight: float = 0.0
    """-1 (thinner lines) to 1 (bolder)."""
    chalk: bool = False
    """White chalk on a dark board."""
    transparent: bool = False
    """Sinks that can leave the paper out do so."""

    @property
    def colour(self) -> RGB:
        """Of what is drawn with: the ink, or with chalk the stick nearest to it (black gives white)."""
        if not self.chalk:
            return self.ink
        if max(self.ink) - min(self.ink) < 24:
            return CHALK
        red, green, blue = (round(255 - (255 - value) * _PASTEL) for value in self.ink)
        return red, green, blue

    @property
    def ground(self) -> RGB:
        """Colour of the paper or board under its texture."""
        return BOARD if self.chalk else _WHITE


def parse_ink(value: object) -> RGB:
    """A colour from a name of :data:`INKS`, ``#rrggbb``, or three numbers. Raises ConfigError."""
    if isinstance(value, str):
        if value.lower() in INKS:
            return INKS[value.lower()]
        if re.fullmatch(r"#[0-9a-fA-F]{6}", value):
            return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)
    elif isinstance(value, (tuple, list)) and len(value) == 3 and all(type(v) is int and 0 <= v <= 255 for v in value):
        return value[0], value[1], value[2]
    names = ", ".join(INKS)
    raise ConfigError(f"ink: expected {names} or a colour such as #1a1a1a; got {value!r}; choose one of these")


def checked_weight(value: float) -> float:
    """Raises ConfigError for what is not a number from -1 to 1."""
    number = float(value)
    if not (math.isfinite(number) and -1.0 <= number <= 1.0):
        raise ConfigError(f"weight: expected a number from -1 (thinner) to 1 (bolder); got {value}; give another")
    return number


def checked_split(value: float) -> float:
    """Raises ConfigError for what is not a share of the width, 0 to 1."""
    number = float(value)
    if not (math.isfinite(number) and 0.0 <= number <= 1.0):
        raise ConfigError(f"split: expected a share of the width from 0 to 1; got {value}; give one in between")
    return number
