"""What a model file says of itself: the manifest in its ONNX metadata.

It is read by walking the top level of the protobuf file, some thirty lines, instead of asking a library: the answer is
the same whichever runtime is installed, no graph is parsed, a truncated file is noticed before a runtime prints its
own trace, and listing models costs a file read. Writing is rare and happens where ``onnx`` is at hand.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from engines.errors import EngineError, ModelError

Kind = Literal["drawing", "matte"]
Norm = Literal["batch", "instance"]
Weights = Literal["fp32", "fp16"]

FORMAT = "1"
"""Value of the metadata key ``manifest``: the set of keys below and what they mean. Files older than a key lack it."""
NOT_STATED = "not stated"

_NON_COMMERCIAL = re.compile(
    r"non[- ]?commercial|no commercial|\bNC\b|research[- ]only|only for research", re.IGNORECASE
)

# ModelProto and StringStringEntryProto field numbers, fixed by the ONNX standard.
_GRAPH, _METADATA, _KEY, _VALUE = 7, 14, 1, 2
_WIRE_BYTES = 2
_UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Identity of a model."""

    kind: Kind
    """``drawing`` (photo, boxes, matte -> drawing) or ``matte`` (photo -> matte)."""
    family: str
    """Network family, for example ``apdrawinggan``."""
    preset: str
    """``paper``, ``lite``, ... or ``custom``."""
    width: int
    """Base width of the network, channels."""
    norm: Norm
    weights_sha256: str
    """64 hex digits over the tensors it was exported from: the checkpoint's; with ``weights`` fp16 the same folded and
    rounded (:mod:`engines.weights`)."""
    gmac: float
    """Multiply-accumulates of one picture, in units of 1e9, everything in the graph counted."""
    style: str
    licence: str
    data: str
    """What it was trained on, and under which rights."""
    version: str
    """Version of the model, a date or number."""
    weights: Weights = "fp32"
    """How the file stores the kernels. ``fp16``: rounded, half the bytes; engines widen them again and draw in fp32."""
    bf16_ok: bool | None = None
    """OpenVINO bf16 is faster and draws the same, measured by ``python -m engines.verify --record``; None: not yet."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind: expected drawing or matte, got {self.kind!r}")
        if self.norm not in get_args(Norm):
            raise ValueError(f"norm: expected batch or instance, got {self.norm!r}")
        if self.weights not in get_args(Weights):
            raise ValueError(f"weights: expected fp32 or fp16, got {self.weights!r}")
        if self.width < 1 or not self.gmac >= 0:
            raise ValueError(f"expected width >= 1 and gmac >= 0, got {self.width} and {self.gmac}")
        if len(self.weights_sha256) != 64 or set(self.weights_sha256) - set("0123456789abcdef"):
            raise ValueError(f"weights_sha256: expected 64 hex digits, got {self.weights_sha256!r}")

    @property
    def non_commercial(self) -> bool:
        """The licence forbids commercial use."""
        return says_non_commercial(self.licence)

    def to_metadata(self) -> dict[str, str]:
        """Key and text of every field, as they stand in the file."""
        words = {None: _UNKNOWN, True: "true", False: "false"}
        out = {"manifest": FORMAT}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            out[field.name] = words[value] if value is None or isinstance(value, bool) else str(value)
        return out

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Manifest:
        """Read strictly: every key present, every value of its kind. Other keys are left alone.

        Raises:
            ValueError: in words that fit behind a file name.
        """
        if "manifest" not in metadata:
            raise ValueError("holds no manifest; expected a model written by python -m engines.export")
        if metadata["manifest"] != FORMAT:
            raise ValueError(f"manifest format {metadata['manifest']!r}, expected {FORMAT!r}; update this program")
        younger = {"weights"}
        missing = [f.name for f in dataclasses.fields(cls) if f.name not in metadata and f.name not in younger]
        if missing:
            raise ValueError(f"manifest lacks {', '.join(missing)}; export the model again")
        flags = {"true": True, "false": False, _UNKNOWN: None}
        if metadata["bf16_ok"] not in flags:
            raise ValueError(f"bf16_ok: expected true, false or unknown, got {metadata['bf16_ok']!r}")
        return cls(
            kind=cast(Kind, metadata["kind"]),
            family=metadata["family"],
            preset=metadata["preset"],
            width=int(metadata["width"]),
            norm=cast(Norm, metadata["norm"]),
            weights_sha256=metadata["weights_sha256"],
            gmac=float(metadata["gmac"]),
            style=metadata["style"],
            licence=metadata["licence"],
            data=metadata["data"],
            version=metadata["version"],
            weights=cast(Weights, metadata.get("weights", "fp32")),
            bf16_ok=flags[metadata["bf16_ok"]],
        )


def says_non_commercial(text: str) -> bool:
    """Words of a licence, or of the rights in data, that forbid commercial use."""
    return bool(_NON_COMMERCIAL.search(text))


def read_manifest(path: Path) -> Manifest:
    """Manifest of an ONNX file.

    Raises:
        ModelError: the file is missing, is no whole ONNX file, or its manifest cannot be used.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = "it is a directory" if path.is_dir() else (error.strerror or str(error))
        raise ModelError(f"model {path}: expected an ONNX file, but {reason}") from None
    try:
        return Manifest.from_metadata(read_metadata(data))
    except ValueError as error:
        raise ModelError(f"model {path}: {error}") from None


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Replace the manifest of an ONNX file; the file is whole at every moment.

    Raises:
        EngineError: the ``onnx`` package is not installed.
        OSError: the file cannot be read or written.
    """
    try:
        import onnx
    except ImportError:
        raise EngineError("writing a manifest needs the onnx package; pip install onnx") from None
    model = onnx.load(path, load_external_data=False)
    keep = {p.key: p.value for p in model.metadata_props}
    onnx.helper.set_model_props(model, keep | manifest.to_metadata())
    part = path.with_name(path.name + ".part")
    onnx.save(model, part)
    part.replace(path)


def read_metadata(data: bytes) -> dict[str, str]:
    """Metadata of a serialised ONNX ModelProto.

    Raises:
        ValueError: not a whole protobuf message with a graph.
    """
    metadata: dict[str, str] = {}
    has_graph = False
    try:
        for number, payload in _fields(memoryview(data)):
            if number == _GRAPH:
                has_graph = True
            elif number == _METADATA:
                entry = {inner: bytes(text).decode() for inner, text in _fields(payload)}
                metadata[entry.get(_KEY, "")] = entry.get(_VALUE, "")
    except (ValueError, IndexError):
        raise ValueError("not an ONNX file, or cut short; copy or export it again") from None
    if not has_graph:
        raise ValueError("not an ONNX file; expected one written by python -m engines.export")
    return metadata


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(field number, payload) of each length-delimited field of one message; other fields are stepped over."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number == 0 or wire not in (0, 1, _WIRE_BYTES, 5):
            raise ValueError
        if wire == 0:
            _, at = _varint(data, at)
            continue
        if wire == _WIRE_BYTES:
            length, at = _varint(data, at)
        else:
            length = 8 if wire == 1 else 4
        if at + length > len(data):
            raise ValueError
        if wire == _WIRE_BYTES:
            yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError
