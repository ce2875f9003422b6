"""Drawings as VP8 or H.264. Thin black lines on white need other settings than faces do.

At aiortc's defaults (0.5 and 1 Mbit/s, noise filter on) 512 x 512 drawings come out soft; at the target here they keep
40 dB and more at a few milliseconds a frame.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal, TypeAlias

import av
import cv2
import numpy as np
from av.video.frame import PictureType
from numpy.typing import NDArray

Codec = Literal["VP8", "H264"]
Packet: TypeAlias = "av.Packet[Any]"
TIME_BASE = Fraction(1, 90_000)
"""RTP's clock for video."""
FLOOR, TARGET, CEILING = 600_000, 2_500_000, 3_000_000
"""Bits a second: what is sent at the least whatever a receiver says, to begin with, and at the most."""
FPS = 30


class VideoEncoder:
    """Encodes pictures of one size, newest first come. Called from one thread at a time."""

    def __init__(self, *, codec: Codec, width: int, height: int, bit_rate: int = TARGET) -> None:
        """
        Args:
            codec: as named in SDP.
            width, height: px, even.
            bit_rate: bits a second, held within the floor and the ceiling.
        """
        self.codec = codec
        self.size = (width, height)
        self.bit_rate = held(bit_rate)
        self._last = -1
        self._context = _vp8() if codec == "VP8" else _h264()
        self._context.width, self._context.height = width, height
        self._context.pix_fmt = "yuv420p"
        self._context.bit_rate = self.bit_rate
        self._context.framerate = Fraction(FPS)
        self._context.time_base = TIME_BASE
        self._context.gop_size = 3000  # key frames are asked for
        self._context.thread_count = 1
        self._context.options = {
            **self._context.options,
            "maxrate": str(self.bit_rate),
            "bufsize": str(self.bit_rate // 2),
            **({"minrate": str(self.bit_rate)} if codec == "VP8" else {}),
        }

    def encode(self, image: NDArray[np.uint8], seconds: float, *, key_frame: bool = False) -> list[Packet]:
        """The packets of one picture, none or one.

        Args:
            image: (H, W, 3) uint8 RGB of the encoder's size; a larger one is made smaller.
            seconds: presentation time; a picture that is not later than the one before is put right after it.
            key_frame: decodable without what came before.
        """
        if image.shape[:2] != (self.size[1], self.size[0]):
            image = np.asarray(cv2.resize(image, self.size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        # OpenCV converts three times faster than FFmpeg here, to BT.601 of studio range, as browsers expect it.
        planes = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420), dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        self._last = max(self._last + 1, round(seconds / TIME_BASE))
        frame.pts, frame.time_base = self._last, TIME_BASE
        frame.pict_type = PictureType.I if key_frame else PictureType.NONE
        packets = self._context.encode(frame)
        for packet in packets:
            packet.time_base = TIME_BASE
        return packets


def scaled(width: int, height: int, scale: float) -> tuple[int, int]:
    """Even sides, px, of a picture with even sides that is sent smaller."""
    return max(2, 2 * round(width * scale / 2)), max(2, 2 * round(height * scale / 2))


def held(bit_rate: int) -> int:
    """Within the floor and the ceiling."""
    return min(CEILING, max(FLOOR, bit_rate))


def _vp8() -> av.VideoCodecContext:
    context = av.CodecContext.create("libvpx", "w")
    context.qmin, context.qmax = 2, 56
    context.options = {
        "cpu-used": "-6",
        "deadline": "realtime",
        "lag-in-frames": "0",
        "overshoot-pct": "15",
        "undershoot-pct": "100",
        "noise-sensitivity": "0",  # it takes thin lines for noise
        "static-thresh": "0",
        "error-resilient": "default",
    }
    return context


def _h264() -> av.VideoCodecContext:
    context = av.CodecContext.create("libx264", "w")
    context.profile = "Baseline"
    context.options = {"level": "31", "preset": "superfast", "tune": "zerolatency", "crf": "18"}
    return context
