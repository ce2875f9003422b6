"""Dataclasses of plain values from TOML tables and back: every key and type checked, every mistake one line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def overridden(original: T, changes: Mapping[str, Any], where: str) -> T:
    """A table with some keys changed. Raises ValueError for an unknown key or another type."""
    checked = table(type(original), changes, where)
    return replace(original, **{key: getattr(checked, key) for key in changes})  # type: ignore[type-var]


def table(kind: type[T], data: Any, where: str) -> T:
    """Build a dataclass of plain values from a TOML table. Raises ValueError naming the key and what was expected."""
    if not isinstance(data, Mapping):
        raise ValueError(f"{where}: expected a table, got {data!r}")
    hints = get_type_hints(kind)
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    for key in data:
        if key not in names:
            raise ValueError(f"{where} {key}: no such key; expected one of {', '.join(names)}")
    for f in fields(kind):  # type: ignore[arg-type]
        if f.name not in data and f.default is MISSING and f.default_factory is MISSING:
            raise ValueError(f"{where} {f.name}: expected {_words(hints[f.name])}, got nothing")
    return kind(**{key: _value(hints[key], value, f"{where} {key}") for key, value in data.items()})


def write_toml(path: Path, data: Mapping[str, Any]) -> None:
    """Write tables of plain values and arrays of tables; None is left out. The file appears whole or not at all."""
    lines: list[str] = []
    for name, value in data.items():
        for one in value if isinstance(value, list) else [value]:
            lines.append(f"[[{name}]]" if isinstance(value, list) else f"[{name}]")
            lines += [f"{key} = {_toml(v)}" for key, v in one.items() if v is not None]
            lines.append("")
    part = path.with_name(path.name + ".part")
    part.write_text("\n".join(lines), encoding="utf-8")
    part.replace(path)


def _value(kind: Any, value: Any, where: str) -> Any:
    if isinstance(kind, UnionType):
        kind = next(option for option in get_args(kind) if option is not NoneType)
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        wrong = not isinstance(value, Sequence) or isinstance(value, str)
        if wrong or (inner[-1] is not Ellipsis and len(value) != len(inner)):
            raise ValueError(f"{where}: expected {_words(kind)}, got {value!r}")
        return tuple(_value(inner[0] if inner[-1] is Ellipsis else inner[i], v, where) for i, v in enumerate(value))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = get_origin(kind) or kind
    if not isinstance(value, plain) or (isinstance(value, bool) and plain is not bool):
        raise ValueError(f"{where}: expected {_words(kind)}, got {value!r}")
    return value


def _words(kind: Any) -> str:
    if isinstance(kind, UnionType):
        kind = next(option for option in get_args(kind) if option is not NoneType)
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        return f"a list of {_words(inner[0])}" if inner[-1] is Ellipsis else f"a list of {len(inner)} values"
    words = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
    return words.get(kind, "a table")


def override(data: dict[str, Any], text: str) -> None:
    """Set a key, ``TABLE.KEY=VALUE`` with VALUE as TOML or a bare word. Raises ValueError that shows how."""
    name, equals, value = text.partition("=")
    *tables, key = name.strip().split(".")
    if not equals or not tables or not key:
        raise ValueError(f"--set {text}: expected TABLE.KEY=VALUE, for instance run.batch=2")
    place: Any = data
    for part in tables:
        if isinstance(place, list):
            if not part.isdigit() or int(part) >= len(place):
                raise ValueError(f"--set {text}: expected a number below {len(place)} for the stage, got {part}")
            place = place[int(part)]
        elif isinstance(place, dict):
            place = place.setdefault(part, {})
    if not isinstance(place, dict):
        raise ValueError(f"--set {text}: expected TABLE.KEY=VALUE; {'.'.join(tables)} is no table")
    try:
        place[key] = tomllib.loads(f"v = {value}")["v"]
    except tomllib.TOMLDecodeError:
        place[key] = value.strip()


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(v)}" for key, v in value.items() if v is not None) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else repr(value)
