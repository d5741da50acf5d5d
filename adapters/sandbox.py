"""The embedded sandbox engine (:mod:`levelup_ov.sandbox`), in-process or served on a port.

Guests check out in one call, a submission after its validation in one more. Where the engine serves members
only, it refuses the guest, and the order is made on an account (META-6). The engine does not deduplicate
orders; they are found by reference.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timezone
from typing import Any
from urllib.parse import quote

from levelup_ov.adapter import Adapter, Setting
from levelup_ov.answer import Answer
from levelup_ov.domain.location import WEEKDAYS, Location, opening_hours
from levelup_ov.domain.menu import Category, CategoryGroup, Menu, MenuItem, MenuOption, OptionGroup
from levelup_ov.domain.options import DELIMITER, Choice, Option, encode_path, nest
from levelup_ov.domain.order import Order
from levelup_ov.domain.outcome import Placed, Quote
from levelup_ov.domain.ready_time import Ready
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import CreditCard, Tender, TenderKind
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.transport import Reply, Session

CODES: Mapping[str, str] = {
    "unknown_item": "dish_unknown",
    "unknown_option": "choice_unknown group_unknown",
    "item_unavailable": "choice_sold_out dish_sold_out",
    "invalid_choices": "choice_too_often line_too_large too_few_choices too_few_kinds too_many_choices too_many_kinds",
    "special_instructions_too_long": "note_too_long",
    "special_instructions_not_allowed": "note_not_taken",
    "ready_time_in_past": "time_past",
    "ready_time_unavailable": "no_scheduling no_slot_left time_too_far",
    "tender_not_accepted": "payment_not_taken",
    "price_changed": "price_changed",
    "card_declined": "card_declined card_expired card_invalid",
    "customer_refused": "customer_incomplete email_invalid email_taken login_refused session_refused",
    "location_not_found": "place_unknown",
    "order_refused": "cart_ordered cart_unknown coupon_too_large order_too_large payment_declined",
}
"""Our codes, and the engine's problems that each stands for."""

_CODE_OF = {problem: code for code, problems in CODES.items() for problem in problems.split()}
_CART_GONE = ("cart_unknown", "cart_ordered", "session_refused")
_PAYMENTS: Mapping[str, TenderKind] = {"external": "levelup", "card": "credit_card"}
_LINE = re.compile(r"lines\[(\d+)\]")
# No menu nests so deep; a chain of made-up options must not exhaust the stack.
_DEEPEST = 8

Credentials = Mapping[str, str | Secret]


class Problem(Refused):
    """A refusal of the engine, with its own code as ``problem``."""

    def __init__(self, problem: str, message: str, path: str | None) -> None:
        super().__init__(_CODE_OF[problem], message, path=path)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Cart:
    """A cart of the engine: what it holds by ``digest``, what it costs in cents, who opened it by ``token``."""

    id: str
    digest: str
    total: int
    token: str | None


