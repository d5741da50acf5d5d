"""The embedded sandbox engine (:mod:`levelup_ov.standins.sandbox`), in-process or served on a port.

A validation is one call, and its submission is one more. Where the engine serves only members, it refuses the
guest, and the order is made with an account (META-6). A cart is ordered at most once, and a reference belongs to one
order of a location. The engine returns the reference with every order, and can be set to refuse late requests under
a reference (SUB-10).
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote

from levelup_ov.adapter import (
    DELIMITER,
    WEEKDAYS,
    Adapter,
    AddressDecides,
    Category,
    CategoryGroup,
    Choice,
    Fee,
    Item,
    JSONObject,
    LevelUp,
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
    ReferenceFenced,
    Refused,
    Reply,
    Secret,
    Session,
    Setting,
    Stock,
    Tender,
    TenderKind,
    Unanswered,
    broken_protocol,
    check_basket,
    encode_path,
    nest,
    opening_hours,
    read_each,
)

MENU_TTL = 60.0
"""Seconds for which a menu is kept."""
CODES: Mapping[str, str] = {
    "unknown_item": "dish_unknown",
    "unknown_option": "choice_unknown group_unknown",
    "item_unavailable": "choice_sold_out dish_sold_out",
    "invalid_choices": "choice_too_often line_too_large too_few_choices too_few_kinds too_many_choices too_many_kinds",
    "special_instructions_too_long": "note_too_long",
    "special_instructions_not_allowed": "note_not_taken",
    "ready_time_in_past": "time_past",
    "ready_time_unavailable": "no_scheduling no_slot_left time_changed time_too_far",
    "tender_not_accepted": "payment_not_taken",
    "price_changed": "price_changed",
    "card_declined": "card_declined card_expired card_invalid",
    "customer_refused": "customer_incomplete email_invalid email_taken login_refused session_refused",
    "location_not_found": "place_unknown",
    "order_refused": (
        "cart_of_another cart_ordered cart_unknown coupon_too_large no_driver order_too_large payment_declined "
        "reference_taken"
    ),
    "fulfillment_not_supported": "no_delivery",
    "delivery_address_incomplete": "address_incomplete",
    "address_not_served": "address_not_served",
    "order_minimum_not_reached": "minimum_not_reached",
    "cancellation_refused": "too_late",
    "location_closed": "place_paused",
}
"""Our codes, each with the engine's problems that it covers."""
REFUSING_STATUSES = (401, 404, 409, 422)
"""The statuses of the engine's refusals; any other status is not from the engine."""

_ORDERED = ("cart_ordered", "reference_taken")
"""Perhaps by an earlier delivery of the same call."""
_UNUSABLE = ("cart_of_another", "cart_unknown", "session_refused")
"""The cart cannot be ordered, a new one can."""

_PATHS = (
    (r"note$", "$.special_instructions"),
    (r"lines\[(\d+)\]\.note$", r"$.items[\1].item.special_instructions"),
    (r"lines\[(\d+)\]\.count$", r"$.items[\1].item.quantity"),
    (r"lines\[(\d+)\]", r"$.items[\1].item"),
    (r"wanted_at$", "$.desired_ready_time"),
    (r"coupon$", "$.merchant_funded_discount"),
    (r"delivery\.address\.street$", "$.delivery_address.street_address"),
    (r"delivery\.address\.postcode$", "$.delivery_address.postal_code"),
    (r"delivery\.address", "$.delivery_address"),
    (r"delivery$", "$.fulfillment_type"),
    (r"lines$", "$.items"),
)
"""Paths in the engine's cart, and the corresponding members of our order."""

_CODE_OF = {problem: code for code, problems in CODES.items() for problem in problems.split()}
_DECIDES: Mapping[str, AddressDecides] = {
    "zone": "availability", "fee": "fee", "minimum": "minimum", "time": "time",
}  # fmt: skip
_PAYMENTS: Mapping[str, TenderKind] = {"external": "levelup", "card": "credit_card"}
_SESSION = "X-Sandbox-Session"
# No menu nests this deeply; a hostile chain of options must not exhaust the stack.
_DEEPEST = 8

Credentials = Mapping[str, Secret]


