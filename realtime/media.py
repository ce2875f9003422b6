"""What the parts that read and write video share: a decoder to RGB pictures, and a soundtrack to go with them.

Together with ``sources/`` and ``sinks/`` this is the only place that knows PyAV.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

MEDIA_ERRORS: tuple[type[Exception], ...] = (av.FFmpegError, OSError, ValueError)
"""What PyAV raises for bad input or output, EOF and time-outs included."""

_SHORT_BY_S = 0.5  # a container without an index that ends this much before its declared length was cut off


def reason(error: BaseException) -> str:
    """The cause in a few words, without error numbers, function names or line breaks."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split()).lower()


class Decoder:
    """The first video stream of a file or URL as RGB pictures: upright, with square pixels.

    One thread iterates; :meth:`close` may come from another and takes effect before the next picture.
    """

    def __init__(
        self,
        location: str,
        *,
        options: dict[str, str] | None = None,
        timeout_s: float | None = None,
        low_delay: bool = False,
    ) -> None:
        """Open and decode the first picture.

        Args:
            options: of the container, as FFmpeg names them.
            timeout_s: bound on opening, and on each read.
            low_delay: decode without threads that hold pictures back.
        Raises:
            MEDIA_ERRORS: it cannot be opened, or holds no picture; ValueError says which of the two.
        """
        self._lock = threading.Lock()
        self._closed = False
        self.broken = False
        """True once something could not be decoded, or the file ended before its own index said so."""
        container = av.open(location, "r", options=options or {}, timeout=timeout_s)
        self._container: InputContainer = container
        try:
            self._stream = _first_video(container)
            self._stream.thread_type = "SLICE" if low_delay else "AUTO"
            self._stream.thread_count = 1 if low_delay else 2
            self._frames = self._decode()
            first = next(self._frames, None)
            if first is None:
                raise ValueError("no picture in it could be decoded")
            self._first: VideoFrame | None = first
            image = self._upright(first)
        except BaseException:
            container.close()
            raise
        self.height, self.width = image.shape[:2]
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate else 30.0
        self.frames = self._stream.frames or None
        self.time_base = self._stream.time_base
        self.has_audio = bool(container.streams.audio)
        self.duration_s = container.duration / av.time_base if container.duration else None
        """None for what has no end: a live stream."""

    def __iter__(self) -> Iterator[tuple[Bytes, Fraction | None]]:
        """Pictures (H, W, 3) uint8 RGB with their pts in seconds, exactly as stored."""
        while True:
            with self._lock:
                if self._closed:
                    return
                frame = self._first or next(self._frames, None)
                self._first = None
                if frame is None:
                    return
                image = self._upright(frame)
                pts = None if frame.pts is None or frame.time_base is None else frame.pts * Fraction(frame.time_base)
            yield image, pts

    def close(self) -> None:
        """Release the file. If a read is in the way (a URL that hangs), that read's end does it."""
        self._closed = True
        if self._lock.acquire(timeout=0.2):
            try:
                self._frames.close()
                self._container.close()
            finally:
                self._lock.release()

    def _decode(self) -> Generator[VideoFrame, None, None]:
        last_s = 0.0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except MEDIA_ERRORS:
                self.broken = True  # nothing more can be read, but the decoder may still hold pictures
                packet = None
            if packet is not None and packet.is_corrupt:
                self.broken = True
            try:
                frames = self._stream.decode(packet)
            except MEDIA_ERRORS:
                self.broken = True  # one bad packet: what follows may be whole
                frames = []
            for frame in frames:
                last_s = frame.time if frame.pts is not None else last_s
                yield frame
            if packet is None or (packet.dts is None and packet.size == 0):
                break
        self.broken = self.broken or self._cut_off(last_s)

    def _cut_off(self, last_s: float) -> bool:
        """Whether the file is shorter than it declares itself to be; FFmpeg reports that as a plain end."""
        path = Path(self._container.name)
        entries = self._stream.index_entries
        if path.is_file() and len(entries) and self._stream.frames:
            last = entries[len(entries) - 1]
            return bool(last.pos + last.size > path.stat().st_size)
        if path.is_file() and "matroska" in self._container.format.name:
            declared = _matroska_size(path)
            if declared is not None:
                return declared > path.stat().st_size
        if not self._container.duration:
            return False
        start = (self._container.start_time or 0) / av.time_base
        return last_s - start < self._container.duration / av.time_base - _SHORT_BY_S

    def _upright(self, frame: VideoFrame) -> Bytes:
        width, height = frame.width, frame.height
        aspect = self._stream.codec_context.sample_aspect_ratio
        if aspect is not None and aspect > 0 and aspect != 1:
            width = max(2, 2 * round(width * aspect / 2))
        image = frame.to_ndarray(format="rgb24", width=width, height=height)
        turns = round(frame.rotation / 90) % 4  # the container asks for this many quarters counter-clockwise
        return np.ascontiguousarray(np.rot90(image, turns)) if turns else np.asarray(image, dtype=np.uint8)


