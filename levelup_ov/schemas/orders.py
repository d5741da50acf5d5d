"""Reading order validations and order submissions (EP-11)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from marshmallow import ValidationError, fields, validate

from levelup_ov.domain import money, ready_time
from levelup_ov.domain.options import Option
from levelup_ov.domain.order import DeliveryAddress, Item, User
from levelup_ov.domain.request import OrderRequest, SubmissionRequest
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import CreditCard, LevelUp
from levelup_ov.schemas.base import Body, Reader, WireSchema, WrapperSchema

MAX_QUANTITY = 9_999
MAX_ID_LENGTH = 1_000
MAX_ITEMS = 500
MAX_ADDRESS_PART = 500
TENDER = "LevelUp"

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
_EMAIL = r"[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+"
_INTEGRATION = ("integration_", "integration-")
_INT64 = 2**63


class Text(Reader, fields.String):
    """Any string without control characters."""

    exact = str

    def read(self, value: Any) -> str:
        if type(value) is not str:
            raise ValueError("expected a string")
        if not value.isprintable() and _CONTROLS.search(value):
            raise ValueError("expected text without control characters")
        return value


class Identifier(Text):
    """An id from our menu (ITEM-1)."""

    documented = {"minLength": 1, "maxLength": MAX_ID_LENGTH}
    exact = str

    def read(self, value: Any) -> str:
        # The most frequent member of an order, so it saves a function call where possible.
        text = value if type(value) is str and value.isprintable() else super().read(value)
        if not 0 < len(text) <= MAX_ID_LENGTH:
            raise ValueError(f"expected an id of 1 to {MAX_ID_LENGTH} characters")
        return text


class AddressPart(Text):
    """A part of a delivery address."""

    documented = {"maxLength": MAX_ADDRESS_PART}
    exact = str

    def read(self, value: Any) -> str:
        text = super().read(value)
        if len(text) > MAX_ADDRESS_PART:
            raise ValueError(f"expected at most {MAX_ADDRESS_PART} characters")
        return text


class OrderNumber(Text):
    """The channel's own order number, as a string or an integer."""

    documented = {"minLength": 1, "maxLength": 255, "pattern": r"\S"}

    def read(self, value: Any) -> str:
        text = super().read(str(value) if type(value) is int else value)
        if not 0 < len(text) <= 255 or text.isspace():
            # White space would make every order of the location the same one.
            raise ValueError("expected 1 to 255 characters, and not only white space")
        return text


class Pattern(Reader, fields.String):
    """A string that matches a pattern."""

    def __init__(self, pattern: str, expected: str, **kwargs: Any) -> None:
        self.documented = {"pattern": f"^({pattern})$", "description": expected}
        super().__init__(**kwargs)
        self._pattern = re.compile(pattern, re.ASCII)
        self._expected = expected

    def read(self, value: Any) -> Any:
        if type(value) is not str or not self._pattern.fullmatch(value):
            raise ValueError(f"expected {self._expected}")
        return value


class SecretPattern(Pattern):
    """A string that matches a pattern and becomes a secret as soon as it is read (PAY-2)."""

    def read(self, value: Any) -> Any:
        return Secret(super().read(value))


class Cents(Reader, fields.Integer):
    """An amount in integer cents (MONEY-1)."""

    documented = {"minimum": 0, "maximum": money.MAX_CENTS}
    exact = int

    def read(self, value: Any) -> int:
        if not money.is_cents(value):
            raise ValueError(f"expected integer cents from 0 to {money.MAX_CENTS} (MONEY-1)")
        return value


class Quantity(Reader, fields.Integer):
    """A quantity (ITEM-6)."""

    documented = {"minimum": 1, "maximum": MAX_QUANTITY}
    exact = int

    def read(self, value: Any) -> int:
        if type(value) is not int or not 1 <= value <= MAX_QUANTITY:
            raise ValueError(f"expected an integer from 1 to {MAX_QUANTITY} (ITEM-6)")
        return value


