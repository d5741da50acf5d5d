"""Credit: a user's credit, credit from merchants, and gift cards."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from flask import Response, request

from levelup_ov.standins.levelup import orders
from levelup_ov.standins.levelup.access import Caller
from levelup_ov.standins.levelup.api.base import (
    JSON,
    api,
    body,
    location_of,
    loyalty_id,
    merchant_of,
    reading,
    scanned,
    time_as_text,
    writing,
)
from levelup_ov.standins.levelup.funds import Funds
from levelup_ov.standins.levelup.platform import platform
from levelup_ov.standins.levelup.problems import ErrorResponse, invalid, unauthorized
from levelup_ov.standins.levelup.reading import unwrap
from levelup_ov.standins.levelup.store import PlatformUser, Transaction
from levelup_ov.standins.levelup.world import CAMPAIGNS, Grant

GIVING = "give_merchant_funded_credit"
_DETACHED = {
    "cashier": 255, "customer_facing_reason": 1000, "identifier_from_merchant": 255, "internal_reason": 1000,
    "register": 255,
}  # fmt: skip
"""Optional members of a detached refund, and how long they may be."""


@api.get("/v15/locations/<int:number>/credit")
def show_credit(number: int) -> JSON:
    """All of a user's credit that counts at a location."""
    with reading() as (transaction, caller):
        _, user = caller.user()
        funds = _funds_at(transaction, number, user)
        return {"credit": {"total_amount": funds.credit + funds.gift_card + funds.global_credit}}


@api.get("/v15/locations/<int:number>/rewards")
def list_rewards(number: int) -> list[JSON]:
    """The same credit as the iOS library lists it: each kind of it that there is."""
    with reading() as (transaction, caller):
        _, user = caller.user()
        return [{"reward": reward} for reward in _rewards(transaction, number, user)]


@api.get("/v15/locations/<int:number>/reward_summary")
def show_reward_summary(number: int) -> JSON:
    """How much that is, and of how many kinds."""
    with reading() as (transaction, caller):
        _, user = caller.user()
        rewards = _rewards(transaction, number, user)
    return {
        "reward_summary": {
            "credit_amount": sum(reward["value_remaining_amount"] for reward in rewards),
            "reward_count": len(rewards),
            "usable_as_credit_reward_count": len(rewards),
        }
    }


def _rewards(transaction: Transaction, number: int, user: PlatformUser) -> list[JSON]:
    merchant = merchant_of(transaction, location_of(transaction, number).merchant_id)
    funds = _funds_at(transaction, number, user)
    campaign = next((each for each in CAMPAIGNS.values() if each.merchant_id == merchant.id), None)
    kinds = (
        ("credit", merchant.id, funds.credit, f"Credit at {merchant.name}", "merchant_funded"),
        ("gift_card", merchant.id, funds.gift_card, f"Gift card of {merchant.name}", "gift_card"),
        ("global", None, funds.global_credit, "Credit everywhere", "global"),
    )
    rewards = []
    for kind, merchant_id, cents, title, tag in kinds:
        source = campaign if kind == "credit" else None
        expires_at = transaction.next_expiry(user.id, kind, merchant_id, platform().clock())
        if cents:
            rewards.append(
                {
                    "created_at": time_as_text(user.registered_at),
                    "description": source.offer if source else title,
                    "expires_at": expires_at and time_as_text(expires_at),
                    "id": f"campaign-{source.id}" if source else f"{kind}-{merchant_id or 0}",
                    "source_campaign_id": source and source.id,
                    "tags": [tag],
                    "title": title,
                    "usable": True,
                    "usable_as_credit": True,
                    "usable_now": True,
                    "value_remaining_amount": cents,
                }
            )
    return rewards


@api.get("/v15/locations/<int:number>/merchant_funded_credit")
@api.get("/v14/locations/<int:number>/merchant_funded_credit")
def show_merchant_funded_credit(number: int) -> JSON:
    """The part of it that the merchant pays for: a discount to the check, or paid for by a gift card.

    A cash register asks with its merchant's token, and with the code that it has scanned.
    """
    with reading() as (transaction, caller):
        if data := request.args.get("payment_token_data"):
            location = location_of(transaction, number)
            _check_merchant(caller, location.merchant_id)
            _, user = scanned(transaction, data, "merchant_funded_credit")
        else:
            _, user = caller.user()
        return _merchant_funded_as_json(_funds_at(transaction, number, user))


@api.post("/v15/locations/<int:number>/merchant_funded_credit")
def query_merchant_funded_credit(number: int) -> JSON:
    """The same in a later form, with the check in the body; here, credit is for no item in particular."""
    with reading() as (transaction, caller):
        location = location_of(transaction, number)
        reader = unwrap(body(), "credit_query")
        data = reader.text("payment_token_data")
        reader.check()
        _check_merchant(caller, location.merchant_id)
        _, user = scanned(transaction, data, "credit_query") if data else caller.user()
        return _merchant_funded_as_json(_funds_at(transaction, number, user))


def _merchant_funded_as_json(funds: Funds) -> JSON:
    return {
        "merchant_funded_credit": {
            "discount_amount": funds.credit,
            "gift_card_amount": funds.gift_card,
            "total_amount": funds.credit + funds.gift_card,
        }
    }


