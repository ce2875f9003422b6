"""Hair and beards: black masses broken up by white strands; or, for a thin pen, long strokes on white."""

import cv2
import numpy as np

from train.npr_geometry import Image, blur, ramp
from train.npr_lines import Pen, across, along, crest, keep_components, local_mean, tangent_flow
from train.npr_masks import Regions


def strands(pen: Pen, mask: Image) -> Image:
    """Strand texture of about unit spread, positive where a strand is dark."""
    fine = pen.fine / (np.sqrt(local_mean(pen.fine**2, mask, 10)) + 0.003)
    return 1.15 * np.clip(fine, -2.5, 2.5)


def hair_ink(pen: Pen, r: Regions) -> Image:
    """Ink of the hair, float32 (512, 512) in 0..1.

    Tone decides how black the hair is, strands break it up. Fair hair is drawn black too, white hair in sparse strokes.
    Towards the face only the darkest strands remain, so that the hairline is no hard cut.
    """
    mask = r.hair + 1e-4
    tone = blur(pen.flowing, 2.0)
    mean = local_mean(tone, mask, 30)
    overall = float((tone * mask).sum() / mask.sum())
    spread = np.sqrt(local_mean((tone - mean) ** 2, mask, 16)) + 0.05
    level = 0.7 * mean + 0.3 * overall
    bias = float(np.interp(overall, [0.15, 0.30, 0.45, 0.60, 0.80], [1.33, 1.33, 1.03, 0.48, -0.17]))
    bias -= 0.9 * r.white_hair
    detail = float(np.interp(overall, [0.6, 0.8], [1.0, 1.4]))
    dark = bias + (level - tone) / spread + detail * strands(pen, mask)
    dark = dark + 1.0 - ramp(tone, 0.06, 0.14) - 2.5 * (1 - ramp(r.hair_soft, 0.15, 0.85))
    ink = ramp(dark, -0.12, 0.12)
    # Outside the masses a lock is no wider than its crest: one stroke of a thin pen.
    lone = 1 - ramp(blur(ink, 2.0), 0.58, 0.93)
    core = ramp(crest(np.clip(dark + 0.2, 0, 3).astype(np.float32), pen.flow), 0.4, 0.7)
    return ink * (1 - lone * (1 - core)) * ramp(r.hair_soft, 0.05, 0.25)


def pen_strokes(light: Image, r: Regions) -> Image:
    """Hair as a thin pen draws it, float32 (512, 512) in 0..1: long strokes that run as the locks do.

    The darker the hair the closer they lie. What single hairs do is left out: photos from the web do not show it.
    """
    mask = r.hair + 1e-4
    flow = tangent_flow(blur(light, 1.2), 9.0)
    lock = along(along(across(light, flow, 1.1), flow, 9.0), flow, 9.0)
    lock = lock / (np.sqrt(local_mean(lock**2, mask, 14)) + 0.0015)
    tone = blur(light, 2.5)
    mean = local_mean(tone, mask, 30)
    shade = (mean - tone) / (np.sqrt(local_mean((tone - mean) ** 2, mask, 16)) + 0.05)
    overall = float((tone * mask).sum() / mask.sum())
    dark = lock + 0.4 * shade - float(np.interp(overall, [0.1, 0.3, 0.5, 0.8], [0.0, 0.15, 0.4, 0.9]))
    ridge = crest(np.clip(lock + 1, 0, 4).astype(np.float32), flow, 2.5)
    ink = ramp(dark, -0.1, 0.25) * ramp(ridge, 0.74, 0.94)
    kept = keep_components(ink > 0.4, np.maximum(dark, 0), enough=0.2, min_area=30)
    ink = ink * np.asarray(cv2.dilate(kept.astype(np.uint8), np.ones((3, 3), np.uint8)), np.float32)
    shown = np.asarray(cv2.erode((r.inside > 0.5).astype(np.uint8), np.ones((13, 13), np.uint8)), np.float32)
    return ink * ramp(r.hair_soft, 0.15, 0.4) * blur(shown, 1.5) * ramp(r.body, 0.36, 0.46)


def beard_ink(pen: Pen, r: Regions) -> Image:
    """Ink of beards and moustaches, float32 (512, 512) in 0..1: darker than the cheeks, low on the face, off the lips.

    Whether there is a beard at all is told by the chin and the upper lip together, so that shade on one side is none.
    """
    # Each cheek lights its own side, so that shade is no beard.
    cheek = local_mean(pen.light, r.cheeks + 1e-6, 40) + 0.02
    ratio = blur(pen.flowing, 1.0) / cheek
    level = min(
        float(np.percentile(ratio[spot], 35)) if spot.any() else 1.0 for spot in (r.chin > 0.5, r.upper_lip > 0.5)
    )
    bearded = float(np.interp(level, [0.58, 0.72], [1.0, 0.0]))
    mask = r.beard + 1e-4
    rough = np.sqrt(local_mean(pen.fine**2, r.beard + 1e-4, 5))
    white = ramp(strands(pen, mask), 0.6, 0.9) * ramp(r.grey_beard, 0.4, 0.7) * ramp(rough, 0.004, 0.006)
    if bearded <= 0:
        return white
    dark = (0.62 - ratio) / 0.12 + 0.5 * strands(pen, mask) - 1.5 * (1 - bearded) - 3.0 * (1 - ramp(r.beard, 0.3, 0.95))
    return np.maximum(white, ramp(dark, -0.12, 0.12) * ramp(r.beard, 0.1, 0.3))
