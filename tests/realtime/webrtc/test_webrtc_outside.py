"""The server seen from outside: health, figures, plain pictures; its start and its end."""

from __future__ import annotations

import asyncio
import builtins
import datetime
import re
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from serving import InkEngine, fake_parts, is_drawn, page, run, serving, stream_of, until, whip

from engines import StandbyEngine
from realtime import webrtc
from realtime.core import ConfigError
from realtime.webrtc.server import Server
from realtime.webrtc.settings import Settings
from realtime.webrtc.spare import Spare


def test_figures_tell_of_each_peer_and_hold_no_key_to_it() -> None:
    async def scenario() -> None:
        async with serving() as served, page(served) as peer:
            await peer.drawing()
            async with served.http.get(f"{served.url}/stats") as response:
                text = await response.text()
                told = await response.json()
            (session,) = told["sessions"]
            assert session["connected"]
            assert {"frames_in", "frames_out", "dropped", "age_ms", "stages_ms", "fps"} <= set(session["show"])
            assert session["show"]["age_ms"]["p95"] > 0
            assert told["engines"]["lite"]["portraits"] > 0
            for key in (peer.location.rpartition("/")[2], stream_of(served, peer)):
                assert key not in text

    run(scenario())


def test_who_is_drawn_by_an_engine_that_breaks_is_drawn_on_by_the_next_and_figures_tell() -> None:
    gpu, spare = InkEngine(), InkEngine()
    gpu.name, gpu.device, spare.name = "tensorrt fp16", "a GPU", "openvino fp32"
    said: list[str] = []
    engine = StandbyEngine(first=gpu, manifest=gpu.manifest, spare=lambda: spare, say=said.append)

    async def scenario() -> None:
        async with serving(engine=engine) as served, page(served) as peer:
            await peer.drawing()
            gpu.fail = True
            await until(lambda: spare.drawn > 2)
            await peer.drawing()
            async with served.http.get(f"{served.url}/stats") as response:
                told = await response.json()
            change = {"style": "lite", "engine": "openvino fp32", "device": "none"}
            assert told["engine_changes"] == [change | {"why": "tensorrt fp16 broke: the engine broke"}]
            (session,) = told["sessions"]
            assert session["show"]["engine"] == "openvino fp32"
            assert session["show"]["engine_changes"] == told["engine_changes"]

    run(scenario())
    assert said[0] == "engine: tensorrt fp16 broke: the engine broke"


def test_metrics_are_prometheus_text() -> None:
    async def scenario() -> None:
        async with serving() as served, page(served) as peer:
            await peer.drawing()
            async with served.http.get(f"{served.url}/metrics") as response:
                text = await response.text()
            assert 'apdrawing_sessions{kind="page"} 1.0' in text
            assert 'apdrawing_sessions_opened_total{kind="page"} 1.0' in text
            assert "apdrawing_latency_seconds" in text
            assert "apdrawing_room +Inf" in text

    run(scenario())


def test_health_is_ok_until_the_server_is_about_to_stop() -> None:
    async def scenario() -> None:
        async with serving() as served:
            async with served.http.get(f"{served.url}/healthz") as response:
                assert (response.status, await response.json()) == (200, {"status": "ok"})
            served.lobby.draining = True
            async with served.http.get(f"{served.url}/healthz") as response:
                assert response.status == 503

    run(scenario())


def test_mjpeg_shows_the_drawing_and_counts_as_watching() -> None:
    async def scenario() -> None:
        async with serving() as served, whip(served) as sender:
            name = stream_of(served, sender)
            broadcast = served.lobby.shows[name].broadcast
            async with served.http.get(f"{served.url}/mjpeg/{name}") as response:
                assert response.content_type == "multipart/x-mixed-replace"
                data = b""
                async with asyncio.timeout(30):
                    while not drawn_in(data):
                        data += await response.content.readany()
                assert broadcast.watchers == 1
            await until(lambda: broadcast.watchers == 0)

    run(scenario())


def drawn_in(data: bytes) -> bool:
    parts = data.split(b"--drawing\r\n")[1:-1]
    pictures = [cv2.imdecode(np.frombuffer(p.split(b"\r\n\r\n", 1)[1], np.uint8), cv2.IMREAD_GRAYSCALE) for p in parts]
    return any(is_drawn(np.asarray(picture, np.uint8)) for picture in pictures)


def test_a_drawing_can_be_fetched_as_pixels_and_as_curves_by_its_session_alone() -> None:
    async def scenario() -> None:
        async with serving() as served, page(served) as peer:
            await peer.drawing()
            async with served.http.get(f"{served.url}{peer.location}/drawing.png") as response:
                picture = cv2.imdecode(np.frombuffer(await response.read(), np.uint8), cv2.IMREAD_GRAYSCALE)
                assert is_drawn(np.asarray(picture, np.uint8))
            async with served.http.get(f"{served.url}{peer.location}/drawing.svg") as response:
                assert response.content_type == "image/svg+xml"
                assert "<path" in await response.text()
            async with served.http.get(f"{served.url}/session/{'x' * 32}/drawing.png") as response:
                assert response.status == 404

    run(scenario())


