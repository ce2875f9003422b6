"""What RFC 9725 says of offers and answers, section by section: bundles, tracks, roles, no answer in part."""

from __future__ import annotations

import re
import socket

import psutil
import pytest
from aiortc import RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack
from serving import Peer, Served, run, serving, stream_of, until, whep, whip

from realtime.webrtc import mending
from realtime.webrtc.offers import read_offer

TRANSPORT = r"a=(ice-ufrag|ice-pwd|ice-options|fingerprint|setup|candidate|end-of-candidates)\b.*\r\n"


async def a_peer(kinds: str = "va", direction: str = "sendonly") -> tuple[Peer, str]:
    """A peer, and an offer of video and sound, or whatever letters are given."""
    peer = Peer()
    for kind in kinds:
        peer.connection.addTransceiver(peer.camera if kind == "v" else AudioStreamTrack(), direction=direction)
    return peer, await peer.offer()


def sections(sdp: str) -> list[str]:
    """The session's part, and the media sections."""
    return re.split(r"(?m)^(?=m=)", sdp)


def bundled_only(offer: str) -> str:
    """As a peer with the policy "max-bundle" writes it: but for the first section no port and no transport."""
    head, first, *others = sections(offer)
    stripped = [re.sub(TRANSPORT, "", re.sub(r"^(m=\S+) \d+", r"\1 0", one)) + "a=bundle-only\r\n" for one in others]
    return head + first + "".join(stripped)


async def taken(served: Served, peer: Peer, offer: str) -> str:
    """Publish with this offer until it is connected. Returns the answer."""
    response = await served.post_sdp("/whip", offer)
    answer = await response.text()
    assert response.status == 201, answer
    peer.location = response.headers["Location"]
    await peer.accept(answer)
    await until(lambda: served.lobby.sessions[-1].connected)
    return answer


def test_4_2_who_offers_sendrecv_is_answered_recvonly() -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await a_peer(direction="sendrecv")
            answer = await taken(served, peer, offer)
            await peer.close()
            assert re.findall(r"a=(sendonly|sendrecv|recvonly|inactive)", answer) == ["recvonly", "recvonly"]

    run(scenario())


@pytest.mark.parametrize("direction", ["recvonly", "inactive"])
def test_4_2_an_offer_that_sends_nothing_is_406(direction: str) -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await a_peer("v")
            assert (await served.post_sdp("/whip", offer.replace("a=sendonly", f"a={direction}"))).status == 406
            await peer.close()

    run(scenario())


def test_4_2_a_session_that_was_deleted_listens_no_more() -> None:
    async def scenario() -> None:
        async with serving() as served, whip(served) as sender:
            await until(lambda: served.lobby.sessions[0].connected)
            answer = sender.connection.remoteDescription.sdp
            ports = {int(port) for port in re.findall(r"a=candidate:\S+ 1 udp \d+ [\d.]+ (\d+) typ host", answer)}
            assert ports
            async with served.http.delete(served.url + sender.location):
                pass
            for port in ports:  # consent is revoked at once (RFC 7675 section 5.2): nobody is there to answer
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
                    taken.bind(("0.0.0.0", port))

    run(scenario())


def test_4_4_1_sections_that_are_only_there_bundled_take_the_transport_of_the_first() -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await a_peer()
            bare = bundled_only(offer)
            assert len(re.findall(r"m=\S+ 0 ", bare)) == 1
            assert bare.count("a=ice-ufrag") == 1
            answer = await taken(served, peer, bare)
            async with whep(served, stream_of(served, peer)) as watcher:
                await watcher.drawing()
            await peer.close()
            assert "m=audio 0" not in answer
            assert len(re.findall(r"a=group:BUNDLE (\S+ \S+)\r\n", answer)) == 1

    run(scenario())


def test_4_4_1_a_closed_section_that_no_bundle_opens_is_406() -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await a_peer()
            bare = bundled_only(offer)
            for bad in (bare.replace("a=bundle-only\r\n", ""), bare.replace("a=group:BUNDLE 0 1", "a=group:BUNDLE 0")):
                assert (await served.post_sdp("/whip", bad)).status in (400, 406)
            first = re.sub(r"m=video \d+", "m=video 0", offer) + "a=bundle-only\r\n"
            assert (await served.post_sdp("/whip", first)).status == 406
            assert served.lobby.sessions == []
            await peer.close()

    run(scenario())


@pytest.mark.parametrize(
    ("kinds", "old", "new", "status"),
    [
        ("va", "a=group:BUNDLE 0 1", "a=group:BUNDLE 7\r\na=group:BUNDLE 0 1", 406),
        ("va", "a=group:BUNDLE 0 1", "a=group:BUNDLE 7 0 1", 406),
        ("va", "a=mid:1", "a=mid:0", 406),
        ("v", "a=group:BUNDLE 0", "a=group:BUNDLE 7 0", 406),
        ("v", "a=mid:0", "a=mid", 400),
        ("v", "packetization-mode=1", "packetization-mode", 400),
    ],
)
def test_4_4_1_bundles_that_contradict_the_sections_and_values_that_are_missing_are_refused_at_the_door(
    kinds: str, old: str, new: str, status: int
) -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await a_peer(kinds)
            assert old in offer
            assert (await served.post_sdp("/whip", offer.replace(old, new))).status == status
            assert served.lobby.opened == {}
            await peer.close()

    run(scenario())


