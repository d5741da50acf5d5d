"""Reading what an agent sends about a checkout, in the two forms of UCP: shopping and food.

A member that is left out is the same as null: a create and an update name everything. Unknown members are ignored, as
UCP wants it, and so are those that only this service writes, such as totals.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from marshmallow import RAISE, ValidationError, fields, validate
from msgspec import UNSET

from levelup_ov.domain.order import DeliveryAddress
from levelup_ov.domain.secret import Secret
from levelup_ov.schemas.base import Body, Reader, WireSchema, read_at, read_body
from levelup_ov.schemas.orders import (
    MAX_ITEMS,
    AddressPart,
    Cents,
    Identifier,
    Pattern,
    Quantity,
    ReadyTime,
    SecretPattern,
    Text,
)

MOST_INSTRUMENTS = 10
MOST_OPTIONS = 200
MOST_CLAIMS = 50
LONGEST_PERSON = 255
"""Characters of a name, a phone number or an e-mail address."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class LineRequest(msgspec.Struct, frozen=True):
    """A line: ``id`` is the agent's or ours, None for a new one; ``options`` are ids of modifications, in order."""

    item_id: str
    quantity: int
    id: str | None = None
    options: tuple[str, ...] = ()
    note: str | None = None


class BuyerRequest(msgspec.Struct, frozen=True):
    """Who buys."""

    first_name: str | None = None
    last_name: str | None = None
    phone: str | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class CredentialRequest:
    """What pays, of whatever handler: members that it does not have are None."""

    type: str
    number: Secret | None = None
    cvc: Secret | None = None
    expiry_month: int | None = None
    expiry_year: int | None = None
    name: str | None = None
    postal_code: str | None = None
    merchant: str | None = None
    user: str | None = None
    location_id: int | None = None


@dataclass(frozen=True, slots=True)
class InstrumentRequest:
    """A payment instrument; ``contact`` and ``postal_code`` are of its billing address."""

    handler_id: str
    type: str
    credential: CredentialRequest | None
    contact: BuyerRequest
    postal_code: str | None


class MethodRequest(msgspec.Struct, frozen=True):
    """How a food order gets to its buyer. ``kind`` is pickup or delivery, None if the request does not say."""

    kind: str | None
    requested_time: datetime | None
    selected_option: str | None
    address: DeliveryAddress | None
    notes: str | None


class TipRequest(msgspec.Struct, frozen=True):
    """The id of a preset, or an amount in cents. Without either there is no tip."""

    option: str | None = None
    amount: int | None = None


class CheckoutRequest(msgspec.Struct, frozen=True):
    """The body of a create or an update.

    ``location_id``: of the establishment, in food only. ``claims``: what the agent says that the buyer is entitled to.
    """

    lines: tuple[LineRequest, ...]
    buyer: BuyerRequest | None
    claims: tuple[str, ...]
    location_id: str | None = None
    method: MethodRequest | None = None
    tip: TipRequest | None = None


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """The body of a completion: the instrument to charge."""

    instrument: InstrumentRequest
    position: int


def _plain(value: Any) -> Any:
    """``1.0`` as 1: for JSON Schema a number without a fraction is an integer, however it is written."""
    return int(value) if type(value) is float and value.is_integer() else value


class AgentQuantity(Quantity):
    """A quantity."""

    exact = int

    def read(self, value: Any) -> int:
        return super().read(_plain(value))


class AgentCents(Cents):
    """An amount in cents."""

    exact = int

    def read(self, value: Any) -> int:
        return super().read(_plain(value))


class Whole(Reader, fields.Integer):
    """An integer between two bounds."""

    def __init__(self, low: int, high: int, **kwargs: Any) -> None:
        self.documented = {"minimum": low, "maximum": high}
        super().__init__(**kwargs)
        self._low, self._high = low, high

    def read(self, value: Any) -> int:
        value = _plain(value)
        if type(value) is not int or not self._low <= value <= self._high:
            raise ValueError(f"expected an integer from {self._low} to {self._high}")
        return value


class Flag(Reader, fields.Boolean):
    """True or false."""

    def read(self, value: Any) -> bool:
        if type(value) is not bool:
            raise ValueError("expected true or false")
        return value


class Anything(Reader, fields.Raw):
    """A member that is not read."""

    def read(self, value: Any) -> Any:
        return value


