"""Built engines on disk: what each was built from and for, and whether it may be used here. Knows no runtime.

A plan file is self-describing and checked as a whole::

    magic (8 bytes) | sha256 of the rest (32) | header length (4) | header (JSON) | the runtime's own bytes

A plan is code for a GPU: open none that a stranger gave you. The digest finds damage, not malice.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engines.errors import ModelError
from engines.manifest import Manifest

SUFFIX = ".plan"
PORTABLE = "portable"
"""In place of a compute capability: built for every GPU that the runtime has in its default set."""

_MAGIC = b"APDPLAN1"
_DIGEST, _LENGTH = 32, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanKey:
    """Everything that a plan depends on. Two equal keys may share a plan."""

    model_sha256: str
    """Of the ONNX file's bytes: not only weights make a drawing."""
    backend: str
    """``tensorrt`` or ``tensorrt_rtx``."""
    version: str
    """Of that library."""
    compute_capability: str
    """Such as ``8.9``, or :data:`PORTABLE`."""
    precision: str
    batch: int
    """The most pictures in one run."""
    tf32: bool
    """fp32 products may be rounded to 10 bits first."""
    aux_streams: int
    system: str = f"{sys.platform}-{platform.machine().lower()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    key: PlanKey
    manifest: Manifest
    blob: bytes
    """What the runtime takes."""


_WORDS = {
    "model_sha256": "it was built from another model file",
    "backend": "it was built by {0}, this is {1}",
    "version": "it was built by version {0}, this is {1}",
    "compute_capability": "it was built for compute capability {0}, expected {1}",
    "precision": "it was built in {0}, expected {1}",
    "batch": "it was built for batches up to {0}, expected {1}",
    "tf32": "it was built with TF32 {0}, expected {1}",
    "aux_streams": "it was built with {0} auxiliary streams, expected {1}",
    "system": "it was built on {0}, this is {1}",
}


def mismatch(found: PlanKey, wanted: PlanKey, *, ignore: frozenset[str] = frozenset()) -> str | None:
    """None when a plan serves, else the first reason why not, in words."""
    for field in dataclasses.fields(PlanKey):
        have, want = getattr(found, field.name), getattr(wanted, field.name)
        if field.name in ignore or have == want:
            continue
        return _WORDS[field.name].format(*(_said(value) for value in (have, want)))
    return None


def file_sha256(path: Path) -> str:
    """64 hex digits over a file's bytes. Raises ModelError when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"model {path}: cannot be read: {error.strerror}") from None


def write_plan(path: Path, plan: Plan) -> None:
    """Write a plan; the file appears whole or not at all.

    Raises:
        ModelError: the folder is missing or cannot be written.
    """
    header = json.dumps({"key": dataclasses.asdict(plan.key), "manifest": plan.manifest.to_metadata()}).encode()
    body = len(header).to_bytes(_LENGTH, "little") + header + plan.blob
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(_MAGIC + hashlib.sha256(body).digest() + body)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ModelError(f"{path}: cannot write the plan: {error.strerror}; choose another folder") from None


def read_plan(path: Path) -> Plan:
    """Read a plan and check that it is whole.

    Raises:
        ModelError: missing, no plan of ours, cut short or altered; what to do is said.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"plan {path}: cannot be read: {error.strerror}") from None
    if not data.startswith(_MAGIC):
        raise ModelError(f"plan {path}: not a plan of this program; build one with python -m engines.build")
    digest, body = data[len(_MAGIC) :][:_DIGEST], data[len(_MAGIC) + _DIGEST :]
    if hashlib.sha256(body).digest() != digest:
        raise ModelError(f"plan {path}: cut short or altered since it was written; build it again")
    length = int.from_bytes(body[:_LENGTH], "little")
    try:
        header = json.loads(body[_LENGTH : _LENGTH + length])
        key, manifest = PlanKey(**header["key"]), Manifest.from_metadata(header["manifest"])
    except (ValueError, TypeError, KeyError):
        raise ModelError(f"plan {path}: written by another version of this program; build it again") from None
    return Plan(key=key, manifest=manifest, blob=body[_LENGTH + length :])


def cache_folder() -> Path:
    """Where plans are kept: APDRAWING_CACHE, else the system's folder for caches. It need not exist."""
    if own := os.environ.get("APDRAWING_CACHE"):
        return Path(own)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "apdrawing-live"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "apdrawing-live"


def cached(
    key: PlanKey, manifest: Manifest, *, name: str, build: Callable[[str, str], bytes], say: Callable[[str], None]
) -> tuple[Plan, Path]:
    """The plan for a key: from the cache, or built and kept there. What is stale, foreign or damaged is replaced.

    Args:
        key: of the plan that is wanted.
        manifest: of the model.
        name: of the model, for the file's name.
        build: makes the runtime's bytes; called with the file's name and the reason when none that serves is cached.
        say: takes one line when something is built, with the reason.
    Returns:
        (the plan, the file in the cache where it lies, or would if the folder could be written).
    """
    path = cache_folder() / f"{name}-{key.backend}-{key.precision}{SUFFIX}"
    why = "there is none yet"
    if path.exists():
        try:
            found = read_plan(path)
            reason = mismatch(found.key, key)
            if reason is None:
                return found, path
            why = reason
        except ModelError as error:
            why = str(error).split(": ", 1)[-1]
    say(f"plan {path.name}: {why}; building it")
    return keep(Plan(key=key, manifest=manifest, blob=build(path.name, why)), path, say), path


def keep(plan: Plan, path: Path, say: Callable[[str], None]) -> Plan:
    """Write a plan into the cache; a cache that cannot be written is said and costs the next start a build."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_plan(path, plan)
    except (OSError, ModelError) as error:
        say(f"plan {path.name}: not kept, the next start builds it again ({error})")
    return plan


def _said(value: object) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
