"""WHIP and WHEP clients by others, with either codec, with and without trickle: drawn, seen, and gone at the end."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from serving import Served, grey_camera, run, serving, until, whep

from benchmarks.chromium import Tab, chromium, find_chromium
from tools.clients import fetched, folder_of

TOKEN = "correct-horse-battery"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
in_chromium = pytest.mark.skipif(
    not fetched() or find_chromium() is None, reason="needs Chromium and the clients that `make clients` fetches"
)

PREFER = """
const prefer = (pc, name) => {
  for (const one of pc.getTransceivers()) {
    if ((one.sender.track || one.receiver.track).kind !== 'video') continue;
    const codecs = RTCRtpSender.getCapabilities('video').codecs;
    one.setCodecPreferences(codecs.filter((c) => c.mimeType === 'video/' + name || c.mimeType === 'video/rtx'));
  }
};
const camera = () => navigator.mediaDevices.getUserMedia({ video: true, audio: true });
"""
MEDOOZE = """
  const pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' }), client = new WHIPClient(), media = await camera();
  for (const track of media.getTracks()) pc.addTransceiver(track, { direction: 'sendonly', streams: [media] });
  prefer(pc, CODEC);
  if (!TRICKLE) {
    const gathered = new Promise((resolve) =>
      pc.addEventListener('icegatheringstatechange', () => pc.iceGatheringState === 'complete' && resolve()));
    await pc.setLocalDescription();
    await gathered;
    pc.createOffer = async () => ({ type: 'offer', sdp: pc.localDescription.sdp });
    pc.setLocalDescription = async () => {};
    client.patch = async () => {};
  }
  window.leave = () => client.stop();
  await client.publish(pc, URL_, TOKEN);
"""
EYEVINN = """
  const create = RTCPeerConnection.prototype.createOffer;
  RTCPeerConnection.prototype.createOffer = function (...all) { prefer(this, CODEC); return create.apply(this, all); };
  const { WHIPClient } = required('@eyevinn/whip-web-client');
  const opts = { noTrickleIce: !TRICKLE, authkey: TOKEN, iceServers: [], timeout: 500 };
  const client = new WHIPClient({ endpoint: URL_, opts });
  window.leave = () => client.destroy();
  await client.ingest(await camera());
"""
WATCH = """
  const pc = new RTCPeerConnection(), client = new WHEPClient(), video = document.createElement('video');
  pc.addTransceiver('video', { direction: 'recvonly' });
  pc.addTransceiver('audio', { direction: 'recvonly' });
  prefer(pc, CODEC);
  Object.assign(document.body.appendChild(video), { muted: true, autoplay: true });
  pc.ontrack = (event) => event.track.kind === 'video' && (video.srcObject = new MediaStream([event.track]));
  window.seen = () => video.videoWidth;
  window.leave = () => client.stop();
  await client.view(pc, URL_, TOKEN);
