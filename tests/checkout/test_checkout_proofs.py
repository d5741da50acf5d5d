"""What proves that nothing was charged, and that looking for it neither charges nor keeps a person away."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.channel import Clock
from tests.checkout.site import LOGIN, PAYMENT, Site, order
from tests.checkout.test_checkout_lost_rows import cases, later

HISTORY = "/v15/users/orders"


@pytest.mark.rule("WEB-2")
@pytest.mark.parametrize("answer", [(204, b""), (200, []), "shortened"])
@pytest.mark.parametrize("by", ["the site", "the command"])
def test_a_history_that_lacks_what_must_be_in_it(site: Site, merchant: str, clock: Clock, answer: Any, by: str) -> None:
    user = site.connect_user()
    known = [site.charged(order(merchant, user, identifier=str(number)))["uuid"] for number in range(3)]
    body = order(merchant, site.connect_user(), identifier="LOST")
    site.line.faults["/completed_orders"] = ["lost"] * 3
    assert site.charge(body, "K").refusal[1] == "outcome_unknown"
    site.line.faults.clear()
    if answer == "shortened":
        # Its newest page is lost, and with it the charge that is looked for.
        page = [{"order": _past(site, known[0])}]
        site.line.faults[HISTORY] = [(200, page), (204, b"")] * 20
    else:
        site.line.faults[HISTORY] = [answer] * 40
    for _ in range(3):
        later(clock)
        if by == "the command":
            site.reconcile()
        else:
            site.charge(body, "K")
    assert site.charged(body, "K")["uuid"] not in known
    assert len(site.unrefunded()) == 4


def _past(site: Site, uuid: str) -> Any:
    with site.levelup.store.reading() as transaction:
        (found,) = [each for each in transaction.newest_orders(10) if each.uuid == uuid]
    return {
        "uuid": uuid, "created_at": "2030-06-03T16:00:00Z", "location_id": 11, "spend_amount": 1070, "tip_amount": 0,
        "total_amount": 1070, "refunded_at": found.refunded_at,
    }  # fmt: skip


@pytest.mark.rule("WEB-2")
def test_a_history_that_has_all_of_them_is_proof(site: Site, merchant: str, user: str, clock: Clock) -> None:
    done = site.charged(order(merchant, user))
    assert site.refund(done["uuid"]).status == 200
    site.charged(order(merchant, user))
    site.line.faults["/completed_orders"] = ["unreached"] * 3
    assert site.charge(order(merchant, user, identifier="B"), "K").refusal[1] == "outcome_unknown"
    site.line.faults.clear()
    later(clock)
    assert site.reconcile_twice(clock)[0] == 0
    assert len(site.unrefunded()) == 1 and site.line.count("/completed_orders") == 2 + 3


@pytest.mark.rule("WEB-7")
@pytest.mark.parametrize("permissions", [PAYMENT, LOGIN], ids=["nothing can be read", "orders can be read"])
def test_a_site_that_repeats_keeps_no_person_away(site: Site, merchant: str, clock: Clock, permissions: Any) -> None:
    body = order(merchant, site.connect_user(permissions=permissions))
    site.line.faults["/completed_orders"] = ["lost"] + [(504, b"")] * 10_000
    site.line.faults[HISTORY] = [(500, b"")] * 10_000
    assert site.charge(body, "K").refusal[1] == "outcome_unknown"
    later(clock)
    site.reconcile()
    clock.now += timedelta(days=1)
    assert site.reconcile()[0] == 1
    (case,) = cases(site)
    said = []
    for _ in range(100):
        clock.now += timedelta(seconds=3)
        assert site.charge(body, "K").refusal[1] == "outcome_unknown"
        status, words = site.command("settle", case.id, "--by", "O", "--why", "LevelUp has none")
        said.append(words)
        if status == 0:
            break
    assert status == 0, said
    assert site.charge(body, "K").refusal[1] == "refund_impossible"


@pytest.mark.rule("WEB-2")
@pytest.mark.parametrize("pause", [2, 7])
def test_a_site_that_repeats_does_not_put_the_proof_off(
    site: Site, merchant: str, user: str, clock: Clock, pause: int
) -> None:
    """Nothing was charged, which the user's orders prove once the last attempt is over."""
    body = order(merchant, user)
    site.line.faults["/completed_orders"] = [(202, {})] * 2
    began, waits = clock.now, list[int]()
    while clock.now - began < timedelta(minutes=5):
        answer = site.charge(body, "K")
        if answer.status == 200:
            break
        assert answer.refusal[1] == "outcome_unknown"
        waits.append(int(answer.headers.get("Retry-After", 0)))
        clock.now += timedelta(seconds=pause)
    assert answer.status == 200 and len(site.unrefunded()) == 1, (waits, answer.error["message"])
    assert site.line.count(HISTORY) >= 2 and max(waits) > 30


@pytest.mark.rule("WEB-2")
def test_a_repetition_gets_the_charge_at_once(site: Site, merchant: str, user: str) -> None:
    site.line.faults["/completed_orders"] = ["lost"] * 3
    assert site.charge(order(merchant, user), "K").refusal[1] == "outcome_unknown"
    site.line.faults.clear()
    assert site.charged(order(merchant, user), "K")["uuid"] in site.unrefunded()
