"""Where things are in an aligned portrait: masks from the face mesh, the matte and the colours."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.float32]
Points = npt.NDArray[np.float32]

SIZE = 512

OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
        148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]  # fmt: skip
EYES = (
    [33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246],
    [263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466],
)
BROWS = (
    [70, 63, 105, 66, 107, 55, 65, 52, 53, 46],
    [300, 293, 334, 296, 336, 285, 295, 282, 283, 276],
)
LIPS = [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185]
MOUTH = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191]
NOSE = [168, 122, 196, 236, 198, 129, 98, 97, 2, 326, 327, 358, 420, 456, 419, 351]
NOSE_BASE = [129, 64, 98, 97, 2, 326, 327, 294, 358, 278, 440, 275, 4, 45, 220, 48]
CHIN, FOREHEAD = 152, 10


@dataclass(frozen=True, kw_only=True)
class Regions:
    """Soft masks, float32 (512, 512) in 0..1, of one aligned portrait."""

    person: Image
    body: Image  # the person, as if the photo went on into the white padding
    inside: Image  # 0 in the white padding around the photo
    face: Image
    eyes: Image
    irises: tuple[Image, Image]
    brows: Image
    lips: Image
    mouth: Image
    nose: Image
    nose_base: Image
    skin: Image
    hair: Image
    hair_soft: Image  # hair, fading over about 12 px at its edges
    chin: Image
    upper_lip: Image
    clothes: Image
    bare: Image  # the upper cheeks and the nose, where there is neither hair nor beard
    tint: Image  # distance of hue and saturation from the skin's, in spreads
    beard: Image  # where a beard may grow


def polygon(points: Points, grow_px: float = 0.0, soften_px: float = 0.0) -> Image:
    """Filled polygon as float32 (512, 512), grown (or shrunk, when negative) and softened by so many pixels."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    if grow_px:
        k = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * int(abs(grow_px)) + 1,) * 2)
        mask = cv2.dilate(mask, k) if grow_px > 0 else cv2.erode(mask, k)
    out = mask.astype(np.float32) / 255
    return cv2.GaussianBlur(out, (0, 0), soften_px) if soften_px else out


