"""Writing responses: merchants, locations, menus, validated and submitted orders, errors."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timezone
from typing import Any

from marshmallow import Schema, fields, validate

from levelup_ov.domain.location import WEEKDAYS, Hours, Location, Merchant
from levelup_ov.domain.menu import Menu
from levelup_ov.domain.status import STAGES


class Wrapper(Schema):
    """An object whose one member contains the thing itself: ``{"item": {...}}``."""

    def get_attribute(self, obj: Any, attr: str, default: Any) -> Any:
        return obj


def rooted(name: str, schema: type[Schema]) -> type[Schema]:
    """The wrapper called ``name`` around ``schema``."""
    return Wrapper.from_dict({name: fields.Nested(schema, required=True)})


def wrapped(name: str, schema: type[Schema]) -> fields.List[Any]:
    """A list of ``schema``, each in a wrapper called ``name``."""
    return fields.List(fields.Nested(rooted(name, schema)), required=True)


class Instant(fields.String):
    """An aware instant in UTC."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Fraction(fields.Float):
    """An exact decimal, written as a JSON number."""


class DayHours(fields.Raw):
    """Spans, the word closed, or null (LOC-2)."""


class MerchantSchema(Schema):
    """EP-1."""

    provider_id = fields.String(required=True)
    name = fields.String(required=True)


class MerchantsSchema(Schema):
    """The answer of EP-1."""

    merchants = wrapped("merchant", MerchantSchema)


HoursSchema = Schema.from_dict({day: DayHours(required=True) for day in WEEKDAYS}, name="HoursSchema")


class LocationSchema(Schema):
    """LOC-1."""

    provider_id = fields.String(required=True)
    name = fields.String(required=True)
    active = fields.Boolean(required=True)
    terminated = fields.Boolean(required=True)
    accepts_tips_on_pickup = fields.Boolean(required=True)
    accepts_tips_on_delivery = fields.Boolean(required=True)
    fulfills_pickups = fields.Boolean(required=True)
    fulfills_deliveries = fields.Boolean(required=True)
    street_address = fields.String(required=True, allow_none=True)
    extended_address = fields.String(required=True, allow_none=True)
    locality = fields.String(required=True, allow_none=True)
    region = fields.String(required=True, allow_none=True)
    postal_code = fields.String(required=True, allow_none=True)
    phone = fields.String(required=True, allow_none=True)
    latitude = Fraction(required=True, allow_none=True)
    longitude = Fraction(required=True, allow_none=True)
    time_zone = fields.String(required=True, allow_none=True)
    hours = fields.Nested(HoursSchema, required=True)


class LocationsSchema(Schema):
    """The answer of EP-2."""

    updated_at = Instant(required=True, allow_none=True)
    locations = wrapped("location", LocationSchema)


class MenuOptionSchema(Schema):
    """MENU-2."""

    provider_id = fields.String(required=True)
    name = fields.String(required=True)
    price = fields.Integer(required=True)
    maximum_quantity = fields.Integer(required=True, allow_none=True)
    default_quantity = fields.Integer(required=True, allow_none=True)
    option_groups = fields.List(fields.String(), required=True)
    display_order = fields.Integer(required=True, allow_none=True)
    metadata = fields.Dict(required=True)
    tax_rate = Fraction(required=True, allow_none=True)
    timescopes = fields.List(fields.Dict(), required=True, allow_none=True)


class OptionGroupSchema(Schema):
    """MENU-2."""

    provider_id = fields.String(required=True)
    name = fields.String(required=True)
    minimum_choices = fields.Integer(required=True)
    maximum_choices = fields.Integer(required=True, allow_none=True)
    minimum_unique_options = fields.Integer(required=True, allow_none=True)
    maximum_unique_options = fields.Integer(required=True, allow_none=True)
    free_choices = fields.Integer(required=True)
    defaults = fields.List(fields.String(), required=True)
    display_order = fields.Integer(required=True, allow_none=True)
    options = wrapped("option", MenuOptionSchema)
    timescopes = fields.List(fields.Dict(), required=True, allow_none=True)


class MenuItemSchema(Schema):
    """MENU-2."""

    provider_id = fields.String(required=True)
    name = fields.String(required=True)
    description = fields.String(required=True, allow_none=True)
    price = fields.Integer(required=True)
    image = fields.String(required=True, allow_none=True)
    metadata = fields.Dict(required=True)
    option_groups = fields.List(fields.String(), required=True)
    nutrition = fields.Dict(required=True, allow_none=True)
    timescopes = fields.List(fields.Dict(), required=True, allow_none=True)


