"""Drawings as a clip: .mp4, .mkv, .mov (H.264) or .webm (VP9), every frame at its own time, the source's sound kept.

Transparent clips are .webm (VP9) or .mov (ProRes 4444).
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.codec import Codec
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from realtime.clear_video import CLEAR_CODECS, clear_picture
from realtime.core import Frame, SinkError
from realtime.letterbox import letterbox
from realtime.media import MEDIA_ERRORS, Soundtrack, reason

CLOCK = Fraction(1, 90_000)
"""Seconds a tick where the source has no time base of its own."""
_FINEST = 10_000_000  # ticks a second: beyond it, fields of MP4 overflow within minutes

_SMPTE170M, _LIMITED = 6, 1  # FFmpeg's numbers for BT.601 colours of studio range

# Measured on line drawings at 720p: ultrafast 4 ms a frame on one core, veryfast 9 ms for files two thirds as large.
_H264 = {"preset": "ultrafast", "tune": "zerolatency", "crf": "21"}
_VP9 = {"deadline": "realtime", "cpu-used": "8", "crf": "28", "b": "0", "lag-in-frames": "0", "tune-content": "screen"}


class VideoFileSink:
    """Writes a clip.

    Frames with a pts keep it exactly where ``time_base`` is given (Matroska and WebM store whole milliseconds); without
    a ``time_base`` the clip begins at zero with its first frame, timed by pts or, for a camera, by ``captured``.

    The file is written under its own name: an MP4 grows by fragments that play even when the process is killed, and
    becomes a plain MP4 on close(); a file set aside under another name would be lost in that case.

    The size is that of the first frame, made even; later frames of another size are laid on paper of that size.

    Args:
        path: ends in .mp4, .mkv, .mov or .webm; its folder must exist.
        fps: nominal frames per second, above 0.
        time_base: of the source's pts, seconds a tick.
        audio: file whose sound is added; cut at the last frame when the pictures stop early.
        transparent: keep the ink of composed frames alone, without paper; .webm and .mov can.
    Raises:
        SinkError: a value above cannot be used, or (later) the file cannot be written: disk full, say. What has been
            written by then is closed so that it plays.
    """

    def __init__(
        self,
        *,
        path: str | Path,
        fps: float,
        time_base: Fraction | None = None,
        audio: Path | None = None,
        transparent: bool = False,
    ) -> None:
        self._path = _checked(Path(path))
        self._clear = CLEAR_CODECS.get(self._path.suffix.lower()) if transparent else None
        if transparent and self._clear is None:
            can = " or ".join(CLEAR_CODECS)
            raise SinkError(
                f"video {str(path)!r}: it holds no transparency; expected a name ending in {can}; rename it"
            )
        if not (math.isfinite(fps) and fps > 0):
            raise SinkError(f"video {str(path)!r}: expected frames per second above 0, got {fps}; try 30")
        if audio is not None and self._path.exists() and audio.exists() and self._path.samefile(audio):
            raise SinkError(f"video {str(path)!r}: source and sink are the same file; choose another name")
        self._rate = Fraction(fps).limit_denominator(1001)
        self._exact = time_base is not None
        fine = time_base is not None and 0 < time_base.denominator <= _FINEST
        self._base = Fraction(1, time_base.denominator) if time_base is not None and fine else CLOCK
        self._audio = audio
        self._container: OutputContainer | None = None
        self._stream: VideoStream
        self._sound: Soundtrack | None = None
        self._origin = Fraction(0)
        self._last: int | None = None
        self._closed = False

    def send(self, frame: Frame) -> None:
        if self._closed:
            raise SinkError(f"video {str(self._path)!r}: it has been closed; expected an open one; make another")
        try:
            if self._container is None:
                self._open(frame)
            picture = self._picture(frame)
            tick = self._tick(frame)
            picture.pts, picture.time_base = tick, self._base
            self._mux(picture)
            if self._sound is not None:
                self._sound.write_until(tick * self._base)
            self._last = tick
        except MEDIA_ERRORS as error:
            self._give_up(error)

    def close(self) -> None:
        """Finish the file; it plays from here on. Without a frame there is no file."""
        if self._closed:
            return
        self._closed = True
        if self._container is None:
            return
        try:
            self._mux(None)
            if self._sound is not None:
                self._sound.write_until(self._sound_end(self._sound))
                self._sound.finish()
            self._container.close()
        except MEDIA_ERRORS as error:
            self._give_up(error)

    def _picture(self, frame: Frame) -> VideoFrame:
        if self._clear is not None and frame.ink is not None:
            return clear_picture(frame.ink, self._clear[1], self._stream.width, self._stream.height)
        page = letterbox(frame.image, self._stream.width, self._stream.height)
        # OpenCV converts six times faster than FFmpeg here, to BT.601, which the stream is marked with.
        planes = np.asarray(cv2.cvtColor(page, cv2.COLOR_RGB2YUV_I420), dtype=np.uint8)
        picture = VideoFrame.from_ndarray(planes, format="yuv420p")
        # A frame that is no drawing, in a clip that is transparent: all of it is seen.
        return picture if self._clear is None else picture.reformat(format=self._clear[1])

    def _open(self, first: Frame) -> None:
        height, width = first.image.shape[:2]
        suffix = self._path.suffix.lower()
        container = av.open(str(self._path), "w", format={".mkv": "matroska"}.get(suffix, suffix[1:]))
        self._container = container
        codec, options = _codec(suffix, self._clear)
        stream = container.add_stream(codec, rate=self._rate, options=dict(options))
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width + width % 2, height + height % 2, "yuv420p"
        if self._clear is not None:
            stream.pix_fmt = self._clear[1]
        stream.codec_context.max_b_frames = 0  # decoding order is display order: no edit list, no delay
        stream.thread_count = 1  # the network needs the other cores
        stream.colorspace, stream.color_range = _SMPTE170M, _LIMITED
        base = self._base if codec != "mpeg4" else max(self._base, Fraction(1, 65_535))  # its field has 16 bits
        stream.codec_context.time_base = base
        stream.time_base = self._base
        self._stream = stream
        if self._audio is not None:
            try:
                self._sound = Soundtrack(self._audio, container)
            except MEDIA_ERRORS as error:
                raise ValueError(f"the sound of {self._audio.name!r} cannot be kept: {reason(error)}") from None
        if suffix in (".mp4", ".mov"):
            container.options.update(self._mp4_options())
        if not self._exact:
            self._origin = _moment(first)

    def _mp4_options(self) -> dict[str, str]:
        """Fragments while it grows; offsets of both streams in units that hold them exactly."""
        scale = self._base.denominator
        if self._sound is not None and self._sound.rate:
            common = math.lcm(scale, self._sound.rate)
            scale = common if common <= 2 * _FINEST else scale
        return {
            "movflags": "hybrid_fragmented+delay_moov",
            "frag_duration": "2000000",
            "movie_timescale": str(scale),
        }

    def _tick(self, frame: Frame) -> int:
        tick = round((_moment(frame) - self._origin) / self._base)
        # Two frames at one time (a clip that says so, a clock too coarse): a container holds only rising times.
        return tick if self._last is None else max(tick, self._last + 1)

    def _mux(self, picture: VideoFrame | None) -> None:
        assert self._container is not None
        for packet in self._stream.encode(picture):
            packet.duration = packet.duration or max(1, round(1 / self._rate / packet.time_base))
            self._container.mux(packet)

    def _sound_end(self, sound: Soundtrack) -> Fraction | None:
        """None (all of it) when the pictures are complete, otherwise the end of the last one."""
        assert self._last is not None
        end = self._last * self._base + 1 / self._rate
        planned = sound.pictures_end()
        return None if planned is not None and end >= planned - 1 / self._rate / 2 else end

    def _give_up(self, error: Exception) -> None:
        """Close what can be closed and tell the user."""
        self._closed = True
        if self._sound is not None:
            self._sound.close()
        if self._container is not None:
            with suppress(*MEDIA_ERRORS):
                self._container.close()
            if self._last is None:
                with suppress(OSError):
                    self._path.unlink(missing_ok=True)
        raise SinkError(
            f"cannot write video {str(self._path)!r}: {reason(error)}; what was written so far is kept; free some "
            "space or choose another folder"
        ) from None


def _moment(frame: Frame) -> Fraction:
    """Seconds, by the source's clock or else by this machine's."""
    return frame.pts if frame.pts is not None else Fraction(frame.captured)


def _codec(suffix: str, clear: tuple[str, str, dict[str, str]] | None) -> tuple[str, dict[str, str]]:
    """Encoder and its options; builds of FFmpeg without the usual ones get their plain sisters."""
    choices: tuple[tuple[str, dict[str, str]], ...] = (
        (("libvpx-vp9", _VP9), ("libvpx", {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "4000000"}))
        if suffix == ".webm"
        else (("libx264", _H264), ("mpeg4", {"qscale": "3"}))
    )
    if clear is not None:
        choices = ((clear[0], _VP9 if suffix == ".webm" else clear[2]),)
    for name, options in choices:
        with suppress(av.codec.codec.UnknownCodecError):
            Codec(name, "w")
            return name, options
    raise ValueError(f"this build of FFmpeg has none of the encoders {', '.join(name for name, _ in choices)}")


def _checked(path: Path) -> Path:
    suffix = path.suffix.lower()
    if suffix not in (".mp4", ".mkv", ".webm", ".mov"):
        raise SinkError(
            f"video {str(path)!r}: expected a name ending in .mp4, .mkv, .mov or .webm, got {suffix!r}; rename it"
        )
    if not path.parent.is_dir():
        raise SinkError(f"video {str(path)!r}: there is no folder {str(path.parent)!r}; create it first")
    if path.is_dir():
        raise SinkError(f"video {str(path)!r}: expected a file name, got a directory; add a name such as out.mp4")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SinkError(f"video {str(path)!r}: no permission to write it; choose another folder")
    return path
