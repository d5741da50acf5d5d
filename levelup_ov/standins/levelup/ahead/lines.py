"""The lines of an order: as apps are shown them, and as the diner is charged for them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from itertools import accumulate, pairwise
from typing import Any

from levelup_ov.standins.levelup.ahead.carts import AheadCart, CartAmounts
from levelup_ov.standins.levelup.ahead.menus import free_options, items_of
from levelup_ov.standins.levelup.drafts import Draft

JSON = dict[str, Any]


def shown(cart: AheadCart, layout: JSON) -> JSON:
    """A cart with what apps are shown of it: names, prices and rules as the menu had them when it was ordered."""
    rules = ("allows_special_instructions", "special_instructions_character_limit")
    return {
        **asdict(cart),
        "described": [_described(item, items_of(layout)[item["id"]]) for item in cart.items],
        "rules": {name: layout.get(name) for name in rules},
    }


def _described(wanted: JSON, dish: JSON) -> JSON:
    """An item of a cart with its name, its price and its chosen options; prices are cents of one."""
    groups = [entry["option_group"] for entry in dish["option_groups"]]
    known = {entry["option"]["id"]: entry["option"] for group in groups for entry in group["options"]}
    picked: Counter[int] = Counter(wanted["option_ids"])
    free = free_options(groups, wanted["option_ids"])
    chosen = [
        {
            "id": option,
            "name": known[option]["name"],
            "price_amount": known[option]["price_amount"],
            "quantity": count,
            "free_quantity": free[option],
        }
        for option, count in picked.items()
    ]
    words = [each["name"] + (f" (Quantity: {each['quantity']})" if each["quantity"] > 1 else "") for each in chosen]
    return {
        "item": {
            **wanted,
            "name": dish["name"],
            "price_amount": dish["price_amount"],
            "selected_options": [{"option": option} for option in chosen],
            "selected_options_description": ", ".join(words),
        }
    }


def draft_of(
    location_id: int, described: Sequence[JSON], fees: Sequence[tuple[str, int]], amounts: CartAmounts
) -> Draft:
    """What the diner is charged: food, tax and fees less what the provider takes off, and the tip.

    The charged prices of the items, with their options and the fees, add up to that without tax and tip.
    """
    spend = amounts.spend + amounts.fees - amounts.provider_funded
    tax = min(amounts.tax, spend)
    items = [_charged(entry["item"]) for entry in described]
    items += [_line(name, amount, amount, category="Fees") for name, amount in fees]
    _share(items, spend - tax)
    return Draft(
        location_id, None, spend, tax, amounts.tip, 0, False, False, None, None, None, items,
        applied_discount_amount=amounts.merchant_funded,
    )  # fmt: skip


def _charged(item: JSON) -> JSON:
    many = item["quantity"]
    line = _line(item["name"], item["price_amount"] * many, item["price_amount"] * many, quantity=many)
    for entry in item["selected_options"]:
        option = entry["option"]
        count, price = option["quantity"] * many, option["price_amount"]
        line["children"].append(
            _line(option["name"], (count - option["free_quantity"] * many) * price, count * price, quantity=count)
        )
    if item["special_instructions"]:
        # As the documentation of orders has them.
        line["children"].append(_line("Special Instructions", 0, 0, description=item["special_instructions"]))
    return line


def _line(name: str, charged: int, standard: int, *, quantity: int = 1, **words: str) -> JSON:
    return {
        "name": name,
        **dict.fromkeys(("description", "category", "sku", "upc")),
        **words,
        "quantity": quantity,
        "charged_price_amount": charged,
        "standard_price_amount": standard,
        "children": [],
    }


def _share(items: Sequence[JSON], total: int) -> None:
    """Change charged prices so that they add up to ``total``: each by its part of the difference.

    They differ from it by a discount of the provider's, or where its prices are not those of its menu.
    """
    lines = [line for item in items for line in (item, *item["children"])]
    sums = [0, *accumulate(line["charged_price_amount"] for line in lines)]
    if not lines or sums[-1] == total:
        return
    if sums[-1] == 0:
        lines[0]["charged_price_amount"] = total
        return
    for line, (before, after) in zip(lines, pairwise(total * each // sums[-1] for each in sums), strict=True):
        line["charged_price_amount"] = after - before