class SandboxRefused(Refused):
    """A refusal of the engine, with its own code as ``problem``."""

    def __init__(self, problem: str, message: str, path: str | None) -> None:
        super().__init__(_CODE_OF[problem], message, path=path)
        self.problem = problem


class Cart(NamedTuple):
    """A cart of the engine: the ``digest`` of its content, its price in cents, the ``token`` of its owner.

    ``guest``: digests of the guest's e-mail address and telephone number. ``is_own``: whether the engine confirmed
    its content; the id alone may be another guest's, in an answer that was delivered twice. ``fee``: what its delivery
    costs.
    """

    id: str
    place: str
    digest: str
    total: int
    token: str
    guest: Sequence[str] = ()
    is_own: bool = True
    fee: int = 0


class SandboxAdapter(Adapter):
    """Guest checkout and, if the engine asks for them, accounts; both tenders."""

    interface_version = 2
    fulfillments = frozenset({"pickup", "delivery"})
    tenders = frozenset({"levelup", "credit_card"})
    creates_customer_accounts = True
    schedules = True
    fences = True
    voids_cards = True
    order_status = {
        "taken": "placed",
        "confirmed": "accepted",
        "cooking": "preparing",
        "waiting": "ready",
        "collected": "picked_up",
        "brought": "delivered",
        "called-off": "cancelled",
        "turned-down": "refused",
    }
    cancels = True
    reports_stock = True
    settings = {
        "base_url": Setting("address of the engine", default="http://sandbox.internal", url=True),
        "api_key": Setting("the engine's key; the embedded one has the default", default="sandbox", secret=True),
    }

    def headers(self) -> Mapping[str, str]:
        return {"X-Sandbox-Key": self.account.setting("api_key")}

    def list_locations(self, session: Session) -> Sequence[Location]:
        rows = session.get("/v1/locations").object().each("locations")
        return read_each((str(row.value.get("id")), partial(_location, row)) for row in rows)

    def show_menu(self, location: Location, session: Session) -> Menu:
        path = f"/v1/locations/{location.provider_id}/menu"
        return _read_menu(session.get(path, cache_for=MENU_TTL, check=_read_menu).object())

    def show_stock(self, location: Location, session: Session) -> Stock:
        path = f"/v1/locations/{location.provider_id}/stock"
        stock = session.get(path).object().member("stock")
        if stock.identifier("location") != location.provider_id:
            raise broken_protocol(f"the provider's answer to GET {path} is about another location: $.stock.location")
        return Stock(frozenset(stock.texts("sold_out")), paused=stock.boolean("paused"))

    def validate_order(self, order: Order, session: Session) -> Quote:
        answer, cart, credentials = _open_cart(order, _content(order), session)
        # Sealed as a whole, so it comes back unchanged or not at all.
        return _quote(answer.member("quote"), credentials, {"cart": Secret(json.dumps(cart))})

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        content, validated = _content(order), _recorded(order)
        unchanged = validated is not None and validated.digest == _digest(content)
        if validated is not None and not validated.is_own:
            raise Refused("price_changed", "The price shown belongs to another order. Validate this one again.")
        if validated is not None:
            try:
                cart = validated if unchanged else _fill_cart(validated, content, session)
                _check_fee(validated, cart)
                return _place_order(cart, cart.total, order, tender, session)
            except SandboxRefused as problem:
                if problem.problem not in _UNUSABLE:
                    raise
                session.nothing_placed()
        _, cart, credentials = _open_cart(order, content, session)
        if validated is not None:
            _check_fee(validated, cart)
        total = validated.total if validated is not None and unchanged else cart.total
        return replace(_place_order(cart, total, order, tender, session), customer_account=credentials)

    def find_order(
        self, location: Location, reference: str, trace: Mapping[str, Any], session: Session
    ) -> Placed | None:
        return _find_order(location.provider_id, reference, trace.get("expected_total"), session)

    def fence_order(self, location: Location, reference: str, trace: Mapping[str, Any], session: Session) -> None:
        """Void the reference: nothing is ordered under it any more."""
        path = f"/v1/locations/{location.provider_id}/voids"
        answer = session.post(path, {"reference": reference}, repeatable=True).object().member("void")
        _check_echo(answer, f"POST {path}", "$.void", location.provider_id, reference)

    def show_status(self, location: Location, provider_order_id: str, reference: str, session: Session) -> OrderStatus:
        path = f"/v1/orders/{quote(provider_order_id, safe='')}/state"
        state = session.get(path).object().member("state")
        _check_echo(state, f"GET {path}", "$.state", location.provider_id, reference)
        return OrderStatus(
            state.text("word"),
            reference=state.text("reference"),
            changed_at=state.instant("since"),
            expected_ready_at=state.member("ready").instant("at", None),
        )

    def cancel_order(self, location: Location, provider_order_id: str, reference: str, session: Session) -> None:
        session.post(f"/v1/orders/{quote(provider_order_id, safe='')}/cancellation", {}, repeatable=True)

    def error_from(self, reply: Reply) -> Refused | None:
        if reply.status not in REFUSING_STATUSES:
            return None
        try:
            problem = reply.object().member("problem")
            code, text, where = problem.text("code"), problem.text("text"), problem.text("where", None)
        except Unanswered:
            return None
        if code == "reference_voided":
            return ReferenceFenced()
        return SandboxRefused(code, text, _path(where or "")) if code in _CODE_OF else None


