"""``levelup-ov menu watch``."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta

import click

from levelup_ov.cli.configured import check_ledger_writable, the_service, the_settings
from levelup_ov.domain.failure import Failure
from levelup_ov.ordering.bounded_runs import BoundedRun, in_turns
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.transport.deadline import Deadline

PATIENCE = 15.0
"""Seconds for one location."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Place:
    account: str
    location: str


@click.command()
@click.option(
    "--limit",
    default=300,
    show_default=True,
    type=click.IntRange(1),
    help="Maximum number of locations of each account in this run.",
)
@click.option("--every", default=45.0, show_default=True, help="Seconds until a location is due again.")
@click.option("--seconds", default=50.0, show_default=True, help="Seconds after which no further location is started.")
def watch(limit: int, every: float, seconds: float) -> None:
    """Record what changed in menus, stock and locations.

    A changed menu, a sold-out item and a paused location each become an event (MENU-9). If the provider has versions of
    its menu, a menu is read only if its version or the stock has changed. Accounts take turns, and each begins with the
    locations that were looked at longest ago. One whose provider does not answer is skipped in this run. Safe on
    several hosts; meant for a scheduler, every minute. Exit status 1: some locations are left for the next run.
    """
    check_ledger_writable()
    run, counts = BoundedRun(seconds), Counter[str]()
    found = [place for account in the_settings().accounts for place in _places(account, limit, counts)]
    for place in run.due(in_turns(found, len(found))):
        counts[_watch(run, place, every)] += 1
    failed = counts["failed"] + run.skipped
    looked = counts["changed"] + counts["unchanged"]
    click.echo(f"{looked} checked, {counts['changed']} changed, {failed} left for the next run", err=True)
    if failed:
        raise SystemExit(1)


def _places(account: str, limit: int, counts: Counter[str]) -> list[_Place]:
    try:
        routed = the_service().menu_watching.locations(account, RequestContext(Deadline(PATIENCE)))
    except Failure as failure:
        counts["failed"] += 1
        click.echo(f"{account}: {failure.code}: {failure.message}")
        return []
    return [_Place(account, each.id) for each in routed[:limit]]


def _watch(run: BoundedRun, place: _Place, every: float) -> str:
    """Look at one location; the result in one word."""
    began, context = time.monotonic(), RequestContext(Deadline(PATIENCE))
    try:
        events = the_service().menu_watching.look(place.location, context, every=timedelta(seconds=every))
    except Failure as failure:
        run.failed(place.account, time.monotonic() - began)
        click.echo(f"{place.location}: {failure.code}: {failure.message}")
        return "failed"
    except Exception as error:
        # One location must not stop the others.
        log.error("menu_not_watched", extra={"location": place.location}, exc_info=error)
        return "failed"
    run.answered(place.account)
    if events is None:
        return "elsewhere"
    for event in events:
        said = ", ".join(f"{name}={value}" for name, value in event.data.items())
        click.echo(f"{place.location} {event.kind} {said}")
    return "changed" if events else "unchanged"
