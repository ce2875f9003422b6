"""WHIP as RFC 9725 has it, section by section, and WHEP with the same rules; by real aiortc peers where media flows."""

from __future__ import annotations

import asyncio
import re

import pytest
from serving import Peer, Served, page, run, serving, stream_of, until, whep, whip

from realtime.webrtc.settings import IceServer

FRAGMENT = "application/trickle-ice-sdpfrag"


async def an_offer(direction: str = "sendonly") -> tuple[Peer, str]:
    peer = Peer()
    if direction == "sendonly":
        peer.connection.addTransceiver(peer.camera, direction="sendonly")
    else:
        peer.connection.addTransceiver("video", direction=direction)
    return peer, await peer.offer()


async def patch(served: Served, peer: Peer, body: str, **headers: str) -> int:
    kept = {"Content-Type": FRAGMENT, "If-Match": peer.etag, **headers}
    kept = {name: value for name, value in kept.items() if value}
    async with served.http.patch(served.url + peer.location, data=body, headers=kept) as response:
        assert "ETag" not in response.headers
        return response.status


def fragment(peer: Peer, *candidates: str, user: str | None = None) -> str:
    sdp = peer.connection.localDescription.sdp
    own = re.search(r"a=ice-ufrag:(\S+)", sdp)
    assert own is not None
    lines = [f"a=ice-ufrag:{user or own[1]}", "a=ice-pwd:" + 22 * "x", "m=video 9 UDP/TLS/RTP/SAVPF 0", "a=mid:0"]
    return "\r\n".join([*lines, *(f"a=candidate:{one}" for one in candidates)]) + "\r\n"


GOOD = "1 1 udp 2122260223 192.0.2.1 61764 typ host"


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_4_2_an_offer_is_answered_with_201_and_the_camera_is_drawn_for_those_who_watch(codec: str) -> None:
    async def scenario() -> None:
        async with serving() as served, whip(served, codec=codec) as sender:
            async with whep(served, stream_of(served, sender), codec=codec) as watcher:
                await watcher.drawing()
            async with whep(served, stream_of(served, sender), codec="VP8" if codec == "H264" else "H264") as other:
                await other.drawing()

    run(scenario())


def test_4_2_the_answer_has_location_etag_and_type_and_no_part_of_it_can_be_guessed() -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await an_offer()
            response = await served.post_sdp("/whip", offer)
            assert response.status == 201
            assert response.content_type == "application/sdp"
            assert re.fullmatch(r"/session/[\w-]{32}", response.headers["Location"])
            assert re.fullmatch(r'"[\w-]{16}"', response.headers["ETag"])
            answer = await response.text()
            assert "a=recvonly" in answer
            assert "a=candidate:" in answer  # all of ours are in the answer (section 4.3.2)
            await peer.close()

    run(scenario())


def test_4_2_delete_ends_the_session_and_asked_again_changes_nothing() -> None:
    async def scenario() -> None:
        async with serving() as served, whip(served) as sender:
            await until(lambda: served.lobby.sessions[0].connected)
            for _ in range(3):
                async with served.http.delete(served.url + sender.location, headers={"If-Match": '"old"'}) as response:
                    assert response.status == 200
            await until(lambda: sender.connection.connectionState == "closed")
            async with served.http.delete(f"{served.url}/session/{'x' * 32}") as response:
                assert response.status == 404
            assert await patch(served, sender, fragment(sender, GOOD)) == 404

    run(scenario())


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_4_2_other_methods_on_the_endpoints_are_405(method: str) -> None:
    async def scenario() -> None:
        async with serving() as served:
            for path in ("/whip", "/whep/somebody"):
                async with served.http.request(method, served.url + path) as response:
                    assert response.status == 405

    run(scenario())


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST"])
def test_4_2_other_methods_on_a_session_are_405(method: str) -> None:
    async def scenario() -> None:
        async with serving() as served, whip(served) as sender:
            async with served.http.request(method, served.url + sender.location) as response:
                assert response.status == 405
            assert len(served.lobby.sessions) == 1

    run(scenario())


def test_4_2_options_tells_what_can_be_posted_and_allows_no_other_origin() -> None:
    async def scenario() -> None:
        async with serving() as served:
            for path in ("/whip", "/whep/somebody"):
                async with served.http.options(served.url + path, headers={"Origin": "https://x.example"}) as response:
                    assert response.status == 200
                    assert response.headers["Accept-Post"] == "application/sdp"
                    assert "Access-Control-Allow-Origin" not in response.headers

    run(scenario())


def test_4_3_1_patch_of_another_type_is_415_and_a_malformed_one_400() -> None:
    async def scenario() -> None:
        async with serving() as served, whip(served) as sender:
            assert await patch(served, sender, fragment(sender, GOOD), **{"Content-Type": "application/sdp"}) == 415
            assert await patch(served, sender, "rubbish") == 400
            assert await patch(served, sender, "a=candidate:" + GOOD) == 400
            assert await patch(served, sender, fragment(sender, "1 1 udp")) == 400
            assert await patch(served, sender, fragment(sender, "1 x udp y 192.0.2.1 z typ host")) == 400

    run(scenario())