def _path(where: str) -> str | None:
    """The member of our order that the engine's path refers to."""
    return next((found.expand(path) for pattern, path in _PATHS if (found := re.match(pattern, where))), None)


def _open_cart(order: Order, content: Any, session: Session) -> tuple[JSONObject, Cart, Credentials]:
    """A new cart (META-3): the answer with its price, the cart, and its account."""
    place, token = order.location.provider_id, ""
    credentials: Credentials = {}
    path = f"/v1/locations/{place}/carts"
    try:
        answer = session.post(path, content, repeatable=True).object()
    except SandboxRefused as problem:
        if problem.problem != "session_refused":
            raise
        token, credentials = _sign_in(order, session)
        answer = session.post(path, content, headers=_login(token, session), repeatable=True).object()
    _check_lines(answer, content, f"POST {path}")
    cart_id, total = answer.member("cart").identifier("id"), answer.member("quote").cents("grand_total")
    held = answer.member("cart").value
    is_own = _is_said(content, held.get("content")) and held.get("location") == place
    fee = _fee(answer)
    return answer, Cart(cart_id, place, _digest(content), total, token, _guest(order), is_own, fee), credentials


def _fill_cart(cart: Cart, content: Any, session: Session) -> Cart:
    """The cart with the submission's final values (META-5)."""
    headers = _login(cart.token, session)
    path = f"/v1/carts/{cart.id}"
    answer = session.call("PUT", path, body=content, headers=headers, repeatable=True).object()
    _check_lines(answer, content, f"PUT {path}")
    total = answer.member("quote").cents("grand_total")
    return cart._replace(digest=_digest(content), total=total, fee=_fee(answer))


def _fee(answer: JSONObject) -> int:
    quote = answer.member("quote")
    return quote.member("delivery").integer("fee") if quote.has("delivery") else 0


def _check_fee(validated: Cart, cart: Cart) -> None:
    """:raises Refused: ``price_changed``: the address came after the validation, and costs more or less."""
    if validated.fee != cart.fee:
        words = f"The delivery costs {cart.fee} cents, not {validated.fee}: validate it with its address."
        raise Refused("price_changed", words, path="$.delivery_address")


def _check_lines(answer: JSONObject, content: Any, call: str) -> None:
    """Check that the cart has the lines of ``content``, if the engine shows them (ITEM-11)."""
    if (cart := answer.member("cart")).has("content"):
        ordered = (_chosen(JSONObject(line)) for line in content["lines"])
        held = map(_chosen, cart.member("content").each("lines"))
        check_basket(ordered, held, f"$.cart.content.lines in the answer to {call}")


def _chosen(line: JSONObject) -> tuple[Any, ...]:
    """The id of a line or pick, its quantity, and its picks."""
    what = [line.identifier(name, "") for name in ("dish", "group", "choice")]
    return *what, line.integer("count"), *sorted(map(_chosen, line.each("picks", [])))


