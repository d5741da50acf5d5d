"""FFTP: a restaurant's own ordering server (guest checkout, LevelUp as tender).

What version 0.4.0 does, read in its source and seen on the running server (2026-11):

- A server is one restaurant. Its one location here is ``main``, because its name may change. It does not
  publish its time zone or hours. It has no tax, tips, discounts or accounts, and prepares every order right away.
  It delivers to a one-line address without a phone number: not enough to offer delivery here (EP-12).
- There is no quote. An order with a wrong total is refused with the right one and not stored, so sending an
  impossible total asks for the price. The refusal has no time; ``eta_minutes`` of every order is the menu's
  ``default_prep_minutes``.
- A key used before returns the first order, whatever the body. But the key is looked up and stored in separate
  steps: two simultaneous requests make two orders, and a fault can leave an order without its key. So placing
  is not repeatable, and an order is found by its ``payment_proof``, which is stored together with it.
- Every order returns its ``payment_proof``, ``customer_name`` and ``status``. Some simultaneous orders are
  answered with 201 but not stored (one SQLite connection serves all threads): only the answer to ``/paid``, or the
  order itself, shows that it was stored.
- ``pickup_notes`` is accepted and discarded. The notes of a line reach the kitchen.
- An option is named without its group, and counts once however often it is named.

FFTP has no member for a merchant-funded discount, and the discount changes no tax there: it is only echoed (MONEY-5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from levelup_ov.adapter import (
    DELIMITER,
    Adapter,
    Category,
    Choice,
    Failure,
    Item,
    JSONObject,
    Location,
    Menu,
    MenuItem,
    MenuOption,
    OptionGroup,
    Order,
    OrderStatus,
    Placed,
    Quote,
    Ready,
    Refused,
    Reply,
    Secret,
    Session,
    Setting,
    Stock,
    Tender,
    Unanswered,
    broken_protocol,
    check_basket,
    encode_path,
    in_minutes,
    nest,
    reading,
)

LOCATION_ID = "main"
MENU_TTL = 60.0
"""Seconds for which a menu is cached; the counter may change it at any time, but a validation asks for the price."""
IMPOSSIBLE_TOTAL = 10**15
"""Cents that no order costs."""
PROOF = "LevelUp "
"""The prefix of our reference in ``payment_proof``."""

_REFUSALS = (
    ("unknown item_id", "unknown_item"),
    ("item unavailable", "item_unavailable"),
    ("unknown modifier option", "unknown_option"),
    ("missing required modifier group", "invalid_choices"),
    ("pick at most one option", "invalid_choices"),
    (r"lines\.\d+\.quantity: ", "invalid_choices"),
)
"""How FFTP's refusals start, as patterns, and the code of each; any other is ``order_refused``."""


class PriceDiffers(Refused):
    """The order costs ``correct_total`` cents, not ``sent_total`` (None: not said); nothing was placed."""

    def __init__(self, message: str, correct_total: int, sent_total: object) -> None:
        super().__init__("price_changed", message)
        self.correct_total = correct_total
        self.sent_total = sent_total


class NotFound(Refused):
    """FFTP has no order of this id."""


