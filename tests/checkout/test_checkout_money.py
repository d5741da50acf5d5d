"""Money follows proof: what LevelUp's answers prove, and what becomes of what they do not."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest

from levelup_ov.checkout.charges import Absence, Charges
from levelup_ov.checkout.leases import Leases
from levelup_ov.checkout.store import CheckoutStore, StoredOrder
from levelup_ov.errors import Unanswered
from levelup_ov.ledger.boot_clock import Observer
from levelup_ov.standins.levelup.world import REFUND_TIPS
from levelup_ov.transport.session import Session
from tests.channel import Clock
from tests.checkout.conftest import MakeSite
from tests.checkout.site import PAYMENT, Site, meal, order
from tests.stopwatch import within

REFUSED = "sandbox:sold-out"
UNREACHED: list[str | tuple[Any, ...]] = ["unreached"] * 3
LATER, TWO_DAYS_LATER = "2030-06-03T16:05Z", "2030-06-05T18:00Z"


def refusal(status: int, object: str | None, property: str | None) -> tuple[int, Any]:
    named = {"object": object, "property": property, "message": "No.", "code": "x"}
    return status, [{"error": {name: value for name, value in named.items() if value is not None}}]


DECLINED = refusal(422, "order", "base")


def past(charged: Any) -> Any:
    """Our order as a user's history has it."""
    amounts = {name: charged[name] for name in ("uuid", "spend_amount", "total_amount")}
    return {"order": {"created_at": "2026-11-20T17:00:00Z", "location_id": 11, **amounts}}


# What a charge is believed by.


@pytest.mark.rule("WEB-1")
@pytest.mark.parametrize(
    "member",
    [
        {"spend_amount": 1, "total_amount": 1},
        {"spend_amount": 1069, "total_amount": 1069},
        {"spend_amount": 1070, "tip_amount": 0, "total_amount": 1070},
        {"total_amount": 1271},
        {"spend_amount": "1070"},
        {"spend_amount": -1070},
        {"uuid": None},
        {"uuid": "../refund"},
        {"gift_card_total_amount": 9999},
        {"currency": "EUR"},
    ],
    ids=str,
)
def test_a_charge_that_is_not_as_asked_is_not_believed(
    site: Site, merchant: str, user: str, member: Any, clock: Clock
) -> None:
    site.line.changes["/completed_orders"] = [member]
    body = meal(merchant, user, tip_amount=200)
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    assert (len(site.unrefunded()), site.meals()) == (1, 0)
    done = site.charged(body, "K")
    assert (done["state"], done["total_amount"], site.meals()) == ("submitted", 1270, 1)


@pytest.mark.rule("WEB-1")
def test_no_meal_is_placed_for_another_amount_than_asked(site: Site, merchant: str, user: str) -> None:
    half = {"spend_amount": 535, "total_amount": 535}
    site.line.changes["/completed_orders"] = [half, half]
    body = meal(merchant, user)
    site.charge(body, "K")
    answer = site.charge(body, "K")
    assert answer.refusal[:2] == (502, "provider_protocol_error") and "535" in answer.error["message"]
    assert (site.unrefunded(), len(site.refunded()), site.meals()) == ([], 1, 0)
    reported = site.get(f"/orders/{site.refunded()[0]}")["order"]
    assert (reported["total_amount"], reported["user_pays_amount"], reported["state"]) == (535, 335, "refunded")


@pytest.mark.rule("WEB-1")
@pytest.mark.parametrize("written", [str.lower, str.upper])
def test_a_uuid_belongs_to_one_order(
    site: Site, merchant: str, user: str, caplog: pytest.LogCaptureFixture, written: Callable[[str], str]
) -> None:
    first = site.charged(order(merchant, user, discount_amount=0))["uuid"]
    site.line.changes["/completed_orders"] = [{"uuid": written(first)}]
    body = order(merchant, user, discount_amount=0)
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    assert any(message == "charge_of_another_order" for message in caplog.messages)
    assert site.charged(body, "K")["uuid"] != first
    assert len(site.unrefunded()) == 2


@pytest.mark.rule("WEB-1")
@pytest.mark.parametrize("status", [202, 203, 204, 206])
def test_a_status_that_is_not_documented_proves_nothing(site: Site, merchant: str, user: str, status: int) -> None:
    reported = {"order": {"uuid": "u", "spend_amount": 1070, "tip_amount": 0, "total_amount": 1070}}
    site.line.faults["/completed_orders"] = [(status, reported if status != 204 else b"")]
    body = order(merchant, user)
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    assert [site.charged(body, "K")["uuid"]] == site.unrefunded()


@pytest.mark.rule("WEB-1")
def test_a_currency_is_named_or_refused(site: Site, merchant: str, user: str) -> None:
    assert site.charge(order(merchant, user, currency="EUR")).refusal == (422, "invalid_member", "$.order.currency")
    assert not site.line.count("orders")
    assert site.charged(order(merchant, user, currency="USD"))["currency"] == "USD"


# What "not charged" is believed by.


@pytest.mark.rule("WEB-2")
@pytest.mark.parametrize("lost", ["lost", (504, b"")])
def test_a_decline_after_an_attempt_without_answer_is_unknown(
    site: Site, merchant: str, user: str, clock: Clock, lost: Any
) -> None:
    site.line.faults["/completed_orders"] = [lost, DECLINED, DECLINED]
    body = order(merchant, user)
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    clock.set(LATER)
    assert site.reconcile()[0] == 0
    assert site.charged(body, "K")["uuid"] in site.unrefunded()
    assert len(site.unrefunded()) == 1


@pytest.mark.rule("WEB-2")
@pytest.mark.parametrize(
    "words",
    [("user", "email"), ("refund", "base"), (None, None), ("order", "proposed_order_uuid"), ("order", "refunded_at")],
    ids=str,
)
def test_words_that_prove_nothing_leave_it_unknown(
    site: Site, merchant: str, clock: Clock, words: tuple[str | None, str | None]
) -> None:
    user = site.connect_user(permissions=PAYMENT)
    site.line.faults["/completed_orders"] = ["lost", "lost", "lost", *[refusal(422, *words)] * 2]
    body = order(merchant, user)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    clock.set(LATER)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    status, said = site.reconcile()
    assert status == 1 and "still charging" in said
    # It cannot be known: that is reported at every run, until LevelUp says something that proves it.
    assert site.app.test_cli_runner().invoke(args=["checkout", "cases"]).exit_code == 1
    assert [site.charged(body, "K")["uuid"]] == site.unrefunded()
    assert site.app.test_cli_runner().invoke(args=["checkout", "cases"]).exit_code == 0


