"""``levelup-ov checkout``."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor, as_completed

import click

from levelup_ov.checkout.orders import Orders
from levelup_ov.checkout.problems import case_of
from levelup_ov.checkout.store import StoredOrder
from levelup_ov.cli.configured import shown, the_checkout, the_settings
from levelup_ov.config import Settings
from levelup_ov.domain.failure import Failure
from levelup_ov.ordering.service import RequestContext
from levelup_ov.transport.deadline import Deadline

PATIENCE = 10.0
"""Seconds that one order may take in a run: what LevelUp does not answer by then is for the next run."""
RUN = 50
"""Seconds after which a run takes up nothing more, so that one of each minute ends before the next begins."""
WORKERS = 8
"""Orders that are worked on at once; a LevelUp that hangs holds up so many at a time."""

log = logging.getLogger(__name__)


@click.group()
def checkout() -> None:
    """Finish and settle orders of web checkout."""


@checkout.command()
@click.option("--limit", default=1000, show_default=True, help="Orders at most, first what waited longest.")
@click.option("--seconds", default=RUN, show_default=True, help="After which nothing more is taken up.")
def reconcile(limit: int, seconds: int) -> None:
    """Finish the orders that nobody works on any more: find what was charged, refund what no provider has.

    Safe beside live traffic and at any time; suited to a scheduler. Exit status 1: some are still unfinished, or
    wait for a person.
    """
    _reconcile(the_checkout().orders, the_settings(), limit, seconds)


@checkout.command()
def cases() -> None:
    """List the orders that a person must settle. Exit status 1: there are some."""
    found = shown(the_checkout().orders.operator_cases)
    for order in found:
        click.echo(f"{order.id} {order.state} uuid={order.uuid} {case_of(order)['message']}")
    click.echo(f"{len(found)} case(s)", err=True)
    if found:
        raise SystemExit(1)


@checkout.command()
@click.argument("order_id")
@click.option("--by", required=True, help="Who has settled it.")
@click.option("--why", required=True, help="How, such as: paid back by transfer on the 3rd.")
@click.option("--uuid", help="LevelUp's UUID of the charge, for one that was found by hand; it is then refunded.")
def settle(order_id: str, by: str, why: str, uuid: str | None) -> None:
    """Close the case of ORDER_ID, and record who did and why."""
    order = shown(lambda: the_checkout().orders.settle(order_id, by, why, uuid))
    click.echo(f"{order.id}: {order.state}")


def _reconcile(orders: Orders, settings: Settings, limit: int, seconds: int) -> None:
    found = shown(lambda: orders.unfinished(limit))
    until = time.monotonic() + seconds
    workers = max(min(WORKERS, settings.threads // 2, len(found)), 1)
    left = 0

    def work(order: StoredOrder) -> tuple[bool, str]:
        if time.monotonic() >= until:
            return False, f"still {order.state}: there was no time for it in this run"
        try:
            orders.tried(order)
            deadline = min(settings.submission_deadline, PATIENCE, until - time.monotonic() + 1)
            return True, orders.reconcile(order, RequestContext(Deadline(deadline))).state
        except Failure as failure:
            return False, f"still {order.state}: {failure.message}"
        except Exception as error:
            # One order must not keep the others from their turn.
            log.error("an order could not be reconciled", extra={"order": order.id}, exc_info=error)
            return False, f"still {order.state}: {type(error).__name__}"

    with ThreadPoolExecutor(workers) as pool:
        working = {pool.submit(work, order): order for order in found}
        for position, done in enumerate(as_completed(working), start=1):
            order, (finished, outcome) = working[done], done.result()
            left += not finished
            click.echo(f"[{position}/{len(found)}] {order.id} {order.merchant}: {outcome}")
    click.echo(f"{len(found) - left} finished, {left} still unfinished", err=True)
    if left:
        raise SystemExit(1)
