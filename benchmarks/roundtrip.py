"""Round trip through a real Chromium, on one machine: page, camera, server, drawing, page.

    python -m benchmarks.roundtrip [--clip CLIP] [--seconds 20] [--codec VP8 H264] [--work-ms 0 60] [--out FOLDER]

Browser and server share the cores. ``--work-ms`` makes every frame take so much longer, to show that latency does not
grow. The camera shows the clip, or else the demo.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks import machine
from benchmarks.chromium import chromium, find_chromium
from benchmarks.product import product
from benchmarks.timecode import TimecodeStylizer, camera_script, percentiles
from realtime.wiring import drawing_threads

SIZE = (640, 480)
FPS = 30
CAMERA_S = 8.0
START_S = 120.0


def serve(port: int, *, work_ms: float, engine: str, threads: int | None) -> None:
    """The product with the time code kept; runs until it is stopped."""
    import signal

    TimecodeStylizer.work_ms = work_ms
    with product(port=port, engine=engine, threads=threads) as server:
        signal.signal(signal.SIGTERM, lambda *_: server.stop())
        server.run()


def render_camera(target: Path, *, clip: Path | None) -> None:
    """A camera's file for Chromium: pictures of 640 x 480 one after the other."""
    from realtime.sources.demo import DemoSource
    from realtime.sources.video import VideoSource

    width, height = SIZE
    source = (
        DemoSource(fps=FPS, seconds=CAMERA_S, live=False, width=width, height=height)
        if clip is None
        else VideoSource(path=clip)
    )
    with closing(source), target.open("wb") as file:
        for index, frame in enumerate(source):
            if index >= CAMERA_S * FPS:
                break
            done, data = cv2.imencode(".jpg", cv2.cvtColor(covering(frame.image, SIZE), cv2.COLOR_RGB2BGR))
            assert done
            file.write(data.tobytes())