@pytest.mark.rule("WEB-2")
@pytest.mark.parametrize("words", [("user", "email"), ("refund", "base"), (None, None)], ids=str)
def test_first_words_that_prove_nothing_leave_it_unknown(
    site: Site, merchant: str, user: str, words: tuple[str | None, str | None]
) -> None:
    site.line.faults["/completed_orders"] = [refusal(422, *words)]
    body = order(merchant, user)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    assert [site.charged(body, "K")["uuid"]] == site.unrefunded()


@pytest.mark.rule("WEB-4")
@pytest.mark.parametrize("can_read", [True, False])
def test_a_charge_without_a_waiting_request_is_not_kept(
    site: Site, merchant: str, clock: Clock, can_read: bool
) -> None:
    user = site.connect_user(permissions=(*PAYMENT, *["read_user_orders"] * can_read))
    site.line.faults["/completed_orders"] = UNREACHED[:]
    assert site.charge(order(merchant, user), "K").error["code"] == "outcome_unknown"
    clock.set(TWO_DAYS_LATER)
    assert (site.reconcile_twice(clock) if can_read else site.reconcile())[0] == 0
    assert (site.unrefunded(), len(site.refunded())) == ([], 0 if can_read else 1)


@pytest.mark.rule("WEB-2")
@pytest.mark.parametrize("charged", [1, 535, 1069, 1071])
def test_another_amount_whose_answer_is_lost_is_found(
    site: Site, merchant: str, user: str, clock: Clock, charged: int
) -> None:
    site.line.faults["/completed_orders"] = ["lost"] * 3
    body = meal(merchant, user, discount_amount=0)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    with site.levelup.store.writing() as transaction:
        transaction._run("UPDATE orders SET spend = ?", (charged,))
    # It is reported twice before it is believed, and goes back.
    for when, status in ((LATER, 1), (TWO_DAYS_LATER, 0)):
        clock.set(when)
        assert site.reconcile()[0] == status
    assert (site.unrefunded(), len(site.refunded()), site.meals()) == ([], 1, 0)
    assert site.charge(body, "K").refusal[:2] == (502, "provider_protocol_error")


@pytest.mark.rule("WEB-2")
def test_a_history_that_cannot_be_read_proves_nothing(site: Site, merchant: str, user: str, clock: Clock) -> None:
    site.line.faults["/completed_orders"] = ["lost"] * 3
    body = order(merchant, user)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    clock.set(LATER)
    site.line.faults["/users/orders"] = [refusal(401, None, "user_token")]
    assert [site.charged(body, "K")["uuid"]] == site.unrefunded()


@pytest.mark.rule("WEB-2")
def test_a_history_without_links_is_read_to_its_end(site: Site, merchant: str, user: str, clock: Clock) -> None:
    site.line.drops.add("link")
    site.line.faults["/completed_orders"] = ["lost"] * 3
    body = order(merchant, user)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    (charged,) = site.unrefunded()
    # As many as the newest page has.
    for number in range(10):
        site.charged(order(merchant, user, identifier=f"later {number}"))
    clock.set(LATER)
    assert site.charged(body, "K")["uuid"] == charged


@pytest.mark.rule("WEB-2")
def test_a_history_that_ends_in_a_refusal_proves_nothing(site: Site, merchant: str, user: str, clock: Clock) -> None:
    known = past(site.charged(order(merchant, user)))
    site.line.faults["/completed_orders"] = ["lost"] * 3
    body = order(merchant, user, identifier="second")
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    (charged,) = {*site.unrefunded()} - {known["order"]["uuid"]}
    clock.set(LATER)
    # The page with the charge is refused: documented is an empty page at the end, and no 404.
    site.line.faults["/users/orders"] = [(200, [known]), refusal(404, "order", "id")] * 2
    assert site.charged(body, "K")["uuid"] == charged and not site.line.faults["/users/orders"]


@pytest.mark.rule("WEB-2")
@pytest.mark.parametrize("is_empty", [True, False])
def test_that_there_is_no_charge_is_read_twice(
    site: Site, merchant: str, user: str, clock: Clock, is_empty: bool
) -> None:
    known = site.charged(order(merchant, user))
    site.line.faults["/completed_orders"] = ["lost"] * 3
    body = order(merchant, user, identifier="second")
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    clock.set(LATER)
    site.line.faults["/users/orders"] = [(200, [] if is_empty else [past(known)])]
    assert site.charged(body, "K")["uuid"] in site.unrefunded()
    assert len(site.unrefunded()) == 2


@pytest.mark.rule("WEB-4")
def test_what_a_person_has_settled_is_not_charged_again(site: Site, merchant: str, clock: Clock) -> None:
    user = site.connect_user(permissions=PAYMENT)
    site.line.faults["/completed_orders"] = UNREACHED[:]
    body = order(merchant, user)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    clock.set(LATER)
    site.line.faults["/completed_orders"] = [refusal(422, "user", "email")]
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    id = site.command("cases")[1].split()[0]
    assert site.command("settle", id, "--by", "Olive", "--why", "none at LevelUp")[0] == 0
    for _ in range(2):
        answer = site.charge(body, "K")
        assert answer.refusal == (502, "refund_impossible", None) and "operator has settled" in answer.error["message"]
    assert site.refund(id).error["code"] == "refund_impossible"
    assert (site.unrefunded(), site.get(f"/orders/{id}")["order"]["state"]) == ([], "settled")
    # Its content is free: another key is another order.
    assert site.charged(body, "L")["uuid"] in site.unrefunded()


