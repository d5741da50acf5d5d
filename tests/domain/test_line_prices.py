"""The prices of a provider's lines, in the sequence of the order."""

from __future__ import annotations

import pytest

from levelup_ov.domain.outcome import line_prices


@pytest.mark.rule("MONEY-12")
def test_prices_follow_the_order_and_not_the_provider() -> None:
    held = [(("soda", 1), 250), (("pizza", 2), 2000), (("soda", 1), 200)]
    assert line_prices([("pizza", 2), ("soda", 1), ("soda", 1)], held) == (2000, 250, 200)


@pytest.mark.rule("MONEY-12")
@pytest.mark.parametrize(
    "held",
    [[("pizza", 1000)], [("pizza", 1000), ("pizza", 1000), ("pizza", 0)], [("pizza", 1000), ("soda", 250)]],
    ids=["merged", "split", "another"],
)
def test_merged_split_and_other_lines_have_no_prices(held: list[tuple[str, int]]) -> None:
    assert line_prices(["pizza", "pizza"], held) is None
