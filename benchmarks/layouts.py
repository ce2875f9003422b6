"""Every layout of a clip, for the eye; and how calm the portrait stands, in figures.

    python -m benchmarks.layouts [CLIP | SCENE ...] [--size 1280x720] [--frames 45] [--every 15] [--out out/layouts]

Frames of the clip (or of a scene of :mod:`benchmarks.staging`; the demo portrait, when none is named) go through the
live program's own parts, and each drawing is composed in every layout. Written are whole pages, a PNG for each layout
and frame looked at, and one sheet of them all. The figures are of the layout ``portrait``: where the face's mesh
lies on the page, and how far it goes from one frame to the next.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from itertools import count, islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import engines
from apdgan.alignment import SIZE, transform
from benchmarks.staging import FPS, HEIGHT, SCENES, WIDTH
from engines.errors import UserError
from realtime.aligner import Aligner
from realtime.compositor import Compositor
from realtime.controls import LAYOUTS, Controls
from realtime.core import Face, Frame
from realtime.models import face_landmarker
from realtime.puppet import Puppet
from realtime.smoothing import make_smoother
from realtime.sources.video import VideoSource
from realtime.stylizer import Stylizer
from realtime.trackers.mediapipe_face import MediaPipeFaceTracker
from realtime.wiring import MATTE_MODEL

Image = NDArray[np.uint8]
SHEET_PX = 480
GREY = (180, 180, 180)


class _Watched:
    """A tracker whose last faces can be asked for."""

    def __init__(self) -> None:
        self._tracker = MediaPipeFaceTracker(asset=face_landmarker(), faces=1)
        self.last: Sequence[Face] = ()

    def track(self, frame: Frame) -> Sequence[Face]:
        self.last = self._tracker.track(frame)
        return self.last

    def close(self) -> None:
        self._tracker.close()


def frames_of(name: str) -> Iterator[Frame]:
    """The frames of a clip, of a scene by its name, or of ``demo``."""
    if Path(name).suffix:
        source = VideoSource(path=name)
        try:
            yield from source
        finally:
            source.close()
        return
    scene = next((one for one in SCENES if one.name == name), None)
    if scene is None and name != "demo":
        names = ", ".join(["demo", *(one.name for one in SCENES)])
        raise UserError(f"expected a clip or one of {names}, got {name!r}; check the spelling")
    puppet = Puppet(width=WIDTH, height=HEIGHT, fps=FPS)
    images: Iterable[Image] = scene.images() if scene else (puppet.render(index) for index in count())
    for index, image in enumerate(images):
        yield Frame(image=image, index=index, captured=index / FPS, pts=Fraction(index, FPS))


def compose_all(
    frames: Iterable[Frame], engine: engines.Engine, size: tuple[int, int] | None, out: Path, every: int
) -> tuple[list[list[Image]], NDArray[np.float64]]:
    """Pages of the frames looked at, in the order of LAYOUTS and saved into ``out``; and where the face stood.

    Returns:
        The pages, (H, W, 3) uint8 RGB, and (frames with a face, 3) float64: x and y of the mesh's mean on the page of
        ``portrait``, px, and its spread.
    """
    looked: list[list[Image]] = []
    stood = []
    tracker = _Watched()
    with ExitStack() as opened:
        matter = opened.enter_context(engines.load_matte(MATTE_MODEL))
        aligner = Aligner(matter=matter)
        stylizers = [
            Stylizer(
                tracker=tracker,
                aligner=aligner,
                engine=engine,
                make_smoother=make_smoother,
                compositor=Compositor(size=size),
                controls=Controls(layout=layout),
            )
            for layout in LAYOUTS
        ]
        opened.enter_context(stylizers[0])
        for frame in frames:
            portraits = stylizers[0].locate(frame)
            drawings = stylizers[0].steady(stylizers[0].draw(portraits))
            pages = [stylizer.compose(frame, drawings).image for stylizer in stylizers]
            if portraits:
                mesh = transform(portraits[0].matrix, tracker.last[0].landmarks) * (min(pages[0].shape[:2]) / SIZE)
                stood.append([*mesh.mean(0), np.sqrt(((mesh - mesh.mean(0)) ** 2).sum(1).mean())])
            if frame.index % every == 0:
                looked.append(pages)
                for layout, page in zip(LAYOUTS, pages, strict=True):
                    cv2.imwrite(str(out / f"{layout}-{frame.index:03d}.png"), page[..., ::-1])
                cv2.imwrite(str(out / f"camera-{frame.index:03d}.png"), frame.image[..., ::-1])
    return looked, np.array(stood)


def sheet(looked: Sequence[Sequence[Image]]) -> Image:
    """A row for each layout, a column for each frame looked at: (H, W, 3) uint8 RGB."""
    rows = []
    for pages in zip(*looked, strict=True):
        height = round(SHEET_PX * pages[0].shape[0] / pages[0].shape[1])
        small = [cv2.resize(page, (SHEET_PX - 2, height), interpolation=cv2.INTER_AREA) for page in pages]
        rows.append(np.hstack([cv2.copyMakeBorder(one, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=GREY) for one in small]))
    widest = max(row.shape[1] for row in rows)
    return np.vstack([np.pad(row, ((0, 0), (0, widest - row.shape[1]), (0, 0)), constant_values=255) for row in rows])


def told(name: str, stood: NDArray[np.float64]) -> str:
    """One line: how far the face strays on the page, and how far it goes from frame to frame."""
    if len(stood) < 2:
        return f"{name}: no face in two frames"
    x, y, spread = stood.std(0)
    step = np.sqrt((np.diff(stood[:, :2], axis=0) ** 2).sum(1).mean())
    return (
        f"{name}: {len(stood)} frames with a face; std of x {x:.2f} px, y {y:.2f} px, size "
        f"{spread / stood[:, 2].mean():.2%}; from frame to frame {step:.2f} px"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.layouts", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("clips", nargs="*", default=["demo"], metavar="CLIP", help="a file, a scene, or demo")
    parser.add_argument("--size", type=int, nargs=2, metavar=("W", "H"), default=(1280, 720), help="px of the pages")
    parser.add_argument("--frames", type=int, default=45, help="of each clip (default 45)")
    parser.add_argument("--every", type=int, default=15, help="look at one frame in so many (default 15)")
    parser.add_argument("--model", default="lite")
    parser.add_argument("--out", type=Path, default=Path("out/layouts"))
    args = parser.parse_args(argv)
    try:
        with engines.load(args.model, log=print) as engine:
            for name in args.clips:
                out = args.out / Path(name).stem
                out.mkdir(parents=True, exist_ok=True)
                frames = islice(frames_of(name), args.frames)
                looked, stood = compose_all(frames, engine, tuple(args.size), out, max(1, args.every))
                if looked:
                    cv2.imwrite(str(args.out / f"{Path(name).stem}.png"), sheet(looked)[..., ::-1])
                print(told(Path(name).name, stood), flush=True)
    except (UserError, OSError) as error:
        print(f"layouts: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
