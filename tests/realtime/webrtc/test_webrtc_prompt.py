"""Pictures are decoded with their last packet: nothing waits for the next one."""

from __future__ import annotations

from typing import Any

from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import HeaderExtensions, RtpPacket, unpack_header_extensions
from serving import page, run, serving, stream_of, until, whep, whip

from realtime.webrtc import mending


def packets_of(*frames: int, first: int = 65_533, marked: bool = True) -> list[RtpPacket]:
    """So many packets for each picture; their numbers wrap on the way."""
    made: list[RtpPacket] = []
    for index, count in enumerate(frames):
        for place in range(count):
            packet = RtpPacket(
                payload_type=97,
                sequence_number=(first + len(made)) % 65_536,
                timestamp=3000 * index,
                marker=int(marked and place == count - 1),
            )
            packet._data = f"{index}.{place} ".encode()  # type: ignore[attr-defined]
            made.append(packet)
    return made


def taken(buffer: JitterBuffer, packet: RtpPacket) -> list[bytes]:
    """What an aiortc receiver decodes when a packet comes in, and what is taken beyond that."""
    _, frame = buffer.add(packet)
    return [one.data for one in ([frame] if frame else []) + [f for _, f in mending.complete_frames(buffer)]]


def test_a_picture_is_complete_with_its_last_packet_not_with_the_next_picture() -> None:
    buffer = JitterBuffer(capacity=512, is_video=True)
    got = [taken(buffer, packet) for packet in packets_of(3, 1, 2)]
    assert got == [[], [], [b"0.0 0.1 0.2 "], [b"1.0 "], [], [b"2.0 2.1 "]]


def test_pictures_come_whole_and_in_order_when_packets_do_not() -> None:
    buffer = JitterBuffer(capacity=512, is_video=True)
    a, b, c, d, e = packets_of(2, 1, 2)
    got = [taken(buffer, packet) for packet in (a, d, c, e, b)]
    assert got == [[], [], [], [], [b"0.0 0.1 ", b"1.0 ", b"2.0 2.1 "]]


def test_who_sends_no_markers_is_still_understood() -> None:
    buffer = JitterBuffer(capacity=512, is_video=True)
    got = [taken(buffer, packet) for packet in packets_of(1, 2, 1, marked=False)]
    assert got == [[], [b"0.0 "], [], [b"1.0 1.1 "]]


def heard(buffer: JitterBuffer, packet: RtpPacket) -> list[bytes]:
    _, frame = buffer.add(packet)
    return [one.data for one in ([frame] if frame else []) + [f for _, f in mending.packets_of_sound(buffer)]]


def test_sound_is_heard_packet_by_packet_in_order_and_what_is_lost_holds_up_nothing_for_long() -> None:
    buffer = JitterBuffer(capacity=16, prefetch=4)
    a, b, c, d, e, f, g, h = packets_of(1, 1, 1, 1, 1, 1, 1, 1)
    assert [heard(buffer, packet) for packet in (a, c, b)] == [[b"0.0 "], [], [b"1.0 ", b"2.0 "]]
    got = [heard(buffer, packet) for packet in (e, f, g, d, h)]  # the fourth comes too late
    assert got == [[], [], [b"4.0 ", b"5.0 ", b"6.0 "], [], [b"7.0 "]]


def test_nothing_is_held_back_when_a_camera_stands_still() -> None:
    async def scenario() -> None:
        async with serving() as served, whip(served) as sender:
            session = served.lobby.sessions[0]
            await until(lambda: session.show.pipeline.inlet.received > 3)
            sender.camera.covered = True
            receiver: Any = session._connection.getTransceivers()[0].receiver
            buffer = receiver._RTCRtpReceiver__jitter_buffer
            await until(lambda: not any(buffer._packets), seconds=10)

    run(scenario())


def test_the_page_is_told_to_show_pictures_at_once_and_watchers_with_sound_are_not() -> None:
    async def scenario() -> None:
        async with serving() as served, page(served) as peer:
            assert mending.PLAYOUT_DELAY in peer.connection.remoteDescription.sdp
            own = served.lobby.sessions[0]._connection.getSenders()
            async with whep(served, stream_of(served, peer), kinds="va") as watcher:
                await watcher.drawing()
                others = served.lobby.sessions[1]._connection.getSenders()
                for sender, asked in [(own[0], True), (others[0], False)]:
                    extensions: Any = sender._RTCRtpSender__rtp_header_extensions_map
                    profile, packed = extensions.set(HeaderExtensions(mid="0"))
                    values = [value for _, value in unpack_header_extensions(profile, packed)]
                    assert values == [b"0", bytes(3)] if asked else [b"0"]

    run(scenario())
