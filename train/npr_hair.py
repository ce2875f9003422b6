"""Hair and beards: black masses broken up by white strands."""

import numpy as np

from train.npr_geometry import Image, blur, ramp
from train.npr_lines import Pen, local_mean
from train.npr_masks import Regions


def strands(pen: Pen, mask: Image) -> Image:
    """Strand texture of about unit spread, positive where a strand is dark."""
    fine = pen.fine / (np.sqrt(local_mean(pen.fine**2, mask, 14)) + 0.004)
    medium = pen.medium / (np.sqrt(local_mean(pen.medium**2, mask, 14)) + 0.010)
    return 0.65 * np.clip(fine, -2.5, 2.5) + 0.15 * np.clip(medium, -2.5, 2.5)


def hair_ink(pen: Pen, r: Regions) -> Image:
    """Ink of the hair, float32 (512, 512) in 0..1.

    Tone decides how black the hair is, strands break it up. Fair hair is drawn black too, white hair mostly in lines.
    Towards the face only the darkest strands remain, so that the hairline is no hard cut.
    """
    mask = r.hair + 1e-4
    tone = blur(pen.flowing, 2.0)
    mean = local_mean(tone, mask, 30)
    overall = float((tone * mask).sum() / mask.sum())
    spread = np.sqrt(local_mean((tone - mean) ** 2, mask, 16)) + 0.05
    level = 0.7 * mean + 0.3 * overall
    bias = float(np.interp(overall, [0.15, 0.30, 0.45, 0.60, 0.80], [1.1, 1.1, 0.8, 0.25, -0.4]))
    detail = float(np.interp(overall, [0.6, 0.8], [1.0, 1.4]))
    dark = bias + (level - tone) / spread + detail * strands(pen, mask)
    dark = dark + 1.0 - ramp(tone, 0.06, 0.14) - 2.5 * (1 - ramp(r.hair_soft, 0.15, 0.85))
    return ramp(dark, -0.12, 0.12) * ramp(r.hair_soft, 0.05, 0.25)


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
    if bearded <= 0:
        return np.zeros_like(pen.light)
    mask = r.beard + 1e-4
    dark = (0.62 - ratio) / 0.12 + 0.5 * strands(pen, mask) - 1.5 * (1 - bearded) - 3.0 * (1 - ramp(r.beard, 0.3, 0.95))
    return ramp(dark, -0.12, 0.12) * ramp(r.beard, 0.1, 0.3)