class FreeInteger(Reader, fields.Integer):
    """An integer that is not used for a decision."""

    exact = int

    def read(self, value: Any) -> int:
        if type(value) is not int:
            raise ValueError("expected an integer")
        return value


class ReadyTime(Reader, fields.String):
    """A time local to the location, or with an offset (TIME-2)."""

    documented = {"example": "2030-06-03T12:30"}

    def read(self, value: Any) -> datetime:
        if type(value) is not str:
            raise ValueError("expected a string such as 2030-06-03T12:30")
        return ready_time.parse(value)


class Metadata(Reader, fields.Dict):
    """An object whose members are passed through unless they are ours (META-9)."""

    exact = dict[str, Any]

    def read(self, value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise ValueError("expected an object")
        return value


def _text(**kwargs: Any) -> Text:
    return Text(load_default=None, allow_none=True, **kwargs)


class OrderOptionSchema(WireSchema):
    """One chosen option."""

    provider_id = Identifier(required=True)
    option_group_id = _text()
    quantity = Quantity(load_default=1, allow_none=True)
    price = Cents(load_default=None, allow_none=True)
    option_group_display_order = FreeInteger(load_default=None, allow_none=True)
    metadata = Metadata(load_default=None, allow_none=True)

    def build(self, values: dict[str, Any]) -> Option:
        return _option(self.struct(**values))


class OptionWrapperSchema(WrapperSchema):
    """The wrapper around an option."""

    option = fields.Nested(OrderOptionSchema, required=True)


class OrderItemSchema(WireSchema):
    """One line of an order."""

    provider_id = Identifier(required=True)
    quantity = Quantity(required=True)
    name = _text()
    category_id = _text()
    category_group_id = _text()
    price = Cents(load_default=None, allow_none=True)
    recipient_name = _text()
    special_instructions = _text()
    metadata = Metadata(load_default=None, allow_none=True)
    options = fields.List(fields.Nested(OptionWrapperSchema), load_default=(), allow_none=True)

    def finish(self, found: Any) -> Item:
        # An order has many items and options, so they are made without a dictionary between.
        return _item(found, [_option(each.option) for each in found.options or ()])

    def build(self, values: dict[str, Any]) -> Item:
        return _item(self.struct(**values), values["options"])


class ItemWrapperSchema(WrapperSchema):
    """The wrapper around an item."""

    item = fields.Nested(OrderItemSchema, required=True)


class UserSchema(WireSchema):
    """Who orders: a name, and one of phone and e-mail."""

    name = _text()
    first_name = _text()
    last_name = _text()
    phone = _text()
    email = Pattern(_EMAIL, "an e-mail address", load_default=None, allow_none=True)

    def build(self, values: dict[str, Any]) -> User:
        first, last, whole = ((values[name] or "").strip() for name in ("first_name", "last_name", "name"))
        if not (first and last):
            first, _, last = whole.rpartition(" ")
            first, last = (first.strip(), last) if first else (last, "")
        if not first:
            raise ValidationError("expected name, or first_name and last_name", "name")
        phone = (values["phone"] or "").strip() or None
        if phone is None and values["email"] is None:
            raise ValidationError("expected phone or email", "phone")
        return User(first, last, phone, values["email"])


class DeliveryAddressSchema(WireSchema):
    """Where a delivery goes."""

    street_address = AddressPart(required=True)
    extended_address = AddressPart(load_default=None, allow_none=True)
    locality = AddressPart(load_default=None, allow_none=True)
    region = AddressPart(load_default=None, allow_none=True)
    postal_code = AddressPart(load_default=None, allow_none=True)
    delivery_instructions = AddressPart(load_default=None, allow_none=True)

    def build(self, values: dict[str, Any]) -> DeliveryAddress:
        return DeliveryAddress(**values)


class CreditCardSchema(WireSchema):
    """A single-use card, all strings (PAY-2)."""

    number = SecretPattern(r"\d{12,19}", "12 to 19 digits", required=True)
    cvv = SecretPattern(r"\d{3,4}", "3 or 4 digits", required=True)
    expiration_month = Pattern(r"0[1-9]|1[0-2]", "01 to 12", required=True)
    expiration_year = Pattern(r"(\d\d)?\d\d", "two or four digits", required=True)
    zip = Pattern(r"[A-Za-z0-9 -]{1,16}", "a postal code", required=True)
    name = _text()

    def build(self, values: dict[str, Any]) -> CreditCard:
        year = values["expiration_year"]
        return CreditCard(**{**values, "expiration_year": year if len(year) == 4 else f"20{year}"})


class OrderValidationSchema(WireSchema):
    """An order to be priced."""

    desired_ready_time = ReadyTime(load_default=None, allow_none=True)
    fulfillment_type = _text()
    special_instructions = _text()
    tip = Cents(load_default=0, allow_none=True)
    merchant_funded_discount = Cents(load_default=0, allow_none=True)
    user = fields.Nested(UserSchema, required=True)
    delivery_address = fields.Nested(DeliveryAddressSchema, load_default=None, allow_none=True)
    metadata = Metadata(load_default=None, allow_none=True)
    items = fields.List(
        fields.Nested(ItemWrapperSchema),
        required=True,
        validate=validate.Length(min=1, max=MAX_ITEMS, error=f"expected 1 to {MAX_ITEMS} items"),
    )

    def build(self, values: dict[str, Any]) -> Any:
        return OrderRequest(
            tuple(values["items"]),
            values["user"],
            values["desired_ready_time"],
            "pickup" if values["fulfillment_type"] is None else values["fulfillment_type"],
            values["special_instructions"] or None,
            values["tip"] or 0,
            values["merchant_funded_discount"] or 0,
            values["delivery_address"],
            values["metadata"] or {},
        )


class OrderSubmissionSchema(OrderValidationSchema):
    """An order to be placed."""

    tender = Pattern(TENDER, f'"{TENDER}"', load_default=None, allow_none=True)
    credit_card = fields.Nested(CreditCardSchema, load_default=None, allow_none=True)
    order_number = OrderNumber(load_default=None, allow_none=True)
    grubhub_order_number = OrderNumber(load_default=None, allow_none=True)

    def build(self, values: dict[str, Any]) -> SubmissionRequest:
        if values["tender"] and values["credit_card"]:
            raise ValidationError("expected either tender or credit_card, not both (PAY-3)", "tender")
        return SubmissionRequest(
            super().build(values),
            values["credit_card"] or LevelUp(),
            values["order_number"],
            values["grubhub_order_number"],
        )


_VALIDATION = Body("order_validation", OrderValidationSchema())
_SUBMISSION = Body("order_submission", OrderSubmissionSchema())


def read_validation(body: bytes) -> OrderRequest:
    """The order validation in a body. :raises Failure: see :meth:`Body.read`."""
    order: OrderRequest = _VALIDATION.read(body)
    return order


def read_submission(body: bytes) -> SubmissionRequest:
    """The order submission in a body. :raises Failure: see :meth:`Body.read`."""
    order: SubmissionRequest = _SUBMISSION.read(body)
    return order


def read_parsed_submission(body: Any) -> SubmissionRequest:
    """The order submission in parsed JSON. :raises Failure: ``invalid_member``."""
    order: SubmissionRequest = _SUBMISSION.read_parsed(body)
    return order


def _option(found: Any) -> Option:
    return Option(found.provider_id, found.quantity or 1, _ours(found.metadata))


def _item(found: Any, options: Sequence[Option] | None) -> Item:
    return Item(
        found.provider_id,
        found.quantity,
        tuple(options or ()),
        found.special_instructions or None,
        found.recipient_name or None,
        _ours(found.metadata),
    )


def _ours(metadata: Mapping[str, Any] | None) -> dict[str, Any]:
    """What our menu put into an item's or option's metadata (ITEM-9); nothing else is passed on."""
    if not metadata:
        return {}
    return {key: value for key, value in metadata.items() if key.startswith(_INTEGRATION) and _is_plain(value)}


def _is_plain(value: Any) -> bool:
    return type(value) in (str, bool) or (type(value) is int and -_INT64 <= value < _INT64)
