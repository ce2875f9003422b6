"""Strips of what is drawn when something happens: a cut, a covered face, one that leaves, a lamp, a hand.

    python -m benchmarks.scenes [SCENE ...] [--model lite] [--smooth 0.5] [--out FOLDER]

Each scene of :mod:`benchmarks.staging` goes through the live program's own parts, tracker to compositor, once for each
layout of :data:`LAYOUTS`. One picture a scene shows a dozen frames around what happens: what the camera saw, and under
it what was drawn. Times are of the script, so that every run gives the same pictures.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

import engines
from benchmarks import machine
from benchmarks.staging import FPS, SCENES, Scene
from engines.errors import UserError
from realtime.aligner import Aligner
from realtime.compositor import Compositor
from realtime.controls import Controls, Layout
from realtime.core import Drawing, Frame
from realtime.models import face_landmarker
from realtime.smoothing import make_smoother
from realtime.stylizer import Stylizer
from realtime.trackers.mediapipe_face import MediaPipeFaceTracker
from realtime.wiring import MATTE_MODEL

Image = NDArray[np.uint8]

LAYOUTS: tuple[Layout, ...] = ("portrait", "inplace")
WIDTH_PX = 320
"""Of one picture of a strip."""
NEAR_PX = 2
"""Ink that the engine draws no ink so near to is not of this frame; px of a page at half its size."""
COLOURS = 128
_BAND = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One frame of a scene, as it was drawn in one layout. Pages are kept at half their size."""

    index: int
    camera: Image
    """(h, w, 3) uint8 RGB, what the camera saw, :data:`WIDTH_PX` wide."""
    page: Image
    """(H / 2, W / 2) uint8, the ink that was delivered: 0 = ink, 255 = paper."""
    drawn: Image
    """The same of what was drawn of this frame, neither steadied nor held."""
    faces: int
    """Found in this frame."""
    coloured: bool
    """Something of the delivered picture has a colour, which black ink on white paper never has."""

    @property
    def seconds(self) -> float:
        return self.index / FPS

    @property
    def coverage(self) -> float:
        """Ink, as a share of the page."""
        return float(255 - self.page.mean()) / 255

    @property
    def stray(self) -> float:
        """Share of the page with ink where none is drawn near."""
        return _beyond(self.page, self.drawn)

    @property
    def missing(self) -> float:
        """Share of the page with ink that is drawn, and none near is shown."""
        return _beyond(self.drawn, self.page)


def _beyond(page: Image, other: Image) -> float:
    near = cv2.erode(other, np.ones((2 * NEAR_PX + 1,) * 2, np.uint8))
    return float(((page < 128) & (near >= 128)).mean())


class Stage:
    """The live program's parts, opened once for all scenes."""

    def __init__(self, *, model: str = "lite", backend: str = "auto") -> None:
        with ExitStack() as opened:
            self._engine = opened.enter_context(engines.load(model, backend=backend, log=print))
            self._matter = opened.enter_context(engines.load_matte(MATTE_MODEL))
            self._opened = opened.pop_all()
        self.engine = f"{self._engine.name} on {self._engine.device}, model {model}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._opened.close()

    def play(self, scene: Scene, *, smooth: float = 0.5) -> Iterator[dict[Layout, Shot]]:
        """The scene, frame by frame, through tracker, aligner, engine, filter and, for each layout, compositor."""
        parts: dict[str, Any] = {
            "tracker": MediaPipeFaceTracker(asset=face_landmarker(), faces=1),
            "aligner": Aligner(matter=self._matter),
            "engine": self._engine,
            "make_smoother": make_smoother,
        }
        stylizers = {
            layout: Stylizer(**parts, compositor=Compositor(), controls=Controls(layout=layout, smooth=smooth))
            for layout in LAYOUTS
        }
        first = stylizers[LAYOUTS[0]]
        with first:
            for index, image in enumerate(scene.images()):
                frame = Frame(image=image, index=index, captured=index / FPS, pts=Fraction(index, FPS))
                portraits = first.locate(frame)
                fresh = first.draw(portraits)
                drawings = first.steady(fresh)
                yield {
                    layout: _shot(frame, stylizer.compose(frame, drawings), fresh, layout)
                    for layout, stylizer in stylizers.items()
                }


def _shot(frame: Frame, composed: Frame, fresh: Sequence[Drawing], layout: Layout) -> Shot:
    drawn = Compositor().compose(frame, fresh, layout, False).ink
    assert drawn is not None
    assert composed.ink is not None
    small = WIDTH_PX, round(WIDTH_PX * frame.image.shape[0] / frame.image.shape[1])
    return Shot(
        index=frame.index,
        camera=np.asarray(cv2.resize(frame.image, small, interpolation=cv2.INTER_AREA), np.uint8),
        page=_halved(composed.ink.page),
        drawn=_halved(drawn.page),
        faces=len(fresh),
        coloured=bool((composed.image != composed.image[..., :1]).any()),
    )


