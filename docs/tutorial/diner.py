"""A diner on FFTP 0.4.0 (seen 2026-11): no tax, tips, discounts or accounts; every order is made at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from levelup_ov.adapter import (
    DELIMITER,
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
    broken_protocol,
    check_basket,
    encode_path,
    in_minutes,
    nest,
)

REFUSALS = {
    "unknown item_id": "unknown_item",
    "item unavailable": "item_unavailable",
    "unknown modifier option": "unknown_option",
    **dict.fromkeys(("missing required modifier", "pick at most one", "Input should be"), "invalid_choices"),
}
NO_TOTAL = 10**15  # cents that no order costs


class PriceDiffers(Refused):
    def __init__(self, words: str, total: int) -> None:
        super().__init__("price_changed", words)
        self.total = total


class DinerAdapter(Adapter):
    interface_version = 2
    tenders = frozenset({"levelup"})
    settings = {
        "base_url": Setting("address of the ordering server", required=True, url=True),
        "admin_token": Setting("the server's admin token, which marks orders as paid", required=True, secret=True),
    }

    def headers(self) -> Mapping[str, str]:
        return {"x-admin-token": self.account.setting("admin_token")}

    def list_locations(self, session: Session) -> Sequence[Location]:
        restaurant = session.get("/.well-known/fftp.json").object()
        return [Location("main", restaurant.text("restaurant_name"), street_address=restaurant.text("address", None))]

    def show_menu(self, location: Location, session: Session) -> Menu:
        menu = session.get("/fftp/v1/menu").object()
        categories, groups = dict[str, list[MenuItem]](), list[OptionGroup]()
        for item in menu.each("items"):
            own = [_option_group(item.identifier("id"), group) for group in item.each("modifiers", [])]
            groups += own
            ids = tuple(group.provider_id for group in own)
            food = MenuItem(item.identifier("id"), item.text("name"), item.cents("price_cents"), option_groups=ids)
            categories.setdefault(item.text("category", "") or "Menu", []).append(food)
        found = tuple(Category(name, name, tuple(items)) for name, items in categories.items())
        return Menu(location.provider_id, menu.text("restaurant_name"), found, tuple(groups))

    def error_from(self, reply: Reply) -> Refused | None:
        if reply.status == 409:
            detail = reply.object().member("detail")
            return PriceDiffers(detail.text("message"), detail.cents("correct_total_cents"))
        if reply.status == 422:
            said = reply.object()
            is_text = isinstance(said.value.get("detail"), str)
            words = said.text("detail") if is_text else "; ".join(each.text("msg") for each in said.each("detail"))
            codes = (code for beginning, code in REFUSALS.items() if words.startswith(beginning))
            return Refused(next(codes, "order_refused"), words)
        return None

    def validate_order(self, order: Order, session: Session) -> Quote:
        total, discount, ready = _price(order, session), order.merchant_funded_discount, _ready_at(order, session)
        cart, charged = {"total": Secret(str(total))}, None if discount else total
        return Quote(total, 0, None, charged, merchant_funded_discount=discount, ready=Ready(ready), cart=cart)

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        # Lists nothing, but is refused without the right token: what cannot be marked as paid is not placed.
        session.get("/fftp/v1/orders", params={"status": "none"})
        order.check_ready(_ready_at(order, session))
        total = int(order.cart["total"].reveal()) if "total" in order.cart else _price(order, session)
        reference = order.reference or uuid4().hex
        body = _body(order, total, reference)
        placed = session.post("/fftp/v1/orders", body, places_order=True).object()
        return self._paid(placed, reference, session, body["lines"])

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        orders = session.get("/fftp/v1/orders").objects()
        found = [order for order in orders if order.text("payment_proof") == f"LevelUp {reference}"]
        return self._paid(found[0], reference, session) if found else None

    def _paid(self, order: JSONObject, reference: str, session: Session, lines: Sequence[Any] | None = None) -> Placed:
        """The order, marked as paid. Where that fails the outcome is unknown: asked again, it is found and marked."""
        if order.text("payment_proof") != f"LevelUp {reference}":
            raise broken_protocol("the answer is about another order: $.payment_proof is not ours")
        _check_lines(order, lines)
        order_id, minutes = order.identifier("order_id"), order.integer("eta_minutes")
        path = f"/fftp/v1/orders/{quote(order_id, safe='')}/paid"
        paid = session.post(path, {"paid": True}, repeatable=True).object()
        _check_lines(paid, lines)
        # As this answer says it: the server confirms orders that it does not keep.
        echoed = paid.text("payment_proof").removeprefix("LevelUp ")
        ready_at, ticket = in_minutes(minutes, order.instant("created_at")), order.identifier("ticket_number")
        return Placed(ticket, order_id, reference=echoed, expected_ready_at=ready_at)


def _option_group(item_id: str, group: JSONObject) -> OptionGroup:
    name = encode_path(item_id, group.identifier("id"))
    options = tuple(
        MenuOption(encode_path(name, each.identifier("id")), each.text("name"), each.cents("price_delta_cents", 0), 1)
        for each in group.each("options", [])
    )
    least, most = int(group.boolean("required", False)), None if group.boolean("multiple", False) else 1
    return OptionGroup(encode_path(name), group.text("name"), options, least, most)


def _price(order: Order, session: Session) -> int:
    try:
        session.post("/fftp/v1/orders", _body(order, NO_TOTAL, uuid4().hex), repeatable=True)
    except PriceDiffers as refusal:
        return refusal.total
    raise broken_protocol("the server accepted a total that no order has")


def _ready_at(order: Order, session: Session) -> datetime:
    return in_minutes(session.get("/fftp/v1/menu").object().integer("default_prep_minutes"), order.received_at)


def _body(order: Order, total: int, key: str) -> dict[str, Any]:
    if order.desired_ready_time is not None:
        raise Refused("ready_time_unavailable", "the diner makes every order at once", path="$.desired_ready_time")
    lines = [_line(item, f"$.items[{position}].item") for position, item in enumerate(order.items)]
    if order.special_instructions:
        lines[0]["notes"] += f" / whole order: {order.special_instructions}"
    basket = {"lines": lines, "client_total_cents": total, "customer_name": order.user.name}
    return {**basket, "payment_proof": f"LevelUp {key}", "idempotency_key": key}


def _check_lines(order: JSONObject, lines: Sequence[Any] | None) -> None:
    if lines is not None:
        ordered = [(line["item_id"], line["quantity"], *sorted(line["modifiers"])) for line in lines]
        rows = order.each("lines")
        held = [(row.text("item_id"), row.integer("quantity"), *sorted(row.texts("modifiers"))) for row in rows]
        check_basket(ordered, held, "$.lines of the order")


def _line(item: Item, path: str) -> dict[str, Any]:
    options = [_modifier(item, choice, f"{path}.options") for choice in nest(item.options, path=path)]
    notes = " / ".join(filter(None, (item.recipient_name, item.special_instructions)))
    return {"item_id": item.provider_id, "quantity": item.quantity, "modifiers": options, "notes": notes}


def _modifier(item: Item, choice: Choice, path: str) -> str:
    if choice.children or not choice.group_id.startswith(encode_path(item.provider_id) + DELIMITER):
        raise Refused("unknown_option", f"{item.provider_id} has no such option in {choice.group_id}", path=path)
    if choice.quantity > 1:
        raise Refused("invalid_choices", f"option {choice.option_id} can be chosen only once", path=path)
    return choice.option_id
