"""Answers that come twice and are in the right form, to a call that is not theirs (SUB-7, SUB-8, META-3)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.proxy import Exchange, Fault, head
from tests.faults.scripted import ScriptedService, scripted_service

ADA = {"user": {"name": "Ada Example", "phone": "+16175550143", "email": "ada@example.com"}}
BOB = {"user": {"name": "Bob Example", "phone": "+16175550144", "email": "bob@example.com"}}
LEMONADE = {"items": [{"item": {"provider_id": "lemonade", "quantity": 1}}]}


def _remembered(kept: list[bytes]) -> Fault:
    """Pass the answer on, and keep it."""

    def fault(exchange: Exchange) -> bool:
        status, body = exchange.forward()
        kept.append(head(status, len(body)) + body)
        exchange.connection.sendall(kept[-1])
        return True

    return fault


def _again(kept: list[bytes]) -> Fault:
    """What was kept comes once more, before the answer of this call."""

    def fault(exchange: Exchange) -> bool:
        status, body = exchange.forward()
        exchange.connection.sendall(kept[0] + head(status, len(body)) + body)
        return True

    return fault


def _dishes(one: ScriptedService) -> dict[str, list[str]]:
    return {
        cooked.details["customer"]["name"]: [line["dish"] for line in cooked.details["lines"]]
        for cooked in one.cooked()
    }


@pytest.mark.rule("SUB-8", "META-3", "META-4")
@pytest.mark.parametrize("same", [False, True], ids=["another dish", "the same dish"])
def test_a_guest_never_orders_the_cart_of_another(same: bool, tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        kept: list[bytes] = []
        one.script.add("cart", _remembered(kept), _again(kept))
        bobs = BOB if same else {**BOB, **LEMONADE}
        ada, bob = one.validate(**ADA), one.validate(**bobs)
        carts = [each.body.get("order_validation", {}).get("metadata", {}) for each in (ada, bob)]
        if same:
            assert one.submit(key="bob", **bobs, metadata=carts[1]).code == "price_changed"
        else:
            assert bob.code == "provider_protocol_error"  # the cart holds another dish (ITEM-11)
        carts[1] = one.validate(**bobs).body["order_validation"]["metadata"]
        assert one.submit(key="bob", **bobs, metadata=carts[1]).status == 200
        assert one.submit(key="ada", **ADA, metadata=carts[0]).status == 200
        assert _dishes(one) == {"Ada Example": ["sandwich"], "Bob Example": ["sandwich" if same else "lemonade"]}


@pytest.mark.rule("SUB-8", "META-6", "META-10")
def test_a_guest_never_orders_on_the_account_of_another(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        kept: list[bytes] = []
        one.script.add("account", _remembered(kept), _again(kept))
        ada, bob = one.validate("diner.account", **ADA), one.validate("diner.account", **BOB)
        carts = [each.body.get("order_validation", {}).get("metadata", {}) for each in (ada, bob)]
        assert one.submit("diner.account", key="bob", **BOB, metadata=carts[1]).status == 200
        assert one.submit("diner.account", key="ada", **ADA, metadata=carts[0]).status == 200
        with closing(sqlite3.connect(one.directory / "engine.db")) as connection:
            ((accounts,),) = connection.execute("SELECT COUNT(DISTINCT account) FROM orders")
        assert (accounts, len(one.cooked())) == (2, 2)


@pytest.mark.rule("SUB-3", "SUB-8", "SUB-11")
@pytest.mark.parametrize("number", [{"order_number": "17"}, {"grubhub_order_number": "17"}, {"key": "17"}])
def test_a_number_that_comes_again_later_is_another_order(number: dict[str, str], tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        assert one.submit(**number, **ADA).status == 200
        one.clock.advance(days=31)
        assert one.ledger.purge() == 1
        later = one.submit(**number, **BOB, **LEMONADE)
        assert (later.status, later.replayed) == (200, False)
        assert _dishes(one) == {"Ada Example": ["sandwich"], "Bob Example": ["lemonade"]}


@pytest.mark.rule("SUB-11")
def test_a_number_leads_to_one_order_in_a_ledger_that_was_lost(tmp_path: Path) -> None:
    with scripted_service(tmp_path) as one:
        first = one.submit(order_number="17", **ADA)
        one.clock.advance(minutes=5)
        with one.ledger.database.engine.begin() as connection:
            connection.exec_driver_sql("DELETE FROM submissions")
        again = one.submit(order_number="17", **ADA)
        assert (again.status, again.order_id, len(one.cooked())) == (200, first.order_id, 1)
