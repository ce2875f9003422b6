"""Lips and words: a clip with a flash and a beep every second goes through the server; how far apart they arrive.

    python -m benchmarks.lips [--clip CLIP] [--seconds 60] [--work-ms 0 60] [--out FOLDER]

A publisher (WHIP) and a watcher (WHEP), both aiortc, beside the server. The flash is a time code in the picture's edge,
kept by the server's stylizer, that tells how long ago it began: a picture that was passed over is no error of the
sound's. A player plays what arrives as its sender's reports say: when it was sent. So both are taken by the arrival of
their packets: a picture's last one, and the one in which the beep begins, on by where in it that is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpReceiver, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from benchmarks import machine
from benchmarks.clip_peers import FPS, SIZE, Camera, encoded
from benchmarks.peers import serving
from benchmarks.timecode import percentiles, read_row
from realtime.webrtc import mending

NAME = "lips"
RATE = 48_000
BLOCK = 960
"""Samples of 20 ms."""
FLASH = 3
"""Pictures of each second that flash."""
NO_FLASH = 60_000
BEEP_S = 0.1
TONE_HZ = 1000
LOUD = 6000
SETTLE_S = 8.0
"""The face is found, and the sound's delay has drifted to the picture's."""


def code_of(index: int) -> int:
    """Milliseconds since the flash began."""
    return round(1000 * (index % FPS) / FPS) if index % FPS < FLASH else NO_FLASH


class Microphone(MediaStreamTrack):
    """A beep at every whole second; a block is handed over when its last sample is there, as by a real one."""

    kind = "audio"

    def __init__(self, begun: float) -> None:
        super().__init__()
        self._begun = begun
        self._count = 0

    async def recv(self) -> av.AudioFrame:
        start = self._count * BLOCK
        self._count += 1
        await asyncio.sleep(max(0.0, self._begun + (start + BLOCK) / RATE - time.monotonic()))
        if self.readyState != "live":
            raise MediaStreamError
        times = (start + np.arange(BLOCK)) / RATE
        samples = 16_000 * np.sin(2 * np.pi * TONE_HZ * times) * (times % 1 < BEEP_S)
        frame = av.AudioFrame.from_ndarray(samples.astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, start, Fraction(1, RATE)
        return frame


class Watcher:
    """Notes when flashes and beeps arrive."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.flashes: list[float] = []
        self.beeps: list[float] = []
        self.pictures = 0
        self._arrivals: dict[str, dict[int, float]] = {"audio": {}, "video": {}}
        self._tasks: list[asyncio.Task[None]] = []
        for kind in ("video", "audio"):
            self.connection.addTransceiver(kind, direction="recvonly")
        self.connection.on("track", lambda track: self._tasks.append(asyncio.create_task(self._receive(track))))

    def listen(self) -> None:
        """Once negotiated."""
        for transceiver in self.connection.getTransceivers():
            _note_arrivals(transceiver.receiver, self._arrivals[transceiver.kind])
            if transceiver.kind == "video":
                mending.at_once(transceiver.receiver)

    async def _receive(self, track: MediaStreamTrack) -> None:
        take: Any = self._see if track.kind == "video" else self._hear
        while True:
            try:
                frame: Any = await track.recv()
            except MediaStreamError:
                return
            if (arrived := self._arrivals[track.kind].get(frame.pts)) is not None:
                take(frame, arrived)

    def _see(self, frame: av.VideoFrame, arrived: float) -> None:
        self.pictures += 1
        code = read_row(np.asarray(frame.to_ndarray(format="gray"), np.uint8), width=SIZE[0])
        if code is not None and code < 1000:
            begun = arrived - code / 1000
            if not self.flashes or begun - self.flashes[-1] > 0.5:
                self.flashes.append(begun)

    def _hear(self, frame: av.AudioFrame, arrived: float) -> None:
        loud = np.flatnonzero(np.abs(frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0]) > LOUD)
        if len(loud):
            at = arrived + loud[0] / frame.sample_rate
            if not self.beeps or at - self.beeps[-1] > 0.5:
                self.beeps.append(at)
            else:
                self.beeps[-1] = min(self.beeps[-1], at)

    async def close(self) -> None:
        await self.connection.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _note_arrivals(receiver: RTCRtpReceiver, arrivals: dict[int, float]) -> None:
    """By the RTP time since the first packet, as frames are stamped."""
    inside: Any = receiver
    handle = inside._handle_rtp_packet
    first: int | None = None

    async def note(packet: Any, arrival_time_ms: int) -> None:
        nonlocal first
        first = packet.timestamp if first is None else first
        arrivals[(packet.timestamp - first) % (1 << 32)] = time.monotonic()
        await handle(packet, arrival_time_ms)

    inside._handle_rtp_packet = note


