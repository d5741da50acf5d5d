"""Reading what an e-commerce site sends to the web checkout; ``docs/checkout.rst`` is its description."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from marshmallow import fields, validate

from levelup_ov.domain import money
from levelup_ov.domain.checkout import CheckoutOrder, Delivery, OrderAmounts
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.secret import Secret
from levelup_ov.schemas.base import Reader, WireSchema, read_body, read_root
from levelup_ov.schemas.orders import _EMAIL, Cents, Identifier, Pattern, Text, read_parsed_submission

USER_PERMISSIONS = (
    "create_orders",
    "read_user_basic_info",
    "read_user_orders",
    "manage_user_addresses",
    "manage_user_campaigns",
    "create_first_credit_card",
)
ADDRESS_TYPES = ("billing", "home", "other", "payment", "shipping", "work", "delivery")
DEEPEST_ITEM = 5
MOST_ITEMS = 1_000
MOST_OF_AN_ITEM = 9_999
LONGEST_WORD = 1_000
LONGEST_URL = 2_000
LARGEST_ID = 2**31 - 1
LARGEST_PAGE = 10_000

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_WORDS = ("description", "category", "sku", "upc")
_URL = re.compile(r"[\x21-\x7e]+")
_CENTS = {"type": "integer", **Cents.documented}
_LINE = {
    "type": "object",
    "required": ["name", "charged_price_amount"],
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 255},
        "quantity": {"type": "integer", "minimum": 1, "maximum": MOST_OF_AN_ITEM, "default": 1, "nullable": True},
        **{word: {"type": "string", "maxLength": LONGEST_WORD, "nullable": True} for word in _WORDS},
        "charged_price_amount": _CENTS,
        "standard_price_amount": {**_CENTS, "nullable": True},
        "children": {
            "type": "array",
            "maxItems": MOST_ITEMS,
            "nullable": True,
            "items": {"type": "object", "required": ["item"]},
            "description": f"items of the same form, nested at most {DEEPEST_ITEM} deep",
        },
    },
}
_ITEM = {"type": "object", "required": ["item"], "properties": {"item": _LINE}}


class Limited(Text):
    """A string of a length that LevelUp accepts; only spaces count as empty."""

    def __init__(self, longest: int, **kwargs: Any) -> None:
        self.documented = {"minLength": 1 if kwargs.get("required") else 0, "maxLength": longest}
        super().__init__(**kwargs)
        self._longest = longest

    def read(self, value: Any) -> str:
        text = super().read(value)
        if not text.strip() and self.required or len(text) > self._longest:
            raise ValueError(f"expected 1 to {self._longest} characters")
        return text


class ReturnTo(Reader, fields.String):
    """Where a browser goes after LevelUp: https, or http on the loopback interface."""

    documented = {"format": "uri", "maxLength": LONGEST_URL, "example": "https://shop.example/connected"}

    def read(self, value: Any) -> str:
        expected = "expected an https address, or an http one on the loopback interface"
        if type(value) is not str or not _URL.fullmatch(value) or len(value) > LONGEST_URL:
            raise ValueError(expected)
        try:
            url = urlsplit(value)
            local = url.hostname in _LOOPBACK
            sound = bool(url.hostname) and not url.username and (url.port is None or url.port > 0)
        except ValueError:
            raise ValueError(expected) from None
        if not sound or url.fragment or url.scheme != "https" and not (url.scheme == "http" and local):
            raise ValueError(expected)
        return value


class LevelUpId(Reader, fields.Integer):
    """An id from LevelUp."""

    documented = {"minimum": 1, "maximum": LARGEST_ID}

    def read(self, value: Any) -> int:
        if type(value) is not int or not 0 < value <= LARGEST_ID:
            raise ValueError("expected an id, an integer")
        return value


class Items(Reader, fields.Raw):
    """The lines of an order, as LevelUp receives them; items may have children."""

    documented = {"type": "array", "minItems": 1, "maxItems": MOST_ITEMS, "items": _ITEM}

    def read(self, value: Any) -> tuple[Mapping[str, Any], ...]:
        found = _items(value, "items", 1)
        if not found:
            raise ValueError("expected at least one item: LevelUp wants to know what was bought")
        return tuple(each["item"] for each in found)


class ConfidentialText(Limited):
    """Text that is a secret from the first moment."""

    def read(self, value: Any) -> Any:
        return Secret(super().read(value))


class MerchantAuthorizationSchema(WireSchema):
    """The start of a merchant's connection."""

    return_to = ReturnTo(required=True)


