"""The pages' figures of what does not grow are the ones that were measured."""

from __future__ import annotations

import json

from scripts.flat_cost import DATA, DRAWING, GROUPS, TABLE, drawing, table

MEASURED = json.loads(DATA.read_text(encoding="utf-8"))


def test_the_drawing_and_the_table_are_those_of_the_figures() -> None:
    assert DRAWING.read_text(encoding="utf-8") == drawing(MEASURED), "run `python -m scripts.flat_cost`"
    assert TABLE.read_text(encoding="utf-8") == table(MEASURED), "run `python -m scripts.flat_cost`"


def test_every_figure_is_in_both() -> None:
    drawn, listed = drawing(MEASURED), table(MEASURED)
    for group in GROUPS:
        for name, (_, some, most) in MEASURED[group]["found"].items():
            assert f">{name}</text>" in drawn and f"{some:.2f},{most:.2f}" in listed
    assert drawn.count("<circle") == 2 * sum(len(MEASURED[group]["found"]) for group in GROUPS)
