"""One HTML file with everything inside: style, pictures, curves. It asks no host for anything and runs no script."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_STYLE = """
:root { color-scheme: light dark; --ink: #1d1d1b; --quiet: #6b6a66; --paper: #fbfaf7; --card: #fff; --rule: #dedbd3;
  --line: #2f5d8a; --warn: #9a5b00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9e7e2; --quiet: #9d9a93; --paper: #191918; --card: #222221;
  --rule: #3a3936; --line: #8ab8e6; --warn: #e0a94f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; font-weight: 650; }
h2 { font-size: 17px; margin: 36px 0 12px; font-weight: 650; }
h3 { font-size: 13px; margin: 0 0 4px; font-weight: 600; display: flex; justify-content: space-between; gap: 8px; }
h3 b { font-weight: 500; color: var(--quiet); font-variant-numeric: tabular-nums; }
p { margin: 6px 0; } .quiet { color: var(--quiet); } .warn { color: var(--warn); }
.card { background: var(--card); border: 1px solid var(--rule); border-radius: 8px; padding: 12px 14px; }
.curves { display: grid; gap: 12px; grid-template-columns: repeat(auto-fill, minmax(min(100%, 300px), 1fr)); }
.wide { margin-bottom: 12px; overflow-x: auto; } .wide svg { min-width: 640px; }
svg { display: block; width: 100%; height: auto; }
.grid { stroke: var(--rule); stroke-width: 1; } .tick { fill: var(--quiet); font: 10px system-ui, sans-serif; }
.line { fill: none; stroke: var(--line); stroke-width: 1.6; stroke-linejoin: round; }
.band { fill: var(--line); opacity: .18; } .end { fill: var(--line); }
.stage { stroke: var(--quiet); stroke-width: 1; stroke-dasharray: 3 3; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; margin: 0; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
@media (max-width: 560px) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: 8px; } }
figure { margin: 0 0 16px; } figcaption { color: var(--quiet); font-size: 13px; margin-bottom: 4px; }
img { max-width: 100%; height: auto; border: 1px solid var(--rule); border-radius: 6px; background: #fff; }
pre { overflow-x: auto; margin: 0; font: 13px/1.5 ui-monospace, monospace; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 14px; }
th, td { padding: 5px 14px 5px 0; text-align: right; border-bottom: 1px solid var(--rule); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { font-weight: 600; } td small { color: var(--quiet); }
details { margin-top: 12px; } summary { cursor: pointer; color: var(--quiet); }
"""

text = html.escape


def page(title: str, subtitle: str, sections: Iterable[str]) -> str:
    """A whole page. ``title`` and ``subtitle`` are plain text; sections are markup."""
    body = "\n".join(section for section in sections if section)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{text(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{text(title)}</h1>\n"
        f'<p class="quiet">{text(subtitle)}</p>\n{body}\n</main>\n</body>\n</html>\n'
    )


def section(title: str, body: str) -> str:
    """A headed part of a page; nothing when the body is empty."""
    return f"<section>\n<h2>{text(title)}</h2>\n{body}\n</section>" if body else ""


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """Names and values, plain text, as a list in two columns; empty without rows."""
    lines = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in rows)
    return f'<div class="card"><dl>{lines}</dl></div>' if lines else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the head is plain text, cells are markup."""
    top = "".join(f"<th>{text(name)}</th>" for name in head)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>'


def figure(picture: NDArray[np.uint8], caption: str, *, quality: int = 85) -> str:
    """A picture (H, W, 3) uint8 RGB put into the page as WebP."""
    height, width = picture.shape[:2]
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="WEBP", quality=quality, method=4)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return (
        f'<figure><figcaption>{text(caption)}</figcaption><img width="{width}" height="{height}" '
        f'alt="{text(caption)}" src="data:image/webp;base64,{data}"></figure>'
    )


def fold(summary: str, body: str) -> str:
    """Something to be opened by a click."""
    return f"<details><summary>{text(summary)}</summary>\n{body}\n</details>"


def write(path: Path, markup: str) -> Path:
    """Write a page whole or not at all. Raises OSError; an older page is still there then."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(markup, encoding="utf-8")
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    return path
