"""A clock drawn into the camera's picture and read from the drawing's: the true round trip of a frame.

The page's camera is wrapped: each picture gets a row of black and white blocks that say when it was made. The server's
stylizer is wrapped too: it lays that row over the drawing, which would draw it otherwise. What the page shows is read
whenever a picture is presented.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realtime.core import Drawing, Frame, Portrait
from realtime.stylizer import Stylizer

BLOCK = 24
"""Side of a block, px, at most: a picture that is too narrow for the row has smaller ones."""
BITS = 16
CHECK = 4
"""Blocks after the time: the sum of its four nibbles, so that a torn row is not taken for a time."""
BLOCKS = BITS + CHECK


def block_of(width: int) -> int:
    """Side of a block in a picture of that width, px."""
    return min(BLOCK, width // BLOCKS)


class TimecodeStylizer(Stylizer):
    """Keeps the time code of the camera's picture; may take longer than need be."""

    work_ms = 0.0

    def draw(self, portraits: Sequence[Portrait]) -> list[Drawing]:
        time.sleep(self.work_ms / 1000)
        return super().draw(portraits)

    def compose(self, frame: Frame, drawings: Sequence[Drawing]) -> Frame:
        composed = super().compose(frame, drawings)
        if frame.blank or composed.image.shape[1] != frame.image.shape[1]:
            return composed
        image = composed.image.copy()
        block = block_of(image.shape[1])
        image[:block, : BLOCKS * block] = frame.image[:block, : BLOCKS * block]
        return replace(composed, image=image)


def read_row(image: NDArray[np.uint8], *, width: int | None = None) -> int | None:
    """Milliseconds modulo 2**16 of a picture; None where no whole row is found.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        width: of the picture that the row was drawn into, px, where this one was made smaller.
    """
    block = block_of(width or image.shape[1]) * image.shape[1] / (width or image.shape[1])
    columns = ((np.arange(BLOCKS) + 0.5) * block).astype(int)
    middle = image[int(block / 2), columns].reshape(BLOCKS, -1).astype(int).mean(-1) > 127
    value = sum(int(bit) << i for i, bit in enumerate(middle[:BITS]))
    check = sum(int(bit) << i for i, bit in enumerate(middle[BITS:]))
    return value if check == _check(value) else None


def draw_row(image: NDArray[np.uint8], milliseconds: int) -> None:
    """As the page's camera does it; changed in place."""
    value = milliseconds % (1 << BITS)
    block = block_of(image.shape[1])
    for index in range(BLOCKS):
        bit = value >> index & 1 if index < BITS else _check(value) >> (index - BITS) & 1
        image[:block, index * block : (index + 1) * block] = 255 * bit


def _check(value: int) -> int:
    return sum(value >> shift & 15 for shift in (0, 4, 8, 12)) % 16


def camera_script(width: int, height: int, fps: int) -> str:
    """To be run before the page's own scripts."""
    return f"""
(() => {{
  const Real = RTCPeerConnection;
  window.peers = [];
  window.RTCPeerConnection = class extends Real {{
    constructor(...given) {{ super(...given); window.peers.push(this); }}
  }};
  const BLOCK = {BLOCK}, BITS = {BITS}, CHECK = {CHECK}, W = {width}, H = {height};
  const checkOf = (v) => ((v & 15) + (v >> 4 & 15) + (v >> 8 & 15) + (v >> 12 & 15)) % 16;
  const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (wanted) => {{
    const stream = await real(wanted);
    const video = Object.assign(document.createElement("video"), {{ srcObject: stream, muted: true }});
    await video.play();
    const canvas = Object.assign(document.createElement("canvas"), {{ width: W, height: H }});
    const pen = canvas.getContext("2d");
    const draw = () => {{
      pen.drawImage(video, 0, 0, W, H);
      const value = Math.floor(performance.now()) & 65535, check = checkOf(value);
      for (let i = 0; i < BITS + CHECK; i++) {{
        pen.fillStyle = (i < BITS ? value >> i & 1 : check >> (i - BITS) & 1) ? "#fff" : "#000";
        pen.fillRect(i * BLOCK, 0, BLOCK, BLOCK);
      }}
    }};
    setInterval(draw, 1000 / {fps});
    const made = canvas.captureStream({fps});
    made.getVideoTracks()[0].getSettings = () => stream.getVideoTracks()[0].getSettings();
    return made;
  }};
  window.trips = [];
  window.firstDrawing = null;
  addEventListener("DOMContentLoaded", () => {{
    const drawing = document.getElementById("drawing");
    const canvas = Object.assign(document.createElement("canvas"), {{ width: (BITS + CHECK) * BLOCK, height: BLOCK }});
    const small = Object.assign(document.createElement("canvas"), {{ width: 64, height: 48 }});
    const pen = canvas.getContext("2d", {{ willReadFrequently: true }});
    const look = small.getContext("2d", {{ willReadFrequently: true }});
    const read = (now) => {{
      const scale = drawing.videoWidth / W;  // a busy server sends smaller drawings
      pen.drawImage(drawing, 0, 0, canvas.width * scale, BLOCK * scale, 0, 0, canvas.width, BLOCK);
      const px = pen.getImageData(0, BLOCK >> 1, canvas.width, 1).data;
      let value = 0, check = 0;
      for (let i = 0; i < BITS + CHECK; i++) {{
        const bit = px[4 * (i * BLOCK + (BLOCK >> 1))] > 127 ? 1 : 0;
        if (i < BITS) value |= bit << i; else check |= bit << (i - BITS);
      }}
      if (check === checkOf(value)) window.trips.push([now, (Math.floor(performance.now()) - value) & 65535]);
      if (window.firstDrawing === null) {{
        look.drawImage(drawing, 0, 0, 64, 48);
        const dark = look.getImageData(0, 8, 64, 40).data;
        if (dark.some((level, i) => i % 4 === 0 && level < 100)) window.firstDrawing = performance.now();
      }}
      drawing.requestVideoFrameCallback(read);
    }};
    drawing.requestVideoFrameCallback(read);
  }});
}})();
"""


def percentiles(values: Sequence[float]) -> dict[str, Any]:
    if not values:
        return {"p50": 0.0, "p95": 0.0}
    p50, p95 = np.percentile(values, [50, 95])
    return {"p50": round(float(p50), 1), "p95": round(float(p95), 1)}
