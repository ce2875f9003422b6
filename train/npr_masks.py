"""Where things are in an aligned portrait: soft masks from the face mesh, the matte and the colours."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from train import npr_geometry as geo
from train.npr_geometry import SIZE, Image, Mask, Photo, Points, blur, hull, polygon, ramp
from train.npr_tone import Cues, chroma_distance, colour_distance, connected_hair, hair_odds


@dataclass(frozen=True, kw_only=True)
class Features:
    """Soft masks, float32 (512, 512) in 0..1, that the face mesh alone gives."""

    face: Image
    eyes: Image
    brows: Image
    lips: Image
    mouth: Image  # between the lips
    nose_base: Image
    chin: Image
    upper_lip: Image
    beard: Image  # where a beard may grow
    bare: Mask  # the face without eyes, brows and lips
    cheeks: Image  # nose and upper cheeks, where neither hair nor beard grows


@dataclass(frozen=True, kw_only=True)
class Regions(Features):
    """All soft masks, float32 (512, 512) in 0..1, of one portrait."""

    inside: Image  # 0 in the white padding around the photo
    body: Image  # the person, as if the photo went on into the padding
    skin: Image
    hair: Image
    hair_soft: Image  # hair, fading over about 12 px towards the face
    clothes: Image
    grey_beard: Image  # less colour than the cheeks, where beards grow
    white_hair: float  # 0 for fair and darker hair, 1 for white


def find_features(landmarks: Points) -> Features:
    """Masks of the face's parts from ``landmarks`` float32 (478, 2) px."""
    p = landmarks
    eyes = np.maximum(*(polygon(p[list(e)], 7, 2) for e in geo.EYES))
    brows = np.maximum(*(polygon(hull(p, b), 5, 2) for b in geo.BROWS))
    lips = polygon(p[list(geo.LIPS)], 4, 2)
    bare = (polygon(p[list(geo.OVAL)], -22) > 0.5) & (eyes < 0.1) & (brows < 0.1) & (lips < 0.1)
    y = np.mgrid[0:SIZE, 0:SIZE][0].astype(np.float32)
    eye_y, nose_y = float(p[list(geo.EYE_CORNERS), 1].mean()), float(p[geo.NOSE_FOOT, 1])
    beard = polygon(p[list(geo.OVAL)], 6, 3) * (1 - polygon(p[list(geo.LIPS)], 4, 1.5)) * geo.beard_growth(p)
    return Features(
        face=polygon(p[list(geo.OVAL)]),
        eyes=eyes,
        brows=brows,
        lips=lips,
        mouth=polygon(p[list(geo.MOUTH)], 0, 1),
        nose_base=polygon(hull(p, geo.NOSE_BASE), 5, 2),
        chin=polygon(hull(p, geo.CHIN_PATCH), 4, 1),
        upper_lip=polygon(hull(p, geo.UPPER_LIP_PATCH), 0, 1),
        beard=beard * (1 - polygon(hull(p, geo.NOSE_BASE), 3, 2)),
        bare=bare,
        cheeks=bare.astype(np.float32) * ramp(y, eye_y, eye_y + 10) * (1 - ramp(y, nose_y - 5, nose_y + 5)),
    )


def find_regions(photo: Photo, landmarks: Points, matte: npt.NDArray[np.uint8]) -> Regions:
    """All regions of one portrait: ``photo`` uint8 (512, 512, 3) RGB, ``landmarks`` float32 (478, 2) px and ``matte``
    uint8 (512, 512).

    Raises ValueError when the mesh leaves no bare face in the square to learn the skin's colour from.
    """
    p, f = landmarks, find_features(landmarks)
    lab = cv2.bilateralFilter(cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), 7, 12, 5).astype(
        np.float32
    )
    inside = geo.padding(photo)
    body = geo.guided(lab[..., 0] / 100, matte.astype(np.float32) / 255)
    person = body * inside
    y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    brow_y, eye_y, chin_y = (float(p[list(i), 1].mean()) for i in (geo.BROW_ENDS, geo.EYE_CORNERS, (geo.CHIN,)))
    left, right = float(p[list(geo.OVAL), 0].min()), float(p[list(geo.OVAL), 0].max())
    aside = np.abs(x - (left + right) / 2) / (right - left)
    sample = f.bare & (y > brow_y)
    if sample.sum() < 200:
        raise ValueError(
            "no face in the square; expected landmarks of an aligned face; got too little skin; align the photo"
        )
    distance, tint = colour_distance(lab, sample, (7.0, 3.0, 3.0)), chroma_distance(lab, sample)
    inner = polygon(p[list(geo.OVAL)], -8, 4) * ramp(y, brow_y - 6, brow_y + 10)
    # Below the chin, between the jaws, there is neck and collar, never hair; its shadow is no cloth.
    neck = ramp(y, chin_y - 70, chin_y - 20) * (1 - ramp(aside, 0.34, 0.46))
    outside = geo.outside_oval(p)
    allowed = person * (1 - inner) * (1 - ramp(f.brows, 0.2, 0.6))
    odds = hair_odds(
        Cues(
            lab=lab, skin_distance=distance, tint=tint, allowed=allowed, inner=inner, neck=neck,
            features=np.maximum(f.eyes, f.brows), outside=outside, height=y, eye_y=eye_y, chin_y=chin_y,
        )
    )  # fmt: skip
    hair = connected_hair(allowed * odds, eye_y)
    under = ramp(y, chin_y - 30, chin_y + 5) * (1 - ramp(y, chin_y + 40, chin_y + 70)) * (1 - ramp(aside, 0.36, 0.50))
    shade = 1 - ramp(tint - 2.5 * (1 - ramp(outside, 15, 45)), 2.5, 4.5)
    # The shaded neck is a little redder than the face; cloth is less red, or much more.
    red = lab[..., 1] / (lab[..., 0] + 12)
    red = red - float(np.median(red[sample]))
    shade = under * np.maximum(shade, ramp(red, 0.0, 0.06) * (1 - ramp(red, 0.32, 0.48)))
    # Dark skin lies near black in colour: away from the face only its own hue tells it from a dark suit.
    suit = ramp(blur(tint, 4.0), 1.9, 2.9) * ramp(outside, 8, 22) * ramp(y, chin_y - 90, chin_y - 50)
    lapel = suit * ramp(aside, 0.22, 0.32)
    skin = np.maximum((1 - ramp(distance, 2.6, 4.2)) * (1 - suit), shade * (1 - lapel)) * person * (1 - hair)
    colour = np.hypot(lab[..., 1], lab[..., 2]) / (lab[..., 0] + 12)
    paleness = blur(colour, 2.0) / (float(np.median(colour[sample])) + 0.02)
    tone = np.median(lab[hair > 0.5], axis=0) if (hair > 0.5).any() else np.zeros(3)
    white_hair = np.interp(tone[0], [48, 62], [0, 1]) * np.interp(np.hypot(tone[1], tone[2]), [8, 12], [1, 0])
    return Regions(
        **vars(f),
        grey_beard=f.beard * (1 - ramp(paleness, 0.68, 0.84)) * (1 - ramp(outside, -8, -2)),
        white_hair=float(white_hair),
        inside=inside,
        body=body,
        skin=skin,
        hair=hair,
        hair_soft=blur(np.maximum(hair, 1 - body), 5.0) * ramp(body, 0.2, 0.5),
        clothes=person * (1 - hair) * (1 - skin) * ramp(outside, 8, 14),
    )