class SandboxAdapter(Adapter):
    """Guest checkout and, where the engine asks for it, accounts; both tenders."""

    tenders = frozenset({"levelup", "credit_card"})
    creates_accounts = True
    schedules = True
    settings = {
        "base_url": Setting("address of the engine", default="http://sandbox.internal", url=True),
        "api_key": Setting("the engine's key; the embedded one has the default", default="sandbox", secret=True),
    }

    def headers(self) -> Mapping[str, str]:
        return {"X-Sandbox-Key": self.account.setting("api_key")}

    def list_locations(self, session: Session) -> Sequence[Location]:
        return [_location(each) for each in session.get("/v1/locations").answer().each("locations")]

    def show_menu(self, location: Location, session: Session) -> Menu:
        return _menu(session.get(f"{_at(location.provider_id)}/menu").answer().member("menu"))

    def validate_order(self, order: Order, session: Session) -> Quote:
        answer, cart, credentials = _open_cart(order, _content(order), session)
        # Sealed as a whole: it comes back as it was, or not at all.
        return _quote(answer.member("quote"), credentials, {"cart": Secret(json.dumps(asdict(cart)))})

    def submit_order(self, order: Order, tender: Tender, session: Session) -> Placed:
        content = _content(order)
        validated = _recorded(order)
        if validated is not None:
            try:
                cart = validated
                if cart.digest != _digest(order, content):
                    cart = _fill_cart(cart, order, content, session)
                return _place_order(cart, cart.total, order, tender, {}, session)
            except Problem as problem:
                if problem.problem not in _CART_GONE:
                    raise
                # Another submission may have used the cart up; if it was this one, its order is the answer.
                if problem.problem == "cart_ordered" and order.reference is not None:
                    if (placed := self.find_order(order.location.provider_id, order.reference, session)) is not None:
                        return placed
        _, cart, credentials = _open_cart(order, content, session)
        seen = validated if validated is not None and validated.digest == cart.digest else cart
        return _place_order(cart, seen.total, order, tender, credentials, session)

    def find_order(self, order_location_id: str, reference: str, session: Session) -> Placed | None:
        """The order placed at the location under ``reference``, the first if there are several (SUB-5)."""
        answer = session.get(f"{_at(order_location_id)}/orders", params={"reference": reference}).answer()
        return next((_placed(each, {}) for each in answer.each("orders")), None)

    def error_from(self, reply: Reply) -> Refused | None:
        if reply.ok or reply.status >= 500:
            return None
        try:
            problem = reply.answer().member("problem")
            code, text, where = problem.text("code"), problem.text("text"), problem.text("where", None)
        except Unanswered:
            return None
        line = _LINE.match(where or "")
        return Problem(code, text, line and f"$.items[{line[1]}].item") if code in _CODE_OF else None


def _open_cart(order: Order, content: Any, session: Session) -> tuple[Answer, Cart, Credentials]:
    """A new cart (META-3): the answer that quotes it, the cart, and the account that it was opened with."""
    path = f"{_at(order.location.provider_id)}/carts"
    token: str | None = None
    credentials: Credentials = {}
    try:
        answer = session.post(path, content, repeatable=True).answer()
    except Problem as problem:
        if problem.problem != "session_refused":
            raise
        token, credentials = _sign_in(order, session)
        answer = session.post(path, content, headers=_signed(token), repeatable=True).answer()
    return answer, _cart(answer, _digest(order, content), token), credentials


def _fill_cart(cart: Cart, order: Order, content: Any, session: Session) -> Cart:
    """The cart with the submission's final values (META-5)."""
    path = f"/v1/carts/{quote(cart.id, safe='')}"
    reply = session.call("PUT", path, body=content, headers=_signed(cart.token), repeatable=True)
    return _cart(reply.answer(), _digest(order, content), cart.token)


def _place_order(
    cart: Cart, total: int, order: Order, tender: Tender, credentials: Credentials, session: Session
) -> Placed:
    """Order the cart, if it still costs ``total``."""
    body = {"payment": _payment(tender), "reference": order.reference, "expected_total": total}
    path = f"/v1/carts/{quote(cart.id, safe='')}/orders"
    reply = session.post(path, body, headers=_signed(cart.token), places_order=True)
    return _placed(reply.answer().member("order"), credentials)


