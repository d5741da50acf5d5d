"""U+0000, which PostgreSQL's text cannot hold: in addresses, in a provider's ids, and in one row of many."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from adapters.sandbox import SandboxAdapter
from levelup_ov.domain.outcome import Placed
from levelup_ov.errors import Unanswered
from levelup_ov.ordering.look_ups import LookUps
from tests.channel import Answer, Clock
from tests.checkout.conftest import MakeSite
from tests.checkout.site import Site, meal, order
from tests.checkout.test_checkout_money import past
from tests.checkout.test_checkout_submissions import submitted_past
from tests.servers.postgres import PostgresServer


@pytest.fixture
def site(make_site: MakeSite, postgres: PostgresServer) -> Iterator[Site]:
    site = make_site(DATABASE_URL=postgres.url(postgres.create_database()))
    yield site
    site.app.extensions["levelup_ov"].submissions.ledger.close()


ADDRESSES = (
    "GET /checkout/orders/{}",
    "POST /checkout/orders/{}/refund",
    "POST /checkout/orders/{}/cancellation",
    "GET /checkout/merchants/{}",
    "DELETE /checkout/users/{}",
    "POST /checkout/users/{}/poll",
    "GET /checkout/users/{}/orders",
    "GET /merchants/{}/locations",
    "GET /locations/sandbox.congress/orders/{}",
)


def test_nothing_has_such_an_address(site: Site) -> None:
    for address, id in itertools.product(ADDRESSES, ("%00", "a%00b")):
        answer = site.channel.send(*address.format(id).split(), headers={"Idempotency-Key": "K"})
        assert answer.status == 404 and answer.error["code"] in ("not_found", "order_not_found")


@pytest.mark.rule("SUB-5", "SUB-8")
def test_an_id_that_cannot_be_recorded_is_unknown(site: Site, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    submit, find = SandboxAdapter.submit_order, SandboxAdapter.find_order

    def odd(placed: Placed) -> Placed:
        return Placed("ab\0cd", "ab\0cd", reference=placed.reference)

    def found(*arguments: Any) -> Placed | None:
        placed = find(*arguments)
        return placed and odd(placed)

    with monkeypatch.context() as patch:
        patch.setattr(SandboxAdapter, "submit_order", lambda *arguments: odd(submit(*arguments)))
        patch.setattr(SandboxAdapter, "find_order", found)
        assert ordered(site).error["code"] == "outcome_unknown"
        clock.now += timedelta(minutes=2)
        status, said = reconcile(site)
        assert status == 1 and said.endswith("0 resolved, 1 still unknown\n")
    assert reconcile(site)[1].endswith("1 resolved, 0 still unknown\n")


@pytest.mark.rule("SUB-5")
def test_one_submission_does_not_stop_the_others(
    site: Site, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    submit = SandboxAdapter.submit_order

    def lost(*arguments: Any) -> Placed:
        submit(*arguments)
        raise Unanswered("provider_timeout", "no answer", sent=True)

    with monkeypatch.context() as patch:
        patch.setattr(SandboxAdapter, "submit_order", lost)
        for name in ("robin", "kim"):
            assert ordered(site, name).error["code"] == "outcome_unknown"
    clock.now += timedelta(minutes=2)
    reconciled, tried = LookUps.reconcile, list[str]()

    def fails_first(look_ups: LookUps, submission: Any, context: Any) -> Any:
        tried.append(submission.id)
        if len(tried) == 1:
            raise ValueError("odd")
        return reconciled(look_ups, submission, context)

    with monkeypatch.context() as patch:
        patch.setattr(LookUps, "reconcile", fails_first)
        status, said = reconcile(site)
    assert status == 1 and said.endswith("1 resolved, 1 still unknown\n")
    (line,) = (each for each in caplog.records if each.message == "submission_not_reconciled")
    assert line.levelname == "ERROR" and line.exc_info and line.exc_info[0] is ValueError
    assert reconcile(site)[0] == 0


@pytest.mark.rule("WEB-1")
def test_an_odd_uuid_in_a_history_hides_no_charge(site: Site, clock: Clock) -> None:
    merchant, user = site.connect_merchant(), site.connect_user()
    odd = past(site.charged(order(merchant, user)))
    odd["order"]["uuid"] = "ab\0cd"
    site.line.faults["/completed_orders"] = ["lost"] * 3
    assert site.charge(order(merchant, user), "K").error["code"] == "outcome_unknown"
    clock.now += timedelta(minutes=2)
    before = len(site.line.calls)
    site.line.faults["/users/orders"] = [(200, [odd])]
    assert site.charged(order(merchant, user), "K")["uuid"] in site.unrefunded()
    assert any("/users/orders" in each for each in site.line.calls[before:])


def ordered(site: Site, name: str = "robin") -> Answer:
    body = meal("", "")
    body["order_submission"]["user"] = {**body["order_submission"]["user"], "email": f"{name}@example.com"}
    return submitted_past(site, body)


def reconcile(site: Site) -> tuple[int, str]:
    result = site.app.test_cli_runner().invoke(args=["submissions", "reconcile"])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output