def _permissions() -> fields.List[Any]:
    one = Pattern("|".join(USER_PERMISSIONS), f"one of {', '.join(USER_PERMISSIONS)}")
    return fields.List(one, required=True, validate=validate.Length(min=1, error="expected at least one permission"))


def _text(longest: int = 255) -> Limited:
    return Limited(longest, load_default=None, allow_none=True)


def _email(**kwargs: Any) -> Pattern:
    return Pattern(_EMAIL, "an e-mail address", **kwargs)


class UserAuthorizationSchema(WireSchema):
    """The start of a user's connection by OAuth."""

    return_to = ReturnTo(required=True)
    permissions = _permissions()
    login_hint = _email(load_default=None, allow_none=True)
    first_name = _text()
    last_name = _text()


class PermissionsRequestSchema(WireSchema):
    """A permissions request."""

    email = _email(required=True)
    permissions = _permissions()


class NewUserSchema(WireSchema):
    """An account of record."""

    email = _email(required=True)
    first_name = Limited(255, required=True)
    last_name = Limited(255, required=True)
    permissions = _permissions()


class CardPageRequestSchema(WireSchema):
    """Where to go once the card is added."""

    return_to = ReturnTo(load_default=None, allow_none=True)


class NewAddressSchema(WireSchema):
    """An address of a user."""

    address_type = Pattern("|".join(ADDRESS_TYPES), f"one of {', '.join(ADDRESS_TYPES)}", required=True)
    street_address = Limited(255, required=True)
    extended_address = _text()
    locality = Limited(255, required=True)
    region = Limited(255, required=True)
    postal_code = Limited(32, required=True)


class ConfirmationSchema(WireSchema):
    """What the browser brought back from LevelUp."""

    confirmation = Limited(100, required=True)


class RefundSchema(WireSchema):
    """How a refund is confirmed."""

    manager_confirmation = ConfidentialText(255, load_default=None, allow_none=True)


class AnsweredRequestSchema(WireSchema):
    """A permissions request; only the id counts."""

    id = LevelUpId(required=True)


class CheckoutOrderSchema(WireSchema):
    """An order to be charged."""

    merchant = Identifier(required=True)
    user = Identifier(required=True)
    location_id = LevelUpId(required=True)
    identifier = _text(10)
    outstanding_amount = Cents(required=True)
    tax_amount = Cents(load_default=0, allow_none=True)
    tax_amount_after_discount = Cents(load_default=None, allow_none=True)
    exemption_amount = Cents(load_default=0, allow_none=True)
    tip_amount = Cents(load_default=0, allow_none=True)
    payment_amount = Cents(load_default=None, allow_none=True)
    discount_amount = Cents(load_default=None, allow_none=True)
    cashier = _text()
    register = _text()
    receipt_message_html = _text(10_000)
    currency = Pattern("USD", "USD: LevelUp charges nothing else", load_default="USD", allow_none=True)
    items = Items(required=True)

    def build(self, values: dict[str, Any]) -> CheckoutOrder:
        outstanding, payment = values["outstanding_amount"], values["payment_amount"]
        check = OrderAmounts(
            outstanding,
            values["tax_amount"] or 0,
            values["exemption_amount"] or 0,
            outstanding if payment is None else payment,
            values["tip_amount"] or 0,
            values["tax_amount_after_discount"],
        )
        return CheckoutOrder(
            values["merchant"],
            values["user"],
            values["location_id"],
            check,
            values["items"],
            values["discount_amount"],
            values["identifier"],
            {name: values[name] for name in ("cashier", "register", "receipt_message_html")},
        )


SCHEMAS: Mapping[str, WireSchema] = {
    "merchant": MerchantAuthorizationSchema(),
    "authorization": UserAuthorizationSchema(),
    "permissions_request": PermissionsRequestSchema(),
    "user": NewUserSchema(),
    "card_page": CardPageRequestSchema(),
    "address": NewAddressSchema(),
    "refund": RefundSchema(),
    "order": CheckoutOrderSchema(),
}
"""The schemas by their root member."""
_ANSWERED_REQUEST = AnsweredRequestSchema()
_CONFIRMATION = ConfirmationSchema()


def read(root: str, body: Any) -> Any:
    """The object in the root member ``root``. :raises Failure: ``invalid_member``."""
    return read_root(SCHEMAS[root], root, body)