@pytest.mark.rule("WEB-2")
@pytest.mark.parametrize("can_read", [True, False])
def test_that_there_is_no_charge_is_seen_for_a_grace(site: Site, merchant: str, clock: Clock, can_read: bool) -> None:
    """LevelUp was frozen with the call in its queue, and answers a look-up first when it wakes."""
    user = site.connect_user(permissions=(*PAYMENT, *["read_user_orders"] * can_read))
    kept: list[Any] = []
    site.line.keeps["/completed_orders"] = kept
    body = order(merchant, user)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    site.line.keeps.clear()
    site.line.faults["/completed_orders"] = [DECLINED]
    clock.set(LATER)
    answer = site.charge(body, "K")
    assert answer.error["code"] == "outcome_unknown" and 30 <= int(answer.headers["Retry-After"]) <= 31
    kept[0]()
    site.line.faults.clear()
    clock.now += timedelta(seconds=31)
    assert [site.charged(body, "K")["uuid"]] == site.unrefunded()


@pytest.mark.rule("WEB-2")
def test_no_charge_is_given_up_before_its_lease_is_over(site: Site, merchant: str, clock: Clock) -> None:
    user = site.connect_user(permissions=PAYMENT)
    site.line.faults["/completed_orders"] = [*UNREACHED, *[DECLINED] * 9]
    body = order(merchant, user)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    for seconds, left in ((0, 31), (40, 15)):
        clock.now += timedelta(seconds=seconds)
        answer = site.charge(body, "K")
        assert answer.error["code"] == "outcome_unknown" and answer.headers["Retry-After"] == str(left)
    clock.now += timedelta(seconds=15)
    assert site.charge(body, "K").error["code"] == "card_declined"


