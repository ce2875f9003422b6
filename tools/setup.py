"""Make the environment that the program runs in, and with ``--run`` start the program: what ``make run`` does.

    py tools/setup.py --run          (Windows)
    python3 tools/setup.py --run     (anywhere else without make)

Needs nothing but Python itself. Doing it twice costs nothing: a stamp inside the environment remembers what was
installed from which pyproject.toml and constraints.txt.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)


def environment_python(venv: Path) -> Path:
    """The interpreter inside an environment."""
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def fingerprint(extras: str) -> str:
    """Changes whenever what has to be installed changes."""
    digest = hashlib.sha256(f"{sys.version_info[:2]} {ROOT} {extras}".encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def install(venv: Path, extras: str) -> None:
    """Create ``venv`` and install this program with ``extras`` into it, unless that is done already."""
    stamp = venv / "installed.sha256"
    wanted = fingerprint(extras)
    if stamp.is_file() and stamp.read_text() == wanted and environment_python(venv).exists():
        return
    print(f"setup: installing into {venv} (a few minutes the first time)", flush=True)
    if not environment_python(venv).exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    pip = [str(environment_python(venv)), "-m", "pip", "--disable-pip-version-check"]
    what = f"{ROOT}[{extras}]" if extras else str(ROOT)
    subprocess.run([*pip, "install", "--quiet", "-c", str(ROOT / "constraints.txt"), "--editable", what], check=True)
    stamp.write_text(wanted)


def provide_libraries(python: Path) -> bool:
    """True when every shared library is there; where apt-get may be used without asking, it is."""
    sys.path.insert(0, str(ROOT))
    from realtime import shared_libraries

    missing = shared_libraries.missing(python)
    command = shared_libraries.install_command(missing)
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"setup: {', '.join(missing)} missing; running {' '.join(command)}", flush=True)
        quiet, environment = subprocess.DEVNULL, {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in (["apt-get", "update", "-qq"], command):
            subprocess.run(step, check=False, env=environment, stdin=quiet, stdout=quiet)
        missing = shared_libraries.missing(python)
    if missing:
        print(
            f"setup: opencv and mediapipe need {', '.join(missing)}, not found here; "
            f"do: sudo {' '.join(command)} (Debian, Ubuntu) or install your system's packages of the same libraries",
            file=sys.stderr,
        )
    return not missing


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Install the program into an environment of its own.")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where (default: .venv)")
    parser.add_argument("--extras", default="webrtc", help="pyproject extras to install (default: webrtc)")
    parser.add_argument("--run", nargs=argparse.REMAINDER, help="then start run_stream.py with whatever follows")
    args = parser.parse_args(argv)
    if sys.version_info < OLDEST_PYTHON:
        have = ".".join(map(str, sys.version_info[:3]))
        print(f"setup: Python {have}; expected 3.11 or newer; install it and run this with it", file=sys.stderr)
        return 2
    venv = args.venv.absolute()
    try:
        install(venv, args.extras)
    except subprocess.CalledProcessError as error:
        print(f"setup: installing failed (pip's own words are above): exit {error.returncode}", file=sys.stderr)
        return 2
    if not provide_libraries(environment_python(venv)):
        return 2
    if args.run is None:
        return 0
    return subprocess.run([str(environment_python(venv)), str(ROOT / "run_stream.py"), *args.run]).returncode


if __name__ == "__main__":
    sys.exit(main())