class PersonText(Text):
    """What one line can say about a person."""

    documented = {"maxLength": LONGEST_PERSON}

    def read(self, value: Any) -> str:
        text = value if type(value) is str and value.isprintable() else super().read(value)
        if len(text) > LONGEST_PERSON or (not text.isprintable() and _CONTROL.search(text)):
            raise ValueError(f"expected at most {LONGEST_PERSON} characters, without control characters")
        return text


class PhoneText(PersonText):
    """A phone number, in whatever notation."""

    def read(self, value: Any) -> str:
        text = super().read(value)
        if text.strip() and not 5 <= sum(map(str.isdigit, text)) <= 20:
            raise ValueError("expected a phone number")
        return text


class EmailText(PersonText):
    """An e-mail address, as far as its form shows it."""

    def read(self, value: Any) -> str:
        text = super().read(value)
        if text.strip() and not _EMAIL.fullmatch(text.strip()):
            raise ValueError("expected an e-mail address")
        return text


class AwareTime(ReadyTime):
    """An instant of RFC 3339, with its offset."""

    def read(self, value: Any) -> datetime:
        instant = super().read(value)
        if instant.tzinfo is None:
            raise ValueError("expected an offset, such as in 2030-06-03T12:30:00-04:00")
        return instant


def optional(kind: Any, *arguments: Any, **options: Any) -> Any:
    """A member that may be left out or null; both are None."""
    return kind(*arguments, load_default=None, allow_none=True, **options)


def list_of(schema: type[WireSchema] | Reader, most: int, least: int = 0, **options: Any) -> Any:
    """A list of ``least`` to ``most`` entries."""
    inner = schema if isinstance(schema, Reader) else fields.Nested(schema)
    length = validate.Length(min=least, max=most, error=f"expected {least} to {most} entries")
    return fields.List(inner, validate=length, **options)


class AgentBuyerSchema(WireSchema):
    """``buyer``, or a contact."""

    first_name = optional(PersonText)
    last_name = optional(PersonText)
    phone_number = optional(PhoneText)
    email = optional(EmailText)

    def build(self, values: dict[str, Any]) -> BuyerRequest:
        names = ("first_name", "last_name", "phone_number", "email")
        return BuyerRequest(*[(values[name] or "").strip() or None for name in names])


class ContextSchema(WireSchema):
    """``context``: only the claims matter, and none is accepted."""

    eligibility = optional(list_of, Text(), MOST_CLAIMS)

    def build(self, values: dict[str, Any]) -> Any:
        return tuple(values["eligibility"] or ())


class ModificationSchema(WireSchema):
    """A modification of a dish, as its id and how many for each dish; the id carries its nesting (ITEM-3).

    A tree, as menus show it, would be ordered as something else if it were ignored.
    """

    id = Identifier(required=True)
    quantity = optional(AgentQuantity)
    modifications = optional(Anything)

    def build(self, values: dict[str, Any]) -> Any:
        if values["modifications"] not in (None, []):
            raise ValidationError("list every modification in the dish's own list", "modifications")
        return values["id"], values["quantity"] or 1


class DishSchema(WireSchema):
    """A dish. Its options: the id of a modification once for each that is chosen."""

    id = Identifier(required=True)
    modifications = optional(list_of, ModificationSchema, MOST_OPTIONS)
    note = optional(Text)

    def build(self, values: dict[str, Any]) -> dict[str, Any]:
        chosen = values["modifications"] or []
        # UCP forbids to read a repetition as a quantity.
        if len({id for id, _ in chosen}) < len(chosen):
            raise ValidationError("list a modification once, with its quantity", "modifications")
        if sum(quantity for _, quantity in chosen) > MOST_OPTIONS:
            raise ValidationError(f"expected at most {MOST_OPTIONS}, with their quantities", "modifications")
        return {**values, "modifications": tuple(id for id, quantity in chosen for _ in range(quantity))}


class ItemSchema(WireSchema):
    """An item of the shopping face."""

    id = Identifier(required=True)


class _Line(WireSchema):
    id = optional(Identifier)
    quantity = AgentQuantity(required=True)


