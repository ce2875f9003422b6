"""How much drawings boil from frame to frame, before anything smooths them.

    python -m benchmarks.flicker CLIP ... --model A [--model B ...] [--frames N] [--engine auto] [--json FILE]

Faces are tracked and aligned exactly as the live program does it; every model then draws the same portraits, and no
smoother touches the drawings. Frames that a clip merely repeats are tracked, as a live run would, but not drawn.

Between the drawings of one face in two distinct frames in a row, a pixel *toggles* when it is ink (grey < 128) in one
and paper in the other. Told are, over all such pairs:

- *toggles / ink*: toggles for each pixel of ink (the mean of both drawings);
- *still*: the same of the pixels over which the photo did not change, which is flicker and not motion: blurred by
  1.5 px, no channel of it moved by 3 levels;
- *worst 5 %*: the same, of the pair at the 95th percentile;
- *toggles / outline*: toggles for each pixel of the ink's outline, where they can be: a model that draws more lines
  has more of it;
- *grey*: mean absolute change of a pixel, grey levels;
- *photo*: the same of the aligned photo under the person's matte, that is, how much there was to follow.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import engines
from apdgan.alignment import boxes
from benchmarks import machine
from engines.errors import UserError
from realtime.aligner import Aligner
from realtime.compositor import Compositor
from realtime.controls import Controls
from realtime.core import Frame, Portrait
from realtime.models import face_landmarker
from realtime.smoothing import make_smoother
from realtime.sources.video import VideoSource
from realtime.stylizer import Stylizer
from realtime.wiring import MATTE_MODEL
from train.metrics import ink_of, outline_of

REPEAT_SHARE = 0.35
"""A frame that changes less than this share of what its neighbours change is a repeat that was encoded again."""
REPEAT_MOVES = 1.5
"""Where the neighbours themselves change by fewer grey levels than this, a repeat cannot be told from stillness."""
NEIGHBOURS = 8
"""Frames looked at to either side."""
STILL_SIGMA_PX, STILL_LEVELS = 1.5, 3
"""The photo under a pixel is at rest when, blurred so far, no channel changes by so many levels."""

Ink = NDArray[np.uint8]


def changes(clip: Path, frames: int | None) -> NDArray[np.float64]:
    """Mean change of each frame from the one before, grey levels (the largest channel counts); inf for the first."""
    found: list[float] = []
    last: NDArray[np.uint8] | None = None
    for frame in _frames(clip, frames):
        image = np.ascontiguousarray(frame.image)
        same = last is not None and last.shape == image.shape
        found.append(float(cv2.absdiff(image, last).max(-1).mean()) if same and last is not None else float("inf"))
        last = image
    return np.array(found)


def repeats(change: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which frames repeat the one before them, from :func:`changes`. Bit-for-bit repeats are always found."""
    out = change == 0
    for i, one in enumerate(change):
        near = change[max(0, i - NEIGHBOURS) : i + NEIGHBOURS + 1]
        usual = float(np.quantile(near[np.isfinite(near)], 0.75)) if np.isfinite(near).any() else 0.0
        out[i] |= usual >= REPEAT_MOVES and one < REPEAT_SHARE * usual
    return np.asarray(out, np.bool_)


@dataclass(slots=True, kw_only=True)
class Flicker:
    """What is counted of one model."""

    toggles: list[int] = field(default_factory=list)
    ink: list[float] = field(default_factory=list)
    outline: list[float] = field(default_factory=list)
    grey: list[float] = field(default_factory=list)
    still_toggles: int = 0
    still_ink: float = 0.0

    def add(self, before: Ink, after: Ink, still: NDArray[np.bool_] | None = None) -> None:
        """Two drawings in a row of one face, (H, W) uint8; ``still`` (H, W) is where the photo was at rest."""
        a, b = ink_of(before), ink_of(after)
        if still is not None:
            self.still_toggles += int(((a ^ b) & still).sum())
            self.still_ink += 0.5 * (int((a & still).sum()) + int((b & still).sum()))
        self.toggles.append(int((a ^ b).sum()))
        self.ink.append(0.5 * (int(a.sum()) + int(b.sum())))
        self.outline.append(0.5 * (int(outline_of(a).sum()) + int(outline_of(b).sum())))
        self.grey.append(float(cv2.absdiff(before, after).mean()))

    def figures(self) -> dict[str, float]:
        """By name; empty when there was no pair."""
        if not self.toggles:
            return {}
        each = np.array(self.toggles) / np.maximum(self.ink, 1)
        return {
            "toggles_per_ink": sum(self.toggles) / max(sum(self.ink), 1),
            "still_toggles_per_ink": self.still_toggles / max(self.still_ink, 1),
            "toggles_per_ink_p95": float(np.percentile(each, 95)),
            "toggles_per_outline": sum(self.toggles) / max(sum(self.outline), 1),
            "grey_change": float(np.mean(self.grey)),
            "ink_px": float(np.mean(self.ink)),
        }


