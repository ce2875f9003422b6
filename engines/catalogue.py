"""Where models lie and what there is: a name becomes a file here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engines.errors import ModelError
from engines.manifest import Manifest, read_manifest

MODELS = Path(__file__).resolve().parents[1] / "models"
"""The folder of the models that ship, and of those that a user exports."""
DEFAULT = "lite"
"""The model that draws when none is named: one that anybody may use for anything."""
NEEDED = (DEFAULT, "matte")
"""Without these the program cannot start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model file of the models folder."""

    name: str
    """What ``--model`` takes."""
    path: Path
    size: int
    """Bytes."""
    manifest: Manifest | None
    """None when the file cannot be used; ``problem`` says why."""
    problem: str | None = None


def list_models(folder: Path = MODELS) -> list[ModelInfo]:
    """Every ONNX file of a folder, by name; also those that cannot be used, with the reason."""
    found = []
    for path in sorted(folder.glob("*.onnx")):
        try:
            manifest, problem = read_manifest(path), None
        except ModelError as error:
            manifest, problem = None, str(error)
        size = path.stat().st_size
        found.append(ModelInfo(name=path.stem, path=path, size=size, manifest=manifest, problem=problem))
    return found


def find(model: str | Path, *, suffix: str = ".onnx", folder: Path = MODELS) -> Path:
    """The file that a user means: a path, or the name of a model in the models folder.

    Args:
        model: what was given.
        suffix: of the files that names stand for.
        folder: where names are looked up.
    Raises:
        ModelError: there is no such file or name; tells what there is.
    """
    text = str(model).strip()
    is_name = bool(text) and Path(text).name == text and text not in (".", "..")
    if is_name and (named := folder / f"{text}{suffix}").is_file():
        return named
    path = Path(text)
    if text and path.exists():
        return path
    names = ", ".join(p.stem for p in sorted(folder.glob(f"*{suffix}"))) or f"none in {folder.name}/"
    raise ModelError(f"model {text!r}: no such file; expected a path to a model, or one of: {names}")
