"""Face meshes and mattes of single pictures, for everything that prepares data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from realtime.core import Frame, Matter

BLANK = np.full((64, 64, 3), 255, np.uint8)


class Faces:
    """A tracker that remembers nothing from picture to picture, and a matte network; opened once, used for many.

    The tracker is the live one. Shown a blank picture in between, it finds in each picture what a new one would (the
    same to the last bit on 40 portraits) in a third of the time.
    """

    def __init__(self, *, landmarker: Path | None = None, segmenter: Path | None = None, mattes: bool = True) -> None:
        """
        Args:
            landmarker: ``face_landmarker.task``; None asks the asset store.
            segmenter: MediaPipe's ``selfie_segmentation.tflite``; None takes the matte network that is used live.
            mattes: False opens the tracker alone.
        Raises:
            UserError: an asset is missing or does not load.
        """
        from realtime.models import face_landmarker
        from realtime.trackers.mediapipe_face import MediaPipeFaceTracker

        self._tracker: Any = MediaPipeFaceTracker(asset=face_landmarker(landmarker), faces=1)
        try:
            self._matter: Any = _matter(segmenter) if mattes else None
        except BaseException:
            self._tracker.close()
            raise
        self._clock = 0.0

    def mesh(self, image: NDArray[np.uint8]) -> NDArray[np.float32] | None:
        """(478, 2) float32 px of the largest face of a picture (H, W, 3) uint8 RGB; None when none is found."""
        found = self._track(image)
        self._track(BLANK)
        return found[0].landmarks if found else None

    def _track(self, image: NDArray[np.uint8]) -> Any:
        self._clock += 10.0  # far apart: no face is looked for where the last picture had one
        return self._tracker.track(Frame(image=image, index=0, captured=self._clock))

    def matte(self, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Soft matte (H, W) uint8, 255 = person. Our own network takes the aligned square (512, 512, 3) alone."""
        return np.asarray(self._matter.matte(photo[None])[0], np.uint8)

    def close(self) -> None:
        """Release both. May be called twice."""
        self._tracker.close()
        if self._matter is not None:
            self._matter.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _matter(segmenter: Path | None) -> Matter:
    if segmenter is None:
        import engines

        return engines.load_matte(threads=1)
    from realtime.trackers.mediapipe_matte import SelfieSegmenter

    return SelfieSegmenter(asset=segmenter)
