"""Square's deliveries: the fulfillment DELIVERY, with a fee, an area and a minimum that are the account's settings.

From the official specification (release 2025-08-20): ``delivery_details`` have a recipient with an address and a
telephone number, ``dropoff_notes``, and ``deliver_at`` for SCHEDULED or ``prep_time_duration`` ("to prepare and
deliver") for ASAP. Square knows no areas, minimums or fees of a location, so the account has them; the fee is a service
charge of the order, which Square counts into its total.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from levelup_ov.adapter import (
    Account,
    Cents,
    JSONObject,
    Order,
    PostalArea,
    Refused,
    Setting,
    broken_protocol,
    check_address,
)

CHARGE = "levelup-delivery"
"""The ``uid`` of the fee among an order's service charges."""
SETTINGS = {
    "delivery_areas": Setting("postal codes that are delivered to, 021* for all that start with 021; if empty, none"),
    "delivery_fee": Setting("cents that a delivery costs", default="0"),
    "delivery_minimum": Setting("cents of food that a delivery needs at least", default="0"),
    "delivery_minutes": Setting("minutes that it takes to bring an order; needed with delivery_areas"),
}
FORMS = {"delivery_fee": "[0-9]{1,6}", "delivery_minimum": "[0-9]{1,7}", "delivery_minutes": "([1-9][0-9]{0,2})?"}
"""Patterns of the settings."""
DELIVERED_SINCE = {
    "PROPOSED": "placed_at",
    "RESERVED": "in_progress_at",
    "PREPARED": "ready_at",
    "COMPLETED": "delivered_at",
    "CANCELED": "canceled_at",
    "FAILED, rejected": "rejected_at",
}
"""The member of a delivery with the time at which its fulfillment came to a state."""


@dataclass(frozen=True, slots=True)
class DeliveryTerms:
    """What an account says of its deliveries; amounts in cents."""

    area: PostalArea
    fee: Cents
    minimum: Cents
    minutes: int

    @classmethod
    def of(cls, account: Account) -> DeliveryTerms:
        """:raises ValueError: the settings are not complete."""
        terms = cls(
            PostalArea(account.setting("delivery_areas")),
            int(account.setting("delivery_fee") or 0),
            int(account.setting("delivery_minimum") or 0),
            int(account.setting("delivery_minutes") or 0),
        )
        if terms.area and not terms.minutes:
            raise ValueError("delivery_areas needs delivery_minutes")
        return terms

    def check(self, order: Order) -> None:
        """:raises Refused: the address or the guest lacks something, or it is outside of the area."""
        check_address(order.delivery_address, ("locality", "postal_code"))
        if not (order.user.phone or "").strip():
            raise Refused("customer_refused", "a delivery needs a telephone number", path="$.user.phone")
        self.area.check(order.delivery_address)

    def charges(self, currency: str) -> list[dict[str, Any]]:
        """The fee in Square's members, if there is one."""
        return [{
            "uid": CHARGE, "name": "Delivery", "amount_money": {"amount": self.fee, "currency": currency},
            "calculation_phase": "SUBTOTAL_PHASE", "taxable": False,
        }] if self.fee else []  # fmt: skip


def address_of(order: Order) -> dict[str, str]:
    """The address in Square's members."""
    address = order.delivery_address
    if address is None:
        return {}
    parts = {
        "address_line_1": address.street_address, "address_line_2": address.extended_address,
        "locality": address.locality, "administrative_district_level_1": address.region,
        "postal_code": address.postal_code,
    }  # fmt: skip
    return {name: part for name, part in parts.items() if part}


def check_destination(answer: JSONObject, order: Order, call: str) -> None:
    """Check that Square's order is brought to the order's address.

    :raises Unanswered: ``provider_protocol_error``: it is not.
    """
    for fulfillment in answer.each("fulfillments"):
        if fulfillment.text("type", "") == "DELIVERY":
            recipient = fulfillment.member("delivery_details").member("recipient")
            held, wanted = recipient.member("address"), address_of(order)
            if all(held.text(name, None) == part for name, part in wanted.items()):
                return
    raise broken_protocol(f"the provider's order goes to another address: $.order.fulfillments in the answer to {call}")


def details_of(fulfillment: JSONObject) -> tuple[str, JSONObject]:
    """The type of a fulfillment, and its details; they are empty if there are none, or if it is a shipment.

    Only the seller can make a shipment: an order has one beside its own fulfillment, or in its place.
    """
    kind = fulfillment.text("type", "PICKUP")
    name = f"{kind.lower()}_details"
    return kind, fulfillment.member(name) if kind != "SHIPMENT" and fulfillment.has(name) else JSONObject({})