def _sign_in(order: Order, session: Session) -> tuple[str, Credentials]:
    """A session token and the credentials to give back.

    Without credentials that work, a new account is made, under a derived address if the user's own is taken:
    no account is taken over (META-6).
    """
    known, password = order.account.get("email"), order.account.get("password")
    if isinstance(known, str) and isinstance(password, Secret):
        body = {"email": known, "password": password.reveal()}
        answer = _unless("login_refused", lambda: session.post("/v1/sessions", body, repeatable=True))
        if answer is not None:
            return answer.member("session").text("token"), order.account
    if (email := order.user.email) is None:
        raise Refused("customer_refused", "This location needs an account, and an account needs an e-mail address.")
    new = Secret(secrets.token_urlsafe(24))
    person = {"password": new.reveal(), "name": order.user.name, "phone": order.user.phone}
    answer = _unless("email_taken", lambda: session.post("/v1/accounts", {**person, "email": email}))
    if answer is None:
        local, _, domain = email.rpartition("@")
        email = f"{local}+{secrets.token_hex(6)}@{domain}"
        answer = session.post("/v1/accounts", {**person, "email": email}).answer()
    return answer.member("session").text("token"), {"email": email, "password": new}


def _unless(problem: str, call: Callable[[], Reply]) -> Answer | None:
    """The answer to ``call``; None if the engine answers with ``problem``."""
    try:
        return call().answer()
    except Problem as found:
        if found.problem != problem:
            raise
        return None


def _signed(token: str | None) -> Mapping[str, str]:
    return {"X-Sandbox-Session": token} if token else {}


def _at(location_id: str) -> str:
    return f"/v1/locations/{quote(location_id, safe='')}"


def _content(order: Order) -> dict[str, Any]:
    """The order as the engine's cart has it."""
    wanted, user = order.desired_ready_time, order.user
    lines = [
        {
            "dish": item.provider_id,
            "count": item.quantity,
            "note": item.special_instructions,
            "label": item.recipient_name,
            "picks": [_pick(choice) for choice in _nested(item.options, f"$.items[{position}].item")],
        }
        for position, item in enumerate(order.items)
    ]
    return {
        "lines": lines,
        "customer": {"name": user.name, "phone": user.phone, "email": user.email},
        "note": order.special_instructions,
        "gratuity": order.tip,
        "coupon": order.merchant_funded_discount,
        "wanted_at": wanted and wanted.astimezone(timezone.utc).isoformat(timespec="seconds"),
    }


def _nested(options: Sequence[Option], path: str) -> Sequence[Choice]:
    if any(option.provider_id.count(DELIMITER) >= 2 * _DEEPEST for option in options):
        raise Refused("unknown_option", "No option of the menu is nested as deep as this.", path=path)
    return nest(options, path=path)


def _pick(choice: Choice) -> dict[str, Any]:
    picks = [_pick(child) for child in choice.children]
    return {"group": choice.group_id, "choice": choice.option_id, "count": choice.quantity, "picks": picks}


def _payment(tender: Tender) -> dict[str, Any]:
    if not isinstance(tender, CreditCard):
        return {"external": "LevelUp"}
    month, year = tender.expiration_month, tender.expiration_year
    card = {"number": tender.number.reveal(), "code": tender.cvv.reveal(), "month": month, "year": year}
    return {"card": {**card, "postcode": tender.zip, "holder": tender.name}}