class FoodLineSchema(_Line):
    """A line of food."""

    dish = fields.Nested(DishSchema, required=True)

    def finish(self, found: Any) -> LineRequest:
        # A basket has many modifications, and most have nothing but their ids.
        dish = found.dish
        chosen = dish.modifications or ()
        ids = [each.id for each in chosen if each.quantity is UNSET and each.modifications is UNSET]
        if len(set(ids)) < len(chosen):
            return _line(_DISH.finish(dish), found.quantity, found.id or None)
        return LineRequest(dish.id, found.quantity, found.id or None, tuple(ids), dish.note or None)

    def build(self, values: dict[str, Any]) -> LineRequest:
        return _line(values["dish"], values["quantity"], values["id"])


class ShoppingLineSchema(_Line):
    """A line of the shopping face."""

    item = fields.Nested(ItemSchema, required=True)

    def build(self, values: dict[str, Any]) -> LineRequest:
        return LineRequest(values["item"]["id"], values["quantity"], values["id"])


class DestinationSchema(WireSchema):
    """Where a delivery goes, or the location of a pickup, which only this service writes."""

    street_address = optional(AddressPart)
    extended_address = optional(AddressPart)
    address_locality = optional(AddressPart)
    address_region = optional(AddressPart)
    postal_code = optional(AddressPart)

    def build(self, values: dict[str, Any]) -> Any:
        street, *others = values.values()
        return DeliveryAddress(street, *others) if street else None


class MethodSchema(WireSchema):
    """A fulfillment method of food. A delivery names its address as ``destination``, or as the one of a list."""

    type = optional(Pattern, "pickup|delivery", "pickup or delivery")
    destination = optional(fields.Nested, DestinationSchema)
    destinations = optional(list_of, DestinationSchema, MAX_ITEMS)
    requested_fulfillment_time = optional(AwareTime)
    selected_option_id = optional(Text)
    notes = optional(AddressPart)

    def build(self, values: dict[str, Any]) -> MethodRequest:
        several = [each for each in values["destinations"] or () if each is not None]
        if len(several) > 1:
            raise ValidationError("expected one destination", "destinations")
        address = values["destination"] or next(iter(several), None)
        time, option = values["requested_fulfillment_time"], values["selected_option_id"]
        return MethodRequest(values["type"], time, option, address, values["notes"])


class FulfillmentSchema(WireSchema):
    """``fulfillment``: one method for all dishes."""

    methods = optional(list_of, MethodSchema, 1)

    def build(self, values: dict[str, Any]) -> Any:
        return next(iter(values["methods"] or ()), None)


class TipSchema(WireSchema):
    """``tip``. An unknown member may mean money, so here alone it is refused; ``options`` are ours."""

    class Meta:
        unknown = RAISE

    selected_option_id = optional(Text)
    custom_amount = optional(AgentCents)
    options = optional(Anything)

    def build(self, values: dict[str, Any]) -> TipRequest:
        option, amount = values["selected_option_id"], values["custom_amount"]
        if None not in (option, amount):
            raise ValidationError("expected selected_option_id or custom_amount, not both", "custom_amount")
        return TipRequest(option, amount)


class EstablishmentSchema(ItemSchema):
    """``food_establishment``."""


class _Checkout(WireSchema):
    buyer = optional(fields.Nested, AgentBuyerSchema)
    context = optional(fields.Nested, ContextSchema)


class ShoppingCheckoutSchema(_Checkout):
    """A create or an update of the shopping face."""

    line_items = list_of(ShoppingLineSchema, MAX_ITEMS, 1, required=True)

    def build(self, values: dict[str, Any]) -> CheckoutRequest:
        return CheckoutRequest(_lines(values), values["buyer"], values["context"] or ())


class FoodCheckoutSchema(_Checkout):
    """A create or an update of the food face."""

    line_items = list_of(FoodLineSchema, MAX_ITEMS, 1, required=True)
    food_establishment = optional(fields.Nested, EstablishmentSchema)
    fulfillment = optional(fields.Nested, FulfillmentSchema)
    tip = optional(fields.Nested, TipSchema)

    def build(self, values: dict[str, Any]) -> CheckoutRequest:
        place = values["food_establishment"]
        return CheckoutRequest(
            _lines(values), values["buyer"], values["context"] or (), place and place["id"], values["fulfillment"],
            values["tip"],
        )  # fmt: skip


