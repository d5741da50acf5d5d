"""A connection is replaced while a charge of unknown outcome is looked for: no person is needed (WEB-3, WEB-4)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from tests.channel import Clock
from tests.checkout.site import LOGIN, PAYMENT, Site, meal, order
from tests.checkout.test_checkout_untold import FOUND

WHO = pytest.mark.parametrize("who", ["user", "merchant"])


def refused(who: str) -> list[Any]:
    """LevelUp takes this token no more."""
    return [{"error": {"object": "access_token", "property": f"{who}_token", "message": "no", "code": "x"}}]


def lose(site: Site, body: Any, clock: Clock) -> None:
    site.line.faults["/completed_orders"] = ["lost"] * 3
    assert site.charge(body, "K").error["code"] == "outcome_unknown"
    site.line.faults.clear()
    clock.set(FOUND)


def end_token(site: Site, who: str) -> None:
    """The next call with the token is refused, and so is the one that asks whether it is still taken."""
    for path in ("/completed_orders", {"user": "/credit", "merchant": "/managed_locations"}[who]):
        site.line.faults[path] = [(401, refused(who))]


@WHO
@pytest.mark.rule("WEB-3", "WEB-4")
@pytest.mark.parametrize("make", [order, meal], ids=["charge alone", "meal"])
@pytest.mark.parametrize("permissions", [("create_orders", "read_user_basic_info"), LOGIN], ids=["pays", "reads"])
def test_another_connection_goes_on_at_once(
    site: Site, clock: Clock, who: str, make: Any, permissions: Iterable[str]
) -> None:
    body = make(site.connect_merchant(), site.connect_user(permissions=permissions))
    lose(site, body, clock)
    # A list with an order that is not ours: the proposed order is completed again.
    site.charged(order(body["order"]["merchant"], body["order"]["user"], identifier="B-1"), "L")
    end_token(site, who)
    assert site.charged(body, "K")["uuid"] in site.unrefunded()
    assert len(site.unrefunded()) == 2 and site.command("cases")[0] == 0


@WHO
@pytest.mark.rule("WEB-3", "WEB-4")
def test_the_command_goes_on_too(site: Site, clock: Clock, who: str) -> None:
    body = order(site.connect_merchant(), site.connect_user(permissions=("create_orders", "read_user_basic_info")))
    lose(site, body, clock)
    end_token(site, who)
    assert site.reconcile()[0] == 0 and site.command("cases")[0] == 0


@pytest.mark.rule("WEB-3", "WEB-4")
def test_without_another_connection_it_waits_for_one(site: Site, merchant: str, clock: Clock) -> None:
    body = order(merchant, site.connect_user("dora@example.com", permissions=LOGIN[:2]))
    lose(site, body, clock)
    end_token(site, "user")
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    status, said = site.command("cases")
    assert status == 1 and "not_connected" in said
    site.connect_user("dora@example.com", permissions=LOGIN[:2])
    assert site.charged(body, "K")["uuid"] in site.unrefunded() and site.command("cases")[0] == 0


@WHO
@pytest.mark.rule("WEB-4")
def test_a_token_that_is_taken_after_all_makes_no_case(site: Site, merchant: str, clock: Clock, who: str) -> None:
    body = order(merchant, site.connect_user(permissions=PAYMENT))
    lose(site, body, clock)
    site.line.faults["/completed_orders"] = [(401, refused(who))]
    assert site.charge(body, "K").refusal == (504, "outcome_unknown", None)
    assert site.command("cases")[0] == 0
    assert site.charged(body, "K")["uuid"] in site.unrefunded()
