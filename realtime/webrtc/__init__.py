"""The program as a server: browsers and WHIP/WHEP clients send their camera and get the drawing back.

asyncio, aiortc and aiohttp live in this folder alone. Read in this order: :mod:`~realtime.webrtc.settings`,
:mod:`~realtime.webrtc.pipeline` (a peer's threads), :mod:`~realtime.webrtc.broadcast` (its drawing on the way out),
:mod:`~realtime.webrtc.session` (a connection), :mod:`~realtime.webrtc.app` (the doors).

::

    track --newest--> Inlet --> Stream of the peer --> Broadcast --one encode--> any number of watchers
       (event loop)              (its threads)          (its thread)              (event loop)
"""

from __future__ import annotations

from realtime.core import ConfigError

EXTRA = "pip install 'apdrawing-live[webrtc]' (make run does it)"


def require() -> None:
    """Raises ConfigError, which tells what to install, when a library is missing."""
    try:
        import aiohttp  # noqa: F401
        import aiortc  # noqa: F401
        import prometheus_client  # noqa: F401
    except ImportError as error:
        raise ConfigError(f"WebRTC needs {error.name}, which is not installed; expected it; do: {EXTRA}") from None