class FftpAdapter(Adapter):
    """One restaurant's FFTP server."""

    interface_version = 2
    tenders = frozenset({"levelup"})
    order_status = {
        "received": "placed",
        "preparing": "preparing",
        "ready": "ready",
        "completed": "picked_up",
        "cancelled": "cancelled",
    }
    cancels = True
    reports_stock = True
    settings = {
        "base_url": Setting("address of the restaurant's FFTP server", required=True, url=True),
        "admin_token": Setting("the server's admin token; marking orders as paid needs it", required=True, secret=True),
        "currency": Setting("ISO 4217 code of the currency that prices are in", default="USD"),
    }

    def list_locations(self, session: Session) -> Sequence[Location]:
        restaurant = session.get("/.well-known/fftp.json").object()
        address = restaurant.text("address", "") or None
        name = restaurant.text("restaurant_name")
        currency = self.account.setting("currency") or None
        zone = self.account.time_zone
        return [Location(LOCATION_ID, name, street_address=address, time_zone=zone, currency=currency)]

    def show_menu(self, location: Location, session: Session) -> Menu:
        menu = self._menu(session)
        categories: dict[str, list[MenuItem]] = {}
        groups: list[OptionGroup] = []
        for item in menu.each("items"):
            item_groups = _option_groups(item)
            groups += item_groups
            # An item added at the counter without a category has an empty one.
            categories.setdefault(item.text("category", "").strip() or "Menu", []).append(_menu_item(item, item_groups))
        return Menu(
            provider_id=location.provider_id,
            name=menu.text("restaurant_name"),
            categories=tuple(Category(name, name, tuple(items)) for name, items in categories.items()),
            option_groups=tuple(groups),
        )

    def show_stock(self, location: Location, session: Session) -> Stock:
        """The items that the counter marked as not available: the menu as it is now, not the cached one."""
        items = session.get("/fftp/v1/menu").object().each("items")
        return Stock(frozenset(item.identifier("id") for item in items if not item.boolean("available", True)))

    def validate_order(self, order: Order, session: Session) -> Quote:
        total = _price(order, session)
        return Quote(
            food=total,
            tax=0,
            tip=None,
            charged=None if order.merchant_funded_discount else total,
            merchant_funded_discount=order.merchant_funded_discount,
            ready=Ready(self._ready_at(order, session)),
            cart={"validated": Secret(json.dumps({"total": total}))},
        )

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        # Lists nothing, but needs the right token: an order that cannot be marked as paid must not be placed.
        session.get("/fftp/v1/orders", params={"status": "none"}, headers=self._admin())
        if order.ready_window is not None:
            order.check_ready(self._ready_at(order, session))
        validated = order.cart.get("validated")
        total = json.loads(validated.reveal())["total"] if isinstance(validated, Secret) else _price(order, session)
        reference = order.reference or uuid4().hex
        body = _body(order, total, reference)
        try:
            reply = session.post("/fftp/v1/orders", body, places_order=True)
        except PriceDiffers as refusal:
            _check_total(refusal, total)
            raise
        except NotFound:
            # Not a refusal of this call: FFTP answers this for an order that is requested by its id.
            raise broken_protocol("the provider answers POST /fftp/v1/orders with 404") from None
        except Refused as refusal:
            raise refusal.replace(path=_fault(refusal.message, body["lines"])) from None
        placed = reply.object()
        _check_echo(placed, "POST /fftp/v1/orders", reference, customer=order.user.name)
        _check_stands(placed, "POST /fftp/v1/orders")
        _check_lines(placed, body, "POST /fftp/v1/orders")
        if reply.status == 201:  # The restaurant's clock may be slow.
            made_at = max(placed.instant("created_at", order.received_at), order.received_at)
        else:  # An earlier order.
            made_at = placed.instant("created_at")
        discounted = order.merchant_funded_discount > 0
        return self._finish(placed, made_at, session, customer=order.user.name, discounted=discounted, body=body)

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        """The order placed under ``reference``, now marked as paid; None proves that there is none (SUB-5)."""
        rows = JSONObject({"orders": session.get("/fftp/v1/orders", headers=self._admin()).json()}).each("orders")
        # Read every row: a row without a payment_proof may be the order in question.
        proofs = [(row.text("payment_proof"), row.identifier("order_id")) for row in rows]
        found = [row for row, (proof, _) in zip(rows, proofs) if proof == PROOF + reference]
        if not found:
            return None
        # An order that still stands comes first: the counter may have canceled the other one of a pair.
        first = min(found, key=lambda row: (_is_canceled(row), row.instant("created_at")))
        customer = first.text("customer_name", None)
        placed = self._finish(first, first.instant("created_at"), session, customer=customer, discounted=None)
        others = tuple(row.identifier("order_id") for row in found if row is not first)
        return replace(placed, duplicates=others)

    def show_status(self, location: Location, provider_order_id: str, reference: str, session: Session) -> OrderStatus:
        """FFTP does not say when a status changed."""
        path = _path(provider_order_id)
        order = session.get(path).object()
        _check_echo(order, f"GET {path}", reference, customer=None, order_id=provider_order_id)
        return OrderStatus(order.text("status"), reference=order.text("payment_proof").removeprefix(PROOF))

    def cancel_order(self, location: Location, provider_order_id: str, reference: str, session: Session) -> None:
        """FFTP cancels a ready order too; the service reads the status first."""
        status = {"status": "cancelled"}
        session.post(f"{_path(provider_order_id)}/status", status, headers=self._admin(), repeatable=True)

    def error_from(self, reply: Reply) -> Refused | None:
        if reply.status == 409:
            detail = reply.object().member("detail")
            if detail.text("error", "total_mismatch") != "total_mismatch":
                raise broken_protocol("the provider's answer needs total_mismatch at $.detail.error")
            sent = detail.value.get("client_total_cents")
            return PriceDiffers(detail.text("message"), detail.cents("correct_total_cents"), sent)
        if reply.status == 422:
            words = _words(reply.object())
            code = next((code for beginning, code in _REFUSALS if re.match(beginning, words)), "order_refused")
            return Refused(code, words)
        if reply.status == 404 and reply.json() == {"detail": "order not found"}:
            return NotFound("order_refused", "order not found")
        return None

    def _menu(self, session: Session) -> JSONObject:
        """The menu as FFTP has it; nothing is converted from another currency."""
        menu = session.get("/fftp/v1/menu", cache_for=MENU_TTL, check=_check_menu).object()
        currency = self.account.setting("currency") or "USD"
        if (own := menu.text("currency", currency)) != currency:
            raise broken_protocol(f"the restaurant's prices are in {own}; the account's currency is {currency}")
        return menu

    def _ready_at(self, order: Order, session: Session) -> datetime:
        """When FFTP says that every order is ready."""
        with reading():
            return in_minutes(self._menu(session).integer("default_prep_minutes"), order.received_at)

    def _admin(self) -> Mapping[str, str]:
        return {"x-admin-token": self.account.setting("admin_token")}

    def _finish(
        self,
        placed: JSONObject,
        made_at: datetime,
        session: Session,
        *,
        customer: str | None,
        discounted: bool | None,
        body: Mapping[str, Any] | None = None,
    ) -> Placed:
        """Mark a placed order as paid with LevelUp (PAY-1), which also shows that FFTP kept it (SUB-8).

        An order that FFTP stored but did not mark as paid is reported as charged with 0 (PAY-4). FFTP cannot say
        what was paid for an order with a discount.

        A canceled order was placed, but only a look-up finds one that is: FFTP's answers to the placing call and to
        the next one would contradict each other.

        :raises Unanswered: FFTP does not have the order, has just canceled it, or gives no answer that shows it.
        """
        order_id = placed.identifier("order_id")
        ready_at = in_minutes(placed.integer("eta_minutes"), made_at)
        ticket, total = placed.identifier("ticket_number"), placed.cents("total_cents")
        kept = self._kept(order_id, placed.text("payment_proof").removeprefix(PROOF), customer, session)
        # The counter's number, whatever the answer to the placing call said.
        ticket = kept.identifier("ticket_number", ticket)
        if body is not None:
            call = f"POST /fftp/v1/orders/{order_id}/paid"
            _check_stands(kept, call)
            _check_lines(kept, body, call)
        if kept.boolean("paid"):
            charged = kept.cents("total_cents", total) if discounted is False else None
        else:
            charged = None if _is_canceled(kept) else 0
        return Placed(
            ticket,
            order_id,
            reference=kept.text("payment_proof").removeprefix(PROOF),
            expected_ready_at=ready_at,
            expected_charge=None if charged is None else total if body is None else body["client_total_cents"],
            charged=charged,
        )

    def _kept(self, order_id: str, reference: str, customer: str | None, session: Session) -> JSONObject:
        """The order as FFTP has it after marking it as paid; if that failed, as it is."""
        path = _path(order_id)
        call = f"POST {path}/paid"
        try:
            try:
                reply = session.post(f"{path}/paid", {"paid": True}, headers=self._admin(), repeatable=True)
                kept = reply.object()
                settled = kept.boolean("paid") or _is_canceled(kept)
                if reply.status != 200 or not settled:
                    # The placing call's answer looks the same, so this does not show that FFTP stored the order.
                    raise broken_protocol("the provider's answer does not mark the order as paid")
            except NotFound:
                raise
            except Failure:
                call = f"GET {path}"
                kept = session.get(path).object()
        except NotFound:
            raise broken_protocol(f"the provider confirmed an order, and answers {call} with 404") from None
        _check_echo(kept, call, reference, customer=customer, order_id=order_id)
        return kept


