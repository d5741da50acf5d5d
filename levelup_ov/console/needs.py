"""What needs attention now, and where the guide says what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from levelup_ov.checkout.failed_orders import case_of
from levelup_ov.checkout.store import StoredOrder
from levelup_ov.console.numbers import totals
from levelup_ov.events.receivers import is_agent
from levelup_ov.ledger.event_deliveries import Waiting
from levelup_ov.ledger.records import Backlog, Submission
from levelup_ov.metrics import LastHour
from levelup_ov.metrics.families import WATCHED

LATE = timedelta(minutes=5)
"""A reconciliation every minute leaves nothing behind for so long."""
UNDELIVERED = timedelta(minutes=10)
"""An event that waits longer is late, as the alert ``EventsWaiting`` says."""
FINDINGS = timedelta(days=3)
"""For how long a finding is shown here: over a weekend."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What a kind of trouble is called, what to do, and the paragraph of the docs that says more."""

    title: str
    todo: str
    guide: str


_LOGS, _STATES, _CHECKOUT = (
    "operating.html#logs",
    "operating.html#submissions-and-their-states",
    "operating.html#web-checkout",
)
ADVICE: Mapping[str, Advice] = {
    "ledger": Advice(
        "The ledger cannot be used",
        "Submissions are refused until it is back. See the reason, and correct the database.",
        "bad_days.html#the-ledger-cannot-be-written",
    ),
    "unknown": Advice(
        "Orders whose outcome is unknown",
        "Reconcile them, or ask the restaurant and settle them by hand.",
        _STATES,
    ),
    "late": Advice(
        "The reconciliation is behind",
        "Let a scheduler run `levelup-ov submissions reconcile` every minute, and look at its exit status.",
        _STATES,
    ),
    "charge_mismatch": Advice(
        "Charged another amount than requested",
        "The order exists. Settle the difference with the provider.",
        _LOGS,
    ),
    "order_exists_but_ruled_out": Advice(
        "An order exists that was reported as not placed",
        "Ask the provider to cancel it, or give the guest its number.",
        _LOGS,
    ),
    "two_orders_for_one_submission": Advice(
        "Two orders for one submission",
        "Ask the provider to cancel one of the two, and to refund what was paid for it.",
        _LOGS,
    ),
    "card_may_be_charged": Advice(
        "A card may be charged without an order",
        "Look for a charge of the reference at the provider, and refund it.",
        _LOGS,
    ),
    "case": Advice(
        "Web checkout: a person has to settle these",
        "Give the money back, then record it with `levelup-ov checkout settle`.",
        "bad_days.html#a-refund-that-is-refused-for-good",
    ),
    "provider_credentials_refused": Advice(
        "Credentials are refused",
        "Correct the variable that the accounts file names, and restart.",
        "operating.html#keys",
    ),
    "menu_invalid": Advice("Menus are invalid", "`levelup-ov menu check LOCATION` lists what is wrong.", _LOGS),
    "provider_protocol_error": Advice(
        "A provider's answers are not understood",
        "Find the request in the log by its outcome, and ask the provider what has changed.",
        _LOGS,
    ),
    "internal_error": Advice("Internal errors", "Find `internal_error` in the log; report it with its lines.", _LOGS),
    "breaker": Advice(
        "Calls to a provider are paused",
        "It did not answer. Calls resume by themselves; ask the provider if that takes long.",
        "operating.html#circuit-breaker",
    ),
    "unread": Advice("Locations cannot be read", "Look at the reason. The last good list serves for a day.", _LOGS),
    "outbox": Advice(
        "Events are not delivered",
        "`levelup-ov events list` says why. When the receiver works again: `levelup-ov events replay --parked`.",
        "events.html#undelivered-events",
    ),
    "event": Advice("A person has to look at these events", "Find the event's lines in the log.", _LOGS),
    "checkout_event": Advice("Web checkout: look at these events", "Ask LevelUp about the charge.", _CHECKOUT),
}
_OUTCOMES = ("provider_credentials_refused", "menu_invalid", "provider_protocol_error", "internal_error")
_SHOWN_OTHERWISE = (
    "charge_mismatch", "order_exists_but_ruled_out", "two_orders_for_one_submission", "card_may_be_charged",
    "refund_impossible", "order_needs_settling", "events_parked",
)  # fmt: skip
_OF_CHECKOUT = (
    "charge_exists_but_ruled_out", "two_charges_for_one_order", "charge_of_another_order", "submitted_and_refunded",
    "levelup_app_credentials_refused",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Need:
    """One line: ``kind`` is a key of :data:`ADVICE`. ``view`` and ``values`` name a page of the console, if any."""

    kind: str
    text: str
    view: str = ""
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def advice(self) -> Advice:
        """What it is, and what to do."""
        return ADVICE[self.kind]


def of_ledger(backlog: Sequence[Backlog], overdue: int, findings: Sequence[Submission]) -> Iterator[Need]:
    """What the ledger says. ``overdue``: look-ups that are due for longer than :data:`LATE`."""
    for each in backlog:
        if each.state == "unknown":
            words = f"{each.account}: {each.number}, the oldest for {in_words(each.age)}"
            yield Need("unknown", words, "submissions", {"state": "unknown", "account": each.account})
    for each in backlog:
        if each.state != "unknown" and each.age > LATE:
            words = f"{each.account}: {each.number} {each.state}, the oldest for {in_words(each.age)}"
            yield Need("late", words, "submissions", {"state": each.state, "account": each.account})
    if overdue:
        yield Need("late", f"{overdue} that were not placed are due to be looked up again")
    kinds = Counter(each.open_finding or "" for each in findings)
    for kind, number in kinds.items():
        yield Need(kind, f"{number} within {FINDINGS.days} days", "submissions", {"findings": "1"})


def of_outbox(outbox: Sequence[Waiting]) -> Iterator[Need]:
    """The events that were given up, and those that wait for long, except an agent's."""
    for each in outbox:
        if not is_agent(each.receiver) and (each.state == "parked" or each.age > UNDELIVERED):
            yield Need("outbox", f"{each.receiver}: {each.count} {each.state}, the oldest for {in_words(each.age)}")


def of_checkout(cases: Sequence[StoredOrder]) -> Iterator[Need]:
    """The cases of web checkout."""
    for order in cases:
        yield Need("case", case_of(order)["message"] or order.state, "checkout_order", {"id": order.id})


def of_metrics(hour: LastHour) -> Iterator[Need]:
    """What the numbers of all workers say."""
    for key, number in sorted(hour.in_use.items()):
        if key[0] == "levelup_ov_breakers_open" and number:
            yield Need("breaker", f"{key[1]}: {number:.0f} of all workers' circuit breakers", "accounts")
        if key[0] == "levelup_ov_location_unread" and number:
            yield Need("unread", f"{key[2]}: {key[3]}")
    for (outcome, account), number in totals("levelup_ov_requests_total", 1, hour.counts, _OUTCOMES).items():
        yield Need(outcome, f"{account or 'no account'}: {number} requests within the hour", "accounts")
    for event, number in totals("levelup_ov_events_total", 1, hour.counts, WATCHED).items():
        if event[0] not in _SHOWN_OTHERWISE:
            kind = "checkout_event" if event[0] in _OF_CHECKOUT else "event"
            yield Need(kind, f"{event[0]}: {number} within the hour")


def in_words(age: timedelta) -> str:
    """A duration as people say it."""
    seconds = int(age.total_seconds())
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{max(seconds, 0)} s"
