"""A network may deliver the call that charges twice: LevelUp refuses it, and charges its copy."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from tests.channel import Clock
from tests.checkout.site import LOGIN, PAYMENT, Site, meal, order
from tests.checkout.test_checkout_money import DECLINED, ledger_of, past, refusal

NOTHING = (0, "0 finished, 0 still unfinished\n")
LOOKS = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1), timedelta(hours=24))
COMPLETED = "/completed_orders"
HISTORY = "/users/orders"


@pytest.fixture(autouse=True)
def _same_time(site: Site, clock: Clock) -> None:
    """LevelUp has about the same time as the service."""
    site.levelup.now = clock.now + timedelta(minutes=5)


def refused(site: Site, body: Any, *, is_copied: bool = True) -> None:
    """LevelUp declines the card of an order; a copy of the call is charged."""
    site.line.faults[COMPLETED] = [("done", *DECLINED) if is_copied else DECLINED]
    assert site.charge(body, "K").refusal == (422, "card_declined", None)


@pytest.mark.rule("WEB-4")
@pytest.mark.parametrize("body", [order, meal])
def test_a_copy_of_a_refused_charge_is_a_persons(
    site: Site, merchant: str, user: str, clock: Clock, body: Callable[..., Any]
) -> None:
    asked = body(merchant, user, discount_amount=0)
    refused(site, asked)
    (stray,) = site.unrefunded()
    # With another card, nobody knows of the copy yet.
    paid = site.charged(asked, "K")["uuid"]
    assert site.reconcile() == NOTHING and site.command("cases")[0] == 0
    clock.now += timedelta(minutes=1)
    for _ in range(2):
        status, said = site.reconcile()
        assert status == 1 and stray in said and paid not in said
    (line,) = (line for line in site.command("cases")[1].splitlines() if "stray_charge" in line)
    assert stray in line and paid not in line
    settle = ("settle", line.split()[0], "--by", "Olive", "--why", "a copy", "--uuid", stray)
    assert site.command(*settle)[0] == 0
    assert (site.reconcile()[0], site.command("cases")[0]) == (0, 0)
    assert (site.unrefunded(), site.refunded()) == ([paid], [stray])


@pytest.mark.rule("WEB-4")
def test_a_refused_charge_is_looked_for_four_times(site: Site, merchant: str, user: str, clock: Clock) -> None:
    refused(site, order(merchant, user), is_copied=False)
    for number, pause in enumerate(LOOKS, start=1):
        assert site.reconcile() == NOTHING
        clock.now += pause
        assert site.reconcile()[1].endswith("1 finished, 0 still unfinished\n")
        with closing(sqlite3.connect(ledger_of(site))) as connection:
            # It is not completed again, so what would do so is not kept.
            assert connection.execute("SELECT looks, body FROM checkout_orders").fetchall() == [(number, None)]
    clock.now += timedelta(days=2)
    assert (site.reconcile(), site.command("cases")[0]) == (NOTHING, 0)


@pytest.mark.rule("WEB-4")
@pytest.mark.parametrize("why", ["not allowed", "refused", "silent", "left", "odd"])
def test_a_refused_charge_is_never_completed_again(site: Site, merchant: str, clock: Clock, why: str) -> None:
    """Nobody may be charged in order to find out, who was told that nothing was."""
    user = site.connect_user(permissions=PAYMENT if why == "not allowed" else LOGIN)
    refused(site, order(merchant, user), is_copied=False)
    answer = {"refused": refusal(403, "user", "permission"), "silent": (503, b""), "odd": (200, [{"order": {}}])}
    if why in answer:
        site.line.faults[HISTORY] = [answer[why]] * 40
    elif why == "left":
        site.call("DELETE", f"/users/{user}")
    sent = site.line.count(COMPLETED)
    for pause in LOOKS:
        clock.now += pause
        # That it cannot be looked for leaves nothing open.
        status, said = site.reconcile()
        assert status == 0 and said.endswith(f"{int(why != 'not allowed')} finished, 0 still unfinished\n")
        assert site.command("cases")[0] == 0
    assert (site.line.count(COMPLETED), site.unrefunded()) == (sent, [])


@pytest.mark.rule("WEB-4")
@pytest.mark.parametrize(
    "other",
    [
        {"created_at": "2030-06-03T14:59:00Z"},
        {"spend_amount": 1069, "total_amount": 1069},
        {"tip_amount": 100, "total_amount": 1170},
        {"location_id": 12},
        {"refunded_at": "2030-06-03T16:20:00Z"},
        {"created_at": "2030-06-04T16:10:00Z"},
    ],
    ids=str,
)
def test_what_is_no_copy_is_no_case(site: Site, merchant: str, user: str, clock: Clock, other: Any) -> None:
    """The diner has paid at the counter, before or after, or in another place."""
    refused(site, order(merchant, user), is_copied=False)
    alike = past({"uuid": "at-the-counter", "spend_amount": 1070, "total_amount": 1070})
    alike["order"]["created_at"] = "2030-06-03T16:10:00Z"
    clock.now += LOOKS[0]
    site.line.faults[HISTORY] = [(200, [{"order": {**alike["order"], **other}}])]
    assert site.reconcile()[0] == 0 and not site.line.faults[HISTORY]
    clock.now += LOOKS[1]
    site.line.faults[HISTORY] = [(200, [alike]), (204, b"")]
    status, said = site.reconcile()
    assert status == 1 and "at-the-counter" in said


TWICE = "two_charges_for_one_order"


def twin(**members: Any) -> Any:
    """Another charge of the same amounts in the user's history."""
    alike = past({"uuid": "twin", "spend_amount": 1070, "total_amount": 1070})
    return {"order": {**alike["order"], "created_at": "2030-06-03T16:00:00Z", **members}}


