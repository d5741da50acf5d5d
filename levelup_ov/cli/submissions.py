"""``levelup-ov submissions``."""

from __future__ import annotations

import os
import time
from typing import get_args

import click

from levelup_ov.cli.configured import check_ledger_writable, shown, the_service, the_settings
from levelup_ov.domain.attention import REMEDIES
from levelup_ov.domain.checkout import LEDGER_ACCOUNT
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.submission import State
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.records import Submission
from levelup_ov.ordering.bounded_runs import BoundedRun, in_turns, of_gone_accounts
from levelup_ov.ordering.service import RequestContext
from levelup_ov.redaction import clean
from levelup_ov.transport.deadline import Deadline

_MOST_OPEN = 20_000
_SHOWN = (
    "id", "reference", "generation", "previous", "account", "location", "state", "ended", "finding", "look_again_at",
    "owner", "request_id", "claimed_at", "sending_at", "settled_at", "settled_by",
    "lease_until", "order_id", "provider_order_id", "expected_charge", "charged", "charge_mismatch", "trace",
)  # fmt: skip


@click.group()
def submissions() -> None:
    """List, reconcile and settle submissions (SUB-5)."""


@submissions.command("list")
@click.option("--state", type=click.Choice(get_args(State)), help="Only those in this state.")
@click.option("--account", help="Only those of this account.")
@click.option("--number", help="An order id, a provider's order id, a request id or a submission's id.")
@click.option("--charge-mismatch", is_flag=True, help="Only those where the charge differs from the request (PAY-4).")
@click.option("--findings", is_flag=True, help="Only those that a person must look at (SUB-12).")
@click.option("--limit", default=50, show_default=True)
def list_found(
    state: str | None, account: str | None, number: str | None, charge_mismatch: bool, findings: bool, limit: int
) -> None:
    """List submissions, newest first.

    Without options, those that are not settled.
    """
    if state or account or number or charge_mismatch or findings:
        found = shown(
            lambda: the_ledger().find(
                state=state,  # type: ignore[arg-type]
                account=account,
                number=number,
                charge_mismatch=charge_mismatch,
                findings=findings,
                limit=limit,
            )
        )
    else:
        found = shown(lambda: the_ledger().open_submissions(limit=limit))
    for submission in found:
        click.echo(_line(submission))
    click.echo(f"{len(found)} submission(s)", err=True)


@submissions.command()
@click.argument("submission_id")
def show(submission_id: str) -> None:
    """Show everything recorded about SUBMISSION_ID.

    No customer data is recorded.
    """
    submission = shown(lambda: the_ledger().show(submission_id))
    if submission is None:
        raise click.ClickException("there is no such submission")
    for name in _SHOWN:
        click.echo(f"{name + ':':20} {getattr(submission, name)}")


@submissions.command()
@click.option("--limit", default=1000, show_default=True)
@click.option("--seconds", default=240.0, show_default=True, help="Start no further submission after this time.")
def reconcile(limit: int, seconds: float) -> None:
    """Ask the providers about every unknown submission.

    Those that were ruled out are asked about once more. Accounts take turns. An account whose provider does not answer
    is left for the next run. Safe during live traffic and at any time; meant for a scheduler, every minute. Exit status
    1: some are still open, or need a person.
    """
    check_ledger_writable()
    ledger, accounts = the_ledger(), the_settings().accounts
    found = shown(lambda: ledger.open_submissions(limit=_MOST_OPEN))
    # Charges belong to `checkout reconcile`.
    unknown = [each for each in found if each.state == "unknown" and each.account != LEDGER_ACCOUNT]
    everything, run = len(unknown), BoundedRun(seconds)
    for line in of_gone_accounts([each for each in unknown if each.account not in accounts]):
        click.echo(line, err=True)
    unknown = in_turns((each for each in unknown if each.account in accounts), limit)
    due = shown(lambda: ledger.due_again(besides=LEDGER_ACCOUNT, limit=limit))
    again = [each for each in due if _is_asked(each)]
    for each in due:
        if each not in again:
            ledger.looked_again(each)
    left, findings = everything - len(unknown), 0
    for position, submission in enumerate(run.due(unknown + again), start=1):
        began = time.monotonic()
        try:
            outcome, is_finding = _look(submission)
            findings += is_finding
            run.answered(submission.account)
        except Failure as failure:
            left += 1
            run.failed(submission.account, time.monotonic() - began)
            outcome = f"still unknown: {failure.message}"
        total = len(unknown) + len(again)
        click.echo(f"[{position}/{total}] {submission.id} {submission.location}: {outcome}")
    left += run.skipped
    resolved = everything + len(again) - left
    if run.skipped:
        click.echo(f"{run.skipped} left for the next run: out of time, or the provider does not answer", err=True)
    looks = f", {findings} for a person to look at" if findings else ""
    click.echo(f"{resolved} resolved, {left} still unknown{looks}", err=True)
    if left or findings:
        raise SystemExit(1)


