"""``levelup-ov events``."""

from __future__ import annotations

import base64
import secrets
from datetime import datetime, timezone
from typing import get_args

import click

from levelup_ov.cli.configured import check_ledger_writable, shown, the_deliverer, the_service
from levelup_ov.domain.words import counted
from levelup_ov.event_settings import PREFIX
from levelup_ov.ledger.event_deliveries import EventDeliveries, EventDelivery, State

SECRET_BYTES = 32


@click.group()
def events() -> None:
    """List, deliver and replay events (EVT-4, EVT-5)."""


@events.command("list")
@click.option("--state", type=click.Choice(get_args(State)), help="Only those in this state.")
@click.option("--receiver", help="Only those for this receiver: channel, operator.ACCOUNT or agent.NAME.")
@click.option("--subject", help="Only those of this submission, or of this location.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1))
def list_found(state: State | None, receiver: str | None, subject: str | None, limit: int) -> None:
    """List events, newest first.

    Without options, all of them: waiting, parked, and accepted within the last week.
    """
    found = shown(lambda: _deliveries().find(state=state, receiver=receiver, subject=subject, limit=limit))
    for delivery in found:
        click.echo(_line(delivery))
    click.echo(counted(len(found), "event"), err=True)


@events.command()
@click.argument("event_id")
def show(event_id: str) -> None:
    """Show an event and its data; nothing in it is personal."""
    found = shown(lambda: _deliveries().find(event=event_id))
    if not found:
        raise click.ClickException("there is no such event")
    for delivery in found:
        click.echo(_line(delivery))
    click.echo(found[0].data)


@events.command()
@click.argument("event_id", required=False)
@click.option("--parked", is_flag=True, help="All that are parked.")
@click.option("--since", type=click.DateTime(), help="All that were recorded since this time in UTC.")
@click.option("--receiver", help="Of many, only those for this receiver: channel, operator.ACCOUNT or agent.NAME.")
def replay(event_id: str | None, parked: bool, since: datetime | None, receiver: str | None) -> None:
    """Deliver events once more, under their ids.

    Either one event, with the parked events of its subject, or many at once.
    """
    if [event_id is not None, parked, since is not None].count(True) != 1:
        raise click.UsageError("name an event, or --parked, or --since")
    at = since and since.replace(tzinfo=timezone.utc)
    if event_id is not None and receiver is not None:
        raise click.UsageError("an event goes to its own receivers")
    count = shown(lambda: _deliveries().replay(event=event_id, since=at, receiver=receiver))
    if event_id is not None and not count:
        raise click.ClickException("there is no such event")
    click.echo(f"{counted(count, 'event')} due again", err=True)


@events.command()
@click.option("--seconds", default=50.0, show_default=True, help="Seconds after which no further delivery is started.")
def send(seconds: float) -> None:
    """Deliver what is due, as the running service does.

    Safe beside the service, and on several hosts. Exit status 1: a receiver has not accepted something.
    """
    deliverer = the_deliverer()
    check_ledger_writable()
    shown(lambda: deliverer.drain(seconds))
    deliverer.stop()
    counts = deliverer.counts
    click.echo(f"{counts['accepted']} accepted, {counts['waiting']} to be retried, {counts['parked']} parked", err=True)
    if counts["waiting"] or counts["parked"]:
        raise SystemExit(1)


@events.command()
def secret() -> None:
    """Make a secret that signs events.

    For LEVELUP_OV_EVENTS_SECRETS or LEVELUP_OV_OPERATOR_SECRETS. Needs no configuration.
    """
    click.echo(PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode())


def _deliveries() -> EventDeliveries:
    return EventDeliveries(the_service().submissions.ledger)


def _line(delivery: EventDelivery) -> str:
    at = delivery.created_at.isoformat(timespec="seconds")
    end = f" {delivery.state}" + (f" ({delivery.problem})" if delivery.problem else "")
    place = f"{delivery.location} {delivery.kind} for {delivery.receiver}"
    return f"{at} {delivery.id} {place}{end} after {counted(delivery.attempts, 'attempt')}"