def _place_order(cart: Cart, total: int, order: Order, tender: Tender, session: Session) -> Placed:
    """Order the cart, if it still costs ``total``."""
    path = f"/v1/carts/{cart.id}/orders"
    body = {"payment": _payment(tender), "reference": order.reference, "expected_total": total}
    # The answer with the cart does not say whose it is, and may have been another guest's.
    body["customer"] = _customer(order)
    if (window := order.ready_window) is not None:
        body |= {name: _stamp(instant) for name, instant in zip(("earliest", "latest"), window, strict=True)}
    try:
        reply = session.post(
            path,
            body,
            headers=_login(cart.token, session),
            places_order=True,
            trace={"expected_total": total},
        )
    except SandboxRefused as problem:
        # A network may deliver a call twice. If this answers the second one, the first one ordered the cart.
        reference = order.reference if problem.problem in _ORDERED else None
        if reference is None or (placed := _find_order(cart.place, reference, total, session)) is None:
            raise
        return placed
    answer = reply.object().member("order")
    _check_echo(answer, f"POST {path}", "$.order", cart.place, order.reference)
    return _placed(answer, total)


def _find_order(place: str, reference: str, expected: int | None, session: Session) -> Placed | None:
    path = f"/v1/locations/{place}/orders"
    found = session.get(path, params={"reference": reference}).object().each("orders")
    for position, order in enumerate(found):
        _check_echo(order, f"GET {path}", f"$.orders[{position}]", place, reference)
    orders = [_placed(order, expected) for order in found]
    others = tuple(each.provider_order_id for each in orders[1:])
    return replace(orders[0], duplicates=others) if orders else None


def _check_echo(answer: JSONObject, call: str, where: str, place: str, reference: str | None) -> None:
    """Check that an answer to ``call`` is about our order.

    :raises Unanswered: ``provider_protocol_error``, with the call and the member.
    """
    for member, wanted in (("location", place), ("reference", reference)):
        if answer.text(member, None) != wanted:
            words = f"the provider's answer to {call} is about another order: {where}.{member} is not ours"
            raise broken_protocol(words)


def _is_said(sent: Any, returned: Any) -> bool:
    """Whether an answer contains what was sent; it may have further members (EP-8)."""
    if isinstance(sent, dict):
        return isinstance(returned, dict) and all(_is_said(value, returned.get(name)) for name, value in sent.items())
    if isinstance(sent, list):
        return isinstance(returned, list) and len(sent) == len(returned) and all(map(_is_said, sent, returned))
    return bool(sent == returned)


def _login(token: str, session: Session) -> Mapping[str, str]:
    return {_SESSION: session.add_secret(token)}


def _sign_in(order: Order, session: Session) -> tuple[str, Credentials]:
    """A session token, and the credentials to return.

    Without credentials that work, a new account is made, under a derived address if the user's own is taken:
    no account is taken over (META-6).
    """
    attempts: list[tuple[str, dict[str, Any]]] = []
    if "email" in order.customer_account and "password" in order.customer_account:
        attempts.append(
            ("/v1/sessions", {name: order.customer_account[name].reveal() for name in ("email", "password")})
        )
    if order.user.email is not None:
        password = session.add_secret(secrets.token_urlsafe(24))
        person = {"password": password, "name": order.user.name, "phone": order.user.phone}
        local, _, domain = order.user.email.rpartition("@")
        derived = f"{local}+{secrets.token_hex(6)}@{domain}"
        attempts += [("/v1/accounts", {**person, "email": email}) for email in (order.user.email, derived)]
        # A network that delivers a request twice brings the second answer: the address is taken, by us.
        attempts.append(("/v1/sessions", {"email": derived, "password": password}))
    for path, body in attempts:
        try:
            answer = session.post(path, body).object()
            token = answer.member("session").text("token")
            if answer.member("account").text("email") != body["email"]:
                words = "is about another guest: $.account.email is not the one that was sent"
                raise broken_protocol(f"the provider's answer to POST {path} {words}")
        except SandboxRefused as problem:
            if problem.problem not in ("login_refused", "email_taken"):
                raise
        else:
            return token, {name: Secret(body[name]) for name in ("email", "password")}
    words = "This location needs an account, and an account needs an e-mail address."
    if order.user.email is not None:
        words = "This location needs an account, and none could be made for this e-mail address."
    raise Refused("customer_refused", words, path="$.user.email")


