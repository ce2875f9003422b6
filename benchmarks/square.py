"""Whether the square stands still on a head that is still, and keeps up with one that moves.

    python -m benchmarks.square CLIP ... [--frames N] [--out FOLDER]

Faces are tracked and aligned exactly as the live program does it. Beside the square (*steadied*) stand the one that the
landmarks of each frame alone would lay (*landmarks*), and one that the picture alone carries, never drawn towards the
landmarks (*carried*): it moves as the head does. Corners are looked at on the frame, in its pixels. Told are, of the
face that is seen longest:

- *raw*: standard deviation of a corner's place over the clip (root mean square over x, y and the four corners). Of a
  person who moves at all it tells the person's motion too, as *carried* shows;
- *tremble*: the same once the mean over the second around each frame is taken off; *quick*: over 0.3 s;
- *own*: tremble and quick of the difference between steadied and carried corners: what the square does by itself, on a
  head that is taken to stand where the picture carries it;
- *off*: distance of the square's middle from that of the landmarks' square, as a share of its width: median, p95, most;
  *corners*: the same of the corners, on average over the four, p95;
- *lag*: the part of *off* that lies behind in the direction of motion, where the landmarks' square moves by a tenth of
  its width a second or more: mean, and p95. Tremble of the landmarks is in *off*, but cancels in the mean lag.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apdgan.alignment import SIZE, fit_similarity, invert, transform
from benchmarks import machine
from engines.errors import UserError
from realtime.aligner import Aligner, five_points
from realtime.models import face_landmarker
from realtime.registration import Pull
from realtime.sources.video import VideoSource
from realtime.trackers.mediapipe_face import MediaPipeFaceTracker

CORNERS: NDArray[np.float64] = np.array([(0, 0), (SIZE, 0), (SIZE, SIZE), (0, SIZE)], dtype=np.float64)
MOVING = 0.1
"""Square widths a second from which a head moves."""
STILL_PX, LAG = 0.3, 0.02
"""What is aimed at: the square's own tremble on a clip that is nearly still, lag on one that moves."""
TREMBLE_S, QUICK_S = 1.0, 0.3
CARRIED = Pull(rest_hz=1e-9, gain_hz=0.0)

NAMES = ("steadied", "landmarks", "carried")
Track = NDArray[np.float64]
"""(frames, 4, 2) px: the corners on the frame."""


def follow(clip: Path, frames: int | None) -> tuple[dict[str, Track], float]:
    """Corners by name (steadied, landmarks, carried), and frames a second, of the face that is seen longest.

    Raises:
        UserError: the clip cannot be read, or no face is seen for a second.
    """
    seen: dict[int, list[tuple[Track, Track, Track]]] = {}
    aligner, carrier = Aligner(matter=None), Aligner(matter=None, pull=CARRIED)
    with (
        closing(VideoSource(path=clip)) as source,
        MediaPipeFaceTracker(asset=face_landmarker(), faces=1) as tracker,
    ):
        fps = source.info.fps
        for frame in source:
            if frames is not None and frame.index >= frames:
                break
            faces = {face.id: face for face in tracker.track(frame)}
            both = (one.align(frame, list(faces.values())) for one in (aligner, carrier))
            for steadied, carried in zip(*both, strict=True):
                fitted = fit_similarity(five_points(faces[steadied.face_id].landmarks))
                matrices = steadied.matrix.astype(np.float64), fitted, carried.matrix.astype(np.float64)
                a, b, c = (corners(matrix) for matrix in matrices)
                seen.setdefault(steadied.face_id, []).append((a, b, c))
    longest = max(seen.values(), key=len, default=[])
    if len(longest) < fps:
        raise UserError(f"{clip}: expected a face for a second, found one for {len(longest)} frames; choose another")
    tracks = (np.stack(one) for one in zip(*longest, strict=True))
    return dict(zip(NAMES, tracks, strict=True)), fps


def corners(matrix: NDArray[np.float64]) -> Track:
    """(2, 3) frame -> square, to (4, 2) px of the frame."""
    return transform(invert(matrix), CORNERS)


def deviation(track: Track) -> float:
    """Standard deviation of a corner's x and y, px: root mean square over both and all four."""
    return float(np.sqrt(track.var(0).mean()))


def trembling(track: Track, fps: float, seconds: float = TREMBLE_S) -> Track:
    """What is left of corners without their mean over the time around each frame; the ends are left out."""
    window = 2 * round(fps * seconds / 2) + 1
    flat = track.reshape(len(track), -1)
    sums = np.cumsum(np.vstack([np.zeros((1, flat.shape[1])), flat]), axis=0)
    mean = (sums[window:] - sums[:-window]) / window
    reach = window // 2
    return (flat[reach : len(flat) - reach] - mean).reshape(-1, *track.shape[1:])


