"""Draws what does not grow: ``python -m scripts.flat_cost`` makes a drawing and a table of the bench's figures."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

_DOCS = Path(__file__).resolve().parents[1] / "docs"
DATA = _DOCS / "operating" / "flat_cost.json"
"""What ``python -m bench.flat`` found."""
TABLE = _DOCS / "operating" / "flat_cost.csv"
DRAWING = _DOCS / "images" / "flat_cost.svg"

GROUPS = {"accounts": "accounts", "sqlite": "rows, SQLite", "postgresql": "rows, PostgreSQL"}
"""The groups of figures that have sizes, and what these are of."""
BOUND = 1.1
_LAST = 4.0
"""The largest ratio that is drawn; what is above is drawn there, with its number."""
_LEFT, _WIDTH, _ROW, _TOP = 190, 420, 20, 40
_STYLE = """
  text { fill: #1f2328; font-size: 12px; } .size { fill: #57606a; } .axis { stroke: #d0d7de; }
  .bound { stroke: #9a6700; stroke-dasharray: 4 3; } .some { fill: #57606a; } .most { fill: #0969da; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .size { fill: #b6c2cf; } .axis { stroke: #444c56; } .bound { stroke: #d4a72c; }
    .some { fill: #b6c2cf; } .most { fill: #539bf5; } }
"""


class Row(NamedTuple):
    """A measure: its CPU with the smallest size in microseconds, and the ratios with the two larger ones."""

    name: str
    microseconds: int
    some: float
    most: float


def rows(found: Mapping[str, Any]) -> Iterator[Row]:
    """The measures of a group."""
    for name, figures in found["found"].items():
        yield Row(name, *figures)


def table(data: Mapping[str, Any]) -> str:
    """The figures as comma-separated values."""
    lines = ["work,milliseconds,middle,largest"]
    for group, of in GROUPS.items():
        few, some, most = (f"{size:,}".replace(",", " ") for size in data[group]["sizes"])
        lines.append(f"**{few} / {some} / {most} {of.replace(',', ' in')}**,,,")
        lines += [
            f"{row.name},{row.microseconds / 1000:.2f},{row.some:.2f},{row.most:.2f}" for row in rows(data[group])
        ]
    return "\n".join(lines) + "\n"


def drawing(data: Mapping[str, Any]) -> str:
    """The SVG text."""
    number = sum(len(data[group]["found"]) + 2 for group in GROUPS)
    height = _TOP + number * _ROW
    box = f"0 0 {_LEFT + _WIDTH + 50} {height}"
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" font-family="sans-serif">',
        f"<style>{_STYLE}</style>",
    ]
    for tick in (1.0, 2.0, 3.0, _LAST):
        lines.append(_vertical("axis", tick, height))
        lines.append(f'<text class="size" x="{_x(tick)}" y="16" text-anchor="middle">{tick:g}</text>')
    lines.append(_vertical("bound", BOUND, height))
    y = _TOP
    for group, of in GROUPS.items():
        few, some, most = (f"{size:,}" for size in data[group]["sizes"])
        lines.append(f'<text x="8" y="{y}" font-weight="600">{escape(of)}</text>')
        words = f"gray: {some}, blue: {most}, by {few}"
        lines.append(f'<text class="size" x="{_LEFT + _WIDTH + 42}" y="{y}" text-anchor="end">{words}</text>')
        for row in rows(data[group]):
            y += _ROW
            lines.append(f'<text x="20" y="{y}">{escape(row.name)}</text>')
            for kind, ratio in (("some", row.some), ("most", row.most)):
                lines.append(f'<circle class="{kind}" cx="{_x(ratio)}" cy="{y - 4}" r="4"/>')
            lines.append(f'<text class="size" x="{_LEFT + _WIDTH + 12}" y="{y}">{row.most:.2f}</text>')
        y += 2 * _ROW
    return "\n".join([*lines, "</svg>"]) + "\n"


def _x(ratio: float) -> float:
    return round(_LEFT + _WIDTH * (min(ratio, _LAST) - 0.5) / (_LAST - 0.5), 1)


def _vertical(kind: str, ratio: float, height: int) -> str:
    return f'<line class="{kind}" x1="{_x(ratio)}" y1="24" x2="{_x(ratio)}" y2="{height - _ROW}"/>'


if __name__ == "__main__":
    figures = json.loads(DATA.read_text(encoding="utf-8"))
    TABLE.write_text(table(figures), encoding="utf-8")
    DRAWING.write_text(drawing(figures), encoding="utf-8")
