"""What aiortc lacks, mended: crisp lines, key frames for each newcomer, RSA peers, sound as late as the picture."""

from __future__ import annotations

import asyncio
import datetime
import time
from collections.abc import Iterator
from fractions import Fraction

import aioice.ice
import av
import cv2
import numpy as np
import pytest
from aiortc.rtcdtlstransport import RTCCertificate
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from numpy.typing import NDArray
from serving import Peer, run, serving, until

from realtime.core import Frame
from realtime.webrtc import mending
from realtime.webrtc.broadcast import BACKLOG, Broadcast
from realtime.webrtc.encoder import CEILING, FLOOR, TARGET, Codec, VideoEncoder
from realtime.webrtc.inlet import to_rgb
from realtime.webrtc.sound import HEAD_START_S, Sound

CODECS: tuple[Codec, ...] = ("VP8", "H264")


def pen_drawings(count: int) -> Iterator[NDArray[np.uint8]]:
    """A head of thin lines that sways: (512, 512, 3) uint8."""
    dice = np.random.default_rng(3)
    strands = dice.integers(-60, 60, (140, 4))
    for step in range(count):
        page = np.full((512, 512), 255, np.uint8)
        x = 256 + round(14 * np.sin(step / 7))
        cv2.ellipse(page, (x, 270), (120, 160), 0, 0, 360, 0, 2, cv2.LINE_AA)
        for a, b, c, d in strands:
            cv2.line(page, (x + 2 * a, 110 + b), (x + 2 * a + c, 190 + d), 0, 1, cv2.LINE_AA)
        for side in (-45, 45):
            cv2.ellipse(page, (x + side, 240), (26, 12), 0, 0, 360, 0, 2, cv2.LINE_AA)
            cv2.circle(page, (x + side, 240), 7, 0, -1, cv2.LINE_AA)
        yield np.repeat(page[..., None], 3, 2)


def decoded(codec: Codec, packets: list[av.Packet]) -> list[NDArray[np.uint8]]:
    context = av.CodecContext.create("libvpx" if codec == "VP8" else "h264", "r")
    fresh = [av.Packet(bytes(packet)) for packet in packets]
    return [f.to_ndarray(format="gray") for p in [*fresh, None] for f in context.decode(p)]


@pytest.mark.parametrize("codec", CODECS)
def test_lines_stay_crisp_within_three_megabits(codec: Codec) -> None:
    encoder = VideoEncoder(codec=codec, width=512, height=512)
    drawings = list(pen_drawings(90))
    packets = [p for i, d in enumerate(drawings) for p in encoder.encode(d, 5 + i / 30, key_frame=i == 0)]
    shown = decoded(codec, packets)
    assert len(shown) == len(drawings)
    errors = [np.square(s.astype(float) - d[..., 0]).mean() for s, d in zip(shown, drawings, strict=True)]
    psnr = 10 * np.log10(255**2 / np.array(errors))
    assert psnr.mean() > 33
    assert np.percentile(psnr, 5) > 30
    assert sum(p.size for p in packets) * 8 / 3 < 3_000_000


@pytest.mark.parametrize("codec", CODECS)
def test_a_key_frame_comes_when_asked_for_and_a_clock_that_stands_still_is_no_fault(codec: Codec) -> None:
    encoder = VideoEncoder(codec=codec, width=64, height=48)
    picture = np.full((48, 64, 3), 200, np.uint8)
    keys = [p.is_keyframe for i in range(6) for p in encoder.encode(picture, 7.0, key_frame=i == 4)]
    assert keys == [True, False, False, False, True, False]


def test_bit_rates_are_held_within_floor_and_ceiling() -> None:
    assert VideoEncoder(codec="VP8", width=64, height=48, bit_rate=1).bit_rate == FLOOR
    assert VideoEncoder(codec="VP8", width=64, height=48, bit_rate=10**9).bit_rate == CEILING


def a_frame(level: int = 255) -> Frame:
    return Frame(image=np.full((48, 64, 3), level, np.uint8), index=0, captured=time.monotonic())


def test_each_newcomer_begins_with_a_key_frame_and_one_who_is_slow_loses_frames_not_memory() -> None:
    async def scenario() -> None:
        broadcast = Broadcast(loop=asyncio.get_running_loop())
        first = broadcast.watch("VP8")
        await asyncio.to_thread(lambda: [broadcast.send(a_frame()) for _ in range(5)])
        await asyncio.sleep(0.6)
        second = broadcast.watch("VP8")
        await asyncio.to_thread(lambda: [broadcast.send(a_frame()) for _ in range(5)])
        await asyncio.sleep(0)
        for watcher in (first, second):
            packet = await watcher.next()
            assert packet is not None
            assert packet.is_keyframe
        await asyncio.to_thread(lambda: [broadcast.send(a_frame()) for _ in range(3 * BACKLOG)])
        await asyncio.sleep(0)
        assert len(first._packets) <= BACKLOG
        broadcast.close()

    run(scenario())