def _path(order_id: str) -> str:
    return f"/fftp/v1/orders/{quote(order_id, safe='')}"


def _check_echo(
    order: JSONObject, call: str, reference: str, *, customer: str | None, order_id: str | None = None
) -> None:
    """Check that FFTP's answer to ``call`` is about the requested order.

    :raises Unanswered: ``provider_protocol_error``, with the call and the member.
    """
    echoed = {
        "order_id": (order.identifier("order_id", ""), order_id),
        "payment_proof": (order.text("payment_proof", ""), PROOF + reference),
        "customer_name": (order.text("customer_name", customer), customer),
    }
    for member, (said, wanted) in echoed.items():
        if wanted is not None and said != wanted:
            raise broken_protocol(f"the provider's answer to {call} is about another order: $.{member} is not ours")


def _is_canceled(order: JSONObject) -> bool:
    return order.text("status", "") == "cancelled"


def _check_stands(order: JSONObject, call: str) -> None:
    """Check that an order that was just placed is not canceled. :raises Unanswered: it is."""
    if _is_canceled(order):
        raise broken_protocol(f"the provider's answer to {call} says that the order was canceled: $.status")


def _check_lines(held: JSONObject, body: Mapping[str, Any], call: str) -> None:
    """Check that an order has the lines of ``body``, if FFTP shows them (ITEM-11)."""
    if held.has("lines"):
        ordered = ((line["item_id"], line["quantity"], *sorted(line["modifiers"])) for line in body["lines"])
        lines = ((each.identifier("item_id"), each.integer("quantity"), *sorted(each.identifiers("modifiers", [])))
                 for each in held.each("lines"))  # fmt: skip
        check_basket(ordered, lines, f"$.lines in the answer to {call}")


