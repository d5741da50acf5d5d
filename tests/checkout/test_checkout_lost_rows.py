"""The database loses the rows of an order while LevelUp or its provider has it: a copy takes over that lacks them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest

from adapters.sandbox import SandboxAdapter
from levelup_ov.errors import Refused, Unanswered
from tests.channel import Clock
from tests.checkout.conftest import MakeSite
from tests.checkout.site import LOGIN, PAYMENT, Site, meal, order
from tests.checkout.test_checkout_cancellations import cancel
from tests.checkout.test_checkout_money import ledger_of
from tests.checkout.test_checkout_submissions import REFUSED

KINDS = {"charge": order, "meal": meal}
EVERYTHING = ("checkout_orders", "identities", "submissions")
NOTHING = (0, "0 finished, 0 still unfinished\n")


@pytest.fixture(autouse=True)
def _same_time(site: Site, clock: Clock) -> None:
    """LevelUp has the same time as the service."""
    site.levelup.now = clock.now


def change(site: Site, *statements: str) -> None:
    with closing(sqlite3.connect(ledger_of(site))) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def lose(site: Site, tables: tuple[str, ...] = EVERYTHING) -> Callable[[], None]:
    return lambda: change(site, *(f"DELETE FROM {table}" for table in tables))


def placing(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object], answer: str = "answered") -> None:
    """What happens while the provider answers for the first time."""
    whole, left = SandboxAdapter.submit_order, [meanwhile]

    def submit_order(*arguments: Any) -> Any:
        placed = whole(*arguments)
        if left:
            left.pop()()
            if answer == "lost":
                raise Unanswered("provider_timeout", "no answer", sent=True)
        return placed

    monkeypatch.setattr(SandboxAdapter, "submit_order", submit_order)


def cases(site: Site) -> Any:
    return site.app.extensions["levelup_ov.checkout"].orders.operator_cases()


def later(clock: Clock) -> None:
    """When no request can be under way any more."""
    clock.now += timedelta(minutes=2)


@pytest.mark.rule("WEB-2", "SUB-4")
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_lost_while_levelup_charges(site: Site, merchant: str, user: str, kind: str) -> None:
    body = KINDS[kind](merchant, user)
    site.line.meanwhile["/completed_orders"] = [lose(site)]
    done = site.charged(body, "K")
    assert site.unrefunded() == [done["uuid"]]
    again = site.charge(body, "K")
    assert again.json["order"]["uuid"] == done["uuid"] and again.headers["Idempotency-Replayed"] == "true"
    assert site.reconcile() == NOTHING
    assert len(site.unrefunded()) == 1 and site.meals() == (kind == "meal")
    assert site.refund(done["uuid"]).json["order"]["state"] == "refunded"


@pytest.mark.rule("WEB-2", "SUB-5")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", ["the site", "the command"])
def test_the_answer_is_lost_with_the_rows(
    site: Site, merchant: str, user: str, kind: str, by: str, clock: Clock
) -> None:
    body = KINDS[kind](merchant, user)
    site.line.meanwhile["/completed_orders"] = [lose(site)]
    site.line.faults["/completed_orders"] = ["lost"] * 3
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    site.line.faults.clear()
    if by == "the command":
        later(clock)
        assert site.reconcile()[0] == 0
    if kind == "meal" and by == "the command":
        assert site.charge(body, "K").refusal[1] == "charge_refunded"
        assert (len(site.refunded()), site.unrefunded(), site.meals()) == (1, [], 0)
    else:
        assert site.charged(body, "K")["uuid"] in site.unrefunded()
        assert (len(site.unrefunded()), site.meals()) == (1, kind == "meal")


@pytest.mark.rule("WEB-2")
@pytest.mark.parametrize(("answer", "permissions"), [("answered", LOGIN), ("lost", PAYMENT), ("lost", LOGIN)])
def test_a_retry_is_quicker_than_the_answer(
    site: Site, make_site: MakeSite, merchant: str, clock: Clock, answer: str, permissions: Any
) -> None:
    body, told = order(merchant, site.connect_user(permissions=permissions)), []

    def retry() -> None:
        lose(site)()
        told.append(make_site().charged(body, "K")["uuid"])

    site.line.meanwhile["/completed_orders"] = [retry]
    site.line.faults["/completed_orders"] = ["lost"] * (answer == "lost")
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    assert len(site.unrefunded()) == 2
    for _ in range(2):
        later(clock)
        status, _ = site.reconcile()
    assert site.charged(body, "K")["uuid"] == told[0]
    if (answer, permissions) == ("lost", LOGIN):
        # The user's orders do not say which of them this is.
        assert status == 1 and "stray_charge" in {each.case_kind for each in cases(site)}
        return
    assert site.unrefunded() == told and len(site.refunded()) == 1
    assert site.reconcile() == NOTHING


@pytest.mark.rule("WEB-2", "SUB-5")
@pytest.mark.parametrize("permissions", [PAYMENT, LOGIN], ids=["nothing can be read", "orders can be read"])
@pytest.mark.parametrize("is_charged", [True, False])
def test_a_charge_without_a_record_is_not_disproved(
    site: Site, merchant: str, clock: Clock, caplog: pytest.LogCaptureFixture, permissions: Any, is_charged: bool
) -> None:
    body = order(merchant, site.connect_user(permissions=permissions))
    site.line.faults["/completed_orders"] = ["lost" if is_charged else "unreached"] * 3
    assert site.charge(body, "K").refusal[1] == "outcome_unknown"
    site.line.faults.clear()
    lose(site, ("checkout_orders",))()
    assert site.reconcile()[0] == 1 and "order_needs_settling" in caplog.messages
    for _ in range(3):
        later(clock)
        answer = site.charge(body, "K")
    if not is_charged and permissions == LOGIN:
        assert answer.status == 200 and len(site.unrefunded()) == 1
        return
    assert answer.refusal == (504, "outcome_unknown", None)
    assert len(site.unrefunded()) == is_charged
    assert site.command("cases")[0] == 1 and site.reconcile()[0] == 1


@pytest.mark.rule("WEB-2", "WEB-5")
@pytest.mark.parametrize("answer", ["answered", "lost"])
def test_rows_are_lost_while_the_meal_is_placed(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch, clock: Clock, answer: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    body = meal(merchant, user)
    placing(monkeypatch, lose(site), answer)
    first = site.charge(body, "K")
    assert first.status == (200 if answer == "answered" else 504)
    again = site.charged(body, "K")
    assert (site.unrefunded(), site.meals()) == ([again["uuid"]], 1)
    later(clock)
    assert site.reconcile() == NOTHING and len(site.unrefunded()) == site.meals() == 1
    assert "submitted_and_refunded" not in caplog.messages


@pytest.mark.rule("WEB-5")
@pytest.mark.parametrize("answer", ["answered", "lost"])
def test_the_command_finishes_a_meal_whose_rows_were_lost(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch, clock: Clock, answer: str
) -> None:
    placing(monkeypatch, lose(site), answer)
    site.charge(meal(merchant, user), "K")
    later(clock)
    assert site.reconcile()[0] == 0
    assert len(site.unrefunded()) == site.meals() == 1


@pytest.mark.rule("WEB-5")
def test_a_retry_is_quicker_while_the_meal_is_placed(
    site: Site, make_site: MakeSite, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    body, told = meal(merchant, user), []

    def retry() -> None:
        lose(site)()
        told.append(make_site().charged(body, "K")["uuid"])

    placing(monkeypatch, retry)
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    later(clock)
    # The restaurant makes the first meal, too: a person has to call it.
    assert site.reconcile()[0] == 1 and "1 case" in site.command("cases")[1]
    assert site.unrefunded() == told and len(site.refunded()) == 1
    assert site.charged(body, "K")["uuid"] == told[0]


@pytest.mark.rule("WEB-2", "WEB-3", "SUB-4")
@pytest.mark.parametrize("answer", ["answered", "lost"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("loss", ["gone", "earlier"])
def test_rows_are_lost_while_levelup_refunds(
    site: Site, merchant: str, user: str, clock: Clock, kind: str, answer: str, loss: str
) -> None:
    body = KINDS[kind](merchant, user)
    uuid = site.charged(body, "K")["uuid"]
    earlier = "UPDATE checkout_orders SET state = {!r}, refund_key = NULL, held = NULL, sent = NULL"
    earlier = earlier.format("submitted" if kind == "meal" else "charged")
    site.line.meanwhile["/refund"] = [lose(site) if loss == "gone" else lambda: change(site, earlier)]
    site.line.faults["/refund"] = ["lost"] * 3 * (answer == "lost")
    first = site.refund(uuid, "R")
    site.line.faults.clear()
    if answer == "lost":
        assert first.refusal == (503, "refund_pending", None)
        later(clock)
        assert site.reconcile()[0] == 0
    else:
        assert first.json["order"]["state"] == "refunded"
    again = site.refund(uuid, "R")
    assert again.json["order"]["state"] == "refunded" and again.headers["Idempotency-Replayed"] == "true"
    # The key charges nothing more.
    same = site.charge(body, "K")
    assert (same.json["order"]["uuid"], same.headers["Idempotency-Replayed"]) == (uuid, "true")
    assert (site.refunded(), site.unrefunded(), site.reconcile()) == ([uuid], [], NOTHING)


@pytest.mark.rule("WEB-5", "WEB-3")
@pytest.mark.parametrize("answer", ["answered", "lost"])
def test_rows_are_lost_while_a_refused_meal_is_refunded(
    site: Site, merchant: str, user: str, clock: Clock, answer: str
) -> None:
    site.line.meanwhile["/refund"] = [lose(site)]
    site.line.faults["/refund"] = ["lost"] * (answer == "lost")
    body = meal(merchant, user, note=REFUSED)
    assert site.charge(body, "K").refusal[1] == ("refund_pending" if answer == "lost" else "item_unavailable")
    # The key charges nothing more.
    assert site.charge(body, "K").refusal[1] == "item_unavailable"
    later(clock)
    assert site.reconcile() == NOTHING
    assert (site.unrefunded(), len(site.refunded()), site.meals()) == ([], 1, 0)


@pytest.mark.rule("WEB-4", "SUB-5")
def test_what_was_ruled_out_without_a_record_is_looked_for(site: Site, merchant: str, user: str, clock: Clock) -> None:
    """The first call arrives late, when the same key has charged again."""
    kept: list[Any] = []
    site.line.keeps["/completed_orders"] = kept
    body = order(merchant, user, discount_amount=0)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    del site.line.keeps["/completed_orders"]
    lose(site, ("checkout_orders",))()
    for _ in range(3):
        later(clock)
        answer = site.charge(body, "K")
    told = answer.json["order"]["uuid"]
    kept[0]()
    later(clock)
    status, said = site.reconcile()
    (stray,) = {*site.unrefunded()} - {told}
    assert status == 1 and stray in said and stray in site.command("cases")[1]


@pytest.mark.rule("WEB-4", "SUB-5")
def test_looks_for_what_has_no_record_end(site: Site, merchant: str, user: str, clock: Clock) -> None:
    site.line.faults["/completed_orders"] = ["unreached"] * 3
    body = order(merchant, user)
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    lose(site, ("checkout_orders",))()
    for _ in range(3):
        later(clock)
        site.charge(body, "K")
    for minutes in (1, 10, 60, 24 * 60):
        clock.now += timedelta(minutes=minutes)
        assert site.reconcile()[1].endswith("1 finished, 0 still unfinished\n")
        assert site.reconcile() == NOTHING
    assert len(site.unrefunded()) == 1


def canceling(site: Site, monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], object], answer: str) -> None:
    """What happens while the provider cancels an order for the first time, and what becomes of its answer."""
    whole, left = SandboxAdapter.cancel_order, [meanwhile]

    def cancel_order(*arguments: Any) -> None:
        if left:
            if answer != "refused":
                whole(*arguments)
            left.pop()()
        if answer == "refused":
            raise Refused("cancellation_refused", "it is being made")
        if answer != "answered":
            raise Unanswered("provider_timeout", "no answer", sent=True)

    monkeypatch.setattr(SandboxAdapter, "cancel_order", cancel_order)
    if answer == "unknown":
        status, seen = SandboxAdapter.show_status, list[object]()

        def show_status(*arguments: Any) -> Any:
            seen.append(None)
            if len(seen) == 2:
                raise Unanswered("provider_timeout", "no answer", sent=True)
            return status(*arguments)

        monkeypatch.setattr(SandboxAdapter, "show_status", show_status)


CANCELLATION = "UPDATE checkout_orders SET cancellation = NULL"


@pytest.mark.rule("WEB-3", "STAT-6", "STAT-7")
@pytest.mark.parametrize("answer", ["answered", "lost"])
@pytest.mark.parametrize("loss", ["everything", "the meal", "the charge", "the cancellation"])
@pytest.mark.parametrize("is_refunded", [True, False])
def test_rows_are_lost_while_an_order_is_canceled(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch, clock: Clock, answer: str, loss: str,
    is_refunded: bool,
) -> None:  # fmt: skip
    id = site.charged(meal(merchant, user), "K")["id"]
    lost = {
        "everything": lose(site), "the meal": lose(site, EVERYTHING[1:]), "the charge": lose(site, EVERYTHING[:1]),
        "the cancellation": lambda: change(site, CANCELLATION),
    }  # fmt: skip
    canceling(site, monkeypatch, lost[loss], answer)
    site.line.faults["/refund"] = ["lost"] * 3 * (not is_refunded)
    done = cancel(site, id)
    if is_refunded:
        assert done.json["order"]["state"] == "refunded"
    else:
        assert done.refusal == (503, "refund_pending", None)
        site.line.faults.clear()
        later(clock)
        assert site.reconcile()[0] == 0
    again = cancel(site, id)
    assert (again.json["order"]["state"], again.headers["Idempotency-Replayed"]) == ("refunded", "true")
    assert site.unrefunded() == [] and site.reconcile() == NOTHING and site.command("cases")[0] == 0


@pytest.mark.rule("WEB-3", "STAT-7")
@pytest.mark.parametrize("loss", ["everything", "the cancellation"])
def test_an_unknown_cancellation_whose_rows_are_lost(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch, clock: Clock, loss: str
) -> None:
    id = site.charged(meal(merchant, user), "K")["id"]
    lost = lose(site) if loss == "everything" else lambda: change(site, CANCELLATION)
    canceling(site, monkeypatch, lost, "unknown")
    for _ in range(1 + (loss == "everything")):
        assert cancel(site, id).refusal == (504, "cancellation_unknown", None)
        later(clock)
    if loss == "the cancellation":
        assert site.reconcile()[0] == 0 and len(site.refunded()) == 1
        return
    # Nobody knows the meal any more.
    assert site.reconcile()[0] == 1
    clock.now += timedelta(days=1, minutes=10)
    assert site.reconcile()[0] == 1 and id in site.command("cases")[1]


@pytest.mark.rule("WEB-3", "STAT-6")
def test_rows_are_lost_while_a_cancellation_is_refused(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    uuid = site.charged(meal(merchant, user), "K")["uuid"]
    canceling(site, monkeypatch, lose(site), "refused")
    assert cancel(site, uuid).refusal == (422, "cancellation_refused", None)
    later(clock)
    assert site.reconcile() == NOTHING
    done = site.get(f"/orders/{uuid}")["order"]
    # The guest eats, and has paid.
    assert (done["state"], site.unrefunded()) == ("submitted", [uuid]) and done["order_submission"]
    assert site.refund(uuid).json["order"]["state"] == "refunded"


@pytest.mark.rule("WEB-3", "STAT-6")
@pytest.mark.parametrize("loss", ["everything", "the meal", "the charge"])
def test_rows_are_lost_just_before_an_order_is_canceled(
    site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch, clock: Clock, loss: str
) -> None:
    uuid = site.charged(meal(merchant, user), "K")["uuid"]
    tables = {"everything": EVERYTHING, "the meal": EVERYTHING[1:], "the charge": EVERYTHING[:1]}[loss]
    whole = SandboxAdapter.show_status

    def status(*arguments: Any) -> Any:
        monkeypatch.undo()
        lose(site, tables)()
        return whole(*arguments)

    monkeypatch.setattr(SandboxAdapter, "show_status", status)
    assert cancel(site, uuid).error["code"] in ("submission_in_progress", "order_not_found")
    later(clock)
    assert site.reconcile() == NOTHING and site.get(f"/orders/{uuid}")["order"]["state"] == "submitted"
    if loss == "the charge":
        assert cancel(site, uuid).json["order"]["state"] == "refunded"
    else:
        assert site.refund(uuid).json["order"]["state"] == "refunded"


@pytest.mark.rule("WEB-4")
def test_a_person_finds_a_charge_of_which_only_the_ledger_knows(site: Site, merchant: str, clock: Clock) -> None:
    user = site.connect_user(permissions=PAYMENT)
    site.line.faults["/completed_orders"] = ["lost"] * 3
    assert site.charge(order(merchant, user), "K").error["code"] == "outcome_unknown"
    site.line.faults.clear()
    lose(site, ("checkout_orders",))()
    for _ in range(2):
        site.reconcile()
        later(clock)
    (stray,) = site.unrefunded()
    id = site.command("cases")[1].split()[0]
    assert site.command("settle", id, "--by", "Olive", "--why", "found", "--uuid", stray)[0] == 0
    assert site.reconcile()[0] == 0 and site.refunded() == [stray]