def _halved(page: Image) -> Image:
    return np.asarray(cv2.resize(page, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def figures(scene: Scene, shots: Sequence[Shot]) -> dict[str, float]:
    """What a scene comes to.

    All but ``stale_s`` are shares of the ink before the event, the worst of all frames with a face. ``stray``: ink that
    is not of the frame. ``missing``: ink of the frame that is not shown. ``jump``: change of ink from one frame to the
    next, none of them a cut. ``stale_s``: the longest that ink stood on the page with no face found.
    """
    before = float(np.mean([shot.coverage for shot in shots[scene.event - 4 : scene.event]]))
    stale = longest = 0
    for shot in shots:
        stale = stale + 1 if not shot.faces and shot.coverage > 0 else 0
        longest = max(longest, stale)
    there = [shot for shot in shots if shot.faces]
    pairs = [(a, b) for a, b in pairwise(there) if b.index == a.index + 1 and b.index != scene.cut]
    return {
        "stray": max(shot.stray for shot in there) / before,
        "missing": max(shot.missing for shot in there) / before,
        "jump": max(abs(a.coverage - b.coverage) for a, b in pairs) / before,
        "stale_s": longest / FPS,
    }


def strip(scene: Scene, rows: Sequence[Sequence[Shot]]) -> Image:
    """The scene's dozen frames: (H, W, 3) uint8 RGB. What the camera saw, and what was drawn in each layout."""
    columns = []
    for index in scene.shown:
        shots = [row[index] for row in rows]
        band = np.full((_BAND, WIDTH_PX, 3), 255, np.uint8)
        label = f"{shots[0].seconds:.2f} s" + ("" if shots[0].faces else "  no face found")
        cv2.putText(band, label, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
        pages = [np.asarray(cv2.cvtColor(shot.page, cv2.COLOR_GRAY2RGB), np.uint8) for shot in shots]
        columns.append(np.vstack([band, *(_framed(picture) for picture in (shots[0].camera, *pages))]))
    half = len(columns) // 2
    return np.vstack([np.hstack(columns[:half]), np.hstack(columns[half:])])


def _framed(picture: Image) -> Image:
    """Scaled down, with a line of grey around it."""
    size = WIDTH_PX - 2, round((WIDTH_PX - 2) * picture.shape[0] / picture.shape[1])
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.copyMakeBorder(small, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(190, 190, 190)), np.uint8)


def _save(path: Path, picture: Image) -> None:
    """A PNG of few colours: a sensor's noise would make it five times as large."""
    few = PIL.Image.fromarray(picture).quantize(COLOURS, method=PIL.Image.Quantize.MAXCOVERAGE)
    few.save(path, optimize=True)


def table(report: dict[str, Any]) -> str:
    """Markdown: a row for each scene and layout."""
    told = report["machine"]
    lines = [
        f"# Scenes, {told['date'][:10]}",
        "",
        f"{report['engine']}; filter at {report['smooth']}; Python {told['python']}, {told['system']}.",
        f"`{report['command']}`",
        "",
        *(" ".join(line.split()) for line in (figures.__doc__ or "").split("\n\n")[1:]),
        "",
        "| scene | layout | stray | missing | jump | stale s | picture |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in report["scenes"]:
        values = f"{one['stray']:.3f} | {one['missing']:.3f} | {one['jump']:.3f} | {one['stale_s']:.2f}"
        lines.append(f"| {one['told']} | {one['layout']} | {values} | [{one['picture']}]({one['picture']}) |")
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    names = [scene.name for scene in SCENES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scenes", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("scenes", nargs="*", metavar="SCENE", help=f"of {', '.join(names)} (default: all)")
    parser.add_argument("--model", default="lite", help="file, or name in models/ (default lite)")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--smooth", type=float, default=0.5, help="strength of the filter over time (default 0.5)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder (default out)")
    args = parser.parse_args(argv)
    try:
        if unknown := set(args.scenes) - set(names):
            raise UserError(
                f"expected scenes of {', '.join(names)}, got {', '.join(sorted(unknown))}; check the spelling"
            )
        args.out.mkdir(parents=True, exist_ok=True)
        report: dict[str, Any] = {"machine": machine.describe(), "smooth": args.smooth, "scenes": []}
        report["command"] = " ".join(["python -m benchmarks.scenes", *args.scenes, "--smooth", str(args.smooth)])
        stem = f"scenes-{report['machine']['date'][:10]}"
        with Stage(model=args.model, backend=args.engine) as stage:
            report["engine"] = stage.engine
            for scene in (one for one in SCENES if not args.scenes or one.name in args.scenes):
                played = list(stage.play(scene, smooth=args.smooth))
                rows = [[shots[layout] for shots in played] for layout in LAYOUTS]
                picture = args.out / f"{stem}-{scene.name}.png"
                _save(picture, strip(scene, rows))
                for layout, shots in zip(LAYOUTS, rows, strict=True):
                    told = {"name": scene.name, "told": scene.told, "layout": layout, "picture": picture.name}
                    report["scenes"].append({**told, **figures(scene, shots)})
        print(text := table(report))
        (args.out / f"{stem}.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        (args.out / f"{stem}.md").write_text(text, encoding="utf-8")
    except (UserError, OSError) as error:
        print(f"scenes: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
