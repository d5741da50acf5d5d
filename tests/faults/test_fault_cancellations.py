"""A campaign of web checkout notices money and meals that do not agree after a cancellation."""

from __future__ import annotations

import pytest

from tests.faults.cancellations import Cancellation, books

DONE, REFUSED, OPEN = ["cancellation_unknown", ""], ["cancellation_refused"], ["connection broken"]


@pytest.mark.rule("STAT-6", "WEB-6")
@pytest.mark.parametrize(
    ("answers", "refunded", "meals", "found"),
    [
        (DONE, True, 0, []),
        (REFUSED, False, 1, []),
        (DONE, False, 0, ["the charge is not refunded", "canceled at the kitchen, and the charge is not refunded"]),
        (DONE, None, 0, ["the charge is not one of LevelUp"]),
        (DONE, True, 1, ["answered canceled, and the kitchen makes it", "refunded, and the kitchen makes it"]),
        (REFUSED, True, 1, ["refunded, and the kitchen makes it"]),
        (REFUSED, False, 0, ["canceled at the kitchen, and the charge is not refunded"]),
        (OPEN, False, 1, ["no final answer to the cancellation"]),
    ],
)
def test_cancellations_that_are_wrong_are_found(
    answers: list[str], refunded: bool | None, meals: int, found: list[str]
) -> None:
    charges = {} if refunded is None else {"uuid": refunded}
    problems = list(
        books([Cancellation(7, "uuid", answers)], charges, {7: meals}, lambda code: code == "connection broken")
    )
    assert len(problems) == len(found), problems
    assert all(words in problem for words, problem in zip(found, problems, strict=True)), problems


@pytest.mark.rule("STAT-7", "WEB-6")
@pytest.mark.parametrize(("refunded", "meals", "found"), [(True, 0, 0), (False, 1, 0), (False, 0, 1), (True, 1, 1)])
def test_a_site_that_asks_no_more_is_owed_the_same(refunded: bool, meals: int, found: int) -> None:
    left = Cancellation(7, "uuid", OPEN, is_abandoned=True)
    problems = list(books([left], {"uuid": refunded}, {7: meals}, lambda code: code == "connection broken"))
    assert len(problems) == found, problems
