"""Draws the packages and how they import one another: ``make architecture`` writes ``docs/images/architecture.svg``."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

DRAWING = Path(__file__).resolve().parents[1] / "docs" / "images" / "architecture.svg"


class Box(NamedTuple):
    """A box of the drawing: its column and row, its title, what it does, and the packages in it."""

    column: float
    row: float
    title: str
    text: str
    packages: tuple[str, ...]


BOXES = {
    "http": Box(1, 0, "blueprints, schemas, ucp", "HTTP: channel and agents", ("blueprints", "schemas", "ucp")),
    "ordering": Box(3, 1, "ordering", "validate, submit, reconcile", ("ordering",)),
    "adapters": Box(3, 2, "adapters", "one class for each provider", ("adapters", "adapter", "registry")),
    "transport": Box(2, 2, "transport", "connections, deadlines, retries", ("transport",)),
    "sessions": Box(2, 0, "sessions", "baskets of agents, until ordered", ("sessions",)),
    "ledger": Box(2, 1, "ledger", "one row for each submission", ("ledger",)),
    "domain": Box(1, 2, "domain, errors", "money, times, orders, menus", ("domain", "errors")),
    "standins": Box(0, 1, "standins", "sandbox, LevelUp, sample shop", ("standins",)),
    "checkout": Box(3, 0, "checkout", "LevelUp: connect, charge, refund", ("checkout",)),
    "events": Box(1, 1, "events", "to the channel and operators", ("events",)),
    "workbench": Box(0, 0, "workbench, console", "pages for partners and operators", ("workbench", "console")),
    "screens": Box(0, 2, "screens", "one style for all pages", ("screens",)),
}
ARROWS = (
    ("workbench", "http"), ("workbench", "standins"), ("standins", "screens"), ("standins", "domain"),
    ("http", "sessions"), ("http", "events"), ("http", "ordering"), ("sessions", "checkout"),
    ("checkout", "ordering"), ("ordering", "adapters"), ("ordering", "ledger"), ("adapters", "transport"),
    ("events", "ledger"), ("events", "transport"), ("ledger", "domain"), ("transport", "domain"),
)  # fmt: skip
"""Each arrow is an import. An import is not drawn if a path of arrows leads to the same box."""

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 225, 64, 40, 60, 20
_STYLE = """
  .box { fill: #f4f6f8; stroke: #57606a; } .title { fill: #1f2328; font-weight: 600; } .text, .edge { fill: #57606a; }
  .arrow { stroke: #57606a; fill: none; }
  @media (prefers-color-scheme: dark) {
    .box { fill: #22272e; stroke: #909dab; } .title { fill: #e6edf3; } .text, .edge { fill: #b6c2cf; }
    .arrow { stroke: #909dab; } }
"""


def drawing() -> str:
    """The SVG text."""
    width = 4 * _WIDTH + 3 * _GAP_X + 2 * _MARGIN
    rows = 1 + max(round(box.row) for box in BOXES.values())
    height = rows * _HEIGHT + (rows - 1) * _GAP_Y + 2 * _MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path class="edge" d="M0 0 L8 4 L0 8 z"/></marker></defs>',
    ]
    for box in BOXES.values():
        x, y = _corner(box)
        lines.append(f'<rect class="box" x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="8"/>')
        lines.append(f'<text class="title" font-size="13" x="{x + 12:g}" y="{y + 27:g}">{box.title}</text>')
        lines.append(f'<text class="text" x="{x + 12:g}" y="{y + 48:g}" font-size="11.5">{box.text}</text>')
    lines += [_arrow(BOXES[source], BOXES[target]) for source, target in ARROWS]
    return "\n".join([*lines, "</svg>", ""])


def _corner(box: Box) -> tuple[float, float]:
    return _MARGIN + box.column * (_WIDTH + _GAP_X), _MARGIN + box.row * (_HEIGHT + _GAP_Y)


def _arrow(source: Box, target: Box) -> str:
    (x, y), (to_x, to_y) = _corner(source), _corner(target)
    if source.row == target.row:
        middle = y + _HEIGHT / 2
        begin, end = ((x + _WIDTH, middle), (to_x, middle)) if to_x > x else ((x, middle), (to_x + _WIDTH, middle))
    elif source.row < target.row:
        begin, end = (x + _WIDTH / 2, y + _HEIGHT), (to_x + _WIDTH / 2, to_y)
    else:
        begin, end = (x + _WIDTH / 2, y), (to_x + _WIDTH / 2, to_y + _HEIGHT)
    path = f"M{begin[0]:g} {begin[1]:g} L{end[0]:g} {end[1]:g}"
    return f'<path class="arrow" marker-end="url(#tip)" d="{path}"/>'


if __name__ == "__main__":
    DRAWING.write_text(drawing(), encoding="utf-8")
