"""A shop with a bearer login, one basket for each cookie, amounts as text and lists at the root of its answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from levelup_ov.adapter import (
    Account,
    Adapter,
    Category,
    Item,
    JSONObject,
    Location,
    Login,
    Menu,
    MenuItem,
    MenuOption,
    OptionGroup,
    Order,
    Placed,
    Quote,
    Refused,
    Reply,
    Secret,
    Session,
    Setting,
    Tender,
    broken_protocol,
    check_basket,
    cookie_of,
    encode_path,
    nest,
)


class BasketAdapter(Adapter):
    """Every order fills a basket of its own, under a cookie that no other order sends."""

    interface_version = 2
    tenders = frozenset({"levelup"})
    settings = {
        "base_url": Setting("address of the till", required=True, url=True),
        "password": Setting("of the till", required=True, secret=True),
    }

    def __init__(self, account: Account) -> None:
        super().__init__(account)
        self._login = Login(self._log_in)

    def _log_in(self, session: Session) -> tuple[Secret, float]:
        answer = session.post("/login", {"password": self.account.setting("password")}, repeatable=True).object()
        return Secret(answer.text("token")), answer.integer("seconds")

    def list_locations(self, session: Session) -> Sequence[Location]:
        rows = self._login.call(session, "GET", "/shops").objects()
        return [Location(row.identifier("no"), row.text("name"), time_zone=row.text("zone")) for row in rows]

    def show_menu(self, location: Location, session: Session) -> Menu:
        rows, items, groups = self._login.call(session, "GET", "/dishes").objects(), [], []
        for row in rows:
            dish = row.identifier("dish")
            group = encode_path(dish)
            options = tuple(
                MenuOption(encode_path(dish, each.identifier("extra")), each.text("extra"), each.amount("price"), 1)
                for each in row.each("extras")
            )
            groups += [OptionGroup(group, "Extras", options)] * bool(options)
            items.append(MenuItem(dish, dish, row.amount("price"), option_groups=(group,) * bool(options)))
        return Menu(location.provider_id, "Pho Bar", (Category("all", "All", tuple(items)),), tuple(groups))

    def validate_order(self, order: Order, session: Session) -> Quote:
        _, total = self._fill(order, session)
        discount, cart = order.merchant_funded_discount, {"total": Secret(str(total))}
        return Quote(total, 0, None, None if discount else total, merchant_funded_discount=discount, cart=cart)

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        basket, total = self._fill(order, session)
        shown = int(order.cart["total"].reveal()) if "total" in order.cart else total
        return self._place(order, basket, shown, session)

    def _place(self, order: Order, basket: str, total: int, session: Session) -> Placed:
        body = {
            "reference": order.reference,
            "name": order.user.name,
            "note": order.special_instructions,
            "total": str(Decimal(total) / 100),
        }
        headers = {"Cookie": f"basket={basket}"}
        placed = self._login.call(session, "POST", "/basket/orders", body=body, headers=headers, places_order=True)
        result = _placed(placed.object(), order.reference or "", [line_of(item) for item in order.items])
        result = replace(result, expected_charge=total)
        # The till takes no discount: what is paid is not its total then (MONEY-11).
        return replace(result, charged=None, expected_charge=None) if order.merchant_funded_discount else result

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        rows = self._login.call(session, "GET", "/orders", params={"reference": reference}).objects()
        return _placed(rows[0], reference) if rows else None

    def error_from(self, reply: Reply) -> Refused | None:
        why = reply.json() if reply.status in (404, 409) else None
        said = why.get("why") if isinstance(why, dict) else None
        codes = {
            "no such dish": "unknown_item",
            "no such extra": "unknown_option",
            "too many": "invalid_choices",
            "another price": "price_changed",
        }
        return Refused(codes[said], said) if said in codes else None

    def _fill(self, order: Order, session: Session) -> tuple[str, int]:
        """A new basket with the order in it: its cookie, and what it costs."""
        if order.desired_ready_time is not None:
            raise Refused("ready_time_unavailable", "the shop cooks at once", path="$.desired_ready_time")
        basket, answer = "", JSONObject({})
        for item in order.items:
            headers = {"Cookie": f"basket={basket}"} if basket else {}
            reply = self._login.call(session, "POST", "/basket/lines", body=line_of(item), headers=headers)
            basket, answer = basket or session.add_secret(cookie_of(reply, "basket")), reply.object()
        check_basket(map(_line, map(line_of, order.items)), _lines(answer), "$.lines in the answer to /basket/lines")
        return basket, answer.amount("total")


def line_of(item: Item) -> dict[str, Any]:
    choices = nest(item.options)
    if any(choice.quantity > 1 or choice.children or choice.group_id != item.provider_id for choice in choices):
        raise Refused("unknown_option", "an extra is of its dish, and taken once")
    extras = [choice.option_id for choice in choices]
    return {
        "dish": item.provider_id,
        "count": item.quantity,
        "extras": extras,
        "note": item.special_instructions,
        "for": item.recipient_name,
    }


def _line(line: Mapping[str, Any]) -> tuple[Any, ...]:
    return line["dish"], line["count"], *sorted(line["extras"])


def _lines(answer: JSONObject) -> list[tuple[Any, ...]]:
    return [(each.text("dish"), each.integer("count"), *sorted(each.texts("extras"))) for each in answer.each("lines")]


def _placed(answer: JSONObject, reference: str, lines: Sequence[Mapping[str, Any]] | None = None) -> Placed:
    if answer.text("reference") != reference:
        raise broken_protocol("the answer is about another order: $.reference is not ours")
    if lines is not None:
        check_basket(map(_line, lines), _lines(answer), "$.lines in the answer to /basket/orders")
    return Placed(
        answer.integer("no"),
        answer.identifier("no"),
        reference=answer.text("reference"),
        charged=answer.amount("total"),
    )
