"""What aiortc's senders read from: packets that were encoded once, and sound."""

from __future__ import annotations

from typing import Any

from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from realtime.webrtc.broadcast import Broadcast, Watcher
from realtime.webrtc.encoder import Codec, Packet
from realtime.webrtc.sound import Listener, Sound


class DrawingTrack(MediaStreamTrack):
    """A drawing as a track. It watches from the moment that it is first read, which is when the peer is connected."""

    kind = "video"

    def __init__(self, *, broadcast: Broadcast) -> None:
        super().__init__()
        self._broadcast = broadcast
        self.codec: Codec | None = None
        """What the answer settled on; set before the peer connects."""
        self.watcher: Watcher | None = None

    async def recv(self) -> Packet:
        assert self.codec is not None
        if self.watcher is None and self.readyState == "live":
            self.watcher = self._broadcast.watch(self.codec)
        packet = await self.watcher.next() if self.watcher is not None else None
        if packet is None:
            self.stop()
            raise MediaStreamError
        return packet

    def want_key_frame(self) -> None:
        if self.watcher is not None:
            self.watcher.want_key_frame()

    def set_bit_rate(self, bits: int) -> None:
        if self.watcher is not None:
            self.watcher.bit_rate = bits

    def rest(self, resting: bool) -> None:
        """A watcher that looks away for a while gets nothing, and asks for nothing to be drawn."""
        if self.watcher is not None:
            self.watcher.rest(resting)

    def stop(self) -> None:
        super().stop()
        if self.watcher is not None:
            self.watcher.close()


class SoundTrack(MediaStreamTrack):
    """A peer's sound as a track."""

    kind = "audio"

    def __init__(self, *, sound: Sound) -> None:
        super().__init__()
        self._sound = sound
        self._listener: Listener | None = None

    async def recv(self) -> Any:
        if self._listener is None and self.readyState == "live":
            self._listener = self._sound.listen()
        frame = await self._listener.next() if self._listener is not None else None
        if frame is None:
            self.stop()
            raise MediaStreamError
        return frame

    def stop(self) -> None:
        super().stop()
        if self._listener is not None:
            self._listener.close()