def behind(steadied: Track, landmarks: Track, fps: float) -> NDArray[np.float64]:
    """How far the square lies behind, in square widths, in each frame in which the head moves; negative: ahead."""
    width = np.linalg.norm(landmarks[:, 1] - landmarks[:, 0], axis=-1)
    # Speed by differences over five frames: a tremble is no motion.
    middle = landmarks.mean(1)
    speed = np.zeros_like(middle)
    speed[2:-2] = (middle[4:] - middle[:-4]) * (fps / 4)
    fast = np.linalg.norm(speed, axis=-1)
    moving = fast >= MOVING * width
    away = (landmarks - steadied).mean(1)
    return np.asarray((away * speed).sum(-1)[moving] / fast[moving] / width[moving], np.float64)


def figures(tracks: Mapping[str, Track], fps: float) -> dict[str, Any]:
    """By name, as the module tells them."""
    steadied, landmarks, carried = (tracks[name] for name in NAMES)
    width = np.linalg.norm(landmarks[:, 1] - landmarks[:, 0], axis=-1)
    told: dict[str, Any] = {"frames": len(steadied), "width_px": float(np.median(width))}
    for name, track in (*tracks.items(), ("own", steadied - carried)):
        told[name] = {
            "raw_px": deviation(track),
            "tremble_px": deviation(trembling(track, fps)),
            "quick_px": deviation(trembling(track, fps, QUICK_S)),
        }
    away = steadied - landmarks
    off, apart = np.linalg.norm(away.mean(1), axis=-1) / width, np.linalg.norm(away, axis=-1).mean(1) / width
    told["off"] = {"median": float(np.median(off)), "p95": float(np.percentile(off, 95)), "most": float(off.max())}
    told["corners_p95"] = float(np.percentile(apart, 95))
    late = behind(steadied, landmarks, fps)
    told["moving"] = len(late) / len(steadied)
    told["lag"] = {"mean": float(late.mean()), "p95": float(np.percentile(late, 95))} if len(late) else None
    return told


def table(report: Mapping[str, Any]) -> str:
    """Markdown."""
    on = report["machine"]
    lines = [
        f"# The square on the head, {on['date'][:10]}",
        "",
        f"{on['cpu']}, {on['system']}, Python {on['python']}.",
        f"`{report['command']}`",
        "",
        "Columns are told in `benchmarks/square.py`; px are of the clip's frame.",
        f"Aimed at: the square's own tremble at most {STILL_PX} px on a clip that is nearly still, lag at most "
        f"{LAG:.0%} of its width on one that moves.",
        "",
        "| clip | frames, width | | raw px | tremble px | quick px |",
        "|---|---|---|---|---|---|",
    ]
    for clip, one in report["clips"].items():
        for name in (*NAMES, "own"):
            cells = " | ".join(f"{one[name][key]:.3f}" for key in ("raw_px", "tremble_px", "quick_px"))
            lines.append(f"| {clip} | {one['frames']}, {one['width_px']:.0f} px | {name} | {cells} |")
    lines += [
        "",
        "| clip | off: median / p95 / most | corners p95 | moving | lag: mean / p95 |",
        "|---|---|---|---|---|",
    ]
    for clip, one in report["clips"].items():
        off, lag = one["off"], one["lag"]
        late = "-" if lag is None else f"{lag['mean']:.2%} / {lag['p95']:.2%}"
        lines.append(
            f"| {clip} | {off['median']:.2%} / {off['p95']:.2%} / {off['most']:.2%} | {one['corners_p95']:.2%} | "
            f"{one['moving']:.0%} | {late} |"
        )
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.square", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP")
    parser.add_argument("--frames", type=int, help="read so many frames of each clip (default: all)")
    parser.add_argument("--out", type=Path, help="write a dated .md and .json into this folder")
    args = parser.parse_args(argv)
    arguments = sys.argv[1:] if argv is None else list(argv)
    shown = [Path(part).name if "/" in part else part for part in arguments]
    try:
        report: dict[str, Any] = {
            "machine": machine.describe(),
            "command": f"python -m benchmarks.square {shlex.join(shown)}",
            "clips": {clip.name: figures(*follow(clip, args.frames)) for clip in args.clips},
        }
    except (UserError, OSError) as error:
        print(f"square: {error}", file=sys.stderr)
        return 2
    text = table(report)
    print(text)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        stem = args.out / f"square-{report['machine']['date'][:10]}"
        stem.with_suffix(".json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
        stem.with_suffix(".md").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