"""


def library() -> str:
    """Both clients as one script: CommonJS by a `require` of three lines, the module as it stands."""
    parts = folder_of("sdp-transform@2.14.1") / "lib"
    common = {
        "events": folder_of("events@3.3.0") / "events.js",
        "sdp-transform": parts / "index.js",
        **{f"./{name}": parts / f"{name}.js" for name in ("parser", "writer", "grammar")},
        "@eyevinn/whip-web-client": folder_of("@eyevinn/whip-web-client@1.1.7") / "dist" / "whip-client.js",
    }
    bodies = ",".join(
        f"{json.dumps(name)}: (module, exports, require) => {{{path.read_text()}\n}}" for name, path in common.items()
    )
    module = folder_of("whip-whep@1.2.0")
    classes = "".join((module / f"{name}.js").read_text().replace("export class", "class") for name in ("whip", "whep"))
    names = "window.WHIPClient = WHIPClient; window.WHEPClient = WHEPClient;"
    return f"""(() => {{
        const bodies = {{{bodies}}}, made = {{}};
        const required = (name) => {{
            const known = made[name], module = known || (made[name] = {{ exports: {{}} }});
            if (!known) bodies[name](module, module.exports, required);
            return module.exports;
        }};
        window.required = required;
    }})(); (() => {{ {classes}; {names} }})(); 0"""


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return grey_camera(tmp_path_factory.mktemp("camera"))


async def begin(tab: Tab, script: str, url: str, *, codec: str, trickle: bool = True) -> None:
    names = f"const CODEC = '{codec}', TRICKLE = {json.dumps(trickle)}, TOKEN = '{TOKEN}', URL_ = '{url}';"
    await tab.run(library())
    await tab.run(f"(async () => {{ {names} {PREFER} {script} }})()")


@asynccontextmanager
async def published(served: Served, tab: Tab, script: str, *, codec: str, trickle: bool) -> AsyncIterator[None]:
    await begin(tab, script, f"{served.url}/whip/studio", codec=codec, trickle=trickle)
    await until(lambda: any(session.connected for session in served.lobby.sessions))
    async with whep(served, "studio", codec=codec, **BEARER) as watcher:
        await watcher.drawing()
    yield
    await tab.run("window.leave()")
    await until(lambda: not served.lobby.sessions)  # told by DELETE: well before the silence is noticed


@in_chromium
@pytest.mark.parametrize("script", [MEDOOZE, EYEVINN], ids=["whip-whep", "whip-web-client"])
def test_a_client_by_others_is_drawn_with_either_codec_with_and_without_trickle(script: str, camera: Path) -> None:
    async def scenario() -> None:
        async with serving(token=TOKEN, silence_s=60) as served, chromium(camera=camera) as browser:
            for codec, trickle in (("VP8", True), ("VP8", False), ("H264", True), ("H264", False)):
                async with (
                    browser.tab(f"{served.url}/healthz") as tab,
                    published(served, tab, script, codec=codec, trickle=trickle),
                ):
                    pass

    run(scenario())


@in_chromium
def test_a_client_by_others_watches_with_either_codec(camera: Path) -> None:
    async def scenario() -> None:
        async with (
            serving(token=TOKEN, silence_s=60) as served,
            chromium(camera=camera) as browser,
            browser.tab(f"{served.url}/healthz") as sender,
            published(served, sender, MEDOOZE, codec="VP8", trickle=True),
        ):
            for codec in ("VP8", "H264"):
                async with browser.tab(f"{served.url}/healthz") as tab:
                    await begin(tab, WATCH, f"{served.url}/whep/studio", codec=codec)
                    await tab.until("window.seen() > 0")
                    await tab.run("window.leave()")
                    await until(lambda: len(served.lobby.sessions) == 1)

    run(scenario())


PIPELINES = {
    "VP8": "vp8enc deadline=1 keyframe-max-dist=50 ! rtpvp8pay pt=96 ssrc=2",
    "H264": "x264enc tune=zerolatency key-int-max=50 ! video/x-h264,profile=constrained-baseline ! "
    "rtph264pay pt=96 ssrc=2 config-interval=1",
}
STUB = """
void *gupnp_simple_igd_thread_new(void) { return 0; }
"""
IGD = ("add_port", "remove_port", "add_port_local", "remove_port_local", "get_type", "thread_get_type")


@pytest.fixture(scope="module")
def beside_soup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a libgupnp-igd that does nothing: Debian 12's brings another libsoup than this client's, and the
    two do not live in one process."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler, which is not here")
    folder = tmp_path_factory.mktemp("stub")
    source = folder / "stub.c"
    source.write_text(STUB + "".join(f"void *gupnp_simple_igd_{name}(void) {{ return 0; }}\n" for name in IGD))
    library = folder / "libgupnp-igd-1.0.so.4"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return folder


@pytest.mark.skipif(shutil.which("whip-client") is None, reason="needs Debian's simple-whip-client, which is not here")
@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_gstreamers_client_with_its_rsa_certificate_is_drawn(codec: str, beside_soup: Path) -> None:
    async def scenario() -> None:
        picture = "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1"
        caps = f"application/x-rtp,media=video,encoding-name={codec},payload=96"
        video = f"{picture} ! videoconvert ! {PIPELINES[codec]} ! queue ! {caps}"
        async with serving(token=TOKEN, silence_s=60) as served:
            client = await asyncio.create_subprocess_exec(
                *("whip-client", "-u", f"{served.url}/whip/studio", "-t", TOKEN, "-V", video),
                env={**os.environ, "LD_LIBRARY_PATH": str(beside_soup)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                async with asyncio.timeout(60):
                    while not any(session.connected for session in served.lobby.sessions):
                        assert client.returncode is None, "the client ended by itself"
                        await asyncio.sleep(0.05)
                async with whep(served, "studio", **BEARER) as watcher:
                    await watcher.drawing()
                client.send_signal(signal.SIGINT)
                await until(lambda: not served.lobby.sessions)
            finally:
                if client.returncode is None:
                    client.kill()
                await client.wait()

    run(scenario())
