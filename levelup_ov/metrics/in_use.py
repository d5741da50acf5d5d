"""What a process uses at present, from the parts that know."""

from __future__ import annotations

from itertools import islice

from levelup_ov.metrics.tally import Numbers
from levelup_ov.ordering.service import Service
from levelup_ov.transport.response_cache import MemoryStore

MOST_LOCATIONS = 100
"""Locations that are named because they cannot be read."""


def in_use(service: Service) -> Numbers:
    """Bulkhead, breakers, cache, connections, and the locations that cannot be read."""
    database = service.submissions.ledger.database
    found: Numbers = {}
    for account, number in service.routing.bulkhead.in_progress.items():
        found["levelup_ov_requests_in_progress", account] = number
    for account, number in service.transport.open_breakers().items():
        found["levelup_ov_breakers_open", account] = number
    for (account, location), code in islice(sorted(service.routing.directory.unread.items()), MOST_LOCATIONS):
        found["levelup_ov_location_unread", account, location, code] = 1
    if isinstance(store := service.transport.cache.store, MemoryStore):
        found["levelup_ov_cache_bytes",] = store.size
    if database.is_postgresql:
        found["levelup_ov_ledger_connections",], found["levelup_ov_ledger_connections_limit",] = database.connections
    return found


def failed_reads(service: Service) -> Numbers:
    """How often locations could not be read since the start of the process."""
    failures = dict(service.routing.directory.failures)
    return {("levelup_ov_location_failures_total", *key): number for key, number in failures.items()}