def apart(flashes: Sequence[float], beeps: Sequence[float]) -> list[float]:
    """Seconds by which each beep is later than its flash; those without a partner within half a second are left out."""
    pairs = ((min(beeps, key=lambda beep: abs(beep - flash), default=np.inf), flash) for flash in flashes)
    return [beep - flash for beep, flash in pairs if abs(beep - flash) < 0.5]


async def go_through(url: str, *, packets: Sequence[bytes], seconds: float) -> dict[str, Any]:
    """One publisher, one watcher."""
    publisher, watcher = RTCPeerConnection(RTCConfiguration(iceServers=[])), Watcher()
    camera = Camera(packets)
    publisher.addTransceiver(camera, direction="sendonly")
    publisher.addTransceiver(Microphone(camera.begun), direction="sendonly")
    async with aiohttp.ClientSession(headers={"Content-Type": "application/sdp"}) as http:
        await _open(http, f"{url}/whip/{NAME}", publisher)
        await _open(http, f"{url}/whep/{NAME}", watcher.connection)
        watcher.listen()
        await asyncio.sleep(SETTLE_S)
        begun, pictures = time.monotonic(), watcher.pictures
        await asyncio.sleep(seconds)
        pictures = watcher.pictures - pictures
        async with http.get(f"{url}/stats") as response:
            shows = [one["show"] for one in (await response.json())["sessions"] if "show" in one]
        await watcher.close()
        await publisher.close()
    later = [1000 * d for d in apart([at for at in watcher.flashes if at >= begun], watcher.beeps)]
    return {
        "flashes": len(later),
        "fps": round(pictures / seconds, 1),
        "sound_later_ms": {"mean": round(float(np.mean(later)), 1), **percentiles(later)},
        "apart_ms": percentiles(np.abs(later).tolist()),
        "latency_ms": shows[0]["latency_ms"],
        "sound_delay_ms": shows[0]["sound_delay_ms"],
        "each_ms": [round(d, 1) for d in later],
    }


async def _open(http: aiohttp.ClientSession, url: str, connection: RTCPeerConnection) -> None:
    await connection.setLocalDescription(await connection.createOffer())
    async with http.post(url, data=connection.localDescription.sdp) as response:
        assert response.status == 201, await response.text()
        answer = await response.text()
    await connection.setRemoteDescription(RTCSessionDescription(sdp=answer, type="answer"))


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    m = result["machine"]
    lines = [
        "# Lips and words",
        "",
        f"{m['date']}, {m['cpu']}, {m['cores']} cores (server, publisher and watcher together), load before "
        f"{m['load']}, Python {m['python']}; {result['clip']} at {SIZE[0]}x{SIZE[1]} with a flash and a beep every "
        "second.",
        "",
        "| extra work | flashes | fps | picture's latency | sound's delay | sound later, mean | p50 | apart, p50 | p95 "
        "|",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for run in result["runs"]:
        lines.append(
            f"| {run['work_ms']:g} ms | {run['flashes']} | {run['fps']:.1f} | {run['latency_ms']:.0f} ms | "
            f"{run['sound_delay_ms']:.0f} ms | {run['sound_later_ms']['mean']:+.0f} ms | "
            f"{run['sound_later_ms']['p50']:+.0f} ms | {run['apart_ms']['p50']:.0f} ms | "
            f"**{run['apart_ms']['p95']:.0f} ms** |"
        )
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lips", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clip", type=Path, help="a clip that begins with a face (default: the demo)")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--work-ms", nargs="+", type=float, default=[0.0])
    parser.add_argument("--out", type=Path, help="write a dated .md and .json into this folder")
    args = parser.parse_args(argv)
    result: dict[str, Any] = {
        "machine": machine.describe(),
        "clip": "demo" if args.clip is None else args.clip.name,
        "runs": [],
    }
    packets = encoded(args.clip, code=code_of)
    packets = packets[: len(packets) // FPS * FPS]  # played over and over: whole seconds
    for work_ms in args.work_ms:
        with serving(work_ms=work_ms) as (url, _):
            run = asyncio.run(go_through(url, packets=packets, seconds=args.seconds))
        result["runs"].append({"work_ms": work_ms} | run)
        print(json.dumps(result["runs"][-1]), flush=True)
    print(table(result))
    if args.out is not None:
        machine.write(args.out, "lips", result, table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