def _content(order: Order) -> dict[str, Any]:
    """The order as content of an engine cart."""
    wanted = order.desired_ready_time
    if any(option.provider_id.count(DELIMITER) >= 2 * _DEEPEST for item in order.items for option in item.options):
        raise Refused("unknown_option", "An option is nested deeper than any option of the menu.", path="$.items")
    return {
        "lines": [_line(item, f"$.items[{position}].item") for position, item in enumerate(order.items)],
        "customer": _customer(order),
        "note": order.special_instructions,
        "gratuity": order.tip,
        "coupon": order.merchant_funded_discount,
        "wanted_at": wanted and _stamp(wanted),
        **({"delivery": {"address": _address(order)}} if order.fulfillment_type == "delivery" else {}),
    }


def _address(order: Order) -> dict[str, str | None] | None:
    if (address := order.delivery_address) is None:
        return None
    return {
        "street": address.street_address, "extra": address.extended_address, "city": address.locality,
        "state": address.region, "postcode": address.postal_code, "directions": address.delivery_instructions,
    }  # fmt: skip


def _customer(order: Order) -> dict[str, Any]:
    return {"name": order.user.name, "phone": order.user.phone, "email": order.user.email}


def _stamp(instant: datetime) -> str:
    return instant.astimezone(timezone.utc).isoformat(timespec="seconds")


def _line(item: Item, path: str) -> dict[str, Any]:
    picks = [_pick(choice) for choice in nest(item.options, path=path)]
    line = {"dish": item.provider_id, "count": item.quantity, "label": item.recipient_name}
    return {**line, "note": item.special_instructions, "picks": picks}


def _pick(choice: Choice) -> dict[str, Any]:
    picks = [_pick(child) for child in choice.children]
    return {"group": choice.group_id, "choice": choice.option_id, "count": choice.quantity, "picks": picks}


def _payment(tender: Tender) -> dict[str, Any]:
    if isinstance(tender, LevelUp):
        return {"external": "LevelUp"}
    month, year = tender.expiration_month, tender.expiration_year
    card = {"number": tender.number.reveal(), "code": tender.cvv.reveal(), "month": month, "year": year}
    return {"card": {**card, "postcode": tender.zip, "holder": tender.name}}


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _recorded(order: Order) -> Cart | None:
    """The cart of the validation, if it belongs to this location and this guest (META-4)."""
    try:
        cart = Cart(*json.loads(order.cart["cart"].reveal()))
    except (KeyError, TypeError, ValueError):
        return None
    return cart if cart.place == order.location.provider_id and {*cart.guest} & {*_guest(order)} else None


def _guest(order: Order) -> list[str]:
    """Digests of the guest's e-mail address and phone number; the same guest shares at least one (META-3)."""
    email, phone = (order.user.email or "").strip().casefold(), re.sub(r"[\s().-]", "", order.user.phone or "")
    return [_digest([kind, value]) for kind, value in (("email", email), ("phone", phone)) if value]


def _quote(answer: JSONObject, credentials: Credentials, cart: Credentials) -> Quote:
    discounts, ready = answer.member("discounts"), answer.member("ready")
    slots = tuple(slot.instant("at") for slot in ready.each("slots")) if ready.has("slots") else None
    fees, decides = _delivery(answer)
    lines = tuple(line.cents("cost") for line in answer.each("lines")) if answer.has("lines") else None
    return Quote(
        food=answer.cents("subtotal"), tax=answer.cents("tax"), tip=answer.cents("gratuity", None),
        charged=answer.cents("grand_total"),
        merchant_funded_discount=discounts.cents("coupon"), provider_funded_discount=discounts.cents("house"),
        fees=fees, ready=Ready(ready.instant("at", None), slots), address_decides=decides,
        customer_account=credentials, cart=cart, lines=lines,
    )  # fmt: skip


