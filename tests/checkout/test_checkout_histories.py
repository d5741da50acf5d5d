"""A user's orders that cannot be read, or not all of them: that proves nothing, and is no reason to wait (WEB-2)."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from tests.channel import Clock
from tests.checkout.site import Site, order
from tests.checkout.test_checkout_interrupted import NOTHING
from tests.checkout.test_checkout_money import DECLINED, LATER, refusal, ruled_out

UNREADABLE: dict[str, tuple[Any, ...]] = {
    "not allowed": (403, [{"error": {"object": "user", "property": "permission", "message": "No.", "code": "x"}}]),
    "not authorized": refusal(401, "permission", None),
    "not found": refusal(404, "orders", None),
    "nothing there": (404, b""),
    "not known": refusal(422, "orders", "base"),
    "no list": (200, {"orders": []}),
    "no JSON": (200, b"<html>"),
}
OLD = {
    "uuid": "0" * 32, "created_at": "2015-01-02T00:00:00Z", "location_id": 77, "spend_amount": 100, "tip_amount": 0,
    "total_amount": 100, "refunded_at": None,
}  # fmt: skip
ODD: dict[str, Any] = {
    "no amount": {"order": {**OLD, "location_id": 11, "total_amount": None}},
    "refunded before": {"order": {**OLD, "location_id": 11, "refunded_at": "2015-01-01T00:00:00Z"}},
    "no place": {"order": {**OLD, "location_id": "eleven"}},
    "no uuid": {"order": {**OLD, "uuid": None}},
    "another currency": {"order": {**OLD, "currency": "CAD", "location_id": None}},
    "no order": {"order": None},
    "no entry": None,
    "elsewhere": {"order": {**OLD, "total_amount": None}},
}


def unknown(site: Site, body: Any, clock: Clock, fault: str = "lost") -> None:
    """A charge that nobody has looked for until its lease is over."""
    site.line.faults["/completed_orders"] = [fault] * 3
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    site.line.faults.clear()
    clock.set(LATER)


def shown(site: Site, entry: Any) -> None:
    """LevelUp's list of the user's orders has ``entry``, too, from now on."""
    whole = site.line._levelup

    def levelup(environ: dict[str, Any], start_response: Any) -> Any:
        answered: list[Any] = []
        answer = list(whole(environ, lambda *head: answered.append(head)))
        (status, headers, *_), body = answered[0], b"".join(answer)
        if environ["PATH_INFO"].endswith("/users/orders") and "page=1" in environ["QUERY_STRING"]:
            status, body = "200 OK", json.dumps([*(json.loads(body) if body else []), entry]).encode()
            headers = [("Content-Type", "application/json"), *(each for each in headers if each[0] == "Link")]
        start_response(status, headers)
        return [body]

    site.line._levelup = levelup  # type: ignore[assignment]


@pytest.mark.rule("WEB-2")
@pytest.mark.parametrize("by", ["the site", "the command"])
@pytest.mark.parametrize("answer", UNREADABLE)
def test_a_charge_is_found_without_the_users_orders(
    site: Site, merchant: str, user: str, clock: Clock, answer: str, by: str
) -> None:
    body = order(merchant, user)
    unknown(site, body, clock)
    site.line.faults["/users/orders"] = [UNREADABLE[answer]] * 9
    if by == "the command":
        assert site.reconcile()[0] == 0
    assert [site.charged(body, "K")["uuid"]] == site.unrefunded() and site.reconcile() == NOTHING


@pytest.mark.rule("WEB-2")
@pytest.mark.parametrize("answer", [*UNREADABLE, "late"])
def test_one_answer_that_shows_nothing_is_not_believed(
    site: Site, merchant: str, user: str, clock: Clock, answer: str
) -> None:
    """It may be the answer to another call; and who does not answer is asked again later."""
    unknown(site, order(merchant, user), clock, "unreached")
    site.line.faults["/users/orders"] = [(504, b"")] * 9 if answer == "late" else [UNREADABLE[answer]]
    assert site.charge(order(merchant, user), "K").refusal == (504, "outcome_unknown", None)
    assert site.unrefunded() == []


@pytest.mark.rule("WEB-2")
@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("is_charged", [True, False])
def test_an_old_order_that_cannot_be_read_is_no_obstacle(
    site: Site, merchant: str, user: str, clock: Clock, what: str, is_charged: bool
) -> None:
    body = order(merchant, user)
    unknown(site, body, clock, "lost" if is_charged else "unreached")
    shown(site, ODD[what])
    if not is_charged:
        # LevelUp says so, and not the list.
        site.line.faults["/completed_orders"] = [DECLINED] * 9
    answers = []
    for _ in range(2):
        answers.append(site.charge(body, "K"))
        clock.now += timedelta(seconds=31)
    if is_charged:
        assert [answers[-1].json["order"]["uuid"]] == site.unrefunded()
        return
    assert answers[-1].refusal[1] in ("card_declined", "outcome_unknown") and site.unrefunded() == []
    # It was there before, so no later look takes it for this charge.
    site.line.faults.clear()
    for minutes in (1, 10, 60, 24 * 60):
        clock.now += timedelta(minutes=minutes)
        site.reconcile()
        assert site.command("cases")[0] == 0
    assert site.reconcile() == NOTHING and site.unrefunded() == []


@pytest.mark.rule("WEB-4")
def test_a_later_look_needs_no_history(site: Site, merchant: str, user: str, clock: Clock) -> None:
    arrive = ruled_out(site, merchant, user, clock)
    arrive()
    clock.now += timedelta(minutes=2)
    site.line.faults["/users/orders"] = [UNREADABLE["not allowed"]] * 9
    assert site.reconcile()[0] == 0
    assert (site.unrefunded(), len(site.refunded())) == ([], 1)


@pytest.mark.rule("WEB-4")
def test_what_cannot_be_looked_for_again_is_a_persons(site: Site, merchant: str, user: str, clock: Clock) -> None:
    ruled_out(site, merchant, user, clock)
    for later, cases in ((timedelta(minutes=2), 0), (timedelta(days=1, minutes=1), 1)):
        clock.now += later
        # Of two answers, one shows nothing.
        site.line.faults["/users/orders"] = [UNREADABLE["no list"]]
        assert site.reconcile()[0] == 1 and site.command("cases")[0] == cases
    assert "unknown whether this was charged" in site.command("cases")[1]
    clock.now += timedelta(minutes=6)
    assert site.reconcile()[0] == 0 and site.command("cases")[0] == 0


@pytest.mark.parametrize("odd", [odd for odd, entry in ODD.items() if entry and entry["order"]])
def test_a_page_is_told_without_what_cannot_be_read(site: Site, merchant: str, user: str, odd: str) -> None:
    uuid = site.charged(order(merchant, user))["uuid"]
    shown(site, ODD[odd])
    page = site.get(f"/users/{user}/orders?page=1")
    assert [each["order"]["uuid"] for each in page["orders"]] == [uuid]