def _check_total(refusal: PriceDiffers, total: int) -> None:
    """:raises Unanswered: ``provider_protocol_error``: the refusal is not about this total."""
    if refusal.sent_total not in (None, total):
        words = "the provider refuses an order of another total: $.detail.client_total_cents is not ours"
        raise broken_protocol(words)
    if refusal.correct_total == total:
        words = "the provider refuses a total and says that it is right: $.detail.correct_total_cents is ours"
        raise broken_protocol(words)


def _check_menu(menu: JSONObject) -> None:
    menu.text("restaurant_name")
    menu.integer("default_prep_minutes")
    for item in menu.each("items"):
        _menu_item(item, _option_groups(item))


def _menu_item(item: JSONObject, groups: Sequence[OptionGroup]) -> MenuItem:
    return MenuItem(
        provider_id=item.identifier("id"),
        name=item.text("name"),
        price=item.price("price_cents"),
        description=item.text("description", "") or None,
        option_groups=tuple(group.provider_id for group in groups),
    )


def _option_groups(item: JSONObject) -> tuple[OptionGroup, ...]:
    """The item's groups. FFTP's group ids are unique only within one item, so ours contain the item's id too.

    :raises Unanswered: ``menu_invalid``: an option id is in two groups; FFTP would choose both.
    """
    item_id, groups = item.identifier("id"), item.each("modifiers", [])
    ids = [option.identifier("id") for group in groups for option in group.each("options", [])]
    if repeated := [option_id for option_id in ids if ids.count(option_id) > 1]:
        place = f"option_provider_id={repeated[0]} item_provider_id={item_id}"
        raise Unanswered("menu_invalid", f"option provider_id isn't unique in its item {place}", sent=True)
    return tuple(_option_group(encode_path(item_id, group.identifier("id")), group) for group in groups)


