"""A bad line in memory: datagrams of one connection are lost or come late, both ways, whatever they hold."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from aiortc import RTCPeerConnection


class Line:
    """Put between an aiortc connection and its sockets, once candidates are gathered. Belongs to the event loop."""

    LATE_S = (0.02, 0.06)
    """How much later those come that come late: after others that were sent behind them."""

    def __init__(self, connection: RTCPeerConnection, *, seed: int = 1) -> None:
        self.loss = 0.0
        """Share that is lost, each way."""
        self.late = 0.0
        """Share that comes late, each way."""
        self.lost = 0
        self._dice = random.Random(seed)
        transports = {one.sender.transport.transport for one in connection.getTransceivers()}
        for transport in transports:
            ice: Any = transport._connection
            for protocol in ice._protocols:
                protocol.datagram_received = self._through(protocol.datagram_received)
                protocol.transport.sendto = self._through(protocol.transport.sendto)

    def _through(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def passed(*args: Any) -> None:
            if self.loss and self._dice.random() < self.loss:
                self.lost += 1
            elif self.late and self._dice.random() < self.late:
                asyncio.get_running_loop().call_later(self._dice.uniform(*self.LATE_S), call, *args)
            else:
                call(*args)

        return passed
