"""A new attempt at an order whose charge was refunded because no provider has it (SUB-4, WEB-5)."""

from __future__ import annotations

from typing import Any

import pytest

from levelup_ov.config import new_secret_key
from tests.channel import Clock
from tests.checkout.conftest import MakeSite
from tests.checkout.site import PLACE, Site, meal, order
from tests.checkout.test_checkout_submissions import REFUSED, submitted_past


@pytest.fixture(params=["order_number", "order_validation_id"])
def named(request: pytest.FixtureRequest, site: Site) -> dict[str, Any]:
    """What names an order apart from its key."""
    if request.param == "order_number":
        return {"order_number": "N-1"}
    validated = site.channel.validate().order["metadata"]
    return {"metadata": {"order_validation_id": validated["order_validation_id"]}}


def body_of(merchant: str, user: str, named: dict[str, Any], note: str | None = None) -> Any:
    body = meal(merchant, user, note=note, discount_amount=0)
    body["order_submission"].update(named)
    return body


@pytest.mark.rule("SUB-4", "WEB-5")
def test_a_refunded_order_leaves_its_names_free(site: Site, merchant: str, user: str, named: dict[str, Any]) -> None:
    refused = body_of(merchant, user, named, REFUSED)
    for key, refunds in (("K", 1), ("K", 1), ("L", 2)):
        assert site.charge(refused, key).refusal[:2] == (422, "item_unavailable")
        assert (site.unrefunded(), len(site.refunded()), site.meals()) == ([], refunds, 0)
    # Now the item is back, or the guest takes another one.
    body = body_of(merchant, user, named)
    done = site.charged(body, "M")
    assert (done["state"], site.charged(body, "N")) == ("submitted", done)
    assert (site.unrefunded(), site.meals()) == ([done["uuid"]], 1)
    # The first key is used up.
    assert site.charge(refused, "K").refusal[:2] == (422, "item_unavailable")


@pytest.mark.rule("SUB-4", "WEB-5")
def test_the_names_are_not_free_before_the_refund(site: Site, merchant: str, user: str, named: dict[str, Any]) -> None:
    refused = body_of(merchant, user, named, REFUSED)
    site.line.faults["/refund"] = ["unreached"] * 2
    assert site.charge(refused, "K").error["code"] == "refund_pending"
    assert site.charge(refused, "L").error["code"] == "refund_pending"
    assert len(site.unrefunded()) == 1
    assert site.reconcile()[0] == 0
    assert site.charged(body_of(merchant, user, named), "M")["state"] == "submitted"


@pytest.mark.rule("SUB-4", "WEB-5")
def test_an_order_that_was_placed_and_canceled_keeps_its_number(
    site: Site, merchant: str, user: str, clock: Clock
) -> None:
    body = body_of(merchant, user, {"order_number": "N-1"})
    path = f"/locations/{PLACE}/orders/{submitted_past(site, body).order['order_id']}"
    site.call_off(clock())
    assert site.channel.get(path).order["status"] == "cancelled"
    for key in ("K", "L"):
        assert site.charge(body, key).refusal == (422, "order_refused", None)
    assert len(site.refunded()) == 1


@pytest.mark.rule("SUB-4", "META-7")
@pytest.mark.parametrize("is_known", [True, False])
def test_a_dropped_secret_key_charges_nothing_again(make_site: MakeSite, clock: Clock, is_known: bool) -> None:
    old, new = new_secret_key(), new_secret_key()
    site = make_site(LEVELUP_OV_SECRET_KEYS=old)
    body = order(site.connect_merchant(), site.connect_user(), discount_amount=0)
    site.line.faults["/completed_orders"] = ["lost"] * (0 if is_known else 3)
    assert (site.charge(body, "K").status == 200) == is_known
    site.line.faults.clear()
    both = make_site(LEVELUP_OV_SECRET_KEYS=f"{new},{old}")
    # Another charge seals the tokens under the new key.
    both.charged({"order": {**body["order"], "identifier": "B-1"}}, "L")
    charges = len(site.unrefunded())
    late = make_site(LEVELUP_OV_SECRET_KEYS=new)
    assert late.charge(body, "K").refusal == (504, "outcome_unknown", None)
    assert len(site.unrefunded()) == charges
    # The key is back.
    assert make_site(LEVELUP_OV_SECRET_KEYS=f"{new},{old}").charged(body, "K")["uuid"] in site.unrefunded()
    assert len(site.unrefunded()) == 2