def _option_group(group_id: str, group: JSONObject) -> OptionGroup:
    return OptionGroup(
        provider_id=encode_path(group_id),
        name=group.text("name"),
        options=tuple(
            MenuOption(
                provider_id=encode_path(group_id, option.identifier("id")),
                name=option.text("name"),
                price=option.price("price_delta_cents") if option.has("price_delta_cents") else 0,
                maximum_quantity=1,
            )
            for option in group.each("options", [])
        ),
        minimum_choices=1 if group.boolean("required", False) else 0,
        maximum_choices=None if group.boolean("multiple", False) else 1,
    )


def _price(order: Order, session: Session) -> int:
    """FFTP's price of the order, in cents, from an order that it cannot accept."""
    body = _body(order, IMPOSSIBLE_TOTAL, uuid4().hex)
    try:
        session.post("/fftp/v1/orders", body, repeatable=True)
    except PriceDiffers as refusal:
        _check_total(refusal, IMPOSSIBLE_TOTAL)
        return refusal.correct_total
    except Refused as refusal:
        raise refusal.replace(path=_fault(refusal.message, body["lines"])) from None
    raise broken_protocol("the provider accepted an order with an impossible total")


def _body(order: Order, total: int, key: str) -> dict[str, Any]:
    if order.desired_ready_time is not None:
        words = "the restaurant prepares every order right away and takes none for later"
        raise Refused("ready_time_unavailable", words, path="$.desired_ready_time")
    lines = [_line(item, f"$.items[{position}].item") for position, item in enumerate(order.items)]
    if order.special_instructions:
        lines[0]["notes"] = _notes(lines[0]["notes"], f"whole order: {order.special_instructions}")
    return {
        "lines": lines,
        "client_total_cents": total,
        "payment_proof": PROOF + key,
        "idempotency_key": key,
        "customer_name": order.user.name,
    }


def _line(item: Item, path: str) -> dict[str, Any]:
    return {
        "item_id": item.provider_id,
        "quantity": item.quantity,
        "modifiers": [_modifier(item, choice, f"{path}.options") for choice in nest(item.options, path=path)],
        "notes": _notes(item.recipient_name and f"for {item.recipient_name}", item.special_instructions),
    }


def _modifier(item: Item, choice: Choice, path: str) -> str:
    """The option as FFTP takes it: without its group, once, without nested options."""
    if not choice.group_id.startswith(encode_path(item.provider_id) + DELIMITER):
        words = f"{item.provider_id} has no option {choice.option_id} in {choice.group_id}"
        raise Refused("unknown_option", words, path=path)
    if choice.children:
        raise Refused("unknown_option", f"{choice.option_id} of {choice.group_id} has no options", path=path)
    if choice.quantity > 1:
        words = f"option {choice.option_id} can be chosen only once for an item"
        raise Refused("invalid_choices", words, path=path)
    return choice.option_id


def _fault(words: str, lines: Sequence[Mapping[str, Any]]) -> str | None:
    """The item that FFTP's refusal is about; None: its words do not say it.

    FFTP refuses the first line at fault. It names a group without its item.
    """
    is_about_choices = words.startswith(("missing required modifier group", "pick at most one option"))
    for position, line in enumerate(lines):
        unknown = [option for option in line["modifiers"] if repr(option) in words]
        faults = (
            f"unknown item_id: {line['item_id']!r}",
            f"item unavailable: {line['item_id']!r}",
            f"unknown modifier option(s): {unknown}",
        )
        is_only_one = is_about_choices and len(lines) == 1
        if words in faults or words.startswith(f"lines.{position}.") or is_only_one:
            return f"$.items[{position}].item"
    return None


def _notes(*notes: str | None) -> str:
    return " / ".join(note for note in notes if note)


def _words(body: JSONObject) -> str:
    """FFTP's own message: a sentence, or a list of faults with their places."""
    if type(body.value.get("detail")) is str:
        return body.text("detail")
    if not (problems := body.each("detail")):
        raise broken_protocol("the provider's refusal needs words at $.detail")
    return "; ".join(f"{_place(problem.value.get('loc'))}: {problem.text('msg')}" for problem in problems)


def _place(loc: Any) -> str:
    return ".".join(str(part) for part in loc[1:]) if type(loc) is list else "order"
