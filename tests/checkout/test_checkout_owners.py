"""LevelUp does not say whose a connection is while it is made: it is asked again while it has a token (WEB-3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.channel import Clock
from tests.checkout.site import LOGIN, Site, order

NOBODY = "/managed_locations"

Step = Callable[[Site, str], object]


def connect_unknown(site: Site, calls: int) -> str:
    """Connect the only merchant while LevelUp does not say which one it is, in the first ``calls`` calls."""
    for each in site.get("/merchants")["merchants"]:
        disconnect(site, each["merchant"]["id"])
    site.line.faults[NOBODY] = [(200, [])] * calls
    merchant = site.connect_merchant()
    site.line.faults.clear()
    return merchant


def known(site: Site, merchant: str) -> Any:
    return site.get(f"/merchants/{merchant}")["merchant"]["levelup_merchant_id"]


def token_ends(site: Site, merchant: str) -> None:
    """LevelUp takes the token no more, which the next call with it shows."""
    no = [{"error": {"object": "access_token", "property": "merchant_token", "message": "No.", "code": "x"}}]
    site.line.faults = {each: [(401, no)] * 9 for each in (NOBODY, "/refund", "/locations", "/proposed_orders")}
    assert site.call("GET", f"/merchants/{merchant}/locations").status == 422
    site.line.faults.clear()
    assert site.get(f"/merchants/{merchant}")["merchant"]["state"] == "disconnected"


def disconnect(site: Site, merchant: str) -> None:
    site.done(site.call("DELETE", f"/merchants/{merchant}"))


@pytest.mark.rule("WEB-3", "WEB-6")
@pytest.mark.parametrize("calls, before, ends", [
    (1, [], token_ends),
    (1, [], disconnect),
    (2, [Site.reconcile], token_ends),
    (2, [], disconnect),
], ids=["confirmed", "confirmed, and disconnected", "the command", "disconnected"])  # fmt: skip
def test_the_same_merchant_is_recognized_later(
    site: Site, user: str, calls: int, before: list[Callable[[Site], object]], ends: Step
) -> None:
    merchant = connect_unknown(site, calls)
    assert (known(site, merchant) is None) == (calls == 2)
    uuid = site.charged(order(merchant, user))["uuid"]
    for step in before:
        step(site)
    ends(site, merchant)
    assert site.refund(uuid).refusal[:2] == (422, "not_connected")
    assert known(site, site.connect_merchant()) == known(site, merchant) is not None
    assert site.refund(uuid).status == 200 and site.refunded() == [uuid]


@pytest.mark.rule("WEB-3")
def test_the_same_user_is_recognized_later(site: Site, merchant: str, clock: Clock) -> None:
    """By a permissions request: only the profile says who it is."""
    asked = site.request_permissions(permissions=LOGIN)
    site.answer_request(1)
    site.line.faults["/v15/users"] = [(200, {})]
    user = site.post(f"/users/{asked['id']}/poll")["user"]
    assert user["state"] == "connected"
    assert site.reconcile()[0] == 0
    site.line.faults["/completed_orders"] = ["lost"] * 3
    assert site.charge(order(merchant, user["id"]), "K").error["code"] == "outcome_unknown"
    site.line.faults.clear()
    site.done(site.call("DELETE", f"/users/{user['id']}"))
    clock.set("2030-06-03T16:02Z")
    # She has another connection.
    assert site.reconcile()[0] == 0 and site.command("cases")[0] == 0


@pytest.mark.rule("WEB-3")
def test_nobody_asks_whose_a_connection_is_that_is_known(site: Site, merchant: str, user: str) -> None:
    site.line.calls.clear()
    assert site.reconcile()[0] == 0
    assert not site.line.calls


def test_what_a_user_does_not_allow_is_not_asked_for(site: Site) -> None:
    site.request_permissions()
    site.answer_request(1)
    site.line.calls.clear()
    assert site.reconcile()[0] == 0 and not site.line.calls


@pytest.mark.rule("WEB-3")
def test_a_platform_that_does_not_answer_keeps_nobody_connected(site: Site) -> None:
    merchant = connect_unknown(site, 2)
    site.line.faults[NOBODY] = ["unreached"] * 9
    assert site.reconcile()[0] == 0
    disconnect(site, merchant)
    assert site.get(f"/merchants/{merchant}")["merchant"]["state"] == "disconnected"
    assert known(site, merchant) is None