class CategorySchema(Schema):
    """MENU-2."""

    provider_id = fields.String(required=True)
    name = fields.String(required=True)
    description = fields.String(required=True, allow_none=True)
    category_group = fields.String(required=True, allow_none=True)
    items = wrapped("item", MenuItemSchema)
    timescopes = fields.List(fields.Dict(), required=True, allow_none=True)


class CategoryGroupSchema(Schema):
    """MENU-1."""

    provider_id = fields.String(required=True)
    name = fields.String(required=True)
    timescopes = fields.List(fields.Dict(), required=True, allow_none=True)


class MenuSchema(Schema):
    """MENU-1."""

    provider_id = fields.String(required=True)
    name = fields.String(required=True)
    updated_at = Instant(required=True, allow_none=True)
    allows_special_instructions = fields.Boolean(required=True)
    special_instructions_character_limit = fields.Integer(required=True, allow_none=True)
    category_groups = wrapped("category_group", CategoryGroupSchema)
    categories = wrapped("category", CategorySchema)
    option_groups = wrapped("option_group", OptionGroupSchema)


class ValidatedOrderSchema(Schema):
    """The object in the response of EP-4."""

    total = fields.Integer(required=True)
    tax = fields.Integer(required=True)
    tip = fields.Integer(required=True, allow_none=True)
    merchant_funded_discount = fields.Integer(required=True)
    provider_funded_discount = fields.Integer(required=True)
    soonest_available_at = fields.String(required=True, allow_none=True)
    ready_at = fields.String(required=True, allow_none=True)
    available_at = fields.List(fields.String(), required=True, allow_none=True)
    metadata = fields.Dict(required=True)


class SubmittedOrderSchema(Schema):
    """The object in the response of EP-5 (SUB-1)."""

    order_id = fields.Raw(required=True)
    expected_ready_at = fields.String(required=True, allow_none=True)
    metadata = fields.Dict(required=True)


class TrackedOrderSchema(Schema):
    """The object in the response of STAT-1."""

    order_id = fields.Raw(required=True)
    status = fields.String(required=True, allow_none=True, validate=validate.OneOf(STAGES))
    provider_status = fields.String(required=True)
    changed_at = fields.String(required=True, allow_none=True)
    expected_ready_at = fields.String(required=True, allow_none=True)


class ReceivedSchema(Schema):
    """EVT-9."""

    status = fields.Constant("ok", required=True)


class ErrorSchema(Schema):
    """ERR-1."""

    type = fields.String(required=True)
    message = fields.String(required=True)
    code = fields.String(required=True)
    path = fields.String(required=True, allow_none=True)
    retryable = fields.Boolean(required=True)
    request_id = fields.String(required=True)


class ErrorAnswerSchema(Schema):
    """The body of every error."""

    error = fields.Nested(ErrorSchema, required=True)


_MERCHANTS = MerchantsSchema()
_LOCATION = LocationSchema(exclude=("provider_id", "hours"))
_MENU = MenuSchema()
_ORDER = TrackedOrderSchema()


def merchants(found: Iterable[Merchant]) -> dict[str, Any]:
    """The answer of EP-1."""
    return _MERCHANTS.dump({"merchants": list(found)})


def locations(found: Iterable[tuple[str, Location]]) -> dict[str, Any]:
    """The answer of EP-2, of pairs of wire id and location."""
    found = list(found)
    updated_at = max((location.updated_at for _, location in found if location.updated_at), default=None)
    return {
        "updated_at": Instant().serialize("value", {"value": updated_at}),
        "locations": [
            {"location": {"provider_id": wire_id, **_LOCATION.dump(location), "hours": _hours(location.hours)}}
            for wire_id, location in found
        ],
    }


def menu(found: Menu) -> dict[str, Any]:
    """The answer of EP-3."""
    return {"menu": _MENU.dump(found)}


def order(found: Any) -> dict[str, Any]:
    """The answer of STAT-1."""
    return {"order": _ORDER.dump(found)}


def _hours(hours: Hours) -> dict[str, Any]:
    return {day: _day(hours.get(day)) for day in WEEKDAYS}


def _day(spans: Any) -> Any:
    if spans is None:
        return None
    return [{"opens_at": _clock(span.opens_at), "closes_at": _clock(span.closes_at)} for span in spans] or "closed"


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
