"""A provider as real ones are: choices nested, the body built, the answer read member by member.

The setting ``calls`` says how it prices: ``1`` all in one call, ``3`` with a cart, its prices and its ready time.
``submission_calls`` says how it takes orders: ``1`` at once, ``2`` with a cart before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from bench.order import ITEMS
from levelup_ov.adapter import (
    Adapter,
    Category,
    Choice,
    Item,
    JSONObject,
    Location,
    Menu,
    MenuItem,
    MenuOption,
    OptionGroup,
    Order,
    Placed,
    Quote,
    Ready,
    Refused,
    Reply,
    Secret,
    Session,
    Setting,
    Tender,
    TenderKind,
    nest,
)

LOCATION = "main"
TIME_ZONE = "America/New_York"


class BenchAdapter(Adapter):
    """Calls ``bench.provider``."""

    interface_version: ClassVar[int] = 2
    tenders: ClassVar[frozenset[TenderKind]] = frozenset({"levelup"})
    echoes_nothing: ClassVar[str] = "bench.provider gives the same answer to every order (its ANSWERS)"
    settings: ClassVar[Mapping[str, Setting]] = {
        "base_url": Setting("address of bench.provider", required=True, url=True),
        "calls": Setting("provider calls of a validation: 1 or 3", default="1"),
        "submission_calls": Setting("provider calls of a submission: 1 or 2", default="2"),
    }

    def list_locations(self, session: Session) -> Sequence[Location]:
        return (Location(LOCATION, "Bench", accepts_tips_on_pickup=True, time_zone=TIME_ZONE),)

    def show_menu(self, location: Location, session: Session) -> Menu:
        groups = tuple(group for n in ITEMS for group in _option_groups(n))
        return Menu(LOCATION, "Bench", (Category("sandwiches", "Sandwiches", tuple(map(_menu_item, ITEMS))),), groups)

    def validate_order(self, order: Order, session: Session) -> Quote:
        body = order_body(order)
        if self.account.setting("calls") == "1":
            price = cart = ready = session.post("/prices", body, repeatable=True).object()
        else:
            cart = session.post("/carts", {"location_id": order.location.provider_id}, repeatable=True).object()
            path = f"/carts/{cart.identifier('cart_id')}"
            price = session.post(f"{path}/prices", body, repeatable=True).object()
            ready = session.get(f"{path}/ready_time").object()
        return quote(price, cart, ready)

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        if self.account.setting("submission_calls") == "2":
            session.post("/carts", {"location_id": order.location.provider_id}, repeatable=True).object()
        body = {**order_body(order), "reference": order.reference}
        placed = session.post("/orders", body, places_order=True).object()
        order_id, ready_at = placed.identifier("order_id"), placed.instant("ready_at")
        return Placed(placed.integer("number"), order_id, reference=None, expected_ready_at=ready_at)

    def error_from(self, reply: Reply) -> Refused | None:
        return Refused("order_refused", reply.object().text("message")) if reply.status == 422 else None


def order_body(order: Order) -> dict[str, Any]:
    """The order in the provider's own form."""
    return {
        "location_id": order.location.provider_id,
        "fulfillment": order.fulfillment_type,
        "ready_at": order.desired_ready_time and order.desired_ready_time.isoformat(),
        "customer": {"name": order.user.name, "phone": order.user.phone, "email": order.user.email},
        "note": order.special_instructions,
        "tip": order.tip,
        "discount": order.merchant_funded_discount,
        "items": [_item_body(position, item) for position, item in enumerate(order.items)],
    }


def quote(price: JSONObject, cart: JSONObject, ready: JSONObject) -> Quote:
    """The provider's answers; they may be one and the same."""
    return Quote(
        food=price.cents("subtotal"),
        tax=price.cents("tax"),
        tip=price.cents("tip", None),
        charged=price.cents("total"),
        merchant_funded_discount=price.cents("discount"),
        ready=Ready(soonest=ready.instant("ready_at", None)),
        cart={"cart_id": Secret(cart.identifier("cart_id"))},
    )


def _item_body(position: int, item: Item) -> dict[str, Any]:
    choices = nest(item.options, path=f"$.order_validation.items[{position}].item")
    return {
        "id": item.provider_id,
        "quantity": item.quantity,
        "recipient": item.recipient_name,
        "note": item.special_instructions,
        "modifiers": [_modifier_body(choice) for choice in choices],
    }


def _modifier_body(choice: Choice) -> dict[str, Any]:
    return {
        "group": choice.group_id,
        "id": choice.option_id,
        "quantity": choice.quantity,
        "modifiers": [_modifier_body(child) for child in choice.children],
    }


def _menu_item(n: int) -> MenuItem:
    return MenuItem(f"item-{n}", f"Sandwich number {n}", 1000, option_groups=(f"size-{n}", f"extras-{n}"))


def _option_groups(n: int) -> tuple[OptionGroup, ...]:
    age = f"extras-{n}:cheese:age-{n}"
    return (
        OptionGroup(f"size-{n}", "Size", (MenuOption(f"size-{n}:large", "Large"),)),
        OptionGroup(f"extras-{n}", "Extras", (MenuOption(f"extras-{n}:cheese", "Cheese", option_groups=(age,)),)),
        OptionGroup(age, "Age", (MenuOption(f"{age}:old", "Old"),)),
    )
