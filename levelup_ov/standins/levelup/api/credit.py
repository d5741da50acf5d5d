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
    merchant_of,
    reading,
    time_as_text,
    writing,
)
from levelup_ov.standins.levelup.funds import Funds
from levelup_ov.standins.levelup.platform import platform
from levelup_ov.standins.levelup.problems import invalid, unauthorized
from levelup_ov.standins.levelup.qr import read_code
from levelup_ov.standins.levelup.reading import unwrap
from levelup_ov.standins.levelup.store import PlatformUser, Transaction
from levelup_ov.standins.levelup.world import CAMPAIGNS, Grant

GIVING = "give_merchant_funded_credit"


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
            user = scanned_user(transaction, data, "merchant_funded_credit")
        else:
            _, user = caller.user()
        funds = _funds_at(transaction, number, user)
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
        user = scanned_user(transaction, data or "", "get_merchant_funded_gift_card_credit")
        return {"merchant_funded_gift_card_credit": {"total_amount": _funds_at(transaction, number, user).gift_card}}


@api.post("/v15/merchant_funded_credits")
def give_credit() -> Response:
    """A merchant gives credit to the owner of an e-mail address (Ruby and C# libraries)."""
    with writing() as (transaction, caller):
        token = caller.older_merchant(GIVING)
        reader = unwrap(body(), "merchant_funded_credit")
        email, cents = reader.text("email", required=True), reader.cents("value_amount", required=True)
        seconds, merchant_id = reader.count("duration_in_seconds"), reader.count("merchant_id")
        reader.text("message", limit=1000)
        if reader.flag("global"):
            reader.refuse("global", "A merchant gives credit for its own places only.")
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
        transaction.add_grant(user.id, Grant("credit", token.merchant_id, cents, expires_at))
    return Response(status=204)


@api.post("/v15/merchants/<int:number>/gift_card_value_additions")
def add_gift_card_value(number: int) -> JSON:
    """Put value on the gift card of whose code was scanned (C# library, LevelUp's own PowerShell module)."""
    return _change_gift_card(number, "gift_card_value_addition", "added_value_amount", lambda cents: cents)


@api.post("/v15/merchants/<int:number>/gift_card_value_removals")
def remove_gift_card_value(number: int) -> JSON:
    """Take value off it: what was removed before anybody paid with it."""
    return _change_gift_card(number, "gift_card_value_removal", "removed_value_amount", lambda cents: -cents)


def _change_gift_card(number: int, root: str, told_as: str, change: Callable[[int], int]) -> JSON:
    with writing() as (transaction, caller):
        merchant = merchant_of(transaction, number)
        _check_merchant(caller, merchant.id)
        reader = unwrap(body(), root)
        data, cents = reader.text("payment_token_data", required=True), reader.cents("value_amount", required=True)
        if cents == 0:
            reader.refuse("value_amount", "value_amount must be more than 0.")
        reader.check()
        user = scanned_user(transaction, data or "", root)
        old = orders.funds_of(transaction, user.id, merchant, platform().clock()).gift_card
        new = old + change(cents or 0)
        if new < 0:
            raise invalid(root, "value_amount", f"There are {old} cents on the gift card.", "too_large")
        transaction.add_grant(user.id, Grant("gift_card", merchant.id, new - old))
        return {
            root: {told_as: cents, "new_value_at_merchant_amount": new, "old_value_at_merchant_amount": old},
        }


def scanned_user(transaction: Transaction, data: str, object: str) -> PlatformUser:
    """Whose code was scanned.

    :raises ErrorResponse: 422.
    """
    scanned = read_code(data)
    user = scanned and transaction.user_of_payment_token(scanned.data)
    if not user:
        raise invalid(object, "payment_token_data", "This code is nobody's.", "not_found")
    return user


def _funds_at(transaction: Transaction, number: int, user: PlatformUser) -> Funds:
    merchant = merchant_of(transaction, location_of(transaction, number).merchant_id)
    return orders.funds_of(transaction, user.id, merchant, platform().clock())


def _check_merchant(caller: Caller, merchant_id: int) -> None:
    if caller.older_merchant().merchant_id != merchant_id:
        raise unauthorized("merchant_token", "The merchant token is another merchant's.")
