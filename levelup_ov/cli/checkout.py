"""``levelup-ov checkout``."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import get_args

import click

from levelup_ov.checkout.orders import Orders
from levelup_ov.checkout.store import StoredOrder
from levelup_ov.cli.configured import check_ledger_writable, shown, the_checkout, the_settings
from levelup_ov.cli.given import text
from levelup_ov.config import Settings
from levelup_ov.domain.checkout import CaseKind
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.words import counted, one_line
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.transport.deadline import Deadline

PATIENCE = 10.0
"""Seconds that one order may take in a run; if LevelUp has not answered by then, the next run continues."""
TIDYING = 5.0
"""Seconds that a run may spend on connections."""
RUN = 50
"""Seconds after which a run starts no further order, so that a run every minute ends before the next one."""
WORKERS = 8
"""Orders processed in parallel; if LevelUp hangs, it blocks this many at a time."""

log = logging.getLogger(__name__)


class CannotRead(click.ClickException):
    """Whether there are cases is not known."""

    exit_code = 2


@click.group()
def checkout() -> None:
    """Finish and settle orders of web checkout."""


@checkout.command()
@click.option(
    "--limit",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    help="Maximum number of orders, longest waiting first.",
)
@click.option("--seconds", default=RUN, show_default=True, help="Seconds after which no further order is started.")
def reconcile(limit: int, seconds: int) -> None:
    """Finish interrupted orders, or refund them.

    Charges are reconciled; an order that no provider accepted is refunded. Safe during live traffic and at any time;
    meant for a scheduler. Exit status 1: some are still unfinished, or need a person.
    """
    checkout = the_checkout()
    check_ledger_writable()
    shown(lambda: checkout.connections.tidy(RequestContext(Deadline(TIDYING))))
    _reconcile(checkout.orders, the_settings(), limit, seconds)


@checkout.command()
def cases() -> None:
    """List the orders that a person must settle.

    Exit status: 0 none, 1 there are some, 2 the database cannot be read, 78 web checkout is not configured.
    """
    found = shown(the_checkout().orders.operator_cases, CannotRead)
    for order in found:
        click.echo(_line(order))
    click.echo(counted(len(found), "case"), err=True)
    if found:
        raise SystemExit(1)


@checkout.command()
@click.argument("order_id")
@click.option("--by", required=True, type=text, help="Who has settled it.")
@click.option("--why", required=True, type=text, help="How, for example: paid back by transfer on the 3rd.")
@click.option("--uuid", help="LevelUp's UUID of a charge that was found by hand; it is then refunded.")
@click.option(
    "--case",
    "kind",
    type=click.Choice(get_args(CaseKind)),
    metavar="KIND",
    help="The case that `checkout cases` has shown. Settle only this, and do not ask for confirmation.",
)
def settle(order_id: str, by: str, why: str, uuid: str | None, kind: str | None) -> None:
    """Close the case of ORDER_ID, and record who closed it and how.

    If it becomes another case before you confirm it, nothing is settled.
    """
    orders = the_checkout().orders
    order = shown(lambda: orders.to_settle(order_id))
    if kind is None:
        click.echo(_line(order), err=True)
        click.confirm(f"Record that this is settled: {one_line(why)}?", abort=True, err=True)
    elif kind != order.case_kind:
        raise click.ClickException(f"nothing was settled: its case is another one by now: {_line(order)}")
    context = RequestContext(Deadline(the_settings().submission_deadline))
    order = shown(lambda: orders.settle(order, by, why, context, uuid))
    click.echo(f"{order.id}: {order.state}")


def _line(order: StoredOrder) -> str:
    cases = "; ".join(f"{each['kind']}: {one_line(each['message'])}" for each in order.open_cases)
    return f"{order.id} {order.state} uuid={order.uuid} {cases or 'it is being canceled'}"


def _reconcile(orders: Orders, settings: Settings, limit: int, seconds: int) -> None:
    found = shown(lambda: orders.unfinished(limit))
    until = time.monotonic() + seconds
    workers = max(min(WORKERS, settings.threads // 2, len(found)), 1)
    left = 0

    def work(order: StoredOrder) -> tuple[bool, str]:
        is_canceled = order.state == "submitted" and order.cancellation
        waits = "still being canceled" if is_canceled else f"still {order.state}"
        if time.monotonic() >= until:
            return False, f"{waits}: there was no time for it in this run"
        try:
            orders.tried(order)
            deadline = min(settings.submission_deadline, PATIENCE, until - time.monotonic() + 1)
            return True, orders.reconcile(order, RequestContext(Deadline(deadline))).state
        except Failure as failure:
            return False, f"{waits}: {failure.message}"
        except Exception as error:
            # One order must not block the others.
            log.error("order_not_reconciled", extra={"order": order.id}, exc_info=error)
            return False, f"{waits}: {type(error).__name__}"

    with ThreadPoolExecutor(workers) as pool:
        working = {pool.submit(work, order): order for order in found}
        for position, done in enumerate(as_completed(working), start=1):
            order, (finished, outcome) = working[done], done.result()
            left += not finished
            click.echo(f"[{position}/{len(found)}] {order.id} {order.merchant}: {one_line(outcome)}")
    click.echo(f"{len(found) - left} finished, {left} still unfinished", err=True)
    if left:
        raise SystemExit(1)
