"""A server of fakes on a free port, and real aiortc peers for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import aiohttp
import av
import cv2
import numpy as np
from aiohttp.test_utils import TestServer
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from numpy.typing import NDArray

from apdgan.alignment import TEMPLATE
from realtime.controls import Controls
from realtime.core import Face, Frame
from realtime.smoothing import make_smoother
from realtime.webrtc.app import make_app
from realtime.webrtc.load import Load
from realtime.webrtc.lobby import Lobby
from realtime.webrtc.pen import Style, Styles
from realtime.webrtc.pipeline import Parts
from realtime.webrtc.settings import IceServer, Limits, Settings
from realtime.webrtc.show import Show

PATIENCE_S = 30.0
"""For whatever must come in the end; nothing here is timed."""


def run(scenario: Coroutine[Any, Any, None], *, minutes: float = 3) -> None:
    async def in_time() -> None:
        async with asyncio.timeout(60 * minutes):
            await scenario

    asyncio.run(in_time())


async def until(true: Callable[[], bool], *, seconds: float = PATIENCE_S) -> None:
    """Wait until it is true, or fail."""
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.02)


class InkEngine:
    """A black square in the middle of each portrait; counts."""

    name, device = "fake", "none"
    manifest: Any = None

    def __init__(self, *, seconds: float = 0.0, inverse: bool = False) -> None:
        self.drawn = 0
        self.fail = False
        self._seconds, self._inverse = seconds, inverse

    def draw(self, photo: NDArray[np.uint8], _boxes: Any, _matte: Any) -> NDArray[np.uint8]:
        self.drawn += len(photo)
        time.sleep(self._seconds)
        if self.fail:
            raise RuntimeError("the engine broke")
        ink = np.full(photo.shape[:3], 0 if self._inverse else 255, np.uint8)
        ink[:, 128:-128, 128:-128] = 255 if self._inverse else 0
        return ink

    def close(self) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        pass


class MiddleTracker:
    """One face in the middle of every frame; notes the sizes of frames."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.closed = False

    def track(self, frame: Frame) -> list[Face]:
        height, width = frame.image.shape[:2]
        if not self.shapes or self.shapes[-1] != frame.image.shape:
            self.shapes.append(frame.image.shape)
        landmarks = (TEMPLATE - 256) * (min(width, height) / 512) + (width / 2, height / 2)
        return [Face(id=0, landmarks=landmarks.astype(np.float32), confidence=1.0)]

    def close(self) -> None:
        self.closed = True


@dataclass(kw_only=True)
class Served:
    """A running server."""

    url: str
    lobby: Lobby
    http: aiohttp.ClientSession
    engine: Any
    trackers: list[MiddleTracker]

    async def post_sdp(self, path: str, sdp: str, **headers: str) -> aiohttp.ClientResponse:
        response = await self.http.post(
            self.url + path, data=sdp, headers={"Content-Type": "application/sdp", **headers}
        )
        await response.read()
        return response


def fake_parts(engine: Any, trackers: list[MiddleTracker]) -> Parts:
    """Parts without models: two styles, a face in the middle."""

    def make_tracker() -> MiddleTracker:
        trackers.append(MiddleTracker())
        return trackers[-1]

    other = InkEngine(inverse=True)
    styles = Styles(
        styles=[Style(name="lite", text="Lite"), Style(name="dark", text="Dark")],
        load=lambda name: engine if name == "lite" else other,
        first="lite",
    )
    return Parts(
        styles=styles,
        make_tracker=make_tracker,
        make_smoother=make_smoother,
        matter=None,
        controls=lambda: Controls(layout="inplace", smooth=0.0),
    )


class Unmoved(Load):
    """Load that is not measured: a slow machine must not change what a test sees."""

    def look(self, shows: Sequence[Show]) -> None:
        pass


@asynccontextmanager
async def serving(
    *,
    engine: Any = None,
    token: str | None = None,
    ice_servers: tuple[IceServer, ...] = (),
    **limits: Any,
) -> AsyncIterator[Served]:
    engine = engine or InkEngine()
    trackers: list[MiddleTracker] = []
    parts = fake_parts(engine, trackers)
    quick = Limits(**{"wrong_token_s": (0.0, 0.01), **limits})
    settings = Settings(token=token, ice_servers=ice_servers, limits=quick)
    lobby = Lobby(parts=parts, settings=settings, load=Unmoved(engine_s=lambda: 0.0))
    server = TestServer(make_app(lobby=lobby), host="127.0.0.1")
    await server.start_server()
    try:
        async with aiohttp.ClientSession() as http:
            url = f"http://127.0.0.1:{server.port}"
            yield Served(url=url, lobby=lobby, http=http, engine=engine, trackers=trackers)
    finally:
        await lobby.close()
        await server.close()
        parts.styles.close()


class Camera(MediaStreamTrack):
    """Grey pictures without anything white, 25 a second; its size can be changed, and it can be stopped."""

    kind = "video"

    def __init__(self, *, width: int = 320, height: int = 240) -> None:
        super().__init__()
        self.size = (width, height)
        self.covered = False
        self.count = 0
        self._begun = time.monotonic()

    async def recv(self) -> av.VideoFrame:
        self.count += 1
        await asyncio.sleep(max(0.0, self._begun + self.count / 25 - time.monotonic()))
        while self.covered:
            await asyncio.sleep(0.05)
        if self.readyState != "live":
            raise MediaStreamError
        width, height = self.size
        image = np.full((height, width, 3), 90, np.uint8)
        image[:: 2 + self.count % 3] = 120
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = self.count * 3600, Fraction(1, 90000)
        return frame