def _digest(order: Order, content: Any) -> str:
    text = json.dumps([order.location.provider_id, content], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _recorded(order: Order) -> Cart | None:
    """The cart of the validation before; None unless it comes back as it was sealed (META-4)."""
    sealed = order.cart.get("cart")
    try:
        return Cart(**json.loads(sealed.reveal())) if isinstance(sealed, Secret) else None
    except (ValueError, TypeError):
        return None


def _cart(answer: Answer, digest: str, token: str | None) -> Cart:
    return Cart(answer.member("cart").identifier("id"), digest, answer.member("quote").cents("grand_total"), token)


def _quote(answer: Answer, credentials: Credentials, cart: Credentials) -> Quote:
    discounts, ready = answer.member("discounts"), answer.member("ready")
    slots = tuple(slot.instant("at") for slot in ready.each("slots")) if ready.has("slots") else None
    return Quote(
        food=answer.cents("subtotal"),
        tax=answer.cents("tax"),
        tip=answer.cents("gratuity", None),
        charged=answer.cents("grand_total"),
        merchant_funded_discount=discounts.cents("coupon"),
        provider_funded_discount=discounts.cents("house"),
        ready=Ready(ready.instant("at", None), slots),
        account=credentials,
        cart=cart,
    )


def _placed(answer: Answer, credentials: Credentials) -> Placed:
    ready_at = answer.member("ready").instant("at", None)
    return Placed(answer.integer("ticket"), answer.identifier("id"), ready_at, answer.cents("charged"), credentials)


def _location(answer: Answer) -> Location:
    address, position, payments = answer.member("address"), answer.member("position"), answer.texts("payments")
    hours = answer.each("weekly_hours")
    return Location(
        answer.identifier("id"),
        answer.text("title"),
        accepts_tips_on_pickup=answer.boolean("takes_gratuity"),
        street_address=address.text("street"),
        locality=address.text("city"),
        region=address.text("state", None),
        postal_code=address.text("postcode"),
        phone=answer.text("telephone"),
        latitude=position.decimal("latitude"),
        longitude=position.decimal("longitude"),
        time_zone=answer.text("zone"),
        hours=opening_hours((WEEKDAYS[s.integer("weekday")], s.integer("from"), s.integer("to")) for s in hours),
        tenders=frozenset(tender for kind, tender in _PAYMENTS.items() if kind in payments),
        updated_at=answer.instant("changed"),
    )


def _menu(menu: Answer) -> Menu:
    groups: dict[str, OptionGroup] = {}
    categories = tuple(_category(heading, groups) for heading in menu.each("headings"))
    sections = tuple(CategoryGroup(each.identifier("id"), each.text("title")) for each in menu.each("sections"))
    return Menu(
        menu.identifier("id"),
        menu.text("title"),
        categories,
        option_groups=tuple(groups.values()),
        category_groups=sections,
        special_instructions_character_limit=menu.integer("note_limit"),
        updated_at=menu.instant("changed"),
    )


def _category(heading: Answer, groups: dict[str, OptionGroup]) -> Category:
    items = tuple(_item(dish, groups) for dish in heading.each("dishes"))
    section = heading.identifier("section")
    return Category(heading.identifier("id"), heading.text("title"), items, heading.text("about"), section)


def _item(dish: Answer, groups: dict[str, OptionGroup]) -> MenuItem:
    name, price, about = dish.text("title"), dish.cents("cents"), dish.text("about")
    return MenuItem(dish.identifier("id"), name, price, about, option_groups=_publish(dish, (), groups))


def _publish(owner: Answer, above: tuple[str, ...], groups: dict[str, OptionGroup]) -> tuple[str, ...]:
    """Put the groups of a dish or a choice into ``groups``, once for each path (MENU-5); their ids."""
    found = [(group, (*above, group.identifier("id"))) for group in owner.each("groups")]
    for position, (group, ids) in enumerate(found):
        if (path := encode_path(*ids)) in groups:
            continue
        options = tuple(_option(choice, ids, order, groups) for order, choice in enumerate(group.each("choices")))
        groups[path] = OptionGroup(
            path,
            group.text("title"),
            options,
            minimum_choices=group.integer("least"),
            maximum_choices=group.integer("most", None),
            minimum_unique_options=group.integer("least_kinds"),
            maximum_unique_options=group.integer("most_kinds", None),
            free_choices=group.integer("free"),
            defaults=tuple(option.provider_id for option in options if option.default_quantity),
            display_order=position,
        )
    return tuple(encode_path(*ids) for _, ids in found)


def _option(choice: Answer, above: tuple[str, ...], position: int, groups: dict[str, OptionGroup]) -> MenuOption:
    ids = (*above, choice.identifier("id"))
    return MenuOption(
        encode_path(*ids),
        choice.text("title"),
        choice.cents("cents"),
        maximum_quantity=choice.integer("most"),
        default_quantity=choice.integer("preset"),
        option_groups=_publish(choice, ids, groups),
        display_order=position,
    )