def _matroska_size(path: Path) -> int | None:
    """Bytes that a Matroska or WebM file says it has; None when it was written without going back to say so."""
    with path.open("rb") as file:
        head = file.read(4096)
    position = 4  # behind the id of the EBML header
    for behind_id in (4, 0):  # the header, then the segment, whose id has four bytes too
        if position >= len(head) or head[position] == 0:
            return None
        length = 9 - head[position].bit_length()
        field = head[position : position + length]
        size = int.from_bytes(field, "big") & ((1 << 7 * length) - 1)
        if size == (1 << 7 * length) - 1:
            return None  # unknown
        position += length + size + behind_id
    return position


def _first_video(container: InputContainer) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # the cover of a song is no video
            return stream
    raise ValueError("it has no video stream")


_PLAYABLE_SOUND = {
    # What players expect in each container; anything else is transcoded to the first.
    "mp4": ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"),
    "webm": ("libopus", "opus", "vorbis"),
}


class Soundtrack:
    """The first audio stream of a file, on its way into another: packets are copied where the container takes them.

    Feed it with :meth:`write_until` as the pictures go on, so that both are interleaved.
    """

    def __init__(self, source: Path, container: OutputContainer) -> None:
        """Add an audio stream to ``container``, which has not begun to write yet. Raises MEDIA_ERRORS."""
        self._container = container
        self._input: InputContainer = av.open(str(source), "r")
        try:
            self._stream = self._input.streams.audio[0]
        except IndexError:
            self._input.close()
            raise ValueError("it has no audio stream") from None
        self.rate = self._stream.rate
        name = self._stream.codec_context.name
        playable = _PLAYABLE_SOUND.get(container.format.name, ())
        self._resampler: AudioResampler | None = None
        self._out: AudioStream
        if name in (playable or container.supported_codecs):
            self._out = container.add_stream_from_template(self._stream)
        else:
            self._out = self._encoder(playable[0] if playable else "aac")
        # Matroska has no place for times before zero, where MP4 has an edit list.
        self._earliest = None if container.format.name == "mp4" else Fraction(0)
        self._packets = self._input.demux(self._stream)
        self._held: Packet[AudioStream] | None = None
        self._ended = False

    def pictures_end(self) -> Fraction | None:
        """When the pictures that this sound belongs to end, in seconds, where the file tells."""
        for stream in self._input.streams.video:
            if stream.duration is not None and stream.time_base is not None:
                return (stream.duration + (stream.start_time or 0)) * stream.time_base
        return Fraction(self._input.duration, av.time_base) if self._input.duration else None

    def write_until(self, seconds: Fraction | None) -> None:
        """Write what sounds before this time; None writes all that is left. Raises MEDIA_ERRORS of the container."""
        while not self._ended:
            packet = self._held or self._next()
            self._held = None
            if packet is None or packet.pts is None or packet.time_base is None:
                self._ended = packet is None
                continue
            start = packet.pts * packet.time_base
            if seconds is not None and start >= seconds:
                self._held = packet
                return
            if self._earliest is None or start >= self._earliest:
                self._write(packet)

    def finish(self) -> None:
        """Write what the encoder still holds, and close the source of the sound."""
        if self._resampler is not None:
            frames = self._resampler.resample(None)
            for frame in [*frames, None]:
                self._container.mux(self._out.encode(frame))
        self.close()

    def close(self) -> None:
        self._input.close()

    def _next(self) -> Packet[AudioStream] | None:
        try:
            return next(self._packets, None)
        except MEDIA_ERRORS:
            return None  # a damaged source: its sound ends here, as its pictures do

    def _write(self, packet: Packet[AudioStream]) -> None:
        if self._resampler is None:
            packet.stream = self._out
            self._container.mux(packet)
            return
        try:
            frames = packet.decode()
        except MEDIA_ERRORS:
            return  # one damaged packet: a gap in the sound
        for frame in frames:
            for piece in self._resampler.resample(frame):
                self._container.mux(self._out.encode(piece))

    def _encoder(self, codec: str) -> AudioStream:
        rate = 48_000 if codec == "libopus" else min(self._stream.rate or 48_000, 48_000)
        layout = "mono" if self._stream.channels == 1 else "stereo"
        out = self._container.add_stream(codec, rate=rate, options={"b": "128000"})
        assert isinstance(out, AudioStream)
        out.codec_context.layout = layout
        out.codec_context.open()
        self._resampler = AudioResampler(
            format=out.codec_context.format.name, layout=layout, rate=rate, frame_size=out.codec_context.frame_size
        )
        return out