def test_4_3_2_trickled_candidates_are_204_and_those_that_cannot_be_used_are_passed_over() -> None:
    async def scenario() -> None:
        async with serving() as served, whip(served) as sender:
            others = ("2 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active", "3 1 udp 1 a-b.local 9 typ host")
            assert await patch(served, sender, fragment(sender, GOOD, *others)) == 204
            assert await patch(served, sender, fragment(sender) + "a=end-of-candidates\r\n") == 204
            assert await patch(served, sender, fragment(sender, GOOD), **{"If-Match": "*"}) == 204

    run(scenario())


def test_4_3_2_a_session_whose_candidates_are_all_trickled_connects() -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await an_offer()
            bare = re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", offer)
            assert "candidate" not in bare
            response = await served.post_sdp("/whip", bare)
            peer.location, peer.etag = response.headers["Location"], response.headers["ETag"]
            own = re.findall(r"a=candidate:(.*?)\r\n", offer)
            assert await patch(served, peer, fragment(peer, *own)) == 204
            await peer.accept(await response.text())
            await until(lambda: served.lobby.sessions[0].connected)
            await peer.close()

    run(scenario())


def test_4_3_2_patch_without_if_match_is_428_and_with_an_old_one_412() -> None:
    async def scenario() -> None:
        async with serving() as served, whip(served) as sender:
            assert await patch(served, sender, fragment(sender, GOOD), **{"If-Match": ""}) == 428
            assert await patch(served, sender, fragment(sender, GOOD), **{"If-Match": '"other"'}) == 412

    run(scenario())


def test_4_3_3_an_ice_restart_is_422_and_the_session_goes_on() -> None:
    async def scenario() -> None:
        async with serving() as served, whip(served) as sender:
            await until(lambda: served.lobby.sessions[0].connected)
            assert await patch(served, sender, fragment(sender, user="Other"), **{"If-Match": "*"}) == 422
            async with whep(served, stream_of(served, sender)) as watcher:
                await watcher.drawing()

    run(scenario())


