"""Align a folder of photos into one file: squares, landmarks and mattes, with varied copies where asked."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from train.dataset import align_photo, similarity, unsharp

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


def vary(rng: np.random.Generator) -> tuple[NDArray[np.float64], float]:
    """A movement within the square, (2, 3), and a sharpening amount (0 = none), for a varied copy."""
    scale = float(np.exp(rng.uniform(np.log(0.72), np.log(1.12))))
    move = similarity(scale, float(rng.normal(0, 5)), float(rng.normal(0, 8)), float(rng.normal(0, 8)))
    return move, float(rng.uniform(0.3, 1.6)) if rng.random() < 0.75 else 0.0


def prepare(
    photos: Sequence[Path], target: Path, *, segmenter: Path, landmarker: Path | None, copies: int, seed: int
) -> tuple[int, list[str]]:
    """Write ``target``; returns how many squares it holds and a line ``file: reason`` for every picture left out.

    Args:
        segmenter: MediaPipe's ``selfie_segmentation.tflite``, the matte's teacher.
        landmarker: ``face_landmarker.task``; None asks the asset store.
        copies: 0 = each photo as it is; n = n varied copies of each (moved, scaled 0.72 to 1.12, sharpened).
    """
    from realtime.core import Frame
    from realtime.models import face_landmarker
    from realtime.trackers.mediapipe_face import MediaPipeFaceTracker
    from realtime.trackers.mediapipe_matte import SelfieSegmenter

    out: dict[str, list[NDArray[np.generic]]] = {"photo": [], "landmarks": [], "matte": []}
    names, skipped = [], []
    with SelfieSegmenter(asset=segmenter) as matter:
        for number, path in enumerate(photos):
            data = np.fromfile(path, np.uint8)
            bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
            if bgr is None:
                skipped.append(f"{path}: not a picture that can be read")
                continue
            image = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
            with MediaPipeFaceTracker(asset=face_landmarker(landmarker), faces=1) as tracker:
                faces = tracker.track(Frame(image=image, index=0, captured=0.0))
            if not faces:
                skipped.append(f"{path}: no face found")
                continue
            for copy in range(max(copies, 1)):
                move, amount = vary(np.random.default_rng([seed, number, copy])) if copies else (None, 0.0)
                photo, mesh, inside = align_photo(image, faces[0].landmarks, move)
                matte = matter.matte(photo[None])[0]
                if amount:
                    photo = np.where(inside[..., None], unsharp(photo, amount, 1.0), photo)
                out["photo"].append(photo)
                out["landmarks"].append(mesh)
                out["matte"].append(np.where(inside, matte, 0).astype(np.uint8))
                names.append(path.name)
    if names:
        part = target.with_name(target.name + ".part.npz")
        np.savez(part, **{key: np.stack(values) for key, values in out.items()}, name=np.array(names))
        os.replace(part, target)
    return len(names), skipped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m train prepare``."""
    parser.add_argument("photos", type=Path, help="folder of photos")
    parser.add_argument("out", type=Path, help="file to write (.npz)")
    parser.add_argument("--segmenter", type=Path, required=True, help="selfie_segmentation.tflite")
    parser.add_argument("--landmarker", type=Path, help="face_landmarker.task (default: found by itself)")
    parser.add_argument("--copies", type=int, default=0, help="varied copies of each photo (0: the photo as it is)")
    parser.add_argument("--every", type=int, default=0, metavar="N", help="take every Nth photo only, or all but those")
    parser.add_argument("--hold-out", action="store_true", help="with --every: leave every Nth photo out instead")
    parser.add_argument("--seed", type=int, default=1)


def main(args: argparse.Namespace) -> int:
    """Run from parsed options."""
    if not args.photos.is_dir():
        raise ValueError(f"{args.photos}: expected a folder of photos")
    photos = sorted(p for p in args.photos.iterdir() if p.suffix.lower() in SUFFIXES)
    if args.every:
        photos = [p for i, p in enumerate(photos) if (i % args.every == args.every - 3) != args.hold_out]
    count, skipped = prepare(
        photos,
        args.out,
        segmenter=args.segmenter,
        landmarker=args.landmarker,
        copies=args.copies,
        seed=args.seed,
    )
    for line in skipped:
        print(line)
    print(f"{args.out}: {count} squares, {len(skipped)} left out")
    return 0 if count else 2
