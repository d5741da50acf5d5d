"""Opening hours as the contract has them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levelup_ov.domain.location import WEEKDAYS, Location, Span, Weekday, opening_hours, unknown_hours

DAY = 24 * 60
WEEK = 7 * DAY
SPANS = st.lists(st.tuples(st.sampled_from(WEEKDAYS), st.integers(0, DAY - 1), st.integers(0, DAY)), max_size=8)


def _minutes(day: Weekday, opens_at: int, closes_at: int) -> set[int]:
    start = WEEKDAYS.index(day) * DAY + opens_at
    length = closes_at - opens_at if closes_at > opens_at else closes_at + DAY - opens_at
    return {minute % WEEK for minute in range(start, start + length)}


@pytest.mark.rule("LOC-2")
@given(SPANS)
def test_hours_cover_exactly_the_minutes_that_were_said(spans: list[tuple[Weekday, int, int]]) -> None:
    hours = opening_hours(spans)
    assert list(hours) == list(WEEKDAYS)
    covered = {
        WEEKDAYS.index(day) * DAY + minute
        for day, found in hours.items()
        for span in found or ()
        for minute in range(span.opens_at, span.closes_at)
    }
    assert covered == set().union(*(_minutes(*span) for span in spans))
    assert all(list(found) == sorted(found, key=lambda span: span.opens_at) for found in hours.values() if found)


@pytest.mark.rule("LOC-2")
def test_a_span_over_midnight_is_split_in_two() -> None:
    hours = opening_hours([("sunday", 18 * 60, 2 * 60), ("monday", 11 * 60, 0)])
    assert hours["sunday"] == (Span(18 * 60, DAY),)
    assert hours["monday"] == (Span(0, 2 * 60), Span(11 * 60, DAY))
    assert hours["tuesday"] == ()


@pytest.mark.rule("LOC-2")
def test_unknown_is_not_closed() -> None:
    assert unknown_hours() == dict.fromkeys(WEEKDAYS)
    assert set(opening_hours([]).values()) == {()}


@pytest.mark.rule("LOC-2")
@pytest.mark.parametrize("opens_at, closes_at", [(-1, 5), (5, 5), (6, 5), (0, DAY + 1)])
def test_a_span_lies_within_one_day(opens_at: int, closes_at: int) -> None:
    with pytest.raises(ValueError):
        Span(opens_at, closes_at)


@pytest.mark.rule("EP-12")
def test_a_location_fulfils_only_what_it_says() -> None:
    location = Location("1", "One", fulfills_pickups=False, fulfills_deliveries=True)
    assert [location.fulfills(kind) for kind in ("pickup", "delivery", "drone", "")] == [False, True, False, False]


@pytest.mark.rule("MONEY-4")
def test_tips_are_taken_by_kind_of_order_and_never_by_silence() -> None:
    location = Location("1", "One", accepts_tips_on_pickup=True, accepts_tips_on_delivery=False)
    assert location.accepts_tips("pickup") and not location.accepts_tips("delivery")
    assert not Location("1", "One").accepts_tips("pickup")


@pytest.mark.rule("LOC-2")
@given(SPANS)
def test_spans_of_a_day_do_not_touch(spans: list[tuple[Weekday, int, int]]) -> None:
    for found in opening_hours(spans).values():
        assert all(before.closes_at < after.opens_at for before, after in zip(found or (), (found or ())[1:]))


@pytest.mark.rule("LOC-2")
def test_a_span_that_opens_at_the_end_of_a_day_is_of_the_next() -> None:
    hours = opening_hours([("sunday", DAY, 60), ("tuesday", DAY, 0), ("friday", 0, DAY), ("friday", DAY, DAY)])

    assert hours["monday"] == (Span(0, 60),) and hours["wednesday"] == ()
    assert hours["friday"] == hours["saturday"] == (Span(0, DAY),)
