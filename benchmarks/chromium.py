"""A real Chromium, headless, driven by the DevTools protocol over a websocket; its camera shows a file."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

BINARIES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE_S = 60.0


def find_chromium() -> str | None:
    return next((found for name in BINARIES if (found := shutil.which(name))), None)


class Tab:
    """One page."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.console: list[str] = []
        """What the page complained of."""
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told and (answer := self._answers.pop(told["id"], None)) is not None and not answer.done():
                answer.set_result(told)
            elif told.get("method") == "Runtime.consoleAPICalled" and told["params"]["type"] in ("error", "warning"):
                self.console.append(" ".join(str(arg.get("value")) for arg in told["params"]["args"]))
            elif told.get("method") == "Log.entryAdded":
                self.console.append(told["params"]["entry"]["text"])
            elif told.get("method") == "Runtime.exceptionThrown":
                self.console.append(str(told["params"]["exceptionDetails"].get("exception", {}).get("description")))

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(PATIENCE_S):
            told = await answer
        if "error" in told:
            raise RuntimeError(f"{method}: {told['error']}")
        return dict(told["result"])

    async def run(self, script: str) -> Any:
        """The value of an expression; a promise is waited for."""
        told = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in told:
            raise RuntimeError(str(told["exceptionDetails"].get("exception", {}).get("description", told)))
        return told["result"].get("value")

    async def until(self, script: str, *, seconds: float = PATIENCE_S) -> None:
        """Wait until an expression is true."""
        async with asyncio.timeout(seconds):
            while not await self.run(script):
                await asyncio.sleep(0.05)

    async def screenshot(self, path: Path, *, width: int, height: int, scale: float = 1.0) -> None:
        """What is seen in a window of so many CSS pixels."""
        await self.size(width=width, height=height, scale=scale)
        await asyncio.sleep(0.5)
        told = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(told["data"]))

    async def size(self, *, width: int, height: int, scale: float = 1.0) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=width < 600,
        )

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()


@asynccontextmanager
async def chromium(
    *, camera: Path | None, binary: str | None = None, more: Sequence[str] = ()
) -> AsyncIterator[Browser]:
    """A running browser; ``camera`` is an .mjpeg or .y4m file, ``more`` are further flags."""
    found = binary or find_chromium()
    if found is None:
        raise FileNotFoundError("no Chromium here; expected one; do: apt-get install chromium")
    folder = Path(tempfile.mkdtemp(prefix="chromium-"))
    flags = [
        "--headless=new",
        "--no-sandbox",  # containers forbid it its own
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--hide-scrollbars",
        "--autoplay-policy=no-user-gesture-required",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        "--remote-debugging-port=0",
        f"--user-data-dir={folder}",
        *more,
    ]
    if camera is not None:
        flags.append(f"--use-file-for-fake-video-capture={camera}")
    process = await asyncio.create_subprocess_exec(
        found, *flags, "about:blank", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        port = await _port(folder / "DevToolsActivePort")
        async with aiohttp.ClientSession() as http:
            yield Browser(http=http, port=port, pid=process.pid)
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
        await process.wait()
        shutil.rmtree(folder, ignore_errors=True)


class Browser:
    """Opens tabs."""

    def __init__(self, *, http: aiohttp.ClientSession, port: int, pid: int) -> None:
        self.pid = pid
        self._http = http
        self._url = f"http://127.0.0.1:{port}"

    @asynccontextmanager
    async def tab(self, url: str) -> AsyncIterator[Tab]:
        async with self._http.put(f"{self._url}/json/new?about:blank") as response:
            target = await response.json()
        async with self._http.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            tab = Tab(socket)
            try:
                for domain in ("Page", "Runtime", "Log"):
                    await tab.call(f"{domain}.enable")
                await tab.call("Page.navigate", url=url)
                await tab.until("document.readyState === 'complete'")
                yield tab
            finally:
                await tab.close()


async def _port(file: Path) -> int:
    async with asyncio.timeout(PATIENCE_S):
        while not (file.exists() and file.read_text().count("\n") >= 1):
            await asyncio.sleep(0.05)
    return int(file.read_text().split("\n")[0])
