"""Locations and merchants, for everybody; and the campaigns and the loyalty of a user with them."""

from __future__ import annotations

from collections.abc import Iterable
from math import cos, radians

from flask import Response, request, url_for

from levelup_ov.standins.levelup import orders
from levelup_ov.standins.levelup.ahead import ahead
from levelup_ov.standins.levelup.api.base import (
    JSON,
    Listed,
    api,
    location_of,
    merchant_of,
    page_number,
    page_of,
    reading,
)
from levelup_ov.standins.levelup.funds import OrderSums
from levelup_ov.standins.levelup.platform import platform
from levelup_ov.standins.levelup.problems import ErrorResponse, error, invalid, not_found
from levelup_ov.standins.levelup.store import Transaction
from levelup_ov.standins.levelup.world import CAMPAIGNS, Campaign, PlatformLocation, PlatformMerchant

LOCATIONS_PAGE = 30
FULFILLMENT_TYPES = ("delivery", "in_store", "pickup")
TIPS_EXPECTED, NO_PREFERENCE = "expected", "no preference"
"""The tip preferences in the fixtures of the official libraries."""
_SHARED = (
    "message_for_email_body", "message_for_email_subject", "message_for_facebook", "message_for_twitter",
    "share_url_email", "share_url_facebook", "share_url_twitter",
)  # fmt: skip

# Places.


@api.get("/v15/apps/<int:number>/locations")
@api.get("/v14/apps/<int:number>/locations")
def list_app_locations(number: int) -> Listed:
    """Everywhere the app can pay; needs no token."""
    if number not in platform().apps:
        raise not_found("app", "id", "There is no such app.")
    ahead().refresh()
    with platform().store.reading() as transaction:
        return _page(transaction, transaction.locations())


@api.get("/v15/merchants/<int:number>/locations")
@api.get("/v14/merchants/<int:number>/locations")
def list_merchant_locations(number: int) -> Listed:
    """A merchant's locations; needs no token."""
    with platform().store.reading() as transaction:
        merchant_of(transaction, number)
        own = [location for location in transaction.locations() if location.merchant_id == number]
        return _page(transaction, own, filtered="fulfillment_types" in request.args)


@api.get("/v15/managed_locations")
def list_managed_locations() -> Listed:
    """The locations of the merchant that the token is for."""
    with reading() as (transaction, caller):
        token = caller.older_merchant()
        own = [location for location in transaction.locations() if location.merchant_id == token.merchant_id]
        return _page(transaction, own, filtered=False)


@api.get("/v14/locations")
def list_locations() -> Listed:
    """All there are; needs no token."""
    with platform().store.reading() as transaction:
        return _page(transaction, transaction.locations(), filtered=False)


@api.get("/v15/locations/<int:number>")
@api.get("/v14/locations/<int:number>")
def show_location(number: int) -> JSON:
    """:raises ErrorResponse: 404 without a body."""
    with platform().store.reading() as transaction:
        if (location := transaction.location(number)) is None:
            raise ErrorResponse(404)
        return location_as_json(transaction, location)


def _page(transaction: Transaction, found: list[PlatformLocation], *, filtered: bool = True) -> Listed:
    """A page of locations; the nearest first where ``lat`` and ``lng`` say where somebody is."""
    wanted = _fulfillment_types()
    if filtered:
        found = [location for location in found if wanted.intersection(_fulfills(location))]
    latitude, longitude = (request.args.get(name, None, float) for name in ("lat", "lng"))
    if latitude is not None and longitude is not None:
        found.sort(key=lambda location: _distance(location, latitude, longitude))
    start = (page_number() - 1) * LOCATIONS_PAGE
    shown = found[start : start + LOCATIONS_PAGE]
    return page_of([location_as_json(transaction, location) for location in shown])


