"""A network delivers the placing call twice: the first delivery is refused, the second one comes later (SUB-8)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapters.sandbox import SandboxAdapter
from levelup_ov.errors import Unanswered
from tests.faults.proxy import Exchange
from tests.faults.scripted import ScriptedService, scripted_service
from tests.faults.test_fault_findings import reconcile

SOLD_OUT = json.dumps({"problem": {"code": "dish_sold_out", "text": "Sold out.", "where": "lines[0]"}}).encode()


def refuse_first(one: ScriptedService) -> list[Exchange]:
    """Have the next placing call refused; what is returned has the delivery that is still to come."""
    late: list[Exchange] = []

    def refuse(exchange: Exchange) -> bool:
        late.append(exchange)
        exchange.pass_on(409, SOLD_OUT)
        return True

    one.script.add("order", refuse)
    return late


@pytest.mark.rule("SUB-8", "SUB-10")
def test_what_comes_after_its_refusal_is_refused_too(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        late = refuse_first(one)
        assert one.submit(key="a").code == "item_unavailable"
        status, body = late[0].forward()
        assert (status, json.loads(body)["problem"]["code"]) == (409, "reference_voided")
        assert one.submit(key="a").status == 200 and len(one.cooked()) == 1
        for seconds in (61, 600, 3600, 24 * 3600):
            one.clock.advance(seconds=seconds)
            assert reconcile(one) == (0, "[1/1] " + _still(one) + "1 resolved, 0 still unknown\n")
        assert reconcile(one) == (0, "0 resolved, 0 still unknown\n")


def _still(one: ScriptedService) -> str:
    return f"{one.rows()[0].id} diner.congress: still not placed\n"


@pytest.mark.rule("SUB-8", "SUB-12")
@pytest.mark.parametrize(
    ("tries", "finding"), [(1, "order_exists_but_ruled_out"), (2, "two_orders_for_one_submission")]
)
def test_an_order_that_comes_after_its_refusal_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tries: int, finding: str
) -> None:
    # The provider says that it has set its fence, and takes the order all the same.
    monkeypatch.setattr(SandboxAdapter, "fence_order", lambda *_: None)
    with scripted_service(tmp_path) as one:
        late = refuse_first(one)
        assert one.submit(key="a").code == "item_unavailable"
        assert late[0].forward()[0] == 201
        if tries == 2:
            assert one.submit(key="a").status == 200
        assert len(one.cooked()) == tries
        one.clock.advance(seconds=61)
        status, output = reconcile(one)
        assert status == 1 and f"{one.rows()[0].id} diner.congress: {finding}: " in output
        assert caplog.messages.count(finding) == 1
        refused = one.rows()[0]
        assert (refused.ended, refused.finding, refused.found_order_id) == ("refused", finding, 1)
        # It is reported once, and the looks go on.
        one.clock.advance(seconds=600)
        assert reconcile(one)[0] == 1 and len(one.cooked()) == tries


@pytest.mark.rule("SUB-8", "SUB-12")
def test_a_refusal_of_another_call_is_not_looked_up_again(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        assert one.submit(key="a", items=[{"item": {"provider_id": "ghost", "quantity": 1}}]).status == 422
        assert [(row.ended, row.look_again_at) for row in one.rows()] == [("unsent", None)]


@pytest.mark.rule("SUB-12")
def test_a_refused_order_that_cannot_be_looked_up_is_not_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its channel was told; so the provider's failures wake nobody, and the looks end after a day."""

    def fails(*_: Any) -> None:
        raise Unanswered("provider_timeout", "no answer", sent=True)

    with scripted_service(tmp_path) as one:
        for number in range(5):
            refuse_first(one)
            assert one.submit(key=f"a{number}").code == "item_unavailable"
        monkeypatch.setattr(SandboxAdapter, "find_order", fails)
        for seconds in (61, 600, 24 * 3600):
            one.clock.advance(seconds=seconds)
            status, output = reconcile(one)
            assert status == 0 and "refused, and not looked up now: the provider was asked, but: no answer\n" in output
            # After three failures, its account is left for the next run.
            assert "2 left for the next run" in output and output.endswith("0 resolved, 0 still unknown\n")
        for _ in range(7):
            reconcile(one)
        assert reconcile(one) == (0, "0 resolved, 0 still unknown\n")


@pytest.mark.rule("SUB-12")
def test_what_is_found_while_the_next_try_is_unknown_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes: which of the two the guest gets is known only then."""
    find_order, unknown = SandboxAdapter.find_order, list[str]()

    def unanswered(adapter: SandboxAdapter, *order: Any) -> Any:
        if not unknown or order[1] in unknown:
            raise Unanswered("provider_timeout", "no answer", sent=True)
        return find_order(adapter, *order)

    monkeypatch.setattr(SandboxAdapter, "fence_order", lambda *_: None)
    with scripted_service(tmp_path) as one:
        late = refuse_first(one)
        assert one.submit(key="a").code == "item_unavailable"
        assert late[0].forward()[0] == 201
        monkeypatch.setattr(SandboxAdapter, "find_order", unanswered)
        one.script.add("order", "answer lost")
        assert one.submit(key="a").code == "outcome_unknown"
        unknown.append(one.rows()[1].reference)
        for _ in range(6):
            one.clock.advance(hours=24)
            assert reconcile(one)[0] == 1
        monkeypatch.setattr(SandboxAdapter, "find_order", find_order)
        monkeypatch.setattr(SandboxAdapter, "fence_order", lambda *_: None)
        one.clock.advance(hours=24)
        # The unknown one is settled first.
        assert "two_orders_for_one_submission" in reconcile(one)[1]
        assert [row.finding for row in one.rows()] == ["two_orders_for_one_submission", None]


@pytest.mark.rule("SUB-12")
def test_an_account_without_answers_delays_no_look_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its refused orders are due again in each run, for a day."""
    find_order = SandboxAdapter.find_order

    def fails(adapter: SandboxAdapter, *order: Any) -> Any:
        if adapter.account.name == "diner":
            raise Unanswered("provider_timeout", "no answer", sent=True)
        return find_order(adapter, *order)

    with scripted_service(tmp_path, accounts=("diner", "grill")) as one:
        for location in (*["diner.congress"] * 3, "grill.congress"):
            refuse_first(one)
            assert one.submit(location, key=f"{one.clock.now}").code == "item_unavailable"
            one.clock.advance(seconds=1)
        monkeypatch.setattr(SandboxAdapter, "find_order", fails)
        one.clock.advance(seconds=61)
        result = one.app.test_cli_runner().invoke(args=["submissions", "reconcile", "--limit", "2"])
        assert (result.exit_code, "grill.congress: still not placed" in result.output) == (0, True)