class Running:
    """A whole server in a thread."""

    def __init__(self, settings: Settings) -> None:
        self.said: list[str] = []
        parts = fake_parts(InkEngine(), [])
        opened = ExitStack()
        opened.callback(parts.styles.close)
        self.server = Server(settings=settings, parts=parts, say=self.said.append, opened=opened)
        self.thread = threading.Thread(target=self.server.run)

    def __enter__(self) -> Running:
        self.thread.start()
        deadline = time.monotonic() + 30
        while not self.said and time.monotonic() < deadline:
            time.sleep(0.02)
        assert self.said
        return self

    def __exit__(self, *_exc: object) -> None:
        self.server.stop()
        self.thread.join(30)
        assert not self.thread.is_alive()
        with self.server:
            pass


def test_a_server_says_where_it_is_and_stops_when_told_with_its_peers_told_too() -> None:
    from types import SimpleNamespace

    async def scenario(running: Running) -> None:
        url = f"http://127.0.0.1:{running.server.port}"
        async with aiohttp.ClientSession() as http, page(SimpleNamespace(url=url, http=http)) as peer:  # type: ignore[arg-type]
            await peer.drawing()
            running.server.stop()
            await until(lambda: peer.connection.connectionState == "closed")

    with Running(Settings(port=0)) as running:
        assert running.said == [f"serving  http://127.0.0.1:{running.server.port}/"]
        run(scenario(running))
    assert [line.split("event=")[1].split()[0] for line in running.said if "event=" in line] == [
        "session-opened",
        "session-ended",
    ]


def test_the_token_is_told_once_as_a_link_whose_fragment_no_browser_sends() -> None:
    with Running(Settings(host="0.0.0.0", port=0, token="correct-horse-battery")) as running:
        assert running.said == [f"serving  http://0.0.0.0:{running.server.port}/#token=correct-horse-battery"]


def test_an_address_that_is_taken_is_refused_in_words() -> None:
    with Running(Settings(port=0)) as running:
        other = Running(Settings(port=running.server.port))
        with pytest.raises(ConfigError, match="expected an address that is free"), other.server:
            other.server.run()


def test_without_the_libraries_one_line_tells_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name.startswith("aiortc"):
            raise ImportError("no", name="aiortc")
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"needs aiortc.*apdrawing-live\[webrtc\]"):
        webrtc.require()


class Thing:
    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_a_spare_is_made_ahead_and_what_is_not_taken_is_closed() -> None:
    made: list[Thing] = []

    def make() -> Thing:
        made.append(Thing())
        return made[-1]

    spare = Spare(make=make)
    assert len(made) == 1
    assert spare.take() is made[0]
    deadline = time.monotonic() + 30
    while len(made) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    spare.close()
    spare.close()
    while not made[1].closed and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [thing.closed for thing in made] == [False, True]


def test_with_a_certificate_it_speaks_tls_alone(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(tz=datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    signed = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=1)).sign(key, hashes.SHA256())
    (tmp_path / "cert.pem").write_bytes(signed.public_bytes(Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    async def scenario(port: int) -> None:
        async with aiohttp.ClientSession() as http:
            fingerprint = aiohttp.Fingerprint(signed.fingerprint(hashes.SHA256()))
            async with http.get(f"https://127.0.0.1:{port}/healthz", ssl=fingerprint) as response:
                assert response.status == 200
            with pytest.raises(aiohttp.ClientError):
                await http.get(f"http://127.0.0.1:{port}/healthz")

    settings = Settings(port=0, certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem")
    with Running(settings) as running:
        assert running.said[0].startswith("serving  https://")
        run(scenario(running.server.port))


def test_a_certificate_that_is_none_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("nothing")
    other = Running(Settings(port=0, certificate=tmp_path / "cert.pem", key=tmp_path / "key.pem"))
    with pytest.raises(ConfigError, match="expected a PEM certificate and key"), other.server:
        other.server.run()


def test_the_watch_link_is_a_code_that_a_phone_can_read() -> None:
    async def scenario() -> None:
        async with (
            serving() as served,
            page(served) as peer,
            served.http.get(f"{served.url}{peer.location}/watch.svg") as response,
        ):
            assert response.content_type == "image/svg+xml"
            text = await response.text()
        side = int(re.findall(r'viewBox="0 0 (\d+)', text)[0])
        picture = np.full((side, side), 255, np.uint8)
        for x, y in re.findall(r"M(\d+) (\d+)h1", text):
            picture[int(y), int(x)] = 0
        large = cv2.resize(picture, None, fx=8, fy=8, interpolation=cv2.INTER_NEAREST)
        assert cv2.QRCodeDetector().detectAndDecode(large)[0] == served.url + peer.answer["watch"]

    run(scenario())
