"""Writing the responses of web checkout; ``docs/checkout.rst`` describes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, get_args

from marshmallow import Schema, fields, validate

from levelup_ov.domain.checkout import ConnectionState, OrderState
from levelup_ov.schemas.responses import Instant, SubmittedOrderSchema, Wrapper, rooted, wrapped


def _instant(milliseconds: int | None) -> str | None:
    if milliseconds is None:
        return None
    return datetime.fromtimestamp(milliseconds // 1_000, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class StoredInstant(Instant):
    """An instant stored as milliseconds since 1970."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return _instant(value)


class Stored(fields.Nested):
    """An object stored as JSON."""

    def get_value(self, obj: Any, attr: str, *args: Any, **kwargs: Any) -> Any:
        value = super().get_value(obj, attr, *args, **kwargs)
        return None if value is None else json.loads(value)


class Words(fields.List[Any]):
    """Words stored in one string, separated by spaces."""

    def _serialize(self, value: Any, attr: str | None, obj: Any, **kwargs: Any) -> list[Any] | None:
        return super()._serialize(value.split(), attr, obj, **kwargs)


def _cents(attribute: str, *, allow_none: bool = False) -> fields.Integer:
    return fields.Integer(required=True, attribute=attribute, allow_none=allow_none, metadata={"description": "cents"})


def _state(states: Any, *, attribute: str | None = None) -> fields.String:
    return fields.String(required=True, attribute=attribute, validate=validate.OneOf(get_args(states)))


class MerchantConnectionSchema(Schema):
    """A merchant, connected or not."""

    id = fields.String(required=True)
    state = _state(ConnectionState)
    levelup_merchant_id = fields.Integer(required=True, allow_none=True, attribute="levelup_id")
    authorization_url = fields.String(required=True, allow_none=True, dump_default=None)


class MerchantConnectionsSchema(Schema):
    """The connected merchants."""

    merchants = wrapped("merchant", MerchantConnectionSchema)


class LevelUpLocationSchema(Schema):
    """A merchant's location at LevelUp."""

    id = fields.Integer(required=True)
    name = fields.String(required=True, allow_none=True)


class LevelUpLocationsSchema(Schema):
    """The locations of a merchant."""

    locations = wrapped("location", LevelUpLocationSchema)


class UserConnectionSchema(Schema):
    """A user, connected or not."""

    id = fields.String(required=True)
    state = _state(ConnectionState)
    permissions = Words(fields.String(), required=True)
    authorization_url = fields.String(required=True, allow_none=True, dump_default=None)


class ProfileSchema(Schema):
    """A user's basic information."""

    email = fields.String(required=True)
    first_name = fields.String(required=True, allow_none=True)
    last_name = fields.String(required=True, allow_none=True)


class UserAddressSchema(Schema):
    """An address of a user."""

    id = fields.String(required=True, allow_none=True)
    address_type = fields.String(required=True, allow_none=True)
    street_address = fields.String(required=True, allow_none=True)
    extended_address = fields.String(required=True, allow_none=True)
    locality = fields.String(required=True, allow_none=True)
    region = fields.String(required=True, allow_none=True)
    postal_code = fields.String(required=True, allow_none=True)


class UserAddressesSchema(Schema):
    """The addresses of a user."""

    addresses = wrapped("address", UserAddressSchema)


class CardPageSchema(Schema):
    """LevelUp's page for a card."""

    url = fields.String(required=True)
    expires_at = Instant(required=True, allow_none=True)


class PastOrderSchema(Schema):
    """An order of a user, from any app."""

    uuid = fields.String(required=True)
    created_at = Instant(required=True)
    location_id = fields.Integer(required=True, allow_none=True)
    spend_amount = _cents("spend")
    tip_amount = _cents("tip")
    total_amount = _cents("total")
    card_amount = _cents("card", allow_none=True)
    credit_applied_amount = _cents("credit_applied", allow_none=True)
    refunded_at = Instant(required=True, allow_none=True)


class PastOrdersSchema(Schema):
    """A page of a user's orders."""

    orders = wrapped("order", PastOrderSchema)
    next_page = fields.Integer(required=True, allow_none=True)


class LoyaltySchema(Schema):
    """A user's progress in a merchant's loyalty program."""

    potential_credit_amount = _cents("potential_credit")
    spend_remaining_amount = _cents("spend_remaining", allow_none=True)
    progress_percentage = fields.Integer(required=True, allow_none=True)


