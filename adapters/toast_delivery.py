"""Toast's deliveries: their own dining option, the address in ``deliveryInfo``, the restaurant's times and minimum.

From Toast's public specification (2026-11): an order whose dining option has the behavior DELIVERY needs
``deliveryInfo`` with ``address1``, ``city``, ``state`` and ``zipCode``, so nothing is priced without an address. A
restaurant says whether it delivers, its minimum, and its area as a polygon of coordinates. An order of the channel has
no coordinates, so the account says which postal codes the area has.
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
    Setting,
    broken_protocol,
    check_address,
    check_minimum,
)

SETTINGS = {
    "delivery_option": Setting("GUID of the delivery dining option: one for all, or each; without it none delivers"),
    "delivery_areas": Setting("postal codes that are delivered to, 021* for all that start with 021"),
}


@dataclass(frozen=True, slots=True)
class ToastService:
    """What Toast calls the parts of a restaurant that belong to one way to fulfill orders."""

    behavior: str
    prefix: str
    """Of the names in ``prepTimes``."""


TAKEOUT, DELIVERY = ToastService("TAKE_OUT", "takeout"), ToastService("DELIVERY", "delivery")


def service_of(order: Order) -> ToastService:
    return DELIVERY if is_delivery(order) else TAKEOUT


def is_delivery(order: Order) -> bool:
    return order.fulfillment_type == "delivery"


def area_of(account: Account) -> PostalArea:
    """:raises ValueError: there is a dining option for deliveries, but no area."""
    area = PostalArea(account.setting("delivery_areas"))
    if account.setting("delivery_option") and not area:
        raise ValueError("delivery_option needs delivery_areas")
    return area


def delivers(restaurant: JSONObject) -> bool:
    """Whether the restaurant has deliveries switched on."""
    return restaurant.has("delivery") and restaurant.member("delivery").boolean("enabled", False)


def delivery_info(order: Order, area: PostalArea) -> dict[str, Any]:
    """The address in Toast's members.

    :raises Refused: it is missing, lacks something, or is outside of the area.
    """
    check_address(order.delivery_address, ("locality", "region", "postal_code"), missing_is_fine=False)
    area.check(order.delivery_address)
    address = order.delivery_address
    assert address is not None
    parts = {
        "address1": address.street_address, "address2": address.extended_address, "city": address.locality,
        "state": address.region, "zipCode": address.postal_code, "notes": address.delivery_instructions,
    }  # fmt: skip
    return {name: part for name, part in parts.items() if part}


def check_food(food: Cents, restaurant: JSONObject) -> None:
    """:raises Refused: ``order_minimum_not_reached``."""
    if delivers(restaurant):
        check_minimum(food, restaurant.member("delivery").dollars("minimum", 0))


def check_destination(order: JSONObject, body: Any, call: str) -> None:
    """Check that Toast's order is brought where ``body`` says, if it is a delivery.

    :raises Unanswered: ``provider_protocol_error``: it is not.
    """
    for name, part in body.get("deliveryInfo", {}).items():
        if not order.has("deliveryInfo") or order.member("deliveryInfo").text(name, None) != part:
            words = f"the provider's answer to {call} goes to another address: $.deliveryInfo.{name} is not ours"
            raise broken_protocol(words)


def delivery_state(order: JSONObject) -> str:
    """How far the driver of an order is, in Toast's word; empty for a takeout order."""
    return order.member("deliveryInfo").text("deliveryState", "") if order.has("deliveryInfo") else ""
