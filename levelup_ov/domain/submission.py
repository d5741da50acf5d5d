"""The life of a submission, from its claim to its end (SUB-2 to SUB-5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

State = Literal["claimed", "sending", "unknown", "placed", "not_placed"]
Ended = Literal["unsent", "refused", "fenced", "absent", "told"]
"""The proof that a submission was not placed: nothing was sent; the placing call was refused; the provider has no
order and refuses whatever comes under its reference; the provider had no order when it was asked twice; a person
asked the restaurant and said so."""
Finding = Literal["order_exists_but_ruled_out", "two_orders_for_one_submission", "card_may_be_charged"]
"""What a person must look at."""
LOOKED_AGAIN = (timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1), timedelta(hours=24))
"""How long after being ruled out, or refused, a submission is looked up again (SUB-12); later if a look is late."""
SETTLED: tuple[State, ...] = ("placed", "not_placed")


@dataclass(frozen=True, slots=True)
class Transition:
    """One way for a submission to change its state."""

    sources: tuple[State, ...]
    target: State
    meaning: str


TRANSITIONS: Mapping[str, Transition] = {
    "begin_sending": Transition(("claimed",), "sending", "The owner is about to place the order, or has found it."),
    "place": Transition(("sending", "unknown"), "placed", "The provider confirmed the order, at once or when asked."),
    "fail": Transition(
        ("claimed", "sending"), "not_placed", "The owner has proof: nothing was sent, or it was refused."
    ),
    "disprove": Transition(("unknown",), "not_placed", "Proof that nothing was placed is on record elsewhere."),
    "lose": Transition(("sending",), "unknown", "The owner got no answer that proves anything."),
    "abandon": Transition(("claimed",), "not_placed", "The lease ran out before anything was sent."),
    "dispute": Transition(("placed",), "unknown", "Another submission has proof that the order is its own."),
    "take_back": Transition(("placed", "not_placed"), "unknown", "A person takes back what a person had settled."),
    "expire": Transition(("sending",), "unknown", "The lease ran out while the order was being placed."),
    "rule_out": Transition(
        ("unknown",), "not_placed", "The provider has no order, and refuses late requests or was available long enough."
    ),
}
"""A submission starts as ``claimed``. What is not listed here is refused."""