def test_a_connection_that_is_half_made_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        peer, offer = await a_peer()
        before = psutil.Process().num_fds()
        other = Peer().connection
        bad = offer.replace("BUNDLE 0 1", "BUNDLE 7 0 1")
        await other.setRemoteDescription(RTCSessionDescription(sdp=bad, type="offer"))
        with pytest.raises(AttributeError):
            await other.createAnswer()
        await mending.close(other)
        await until(lambda: psutil.Process().num_fds() <= before)
        await peer.close()

    run(scenario())


@pytest.mark.parametrize("written", ["a=rtcp-mux-only", "a=rtcp-mux\r\na=rtcp-mux-only"])
def test_4_4_1_rtcp_on_the_port_of_rtp_and_nowhere_else_is_what_is_answered(written: str) -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await a_peer()
            answer = await taken(served, peer, offer.replace("a=rtcp-mux", written))
            await peer.close()
            assert answer.count("a=rtcp-mux\r\n") == 2
            assert "rtcp-mux-only" not in answer  # forbidden in answers (RFC 8858 section 3)

    run(scenario())


def test_4_4_1_rtcp_on_a_port_of_its_own_is_406() -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await a_peer()
            assert (await served.post_sdp("/whip", offer.replace("a=rtcp-mux\r\n", "", 1))).status == 406
            assert served.lobby.opened == {}  # refused at the door
            await peer.close()

    run(scenario())


def test_4_4_2_one_video_and_one_sound_are_taken_whichever_stream_they_name() -> None:
    async def scenario() -> None:
        async with serving() as served:
            for names in (("one", "one"), ("one", "other")):
                peer, offer = await a_peer()
                named = iter(names)
                offer = re.sub(r"a=msid:\S+", lambda _, named=named: f"a=msid:{next(named)}", offer)  # type: ignore[misc]
                await taken(served, peer, offer)
                await peer.close()

    run(scenario())


def test_4_4_2_two_sounds_are_406() -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await a_peer("vaa")
            assert (await served.post_sdp("/whip", offer)).status == 406
            await peer.close()

    run(scenario())


def test_4_4_3_a_sound_that_cannot_be_taken_refuses_the_whole_offer() -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await a_peer()
            strange = re.sub(r"a=rtpmap:(\d+) (opus|G722|PCMU|PCMA)/", r"a=rtpmap:\1 speex/", offer)
            assert (await served.post_sdp("/whip", strange)).status == 406
            assert (await served.post_sdp("/whip", re.sub(r"m=audio \d+", "m=audio 0", offer))).status == 406
            await peer.close()

    run(scenario())


@pytest.mark.parametrize(("offered", "answered"), [("actpass", "active"), ("active", "passive")])
def test_4_4_4_either_role_of_the_handshake_is_taken(offered: str, answered: str) -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await a_peer("v")
            answer = await taken(served, peer, offer.replace("a=setup:actpass", f"a=setup:{offered}"))
            await peer.close()
            assert re.findall(r"a=setup:(\w+)", answer) == [answered]

    run(scenario())


def test_4_5_nobody_is_sent_elsewhere_by_301_or_302() -> None:
    async def scenario() -> None:
        async with serving() as served:
            for path in ("/whip/", "//whip", "/whip/a/", "/WHIP"):
                async with served.http.post(served.url + path, data="v=0", allow_redirects=False) as response:
                    assert response.status in (400, 404, 405, 415)

    run(scenario())


def test_4_7_a_token_that_comes_along_with_patch_and_delete_does_no_harm() -> None:
    async def scenario() -> None:
        bearer = {"Authorization": "Bearer correct-horse-battery"}
        async with serving(token="correct-horse-battery") as served, whip(served, **bearer) as sender:
            own = re.search(r"a=ice-ufrag:(\S+)", sender.connection.localDescription.sdp)
            assert own is not None
            headers = {**bearer, "If-Match": sender.etag, "Content-Type": "application/trickle-ice-sdpfrag"}
            body = f"a=ice-ufrag:{own[1]}\r\na=ice-pwd:{'x' * 22}\r\n"
            async with served.http.patch(served.url + sender.location, data=body, headers=headers) as response:
                assert response.status == 204
                assert await response.read() == b""
            async with served.http.delete(served.url + sender.location, headers=bearer) as response:
                assert response.status == 200

    run(scenario())


def test_4_8_layers_are_not_taken_and_the_answer_says_nothing_of_them() -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await a_peer("v")
            layers = "a=rid:h send\r\na=rid:l send\r\na=simulcast:send h;l\r\n"
            answer = await taken(served, peer, offer + layers)
            await peer.close()
            assert "simulcast" not in answer
            assert "a=rid" not in answer

    run(scenario())


def test_4_9_no_extension_is_announced() -> None:
    async def scenario() -> None:
        async with serving() as served:
            peer, offer = await a_peer("v")
            links = (await served.post_sdp("/whip", offer)).headers.getall("Link")
            assert not [link for link in links if "urn:ietf:params:whip:ext" in link]
            await peer.close()

    run(scenario())


def test_what_is_written_out_already_stays_as_it_was() -> None:
    async def scenario() -> None:
        peer, offer = await a_peer()
        cleaned = read_offer(offer, most_candidates=50, publishes=True).sdp
        assert cleaned == offer.replace("a=end-of-candidates\r\n", "")
        await peer.close()

    run(scenario())
