"""The page in a real Chromium with a fake camera, against a server of fakes: what a person sees and is told."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psutil
import pytest
from serving import Served, grey_camera, run, serving, stream_of, until, whip

from benchmarks.chromium import Browser, Tab, chromium, find_chromium
from benchmarks.line import Line
from realtime.webrtc.ladder import Rung

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_chromium() is None, reason="needs Chromium, which is not here")]

STATUS = "document.getElementById('status').textContent"
CLICK = "document.getElementById('start').click()"
NOTE_WHAT_IS_SENT = """(() => {
  const real = RTCRtpSender.prototype.setParameters;
  window.sent = {};
  RTCRtpSender.prototype.setParameters = function (wanted) {
    window.sent = wanted.encodings[0];
    return real.call(this, wanted);
  };
})()"""
DRAWN = """(() => {
  const video = document.getElementById('drawing'), canvas = document.createElement('canvas');
  if (!video.videoWidth) return false;
  [canvas.width, canvas.height] = [64, 48];
  const pen = canvas.getContext('2d');
  pen.drawImage(video, 0, 0, 64, 48);
  const px = pen.getImageData(0, 0, 64, 48).data, levels = px.filter((_, i) => i % 4 === 0);
  return levels.some((v) => v < 60) && levels.filter((v) => v < 60 || v > 200).length > 0.9 * levels.length;
})()"""


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grey_camera(tmp_path_factory.mktemp("camera"))


@asynccontextmanager
async def opened(served: Served, camera: Path, path: str = "/") -> AsyncIterator[tuple[Browser, Tab]]:
    async with chromium(camera=camera) as browser, browser.tab(served.url + path) as tab:
        yield browser, tab


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_who_presses_start_is_drawn_and_nothing_complains(codec: str, camera: Path) -> None:
    async def scenario() -> None:
        async with serving(silence_s=30) as served, opened(served, camera, f"/?codec={codec}") as (_, tab):
            await tab.run(CLICK)
            await tab.until(DRAWN)
            await tab.until(f"{STATUS} === 'You are being drawn.'")
            assert served.lobby.sessions[0].figures()["codec"] == codec
            await tab.until("document.getElementById('figures').textContent.includes('drawn in')")
            assert tab.console == []

    run(scenario())


def test_settings_views_pause_and_stop_work(camera: Path) -> None:
    async def scenario() -> None:
        async with serving(silence_s=30) as served, opened(served, camera) as (_, tab):
            await tab.run(CLICK)
            await tab.until(DRAWN)
            await tab.until("document.getElementById('style').options.length === 2")
            controls = served.lobby.sessions[0].show.pipeline.controls
            await tab.run("document.getElementById('mirror').click()")
            await until(lambda: controls.mirror)
            await tab.run("document.querySelector('[name=ink][value=\"#5c3618\"]').click()")
            await until(lambda: controls.ink == (92, 54, 24))
            await tab.run("document.querySelector('[name=view][value=split]').click()")
            await until(lambda: controls.layout == "inplace")
            await tab.run("document.getElementById('pause').click()")
            await until(lambda: controls.paused)
            await tab.run(NOTE_WHAT_IS_SENT)
            ladder = served.lobby.sessions[0].show.pipeline.ladder
            ladder.rung = Rung(scale=0.75, fps=8.0)
            await tab.until(
                "window.sent.maxFramerate === 8 && Math.round(100 * window.sent.scaleResolutionDownBy) === 133"
            )
            ladder.rung = Rung()
            await tab.until("window.sent.maxFramerate === undefined && window.sent.scaleResolutionDownBy === 1")
            assert tab.console == []
            await tab.run(CLICK)
            await until(lambda: not served.lobby.sessions)
            assert await tab.run("document.getElementById('start').textContent") == "Start"

    run(scenario())


def test_a_page_comes_back_by_itself_when_its_connection_is_lost(camera: Path) -> None:
    async def scenario() -> None:
        async with serving(silence_s=30) as served, opened(served, camera) as (_, tab):
            await tab.run(CLICK)
            await tab.until(DRAWN)
            first = served.lobby.sessions[0]
            await first.end("a test")
            await until(lambda: any(s is not first and s.connected for s in served.lobby.sessions))
            await tab.until(DRAWN)
            await tab.until(f"{STATUS} === 'You are being drawn.'")

    run(scenario())


COUNT = """(() => {
  const video = document.getElementById('drawing'), count = () => { shown++; video.requestVideoFrameCallback(count); };
  window.shown = 0;
  video.requestVideoFrameCallback(count);
})()"""


def test_a_page_is_drawn_on_after_three_seconds_in_which_nothing_passed(camera: Path) -> None:
    async def scenario() -> None:
        async with serving() as served, opened(served, camera) as (_, tab):
            await tab.run(CLICK)
            await tab.until(DRAWN)
            await tab.run(COUNT)
            line = Line(served.lobby.sessions[0]._connection)
            line.loss = 1.0
            await asyncio.sleep(3)
            line.loss = 0.0
            inlet, shown = served.lobby.sessions[0].show.pipeline.inlet, await tab.run("shown")
            before = inlet.received
            await until(lambda: inlet.received > before + 10, seconds=5)
            await tab.until(f"shown > {shown + 10}")
            await tab.until(DRAWN)
            assert line.lost > 0
            assert await tab.run(STATUS) == "You are being drawn."

    run(scenario())


def test_a_full_server_a_missing_key_and_a_refused_camera_are_told_in_words(camera: Path) -> None:
    async def scenario() -> None:
        async with serving(peers=0) as served, opened(served, camera) as (_, tab):
            await tab.run(CLICK)
            await tab.until(f"{STATUS}.startsWith('The server is full')")
            await tab.run(CLICK)
            await tab.run(
                "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError'); }"
            )
            await tab.run(CLICK)
            await tab.until(f"{STATUS}.startsWith('The camera was refused')")
        async with serving(token="correct-horse-battery") as served, opened(served, camera) as (browser, tab):
            await tab.run(CLICK)
            await tab.until(f"{STATUS}.startsWith('This server wants a key')")
            async with browser.tab(f"{served.url}/#token=correct-horse-battery") as with_key:
                assert await with_key.run("location.hash") == ""
                await with_key.run(CLICK)
                await with_key.until(DRAWN)

    run(scenario())


def test_others_watch_by_the_link_and_are_told_when_nobody_is_there(camera: Path) -> None:
    async def scenario() -> None:
        async with serving(silence_s=30) as served, whip(served) as sender:
            name = stream_of(served, sender)
            async with opened(served, camera, f"/watch/{name}") as (browser, tab):
                await tab.until(DRAWN)
                async with browser.tab(f"{served.url}/watch/nobody") as other:
                    await other.until(f"{STATUS} === 'Nobody is being drawn here now.'")

    run(scenario())


def test_every_control_has_a_name_and_can_be_reached_by_the_keyboard(camera: Path) -> None:
    async def scenario() -> None:
        async with serving() as served, opened(served, camera) as (_, tab):
            await tab.run(CLICK)
            await tab.until("!document.getElementById('pause').disabled")
            told = await tab.call("Accessibility.getFullAXTree")
            roles = ("button", "combobox", "slider", "radio", "checkbox", "textbox", "ColorWell")
            nodes = [n for n in told["nodes"] if n.get("role", {}).get("value") in roles and not n.get("ignored")]
            assert len(nodes) > 15
            assert [n for n in nodes if not n.get("name", {}).get("value")] == []
            reached = set()
            for _ in range(40):
                for kind in ("keyDown", "keyUp"):
                    await tab.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
                reached.add(await tab.run("document.activeElement.id || document.activeElement.name"))
            assert {"start", "pause", "style", "layout", "smooth", "share", "cameras", "view"} <= reached
            await asyncio.sleep(0)

    run(scenario())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_the_slot_of_a_browser_that_is_killed_or_stopped_is_soon_free(how: signal.Signals, camera: Path) -> None:
    async def scenario() -> None:
        async with serving() as served, opened(served, camera) as (browser, tab):
            await tab.run(CLICK)
            await tab.until(DRAWN)
            root = psutil.Process(browser.pid)
            everyone = [root, *root.children(recursive=True)]
            begun = asyncio.get_running_loop().time()
            for process in everyone:
                process.send_signal(how)
            await until(lambda: not served.lobby.sessions)
            assert asyncio.get_running_loop().time() - begun < 6.5  # five of silence and what the clock needs
            for process in everyone:
                with suppress(psutil.Error):
                    process.kill()

    run(scenario())


def test_the_invitation_shows_link_and_code(camera: Path) -> None:
    async def scenario() -> None:
        async with serving(silence_s=30) as served, opened(served, camera) as (_, tab):
            await tab.run(CLICK)
            await tab.until(DRAWN)
            await tab.run("document.getElementById('share').click()")
            await tab.until("document.getElementById('qr').naturalWidth > 0")
            name = served.lobby.sessions[0].show.name
            assert await tab.run("document.getElementById('link').value") == f"{served.url}/watch/{name}"
            assert tab.console == []

    run(scenario())
