"""What takes minutes: bad lines, vanished peers, networks that are gone, rubbish; the product with its models."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.attack import failures as attack_failures
from benchmarks.attack import measure as attack
from benchmarks.chromium import find_chromium
from benchmarks.namespaces import can_cut
from benchmarks.outage import failures, measure

pytestmark = pytest.mark.soak


@pytest.mark.parametrize("part", ["loss", "vanish", "page"])
def test_all_is_well_soon_after_an_outage(part: str) -> None:
    if part == "page" and (not can_cut() or find_chromium() is None):
        pytest.skip("needs root, ip and Chromium")
    assert failures(asyncio.run(measure(parts=[part], clip=None))) == []


def test_rubbish_does_not_disturb_who_is_drawn() -> None:
    assert attack_failures(asyncio.run(attack(requests=2000, rate=100, seed=21, clip=None))) == []
