"""What a pixel belongs to by its colour and texture: skin by distance, hair by odds learned on the picture itself."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from train.npr_geometry import SIZE, Image, Mask, blur, guided, ramp

BINS = 16
HALF = (slice(None, None, 2), slice(None, None, 2))


@dataclass(frozen=True, kw_only=True)
class Cues:
    """What the hair is told from, float32 (512, 512) each, and two heights in px."""

    lab: npt.NDArray[np.float32]  # (512, 512, 3), L 0..100
    skin_distance: Image  # Mahalanobis distance to the skin
    tint: Image  # distance to the skin's hue and saturation alone
    allowed: Image  # where hair may be at all
    inner: Image  # the face below the brows, where it may not
    neck: Image
    features: Image  # eyes and brows
    outside: Image  # px outside the face oval
    height: Image  # y of each pixel
    eye_y: float
    chin_y: float


def colour_distance(lab: npt.NDArray[np.float32], sample: Mask, floor: tuple[float, float, float]) -> Image:
    """Mahalanobis distance of every pixel to the colours under ``sample``; ``floor`` is the least spread in L, a, b."""
    values = lab[sample]
    centre = np.median(values, axis=0)
    spread = np.abs(values - centre)
    kept = values[(spread <= 3 * np.median(spread, axis=0) + 1e-3).all(1)]
    cov = np.cov(kept.T) if len(kept) > 50 else np.zeros((3, 3))
    cov = cov + np.diag(np.square(floor))
    whiten = np.linalg.cholesky(np.linalg.inv(cov)).T
    shift = -whiten @ centre
    white = cv2.transform(lab, np.hstack([whiten, shift[:, None]]).astype(np.float32))
    return np.asarray(np.sqrt((white * white).sum(2)), dtype=np.float32)


def chroma_distance(lab: npt.NDArray[np.float32], sample: Mask) -> Image:
    """Distance, in spreads, of the hue and saturation of every pixel to the sampled ones, whatever the light on it."""
    ratio = lab[..., 1:] / (lab[..., :1] + 12)
    centre = np.median(ratio[sample], axis=0)
    spread = np.maximum(1.5 * np.median(np.abs(ratio[sample] - centre), axis=0), 0.05)
    return np.asarray(np.sqrt((((ratio - centre) / spread) ** 2).sum(2)), dtype=np.float32)


def hair_odds(c: Cues) -> Image:
    """Probability of hair, float32 (512, 512), against skin and cloth. Worked out at half the size.

    Hair first is what lies above and beside the face and is not skin; colour histograms of it and of the face are then
    refined three times, with texture and place as further evidence (naive Bayes).
    """
    light, outside, y, distance = (x[HALF] for x in (c.lab[..., 0], c.outside, c.height, c.skin_distance))
    texture, index = _texture(c), _colour_index(c.lab[HALF])
    calm = np.maximum(ramp(y, c.eye_y - 60, c.eye_y - 20), 1 - ramp(distance, 2.0, 4.0))
    face = ramp(-outside, 4, 24) * (1 - c.features[HALF]) * calm
    reach = c.allowed[HALF] * (1 - ramp(y, c.eye_y + 10, c.eye_y + 60))
    hair = reach * ramp(outside, 4, 16) * ramp(distance, 1.2, 2.6)
    if hair.sum() < 150:
        return np.zeros_like(c.height)
    skin_tone = _histogram(index, face)[index]
    # Smooth and of the skin's own hue: a bald head or its shaded side, however dark.
    bald = (1 - ramp(texture, 0.010, 0.030)) * (1 - ramp(c.tint[HALF], 1.2, 2.4))
    prior = 1.6 * ramp(outside, -10, 22) - 0.8 - 1.5 * ramp(-outside, 10, 60) - 6.0 * c.neck[HALF] - 3.0 * bald
    prior += 3.0 * (ramp(texture, 0.008, 0.035) - 0.45) + 1.5 * (ramp(distance, 1.0, 3.0) - 0.5)
    post = hair = hair * (1 - bald)
    for _ in range(3):
        tone = _histogram(index, hair * ramp(post, 0.3, 0.7) + 1e-6)[index]
        post = 1 / (1 + np.exp(-(np.log(tone + 1e-4) - np.log(skin_tone + 1e-4) + prior)))
        hair = reach * ramp(outside, -10, 10) * post
    # Far below, only what has the colour of the hair is hair.
    low = ramp(y, c.chin_y - 60, c.chin_y)
    post = post * (1 - low * (1 - ramp(np.log(tone + 1e-5), np.log(3e-4), np.log(1.5e-3))))
    fitted = guided(light / 100, post.astype(np.float32), 5, 1e-3)
    return np.asarray(cv2.resize(fitted, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def connected_hair(odds: Image, eye_y: float) -> Image:
    """The parts of likely hair that reach above the eyes, small holes closed."""
    small, large = (cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (k, k)) for k in (5, 7))
    hard = cv2.morphologyEx((odds > 0.5).astype(np.uint8), cv2.MORPH_OPEN, small)
    hard = cv2.morphologyEx(hard, cv2.MORPH_CLOSE, large)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(hard, connectivity=4)
    reach = (stats[:, cv2.CC_STAT_TOP] < eye_y) & (stats[:, cv2.CC_STAT_AREA] > 200)
    reach[0] = False
    return ramp(blur(reach[labels].astype(np.float32), 1.5), 0.2, 0.8)


def _texture(c: Cues) -> Image:
    """Relative strength of the finest detail, half size. The outline of the head is none: only the inside counts."""
    light = c.lab[..., 0][HALF]
    fine = light - blur(light, 1.5)
    within = (c.allowed[HALF] + c.inner[HALF] > 0.5).astype(np.uint8)
    deep = cv2.erode(within, np.ones((9, 9), np.uint8)) + np.float32(1e-3)
    texture = np.sqrt(blur(fine * fine * deep, 3.0) / blur(deep, 3.0))
    return np.asarray(texture / (blur(light, 3.0) + 10), dtype=np.float32)


def _colour_index(lab: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    bins = np.stack([lab[..., 0] / 6.5, lab[..., 1] / 5 + 6, lab[..., 2] / 5 + 6], 2)
    b = np.clip(bins, 0, BINS - 1).astype(np.int64)
    return np.asarray((b[..., 0] * BINS + b[..., 1]) * BINS + b[..., 2], dtype=np.int64)


def _histogram(index: npt.NDArray[np.int64], weight: Image) -> Image:
    """Smoothed share of each colour bin, float32 (4096,)."""
    counts = np.bincount(index.ravel(), weights=weight.ravel(), minlength=BINS**3).astype(np.float32)
    cube = counts.reshape(BINS, BINS, BINS)
    for axis in range(3):
        cube = 0.5 * cube + 0.25 * (np.roll(cube, 1, axis) + np.roll(cube, -1, axis))
    return np.asarray(cube.ravel() / (cube.sum() + 1), dtype=np.float32)