def ramp(x: Image, low: float, high: float) -> Image:
    """0 below ``low``, 1 above ``high``, smooth between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def hull(points: Points) -> Points:
    return cv2.convexHull(points.astype(np.float32))[:, 0]


def padding(photo: npt.NDArray[np.uint8]) -> Image:
    """1 inside the photo, 0 in (and close to) the white padding that touches the border of the square."""
    white = (photo.min(2) >= 252).astype(np.uint8)
    white = cv2.morphologyEx(white, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    ring = cv2.copyMakeBorder(white, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(ring, None, (0, 0), 2)
    outside = (ring[1:-1, 1:-1] == 2).astype(np.uint8)
    return 1 - cv2.dilate(outside, np.ones((9, 9), np.uint8)).astype(np.float32)


def guided(guide: Image, mask: Image, radius: int = 6, eps: float = 2e-3) -> Image:
    """Pull a coarse mask to the edges of the guide (guided filter)."""
    k = (2 * radius + 1,) * 2

    def box(x: Image) -> Image:
        return cv2.blur(x, k)

    mg, mm = box(guide), box(mask)
    a = (box(guide * mask) - mg * mm) / (box(guide * guide) - mg * mg + eps)
    b = mm - a * mg
    return np.clip(box(a) * guide + box(b), 0, 1)


def colour_distance(lab: Image, sample: npt.NDArray[np.bool_], floor: tuple[float, float, float]) -> Image:
    """Mahalanobis distance, float32 (512, 512), of every pixel to the colours under ``sample``."""
    values = lab[sample]
    centre = np.median(values, axis=0)
    spread = np.abs(values - centre)
    kept = values[(spread <= 3 * np.median(spread, axis=0) + 1e-3).all(1)]
    cov = np.cov(kept.T) if len(kept) > 50 else np.zeros((3, 3))
    cov = cov + np.diag(np.square(floor))
    whiten = np.linalg.cholesky(np.linalg.inv(cov)).T
    shift = -whiten @ centre
    white = cv2.transform(lab, np.hstack([whiten, shift[:, None]]).astype(np.float32))
    return np.sqrt((white * white).sum(2)).astype(np.float32)


def find_regions(photo: npt.NDArray[np.uint8], landmarks: Points, matte: npt.NDArray[np.uint8]) -> Regions:
    """All regions of one portrait. ``photo`` uint8 (512, 512, 3) RGB, ``landmarks`` px (478, 2), ``matte`` uint8 (512, 512)."""
    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    lab = cv2.bilateralFilter(lab, 7, 12, 5)
    inside = padding(photo)
    body = guided(lab[..., 0] / 100, matte.astype(np.float32) / 255)
    person = body * inside
    p = landmarks
    face = polygon(p[OVAL])
    eyes = np.maximum(*(polygon(p[e], 7, 2) for e in EYES))
    irises = (iris(p[468:473], p[EYES[0]]), iris(p[473:478], p[EYES[1]]))
    brows = np.maximum(*(polygon(hull(p[b]), 5, 2) for b in BROWS))
    lips = polygon(p[LIPS], 4, 2)
    nose = polygon(p[NOSE], 8, 3)
    nose_base = polygon(hull(p[NOSE_BASE]), 5, 2)
    mouth = polygon(p[MOUTH], 0, 1)

    bare = (polygon(p[OVAL], -22) > 0.5) & (eyes < 0.1) & (brows < 0.1) & (lips < 0.1)
    yy, xx = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    brow_y, eye_y, chin_y = float(p[[70, 300], 1].mean()), float(p[[33, 263], 1].mean()), float(p[CHIN, 1])
    left, right = float(p[OVAL, 0].min()), float(p[OVAL, 0].max())
    width = right - left
    distance = colour_distance(lab, bare & (yy > brow_y), (7.0, 3.0, 3.0))
    inner = polygon(p[OVAL], -8, 4) * ramp(yy, brow_y - 6, brow_y + 10)
    mid = (left + right) / 2
    # Below the chin, between the jaws, there is neck and collar, never hair; its shadow is no cloth.
    neck = ramp(yy, chin_y - 70, chin_y - 20) * (1 - ramp(np.abs(xx - mid), 0.34 * width, 0.46 * width))
    allowed = person * (1 - inner) * (1 - ramp(brows, 0.2, 0.6))
    odds = hair_odds(lab, distance, allowed, inner, neck, eyes, brows, outside_oval(p), yy, eye_y, chin_y)
    hair = connected_hair(allowed * odds, eye_y)
    skin = (1 - ramp(distance, 2.6, 4.2)) * person * (1 - hair)
    under = ramp(yy, chin_y - 30, chin_y + 5) * (1 - ramp(yy, chin_y + 40, chin_y + 70))
    under = under * (1 - ramp(np.abs(xx - mid), 0.36 * width, 0.5 * width))
    near_jaw = 1 - ramp(outside_oval(p), 15, 45)
    tint = chroma_distance(lab, bare & (yy > brow_y))
    shade = under * (1 - ramp(tint - 2.5 * near_jaw, 2.5, 4.5))
    skin = np.maximum(skin, shade * person * (1 - hair))
    clothes = person * (1 - hair) * (1 - skin) * ramp(outside_oval(p), 8, 14)
    nose_y = float(p[2, 1])
    cheeks = bare.astype(np.float32) * ramp(yy, eye_y, eye_y + 10) * (1 - ramp(yy, nose_y - 5, nose_y + 5))
    beard = polygon(p[OVAL], 6, 3) * (1 - polygon(p[LIPS], 4, 1.5)) * beard_growth(p)
    beard = beard * (1 - polygon(hull(p[NOSE_BASE]), 3, 2))
    return Regions(
        person=person, inside=inside, face=face, eyes=eyes, brows=brows, lips=lips, mouth=mouth, nose=nose,
        nose_base=nose_base, skin=skin, hair=hair, clothes=clothes, bare=cheeks, irises=irises, hair_soft=cv2.GaussianBlur(np.maximum(hair, 1 - body), (0, 0), 5.0) * ramp(body, 0.2, 0.5), body=body,
        chin=polygon(hull(p[[18, 200, 199, 175, 83, 313]]), 4, 1), upper_lip=polygon(hull(p[[164, 37, 267, 92, 322, 0]]), 0, 1), beard=beard, tint=tint,
    )  # fmt: skip


def iris(ring: Points, lids: Points) -> Image:
    """The iris between the lids: ``ring`` is its centre and four points around it."""
    disc = np.zeros((SIZE, SIZE), np.uint8)
    radius = float(np.linalg.norm(ring[1:] - ring[0], axis=1).mean()) * 1.05
    cv2.circle(disc, np.round(ring[0] * 16).astype(int).tolist(), round(radius * 16), 255, -1, cv2.LINE_AA, 4)
    return disc.astype(np.float32) / 255 * polygon(lids, 1)


def beard_growth(p: Points) -> Image:
    """Where beards grow: chin and jaw below a line from the ears to the mouth, and the upper lip; soft above."""
    right, left = p[61], p[291]
    nose, up = p[2], np.float32([0, -1])
    outline = [p[234] + 20 * up, right + [-14, -6], right + [-8, -14], p[98] - 2 * up, nose - 4 * up, p[327] - 2 * up,
               left + [8, -14], left + [14, -6], p[454] + 20 * up, [540, 540], [-28, 540]]  # fmt: skip
    return polygon(np.array(outline, np.float32), 0, 5)


def outside_oval(p: Points) -> Image:
    """Distance (px) outside the face oval, negative inside."""
    face = (polygon(p[OVAL]) > 0.5).astype(np.uint8)
    out = cv2.distanceTransform(1 - face, cv2.DIST_L2, 3) - cv2.distanceTransform(face, cv2.DIST_L2, 3)
    return np.asarray(out, dtype=np.float32)


def chroma_distance(lab: Image, sample: npt.NDArray[np.bool_]) -> Image:
    """Distance of the hue and saturation of every pixel to the sampled ones, whatever the light on it."""
    ratio = lab[..., 1:] / (lab[..., :1] + 12)
    centre = np.median(ratio[sample], axis=0)
    spread = np.maximum(1.5 * np.median(np.abs(ratio[sample] - centre), axis=0), 0.05)
    return np.sqrt((((ratio - centre) / spread) ** 2).sum(2)).astype(np.float32)


def _histogram(index: npt.NDArray[np.int64], weight: Image) -> Image:
    counts = np.bincount(index.ravel(), weights=weight.ravel(), minlength=16**3).reshape(16, 16, 16).astype(np.float32)
    for axis in range(3):
        counts = 0.5 * counts + 0.25 * (np.roll(counts, 1, axis) + np.roll(counts, -1, axis))
    return counts.ravel() / (counts.sum() + 1)


def hair_odds(
    lab: Image, skin_distance: Image, allowed: Image, inner: Image, neck: Image, eyes: Image, brows: Image, outside: Image, yy: Image, eye_y: float, chin_y: float
) -> Image:
    """Probability of hair against skin and cloth, from colour histograms learned on this very picture, and from texture."""
    quarter = (slice(None, None, 2), slice(None, None, 2))
    light = lab[..., 0][quarter]
    fine = light - cv2.GaussianBlur(light, (0, 0), 1.5)
    # The outline of the head is no texture: only what lies well inside the person counts.
    deep = cv2.erode((allowed[quarter] + inner[quarter] > 0.5).astype(np.uint8), np.ones((9, 9), np.uint8)) + np.float32(1e-3)
    texture = np.sqrt(cv2.GaussianBlur(fine * fine * deep, (0, 0), 3.0) / cv2.GaussianBlur(deep, (0, 0), 3.0))
    texture = texture / (cv2.GaussianBlur(light, (0, 0), 3.0) + 10)
    bins = np.stack([lab[..., 0][quarter] / 6.5, lab[..., 1][quarter] / 5 + 6, lab[..., 2][quarter] / 5 + 6], 2)
    b = np.clip(bins, 0, 15).astype(np.int64)
    index = (b[..., 0] * 16 + b[..., 1]) * 16 + b[..., 2]
    ok, out, y, d = allowed[quarter], outside[quarter], yy[quarter], skin_distance[quarter]
    e, w = eyes[quarter], brows[quarter]
    calm = np.maximum(ramp(y, eye_y - 60, eye_y - 20), 1 - ramp(d, 2.0, 4.0))
    face = ramp(-out, 4, 24) * (1 - np.maximum(e, w)) * calm
    upper = 1 - ramp(y, eye_y + 10, eye_y + 60)
    hair = ok * upper * ramp(out, 4, 16) * ramp(d, 1.2, 2.6)
    if hair.sum() < 150:
        return np.zeros_like(lab[..., 0])
    skin_tone = _histogram(index, face)[index]
    prior = 1.6 * ramp(out, -10, 22) - 0.8 - 1.5 * ramp(-out, 10, 60) - 6.0 * neck[quarter]
    post = hair
    for _ in range(3):
        tone = _histogram(index, hair * ramp(post, 0.3, 0.7) + 1e-6)[index]
        odds = np.log(tone + 1e-4) - np.log(skin_tone + 1e-4) + prior + 3.0 * (ramp(texture, 0.008, 0.035) - 0.45) + 1.5 * (ramp(d, 1.0, 3.0) - 0.5)
        post = 1 / (1 + np.exp(-odds))
        hair = ok * upper * ramp(out, -10, 10) * post
    # Far below, only what has the colour of the hair is hair.
    low = ramp(y, chin_y - 60, chin_y)
    post = post * (1 - low * (1 - ramp(np.log(tone + 1e-5), np.log(3e-4), np.log(1.5e-3))))
    post = guided(light / 100, post.astype(np.float32), 5, 1e-3)
    return cv2.resize(post, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)


def connected_hair(odds: Image, eye_y: float) -> Image:
    """The parts of likely hair that reach above the eyes, small holes closed."""
    hard = (odds > 0.5).astype(np.uint8)
    hard = cv2.morphologyEx(hard, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)))
    hard = cv2.morphologyEx(hard, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7)))
    _, labels, stats, _ = cv2.connectedComponentsWithStats(hard, connectivity=4)
    reach = (stats[:, 1] < eye_y) & (stats[:, 4] > 200)
    reach[0] = False
    hair = cv2.GaussianBlur(reach[labels].astype(np.float32), (0, 0), 1.5)
    return ramp(hair, 0.2, 0.8)
