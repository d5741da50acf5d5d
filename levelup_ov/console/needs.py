"""What needs attention now, and where the guide says what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from levelup_ov.checkout.failed_orders import case_of
from levelup_ov.checkout.store import StoredOrder
from levelup_ov.console.numbers import totals
from levelup_ov.domain.attention import REMEDIES
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
_SETTLED, _REFUSED = "checkout.html#what-a-person-settles", "bad_days.html#a-refund-that-is-refused-for-good"


def _remedy(kind: str, title: str, guide: str) -> Advice:
    """The console and the operator's mail say the same."""
    words = REMEDIES[kind]
    return Advice(title, f"{words[0].upper()}{words[1:]}.", guide)


_CASES: Mapping[str, Advice] = {
    kind: _remedy(kind, f"Web checkout: {title}", guide)
    for kind, title, guide in (
        ("refund_refused", "refunds that LevelUp refuses", _REFUSED),
        ("refunded_in_part", "refunds of another amount", _REFUSED),
        ("refund_unproven", "refunds that are not proven", _REFUSED),
        ("not_connected", "no longer connected", _SETTLED),
        ("charge_unproven", "orders that may be charged", _SETTLED),
        ("charge_of_another_order", "the charge of another order", _SETTLED),
        ("stray_charge", "ruled out or refused, and may be charged", _SETTLED),
        ("meal_unproven", "charged orders that may be at the restaurant", _SETTLED),
        ("cancellation_unproven", "cancellations that are not proven", _SETTLED),
        ("canceled_not_refunded", "canceled, and not refunded", _SETTLED),
        ("submitted_and_refunded", "at the restaurant, though the charge was to be refunded", _SETTLED),
    )
}
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
    "charge_mismatch": _remedy("charge_mismatch", "Charged another amount than requested", _LOGS),
    "order_exists_but_ruled_out": _remedy(
        "order_exists_but_ruled_out", "An order exists that was reported as not placed", _LOGS
    ),
    "two_orders_for_one_submission": _remedy("two_orders_for_one_submission", "Two orders for one submission", _LOGS),
    "card_may_be_charged": _remedy("card_may_be_charged", "A card may be charged without an order", _LOGS),
    **_CASES,
    "case": Advice("Web checkout: settle these", "`levelup-ov checkout cases` lists them.", _SETTLED),
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
    "refund_impossible", "order_needs_settling", "submitted_and_refunded", "events_parked",
)  # fmt: skip
_OF_CHECKOUT = (
    "charge_exists_but_ruled_out", "two_charges_for_one_order", "charge_of_another_order",
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
        yield Need(kind_of(order), case_of(order)["message"] or order.state, "checkout_order", {"id": order.id})


def kind_of(order: StoredOrder) -> str:
    """The key of :data:`ADVICE` for its case; another release may have recorded one that is not known here."""
    return order.case_kind if order.case_kind in _CASES else "case"


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