def read_confirmation(body: Any) -> str:
    """The confirmation of a connection, without a root member. :raises Failure: ``invalid_member``."""
    try:
        return read_body(_CONFIRMATION, body)["confirmation"]
    except Failure as failure:
        raise failure.replace(path="$.confirmation") from None


def read_answered_request(body: Any) -> int:
    """The id in a callback from LevelUp; the rest is ignored. :raises Failure: ``invalid_member``."""
    try:
        return read_root(_ANSWERED_REQUEST, "permissions_request", body)["id"]
    except Failure:
        raise _invalid("$.permissions_request.id", "expected an id, an integer") from None


def read_page(given: str) -> int:
    """The number of a page. :raises Failure: ``invalid_member``."""
    if not given.isascii() or not given.isdecimal() or len(given) > 5 or not 1 <= int(given) <= LARGEST_PAGE:
        raise Failure("invalid_member", f"expected page to be a number from 1 to {LARGEST_PAGE}")
    return int(given)


def read_order(body: Any) -> tuple[CheckoutOrder, Delivery | None]:
    """An order, and where to submit it, if anywhere.

    :raises Failure: ``invalid_member``, ``amounts_do_not_add_up``.
    """
    order: CheckoutOrder = read("order", body)
    location_id, submitted = body.get("provider_location_id"), body.get("order_submission")
    if location_id is None and submitted is None:
        return order, None
    if type(location_id) is not str or not location_id:
        raise _invalid("$.provider_location_id", "expected the id of a location, since there is an order_submission")
    submission = read_parsed_submission(body)
    if submission.tender.kind != "levelup":
        raise _invalid("$.order_submission.credit_card", "expected no card: LevelUp is the tender")
    for name, expected in (("tip", order.check.tip), ("merchant_funded_discount", order.discount)):
        given = submitted.get(name)
        if given is not None and expected is not None and given != expected:
            path = f"$.order_submission.{name}"
            raise Failure("amounts_do_not_add_up", f"{given} cents here, {expected} in the order", path=path)
    if submitted.get("merchant_funded_discount") and order.discount is None:
        raise _invalid("$.order.discount_amount", "expected the discount that order_submission has")
    if order.check.payment != order.check.outstanding:
        message = "the whole order must be paid with LevelUp where it is submitted to a provider"
        raise Failure("amounts_do_not_add_up", message, path="$.order.payment_amount")
    return order, Delivery(location_id, submission)


def _items(value: Any, path: str, depth: int) -> list[dict[str, Any]]:
    if type(value) is not list:
        raise ValueError(f"expected a list at {path}")
    if depth > DEEPEST_ITEM:
        raise ValueError(f"expected items at most {DEEPEST_ITEM} deep, at {path}")
    if len(value) > MOST_ITEMS:
        raise ValueError(f"expected at most {MOST_ITEMS} items at {path}")
    return [{"item": _item(entry, f"{path}[{position}].item", depth)} for position, entry in enumerate(value)]


def _item(entry: Any, path: str, depth: int) -> dict[str, Any]:
    item = entry.get("item") if type(entry) is dict else None
    if type(item) is not dict:
        raise ValueError(f"expected an object at {path}")
    name = item.get("name")
    if type(name) is not str or not name.strip() or len(name) > 255:
        raise ValueError(f"expected 1 to 255 characters at {path}.name")
    quantity = 1 if item.get("quantity") is None else item["quantity"]
    if type(quantity) is not int or not 1 <= quantity <= MOST_OF_AN_ITEM:
        raise ValueError(f"expected an integer from 1 to {MOST_OF_AN_ITEM} at {path}.quantity")
    for word in _WORDS:
        if item.get(word) is not None and (type(item[word]) is not str or len(item[word]) > LONGEST_WORD):
            raise ValueError(f"expected a string of at most {LONGEST_WORD} characters at {path}.{word}")
    charged, standard = item.get("charged_price_amount"), item.get("standard_price_amount")
    if not money.is_cents(charged):
        raise ValueError(f"expected integer cents at {path}.charged_price_amount (MONEY-1)")
    if standard is not None and not money.is_cents(standard):
        raise ValueError(f"expected integer cents at {path}.standard_price_amount (MONEY-1)")
    children = item.get("children")
    return {
        "name": name,
        "quantity": quantity,
        **{word: item.get(word) for word in _WORDS},
        "charged_price_amount": charged,
        "standard_price_amount": charged if standard is None else standard,
        "children": [] if children is None else _items(children, f"{path}.children", depth + 1),
    }


def _invalid(path: str, message: str) -> Failure:
    return Failure("invalid_member", f"{path}: {message}", path=path)
