"""How much of the merchant's credit to ask a place to take off, where it does not take all of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from levelup_ov.standins.levelup.ahead.carts import CartAmounts


def is_about_credit(path: str | None) -> bool:
    """Whether a refusal with this path is of the discount."""
    return path is not None and path.endswith("merchant_funded_discount")


def next_to_ask(asked: int, refused: Sequence[int], amounts: CartAmounts) -> int | None:
    """The discount to ask for after an answer with these amounts, in cents; None: the answer counts.

    ``asked``: the discount that it answers. ``refused``: those that were refused before. After a refusal the price
    without credit shows what is left to take credit off. Where that is refused, too, credit is left out.
    """
    left = max(0, amounts.food - amounts.provider_funded)
    if amounts.merchant_funded > left:
        # The menu's prices promised more food than there is to take the credit off.
        return left
    if asked == 0 and len(refused) == 1 and 0 < left < refused[0]:
        return left
    return None