@pytest.mark.rule("WEB-2", "WEB-4")
@pytest.mark.parametrize("when", ["in the request", "later"])
@pytest.mark.parametrize(
    ("other", "is_told"), [({}, True), ({"location_id": 12}, False), ({"created_at": "2030-06-02T16:00:00Z"}, False)]
)
def test_a_charge_that_was_made_twice_is_told(
    site: Site, merchant: str, user: str, caplog: pytest.LogCaptureFixture, clock: Clock, when: str, other: Any,
    is_told: bool,
) -> None:  # fmt: skip
    """LevelUp does not promise to return the same order when it is completed again."""
    asked = order(merchant, user, discount_amount=0)
    if when == "in the request":
        site.line.faults[COMPLETED] = ["lost"]
    else:
        site.line.faults[COMPLETED] = ["lost"] * 3
        assert site.charge(asked, "K").error["code"] == "outcome_unknown"
        clock.now += timedelta(minutes=2)
    site.line.faults[HISTORY] = [(200, [twin(**other)]), (204, b"")]
    paid = site.charged(asked, "K")["uuid"]
    assert site.unrefunded() == [paid]
    assert (TWICE in caplog.messages) is is_told


@pytest.mark.rule("WEB-2", "WEB-4")
def test_a_charge_that_was_made_once_is_not_told_as_two(
    site: Site, merchant: str, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    for answer in ([], ["unreached"], ["lost"], ["lost"]):
        site.line.faults[COMPLETED] = answer
        site.charged(order(merchant, user, discount_amount=0), f"K{len(site.unrefunded())}")
    site.line.faults[COMPLETED] = ["lost"]
    # That they cannot be read changes nothing.
    site.line.faults[HISTORY] = [(503, b"")] * 9
    site.charged(order(merchant, user, discount_amount=0), "L")
    assert TWICE not in caplog.messages and len(site.unrefunded()) == 5


@pytest.mark.rule("WEB-2", "WEB-4")
@pytest.mark.parametrize("by", ["site", "command"])
def test_a_refusal_of_what_the_history_shows_is_a_persons(
    site: Site, merchant: str, user: str, clock: Clock, by: str
) -> None:
    """LevelUp declines the card, and shows a charge of the same amount: one of the two is not true."""
    asked = order(merchant, user, discount_amount=0)
    site.line.faults[COMPLETED] = ["lost"] * 3
    assert site.charge(asked, "K").error["code"] == "outcome_unknown"
    (paid,) = site.unrefunded()
    for _ in range(3):
        clock.now += timedelta(minutes=2)
        site.line.faults[COMPLETED] = [DECLINED] * 9
        if by == "site":
            assert site.charge(asked, "K").error["code"] == "outcome_unknown"
        status, said = site.reconcile()
        assert status == 1 and paid in said
    (line,) = (line for line in site.command("cases")[1].splitlines() if "charge_unproven" in line)
    assert paid in line and site.unrefunded() == [paid]
    clock.now += timedelta(minutes=10)
    assert site.command("settle", line.split()[0], "--by", "Olive", "--why", "it is this", "--uuid", paid)[0] == 0
    assert (site.reconcile()[0], site.command("cases")[0], site.refunded()) == (0, 0, [paid])


@pytest.mark.rule("WEB-4")
@pytest.mark.parametrize("by", ["site", "command"])
def test_a_case_rests_however_often_it_is_asked_about(
    site: Site, merchant: str, user: str, clock: Clock, by: str
) -> None:
    """A person must find a moment in which nothing that was sent can arrive."""
    asked = order(merchant, user, discount_amount=0)
    site.line.faults[COMPLETED] = ["lost"] * 3
    assert site.charge(asked, "K").error["code"] == "outcome_unknown"
    clock.now += timedelta(minutes=10)
    site.line.faults[COMPLETED] = [DECLINED] * 99
    assert site.reconcile()[0] == 1
    sent = site.line.count(COMPLETED)
    for _ in range(20):
        clock.now += timedelta(seconds=5)
        told = site.charge(asked, "K").error["code"] if by == "site" else site.reconcile()[0]
        assert told == ("outcome_unknown" if by == "site" else 1)
    assert site.line.count(COMPLETED) == sent
    clock.now += timedelta(minutes=10)
    assert site.reconcile()[0] == 1 and site.line.count(COMPLETED) > sent


@pytest.mark.rule("WEB-4", "WEB-2")
def test_a_retry_of_unknown_outcome_is_no_copy(site: Site, merchant: str, user: str, clock: Clock) -> None:
    asked = order(merchant, user, discount_amount=0)
    refused(site, asked, is_copied=False)
    clock.now += timedelta(seconds=30)
    site.line.faults[COMPLETED] = [*["lost"] * 3, *[(503, b"")] * 9]
    assert site.charge(asked, "K").error["code"] == "outcome_unknown"
    clock.now += timedelta(seconds=31)
    assert (site.reconcile()[0], site.command("cases")[0], len(site.unrefunded())) == (0, 0, 1)
    site.line.faults.clear()
    paid = site.charged(asked, "K")["uuid"]
    clock.now += timedelta(minutes=2)
    assert (site.reconcile()[0], site.command("cases")[0], site.unrefunded()) == (0, 0, [paid])


@pytest.mark.rule("WEB-4")
def test_what_a_person_took_for_no_copy_is_no_case_again(site: Site, merchant: str, user: str, clock: Clock) -> None:
    refused(site, order(merchant, user, discount_amount=0))
    clock.now += LOOKS[0]
    assert site.reconcile()[0] == 1
    id = site.command("cases")[1].split()[0]
    assert site.command("settle", id, "--by", "Olive", "--why", "a meal at the counter")[0] == 0
    for pause in LOOKS[1:]:
        clock.now += pause
        assert (site.reconcile()[0], site.command("cases")[0]) == (0, 0)
    assert len(site.unrefunded()) == 1