@api.post("/v15/locations/<int:number>/get_merchant_funded_gift_card_credit")
def show_gift_card_credit(number: int) -> JSON:
    """What a gift card holds for a check (C# library)."""
    with reading() as (transaction, caller):
        location = location_of(transaction, number)
        _check_merchant(caller, location.merchant_id)
        reader = unwrap(body(), "get_merchant_funded_gift_card_credit")
        data = reader.text("payment_token_data", required=True)
        reader.check()
        _, user = scanned(transaction, data or "", "get_merchant_funded_gift_card_credit")
        return {"merchant_funded_gift_card_credit": {"total_amount": _funds_at(transaction, number, user).gift_card}}


@api.post("/v15/merchant_funded_credits")
def give_credit() -> Response:
    """A merchant gives credit to the owner of an e-mail address, for its own places or for all (C# library)."""
    with writing() as (transaction, caller):
        token = caller.older_merchant(GIVING)
        reader = unwrap(body(), "merchant_funded_credit")
        email, cents = reader.text("email", required=True), reader.cents("value_amount", required=True)
        seconds, merchant_id = reader.count("duration_in_seconds"), reader.count("merchant_id")
        reader.text("message", limit=1000)
        everywhere = reader.flag("global")
        if merchant_id not in (None, token.merchant_id):
            reader.refuse("merchant_id", "The merchant token is another merchant's.")
        if cents == 0:
            reader.refuse("value_amount", "value_amount must be more than 0.")
        user = transaction.user_by_email(email or "")
        if email and user is None:
            reader.refuse("email", "There is no user with this e-mail address.", "not_found")
        reader.check()
        assert user and cents
        expires_at = None
        if seconds is not None:
            expires_at = int((platform().clock() + timedelta(seconds=min(seconds, 10**9))).timestamp())
        grant = Grant("credit", token.merchant_id, cents, expires_at)
        transaction.add_grant(user.id, Grant("global", None, cents, expires_at) if everywhere else grant)
    return Response(status=204)


@api.post("/v15/detached_refunds")
@api.post("/v14/detached_refunds")
def refund_detached() -> JSON:
    """Credit for somebody whose order cannot be refunded any more (documentation of 2014, C# library)."""
    with writing() as (transaction, caller):
        token = caller.older_merchant("manage_merchant_orders")
        reader = unwrap(body(), "detached_refund")
        texts = {name: reader.text(name, limit=limit) for name, limit in _DETACHED.items()}
        confirmation = reader.text("manager_confirmation")
        data, cents = reader.text("payment_token_data", required=True), reader.cents("credit_amount", required=True)
        location = transaction.location(reader.number("location_id") or 0)
        reader.check()
        if location is None or location.merchant_id != token.merchant_id:
            raise ErrorResponse(401)
        merchant = merchant_of(transaction, location.merchant_id)
        _, user = scanned(transaction, data or "", "detached_refund")
        sums = transaction.order_sums(user.id, merchant.id)
        if merchant.manager_confirmation not in (None, confirmation):
            reader.refuse("manager_confirmation", "Manager confirmation was incorrect.")
        elif not sums.visits:
            reader.refuse("base", f"{user.display_name} has never ordered at {merchant.name}.")
        elif not 0 < (cents or 0) <= sums.spend:
            reader.refuse("credit_amount", f"{user.display_name} has spent {sums.spend} cents at {merchant.name}.")
        reader.check()
        transaction.add_grant(user.id, Grant("credit", merchant.id, cents or 0))
    return {
        "detached_refund": {
            **texts,
            "credit_amount": cents,
            "location_id": location.id,
            "loyalty_id": loyalty_id(merchant.id, user.id),
            "refunded_at": time_as_text(platform().clock()),
        }
    }


@api.post("/v15/merchants/<int:number>/gift_card_value_additions")
def add_gift_card_value(number: int) -> JSON:
    """Put value on the gift card of whose code was scanned (C# library, LevelUp's own PowerShell module)."""
    return _change_gift_card(number, "gift_card_value_addition", "added_value_amount", lambda cents: cents)


@api.post("/v15/merchants/<int:number>/gift_card_value_removals")
def remove_gift_card_value(number: int) -> JSON:
    """Take value off it: what was removed before anybody paid with it."""
    return _change_gift_card(number, "gift_card_value_removal", "removed_value_amount", lambda cents: -cents)


def _change_gift_card(number: int, root: str, reported_as: str, change: Callable[[int], int]) -> JSON:
    with writing() as (transaction, caller):
        merchant = merchant_of(transaction, number)
        _check_merchant(caller, merchant.id)
        reader = unwrap(body(), root)
        data, cents = reader.text("payment_token_data", required=True), reader.cents("value_amount", required=True)
        if cents == 0:
            reader.refuse("value_amount", "value_amount must be more than 0.")
        reader.check()
        _, user = scanned(transaction, data or "", root)
        old = orders.funds_of(transaction, user.id, merchant, platform().clock()).gift_card
        new = old + change(cents or 0)
        if new < 0:
            raise invalid(root, "value_amount", f"There are {old} cents on the gift card.", "too_large")
        transaction.add_grant(user.id, Grant("gift_card", merchant.id, new - old))
        return {
            root: {reported_as: cents, "new_value_at_merchant_amount": new, "old_value_at_merchant_amount": old},
        }


def _funds_at(transaction: Transaction, number: int, user: PlatformUser) -> Funds:
    merchant = merchant_of(transaction, location_of(transaction, number).merchant_id)
    return orders.funds_of(transaction, user.id, merchant, platform().clock())


def _check_merchant(caller: Caller, merchant_id: int) -> None:
    if caller.older_merchant().merchant_id != merchant_id:
        raise unauthorized("merchant_token", "The merchant token is another merchant's.")
