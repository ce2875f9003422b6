import itertools
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from media_clips import picture, write_clip

from realtime.core import PartialSourceError, Source, SourceError
from realtime.sources.url import UrlSource


class Camera(ThreadingHTTPServer):
    """A network camera at /live, and one file at /clip.mp4."""

    daemon_threads = True

    def __init__(self, port: int = 0, *, clip: Path | None = None, pictures: int = 10**9) -> None:
        self.clip, self.pictures, self.ended = clip, pictures, threading.Event()
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A reader that hangs up is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: Camera

    def do_GET(self) -> None:
        if self.path == "/clip.mp4" and self.server.clip is not None:
            body = self.server.clip.read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        elif self.path == "/live":
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for index in range(self.server.pictures):
                if self.server.ended.wait(0.02):
                    return
                jpeg = cv2.imencode(".jpg", picture(index, 160, 120))[1].tobytes()
                self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg))
                self.wfile.write(jpeg + b"\r\n")
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def serving(server: Camera) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def test_an_http_camera_is_read_live() -> None:
    with serving(Camera()) as address:
        source = UrlSource(url=f"{address}/live", timeout_s=5)
        assert isinstance(source, Source)
        assert (source.info.live, source.info.width, source.info.height) == (True, 160, 120)
        frames = list(itertools.islice(source, 10))
        source.close()
    assert [f.index for f in frames] == list(range(10))
    assert all(f.pts is None and not f.blank for f in frames)
    assert all(f.image[10, 10].min() > 240 for f in frames)
    levels = [int(f.image[-10, -10, 0]) for f in frames]
    assert levels != sorted(levels)[:1] * 10
    assert frames[9].captured > frames[0].captured


def test_a_lost_camera_is_replaced_by_paper_until_it_is_back() -> None:
    server = Camera(pictures=30)
    with serving(server) as address:
        source = UrlSource(url=f"{address}/live", timeout_s=5, retry_s=0.1)
        frames = iter(source)
        seen = []
        for frame in frames:
            seen.append(frame)
            if frame.blank:
                server.pictures = 10**9
            elif any(f.blank for f in seen):
                break
            assert len(seen) < 200
        source.close()
    blanks = [f for f in seen if f.blank]
    assert blanks
    assert (blanks[0].image == 255).all()
    assert not seen[0].blank
    assert not seen[-1].blank
    assert [f.index for f in seen] == list(range(len(seen)))


def test_a_clip_behind_http_plays_at_its_own_speed_with_its_times_and_ends(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", range(10), time_base=Fraction(1, 25))
    with serving(Camera(clip=clip)) as address:
        source = UrlSource(url=f"{address}/clip.mp4", timeout_s=5)
        frames = list(source)
    assert [f.pts for f in frames] == [Fraction(k, 25) for k in range(10)]
    assert np.ptp([f.captured for f in frames]) == pytest.approx(0.36, abs=0.25)
    assert source.info.time_base is not None


def test_nobody_there_is_an_error_within_the_time_given() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(SourceError, match="refused") as caught:
        UrlSource(url=f"http://user:secret@127.0.0.1:{port}/live", timeout_s=3)
    assert time.monotonic() - begun < 4
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_server_that_never_answers_is_an_error_within_the_time_given(scheme: str) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        begun = time.monotonic()
        with pytest.raises(SourceError, match=r"no answer within 1 s"):
            UrlSource(url=f"{scheme}://127.0.0.1:{mute.getsockname()[1]}/live", timeout_s=1)
        assert time.monotonic() - begun < 4


def test_a_page_that_is_not_there_and_what_is_no_url_are_refused_in_one_line() -> None:
    with serving(Camera()) as address:
        for url in (f"{address}/nothing", "http://", "", "://x", "gopher://host/x", "http://[", "file:///etc/passwd"):
            with pytest.raises(SourceError, match="expected") as caught:
                UrlSource(url=url, timeout_s=3)
            assert not isinstance(caught.value, PartialSourceError)
            assert "\n" not in str(caught.value)