def measure(clip: Path, models: Mapping[str, engines.Engine], *, frames: int | None = None) -> dict[str, Any]:
    """Flicker of every model on one clip.

    Args:
        clip: a video file.
        models: name -> engine; all draw the same portraits.
        frames: read so many frames; None reads all.
    Returns:
        ``frames``, ``repeats``, ``pairs`` (compared), ``photo_change`` and ``models``: name -> figures.
    Raises:
        UserError: the clip cannot be read, or no face is in two of its frames in a row.
    """
    repeated = repeats(changes(clip, frames))
    counts = {name: Flicker() for name in models}
    photo: list[float] = []
    before: dict[int, tuple[Portrait, dict[str, Ink]]] = {}
    for frame, portraits in located(clip, frames, next(iter(models.values()))):
        if repeated[frame.index]:
            continue
        now = {portrait.face_id: (portrait, _draw(models, portrait)) for portrait in portraits}
        for face in now.keys() & before.keys():
            photo.append(_photo_change(before[face][0], now[face][0]))
            still = at_rest(before[face][0].photo, now[face][0].photo)
            for name, count in counts.items():
                count.add(before[face][1][name], now[face][1][name], still)
        before = now
    if not photo:
        raise UserError(f"{clip}: expected a face in two frames in a row, found none; choose another clip")
    return {
        "clip": clip.name,
        "frames": len(repeated),
        "repeats": int(repeated.sum()),
        "pairs": len(photo),
        "photo_change": float(np.mean(photo)),
        "models": {name: count.figures() for name, count in counts.items()},
    }


def _frames(clip: Path, limit: int | None) -> Iterator[Frame]:
    with closing(VideoSource(path=clip)) as source:
        for frame in source:
            if limit is not None and frame.index >= limit:
                return
            yield frame


def located(clip: Path, limit: int | None, engine: engines.Engine) -> Iterator[tuple[Frame, list[Portrait]]]:
    """Every frame with its portraits, by the live program's own stylizer."""
    from realtime.trackers.mediapipe_face import MediaPipeFaceTracker

    with engines.load_matte(MATTE_MODEL) as matter:
        stylizer = Stylizer(
            tracker=MediaPipeFaceTracker(asset=face_landmarker(), faces=1),
            aligner=Aligner(matter=matter),
            engine=engine,
            make_smoother=make_smoother,
            compositor=Compositor(),
            controls=Controls(smooth=0.0),
        )
        with stylizer:
            for frame in _frames(clip, limit):
                yield frame, stylizer.locate(frame)


def _draw(models: Mapping[str, engines.Engine], portrait: Portrait) -> dict[str, Ink]:
    corners = boxes(portrait.landmarks)[None]
    return {name: one.draw(portrait.photo[None], corners, portrait.matte[None])[0] for name, one in models.items()}


def at_rest(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where two aligned photos (H, W, 3) uint8 show the same: (H, W) bool."""
    a, b = (cv2.GaussianBlur(one, (0, 0), STILL_SIGMA_PX) for one in (before, after))
    return np.asarray(cv2.absdiff(a, b).max(-1) < STILL_LEVELS, np.bool_)


def _photo_change(before: Portrait, after: Portrait) -> float:
    person = (before.matte >= 128) & (after.matte >= 128)
    change = cv2.absdiff(*(cv2.cvtColor(one.photo, cv2.COLOR_RGB2GRAY) for one in (before, after)))
    return float(change[person].mean()) if person.any() else 0.0


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """Markdown: one table a clip, each model beside the first."""
    lines: list[str] = []
    for result in results:
        lines += [
            f"{result['clip']}: {result['pairs']} pairs of {result['frames']} frames ({result['repeats']} repeats left "
            f"out), photo {result['photo_change']:.2f}",
            "",
            "| model | toggles / ink | beside the first | still | beside the first | worst 5 % | toggles / outline | "
            "grey | ink px |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        first = next(iter(result["models"].values()))
        for name, f in result["models"].items():
            pairs = [(f[key], first[key]) for key in ("toggles_per_ink", "still_toggles_per_ink")]
            all_, still = (f"{one:.4f} | {one / other:.2f}" if other else f"{one:.4f} | -" for one, other in pairs)
            lines.append(
                f"| {name} | {all_} | {still} | {f['toggles_per_ink_p95']:.4f} | "
                f"{f['toggles_per_outline']:.4f} | {f['grey_change']:.2f} | {f['ink_px']:.0f} |"
            )
        lines.append("")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flicker", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--model", action="append", required=True, help="file, or name in models/; give it again")
    parser.add_argument("--frames", type=int, help="read so many frames of each clip (default: all)")
    parser.add_argument("--engine", default="auto", help="for all models (default: each its own best)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args(argv)
    try:
        if len(set(args.model)) != len(args.model):
            raise UserError("--model: expected different models, got one twice; name each once")
        if args.frames is not None and args.frames < 2:
            raise UserError(f"--frames: expected 2 or more, got {args.frames}; leave it out for the whole clip")
        with ExitStack() as opened:
            models = {
                name: opened.enter_context(engines.load(name, backend=args.engine, log=lambda line: print(line)))
                for name in args.model
            }
            results = [measure(clip, models, frames=args.frames) for clip in args.clips]
            ran = {name: f"{engine.name}, {engine.device}" for name, engine in models.items()}
        print(f"\n{table(results)}")
        if args.json is not None:
            text = json.dumps({"machine": machine.describe(), "engines": ran, "clips": results}, indent=1)
            args.json.write_text(text + "\n", encoding="utf-8")
    except (UserError, OSError) as error:
        print(f"flicker: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
