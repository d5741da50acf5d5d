"""The channel's side: what it submits, how often it repeats, and what it was answered."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from tests.faults.providers import Provider
from tests.faults.stack import Answer, Stack

T = TypeVar("T")

Named = Literal["idempotency_key", "order_number", "grubhub_order_number", "several", "validation", "nothing"]
Manner = Literal["patient", "hasty", "fickle", "gone"]
NAMED: Mapping[Named, int] = {
    "idempotency_key": 25, "order_number": 15, "grubhub_order_number": 8,
    "several": 12, "validation": 20, "nothing": 20,
}  # fmt: skip
MANNERS: Mapping[Manner, int] = {"patient": 75, "hasty": 10, "fickle": 10, "gone": 5}
"""How often each is chosen."""
CARD = "4012888888881881"
"""Passes the check digit and is not a magic number of the engine."""
CVV = "7391"
DECLINED_CARD = "4000000000000002"
NOT_CONCLUSIVE = frozenset(
    {
        "connection broken", "outcome_unknown", "submission_in_progress", "provider_busy", "ledger_unavailable",
        "session_changed",
    }
)  # fmt: skip
"""Answers that say nothing about whether an order exists."""
HASTE = 0.7
"""Seconds after which a hasty client hangs up and tries again."""
LONGEST_WAIT = 6.0


@dataclass(frozen=True, slots=True)
class Plan:
    """One submission. ``marker`` is the user's phone number: nobody else has it.

    ``named``: what it is recognized by. ``manner``: ``hasty`` hangs up early, ``fickle`` gives up at the first
    answer that says that nothing was placed, ``gone`` hangs up and never comes back. ``twins``: two clients send
    it at once. ``repeats``: it is sent again after its success. ``keeps_cart``: it brings back the cart of its
    validation. ``refused``: the engine will not have it.
    """

    marker: str
    account: str
    place: str
    card: str | None
    named: Named
    manner: Manner
    twins: bool
    repeats: bool
    keeps_cart: bool
    refused: bool
    guest: str = "Robin Example"
    item: str = "sandwich"
    refused_item: str = "soup"
    tips: bool = True

    def order(self) -> dict[str, Any]:
        """What validation and submission have in common."""
        wanted = self.refused_item if self.refused else self.item
        return {
            "user": {"name": self.guest, "phone": self.marker, "email": f"robin{self.marker}@example.com"},
            "items": [{"item": {"provider_id": wanted, "quantity": 1, "options": []}}],
            "tip": 100 if self.tips else 0,
            "metadata": {},
        }

    def submission(self, metadata: dict[str, Any]) -> dict[str, Any]:
        body = {**self.order(), "metadata": metadata}
        if self.card:
            body["credit_card"] = {
                "number": self.card,
                "cvv": CVV,
                "zip": "02114",
                "expiration_month": "06",
                "expiration_year": "2039",
            }
        for member in ("order_number", "grubhub_order_number"):
            if self.named in (member, "several"):
                body[member] = f"{member[0]}-{self.marker}"
        return {"order_submission": body}

    def headers(self) -> dict[str, str]:
        return {"Idempotency_Key": f"key-{self.marker}"} if self.named in ("idempotency_key", "several") else {}

    @property
    def path(self) -> str:
        return f"/locations/{self.account}.{self.place}/"


def plan(seed: str, number: int, accounts: list[str], provider: Provider, *, always_named: bool = False) -> Plan:
    """The submission of this number, by the seed alone.

    ``always_named``: it names an identity of the channel, so that a copy of the ledger can distinguish it.
    """
    dice = random.Random(f"{seed}/plan/{number}")
    place = _one_of(provider.places, dice)
    card = provider.cards and (place == "card" or dice.random() < 0.2)
    named = _one_of(NAMED, dice)
    if always_named and named == "nothing":
        named = "idempotency_key"
    marker, refused = f"+1555{number:07d}", dice.random() < 0.05
    manner = _one_of(MANNERS, dice)
    return Plan(
        marker=marker,
        account=dice.choice(accounts),
        place=place,
        card=(DECLINED_CARD if dice.random() < 0.1 else CARD) if card else None,
        named=named,
        manner=manner,
        twins=manner in ("patient", "hasty") and dice.random() < 0.25,
        repeats=dice.random() < 0.2,
        keeps_cart=dice.random() < 0.25,
        refused=refused,
        guest=provider.guest(marker),
        item=provider.item,
        refused_item=provider.refused,
        tips=provider.tips and place != "notips",
    )


def _one_of(weights: Mapping[T, int], dice: random.Random) -> T:
    return dice.choices(list(weights), list(weights.values()))[0]


@dataclass
class Story:
    """The answers to the clients of one submission, in order of time."""

    plan: Plan
    reported: list[Answer] = field(default_factory=list)
    final: list[Answer] = field(default_factory=list)
    """The last answer of each client."""
    span: tuple[float, float] = (0.0, 0.0)
    canceled: bool = False

    @property
    def placed(self) -> list[Answer]:
        return [answer for answer in self.reported if answer.status == 200]

    @property
    def was_unknown(self) -> bool:
        return any(answer.code in ("outcome_unknown", "connection broken") for answer in self.reported)


def submit(stack: Stack, plan: Plan, *, patience: float, seed: str) -> Story:
    """Submit until it is placed, refused, or ``patience`` seconds have gone."""
    story, started = Story(plan), time.monotonic()
    until = started + patience
    metadata = _validate(stack, plan, until, seed) if plan.named == "validation" else {}
    if metadata is None:
        story.span = (started, time.monotonic())
        return story
    body = plan.submission(metadata)

    def client(who: str) -> None:
        dice = random.Random(f"{seed}/client/{plan.marker}/{who}")

        def once() -> Answer:
            hurried = plan.manner == "gone" or (plan.manner == "hasty" and dice.random() < 0.5)
            timeout = HASTE if hurried else 30
            answer = stack.post(
                plan.path + "order_submissions", body, timeout=timeout, **plan.headers(), X_Request_ID=plan.marker
            )
            story.reported.append(answer)
            return answer

        until_then = started if plan.manner == "gone" else until
        answer = insist(once, dice, until_then, fickle=plan.manner == "fickle")
        if answer.status == 200 and plan.repeats:
            answer = insist(once, dice, until + 10, fickle=False)
        story.final.append(answer)

    other = threading.Thread(target=client, args=("other",))
    if plan.twins:
        other.start()
    client("one")
    if plan.twins:
        other.join()
    story.span = (started, time.monotonic())
    return story


def _validate(stack: Stack, plan: Plan, until: float, seed: str) -> dict[str, Any] | None:
    """The metadata of a validation, cut down to what the plan keeps; None if there was none."""
    dice = random.Random(f"{seed}/validation/{plan.marker}")
    order = replace(plan, refused=False).order()
    answer = insist(
        lambda: stack.post(plan.path + "order_validations", {"order_validation": order}),
        dice,
        until,
        fickle=False,
        insists_on=frozenset({"provider_protocol_error"}),
    )
    if answer.status != 200:
        return None
    metadata: dict[str, Any] = answer.body["order_validation"]["metadata"]
    return metadata if plan.keeps_cart else {"order_validation_id": metadata["order_validation_id"]}


def insist(
    once: Callable[[], Answer],
    dice: random.Random,
    until: float,
    *,
    fickle: bool,
    insists_on: frozenset[str] = frozenset(),
) -> Answer:
    """Repeat a request until it is answered for good, or ``until``; a ``fickle`` client gives up earlier."""
    while True:
        answer = once()
        if answer.status in (200, 201) or not (answer.retryable or answer.code in insists_on):
            return answer
        if time.monotonic() > until or (fickle and answer.code not in NOT_CONCLUSIVE):
            return answer
        advised = min(float(answer.headers.get("Retry-After", 0)), LONGEST_WAIT)
        time.sleep(max(dice.uniform(0.05, 0.3), advised))
