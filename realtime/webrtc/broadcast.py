"""A peer's drawing on its way out: encoded once for each codec in use, whoever and however many watch.

The pipeline's thread calls :meth:`Broadcast.send`; what was encoded is handed to the event loop, where each watcher
has a short queue of its own. A watcher that falls behind loses what waits for it and gets a key frame.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections import deque

import numpy as np

from realtime.core import PAPER, Frame
from realtime.webrtc.encoder import TARGET, Codec, Packet, VideoEncoder, held, scaled

BACKLOG = 15
"""Packets that wait for one watcher at most: half a second."""
KEY_FRAME_S = 0.5
"""Key frames asked for come no closer than this: each is ten times as large as another frame."""
RATE_S = 4.0
"""A new bit rate is set no more often than this: it starts with a key frame."""
RATE_STEP = 1.25
"""Smaller changes of the bit rate are passed over."""
EASE = 0.1
"""Share of the newest age in the running mean."""


class Watcher:
    """One who watches. Belongs to the event loop."""

    def __init__(self, *, broadcast: Broadcast, codec: Codec) -> None:
        self.codec = codec
        self.bit_rate = TARGET
        self.sent = 0
        self._broadcast = broadcast
        self._packets: deque[Packet] = deque()
        self._arrived = asyncio.Event()
        self._needs_key_frame = True
        self._closed = False

    async def next(self) -> Packet | None:
        """The next packet; None when there will be none any more."""
        while not self._packets:
            if self._closed:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        self.sent += 1
        return self._packets.popleft()

    def want_key_frame(self) -> None:
        self._broadcast.want_key_frame(self.codec)

    def offer(self, packets: list[Packet]) -> None:
        """What was encoded; nothing that cannot be decoded gets in."""
        if len(self._packets) >= BACKLOG:
            self._packets.clear()
            self._needs_key_frame = True
            self.want_key_frame()
        for packet in packets:
            if self._needs_key_frame and not packet.is_keyframe:
                self.want_key_frame()
                continue
            self._needs_key_frame = False
            self._packets.append(packet)
        self._arrived.set()

    def rest(self, resting: bool) -> None:
        """Look away for a while, or back: what is missed meanwhile is not needed."""
        if self._closed:
            return
        self._broadcast.leave(self)
        if not resting:
            self._packets.clear()
            self._needs_key_frame = True
            self._broadcast.join(self)

    def close(self) -> None:
        """Stop watching. May be called twice."""
        self._closed = True
        self._arrived.set()
        self._broadcast.leave(self)


class Broadcast:
    """Takes composed frames from one thread, serves watchers on one event loop."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lock = threading.Lock()
        self._watchers: list[Watcher] = []
        self._lookers = 0
        self._key_frames: set[Codec] = set()
        self._last_key_frame: dict[Codec, float] = {}
        self._encoders: dict[Codec, VideoEncoder] = {}
        self._rated = 0.0
        self._latest: Frame | None = None
        self._closed = False
        self.scale = 1.0
        """Share of the drawing's sides that is sent; :attr:`latest` keeps its size."""
        self.latency = 0.0
        """Seconds from the end of decode to the encoded drawing, running mean."""
        self.bits = 0
        """Encoded so far."""

    @property
    def watched(self) -> bool:
        """While nobody watches, the drawing rests."""
        with self._lock:
            return bool(self._watchers or self._lookers)

    @property
    def watchers(self) -> int:
        with self._lock:
            return len(self._watchers) + self._lookers

    @property
    def latest(self) -> Frame | None:
        """The drawing that was sent last."""
        with self._lock:
            return self._latest

    def watch(self, codec: Codec) -> Watcher:
        """Begin to watch, on the event loop; the first frame that comes is a key frame."""
        watcher = Watcher(broadcast=self, codec=codec)
        self.join(watcher)
        return watcher

    def join(self, watcher: Watcher) -> None:
        with self._lock:
            if not self._closed:
                self._watchers.append(watcher)
                self._key_frames.add(watcher.codec)
                return
        watcher.close()

    def leave(self, watcher: Watcher) -> None:
        with self._lock:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

    def look(self, count: int) -> None:
        """So many more (or fewer) take :attr:`latest` without a video connection."""
        with self._lock:
            self._lookers += count

    def want_key_frame(self, codec: Codec) -> None:
        with self._lock:
            self._key_frames.add(codec)

    def send(self, frame: Frame) -> None:
        """Encode for whoever watches and hand over. Called from the pipeline's thread."""
        with self._lock:
            if self._closed:
                return
            self._latest = frame
            rates: dict[Codec, list[int]] = {}
            for watcher in self._watchers:
                rates.setdefault(watcher.codec, []).append(watcher.bit_rate)
        self._encoders = {codec: encoder for codec, encoder in self._encoders.items() if codec in rates}
        for codec, wanted in rates.items():
            # The median: one bad line must not spoil it for the others.
            packets = self._encode(frame, codec, held(round(statistics.median(wanted))))
            self.bits += 8 * sum(packet.size for packet in packets)
            self._loop.call_soon_threadsafe(self._hand_over, codec, packets)
        if not frame.blank:
            self.latency += EASE * (time.monotonic() - frame.captured - self.latency)

    def paper(self, *, width: int = 640, height: int = 480) -> None:
        """Send bare paper, as large as what was sent last. From the pipeline's thread, or when that has ended."""
        shape = (height, width, 3) if self._latest is None else self._latest.image.shape
        self.send(Frame(image=np.full(shape, PAPER, np.uint8), index=0, captured=time.monotonic(), blank=True))

    def close(self) -> None:
        """On the event loop: every watcher comes to an end. May be called twice."""
        with self._lock:
            self._closed = True
            watchers = list(self._watchers)
        for watcher in watchers:
            watcher.close()

    def _encode(self, frame: Frame, codec: Codec, bit_rate: int) -> list[Packet]:
        bit_rate = held(round(bit_rate * self.scale**2))  # as many for each pixel
        width, height = scaled(frame.image.shape[1], frame.image.shape[0], self.scale)
        encoder, now = self._encoders.get(codec), time.monotonic()
        if encoder is not None and now - self._rated >= RATE_S:
            change = max(bit_rate, encoder.bit_rate) / min(bit_rate, encoder.bit_rate)
            encoder = None if change > RATE_STEP else encoder
        if encoder is None or encoder.size != (width, height):
            encoder = self._encoders[codec] = VideoEncoder(codec=codec, width=width, height=height, bit_rate=bit_rate)
            self._rated = now
        with self._lock:
            due = codec in self._key_frames and now - self._last_key_frame.get(codec, 0.0) >= KEY_FRAME_S
            if due:
                self._key_frames.discard(codec)
                self._last_key_frame[codec] = now
        # Timed by when it is sent: what drawing took would be taken for the network's unsteadiness, and waited for.
        return encoder.encode(frame.image, now, key_frame=due)

    def _hand_over(self, codec: Codec, packets: list[Packet]) -> None:
        for watcher in self._watchers[:]:
            if watcher.codec == codec:
                watcher.offer(packets)
