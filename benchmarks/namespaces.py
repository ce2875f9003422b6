"""Another machine in this one: network namespaces with a bridge between them, which can be taken down."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


def can_cut() -> bool:
    """Whether networks can be made and unmade here."""
    return hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("ip") is not None


@asynccontextmanager
async def two_machines(name: str = "apdraw") -> AsyncIterator[tuple[list[str], str]]:
    """The prefix of commands on the other machine, and its address. This one is called ``10.77.0.1`` there.

    Between them stands a bridge in a namespace of its own: ``NAME-mid``, ``br0``. This machine's link is ``NAME0``.
    """
    server, middle = f"{name}-far", f"{name}-mid"
    commands = f"""
        netns add {server}
        netns add {middle}
        -n {middle} link add br0 type bridge
        link add {name}0 type veth peer name near netns {middle}
        -n {server} link add eth0 type veth peer name far netns {middle}
        -n {middle} link set near master br0
        -n {middle} link set far master br0
        -n {middle} link set near up
        -n {middle} link set far up
        -n {middle} link set br0 up
        -n {server} link set lo up
        -n {server} addr add 10.77.0.2/24 dev eth0
        -n {server} link set eth0 up
        addr add 10.77.0.1/24 dev {name}0
        link set {name}0 up
    """
    try:
        for line in commands.strip().splitlines():
            ip(*line.split())
        yield ["ip", "netns", "exec", server], "10.77.0.2"
    finally:
        for one in (server, middle):
            subprocess.run(["ip", "netns", "del", one], check=False, capture_output=True)


def ip(*words: str) -> None:
    """Raises CalledProcessError."""
    subprocess.run(["ip", *words], check=True, capture_output=True)
