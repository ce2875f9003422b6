"""The server seen from outside: health, figures, and drawings as plain pictures."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from realtime.core import Frame
from realtime.timing import peak_rss_mb
from realtime.webrtc.guard import Guard, address_of
from realtime.webrtc.lobby import Lobby
from realtime.webrtc.offers import RefusedError
from realtime.webrtc.qr import as_svg

MJPEG_FPS = 12.0
JPEG_QUALITY = 88
BOUNDARY = "drawing"


class Outside:
    """Handlers of everything that only looks."""

    def __init__(self, *, lobby: Lobby, guard: Guard) -> None:
        self._lobby = lobby
        self._guard = guard
        self._begun = time.monotonic()
        self._registry = CollectorRegistry()
        self._registry.register(_Figures(lobby))

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/healthz", self.health)
        app.router.add_get("/stats", self.stats)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/mjpeg/{stream}", self.mjpeg)
        app.router.add_get("/session/{id}/watch.svg", self.invitation)
        app.router.add_get("/session/{id}/drawing.{kind:svg|png}", self.snapshot)

    async def health(self, _request: web.Request) -> web.Response:
        """200 while new peers are let in, 503 once the server is about to stop."""
        draining = self._lobby.draining
        return web.json_response({"status": "draining" if draining else "ok"}, status=503 if draining else 200)

    async def stats(self, request: web.Request) -> web.Response:
        """Everything that is measured, peer by peer; no names and no URLs, which would let others in."""
        await self._guard.check_token(request)
        sessions = [
            one.figures() | ({} if one.kind == "watch" else {"show": one.show.figures()})
            for one in self._lobby.sessions
        ]
        return web.json_response(
            {
                "seconds": round(time.monotonic() - self._begun, 1),
                "draining": self._lobby.draining,
                "opened": dict(self._lobby.opened),
                "engines": {
                    name: {"batches": batches, "portraits": portraits}
                    for name, (batches, portraits) in self._lobby.loads.items()
                },
                "engine_changes": self._lobby.engine_changes,
                "load": self._load(),
                "rss_mb": round(peak_rss_mb(), 1),
                "sessions": sessions,
            }
        )

    def _load(self) -> dict[str, Any]:
        load = self._lobby.load
        return {
            "cores": load.cores,
            "others_cores": round(load.others, 2),
            "processor_ms_a_picture": round(load.cost_s * 1000, 1),
            "engine_ms_a_picture": round(load.engine_s * 1000, 1),
            "room_for": None if math.isinf(load.room) else round(load.room, 2),
            "crowded": load.crowded,
        }

    async def metrics(self, request: web.Request) -> web.Response:
        """The same in Prometheus' text format."""
        await self._guard.check_token(request)
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def snapshot(self, request: web.Request) -> web.Response:
        """The drawing of a session as it is now, as pixels or as curves."""
        session = self._lobby.find(request.match_info["id"])
        frame = None if session is None else session.show.broadcast.latest
        if frame is None or frame.ink is None:
            raise RefusedError(404, "drawing: there is none now")
        if request.match_info["kind"] == "svg":
            from realtime.vector import traced

            return web.Response(text=await asyncio.to_thread(traced, frame.ink), content_type="image/svg+xml")
        return web.Response(body=await asyncio.to_thread(_encoded, ".png", frame), content_type="image/png")

    async def invitation(self, request: web.Request) -> web.Response:
        """The watch link of a session as a QR code."""
        session = self._lobby.find(request.match_info["id"])
        if session is None:
            raise RefusedError(404, "session: there is none of this URL now")
        link = str(request.url.origin() / "watch" / session.show.name)
        return web.Response(text=as_svg(link), content_type="image/svg+xml")

    async def mjpeg(self, request: web.Request) -> web.StreamResponse:
        """A drawing for players without WebRTC. The newest is sent; who reads slowly gets fewer."""
        name = request.match_info["stream"]
        show = self._lobby.shows.get(name)
        if show is None or not show.secret:
            await self._guard.check_token(request)
        show, address = self._lobby.show(name), address_of(request)
        self._lobby.enter(address)
        show.broadcast.look(1)
        try:
            response = web.StreamResponse(headers={"Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}"})
            response.headers["Cache-Control"] = "no-store"
            await response.prepare(request)
            last: Frame | None = None
            while self._lobby.shows.get(name) is show and not self._lobby.draining:
                frame = show.broadcast.latest
                if frame is not None and frame is not last:
                    last = frame
                    await response.write(_part(await asyncio.to_thread(_encoded, ".jpg", frame)))
                await asyncio.sleep(1 / MJPEG_FPS)
            return response
        finally:
            show.broadcast.look(-1)
            self._lobby.leave(address)


class _Figures(Collector):
    """Reads the lobby when it is asked; keeps nothing."""

    def __init__(self, lobby: Lobby) -> None:
        self._lobby = lobby

    def collect(self) -> Iterator[Metric]:
        lobby = self._lobby
        sessions = GaugeMetricFamily("apdrawing_sessions", "Sessions that are open now.", labels=["kind"])
        for kind in ("page", "publish", "watch"):
            sessions.add_metric([kind], sum(one.kind == kind for one in lobby.sessions))
        opened = CounterMetricFamily("apdrawing_sessions_opened", "Sessions opened, and refused.", labels=["kind"])
        for kind, count in lobby.opened.items():
            opened.add_metric([kind], count)
        shows: list[dict[str, Any]] = [show.figures() for show in lobby.shows.values()]
        age = GaugeMetricFamily("apdrawing_latency_seconds", "From decoded to encoded, mean over peers.")
        age.add_metric([], float(np.mean([one["latency_ms"] / 1000 for one in shows])) if shows else 0.0)
        fps = GaugeMetricFamily("apdrawing_frames_per_second", "Drawings a second, all peers.")
        fps.add_metric([], sum(float(one["now"]["fps"]) for one in shows))
        portraits = CounterMetricFamily("apdrawing_portraits", "Portraits drawn.", labels=["style"])
        for style, (_, count) in lobby.loads.items():
            portraits.add_metric([style], count)
        room = GaugeMetricFamily("apdrawing_room", "Cameras that the machine has room for, by measure.")
        room.add_metric([], lobby.load.room)
        yield from (sessions, opened, age, fps, portraits, room)


def _encoded(suffix: str, frame: Frame) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if suffix == ".jpg" else []
    done, data = cv2.imencode(suffix, cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR), options)
    assert done
    return data.tobytes()


def _part(jpeg: bytes) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
    return head.encode() + jpeg + b"\r\n"