@dataclass(kw_only=True)
class Peer:
    """A real aiortc peer, and what it has received."""

    connection: RTCPeerConnection = field(default_factory=lambda: RTCPeerConnection(RTCConfiguration(iceServers=[])))
    camera: Camera = field(default_factory=Camera)
    frames: list[av.VideoFrame] = field(default_factory=list)
    sounds: list[av.AudioFrame] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    channel: Any = None
    answer: dict[str, Any] = field(default_factory=dict)
    location: str = ""
    etag: str = ""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        @self.connection.on("track")
        def take(track: MediaStreamTrack) -> None:
            self._tasks.append(asyncio.create_task(self._receive(track)))

    async def _receive(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            (self.frames if track.kind == "video" else self.sounds).append(frame)  # type: ignore[arg-type]
            del self.frames[:-200]

    async def offer(self, *, codec: str | None = None) -> str:
        """The SDP offer; VP8 or H264 alone when named."""
        from aiortc import RTCRtpSender

        if codec is not None:
            for transceiver in self.connection.getTransceivers():
                if transceiver.kind == "video":
                    known = RTCRtpSender.getCapabilities("video").codecs
                    transceiver.setCodecPreferences([c for c in known if c.name == codec])
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return self.connection.localDescription.sdp

    async def accept(self, sdp: str) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="answer"))

    @property
    def newest(self) -> NDArray[np.uint8]:
        """(H, W) uint8, luma of the newest picture."""
        return np.asarray(self.frames[-1].to_ndarray(format="gray"))

    async def drawing(self) -> None:
        """Wait for a picture that is drawn upon."""
        await until(lambda: bool(self.frames) and is_drawn(self.newest))

    async def paper(self) -> None:
        """Wait for a picture that is bare paper."""
        await until(lambda: bool(self.frames) and is_paper(self.newest))

    async def close(self) -> None:
        self.camera.stop()
        await self.connection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def is_paper(luma: NDArray[np.uint8]) -> bool:
    return bool((luma > 240).all())


def is_drawn(luma: NDArray[np.uint8]) -> bool:
    """Ink and paper and nothing of the grey camera."""
    return bool((luma < 40).any() and (luma > 240).any() and ((luma < 40) | (luma > 215)).mean() > 0.95)


@asynccontextmanager
async def page(served: Served, *, codec: str | None = None, camera: Camera | None = None) -> AsyncIterator[Peer]:
    """A peer as the page is one: sends, receives, has the remote control."""
    import json

    peer = Peer(camera=camera or Camera())
    try:
        peer.connection.addTrack(peer.camera)
        peer.channel = peer.connection.createDataChannel("control")
        peer.channel.on("message", peer.messages.append)
        body = json.dumps({"sdp": await peer.offer(codec=codec), "type": "offer"})
        async with served.http.post(
            f"{served.url}/offer", data=body, headers={"Content-Type": "application/json"}
        ) as response:
            assert response.status == 201, await response.text()
            peer.answer = await response.json()
        peer.location = peer.answer["session"]
        await peer.accept(peer.answer["sdp"])
        yield peer
    finally:
        await peer.close()


@asynccontextmanager
async def whip(
    served: Served, path: str = "/whip", *, kinds: str = "v", codec: str | None = None, **headers: str
) -> AsyncIterator[Peer]:
    """A peer that publishes."""
    from aiortc.mediastreams import AudioStreamTrack

    peer = Peer()
    try:
        peer.connection.addTransceiver(peer.camera, direction="sendonly")
        if "a" in kinds:
            peer.connection.addTransceiver(AudioStreamTrack(), direction="sendonly")
        await _open(served, peer, path, codec, headers)
        yield peer
    finally:
        await peer.close()


@asynccontextmanager
async def whep(
    served: Served, stream: str, *, kinds: str = "v", codec: str | None = None, **headers: str
) -> AsyncIterator[Peer]:
    """A peer that watches."""
    peer = Peer()
    try:
        peer.connection.addTransceiver("video", direction="recvonly")
        if "a" in kinds:
            peer.connection.addTransceiver("audio", direction="recvonly")
        await _open(served, peer, f"/whep/{stream}", codec, headers)
        yield peer
    finally:
        await peer.close()


async def _open(served: Served, peer: Peer, path: str, codec: str | None, headers: dict[str, str]) -> None:
    response = await served.post_sdp(path, await peer.offer(codec=codec), **headers)
    assert response.status == 201, await response.text()
    peer.location, peer.etag = response.headers["Location"], response.headers["ETag"]
    await peer.accept(await response.text())


def stream_of(served: Served, peer: Peer) -> str:
    """The name under which a publisher can be watched."""
    session = served.lobby.find(peer.location.rpartition("/")[2])
    assert session is not None
    return session.show.name


def grey_camera(folder: Path) -> Path:
    """Two seconds of grey that moves, for Chromium to take for a camera."""
    path = folder / "camera.mjpeg"
    with path.open("wb") as file:
        for index in range(40):
            picture = np.full((240, 320, 3), 110, np.uint8)
            picture[:, 4 * index : 4 * index + 60] = 150
            file.write(cv2.imencode(".jpg", picture)[1].tobytes())
    return path
