"""Diner: an ordering engine with an HTTP API. A cart prices an order, ordering the cart places it (seen 2026-11).

Guests order; an order is found again by its reference. Only locations that take LevelUp are offered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from levelup_ov.adapter import (
    WEEKDAYS,
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
    Unanswered,
    check_basket,
    encode_path,
    nest,
    opening_hours,
)

CODES = {
    **dict.fromkeys(("choice_sold_out", "dish_sold_out"), "item_unavailable"),
    "dish_unknown": "unknown_item",
    "choice_unknown": "unknown_option",
    **dict.fromkeys(("too_few_choices", "too_many_choices"), "invalid_choices"),
    "time_too_far": "ready_time_unavailable",
}
"""The engine's problems and our codes; any other that it has a text for is ``order_refused``."""


class DinerAdapter(Adapter):
    """One account at Diner."""

    interface_version = 2
    tenders = frozenset({"levelup"})
    schedules = True
    settings = {
        "base_url": Setting("address of the API", required=True, url=True),
        "api_key": Setting("the key that Diner gave out for this account", required=True, secret=True),
    }

    def headers(self) -> Mapping[str, str]:
        return {"X-Sandbox-Key": self.account.setting("api_key")}

    def list_locations(self, session: Session) -> Sequence[Location]:
        places = session.get("/v1/locations").object().each("locations")
        return [_location(place) for place in places if "external" in place.texts("payments")]

    def show_menu(self, location: Location, session: Session) -> Menu:
        menu = session.get(f"/v1/locations/{location.provider_id}/menu").object().member("menu")
        groups: dict[str, OptionGroup] = {}
        categories = []
        for heading in menu.each("headings"):
            items = tuple(_item(dish, groups) for dish in heading.each("dishes"))
            categories.append(Category(heading.identifier("id"), heading.text("title"), items))
        return Menu(menu.identifier("id"), menu.text("title"), tuple(categories), tuple(groups.values()))

    def validate_order(self, order: Order, session: Session) -> Quote:
        quote = _cart(order, session).member("quote")
        discounts, ready = quote.member("discounts"), quote.member("ready")
        slots = tuple(slot.instant("at") for slot in ready.each("slots")) if ready.has("slots") else None
        return Quote(
            quote.cents("subtotal"),
            quote.cents("tax"),
            quote.cents("gratuity", None),
            quote.cents("grand_total"),
            discounts.cents("coupon"),
            discounts.cents("house"),
            ready=Ready(ready.instant("at", None), slots),
            cart={"untipped": Secret(str(_untipped(quote)))},
        )

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        answer = _cart(order, session)
        order.check_ready(answer.member("quote").member("ready").instant("at", None))
        total, shown = answer.member("quote").cents("grand_total"), order.cart.get("untipped")
        if shown is not None and int(shown.reveal()) != _untipped(answer.member("quote")):
            raise Refused("price_changed", "The price is no longer the one that was validated.")
        body = {"payment": {"external": "LevelUp"}, "reference": order.reference, "expected_total": total}
        path = f"/v1/carts/{answer.member('cart').identifier('id')}/orders"
        placed = session.post(path, body, places_order=True, trace={"total": total})
        return _placed(placed.object().member("order"), total)

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        path = f"/v1/locations/{location.provider_id}/orders"
        found = session.get(path, params={"reference": reference}).object().each("orders")
        return _placed(found[0], trace.get("total")) if found else None

    def error_from(self, reply: Reply) -> Refused | None:
        if reply.ok or reply.status >= 500 or reply.status in (401, 403, 429):
            return None
        try:
            problem = reply.object().member("problem")
            return Refused(CODES.get(problem.text("code"), "order_refused"), problem.text("text"))
        except Unanswered:
            return None


def _untipped(quote: JSONObject) -> int:
    """What must stay the same until the order is placed: the tip may change (META-5)."""
    return quote.cents("grand_total") - quote.cents("gratuity", 0)


def _cart(order: Order, session: Session) -> JSONObject:
    wanted, user = order.desired_ready_time, order.user
    body: dict[str, Any] = {
        "lines": [_line(item, f"$.items[{position}].item") for position, item in enumerate(order.items)],
        "customer": {"name": user.name, "phone": user.phone, "email": user.email},
        "note": order.special_instructions,
        "gratuity": order.tip,
        "coupon": order.merchant_funded_discount,
        "wanted_at": wanted and wanted.isoformat(timespec="seconds"),
    }
    answer = session.post(f"/v1/locations/{order.location.provider_id}/carts", body, repeatable=True).object()
    held = answer.member("cart").member("content").each("lines")
    check_basket((_chosen(JSONObject(line)) for line in body["lines"]), map(_chosen, held), "$.cart.content.lines")
    return answer


def _chosen(line: JSONObject) -> tuple[Any, ...]:
    what = [line.identifier(name, "") for name in ("dish", "group", "choice")]
    return *what, line.integer("count"), *sorted(map(_chosen, line.each("picks", [])))


def _line(item: Item, path: str) -> dict[str, Any]:
    picks = [_pick(choice) for choice in nest(item.options, path=path)]
    line = {"dish": item.provider_id, "count": item.quantity, "label": item.recipient_name, "picks": picks}
    return {**line, "note": item.special_instructions}


def _pick(choice: Choice) -> dict[str, Any]:
    picks = [_pick(child) for child in choice.children]
    return {"group": choice.group_id, "choice": choice.option_id, "count": choice.quantity, "picks": picks}


def _placed(order: JSONObject, expected: int | None) -> Placed:
    placed, ready_at = (order.integer("ticket"), order.identifier("id")), order.member("ready").instant("at", None)
    echoed, charged = order.text("reference"), order.cents("charged")
    return Placed(*placed, reference=echoed, expected_ready_at=ready_at, expected_charge=expected, charged=charged)


def _location(place: JSONObject) -> Location:
    days = place.each("weekly_hours")
    hours = opening_hours((WEEKDAYS[day.integer("weekday")], day.integer("from"), day.integer("to")) for day in days)
    name, tips, zone = place.text("title"), place.boolean("takes_gratuity"), place.text("zone")
    return Location(place.identifier("id"), name, accepts_tips_on_pickup=tips, time_zone=zone, hours=hours)


def _item(dish: JSONObject, groups: dict[str, OptionGroup]) -> MenuItem:
    published = _publish(dish, (), groups)
    return MenuItem(dish.identifier("id"), dish.text("title"), dish.cents("cents"), option_groups=published)


def _publish(owner: JSONObject, above: tuple[str, ...], groups: dict[str, OptionGroup]) -> tuple[str, ...]:
    """The owner's option groups, each once per path (MENU-5); the groups inside theirs too."""
    published = []
    for group in owner.each("groups"):
        path = (*above, group.identifier("id"))
        options = []
        for choice in group.each("choices"):
            own = (*path, choice.identifier("id"))
            inside, name = _publish(choice, own, groups), choice.text("title")
            options.append(MenuOption(encode_path(*own), name, choice.cents("cents"), option_groups=inside))
        least, most = group.integer("least"), group.integer("most", None)
        published.append(key := encode_path(*path))
        groups[key] = OptionGroup(key, group.text("title"), tuple(options), least, most)
    return tuple(published)
