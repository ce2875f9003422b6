"""Fetch the independent WHIP and WHEP clients that the tests try against the server.

    python3 tools/clients.py [--to .data/clients]

npm fetches them, at fixed versions, each checked against the digest below. Nothing of them is part of this program, and
nothing but tests reads them. Doing it twice costs nothing.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".data" / "clients"
CLIENTS = {
    "whip-whep@1.2.0": "CP+Tht3O/N6QLebW5LxsNKgzFN5KX6WinLr1SLs74feagYu+Gqy+0dw48p5RQuE+FlrM4xyOlOdW2UOQwljImA==",
    "@eyevinn/whip-web-client@1.1.7": (
        "3sTRwe6NHnvCsD63z5DZ10kQYlGqcVF1YXavIYzfj5bAWAWw5QCQ5uQq9d0phpEx1o6YmRsrU/a+A8A5Y2p4Gw=="
    ),
    "events@3.3.0": "mQw+2fkQbALzQ7V0MY0IqdnXNOeTtP4r0lN9z7AAawCXgqea7bDii20AYrIBrFd/Hx0M2Ocz6S111CaFkUcb0Q==",
    "sdp-transform@2.14.1": "RjZyX3nVwJyCuTo5tGPx+PZWkDMCg7oOLpSlhjDdZfwUoNqG1mM8nyj31IGHyaPWXhjbP7cdK3qZ2bmkJ1GzRw==",
}
"""Name and version, and the SHA-512 of its archive. The last two are what the second needs."""


def folder_of(client: str, folder: Path = FOLDER) -> Path:
    """Where the files of ``NAME@VERSION`` lie once fetched."""
    return folder / client.replace("/", "-").lstrip("@")


def fetched(folder: Path = FOLDER) -> bool:
    """Whether all of them are there."""
    return all(folder_of(client, folder).is_dir() for client in CLIENTS)


def fetch(client: str, digest: str, folder: Path) -> None:
    """Raises RuntimeError when npm fails or brings something else."""
    with tempfile.TemporaryDirectory() as scratch:
        command = ["npm", "pack", "--silent", "--pack-destination", scratch, client]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        archives = list(Path(scratch).glob("*.tgz"))
        if done.returncode or len(archives) != 1:
            raise RuntimeError(f"npm pack {client}: {done.stderr.strip()[-300:] or 'nothing came'}")
        got = base64.b64encode(hashlib.sha512(archives[0].read_bytes()).digest()).decode()
        if got != digest:
            raise RuntimeError(f"{client}: expected SHA-512 {digest}; got {got}")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(scratch, filter="data")
        target = folder_of(client, folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(Path(scratch) / "package", target)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--to", type=Path, default=FOLDER, help="where (default: .data/clients)")
    args = parser.parse_args(argv)
    if fetched(args.to):
        return 0
    if shutil.which("npm") is None:
        print("clients: npm is not here; expected it; their tests will be skipped", file=sys.stderr)
        return 1
    try:
        for client, digest in CLIENTS.items():
            fetch(client, digest, args.to)
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        print(f"clients: {error}; their tests will be skipped", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
