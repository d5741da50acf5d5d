"""``levelup-ov orders``."""

from __future__ import annotations

import logging
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta

import click

from levelup_ov.cli.configured import check_ledger_writable, shown, the_service, the_settings
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.words import counted, one_line
from levelup_ov.ledger.statuses import PlacedOrder
from levelup_ov.ordering.bounded_runs import BoundedRun, in_turns
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.service import Service
from levelup_ov.ordering.tracking import is_change
from levelup_ov.transport.deadline import Deadline

PATIENCE = 10.0
"""Seconds for one order."""
WORKERS = 8
"""Orders at once; a provider that hangs blocks at most so many."""
_ANSWERED = ("provider_protocol_error",)
"""Failures with which a provider did answer, so that the other orders of its account may be read."""

log = logging.getLogger(__name__)


@click.group()
def orders() -> None:
    """List open orders, and watch their status (STAT-5)."""


@orders.command("list")
@click.option("--account", help="Only those of this account.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(1), help="Maximum number of orders of each account."
)
def list_open(account: str | None, limit: int) -> None:
    """List the open orders with their last known status."""
    if account is not None and account not in the_settings().accounts:
        raise click.ClickException(f"there is no account {account!r}: {', '.join(the_settings().accounts)}")
    found = [order for name in _telling() if account in (None, name) for order in _open(name, limit)]
    for order in found:
        click.echo(_line(order))
    click.echo(counted(len(found), "open order"), err=True)


@orders.command()
@click.option("--calls", default=300, show_default=True, help="Maximum number of orders of each account in this run.")
@click.option("--every", default=45.0, show_default=True, help="Seconds until an order is due again.")
@click.option("--seconds", default=50.0, show_default=True, help="Seconds after which no further order is started.")
def watch(calls: int, every: float, seconds: float) -> None:
    """Ask for the status of each open order.

    An order is open until it ends, for a day after it was placed; an order for a later day until a day after its ready
    time, for 14 days at most. Each costs one call. Accounts take turns; an account whose provider does not answer is
    skipped in this run. Safe on several hosts and beside live traffic; suited to a scheduler, each minute. Exit status
    1: some are left for the next run, or belong to an account that is not configured any more.
    """
    check_ledger_writable()
    service, run = the_service(), BoundedRun(seconds)
    found = [order for name in _telling() for order in _open(name, calls, timedelta(seconds=every))]
    counts: Counter[str] = Counter()
    with ThreadPoolExecutor(max(min(WORKERS, the_settings().threads, len(found)), 1)) as pool:
        asking = set()
        for order in run.due(in_turns(found, len(found))):
            asking.add(pool.submit(_ask, service, run, order))
            if len(asking) >= 2 * WORKERS:
                done, asking = wait(asking, return_when="FIRST_COMPLETED")
                counts.update(each.result() for each in done)
        counts.update(each.result() for each in asking)
    failed = counts["failed"] + run.skipped
    checked = counts["changed"] + counts["unchanged"]
    click.echo(f"{checked} checked, {counts['changed']} changed, {failed} left for the next run", err=True)
    if failed + _unwatched():
        raise SystemExit(1)


def _unwatched() -> int:
    """The number of open orders whose accounts were removed from the configuration; warns of them."""
    counts, accounts = shown(the_service().tracking.open_counts), the_settings().accounts
    removed = {name: count for name, count in counts.items() if name not in accounts}
    for name, count in removed.items():
        log.warning("orders_not_watched", extra={"account": name, "orders": count})
        found = f"{counted(count, 'open order')} not watched"
        click.echo(f"{name}: {found}: put the account back into the accounts file until they have ended", err=True)
    return sum(removed.values())


def _telling() -> list[str]:
    """The accounts whose providers report the status of orders."""
    return [name for name, adapter in the_settings().accounts.items() if adapter.order_status]


def _open(account: str, limit: int, every: timedelta = timedelta(0)) -> tuple[PlacedOrder, ...]:
    return shown(lambda: the_service().tracking.open_orders(account, every=every, limit=limit))


def _ask(service: Service, run: BoundedRun, order: PlacedOrder) -> str:
    """Get the status of one order; the result in one word."""
    began = time.monotonic()
    try:
        # The lease is twice as long as the request may take.
        lease = timedelta(seconds=2 * PATIENCE)
        status = service.placed_orders.watch(order, RequestContext(Deadline(PATIENCE)), lease=lease)
    except Failure as failure:
        run.failed(order.account, time.monotonic() - began, answered=failure.code in _ANSWERED)
        click.echo(one_line(f"{_named(order)}: {failure.code}: {failure.message}"))
        return "failed"
    except Exception as error:
        # One order must not stop the others.
        log.error("order_not_watched", extra={"submission": order.submission}, exc_info=error)
        return "failed"
    run.answered(order.account)
    if status is None:
        return "elsewhere"
    if not is_change(order, status):
        return "unchanged"
    stage = f"{status.stage or 'unknown'} ({status.word})"
    click.echo(one_line(f"{_named(order)}: {stage}"))
    return "changed"


def _line(order: PlacedOrder) -> str:
    placed = order.placed_at.isoformat(timespec="seconds")
    status = "not known yet" if order.word is None else f"{order.stage or 'unknown'} ({order.word})"
    since = f" since {order.changed_at.isoformat(timespec='seconds')}" if order.changed_at else ""
    return one_line(f"{placed} {_named(order)} {status}{since}")


def _named(order: PlacedOrder) -> str:
    return f"{order.submission} {order.location} order={order.order_id}"