@pytest.mark.rule("WEB-2")
@pytest.mark.parametrize("can_read", [True, False])
def test_no_charge_is_given_up_while_one_may_arrive(
    site: Site, merchant: str, clock: Clock, can_read: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another host completes the proposed order, and its answer is lost, between a last look-up and its conclusion."""
    user = site.connect_user(permissions=(*PAYMENT, *["read_user_orders"] * can_read))
    site.line.faults["/completed_orders"] = UNREACHED[:]
    body = order(merchant, user)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    clock.set(LATER)
    site.line.faults["/completed_orders"] = [DECLINED] * 3
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    clock.now += timedelta(seconds=31)
    give_up = Charges.give_up

    def interrupted(charges: Charges, absence: Absence) -> None:
        mark = charges._leases.new()
        assert charges._store.change_order(absence.order.id, ("charging",), values={"sent": mark, "held": mark})
        give_up(charges, absence)

    monkeypatch.setattr(Charges, "give_up", interrupted)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    monkeypatch.undo()
    site.line.faults.clear()
    clock.now += timedelta(minutes=2)
    for _ in range(1 + can_read):
        last = site.charge(body, "K")
        clock.now += timedelta(seconds=31)
    assert [site.done(last)["order"]["uuid"]] == site.unrefunded()


# What was ruled out is looked for again.


def ruled_out(site: Site, merchant: str, user: str, clock: Clock) -> Any:
    """A charge of which LevelUp says that it never came; what charges it, later."""
    kept: list[Any] = []
    site.levelup.now = clock.now
    site.line.keeps["/completed_orders"] = kept
    body = order(merchant, user, discount_amount=0)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    del site.line.keeps["/completed_orders"]
    clock.set(LATER)
    site.line.faults["/completed_orders"] = [DECLINED] * 3
    assert site.reconcile_twice(clock)[0] == 0
    site.line.faults.clear()
    return kept[0]


@pytest.mark.rule("WEB-4")
def test_a_stray_charge_that_is_known_by_its_uuid_goes_back(
    site: Site, merchant: str, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    arrive = ruled_out(site, merchant, site.connect_user(permissions=PAYMENT), clock)
    arrive()
    assert len(site.unrefunded()) == 1
    clock.set("2030-06-03T16:07Z")
    site.reconcile()
    assert (site.unrefunded(), len(site.refunded())) == ([], 1)
    assert any(message == "charge_exists_but_ruled_out" for message in caplog.messages)


@pytest.mark.rule("WEB-4")
def test_a_stray_charge_that_only_looks_like_it_is_a_persons(
    site: Site, merchant: str, user: str, clock: Clock
) -> None:
    arrive = ruled_out(site, merchant, user, clock)
    arrive()
    (stray,) = site.unrefunded()
    clock.set("2030-06-03T16:07Z")
    for _ in range(2):
        status, said = site.reconcile()
        assert status == 1 and stray in said
    (id,) = (line.split()[0] for line in site.command("cases")[1].splitlines() if stray in line)
    assert site.command("settle", id, "--by", "Olive", "--why", "refunded at LevelUp", "--uuid", stray)[0] == 0
    assert site.reconcile()[0] == 0
    assert site.refunded() == [stray]


@pytest.mark.rule("WEB-4")
def test_what_a_person_took_for_another_is_no_case_again(site: Site, merchant: str, user: str, clock: Clock) -> None:
    arrive = ruled_out(site, merchant, user, clock)
    arrive()
    clock.set("2030-06-03T16:07Z")
    assert site.reconcile()[0] == 1
    id = site.command("cases")[1].split()[0]
    assert site.command("settle", id, "--by", "Olive", "--why", "a meal at the counter")[0] == 0
    # The looks that are left go on, without what this person has seen.
    for minutes in (10, 60, 24 * 60):
        clock.now += timedelta(minutes=minutes)
        assert site.reconcile()[0] == 0
    assert len(site.unrefunded()) == 1


@pytest.mark.rule("WEB-4")
@pytest.mark.parametrize(
    ("other", "is_case"),
    [
        ({"created_at": "2015-06-03T16:00:00Z"}, False),
        ({"created_at": "2015-06-03T16:00:00Z", "spend_amount": None}, False),
        ({"created_at": "2030-06-02T15:00:00Z"}, False),
        ({"created_at": "2030-06-02T17:00:00Z"}, True),
        ({"created_at": "2030-06-02T17:00:00Z", "spend_amount": None}, True),
        ({"created_at": "some day"}, True),
        ({"created_at": None}, True),
    ],
    ids=str,
)
def test_an_order_of_days_before_is_no_stray(
    site: Site, merchant: str, user: str, clock: Clock, other: Any, is_case: bool
) -> None:
    """LevelUp did not show it when the charge was ruled out."""
    site.line.faults["/users/orders"] = [refusal(403, "user", "permission")] * 40
    ruled_out(site, merchant, user, clock)
    clock.set("2030-06-03T16:07Z")
    before = past({"uuid": "before", "spend_amount": 1070, "total_amount": 1070})
    before["order"] |= other
    site.line.faults["/users/orders"] = [(200, [before]), (204, b"")]
    assert site.reconcile()[0] == int(is_case)
    assert ("before" in site.command("cases")[1]) == is_case


@pytest.mark.rule("WEB-4")
def test_what_was_ruled_out_is_looked_for_four_times(site: Site, merchant: str, user: str, clock: Clock) -> None:
    ruled_out(site, merchant, user, clock)
    minutes = (1, 10, 60, 24 * 60)
    for number, pause in enumerate(minutes, start=1):
        assert site.reconcile() == (0, "0 finished, 0 still unfinished\n")
        clock.now += timedelta(minutes=pause)
        assert site.reconcile()[0] == 0
        with closing(sqlite3.connect(ledger_of(site))) as connection:
            ((looks, body),) = connection.execute("SELECT looks, body FROM checkout_orders")
        # What would show it is kept until the last look.
        assert (looks, body is None) == (number, number == len(minutes))


@pytest.mark.rule("WEB-4")
def test_a_clock_set_back_by_days_delays_no_look(site: Site, merchant: str, user: str, clock: Clock) -> None:
    arrive = ruled_out(site, merchant, user, clock)
    arrive()
    clock.now -= timedelta(days=3)
    status, said = site.reconcile()
    assert status == 1 and site.unrefunded()[0] in said


def ledger_of(site: Site) -> str:
    return str(site.app.extensions["levelup_ov"].submissions.ledger.database.engine.url.database)


# What a refund is believed by.


@pytest.mark.rule("WEB-3")
@pytest.mark.parametrize(
    "reported",
    [{"uuid": "another"}, {"refunded_at": None}, {"refunded_at": "yesterday"}, {"total_amount": None}],
    ids=str,
)
def test_a_refund_that_is_not_the_one_asked_for_is_pending(site: Site, merchant: str, user: str, reported: Any) -> None:
    uuid = site.charged(order(merchant, user))["uuid"]
    site.line.changes["/refund"] = [reported]
    assert site.refund(uuid, "K").refusal == (503, "refund_pending", None)
    done = site.done(site.refund(uuid, "K"))["order"]
    # With the time that LevelUp has, and not ours.
    assert (done["state"], done["refunded_at"]) == ("refunded", "2026-11-20T17:00:00Z")
    assert site.refunded() == [uuid]


@pytest.mark.rule("WEB-1", "WEB-3")
def test_the_case_of_a_uuid_makes_no_difference(site: Site, merchant: str, user: str, clock: Clock) -> None:
    uuid = site.charged(order(merchant, user))["uuid"]
    site.line.changes["/refund"] = [{"uuid": uuid.upper()}]
    assert site.done(site.refund(uuid.upper()))["order"]["uuid"] == uuid
    # Nor does it make another order of a history.
    ruled_out(site, merchant, user, clock)
    known = past(site.charged(order(merchant, user)))
    known["order"]["uuid"] = known["order"]["uuid"].upper()
    clock.now += timedelta(minutes=2)
    site.line.faults["/users/orders"] = [(200, [known])] * 2
    assert site.reconcile()[0] == 0
    assert site.line.faults["/users/orders"] == []


@pytest.mark.rule("WEB-3")
def test_a_part_is_not_the_whole(site: Site, merchant: str, user: str) -> None:
    uuid = site.charged(order(merchant, user))["uuid"]
    site.line.changes["/refund"] = [{"spend_amount": 500, "total_amount": 500}]
    answer = site.refund(uuid, "K")
    assert answer.refusal == (502, "refund_impossible", None)
    assert "gave back 500 of 1070 cents" in answer.error["message"]
    assert site.reconcile()[0] == 1
    assert site.refund(uuid, "K").error["code"] == "refund_impossible"


@pytest.mark.rule("WEB-3")
def test_a_part_is_not_the_whole_if_the_answer_was_lost(site: Site, merchant: str, user: str) -> None:
    uuid = site.charged(order(merchant, user))["uuid"]
    site.line.faults["/refund"] = ["lost"]
    assert site.refund(uuid, "K").error["code"] == "refund_pending"
    site.line.changes[f"/orders/{uuid}"] = [{"spend_amount": 500, "total_amount": 500}]
    answer = site.refund(uuid, "K")
    assert answer.refusal[:2] == (502, "refund_impossible") and "gave back 500 of 1070" in answer.error["message"]


@pytest.mark.rule("WEB-3")
def test_amounts_that_do_not_add_up_are_not_the_whole(site: Site, merchant: str, user: str) -> None:
    uuid = site.charged(order(merchant, user))["uuid"]
    site.line.changes["/refund"] = [{"spend_amount": 500}]
    assert "gave back 500 of 1070" in site.refund(uuid, "K").error["message"]


@pytest.mark.rule("WEB-4")
def test_a_person_cannot_settle_with_the_charge_of_another(site: Site, merchant: str, user: str, clock: Clock) -> None:
    other = site.charged(order(merchant, user, discount_amount=0))["uuid"]
    arrive = ruled_out(site, merchant, user, clock)
    arrive()
    clock.set("2030-06-03T16:07Z")
    assert site.reconcile()[0] == 1
    id = site.command("cases")[1].split()[0]
    for uuid, words in ((other, "is the charge of another order"), ("../refund", "not a UUID")):
        status, said = site.command("settle", id, "--by", "Olive", "--why", "found", "--uuid", uuid)
        assert status == 1 and words in said
    assert len(site.unrefunded()) == 2 and site.refunded() == []


@pytest.mark.rule("WEB-4")
@pytest.mark.parametrize(("told", "words"), [
    ({"location_id": 77}, "is at location 77, this order at"),
    ({"spend_amount": 900, "total_amount": 900, "tip_amount": 0}, "is of 900 cents, this order of"),
    ({"created_at": "2030-06-01T16:00:00Z"}, "was made more than a day before this order"),
], ids=["another place", "another amount", "another day"])  # fmt: skip
def test_a_person_settles_with_no_charge_that_differs(
    site: Site, merchant: str, user: str, clock: Clock, told: Any, words: str
) -> None:
    ruled_out(site, merchant, user, clock)()
    (stray,) = site.unrefunded()
    clock.set("2030-06-03T16:07Z")
    assert site.reconcile()[0] == 1
    id = site.command("cases")[1].split()[0]
    settle = ("settle", id, "--by", "Olive", "--why", "found", "--uuid", stray)
    site.line.changes[f"/orders/{stray}"] = [told]
    status, said = site.command(*settle)
    assert status == 1 and "is another charge" in said and words in said
    site.line.faults[f"/orders/{stray}"] = [(404, b"")]
    status, said = site.command(*settle)
    assert status == 1 and "does not show a charge" in said
    # The case is still there, and the charge as LevelUp has it is taken.
    assert site.command("cases")[0] == 1 and site.unrefunded() == [stray]
    assert site.command(*settle)[0] == 0 and site.reconcile()[0] == 0 and site.refunded() == [stray]


@pytest.mark.rule("WEB-4")
@pytest.mark.parametrize(("amount", "is_taken"), [(4900, False), (500, True), (1070, True)])
def test_a_doubtful_amount_is_no_leave_to_settle_with_any(
    site: Site, merchant: str, user: str, clock: Clock, amount: int, is_taken: bool
) -> None:
    """LevelUp has once reported another amount than it was asked for."""
    site.line.changes["/completed_orders"] = [{"spend_amount": 500, "total_amount": 500}]
    body = order(merchant, user, discount_amount=0)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    clock.set("2030-06-03T16:05Z")
    site.line.faults["/completed_orders"] = [refusal(422, "user", "email")] * 9
    site.reconcile()
    id = site.command("cases")[1].split()[0]
    other = past({"uuid": "other", "spend_amount": amount, "total_amount": amount})
    other["order"]["created_at"] = "2030-06-03T16:00:00Z"
    site.line.faults["/orders/other"] = [(200, other)]
    clock.set("2030-06-03T16:15Z")
    status, said = site.command("settle", id, "--by", "Olive", "--why", "found", "--uuid", "other")
    assert (status == 0) is is_taken and ("is of 4900 cents" in said) is not is_taken


@pytest.mark.rule("WEB-3")
@pytest.mark.parametrize("tip", [9901, 9902, 9903, 9904])
def test_a_refund_that_is_refused_for_good_is_a_persons(
    site: Site, merchant: str, user: str, clock: Clock, tip: int, caplog: pytest.LogCaptureFixture
) -> None:
    body = meal(merchant, user, tip_amount=tip, note=REFUSED)
    for _ in range(2):
        answer = site.charge(body, "K")
        assert answer.refusal == (502, "refund_impossible", None)
        assert "support has been notified" in answer.error["message"] and answer.error["retryable"] is False
        assert "refunded" not in answer.error["message"]
    (uuid,) = site.unrefunded()
    for _ in range(2):
        caplog.clear()
        assert site.reconcile()[0] == 1
        assert "ERROR" in {record.levelname for record in caplog.records}
    assert site.get(f"/orders/{uuid}")["order"]["state"] == "stuck"
    clock.set(LATER)
    assert site.command("settle", uuid, "--by", "Olive", "--why", "paid back by transfer")[0] == 0
    assert site.get(f"/orders/{uuid}")["order"]["state"] == "settled"
    assert site.reconcile()[0] == 0
    assert site.command("settle", uuid, "--by", "Olive", "--why", "again")[0] == 1
    with closing(sqlite3.connect(ledger_of(site))) as connection:
        ((note,),) = connection.execute("SELECT settled FROM checkout_orders")
    assert "Olive" in note and "paid back by transfer" in note


@pytest.mark.rule("WEB-3")
def test_an_accepted_refund_is_reported_when_made(site: Site, merchant: str, user: str) -> None:
    made = site.charged(order(merchant, user, tip_amount=9905))["uuid"]
    assert site.refund(made, "K").error["code"] == "refund_pending"
    assert site.done(site.refund(made, "K"))["order"]["state"] == "refunded"
    never = site.charged(order(merchant, user, tip_amount=9906))["uuid"]
    for _ in range(2):
        assert site.refund(never, "L").error["code"] == "refund_pending"
    assert site.reconcile()[0] == 1
    part = site.charged(order(merchant, user, tip_amount=9907))["uuid"]
    assert site.refund(part, "M").error["code"] == "refund_impossible"
    assert set(REFUND_TIPS) == set(range(9901, 9909))


@pytest.mark.rule("WEB-3")
def test_a_site_learns_that_its_refund_is_refused(site: Site, merchant: str, user: str) -> None:
    uuid = site.charged(order(merchant, user, tip_amount=9901))["uuid"]
    for _ in range(2):
        answer = site.refund(uuid, "K")
        assert answer.refusal == (422, "refund_refused", None) and "too old" in answer.error["message"]
    assert site.get(f"/orders/{uuid}")["order"]["state"] == "charged"


@pytest.mark.rule("WEB-3")
@pytest.mark.parametrize("by", ["site", "command"])
def test_a_refund_is_not_pending_for_as_long_as_it_is_asked_for(
    site: Site, merchant: str, user: str, clock: Clock, by: str
) -> None:
    """One call had no answer. All that followed were refused, so nothing arrives after its lease."""
    uuid = site.charged(order(merchant, user))["uuid"]
    site.line.faults["/refund"] = ["unreached", *[refusal(422, "order", "base")] * 20]
    assert site.refund(uuid, "K").error["code"] == "refund_pending"
    codes = []
    for _ in range(10):
        clock.now += timedelta(seconds=8)
        answered = site.refund(uuid, "K").error["code"] if by == "site" else site.reconcile()[0]
        codes.append(answered)
    last = {"site": "refund_refused", "command": 0}[by]
    assert codes[0] != last and codes[-1] == last
    assert (site.reconcile()[0], site.command("cases")[0]) == (0, 0)
    assert site.refund(uuid, "L").error["code"] == "refund_refused"


@pytest.mark.rule("WEB-3")
def test_a_refund_refused_a_day_after_a_silent_one_is_a_persons(
    site: Site, merchant: str, user: str, clock: Clock
) -> None:
    uuid = site.charged(order(merchant, user))["uuid"]
    site.line.faults["/refund"] = ["unreached"]
    assert site.refund(uuid, "K").error["code"] == "refund_pending"
    clock.now += timedelta(days=2)
    site.line.faults["/refund"] = ["unreached", *[refusal(422, "order", "base")] * 9]
    assert site.refund(uuid, "K").error["code"] == "refund_impossible"
    clock.now += timedelta(seconds=5)
    answer = site.refund(uuid, "K")
    assert answer.error["code"] in ("refund_impossible", "refund_pending")
    clock.now += timedelta(hours=1)
    assert site.refund(uuid, "K").error["code"] == "refund_refused"


@pytest.mark.rule("WEB-3")
@pytest.mark.parametrize("read", ["unreached", (503, b""), refusal(403, "order", "permission")], ids=str)
def test_a_refusal_of_a_refund_that_cannot_be_read_is_pending(
    site: Site, merchant: str, user: str, clock: Clock, read: Any
) -> None:
    """The call was delivered twice: the first delivery has refunded the order, and the second was refused."""
    uuid = site.charged(order(merchant, user))["uuid"]
    site.line.faults["/refund"] = ["twice"]
    site.line.meanwhile["/refund"] = [lambda: site.line.faults.update({f"/orders/{uuid}": [read] * 3})]
    assert site.refund(uuid, "K").error["code"] == "refund_pending"
    site.line.faults.clear()
    clock.set(LATER)
    assert site.done(site.refund(uuid, "K"))["order"]["state"] == "refunded"
    assert site.refunded() == [uuid]


@pytest.mark.rule("WEB-2", "SUB-5")
def test_who_keeps_asking_hides_no_charge_from_the_operator(site: Site, merchant: str, clock: Clock) -> None:
    """Each repetition looks for the charge, and no answer of LevelUp's proves anything."""
    body = order(merchant, site.connect_user(permissions=PAYMENT))
    site.line.faults["/completed_orders"] = ["lost"] * 3
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    assert site.reconcile() == (0, "0 finished, 0 still unfinished\n")
    for at in ("2030-06-03T16:01Z", "2030-06-03T16:02Z", "2030-06-04T16:02Z"):
        clock.set(at)
        site.line.faults["/completed_orders"] = ["lost"] * 3
        assert site.charge(body, "K").error["code"] == "outcome_unknown"
        sent = site.line.count("/completed_orders")
        status, said = site.reconcile()
        assert (status, site.line.count("/completed_orders")) == (1, sent)
    assert site.command("cases")[0] == 1


@pytest.mark.rule("WEB-2", "SUB-4")
def test_a_key_charges_once_though_the_merchant_connects_again(site: Site, merchant: str, user: str) -> None:
    site.line.faults["/completed_orders"] = ["lost"] * 3
    assert site.charge(order(merchant, user), "K").error["code"] == "outcome_unknown"
    later = site.connect_merchant()
    assert site.charge(order(later, user), "K").refusal == (422, "idempotency_key_reused", None)
    assert site.charged(order(merchant, user), "K")["uuid"] in site.unrefunded()
    assert len(site.unrefunded()) == 1


@pytest.mark.rule("WEB-3")
def test_a_refund_that_may_still_arrive_is_not_refused(site: Site, merchant: str, user: str, clock: Clock) -> None:
    uuid = site.charged(order(merchant, user))["uuid"]
    kept: list[Any] = []
    site.line.keeps["/refund"] = kept
    assert site.refund(uuid, "K").error["code"] == "refund_pending"
    del site.line.keeps["/refund"]
    # Refused for a passing reason, while the first attempt is still on its way.
    site.line.faults["/refund"] = [refusal(422, "order", "base")]
    assert site.refund(uuid, "K").error["code"] == "refund_pending"
    kept[0]()
    assert site.done(site.refund(uuid, "K"))["order"]["state"] == "refunded"
    # Once nothing can arrive any more, the refusal is reported.
    other = site.charged(order(merchant, user))["uuid"]
    site.line.faults["/refund"] = ["unreached"]
    assert site.refund(other, "L").error["code"] == "refund_pending"
    clock.set(LATER)
    site.line.faults["/refund"] = [refusal(422, "order", "base")]
    assert site.refund(other, "L").error["code"] == "refund_refused"


@pytest.mark.rule("WEB-3", "WEB-7")
def test_a_person_settles_what_a_merchant_who_left_owes(site: Site, merchant: str, user: str, clock: Clock) -> None:
    site.line.faults["/refund"] = ["unreached"]
    assert site.charge(meal(merchant, user, note=REFUSED), "K").error["code"] == "refund_pending"
    site.call("DELETE", f"/merchants/{merchant}")
    assert site.reconcile()[0] == 1
    (uuid,) = site.unrefunded()
    assert f"uuid={uuid}" in site.command("cases")[1]
    # The refund that was not answered may still arrive.
    assert "another request" in site.command("settle", uuid, "--by", "Olive", "--why", "paid back by transfer")[1]
    clock.set(LATER)
    assert site.command("settle", uuid, "--by", "Olive", "--why", "paid back by transfer")[0] == 0
    assert (site.reconcile()[0], site.get(f"/orders/{uuid}")["order"]["state"]) == (0, "settled")


@pytest.mark.rule("WEB-3", "WEB-7")
def test_a_person_settles_only_the_case_that_was_shown(
    site: Site, merchant: str, user: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.line.faults["/refund"] = ["unreached"]
    # LevelUp will refuse it.
    assert site.charge(meal(merchant, user, note=REFUSED, tip_amount=9901), "K").error["code"] == "refund_pending"
    site.call("DELETE", f"/merchants/{merchant}")
    assert site.reconcile()[0] == 1
    clock.set(LATER)
    (uuid,) = site.unrefunded()
    settle = ("settle", uuid, "--by", "Olive", "--why", "the merchant has paid")
    status, said = site.command(*settle, "--case", "refund_refused")
    assert status == 1 and "nothing was settled" in said and "not_connected" in said

    def ask(*_: Any, **__: Any) -> bool:
        """While the person thinks, the merchant connects again, and LevelUp refuses the refund."""
        site.connect_merchant()
        assert site.reconcile()[0] == 1
        clock.now += timedelta(minutes=5)
        return True

    with monkeypatch.context() as patch:
        patch.setattr("click.confirm", ask)
        status, said = site.command(*settle)
    assert status == 1 and "not_connected (refunding" in said and "refund_refused (stuck" in said
    assert site.get(f"/orders/{uuid}")["order"]["state"] == "stuck"
    assert site.command(*settle, "--case", "refund_refused")[0] == 0
    assert site.get(f"/orders/{uuid}")["order"]["state"] == "settled"


@pytest.mark.rule("WEB-3", "WEB-7")
def test_nothing_is_settled_without_a_yes(site: Site, merchant: str, user: str, clock: Clock) -> None:
    assert site.charge(meal(merchant, user, tip_amount=9901, note=REFUSED), "K").error["code"] == "refund_impossible"
    clock.set(LATER)
    (uuid,) = site.unrefunded()
    command = ["checkout", "settle", uuid, "--by", "Olive", "--why", "paid back by transfer"]
    for said in ("n\n", ""):
        result = site.app.test_cli_runner().invoke(args=command, input=said)
        assert result.exit_code == 1 and "refund_refused" in result.output
    assert site.get(f"/orders/{uuid}")["order"]["state"] == "stuck"


@pytest.mark.rule("WEB-3", "WEB-7")
def test_a_merchant_who_comes_back_gives_back(site: Site, merchant: str, user: str) -> None:
    site.line.faults["/refund"] = ["unreached"]
    assert site.charge(meal(merchant, user, note=REFUSED), "K").error["code"] == "refund_pending"
    site.call("DELETE", f"/merchants/{merchant}")
    assert site.reconcile()[0] == 1
    site.connect_merchant()
    assert (site.reconcile()[0], site.unrefunded()) == (0, [])
    assert site.command("cases") == (0, "0 cases\n")


@pytest.mark.rule("WEB-3", "WEB-7")
def test_a_person_settles_a_charge_of_a_user_who_left(site: Site, merchant: str, user: str, clock: Clock) -> None:
    site.line.faults["/completed_orders"] = UNREACHED[:]
    assert site.charge(order(merchant, user), "K").error["code"] == "outcome_unknown"
    site.call("DELETE", f"/users/{user}")
    clock.set(LATER)
    assert site.reconcile()[0] == 1
    id = site.command("cases")[1].split()[0]
    assert site.command("settle", id, "--by", "Olive", "--why", "none at LevelUp")[0] == 0
    assert site.reconcile()[0] == 0


@pytest.mark.rule("WEB-6")
def test_each_key_that_asked_is_informed(site: Site, merchant: str, user: str) -> None:
    uuid = site.charged(order(merchant, user))["uuid"]
    site.line.faults["/refund"] = ["lost"]
    assert site.refund(uuid, "K").error["code"] == "refund_pending"
    assert site.done(site.refund(uuid, "L"))["order"]["state"] == "refunded"
    assert site.done(site.refund(uuid, "K"))["order"]["state"] == "refunded"
    assert site.refund(uuid, "M").error["code"] == "already_refunded"


@pytest.mark.rule("WEB-6", "SUB-4")
def test_a_refund_under_its_key_with_another_body(site: Site, merchant: str, user: str) -> None:
    uuid = site.charged(order(merchant, user))["uuid"]
    site.done(site.refund(uuid, "K"))
    other = site.refund(uuid, "K", manager_confirmation="4321")
    assert other.refusal == (422, "idempotency_key_reused", None)
    assert site.refund(uuid, "K").status == 200


# Tokens and whose they are.


@pytest.mark.rule("WEB-7")
@pytest.mark.parametrize("whose", ["user", "merchant"])
def test_a_dead_token_is_reported_and_the_newest_settles(
    site: Site, merchant: str, user: str, clock: Clock, whose: str
) -> None:
    site.line.faults["/completed_orders"] = ["lost"] * 3
    body = order(merchant, user)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    who = {"user": "ada@example.com", "merchant": "owner@beacon.example"}[whose]
    with site.levelup.store.writing() as transaction:
        person = transaction.user_by_email(who)
        assert person
        transaction.revoke_app(1, person.id, site.levelup.now)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    old = {"user": f"/users/{user}", "merchant": f"/merchants/{merchant}"}[whose]
    assert site.get(old)[whose]["state"] == "disconnected"
    site.connect_user() if whose == "user" else site.connect_merchant()
    clock.set(LATER)
    assert site.reconcile()[0] == 0
    assert [site.charged(body, "K")["uuid"]] == site.unrefunded()


@pytest.mark.rule("WEB-7")
def test_who_answered_a_request_is_known_again(site: Site, merchant: str, user: str, clock: Clock) -> None:
    site.call("DELETE", f"/users/{user}")
    asked = site.request_permissions(permissions=("create_orders", "read_user_basic_info"))["id"]
    site.answer_request(1)
    site.post(f"/users/{asked}/poll")
    site.line.faults["/completed_orders"] = ["lost"] * 3
    body = order(merchant, asked)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    site.call("DELETE", f"/users/{asked}")
    # Another person settles nothing.
    site.connect_user("ben@example.com")
    clock.set(LATER)
    assert site.reconcile()[0] == 1
    site.connect_user()
    assert site.reconcile()[0] == 0
    assert [site.charged(body, "K")["uuid"]] == site.unrefunded()


@pytest.mark.rule("WEB-7")
def test_a_connection_that_allows_less_settles_nothing(site: Site, merchant: str, user: str, clock: Clock) -> None:
    site.line.faults["/completed_orders"] = ["lost"] * 3
    body = order(merchant, user)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    site.connect_user(permissions=("read_user_basic_info",))
    clock.set(LATER)
    assert site.reconcile()[0] == 0
    assert [site.charged(body, "K")["uuid"]] == site.unrefunded()


@pytest.mark.rule("WEB-7")
def test_whose_a_token_is_is_asked_where_it_was_not_reported(site: Site, merchant: str) -> None:
    site.line.changes["/oauth2/token"] = [{"user_id": None}]
    first = site.connect_user()
    site.line.faults["/v15/users"] = [(200, {})] * 2
    site.line.changes["/oauth2/token"] = [{"user_id": None}]
    second = site.connect_user()
    with closing(sqlite3.connect(ledger_of(site))) as connection:
        known = dict(connection.execute("SELECT id, levelup_id FROM checkout_connections"))
        assert (known[first], known[second]) == (1, None)
        site.get(f"/users/{second}/profile")
        assert dict(connection.execute("SELECT id, levelup_id FROM checkout_connections"))[second] == 1


def test_a_token_that_lacks_a_permission_is_not_dead(site: Site, merchant: str) -> None:
    user = site.connect_user(permissions=("read_user_orders",))
    assert site.charge(order(merchant, user)).error["code"] == "user_token_refused"
    assert site.get(f"/users/{user}")["user"]["state"] == "connected"


def test_a_poll_and_a_profile_are_those_asked_for(site: Site, user: str) -> None:
    asked = site.request_permissions()["id"]
    site.answer_request(1)
    site.line.changes["/permissions_requests/1"] = [{"id": 2}]
    assert site.call("POST", f"/users/{asked}/poll").refusal[:2] == (502, "provider_protocol_error")
    assert site.get(f"/users/{asked}")["user"]["state"] == "pending"
    assert site.post(f"/users/{asked}/poll")["user"]["state"] == "connected"
    site.line.changes["/v15/users"] = [{"id": 99}]
    assert site.call("GET", f"/users/{user}/profile").refusal[:2] == (502, "provider_protocol_error")


def test_a_request_of_another_connection_connects_nobody(site: Site) -> None:
    first = site.request_permissions("ada@example.com")["id"]
    site.line.changes["/permissions_requests"] = [{"id": 1}]
    body = {"permissions_request": {"email": "dora@example.com", "permissions": ["create_orders"]}}
    answer = site.call("POST", "/users/permissions_requests", body)
    assert answer.refusal[:2] == (502, "provider_protocol_error")
    site.answer_request(1)
    assert site.post(f"/users/{first}/poll")["user"]["state"] == "connected"


# Which host works on what.


@pytest.mark.rule("WEB-5")
def test_nothing_is_cooked_once_the_charge_was_given_up(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host that submits it was held up behind its last look but one: another one has refunded it."""
    check = Leases.still_ours

    def held_up(leases: Leases, held: StoredOrder) -> bool:
        store: CheckoutStore = leases._store
        store.change_order(held.id, ("submitting",), values={"state": "refunding", "held": None})
        return check(leases, held)

    monkeypatch.setattr(Leases, "still_ours", held_up)
    answer = site.charge(meal(merchant, user), "K")
    assert answer.status in (409, 422) and site.meals() == 0


@pytest.mark.rule("WEB-2")
@pytest.mark.parametrize("answer", ["lost", ("done", *refusal(422, "user", "email"))], ids=["lost", "refused"])
def test_a_host_that_wakes_does_not_void_what_another_sent(
    make_site: MakeSite, merchant: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    """The host that charges is suspended just before its bytes; meanwhile another one looks for the charge."""
    site, other = make_site(), make_site()
    body = order(merchant, site.connect_user(permissions=PAYMENT))
    look, codes = Session._look, []

    def held_up(session: Session, trace: Any) -> None:
        look(session, trace)
        if not codes:
            codes.append("")
            clock.set(LATER)
            site.line.faults["/completed_orders"] = [answer] * 3
            codes.append(other.charge(body, "K").error["code"])
            site.line.faults.clear()
            session.placement.may_exist = False
            raise Unanswered("provider_timeout", "this host was suspended", sent=False)

    monkeypatch.setattr(Session, "_look", held_up)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    assert codes[1] == "outcome_unknown" and len(site.unrefunded()) == 1
    assert [site.charged(body, "K")["uuid"]] == site.unrefunded()


def test_a_lease_ends_by_what_each_host_has_seen_itself(site: Site) -> None:
    store = CheckoutStore(site.app.extensions["levelup_ov"].submissions.ledger.database)
    here, there = [1_000_000], [5]
    ours = Leases(store, Observer("here", lambda: here[0]), 1000)
    theirs = Leases(store, Observer("there", lambda: there[0]), 1000)
    mark = ours.new()
    assert not ours.has_ended(mark) and not theirs.has_ended(mark)
    here[0] += 999
    there[0] += 999
    assert not ours.has_ended(mark) and not theirs.has_ended(mark)
    here[0] += 1
    there[0] += 1
    assert ours.has_ended(mark) and theirs.has_ended(mark)


def test_a_run_is_fair(site: Site, merchant: str, user: str, clock: Clock) -> None:
    for number in range(4):
        stuck = site.charged(order(merchant, user, tip_amount=9906))["uuid"]
        assert site.refund(stuck, f"stuck {number}").error["code"] == "refund_pending"
    site.line.faults["/refund"] = ["unreached"]
    last = site.charged(order(merchant, user))["uuid"]
    assert site.refund(last, "last").error["code"] == "refund_pending"
    for _ in range(3):
        clock.now = clock.now.replace(minute=clock.now.minute + 1)
        assert site.command("reconcile", "--limit", "2")[0] == 1
    assert site.refunded() == [last]


def test_a_run_ends_in_time_though_levelup_hangs(
    make_site: MakeSite, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site()
    for number in range(6):
        uuid = site.charged(order(merchant, user, tip_amount=9906))["uuid"]
        site.refund(uuid, f"stuck {number}")
    monkeypatch.setattr(import_module("levelup_ov.cli.checkout"), "PATIENCE", 1.0)
    site.line.delays[""] = 0.8
    with within(6):
        site.command("reconcile")
