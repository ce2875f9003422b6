"""Strangers at the door: wrong places, too much, too slow, too many; and peers that vanish."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from contextlib import suppress

import aiohttp
import psutil
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from serving import Peer, page, run, serving, stream_of, until, whep, whip

from benchmarks.attack import Attack, good_offers
from benchmarks.knock import ask
from benchmarks.rubbish import SDP, Request
from realtime.core import ConfigError
from realtime.webrtc import lobby
from realtime.webrtc.app import make_runner
from realtime.webrtc.guard import Buckets
from realtime.webrtc.logs import told
from realtime.webrtc.settings import Limits, Settings, parse_address, parse_ice_server


async def an_offer() -> tuple[Peer, str]:
    peer = Peer()
    peer.connection.addTransceiver(peer.camera, direction="sendonly")
    return peer, await peer.offer()


def test_a_page_of_another_origin_is_refused_and_our_own_is_not() -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await an_offer()
            for origin in ("https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"):
                assert (await served.post_sdp("/whip", offer, Origin=origin)).status == 403
            assert (await served.post_sdp("/whip", offer, Origin=served.url)).status == 201
            await peer.close()

    run(scenario())


def test_a_name_that_was_pointed_at_this_machine_is_refused_on_loopback() -> None:
    async def scenario() -> None:
        async with serving() as served:
            for path in ("/", "/stats", "/config"):
                async with served.http.get(served.url + path, headers={"Host": "evil.example:8080"}) as response:
                    assert response.status == 421

    run(scenario())


def test_a_body_that_is_too_long_is_413_with_and_without_its_length_told() -> None:
    async def scenario() -> None:
        async def endless() -> object:
            for _ in range(200):
                yield b"v=0\r\n" * 400

        async with serving() as served:
            long = b"v=0\r\n" * 2_000_000
            long_one = Request(kind="", method="POST", path="/whip", headers=(("Content-Type", SDP),), body=long)
            status, _, _ = await ask(served.url, long_one.raw(served.url.removeprefix("http://")))
            assert status == 413
            headers = {"Content-Type": "application/sdp"}
            try:
                async with served.http.post(f"{served.url}/whip", data=endless(), headers=headers) as response:
                    assert response.status == 413
            except aiohttp.ClientConnectionError:
                pass  # the server did not wait for the rest

    run(scenario())


def test_a_body_that_dribbles_is_408() -> None:
    async def scenario() -> None:
        async def dribble() -> object:
            while True:
                yield b"v"
                await asyncio.sleep(0.05)

        async with serving(body_s=0.3) as served:
            headers = {"Content-Type": "application/sdp"}
            try:
                async with served.http.post(f"{served.url}/whip", data=dribble(), headers=headers) as response:
                    assert response.status == 408
            except aiohttp.ClientConnectionError:
                pass

    run(scenario())


def test_a_head_that_dribbles_is_cut_off() -> None:
    async def scenario() -> None:
        runner = make_runner(web.Application(), idle_s=0.5)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        reader, writer = await asyncio.open_connection(*runner.addresses[0][:2])
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        async with asyncio.timeout(20):
            while not reader.at_eof():
                with suppress(TimeoutError, ConnectionError):
                    await asyncio.wait_for(reader.read(1000), 0.1)
                with suppress(ConnectionError):
                    writer.write(b"y")
        writer.close()
        await runner.cleanup()

    run(scenario())


def test_who_asks_too_often_waits() -> None:
    async def scenario() -> None:
        async with serving(requests_at_once=3, requests_per_s=0.001) as served:
            codes = [(await served.post_sdp("/whip", "v=0")).status for _ in range(5)]
            assert codes == [400, 400, 400, 429, 429]

    run(scenario())


def test_a_bucket_fills_again_and_addresses_do_not_share_one() -> None:
    now = [0.0]
    buckets = Buckets(limits=Limits(requests_per_s=2, requests_at_once=3), clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    assert buckets.take("b")
    now[0] = 1.0
    assert [buckets.take("a") for _ in range(3)] == [True, True, False]


def test_guessing_tokens_by_what_changes_nothing_is_as_slow() -> None:
    async def scenario() -> None:
        async with serving(token="correct-horse-battery", requests_at_once=3, requests_per_s=0.001) as served:
            codes = []
            for guess in "abcde":
                headers = {"Authorization": f"Bearer {guess}"}
                async with served.http.get(f"{served.url}/stats", headers=headers) as response:
                    codes.append(response.status)
            assert codes == [401, 401, 401, 429, 429]

    run(scenario())


def test_one_address_has_no_more_than_its_share() -> None:
    async def scenario() -> None:
        async with serving(per_address=2) as served, page(served), page(served):
            peer, offer = await an_offer()
            assert (await served.post_sdp("/whip", offer)).status == 503
            await peer.close()

    run(scenario())


def test_a_wrong_token_is_answered_after_a_while_that_tells_nothing() -> None:
    async def scenario() -> None:
        async with serving(token="correct-horse-battery", wrong_token_s=(0.2, 0.3)) as served:
            peer, offer = await an_offer()
            begun = time.monotonic()
            assert (await served.post_sdp("/whip", offer, Authorization="Bearer correct-horse-batterx")).status == 401
            assert time.monotonic() - begun >= 0.2
            for path in ("/stats", "/metrics"):
                async with served.http.get(served.url + path) as response:
                    assert response.status == 401
            wrong = {"Authorization": "Bearer correct-horse-batterx"}
            begun = time.monotonic()
            async with served.http.get(f"{served.url}/config", headers=wrong) as response:
                assert response.status == 401
            assert time.monotonic() - begun >= 0.2
            async with served.http.get(f"{served.url}/config") as response:
                assert not (await response.json())["allowed"]
            await peer.close()

    run(scenario())


def test_a_connection_that_never_comes_about_is_freed() -> None:
    async def scenario() -> None:
        async with serving(connect_s=0.5) as served:
            peer, offer = await an_offer()
            assert (await served.post_sdp("/whip", re.sub(r"a=candidate:.*\r\n", "", offer))).status == 201
            assert len(served.lobby.sessions) == 1
            await until(lambda: not served.lobby.sessions)
            assert served.trackers == []  # nothing was loaded for it
            await peer.close()

    run(scenario())


def test_4_2_consent_is_fresh_a_peer_that_vanishes_is_gone_after_the_silence() -> None:
    async def scenario() -> None:
        async with serving(silence_s=1.5) as served, page(served) as peer:
            await peer.drawing()
            session = served.lobby.sessions[0]
            dtls = peer.connection.getTransceivers()[0].sender.transport
            for protocol in dtls.transport._connection._protocols:  # as if its cable had been pulled
                protocol.transport.sendto = lambda *_args: None
            await until(lambda: session.ended is not None)
            assert "nothing was heard" in str(session.ended)
            assert served.lobby.sessions == []

    run(scenario())


def test_memory_is_given_back_when_the_last_has_left_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(lobby, "give_back", lambda: given.append(1))

    async def scenario() -> None:
        async with serving() as served, whip(served) as first:
            async with whip(served) as second:
                await until(lambda: all(one.connected for one in served.lobby.sessions))
                async with served.http.delete(served.url + second.location):
                    pass
                await until(lambda: not served.lobby._ending)
                assert given == []
            async with served.http.delete(served.url + first.location):
                pass
            await until(lambda: given == [1])

    run(scenario())


def test_memory_is_given_back_now_and_then_while_somebody_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(lobby, "give_back", lambda: given.append(1))
    monkeypatch.setattr(lobby, "GIVE_BACK_S", 0.5)

    async def scenario() -> None:
        async with serving() as served, whip(served):
            await until(lambda: len(given) >= 2)
            assert len(served.lobby.sessions) == 1

    run(scenario())


def test_one_who_only_watches_lives_on_though_it_sends_no_frames() -> None:
    async def scenario() -> None:
        async with (
            serving(silence_s=3.0) as served,
            whip(served) as sender,
            whep(served, stream_of(served, sender)) as watcher,
        ):
            await watcher.drawing()
            await asyncio.sleep(4)
            watcher.frames.clear()
            await watcher.drawing()

    run(scenario())


def test_candidates_are_capped_in_the_offer_and_afterwards() -> None:
    async def scenario() -> None:
        async with serving(candidates=20) as served:
            peer, offer = await an_offer()
            many = "".join(f"a=candidate:{i} 1 udp 1 192.0.2.1 {i + 1} typ host\r\n" for i in range(21))
            assert (await served.post_sdp("/whip", offer + many)).status == 400
            async with whip(served) as sender:
                own = re.search(r"a=ice-ufrag:(\S+)", sender.connection.localDescription.sdp)
                assert own is not None
                body = f"a=ice-ufrag:{own[1]}\r\na=ice-pwd:{'x' * 22}\r\nm=video 9 x 0\r\na=mid:0\r\n{many}"
                headers = {"Content-Type": "application/trickle-ice-sdpfrag", "If-Match": sender.etag}
                async with served.http.patch(served.url + sender.location, data=body, headers=headers) as response:
                    assert response.status == 400
            await peer.close()

    run(scenario())


def test_every_answer_has_the_security_headers_and_none_opens_other_origins() -> None:
    async def scenario() -> None:
        async with serving() as served:
            for path in ("/", "/static/page.js", "/nowhere", "/healthz", "/watch/x", "/static/..%2f..%2fserver.py"):
                async with served.http.get(served.url + path, headers={"Origin": "https://x.example"}) as response:
                    assert "default-src 'none'" in response.headers["Content-Security-Policy"]
                    assert response.headers["X-Content-Type-Options"] == "nosniff"
                    assert response.headers["Referrer-Policy"] == "no-referrer"
                    assert not [name for name in response.headers if name.startswith("Access-Control")]
                    assert response.status == (404 if path in ("/nowhere", "/static/..%2f..%2fserver.py") else 200)

    run(scenario())


def test_the_page_asks_nothing_of_other_hosts_and_holds_no_inline_code() -> None:
    async def scenario() -> None:
        async with serving() as served:
            for name in ("index.html", "watch.html", "page.css", "page.js", "link.js", "stage.js", "settings.js"):
                async with served.http.get(f"{served.url}/static/{name}") as response:
                    text = await response.text()
                assert not re.search(r"(https?:)?//[a-z0-9.-]+\.[a-z]{2,}", text), name
                assert not re.search(r"<script(?![^>]*src=)|<style| style=| on[a-z]+=", text), name

    run(scenario())


def test_logs_hold_neither_tokens_nor_session_urls(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        with caplog.at_level(logging.DEBUG, logger="realtime"), caplog.at_level(logging.INFO, logger="aiohttp"):
            async with serving(token="correct-horse-battery") as served:
                bearer = {"Authorization": "Bearer correct-horse-battery"}
                async with whip(served, **bearer) as sender:
                    name = stream_of(served, sender)
                    await until(lambda: served.lobby.sessions[0].connected)
                secrets = ("correct-horse-battery", sender.location.rpartition("/")[2], name)
        assert "event=session-opened" in caplog.text
        assert not [secret for secret in secrets if secret in caplog.text]

    run(scenario())


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.soak)])
def test_rubbish_is_answered_with_4xx_and_leaves_nothing_behind(count: int) -> None:
    async def scenario() -> None:
        limits = {"requests_at_once": 10**6, "connect_s": 3.0, "body_s": 2.0, "per_address": 1000, "peers": 200}
        async with serving(**limits) as served, page(served) as good:
            await good.drawing()
            offers, watching = await good_offers()
            attack = Attack(url=served.url, seed=22, offers=offers, watching=watching, token=None)
            await attack.run(50, per_s=1000)  # pools of threads fill
            await until(lambda: len(served.lobby.sessions) == 1 and not served.lobby._ending)
            before = psutil.Process().num_fds(), len(asyncio.all_tasks()), own_threads()
            await attack.run(count, per_s=1000)
            assert attack.silent == []
            codes = {code for _, code in attack.codes}
            assert {code for code in codes if code >= 500} <= {503}
            assert {201, 204, 400, 404, 406} <= codes
            await until(lambda: len(served.lobby.sessions) == 1 and not served.lobby._ending)
            good.frames.clear()
            await good.drawing()
            await until(lambda: psutil.Process().num_fds() <= before[0] and len(asyncio.all_tasks()) <= before[1])
            assert own_threads() <= before[2]

    run(scenario(), minutes=20)


def own_threads() -> int:
    """Threads without those of the event loop's pool, which keeps what it has made."""
    return sum(not thread.name.startswith("asyncio_") for thread in threading.enumerate())


