"""The ledger fails after something was sent: what is known is told, and nothing is told as unsent that was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import Mock

import pytest

from adapters.sandbox import SandboxAdapter
from levelup_ov.checkout.store import CheckoutStore
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.transport.session import Session
from tests.channel import Answer, Clock
from tests.checkout.site import Site, meal
from tests.checkout.test_checkout_canceled import NO_ANSWER, status_of
from tests.checkout.test_checkout_cancellations import cancel
from tests.checkout.test_checkout_submissions import LOST, REFUSED, check_both_or_neither, pass_time

ASKS: dict[str, Callable[[Site, str], Answer]] = {"refund": lambda site, uuid: site.refund(uuid, "C"), "cancel": cancel}


class Failing:
    """A ledger that fails once the n-th call to others is answered; ``calls`` to others since then."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._after: int | None = None
        self.calls: list[str] = []
        at_others = ((Session, ("call",)), (SandboxAdapter, ("submit_order", "show_status", "cancel_order")))
        for owner, names in at_others:
            for name in names:
                monkeypatch.setattr(owner, name, self._counted(name, getattr(owner, name)))
        for name in ("run", "run_durably"):
            monkeypatch.setattr(Database, name, self._checked(getattr(Database, name)))
        monkeypatch.setattr(Database, "connection", contextmanager(self._checked(_entered(Database.connection))))

    @property
    def is_down(self) -> bool:
        return self._after is not None and len(self.calls) >= self._after

    def after(self, calls: int | None) -> None:
        """Fail after this many calls; None: never."""
        self._after, self.calls = calls, []

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            try:
                return call(*arguments, **named)
            finally:
                self.calls.append(name)

        return counted

    def _checked(self, run: Callable[..., Any]) -> Callable[..., Any]:
        def checked(*arguments: Any, **named: Any) -> Any:
            if self.is_down:
                raise LedgerUnavailable("no room on the disk")
            return run(*arguments, **named)

        return checked


def _entered(connection: Callable[[Database], Any]) -> Callable[[Database], Iterator[Any]]:
    def entered(database: Database) -> Iterator[Any]:
        with connection(database) as found:
            yield found

    return entered


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Failing:
    return Failing(monkeypatch)


def asked_at_each_call(ledger: Failing, ask: Callable[[], Answer], start: Callable[[], None]) -> Iterator[Answer]:
    """The answers while the ledger fails one call later each time, the last one when it does no more."""
    for calls in range(20):
        ledger.after(None)
        start()
        ledger.after(calls)
        answer, was_down = ask(), ledger.is_down
        ledger.after(None)
        yield answer
        if not was_down:
            return
    raise AssertionError("it never ended")


@pytest.mark.rule("WEB-3", "SUB-9")
@pytest.mark.parametrize("note", [None, REFUSED, LOST])
def test_what_was_charged_is_not_told_as_unsent(
    site: Site, merchant: str, user: str, ledger: Failing, clock: Clock, note: str | None
) -> None:
    key, before, body = 0, 0, meal(merchant, user, note=note)

    def start() -> None:
        nonlocal key, before
        key, before = key + 1, len(site.line.calls)

    codes = list[str]()
    for told in asked_at_each_call(ledger, lambda: site.charge(body, f"K{key}"), start):
        codes.append("" if told.status == 200 else told.error["code"])
        is_charged = any("completed_orders" in each for each in site.line.calls[before:])
        assert (codes[-1] == "ledger_unavailable") is not is_charged, codes
        pass_time(clock)
        answer = site.charge(body, f"K{key}")
        while answer.status >= 400 and answer.error["retryable"]:
            answer = site.charge(body, f"K{key}")
        check_both_or_neither(site, answer)
        assert answer.status == (422 if note == REFUSED else 200)
    assert len(codes) > 3
    pass_time(clock)
    assert site.reconcile() == (0, "0 finished, 0 still unfinished\n")


@pytest.mark.rule("WEB-3", "STAT-6")
@pytest.mark.parametrize("asks", ASKS)
def test_what_was_given_back_is_not_told_as_unsent(
    site: Site, merchant: str, user: str, ledger: Failing, clock: Clock, asks: str
) -> None:
    uuid = ""

    def start() -> None:
        nonlocal uuid
        uuid = site.charged(meal(merchant, user))["uuid"]

    def ask() -> Answer:
        nonlocal sent
        answer = ASKS[asks](site, uuid)
        sent = list(ledger.calls)
        return answer

    codes, sent = list[str](), list[str]()
    for told in asked_at_each_call(ledger, ask, start):
        codes.append("" if told.status == 200 else told.error["code"])
        is_refunded, is_canceled = uuid in site.refunded(), "cancel_order" in sent
        assert codes[-1] in ("" if is_refunded else "refund_pending", "ledger_unavailable"), codes
        assert codes[-1] != "ledger_unavailable" or not (is_refunded or is_canceled), codes
        pass_time(clock)
        assert ASKS[asks](site, uuid).status == 200 and uuid in site.refunded()
    assert len(codes) > 3 and not codes[-2]


@pytest.mark.rule("WEB-3", "STAT-6")
@pytest.mark.parametrize(("asks", "code"), [("refund", "refund_pending"), ("cancel", "cancellation_unknown")])
def test_an_earlier_request_may_have_done_it(
    site: Site, merchant: str, user: str, clock: Clock, monkeypatch: pytest.MonkeyPatch, asks: str, code: str
) -> None:
    uuid = site.charged(meal(merchant, user))["uuid"]
    with monkeypatch.context() as patch:
        status_of(patch, NO_ANSWER)
        site.line.faults["/refund"] = ["lost"]
        ASKS[asks](site, uuid)
        pass_time(clock)
        patch.setattr(CheckoutStore, "change_order", Mock(side_effect=LedgerUnavailable("no room on the disk")))
        assert ASKS[asks](site, uuid).error["code"] == code
    site.line.faults.clear()
    assert ASKS[asks](site, uuid).status == 200 and uuid in site.refunded()


@pytest.mark.rule("WEB-3")
def test_a_meal_that_is_placed_is_told(site: Site, merchant: str, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the row of web checkout cannot be written."""
    change, body = CheckoutStore.change_order, meal(merchant, user)

    def fails(store: CheckoutStore, id: str, *rest: Any, **named: Any) -> Any:
        if named["values"].get("state") == "submitted":
            raise LedgerUnavailable("no room on the disk")
        return change(store, id, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(CheckoutStore, "change_order", fails)
        told = site.charged(body, "K")
    assert told["state"] == "submitted" and told["order_submission"]["order_id"]
    assert (len(site.unrefunded()), site.meals()) == (1, 1)
