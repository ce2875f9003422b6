"""The measurements of the wire: same dice same rubbish, slopes and pictures, tables that tell what is not well."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks import attack, churn, outage, soak
from benchmarks.drift import doubt, picture, slope
from benchmarks.rubbish import Own, Request, Rubbish, mutated

MACHINE = {"date": "2026-01-02T03:04", "cpu": "a processor", "cores": 2, "python": "3.11"}
HOLDS = {"rss_mb": 100.0, "heap_mb": 50.0, "tasks": 1, "threads": 5, "descriptors": 9, "sessions": 1}


def some(seed: int, count: int = 200) -> list[Request]:
    own = Own(path="/session/x", etag='"x"', user="abcd")
    offer = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n"
    rubbish = Rubbish(seed=seed, offers=[offer], watching=offer, token="t", own=lambda: own)
    return [rubbish.next() for _ in range(count)]


def test_the_same_dice_bring_the_same_rubbish_of_every_kind() -> None:
    assert some(1) == some(1)
    assert some(1) != some(2)
    assert {one.kind for one in some(1)} == {"offer", "whip", "whep", "sdpfrag", "json", "headers", "place"}
    assert all(isinstance(one.raw("host"), bytes) for one in some(1))


def test_what_is_changed_is_not_what_it_was_and_nothing_is_too_little_to_change() -> None:
    text = "\r\n".join(f"a=line:{index}" for index in range(20))
    assert sum(mutated(text, random.Random(seed)) != text for seed in range(50)) > 40
    for seed in range(200):
        mutated("", random.Random(seed))


def test_headers_that_are_given_are_not_given_twice() -> None:
    request = Request(kind="", method="POST", path="/", headers=(("host", "other"), ("X", "y")), body=b"ab")
    head, _, body = request.raw("mine").partition(b"\r\n\r\n")
    assert head.split(b"\r\n")[1:] == [b"Connection: close", b"Content-Length: 2", b"host: other", b"X: y"]
    assert body == b"ab"


def test_a_slope_leaves_the_warm_up_out() -> None:
    points = [{"minutes": float(x), "rss_mb": 500.0 if x < 5 else 100.0 + 2 * x} for x in range(20)]
    assert slope(points, x="minutes", y="rss_mb", warm_up=5) == pytest.approx(2.0)
    assert slope(points[:6], x="minutes", y="rss_mb", warm_up=5) == 0.0
    assert doubt(points[:6], x="minutes", y="rss_mb", warm_up=5) == 0.0


def test_a_slope_is_in_doubt_as_its_points_scatter() -> None:
    points = [{"x": float(x), "y": 2.0 * x + (-1) ** x} for x in range(200)]
    assert doubt(points, x="x", y="y", warm_up=0) == pytest.approx(1 / np.sqrt(200**3 / 12), rel=0.02)
    assert doubt([{**one, "y": one["x"]} for one in points], x="x", y="y", warm_up=0) == pytest.approx(0, abs=1e-9)


def test_a_picture_shows_every_line(tmp_path: Path) -> None:
    points = [{"visits": float(x), "rss_mb": 100.0, "heap_mb": 40.0} for x in range(10)]
    path = tmp_path / "one.png"
    picture(path, points, title="memory", x="visits", names=churn.NAMES, warm_up=2)
    with Image.open(path) as image:
        colours = {tuple(one) for one in np.asarray(image).reshape(-1, 3).tolist()}
    assert {(20, 20, 20), (180, 60, 40)} <= colours


def an_attack(**changed: Any) -> dict[str, Any]:
    peer = {"fps_quiet": 20.0, "fps_during": 19.0, "share": 0.95, "age_ms_p95_during": 90}
    return {
        "requests": 10,
        "seed": 1,
        "seconds": 1.0,
        "answers": {"201": 1, "400": 8, "503": 1},
        "by_kind": {"whip": {"400": 8, "503": 1}, "good": {"201": 1}},
        "silent": [],
        "lines": {"session-opened": 1},
        "server_alive": True,
        "server_exit": 0,
        "good_peer": {**peer, "still_drawn": True},
        "before": HOLDS,
        "after": HOLDS,
        "refusals": [{"what": "no token", "expected": [401], "got": 401, "seconds": 0.5}],
        **changed,
    }


def test_an_attack_tells_what_is_not_well() -> None:
    assert attack.failures(an_attack()) == []
    assert "All is well." in attack.table({"machine": MACHINE, "run": an_attack()})
    bad = an_attack(
        answers={"500": 2, "400": 8},
        after={**HOLDS, "descriptors": 10},
        silent=["whip POST /whip"],
        server_exit=-11,
        refusals=[{"what": "no token", "expected": [401], "got": 201, "seconds": 0.5}],
    )
    bad["good_peer"] = {**bad["good_peer"], "share": 0.89}
    told = "; ".join(attack.failures(bad))
    for words in ("2 answers 500", "descriptors: 9 before, 10 after", "without any end", "ended", "89%", "no token"):
        assert words in told


def test_an_outage_tells_what_is_not_well() -> None:
    ages = {"p50": 80.0, "p95": 100.0}
    line = {
        "client": "aiortc",
        "loss": 0.05,
        "late": 0.05,
        "seconds": 10.0,
        "fps_before": 20.0,
        "fps_during": 15.0,
        "fps_after": 20.0,
    }
    line |= {"age_ms_before": ages, "age_ms_during": ages, "age_ms_after": ages, "age_ms_most": 300.0}
    good = {
        "machine": MACHINE,
        "clip": "demo",
        "loss": [{**line, "longest_still_s": 0.4, "recovered_s": 0.3}],
        "vanish": [{"signal": "SIGKILL", "free_after_s": 5.1}],
        "page": [{"what": "the bridge", "seconds": 3.0, "back_after_s": 0.5, "said": []}],
    }
    assert outage.failures(good) == []
    assert "| 5% |" in outage.table(good)
    bad = {
        "loss": [{**good["loss"][0], "recovered_s": None}],
        "vanish": [{"signal": "SIGSTOP", "free_after_s": 6.1}],
        "page": [{**good["page"][0], "back_after_s": None}],
    }
    assert len(outage.failures(bad)) == 3


def test_churn_and_soak_tell_their_slopes() -> None:
    slopes = {"rss_mb": 1.5, "heap_mb": -0.5}
    one = {"visits": 10, "drawn": 9, "seconds": 9.0, "before": HOLDS, "after": HOLDS, "warm_up_visits": 2.0}
    sure = {"give_or_take": {"rss_mb": 0.2, "heap_mb": 0.1}}
    said = churn.table({"machine": MACHINE, "run": {**one, **sure, "kb_a_visit": slopes}})
    assert "+1.5 KiB of resident memory a visit, give or take 0.2; in use on the C heap" in said
    figures = {"fps": 20.0, "age_ms": {"p50": 80.0, "p95": 100.0}}
    long = {"minutes": 20.0, "peers": [[figures] * 3] * 2, "before": HOLDS, "during": HOLDS, "after": HOLDS}
    run = {**long, **sure, "server_exit": 0, "warm_up_minutes": 5.0, "mb_an_hour": slopes}
    told = soak.table({"machine": MACHINE, "run": run})
    assert "+1.5 MB of resident memory an hour, give or take 0.2; in use on the C heap -0.5 MB" in told
    assert told.count("| 20.0 | 80 ms | 100 ms |") == 6
    assert "Not well" not in told
    long["peers"] = [[figures] * 3, [figures, figures, {**figures, "fps": 0.0}]]
    run["peers"] = long["peers"]
    assert "Not well: 1 of them were lost" in soak.table({"machine": MACHINE, "run": run})