def _fulfillment_types() -> frozenset[str]:
    """``fulfillment_types``, with or without brackets, repeated or with commas."""
    given = [*request.args.getlist("fulfillment_types"), *request.args.getlist("fulfillment_types[]")]
    types = frozenset(word.strip() for text in given for word in text.split(",")) or frozenset({"in_store"})
    if not types <= frozenset(FULFILLMENT_TYPES):
        known = ", ".join(FULFILLMENT_TYPES)
        raise invalid("location", "fulfillment_types", f"fulfillment_types are {known}.")
    return types


def _fulfills(location: PlatformLocation) -> Iterable[str]:
    return ("pickup",) if location.gateway_id is not None else ("in_store",)


def _distance(location: PlatformLocation, latitude: float, longitude: float) -> float:
    """How far away, in a unit that serves for sorting; without coordinates farther than everything."""
    if location.latitude is None or location.longitude is None:
        return float("inf")
    across = (location.longitude - longitude) * cos(radians(latitude))
    return (location.latitude - latitude) ** 2 + across**2


# Campaigns and loyalty.


@api.get("/v15/locations/<int:number>/campaigns")
def list_location_campaigns(number: int) -> list[JSON]:
    with platform().store.reading() as transaction:
        return _campaigns_of(location_of(transaction, number).merchant_id)


@api.get("/v15/merchants/<int:number>/campaigns")
def list_merchant_campaigns(number: int) -> list[JSON]:
    with platform().store.reading() as transaction:
        return _campaigns_of(merchant_of(transaction, number).id)


def _campaigns_of(merchant_id: int) -> list[JSON]:
    return [
        {"campaign": {"id": campaign.id, "representation_types": list(campaign.kinds)}}
        for campaign in CAMPAIGNS.values()
        if campaign.merchant_id == merchant_id
    ]


@api.get("/v15/campaigns/<int:number>/<kind>")
def show_campaign(number: int, kind: str) -> JSON:
    campaign = CAMPAIGNS.get(number)
    if campaign is None or kind not in campaign.kinds:
        raise not_found("campaign", "id", "There is no such campaign in this representation.")
    with reading() as (transaction, caller):
        user, merchant = caller.maybe_user(), merchant_of(transaction, campaign.merchant_id)
        sums = transaction.order_sums(user.id, merchant.id) if user else OrderSums()
    return {"campaign": _campaign_as_json(campaign, kind, merchant, sums)}


@api.get("/v14/campaigns/<int:number>")
def show_older_campaign(number: int) -> JSON:
    """A campaign as the iOS and Android libraries read it, without a kind."""
    campaign = CAMPAIGNS.get(number)
    if campaign is None:
        raise ErrorResponse(404)
    with platform().store.reading() as transaction:
        sponsor = merchant_of(transaction, campaign.merchant_id).name
    return {
        "campaign": {
            "id": campaign.id,
            "name": campaign.title,
            "offer_html": campaign.offer,
            "confirmation_html": campaign.offer,
            "applies_to_all_merchants": False,
            "sponsor": sponsor,
            "type": campaign.kinds[-1],
            "value_amount": campaign.value,
            # Nobody shares a campaign of this world.
            "shareable": False,
            **dict.fromkeys(_SHARED),
        }
    }


@api.get("/v14/campaigns/<int:number>/merchants")
def list_merchants_of_campaign(number: int) -> Response | list[int]:
    campaign = CAMPAIGNS.get(number)
    return [campaign.merchant_id] if campaign and page_number() == 1 else Response(status=204)


@api.post("/v15/codes/<code>/claims")
@api.post("/v14/codes/<code>/claims")
def claim_campaign(code: str) -> JSON:
    """:raises ErrorResponse: 404: no campaign of this world has a code."""
    with reading() as (_, caller):
        caller.user("manage_user_campaigns")
    raise ErrorResponse(404, [error("This doesn't appear to be a LevelUp Code.", object="claim", property="base")])


