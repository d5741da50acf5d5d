"""Magic values that make the engine misbehave on purpose. This is the whole table.

A token works in the note of any order, as a separate word; the note itself stays unchanged. A card number works
wherever cards are accepted; all other numbers that pass the Luhn check are accepted, repeatedly.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

SLOW_SECONDS = 20
SLOWEST_SECONDS = 60
SURCHARGE = 50
"""Cents that the price tokens add."""

TOKENS: Mapping[str, str] = {
    "sandbox:sold-out": "The price is quoted, the order is refused: sold out.",
    "sandbox:price-change": (
        f"The order costs {SURCHARGE} cents more than the quote said; it is refused if the caller named the total "
        "that it expects."
    ),
    "sandbox:overcharge": f"The order is placed, and {SURCHARGE} cents more than asked for are charged.",
    "sandbox:decline": "The price is quoted, the payment of the order is declined, whatever the tender.",
    "sandbox:slow": f"Quote and order are carried out at once, but answered after {SLOW_SECONDS} seconds.",
    "sandbox:slow=SECONDS": f"The same, after so many whole seconds, {SLOWEST_SECONDS} at most.",
    "sandbox:lost-answer": "The order is placed, then the connection drops without an answer.",
    "sandbox:turned-down": "The restaurant refuses the order a minute after it was placed.",
    "sandbox:called-off": "The restaurant calls the order off instead of cooking it.",
    "sandbox:lost-cancellation": "The order can be canceled, then the connection drops without an answer.",
    "sandbox:no-driver": "A delivery is quoted, its order is refused: nobody is there to bring it.",
    "sandbox:fee-change": (
        f"The delivery of the order costs {SURCHARGE} cents more than the quote said; the order is refused like with "
        "`sandbox:price-change`."
    ),
    "sandbox:negative-fee": "The quote of a delivery has a fee below zero, which no caller should accept.",
    "sandbox:sells-out=MINUTES": "The order is placed, and its dishes are sold out for so many minutes from then on.",
    "sandbox:pauses=MINUTES": "The order is placed, and the location takes no other for so many minutes.",
    "sandbox:stage=WORD": "The order keeps this state, which may be any word.",
}
"""What each token in the note of an order does."""

DECLINED_CARD = "4000000000000002"
EXPIRED_CARD = "4000000000000069"
LOST_ANSWER_CARD = "4000000000000119"
CARDS: Mapping[str, str] = {
    DECLINED_CARD: "The card is declined, nothing is placed.",
    EXPIRED_CARD: "The card is said to have expired, nothing is placed.",
    LOST_ANSWER_CARD: "The order is placed and charged, then the connection drops without an answer.",
}
"""What each card number does."""

_WORD = re.compile(r"(?<!\S)sandbox:([a-z-]+)(?:=([0-9]{1,4}))?(?!\S)")
_STAGE = re.compile(r"(?<!\S)sandbox:stage=([A-Za-z-]{1,40})(?!\S)")


@dataclass(frozen=True, slots=True)
class Magic:
    """What the tokens in one note ask for.

    ``slow``: seconds to wait before the answer. ``stage``: the word that the order stays at; empty for none.
    """

    sold_out: bool = False
    price_change: bool = False
    overcharge: bool = False
    decline: bool = False
    lost_answer: bool = False
    slow: int = 0
    turned_down: bool = False
    called_off: bool = False
    lost_cancellation: bool = False
    stage: str = ""
    no_driver: bool = False
    fee_change: bool = False
    negative_fee: bool = False
    sells_out: int = 0
    pauses: int = 0


def magic_in(note: str | None) -> Magic:
    """The tokens of a note."""
    words, stage = dict(_WORD.findall(note or "")), _STAGE.search(note or "")
    return Magic(
        sold_out="sold-out" in words,
        price_change="price-change" in words,
        overcharge="overcharge" in words,
        decline="decline" in words,
        lost_answer="lost-answer" in words,
        slow=min(int(words["slow"] or SLOW_SECONDS), SLOWEST_SECONDS) if "slow" in words else 0,
        turned_down="turned-down" in words,
        called_off="called-off" in words,
        lost_cancellation="lost-cancellation" in words,
        stage=stage[1] if stage else "",
        no_driver="no-driver" in words,
        fee_change="fee-change" in words,
        negative_fee="negative-fee" in words,
        sells_out=int(words.get("sells-out") or 0),
        pauses=int(words.get("pauses") or 0),
    )