@submissions.command()
@click.argument("submission_id")
@click.option("--placed", metavar="NUMBER", help="The restaurant has the order, under this number.")
@click.option("--not-placed", is_flag=True, help="The restaurant has no such order, and will not prepare one.")
@click.option("--by", help="Who says so. Default: the system user.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def settle(submission_id: str, placed: str | None, not_placed: bool, by: str | None, yes: bool) -> None:
    """Settle the unknown SUBMISSION_ID by what the restaurant said.

    For what no command can determine, such as the orders of an account that was removed. The channel gets this
    answer from then on; after --not-placed it may send the order again.
    """
    if (placed is not None) == not_placed:
        raise click.UsageError("give one of --placed NUMBER and --not-placed")
    submission = shown(lambda: the_ledger().show(submission_id))
    if submission is None:
        raise click.ClickException("there is no such submission")
    if submission.state != "unknown" or submission.account == LEDGER_ACCOUNT:
        raise click.ClickException(f"it is {submission.state}: only an unknown order is settled by hand")
    click.echo(_line(submission), err=True)
    said = f"placed under the number {placed}" if placed else "not placed; the same order may be sent again"
    if not yes:
        click.confirm(f"Record that it was {said}?", abort=True, err=True)
    shown(lambda: the_service().submissions.settle(submission, placed, clean(by or _this_user())[:100]))
    click.echo(f"{submission.id}: {said}")


def _this_user() -> str:
    return os.environ.get("USER") or f"user {os.getuid()}"


def the_ledger() -> Ledger:
    """The ledger of the configured service."""
    return the_service().submissions.ledger


def _look(submission: Submission) -> tuple[str, bool]:
    """The outcome of an unknown or ruled-out submission, and whether a person must look at it."""
    service, context = the_service(), RequestContext(Deadline(the_settings().submission_deadline))
    if submission.state != "unknown":
        finding = service.look_again(submission, context)
        return (f"{finding}: {REMEDIES[finding]}" if finding else "still not placed"), finding is not None
    if (settlement := service.reconcile(submission, context)) is not None:
        return f"placed, order {settlement.placed.order_id}", False
    if submission.card and not _fences(submission):
        return f"not placed; card_may_be_charged: {REMEDIES['card_may_be_charged']}", True
    return "not placed", False


def _is_asked(submission: Submission) -> bool:
    """Whether its provider can be asked about it without resending the submission."""
    adapter = the_settings().accounts.get(submission.account)
    return adapter is not None and adapter.recovery == "look_up"


def _fences(submission: Submission) -> bool:
    adapter = the_settings().accounts.get(submission.account)
    return adapter is not None and adapter.fences


def _line(submission: Submission) -> str:
    order = "" if submission.order_id is None else f" order={submission.order_id}"
    claimed = submission.claimed_at.isoformat(timespec="seconds")
    return f"{claimed} {submission.id} {submission.location} {submission.state}{order} request={submission.request_id}"