class CampaignWrapperSchema(Wrapper):
    """A campaign, whose members are LevelUp's own."""

    campaign = fields.Dict(required=True)


class OrderPreviewSchema(Schema):
    """What an order would trigger."""

    spend_amount = _cents("amounts.spend")
    tax_amount = _cents("amounts.tax")
    exemption_amount = _cents("amounts.exemption")
    tip_amount = _cents("tip")
    total_amount = _cents("total")
    discount_amount = _cents("discount")
    user_pays_amount = _cents("user_pays")
    currency = fields.Constant("USD")
    credit_amount = _cents("credit")
    gift_card_amount = _cents("gift_card", allow_none=True)
    global_credit_amount = _cents("global_credit", allow_none=True)
    card_amount = _cents("card", allow_none=True)
    loyalty = fields.Nested(LoyaltySchema, required=True, allow_none=True)
    campaigns = fields.List(fields.Nested(CampaignWrapperSchema), required=True)


class ProblemSchema(Schema):
    """Why an order was refunded instead of submitted."""

    code = fields.String(required=True)
    message = fields.String(required=True)


class ChargedOrderSchema(Schema):
    """An order and its state."""

    id = fields.String(required=True)
    uuid = fields.String(required=True, allow_none=True)
    state = _state(OrderState, attribute="known_state")
    merchant = fields.String(required=True)
    user = fields.String(required=True)
    location_id = fields.Integer(required=True)
    spend_amount = _cents("spend")
    tax_amount = _cents("tax")
    exemption_amount = _cents("exemption")
    tip_amount = _cents("tip")
    total_amount = _cents("gross")
    discount_amount = _cents("discount")
    user_pays_amount = _cents("user_pays")
    gift_card_total_amount = _cents("gift_card_total", allow_none=True)
    gift_card_tip_amount = _cents("gift_card_tip", allow_none=True)
    currency = fields.Constant("USD")
    created_at = StoredInstant(required=True)
    refunded_at = StoredInstant(required=True, allow_none=True)
    provider_location_id = fields.String(required=True, allow_none=True)
    order_submission = Stored(SubmittedOrderSchema, required=True, allow_none=True, attribute="submitted")
    problem = Stored(ProblemSchema, attribute="reported_problem", required=True, allow_none=True)


class NothingSchema(Schema):
    """A response without members."""


ANSWERS: Mapping[str, Schema] = {
    **{
        root: rooted(root, schema)()
        for root, schema in (
            ("merchant", MerchantConnectionSchema),
            ("user", UserConnectionSchema),
            ("profile", ProfileSchema),
            ("address", UserAddressSchema),
            ("card_page", CardPageSchema),
            ("preview", OrderPreviewSchema),
            ("order", ChargedOrderSchema),
        )
    },
    "merchants": MerchantConnectionsSchema(),
    "locations": LevelUpLocationsSchema(),
    "addresses": UserAddressesSchema(),
    "past_orders": PastOrdersSchema(),
    "nothing": NothingSchema(),
}
"""The schemas with one root member, by its name."""
_SUBMITTED, _PROBLEM = tuple(SubmittedOrderSchema().fields), tuple(ProblemSchema().fields)


def charged_order(order: Any) -> dict[str, Any]:
    """The response with an order, as its schema writes it, in a tenth of the time."""
    submitted, problem = order.submitted, order.reported_problem
    return {
        "order": {
            "id": order.id,
            "uuid": order.uuid,
            "state": order.known_state,
            "merchant": order.merchant,
            "user": order.user,
            "location_id": order.location_id,
            "spend_amount": order.spend,
            "tax_amount": order.tax,
            "exemption_amount": order.exemption,
            "tip_amount": order.tip,
            "total_amount": order.gross,
            "discount_amount": order.discount,
            "user_pays_amount": order.user_pays,
            "gift_card_total_amount": order.gift_card_total,
            "gift_card_tip_amount": order.gift_card_tip,
            "currency": "USD",
            "created_at": _instant(order.created_at),
            "refunded_at": _instant(order.refunded_at),
            "provider_location_id": order.provider_location_id,
            "order_submission": None if submitted is None else _chosen(submitted, _SUBMITTED),
            "problem": None if problem is None else _chosen(problem, _PROBLEM),
        }
    }


def _chosen(stored: str, names: Iterable[str]) -> dict[str, Any]:
    """Some members of an object stored as JSON."""
    found = json.loads(stored)
    return {name: found[name] for name in names if name in found}
