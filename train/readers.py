"""Where portraits come from: what lies in a folder, told as a list of items before any picture is decoded.

Three kinds of folder are known, each by what is in it:

- *the paper's layout*: ``data/train/NAME.png`` (1024x512 photo | drawing, or a photo of 512x512), with landmarks and
  masks beside, as far as there are any (:mod:`train.folder`);
- *pairs*: photos in ``photo/`` (or ``photos/``, or the folder itself) and drawings of the same names in ``drawing/``,
  ``drawings/``, ``sketch/`` or ``sketches/``; or ``NAME.jpg`` beside ``NAME_drawing.png``. FS2K is read as it comes
  (``anno_train.json``) and as plain pairs with ``FOLDER.json`` beside, which tells each drawing's style;
- *photos*: any other folder of pictures.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from train.folder import SPLITS, beside
from train.pictures import SUFFIXES

DRAWINGS = ("drawing", "drawings", "sketch", "sketches")
PHOTOS = ("photo", "photos")
MARK = "_drawing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One portrait to be prepared."""

    number: int = 0
    """Its place in the sorted folder: decides what is held out, and seeds its variation."""
    name: str
    photo: Path
    drawing: Path | None = None
    aligned: bool = False
    """In the paper's layout: a square of 512 as it should be, and a pair is one picture."""
    points: Path | None = None
    """Landmarks that are known."""
    matte: Path | None = None
    split: str | None = None
    """Where the folder itself tells training from testing."""
    style: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a folder holds."""

    kind: str
    """``paper``, ``pairs`` or ``photos``."""
    items: Sequence[Item]
    skipped: Sequence[str] = field(default=())
    """A line ``file: reason`` for each picture that is no item."""


def find_items(folder: Path, *, style: int | None = None) -> Found:
    """List a folder's portraits, sorted by name.

    Args:
        style: of FS2K's drawings, the only one to take (0 thin pen, 1 bold ink, 2 textured).
    Raises:
        ValueError: no such folder, nothing in it, or no styles where one is asked for.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder of photos, got {'a file' if folder.exists() else 'nothing'}")
    kind, items, skipped = _items(folder)
    if style is not None and all(item.style is None for item in items):
        raise ValueError(f"--style: expected {folder.name}.json or anno_train.json with styles, found none")
    unique, twice = _unique(items)
    numbered = [replace(item, number=i) for i, item in enumerate(unique)]
    chosen = [item for item in numbered if style is None or item.style == style]
    if not chosen:
        raise ValueError(f"{folder}: expected pictures ({', '.join(SUFFIXES)}), found none to prepare")
    return Found(kind=kind, items=chosen, skipped=[*skipped, *twice])


def pictures_of(folder: Path) -> list[Path]:
    """The pictures that lie in a folder itself, sorted."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())


def _items(folder: Path) -> tuple[str, list[Item], list[str]]:
    if any((folder / "data" / split).is_dir() for split in SPLITS):
        return "paper", _paper(folder), []
    if list(folder.glob("anno_*.json")) and (folder / "sketch").is_dir():
        return ("pairs", *_fs2k(folder))
    drawings = next((folder / name for name in DRAWINGS if (folder / name).is_dir()), None)
    photos = next((folder / name for name in PHOTOS if (folder / name).is_dir()), folder)
    if drawings is not None:
        return ("pairs", *_pairs(pictures_of(photos), pictures_of(drawings), _styles(folder)))
    files = pictures_of(folder)
    marked = [p for p in files if p.stem.endswith(MARK)]
    if marked:
        return ("pairs", *_pairs([p for p in files if p not in marked], marked, {}))
    return "photos", [Item(name=p.stem, photo=p) for p in pictures_of(photos)], []


def _paper(root: Path) -> list[Item]:
    items = []
    for split in SPLITS:
        for path in pictures_of(root / "data" / split) if (root / "data" / split).is_dir() else []:
            points, matte = (beside(root, kind, path.stem) for kind in ("landmark", "mask"))
            items.append(
                Item(
                    name=path.stem,
                    photo=path,
                    aligned=True,
                    points=points if points.exists() else None,
                    matte=matte if matte.exists() else None,
                    split=split,
                )
            )
    return items


def _pairs(photos: Iterable[Path], drawings: Iterable[Path], styles: dict[str, int]) -> tuple[list[Item], list[str]]:
    drawn = {p.stem.removesuffix(MARK): p for p in drawings}
    items, skipped = [], []
    for photo in photos:
        drawing = drawn.get(photo.stem)
        if drawing is None:
            skipped.append(f"{photo}: expected a drawing of the same name, got none")
        else:
            items.append(Item(name=photo.stem, photo=photo, drawing=drawing, style=styles.get(photo.stem)))
    names = {item.name for item in items}
    skipped += [f"{p}: expected a photo of the same name, got none" for stem, p in drawn.items() if stem not in names]
    return items, skipped


def _fs2k(root: Path) -> tuple[list[Item], list[str]]:
    """FS2K as its makers pack it: ``photo/photo1/image0001.jpg``, ``sketch/sketch1/sketch0001.jpg``, two tables."""
    items, skipped = [], []
    for split in SPLITS:
        table = root / f"anno_{split}.json"
        for entry in _entries(table, "image_name") if table.is_file() else []:
            photo = root / "photo" / entry["image_name"]
            sketch = root / "sketch" / entry["image_name"].replace("photo", "sketch").replace("image", "sketch")
            found = [_with_suffix(photo), _with_suffix(sketch)]
            if found[0] is None or found[1] is None:
                skipped.append(f"{photo if found[0] is None else sketch}: expected a picture, got no such file")
                continue
            name = entry["image_name"].replace("/", "_")
            items.append(Item(name=name, photo=found[0], drawing=found[1], split=split, style=entry["style"]))
    return sorted(items, key=lambda item: (item.split != "train", item.name)), skipped


def _styles(folder: Path) -> dict[str, int]:
    table = folder.parent / f"{folder.name}.json"
    return {entry["name"]: entry["style"] for entry in _entries(table, "name")} if table.is_file() else {}


def _entries(table: Path, key: str) -> list[dict[str, Any]]:
    """A list of objects with a name and a style. Raises ValueError naming the file."""
    try:
        entries = json.loads(table.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{table}: expected a list of pictures as JSON, got {error}") from None
    fits = isinstance(entries, list) and all(
        isinstance(e, dict) and isinstance(e.get(key), str) and isinstance(e.get("style"), int) for e in entries
    )
    if not fits:
        raise ValueError(f"{table}: expected a list of {{{key!r}: text, 'style': number}}, got something else")
    return list(entries)


def _with_suffix(path: Path) -> Path | None:
    return next((p for s in SUFFIXES if (p := path.with_name(path.name + s)).is_file()), None)


def _unique(items: Iterable[Item]) -> tuple[list[Item], list[str]]:
    """The first of every name; a line for each later one."""
    first: dict[str, Item] = {}
    twice = []
    for item in items:
        if first.setdefault(item.name, item) is not item:
            twice.append(f"{item.photo}: expected one picture of a name, took {first[item.name].photo} already")
    return list(first.values()), twice