def test_one_bad_line_does_not_spoil_it_for_the_others() -> None:
    async def scenario() -> None:
        broadcast = Broadcast(loop=asyncio.get_running_loop())
        watchers = [broadcast.watch("VP8") for _ in range(3)]
        watchers[0].bit_rate = 1000
        await asyncio.to_thread(broadcast.send, a_frame())
        assert broadcast._encoders["VP8"].bit_rate > FLOOR
        broadcast.close()
        broadcast.close()
        assert await watchers[1].next() is not None
        assert await watchers[1].next() is None

    run(scenario())


def test_a_drawing_that_is_sent_smaller_takes_fewer_bits_and_is_kept_at_its_size() -> None:
    async def scenario() -> None:
        broadcast = Broadcast(loop=asyncio.get_running_loop())
        broadcast.watch("VP8")
        await asyncio.to_thread(broadcast.send, a_frame())
        assert (broadcast._encoders["VP8"].size, broadcast._encoders["VP8"].bit_rate) == ((64, 48), TARGET)
        broadcast.scale = 0.75
        await asyncio.to_thread(broadcast.send, a_frame())
        assert broadcast._encoders["VP8"].size == (48, 36)
        assert broadcast._encoders["VP8"].bit_rate == round(TARGET * 9 / 16)
        assert broadcast.latest is not None
        assert broadcast.latest.image.shape == (48, 64, 3)
        broadcast.close()

    run(scenario())


def rsa_certificate() -> RTCCertificate:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gstreamer")])
    now = datetime.datetime.now(tz=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1))
    return RTCCertificate(key=key, cert=builder.sign(key, hashes.SHA256()))  # type: ignore[arg-type]


def test_a_peer_with_an_rsa_certificate_connects() -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer = Peer()
            peer.connection._RTCPeerConnection__certificates = [rsa_certificate()]  # type: ignore[attr-defined]
            mending.accept_rsa(peer.connection)  # GStreamer offers these by itself
            peer.connection.addTransceiver(peer.camera, direction="sendonly")
            response = await served.post_sdp("/whip", await peer.offer())
            await peer.accept(await response.text())
            await until(lambda: served.lobby.sessions[0].connected)
            await peer.close()

    run(scenario())


def silence() -> av.AudioFrame:
    frame = av.AudioFrame(format="s16", layout="mono", samples=160)
    frame.sample_rate, frame.pts, frame.time_base = 8000, 0, Fraction(1, 8000)
    return frame


def test_sound_waits_as_long_as_the_picture_takes() -> None:
    async def scenario() -> None:
        sound = Sound(latency=lambda: 0.3 + HEAD_START_S)
        listener = sound.listen()
        for _ in range(400):
            sound.send(silence())
        assert sound.delay == pytest.approx(0.3, abs=0.01)
        listener._frames.clear()
        begun = time.monotonic()
        sound.send(silence())
        assert await listener.next() is not None
        assert time.monotonic() - begun >= 0.28
        sound.close()
        assert await listener.next() is None

    run(scenario())


def test_a_machine_without_a_network_offers_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mending, "_addresses", lambda _ipv4, _ipv6: [])
    assert aioice.ice.get_host_addresses(True, True) == ["127.0.0.1"]
    monkeypatch.setattr(mending, "_addresses", lambda _ipv4, _ipv6: ["192.0.2.7"])
    assert aioice.ice.get_host_addresses(True, True) == ["192.0.2.7"]


@pytest.mark.parametrize(("width", "height"), [(320, 240), (322, 242), (321, 241)])
@pytest.mark.parametrize(("space", "spread"), [(2, 0), (6, 1), (1, 0), (5, 2)])
def test_colours_are_those_that_the_picture_is_marked_with(width: int, height: int, space: int, spread: int) -> None:
    dice = np.random.default_rng(0)
    patches = dice.integers(60, 200, (6, 6, 3), dtype=np.uint8)
    image = np.asarray(cv2.resize(patches, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
    picture.colorspace, picture.color_range = space, spread
    expected = picture.to_ndarray(format="rgb24").astype(int)
    assert np.abs(to_rgb(picture, (width, height)).astype(int) - expected).mean() < 2
    small = to_rgb(picture, (160, 120))
    assert small.shape == (120, 160, 3)
