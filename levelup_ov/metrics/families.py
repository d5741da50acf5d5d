"""What is counted: the name of each metric, its labels and its meaning; the operating guide shows this table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. ``buckets``: the upper bounds of a histogram, without infinity.

    ``most``: a gauge of the service is the greatest of its workers' instead of their sum.
    """

    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()
    most: bool = False


_OPERATION = ("operation",)
_ACCOUNT = ("account",)

FAMILIES: Mapping[str, Family] = {
    "levelup_ov_build_info": Family("gauge", ("version", "python"), "1, with the versions that run", most=True),
    "levelup_ov_workers": Family("gauge", (), "worker processes that report"),
    "levelup_ov_requests_total": Family(
        "counter", ("operation", "outcome", "account"), "requests; the outcome is ok, replayed or an error's code"
    ),
    "levelup_ov_request_seconds": Family(
        "histogram", _OPERATION, "seconds until the answer", (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 14, 25)
    ),
    "levelup_ov_deadline_seconds": Family("gauge", _OPERATION, "seconds that a request may take (SUB-6)", most=True),
    "levelup_ov_provider_calls_total": Family(
        "counter",
        ("account", "operation", "outcome"),
        "calls to providers; the outcome is the class of the answer's status, or the code of why there was none",
    ),
    "levelup_ov_provider_call_seconds": Family(
        "histogram", ("account", "operation"), "seconds of these calls", (0.1, 0.25, 0.5, 1, 2.5, 5, 10)
    ),
    "levelup_ov_ready": Family("gauge", (), "1 if submissions can be taken, as /ready says"),
    "levelup_ov_ledger_seconds": Family("gauge", (), "seconds that this check of the ledger took"),
    "levelup_ov_submissions": Family(
        "gauge", ("account", "state"), "submissions in the ledger that are not settled, up to 20,000 in all"
    ),
    "levelup_ov_submissions_oldest_seconds": Family("gauge", ("account", "state"), "age of the oldest of these"),
    "levelup_ov_outbox": Family(
        "gauge", ("receiver", "state"), "events that are waiting or parked, up to 20,000 in all"
    ),
    "levelup_ov_outbox_oldest_seconds": Family("gauge", ("receiver", "state"), "age of the oldest of these"),
    "levelup_ov_events_total": Family("counter", ("event",), "log lines at WARNING and above, by their message"),
    "levelup_ov_location_failures_total": Family(
        "counter", ("account", "code"), "times that a location, or the list of an account, could not be read"
    ),
    "levelup_ov_location_unread": Family(
        "gauge",
        ("account", "location", "code"),
        "1 for a location that cannot be read now; at most 100 are named for each worker",
        most=True,
    ),
    "levelup_ov_breakers_open": Family("gauge", _ACCOUNT, "circuit breakers that are open, of all workers"),
    "levelup_ov_requests_in_progress": Family("gauge", _ACCOUNT, "requests that hold a place of the bulkhead"),
    "levelup_ov_threads": Family("gauge", (), "threads for requests"),
    "levelup_ov_threads_busy": Family("gauge", (), "requests that a thread works on, or that wait for one"),
    "levelup_ov_connections": Family("gauge", (), "callers that are connected"),
    "levelup_ov_cache_bytes": Family("gauge", (), "menus and catalogs kept in memory"),
    "levelup_ov_ledger_connections": Family("gauge", (), "connections to the ledger's database in use"),
    "levelup_ov_ledger_connections_limit": Family("gauge", (), "connections that the workers may open"),
}

WATCHED = (
    "charge_mismatch", "order_exists_but_ruled_out", "two_orders_for_one_submission", "card_may_be_charged",
    "order_disputed", "order_of_another_submission", "submission_restored_to_ledger",
    "refund_impossible", "order_needs_settling", "charge_exists_but_ruled_out", "two_charges_for_one_order",
    "charge_of_another_order", "submitted_and_refunded", "levelup_app_credentials_refused",
    "events_parked", "provider_address_changed", "secret_key_missing",
)  # fmt: skip
"""Events that a person has to look at each time: shown as 0 before the first, so that its increase is seen."""