def _delivery(answer: JSONObject) -> tuple[tuple[Fee, ...], frozenset[AddressDecides]]:
    """The fee of a delivery, and what only an address decides."""
    if not answer.has("delivery"):
        return (), frozenset()
    delivery = answer.member("delivery")
    # A fee below zero is not hidden: the service refuses it (MONEY-9).
    fee = delivery.integer("fee")
    decides = frozenset(_DECIDES[each] for each in delivery.texts("open") if each in _DECIDES)
    return (Fee("Delivery", fee),) if fee else (), decides


def _placed(order: JSONObject, expected: int | None) -> Placed:
    ready_at, charged = order.member("ready").instant("at", None), order.cents("charged")
    return Placed(
        order.integer("ticket"),
        order.identifier("id"),
        reference=order.text("reference", None),
        expected_ready_at=ready_at,
        expected_charge=expected,
        charged=charged,
    )


def _location(answer: JSONObject) -> Location:
    address, position, payments = answer.member("address"), answer.member("position"), answer.texts("payments")
    hours, delivers = answer.each("weekly_hours"), answer.boolean("delivers", False)
    return Location(
        answer.identifier("id"), answer.text("title"),
        street_address=address.text("street"), locality=address.text("city"), region=address.text("state", None),
        postal_code=address.text("postcode"), phone=answer.text("telephone"),
        latitude=position.decimal("latitude"), longitude=position.decimal("longitude"), time_zone=answer.text("zone"),
        hours=opening_hours((WEEKDAYS[s.integer("weekday")], s.integer("from"), s.integer("to")) for s in hours),
        accepts_tips_on_pickup=answer.boolean("takes_gratuity"),
        accepts_tips_on_delivery=delivers and answer.boolean("takes_gratuity"), fulfills_deliveries=delivers,
        tenders=frozenset(tender for kind, tender in _PAYMENTS.items() if kind in payments),
        updated_at=answer.instant("changed"),
    )  # fmt: skip


def _read_menu(answer: JSONObject) -> Menu:
    menu = answer.member("menu")
    groups: dict[str, OptionGroup] = {}
    categories = tuple(_category(heading, groups) for heading in menu.each("headings"))
    sections = tuple(CategoryGroup(each.identifier("id"), each.text("title")) for each in menu.each("sections"))
    return Menu(
        menu.identifier("id"), menu.text("title"), categories, tuple(groups.values()), sections,
        special_instructions_character_limit=menu.integer("note_limit"), updated_at=menu.instant("changed"),
    )  # fmt: skip


def _category(heading: JSONObject, groups: dict[str, OptionGroup]) -> Category:
    items = []
    for dish in heading.each("dishes"):
        name, about, published = dish.text("title"), dish.text("about"), _publish(dish, (), groups)
        items.append(MenuItem(dish.identifier("id"), name, dish.price("cents"), about, option_groups=published))
    section = heading.identifier("section")
    return Category(heading.identifier("id"), heading.text("title"), tuple(items), heading.text("about"), section)


def _publish(owner: JSONObject, above: tuple[str, ...], groups: dict[str, OptionGroup]) -> tuple[str, ...]:
    """Add the groups of a dish or choice to ``groups``, once per path (MENU-5); returns their ids."""
    paths = []
    for position, group in enumerate(owner.each("groups")):
        ids = (*above, group.identifier("id"))
        paths.append(path := encode_path(*ids))
        if path in groups:
            continue
        options = tuple(_option(choice, ids, order, groups) for order, choice in enumerate(group.each("choices")))
        groups[path] = OptionGroup(
            path, group.text("title"), options,
            minimum_choices=group.integer("least"), maximum_choices=group.integer("most", None),
            minimum_unique_options=group.integer("least_kinds"),
            maximum_unique_options=group.integer("most_kinds", None),
            free_choices=group.integer("free"), display_order=position,
            defaults=tuple(option.provider_id for option in options if option.default_quantity),
        )  # fmt: skip
    return tuple(paths)


def _option(choice: JSONObject, above: tuple[str, ...], position: int, groups: dict[str, OptionGroup]) -> MenuOption:
    ids = (*above, choice.identifier("id"))
    return MenuOption(
        encode_path(*ids), choice.text("title"), choice.price("cents"),
        maximum_quantity=choice.integer("most"), default_quantity=choice.integer("preset"),
        option_groups=_publish(choice, ids, groups), display_order=position,
    )  # fmt: skip
