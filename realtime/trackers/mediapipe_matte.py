"""Person segmentation by MediaPipe, as a teacher: mattes for training our own small network. Never used live."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from realtime.core import AssetError
from realtime.trackers import load_mediapipe, missing_library, quiet


class SelfieSegmenter:
    """Runs ``selfie_segmentation.tflite`` on single pictures."""

    def __init__(self, *, asset: Path) -> None:
        """
        Args:
            asset: the tflite file.
        Raises:
            AssetError: mediapipe or a library that it links is missing, or the asset is missing or does not load.
        """
        mediapipe = load_mediapipe()
        self._mediapipe = mediapipe
        vision = mediapipe.tasks.vision
        try:
            data = asset.read_bytes()
        except OSError as error:
            raise AssetError(f"{asset}: expected a segmentation model, got {error.strerror}") from error
        options = vision.ImageSegmenterOptions(
            base_options=mediapipe.tasks.BaseOptions(model_asset_buffer=data),
            output_confidence_masks=True,
            output_category_mask=False,
        )
        with quiet():
            try:
                self._task: Any = vision.ImageSegmenter.create_from_options(options)
                self.matte(np.full((1, 64, 64, 3), 255, np.uint8))
            except OSError as error:
                raise missing_library(error) from error
            except (RuntimeError, ValueError) as error:
                raise AssetError(f"{asset}: expected a segmentation model, got {error}") from error

    def matte(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Soft mattes of pictures: (B, H, W, 3) uint8 RGB -> (B, H, W) uint8, 255 = person."""
        return np.stack([self._one(np.ascontiguousarray(picture)) for picture in photo])

    def _one(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = photo.shape[:2]
        picture = self._mediapipe.Image(image_format=self._mediapipe.ImageFormat.SRGB, data=photo)
        # The last mask is the person: the model has one output, or background and person.
        mask = np.squeeze(np.array(self._task.segment(picture).confidence_masks[-1].numpy_view()))
        if mask.shape != (height, width):
            mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.asarray(np.rint(np.clip(mask, 0, 1) * 255), dtype=np.uint8)

    def close(self) -> None:
        """Release the graph. May be called twice."""
        if self._task is not None:
            self._task.close()
        self._task = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