class CredentialSchema(WireSchema):
    """What pays; a secret as soon as it is read (PAY-2)."""

    type = Text(required=True)
    number = optional(SecretPattern, r"\d{12,19}", "12 to 19 digits")
    cvc = optional(SecretPattern, r"\d{3,4}", "3 or 4 digits")
    expiry_month = optional(Whole, 1, 12)
    expiry_year = optional(Whole, 2000, 2099)
    name = optional(Text)
    postal_code = optional(Pattern, r"[A-Za-z0-9 -]{0,16}", "a postal code")
    merchant = optional(Identifier)
    user = optional(Identifier)
    location_id = optional(Whole, 1, 2**53)

    def build(self, values: dict[str, Any]) -> CredentialRequest:
        return CredentialRequest(**values)


class BillingSchema(AgentBuyerSchema):
    """The billing address of an instrument: a contact, and the postal code."""

    postal_code = optional(Pattern, r"[A-Za-z0-9 -]{0,16}", "a postal code")

    def build(self, values: dict[str, Any]) -> Any:
        return super().build(values), values["postal_code"]


class InstrumentSchema(WireSchema):
    """An instrument. What it contains is its handler's, and read only if it is to pay."""

    id = Text(required=True)
    handler_id = Text(required=True)
    type = Text(required=True)
    selected = optional(Flag)
    credential = optional(Anything)
    billing_address = optional(Anything)


class AgentPaymentSchema(WireSchema):
    """``payment``: the instrument that is selected, or the only one, with its position."""

    instruments = list_of(InstrumentSchema, MOST_INSTRUMENTS, 1, required=True)

    def build(self, values: dict[str, Any]) -> Any:
        instruments = [each for each in enumerate(values["instruments"]) if each[1]["selected"] is not False]
        chosen = [each for each in instruments if each[1]["selected"]] or instruments
        if len(chosen) != 1:
            raise ValidationError("expected one instrument, or one that is selected", "instruments")
        return chosen[0]


class CompletionSchema(WireSchema):
    """A completion."""

    payment = fields.Nested(AgentPaymentSchema, required=True)

    def build(self, values: dict[str, Any]) -> Any:
        return values["payment"]


_DISH = DishSchema()
_SHOPPING, _FOOD, _COMPLETION = ShoppingCheckoutSchema(), FoodCheckoutSchema(), CompletionSchema()
_CREDENTIAL, _BILLING = CredentialSchema(), BillingSchema()
SHOPPING_BODY, FOOD_BODY = Body(None, _SHOPPING), Body(None, _FOOD)


def read_shopping(body: Any) -> CheckoutRequest:
    """The checkout in a body, parsed or not. :raises Failure: ``invalid_member``, or one of :func:`parse`."""
    return _checkout(SHOPPING_BODY, body)


def read_food(body: Any) -> CheckoutRequest:
    """The same of food. :raises Failure: as :func:`read_shopping`."""
    return _checkout(FOOD_BODY, body)


def read_completion(body: Any, handlers: Collection[str]) -> PaymentRequest:
    """The payment of a completion; what its instrument contains is read if it is of one of ``handlers``.

    :raises Failure: ``invalid_member``.
    """
    position, chosen = read_body(_COMPLETION, body)
    credential, contact, postal_code = None, BuyerRequest(), None
    if chosen["handler_id"] in handlers:
        path = f"$.payment.instruments[{position}]"
        if chosen["credential"] is not None:
            credential = read_at(_CREDENTIAL, chosen["credential"], f"{path}.credential")
        if chosen["billing_address"] is not None:
            contact, postal_code = read_at(_BILLING, chosen["billing_address"], f"{path}.billing_address")
    instrument = InstrumentRequest(chosen["handler_id"], chosen["type"], credential, contact, postal_code)
    return PaymentRequest(instrument, position)


def _checkout(kind: Body, body: Any) -> CheckoutRequest:
    found: CheckoutRequest = kind.read(body) if type(body) is bytes else kind.read_parsed(body)
    return found


def _line(dish: Mapping[str, Any], quantity: int, id: str | None) -> LineRequest:
    return LineRequest(dish["id"], quantity, id, dish["modifications"], dish["note"] or None)


def _lines(values: dict[str, Any]) -> tuple[LineRequest, ...]:
    lines = tuple(values["line_items"])
    ids = [line.id for line in lines if line.id is not None]
    if len(set(ids)) < len(ids):
        raise ValidationError("expected different ids", "line_items")
    return lines