def test_a_strangers_bad_requests_write_no_lines_and_faults_of_ours_do() -> None:
    lines: list[str] = []

    async def scenario() -> None:
        async def broken(_request: web.Request) -> web.Response:
            raise RuntimeError("ours")

        app = web.Application()
        app.router.add_get("/", broken)
        async with TestServer(app, host="127.0.0.1") as server:
            url = str(server.make_url("/")).rstrip("/")
            assert (await ask(url, b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"))[0] == 400
            assert lines == []
            assert (await ask(url, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 500
            assert len(lines) == 1

    with told(lines.append):
        run(scenario())


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9000", ("127.0.0.1", 9000)),
        ("0.0.0.0", ("0.0.0.0", 8080)),
        (":9000", ("127.0.0.1", 9000)),
        ("9000", ("127.0.0.1", 9000)),
        ("[::1]:9000", ("::1", 9000)),
        ("[::]", ("::", 8080)),
        ("box.local:1", ("box.local", 1)),
    ],
)
def test_addresses_are_understood(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "a b:1", "host:port", "host:99999", "http://x:1", "[::1", "::1:2:x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        parse_address(text)


def test_ice_servers_are_understood_and_a_bad_one_is_refused_without_its_password() -> None:
    assert parse_ice_server("stun:s.example:3478").url == "stun:s.example:3478"
    turn = parse_ice_server("turn:me:p:w@t.example")
    assert (turn.url, turn.username, turn.credential) == ("turn:t.example", "me", "p:w")
    with pytest.raises(ConfigError, match="expected stun:HOST") as refused:
        parse_ice_server("trun:me:secret@t.example")
    assert "secret" not in str(refused.value)


def test_only_loopback_needs_no_token() -> None:
    assert Settings().loopback
    assert Settings(host="::1").loopback
    assert Settings(host="localhost").loopback
    assert not Settings(host="0.0.0.0").loopback
    assert not Settings(host="192.168.1.5").loopback