def covering(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """The middle of a picture, (H, W, 3) uint8, of that size, (width, height)."""
    height, width = image.shape[:2]
    w, h = min(width, height * size[0] // size[1]), min(height, width * size[1] // size[0])
    x, y = (width - w) // 2, (height - h) // 2
    return np.asarray(cv2.resize(image[y : y + h, x : x + w], size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def cpu_s(pid: int) -> float:
    """Seconds of processor time of a process and all that it started."""
    total = 0.0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        with suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


async def measure(
    url: str, *, camera: Path, codec: str, seconds: float, shot: Path | None, server: int
) -> dict[str, Any]:
    """One visit of the page."""
    async with chromium(camera=camera) as browser, browser.tab("about:blank") as tab:
        await tab.call("Page.addScriptToEvaluateOnNewDocument", source=camera_script(*SIZE, FPS))
        await tab.size(width=1280, height=860)
        await tab.call("Page.navigate", url=f"{url}?codec={codec}")
        await tab.until("document.readyState === 'complete' && window.trips !== undefined")
        clicked = await tab.run("(document.getElementById('start').click(), performance.now())")
        await tab.until("window.firstDrawing !== null")
        first = await tab.run("window.firstDrawing") - clicked
        await asyncio.sleep(2)
        await tab.run("window.trips.length = 0")
        before, earlier = (cpu_s(server), cpu_s(browser.pid)), await tab.run(_BROWSER)
        await asyncio.sleep(seconds)
        trips = await tab.run("window.trips")
        later = await tab.run(_BROWSER)
        spent = cpu_s(server) - before[0], cpu_s(browser.pid) - before[1]
        told = await tab.run(_FIGURES)
        if shot is not None:
            await tab.screenshot(shot, width=1280, height=860)
        third = max(1, len(trips) // 3)
        return {
            "codec": codec,
            "first_drawing_s": round(first / 1000, 2),
            "fps": round(len(trips) / seconds, 1),
            "round_trip_ms": percentiles([trip for _, trip in trips]),
            "first_third_ms": percentiles([trip for _, trip in trips[:third]]),
            "last_third_ms": percentiles([trip for _, trip in trips[-third:]]),
            "server_cpu_ms_a_frame": round(1000 * spent[0] / max(1, len(trips)), 1),
            "browser_cpu_ms_a_frame": round(1000 * spent[1] / max(1, len(trips)), 1),
            "browser": _per_picture(earlier, later, seconds),
            "server": told,
            "complaints": tab.console,
        }


_BROWSER = """
(async () => {
  const told = {};
  for (const one of (await window.peers.at(-1).getStats()).values())
    if ((one.type === "inbound-rtp" || one.type === "outbound-rtp") && one.kind === "video")
      for (const [name, value] of Object.entries(one)) if (typeof value === "number") told[name] = value;
  return told;
})()
"""
"""Counters of the browser's own: of what it sends and of what it gets."""


def _per_picture(earlier: dict[str, float], later: dict[str, float], seconds: float) -> dict[str, float]:
    """Where a picture's time goes in the browser, ms on average."""
    spent = {name: later[name] - earlier.get(name, 0.0) for name in later}

    def mean_ms(total: str, count: str) -> float:
        return round(1000 * spent.get(total, 0.0) / max(1.0, spent.get(count, 0.0)), 1)

    return {
        "sent_fps": round(spent.get("framesEncoded", 0.0) / seconds, 1),
        "encode_ms": mean_ms("totalEncodeTime", "framesEncoded"),
        "send_wait_ms": mean_ms("totalPacketSendDelay", "packetsSent"),
        "jitter_buffer_ms": mean_ms("jitterBufferDelay", "jitterBufferEmittedCount"),
        "decode_ms": mean_ms("totalDecodeTime", "framesDecoded"),
        "received_to_decoded_ms": mean_ms("totalProcessingDelay", "framesDecoded"),
        "received_kbit_per_s": round(8 * spent.get("bytesReceived", 0.0) / seconds / 1000),
    }


_FIGURES = "fetch('/stats').then((r) => r.json()).then((told) => told.sessions[0].show)"
"""What the server says of its only peer."""


def table(result: dict[str, Any]) -> str:
    """The figures for people."""
    m = result["machine"]
    lines = [
        "# Round trip through Chromium",
        "",
        f"{m['date']}, {m['cpu']}, {m['cores']} cores (browser and server together), load before {m['load']}, "
        f"Python {m['python']}; camera {SIZE[0]}x{SIZE[1]} at {FPS} fps, clip {result['clip']}, "
        f"{result['seconds']:g} s each.",
        "",
        "| codec | extra work | first drawing | fps | round trip p50 | p95 | first third p95 | last third p95 | "
        "processor a frame, server | browser | at the end |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in result["runs"]:
        trip = run["round_trip_ms"]
        lines.append(
            f"| {run['codec']} | {run['work_ms']:g} ms | {run['first_drawing_s']:.2f} s | {run['fps']:.1f} | "
            f"{trip['p50']:.0f} ms | {trip['p95']:.0f} ms | {run['first_third_ms']['p95']:.0f} ms | "
            f"{run['last_third_ms']['p95']:.0f} ms | {run['server_cpu_ms_a_frame']:.0f} ms | "
            f"{run['browser_cpu_ms_a_frame']:.0f} ms | {_rung(run['server']['quality'])} |"
        )
    return "\n".join(lines) + "\n"


def _rung(quality: dict[str, float | None]) -> str:
    """In words: what the load had cost by then."""
    fps = "" if quality["fps"] is None else f", at most {quality['fps']:g} a second"
    return f"{quality['scale']:.0%} size{fps}"


def run_all(
    *,
    clip: Path | None,
    seconds: float,
    codecs: Sequence[str],
    works: Sequence[float],
    out: Path | None,
    engine: str,
    threads: int | None,
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "machine": machine.describe(),
        "clip": "demo" if clip is None else clip.name,
        "seconds": seconds,
        "threads": threads,
        "runs": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        camera = Path(folder) / "camera.mjpeg"
        render_camera(camera, clip=clip)
        for work_ms in works:
            command = [sys.executable, "-m", "benchmarks.roundtrip", "--serve", str(work_ms), "--engine", engine]
            command += [] if threads is None else ["--threads", str(threads)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
                try:
                    url = url_of(server)
                    for codec in codecs:
                        shot = None if out is None else out / f"roundtrip-{result['machine']['date'][:10]}-{codec}.png"
                        visit = measure(url, camera=camera, codec=codec, seconds=seconds, shot=shot, server=server.pid)
                        result["runs"].append(asyncio.run(visit) | {"work_ms": work_ms})
                        print(json.dumps(result["runs"][-1]), flush=True)
                finally:
                    server.terminate()
                    server.wait(30)
    return result


def url_of(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    deadline = time.monotonic() + START_S
    for line in server.stdout:
        if line.startswith("serving"):
            return line.split()[1]
        if time.monotonic() > deadline:
            break
    raise RuntimeError("the server did not start")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.roundtrip", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--clip", type=Path, help="a clip that begins with a face (default: the demo)")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--codec", nargs="+", default=["VP8", "H264"])
    parser.add_argument("--work-ms", nargs="+", type=float, default=[0.0])
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--threads", type=int, default=drawing_threads(), help="of the engine (default: the product's)")
    parser.add_argument("--out", type=Path, help="write a dated .md and .json, and screenshots, into this folder")
    parser.add_argument("--serve", type=float, metavar="WORK_MS", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.serve is not None:
        serve(0, work_ms=args.serve, engine=args.engine, threads=args.threads)
        return 0
    if find_chromium() is None:
        print("roundtrip: expected Chromium; do: apt-get install chromium", file=sys.stderr)
        return 2
    if args.out is not None:
        try:
            args.out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            print(f"roundtrip: --out: expected a folder that can be written, {error}; name another", file=sys.stderr)
            return 2
    chosen = {
        "codecs": args.codec,
        "works": args.work_ms,
        "out": args.out,
        "engine": args.engine,
        "threads": args.threads,
    }
    result = run_all(clip=args.clip, seconds=args.seconds, **chosen)
    print(table(result))
    if args.out is not None:
        machine.write(args.out, "roundtrip", result, table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
