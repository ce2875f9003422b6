"""Align a folder of photos into one file: squares, landmarks and mattes; varied copies where asked."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from train.dataset import align_photo, similarity, unsharp

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


HOLD_OUT = (10, 7)
"""Photo i of the sorted folder is held out when i % 10 == 7: never trained on, measured on."""


def vary(rng: np.random.Generator, aligned_scale: float) -> tuple[NDArray[np.float64], float, float]:
    """A movement within the square (2, 3), and amount (0 = none) and sigma (px) of a sharpening.

    An enlarged photo is soft in proportion to its enlargement, and the teacher draws soft photos in heavy lines.
    """
    scale = float(np.exp(rng.uniform(np.log(0.72), np.log(1.12))))
    move = similarity(scale, float(rng.normal(0, 5)), float(rng.normal(0, 8)), float(rng.normal(0, 8)))
    if rng.random() >= 0.75:
        return move, 0.0, 1.0
    amount = float(rng.uniform(0.3, 1.6))
    return move, amount, float(np.clip(0.6 * aligned_scale * scale, 0.8, 3) * rng.uniform(0.7, 1.2))


def prepare(
    photos: Sequence[tuple[int, Path]], target: Path, *, segmenter: Path, landmarker: Path | None, seed: int | None
) -> tuple[int, list[str]]:
    """Write ``target``; returns how many squares it holds and a line ``file: reason`` for every picture left out.

    Args:
        photos: number (part of the random seed) and file of each photo.
        segmenter: MediaPipe's ``selfie_segmentation.tflite``, the matte's teacher.
        landmarker: ``face_landmarker.task``; None asks the asset store.
        seed: None = photos as they are; else a varied copy of each: moved, scaled 0.72 to 1.12, sharpened.
    """
    from realtime.core import Frame
    from realtime.models import face_landmarker
    from realtime.trackers.mediapipe_face import MediaPipeFaceTracker
    from realtime.trackers.mediapipe_matte import SelfieSegmenter

    out: dict[str, list[NDArray[np.generic]]] = {"photo": [], "landmarks": [], "matte": []}
    names, skipped = [], []
    with SelfieSegmenter(asset=segmenter) as matter:
        for number, path in photos:
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
            aligned = align_photo(image, faces[0].landmarks)
            matte = np.where(aligned.inside, matter.matte(aligned.photo[None])[0], 0).astype(np.uint8)
            if seed is not None:
                move, amount, sigma = vary(np.random.default_rng([seed, number]), aligned.scale)
                aligned = align_photo(image, faces[0].landmarks, move)
                moved = cv2.warpAffine(matte, move, matte.shape[::-1])
                matte = np.where(aligned.inside, moved, 0).astype(np.uint8)
                sharp = np.where(aligned.inside[..., None], unsharp(aligned.photo, amount, sigma), aligned.photo)
                aligned = aligned._replace(photo=sharp)
            out["photo"].append(aligned.photo)
            out["landmarks"].append(aligned.mesh)
            out["matte"].append(matte)
            names.append(path.name)
    if names:
        part = target.with_name(target.name + ".part.npz")
        arrays: dict[str, Any] = {key: np.stack(values) for key, values in out.items()}
        np.savez(part, **arrays, name=np.array(names))
        part.replace(target)
    return len(names), skipped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m train prepare``."""
    parser.add_argument("photos", type=Path, help="folder of photos")
    parser.add_argument("out", type=Path, help="file to write (.npz)")
    parser.add_argument("--segmenter", type=Path, required=True, help="selfie_segmentation.tflite")
    parser.add_argument("--landmarker", type=Path, help="face_landmarker.task (default: found by itself)")
    parser.add_argument("--only", choices=("all", "train", "held-out"), default="all", help="every tenth is held out")
    parser.add_argument("--vary", type=int, metavar="SEED", help="a varied copy of each photo instead of itself")


def main(args: argparse.Namespace) -> int:
    """Run from parsed options."""
    if not args.photos.is_dir():
        raise ValueError(f"{args.photos}: expected a folder of photos")
    files = sorted(p for p in args.photos.iterdir() if p.suffix.lower() in SUFFIXES)
    every, held = HOLD_OUT
    photos = [
        (i, path)
        for i, path in enumerate(files)
        if args.only == "all" or (i % every == held) == (args.only == "held-out")
    ]
    count, skipped = prepare(photos, args.out, segmenter=args.segmenter, landmarker=args.landmarker, seed=args.vary)
    for line in skipped:
        print(line)
    print(f"{args.out}: {count} squares, {len(skipped)} left out")
    return 0 if count else 2