@api.get("/v14/codes/<code>/campaign")
@api.get("/v14/campaigns/<int:number>/image")
@api.get("/v14/locations/<int:number>/image")
@api.get("/v15/campaigns/<int:number>")
def show_nothing(**_: object) -> JSON:
    """What this world has not: codes, images, and the first form of a campaign.

    :raises ErrorResponse: 404 without a body.
    """
    raise ErrorResponse(404)


def _campaign_as_json(campaign: Campaign, kind: str, merchant: PlatformMerchant, sums: OrderSums) -> JSON:
    """The members of each representation in the iOS library's fixtures; our world has one program a merchant."""
    program = merchant.program
    progress = program.progress(sums)
    if kind == "spend_based_loyalty_v1":
        return {
            "earn_amount": program.reward, "progress_amount": progress, "required_spend_amount": program.goal,
        }  # fmt: skip
    if kind == "visit_based_loyalty_v1":
        return {
            "earn_amount": program.reward,
            "progress_visit_count": progress,
            "qualifying_order_spend_amount": 1,
            "required_visit_count": program.goal,
        }
    return {"title": campaign.title, "description": campaign.offer}


@api.get("/v15/merchants/<int:number>/loyalty")
@api.get("/v14/merchants/<int:number>/loyalty")
def show_loyalty(number: int) -> JSON:
    with reading() as (transaction, caller):
        merchant = merchant_of(transaction, number)
        _, user = caller.user()
        sums = transaction.order_sums(user.id, merchant.id)
        funds = orders.funds_of(transaction, user.id, merchant, platform().clock())
    program = merchant.program
    by_spend = program.kind == "spend"
    progress = program.progress(sums)
    return {
        "loyalty": {
            "merchant_id": merchant.id,
            "user_id": user.id,
            "merchant_loyalty_enabled": True,
            "orders_count": sums.visits,
            "total_volume_amount": sums.spend,
            "savings_amount": sums.credit,
            "merchant_earn_amount": program.reward,
            "merchant_spend_amount": program.goal if by_spend else 0,
            "potential_credit_amount": funds.credit + funds.gift_card + funds.global_credit,
            "spend_remaining_amount": program.goal - progress if by_spend else 0,
            # A decimal, by the documentation and by the C# library.
            "progress_percentage": round(progress * 100 / program.goal, 1),
        }
    }


def location_as_json(transaction: Transaction, location: PlatformLocation) -> JSON:
    """A location, with the members that any of the official clients reads."""
    merchant = transaction.merchant(location.merchant_id)
    menu = None
    if location.pickup:
        menu = url_for("api.show_menu", number=location.id, _external=True)
    tips = TIPS_EXPECTED if location.gateway_id is None or location.tips else NO_PREFERENCE
    members: JSON = {
        "id": location.id,
        "merchant_id": location.merchant_id,
        "merchant_name": merchant and merchant.name,
        "name": location.name,
        "phone": location.phone,
        "street_address": location.street_address,
        "extended_address": location.extended_address,
        "locality": location.locality,
        "region": location.region,
        "postal_code": location.postal_code,
        "latitude": location.latitude,
        "longitude": location.longitude,
        "hours": location.hours,
        "shown": True,
        "visible": True,
        "updated_at": location.updated_at,
        "categories": [],
        "merchant_tip_preference": tips,
        "tip_preference": tips,
        "fulfillment_types": list(_fulfills(location)),
        "menu_url": menu,
        "pickup_menu_url": menu,
        "delivery_menu_url": None,
    }
    state = " ".join(part for part in (location.region, location.postal_code) if part)
    members["address"] = ", ".join(part for part in (location.street_address, location.locality, state) if part)
    if location.gateway_id is not None:
        members |= {
            "accepts_tips_on_pickup": location.tips,
            "accepts_tips_on_delivery": False,
            "open_hours": location.opens,
            "time_zone": location.time_zone,
            "supports_scheduling": location.scheduling is not False,
            "ready_time_estimate_in_minutes": None,
        }
    return {"location": members}