def test_4_4_1_sections_outside_one_bundle_are_406() -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer = Peer()
            peer.connection.addTransceiver(peer.camera, direction="sendonly")
            peer.connection.addTransceiver("audio", direction="sendonly")
            offer = await peer.offer()
            assert (
                await served.post_sdp("/whip", offer.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0"))
            ).status == 406
            await peer.close()

    run(scenario())


def test_4_4_2_more_than_one_video_or_none_is_406() -> None:
    async def scenario() -> None:
        async with serving() as served:
            two, none = Peer(), Peer()
            two.connection.addTransceiver("video", direction="sendonly")
            two.connection.addTransceiver("video", direction="sendonly")
            none.connection.addTransceiver("audio", direction="sendonly")
            for peer in (two, none):
                assert (await served.post_sdp("/whip", await peer.offer())).status == 406
                await peer.close()
            assert served.lobby.sessions == []

    run(scenario())


def test_4_4_3_no_answer_is_partly_successful() -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await an_offer()
            strange = re.sub(r"a=rtpmap:(\d+) (VP8|H264)/90000", r"a=rtpmap:\1 AV9/90000", offer)
            assert (await served.post_sdp("/whip", strange)).status == 406
            assert (await served.post_sdp("/whip", offer.replace("a=sendonly", "a=recvonly"))).status == 406
            assert (await served.post_sdp("/whip", re.sub(r"m=video \d+", "m=video 0", offer))).status == 406
            await peer.close()

    run(scenario())


def test_4_5_when_full_503_says_when_to_come_again_and_those_inside_stay() -> None:
    async def scenario() -> None:
        async with serving(peers=1, watchers=1) as served, whip(served) as sender:
            stream = stream_of(served, sender)
            async with whep(served, stream) as watcher:
                await watcher.drawing()
                peer, offer = await an_offer()
                looker, watching = await an_offer("recvonly")
                for path, sdp in (("/whip", offer), (f"/whep/{stream}", watching)):
                    response = await served.post_sdp(path, sdp)
                    assert response.status == 503
                    assert int(response.headers["Retry-After"]) > 0
                watcher.frames.clear()
                await watcher.drawing()
                await peer.close()
                await looker.close()

    run(scenario())


def test_4_6_ice_servers_come_as_links_and_credentials_only_after_the_door() -> None:
    async def scenario() -> None:
        servers = (IceServer(url="stun:s.invalid"), IceServer(url="turn:t.invalid", username="u", credential="c"))
        async with serving(ice_servers=servers) as served:
            async with served.http.options(f"{served.url}/whip") as response:
                assert response.headers.getall("Link") == ['<stun:s.invalid>; rel="ice-server"']
            preflight = {"Origin": "https://x.example", "Access-Control-Request-Method": "POST"}
            async with served.http.options(f"{served.url}/whip", headers=preflight) as response:
                assert response.status == 200
                assert "Link" not in response.headers
            peer, offer = await an_offer()
            links = (await served.post_sdp("/whip", offer)).headers.getall("Link")
            assert '<stun:s.invalid>; rel="ice-server"' in links
            turn = '<turn:t.invalid>; rel="ice-server"; username="u"; credential="c"; credential-type="password"'
            assert turn in links
            await peer.close()

    run(scenario())


def test_4_7_1_without_the_bearer_token_nothing_is_opened() -> None:
    async def scenario() -> None:
        async with serving(token="correct-horse-battery") as served:
            peer, offer = await an_offer()
            for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic correct-horse-battery"}):
                response = await served.post_sdp("/whip", offer, **header)
                assert response.status == 401
                assert response.headers["WWW-Authenticate"] == "Bearer"
            assert served.lobby.sessions == []
            response = await served.post_sdp("/whip", offer, Authorization="bearer correct-horse-battery")
            assert response.status == 201
            await peer.close()

    run(scenario())


@pytest.mark.parametrize("body", ["", "v=0", "v=0\r\n" * 3000, "m=video", "\x00", "a=group:BUNDLE 0\r\nm=video 9 x 0"])
def test_4_2_what_is_no_sdp_is_400(body: str) -> None:
    async def scenario() -> None:
        async with serving() as served:
            assert (await served.post_sdp("/whip", body)).status == 400
            assert served.lobby.sessions == []

    run(scenario())


def test_4_2_another_content_type_is_415() -> None:
    async def scenario() -> None:
        async with serving() as served:
            assert (await served.post_sdp("/whip", "v=0", **{"Content-Type": "text/plain"})).status == 415

    run(scenario())


def test_a_named_stream_is_sent_to_by_one_at_a_time() -> None:
    async def scenario() -> None:
        async with serving() as served, whip(served, "/whip/studio"):
            peer, offer = await an_offer()
            assert (await served.post_sdp("/whip/studio", offer)).status == 409
            assert (await served.post_sdp("/whip/st%2Fudio", offer)).status == 400
            async with whep(served, "studio") as watcher:
                await watcher.drawing()
            await peer.close()

    run(scenario())


def test_a_name_that_can_be_guessed_needs_the_token_and_a_secret_one_is_the_invitation() -> None:
    async def scenario() -> None:
        async with serving(token="correct-horse-battery") as served:
            bearer = {"Authorization": "Bearer correct-horse-battery"}
            async with whip(served, "/whip/studio", **bearer), whip(served, **bearer) as secret:
                peer, offer = await an_offer("recvonly")
                assert (await served.post_sdp("/whep/studio", offer)).status == 401
                assert (await served.post_sdp("/whep/nobody", offer)).status == 401
                async with whep(served, stream_of(served, secret)) as watcher:
                    await watcher.drawing()
                await peer.close()

    run(scenario())


def test_any_number_of_watchers_share_one_encode() -> None:
    async def scenario() -> None:
        async with serving() as served, whip(served) as sender:
            stream = stream_of(served, sender)
            async with whep(served, stream) as a, whep(served, stream) as b, whep(served, stream) as c:
                for watcher in (a, b, c):
                    await watcher.drawing()
                broadcast = served.lobby.shows[stream].broadcast
                assert broadcast.watchers == 3
                assert list(broadcast._encoders) == ["VP8"]

    run(scenario())


def test_while_nobody_watches_the_drawing_rests() -> None:
    async def scenario() -> None:
        async with serving() as served, whip(served) as sender:
            show = served.lobby.shows[stream_of(served, sender)]
            await until(lambda: show.pipeline.inlet.received > 10)
            assert served.engine.drawn == 0
            async with whep(served, show.name) as watcher:
                await watcher.drawing()
            await until(lambda: show.broadcast.watchers == 0)
            await asyncio.sleep(0.3)
            drawn = served.engine.drawn
            await asyncio.sleep(0.5)
            assert served.engine.drawn == drawn

    run(scenario())


def test_sound_is_passed_on_to_watchers_and_not_back_to_the_page() -> None:
    async def scenario() -> None:
        async with (
            serving() as served,
            whip(served, kinds="va") as sender,
            whep(served, stream_of(served, sender), kinds="va") as watcher,
        ):
            await watcher.drawing()
            await until(lambda: len(watcher.sounds) > 10)
        async with serving() as served, page(served) as own:
            await own.drawing()
            assert own.sounds == []

    run(scenario())


def test_when_the_sender_leaves_its_watchers_are_told() -> None:
    async def scenario() -> None:
        async with serving() as served, whip(served) as sender:
            async with whep(served, stream_of(served, sender)) as watcher:
                await watcher.drawing()
                async with served.http.delete(served.url + sender.location):
                    pass
                await until(lambda: watcher.connection.connectionState == "closed")
            assert served.lobby.sessions == []

    run(scenario())


def test_nobody_there_is_404() -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await an_offer("recvonly")
            assert (await served.post_sdp("/whep/nobody", offer)).status == 404
            await peer.close()

    run(scenario())
