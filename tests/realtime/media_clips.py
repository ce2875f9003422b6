"""Small clips made on the spot, by FFmpeg alone, so that the product's own sink does not vouch for its source."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from realtime.core import Frame


def picture(index: int, width: int = 96, height: int = 64) -> NDArray[np.uint8]:
    """A grey level that tells the index, and a white corner that tells which way is up."""
    image = np.full((height, width, 3), 20 + (index * 9) % 180, dtype=np.uint8)
    image[: height // 2, : width // 2] = 255
    return image


def frames(count: int, *, time_base: Fraction | None = None, step: int = 1, start: int = 0) -> list[Frame]:
    """Frames as a source would give them; without a time base, as a camera would: 40 ms apart."""
    return [
        Frame(
            image=picture(k),
            index=k,
            captured=1000 + k * 0.04,
            pts=None if time_base is None else (start + k * step) * time_base,
        )
        for k in range(count)
    ]


def write_clip(
    path: Path,
    ticks: Sequence[int],
    *,
    time_base: Fraction,
    size: tuple[int, int] = (96, 64),
    rotation: int = 0,
    sound_s: float = 0.0,
    sound_codec: str = "aac",
) -> Path:
    """A clip with a picture at each tick, and a tone of so many seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"preset": "ultrafast", "qp": "4"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv444p"
        stream.codec_context.time_base = stream.time_base = time_base
        if rotation:
            stream.set_display_rotation(rotation)
        tone = container.add_stream(sound_codec, rate=48_000) if sound_s else None
        for index, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(picture(index, *size), format="rgb24")
            frame.pts, frame.time_base = tick, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if tone is not None:
            container.mux([p for frame in _tone(sound_s) for p in tone.encode(frame)])
            container.mux(tone.encode(None))
    return path


def _tone(seconds: float) -> Iterable[av.AudioFrame]:
    for begin in range(0, int(seconds * 48_000), 960):
        wave = np.sin(np.arange(begin, begin + 960) * (2 * math.pi * 440 / 48_000)).astype(np.float32) * 0.3
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, begin, Fraction(1, 48_000)
        yield frame


def read_back(path: Path) -> tuple[list[Fraction], list[NDArray[np.uint8]]]:
    """Times and RGB pictures of a clip."""
    times, pictures = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            times.append(frame.pts * Fraction(frame.time_base))
            pictures.append(frame.to_ndarray(format="rgb24"))
    return times, pictures


def sound_times(path: Path) -> list[Fraction]:
    """Times of the audio packets of a clip; empty without sound."""
    with av.open(str(path)) as container:
        if not container.streams.audio:
            return []
        stream = container.streams.audio[0]
        return [p.pts * Fraction(p.time_base) for p in container.demux(stream) if p.pts is not None]
