"""``levelup-ov submissions``."""

from __future__ import annotations

import getpass
import json
import logging
import time
from datetime import datetime, timezone
from typing import Any, get_args

import click

from levelup_ov.cli.configured import check_ledger_writable, shown, the_service, the_settings
from levelup_ov.cli.given import text
from levelup_ov.domain.attention import REMEDIES
from levelup_ov.domain.checkout import LEDGER_ACCOUNT
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.submission import State
from levelup_ov.domain.words import counted, one_line
from levelup_ov.ledger.corrections import Corrections
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.operator_actions import actions_of
from levelup_ov.ledger.records import Submission, Superseded
from levelup_ov.ordering.addresses import moved
from levelup_ov.ordering.bounded_runs import BoundedRun, in_turns, of_gone_accounts
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.redaction import clean
from levelup_ov.transport.deadline import Deadline

_MOST_OPEN = 20_000
PATIENCE = 10.0
"""Seconds that a provider has to tell the status of an order that was settled."""
_SHOWN = (
    "id", "reference", "generation", "previous", "account", "location", "state", "ended", "finding", "look_again_at",
    "owner", "request_id", "claimed_at", "sending_at", "settled_at", "settled_by",
    "lease_until", "order_id", "provider_order_id", "found_order_id", "found_provider_order_id", "finding_closed_at",
    "expected_charge", "charged", "charge_mismatch", "trace",
)  # fmt: skip


_PLACED = (
    "This says that the restaurant has the order. It is never sent again, and the channel tells the guest this number.",
    "If the restaurant has no such order, the guest comes for food that nobody makes.",
)
_NOT_PLACED = (
    "This says that you asked the restaurant: it has no order with this reference, and will not make one.",
    "The channel learns that it was not placed, and may send it again at once; that is then a new order.",
    "If the restaurant does have the order, the guest gets it twice and pays twice.",
)
_TAKEN_BACK = (
    "It is unknown again: it is not sent, and the same guest cannot order the same meal there, until it is settled.",
    "A guest who got a number or a refusal gets no other answer until then.",
)
_DONE = {"take_back": "corrected", "close_finding": "closed", None: "reconciled"}
"""In words, what the ledger records of an operator: what the commands are called."""
log = logging.getLogger(__name__)


@click.group()
def submissions() -> None:
    """List, reconcile, settle and correct submissions (SUB-5)."""


@submissions.command("list")
@click.option("--state", type=click.Choice(get_args(State)), help="Only those in this state.")
@click.option("--account", type=text, help="Only those of this account.")
@click.option("--number", type=text, help="An order id, a provider's order id, a request id or a submission's id.")
@click.option("--charge-mismatch", is_flag=True, help="Only those where the charge differs from the request (PAY-4).")
@click.option("--findings", is_flag=True, help="Only those that a person must look at (SUB-12).")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1))
def list_found(
    state: str | None, account: str | None, number: str | None, charge_mismatch: bool, findings: bool, limit: int
) -> None:
    """List submissions, newest first.

    Without options, those that are not settled, oldest first.
    """
    if state or account or number or charge_mismatch or findings:
        found = shown(
            lambda: the_ledger().reader.find(
                state=state,  # type: ignore[arg-type]
                account=account,
                number=number,
                charge_mismatch=charge_mismatch,
                findings=findings,
                limit=limit,
            )
        )
    else:
        found = shown(lambda: the_ledger().reader.open_submissions(limit=limit))
    for submission in found:
        click.echo(_line(submission) + (_moved(submission) if submission.state == "unknown" else ""))
    click.echo(counted(len(found), "submission"), err=True)
    if account and not found and account not in the_settings().accounts:
        click.echo(f"{account} is not in the accounts file: {', '.join(the_settings().accounts)}", err=True)


@submissions.command()
@click.argument("submission_id")
def show(submission_id: str) -> None:
    """Show everything recorded about SUBMISSION_ID.

    Values are as in JSON, times in UTC; `-` where nothing is recorded. No customer data is recorded.
    """
    submission = _existing(submission_id)
    for name in _SHOWN:
        click.echo(f"{name + ':':24} {_plain(getattr(submission, name))}")
    for action in shown(lambda: actions_of(the_ledger(), submission_id)):
        was = ", ".join(f"{name}={_plain(value)}" for name, value in action.before.items() if value is not None)
        said = f"{_DONE[action.act]} by {action.operator}: {action.why or action.outcome or 'has not ended'}"
        click.echo(f"{_plain(action.at)} {said}" + (f" (before: {was})" if was else ""))


@submissions.command()
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1))
@click.option(
    "--seconds", default=240.0, show_default=True, help="Seconds after which no further submission is started."
)
def reconcile(limit: int, seconds: float) -> None:
    """Ask the providers about every unknown submission.

    Those that were ruled out or refused are asked about once more. Accounts take turns. An account whose provider does
    not answer is left for the next run. Safe during live traffic and at any time; meant for a scheduler, every minute.
    Exit status 1: some are still open, or need a person.
    """
    check_ledger_writable()
    ledger, accounts = the_ledger(), the_settings().accounts
    found = shown(lambda: ledger.reader.open_submissions(limit=_MOST_OPEN))
    # Charges belong to `checkout reconcile`.
    unknown = [each for each in found if each.state == "unknown" and each.account != LEDGER_ACCOUNT]
    everything, run = len(unknown), BoundedRun(seconds)
    for line in of_gone_accounts([each for each in unknown if each.account not in accounts]):
        click.echo(line, err=True)
    unknown = in_turns((each for each in unknown if each.account in accounts), limit)
    due = shown(lambda: ledger.reader.due_again(besides=LEDGER_ACCOUNT, limit=_MOST_OPEN))
    for each in [each for each in due if not _is_asked(each)][:limit]:
        ledger.findings.looked_again(each)
    again = in_turns(filter(_is_asked, due), limit)
    waiting, tried = unknown + again, set[str]()
    left, later, findings = everything - len(unknown), 0, 0
    for position, submission in enumerate(run.due(waiting), start=1):
        began = time.monotonic()
        tried.add(submission.id)
        try:
            outcome, is_finding = _look(submission)
            findings += is_finding
            run.answered(submission.account)
        except Failure as failure:
            move = _moved(submission)
            run.failed(submission.account, time.monotonic() - began, answered=bool(move))
            if submission.ended == "refused":
                # It was told as refused, so nobody waits for this look.
                later += 1
                outcome = f"refused, and not looked up now: {failure.message}"
            else:
                left += 1
                outcome = f"still unknown: {failure.message}{move}"
        except Exception as error:
            # One submission must not stop the others.
            log.error("submission_not_reconciled", extra={"submission": submission.id}, exc_info=error)
            left += 1
            outcome = f"still unknown: {type(error).__name__}"
        click.echo(f"[{position}/{len(waiting)}] {submission.id} {submission.location}: {one_line(outcome)}")
    skipped = [each.ended == "refused" for each in waiting if each.id not in tried]
    left, later = left + skipped.count(False), later + skipped.count(True)
    resolved = everything + len(again) - left - later
    if run.skipped:
        click.echo(f"{run.skipped} left for the next run: out of time, or the provider does not answer", err=True)
    looks = f", {findings} for a person to look at" if findings else ""
    click.echo(f"{resolved} resolved, {left} still unknown{looks}", err=True)
    if left or findings:
        raise SystemExit(1)


@submissions.command()
@click.argument("submission_id")
@click.option("--placed", metavar="NUMBER", type=text, help="The restaurant has the order, under this number.")
@click.option(
    "--provider-id",
    metavar="ID",
    type=text,
    help="With --placed: the provider's own id of the order. Its status is read, and it is canceled, by this id. "
    "Default: NUMBER.",
)
@click.option("--not-placed", is_flag=True, help="The restaurant has no such order, and will not prepare one.")
@click.option("--by", type=text, help="Who says so. Default: the system user.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def settle(
    submission_id: str, placed: str | None, provider_id: str | None, not_placed: bool, by: str | None, yes: bool
) -> None:
    """Settle the unknown SUBMISSION_ID by what the restaurant said.

    For what no command can determine, such as the orders of an account that was removed. The channel gets this
    answer from then on; after --not-placed it may send the order again. NUMBER is what the guest says at the counter.
    """
    if (placed is not None) == not_placed:
        raise click.UsageError("give one of --placed NUMBER and --not-placed")
    if provider_id is not None and placed is None:
        raise click.UsageError("--provider-id needs --placed NUMBER")
    submission = _existing(submission_id)
    if submission.account == LEDGER_ACCOUNT:
        raise click.ClickException("this is a charge: `levelup-ov checkout settle` settles it, once it is a case")
    if submission.state != "unknown":
        raise click.ClickException(f"it is {submission.state}: only an unknown order is settled by hand")
    click.echo(_line(submission), err=True)
    said = f"placed under the number {placed}" if placed is not None else "not placed"
    if not yes:
        meaning = _NOT_PLACED if placed is None else _PLACED
        for line in (f"Our reference at the provider: {submission.reference}", *meaning):
            click.echo(line, err=True)
        click.confirm(f"Record that {submission.id} was {said}?", abort=True, err=True)
    shown(
        lambda: the_service().submissions.reconciler.settle(
            submission, placed, _person(by), provider_order_id=provider_id
        )
    )
    click.echo(f"{submission.id}: {said}")
    if placed is not None:
        _check_status(submission)


@submissions.command()
@click.argument("submission_id")
@click.option("--why", required=True, type=text, help="What was wrong about the settlement; it is recorded.")
@click.option("--by", type=text, help="Who says so. Default: the system user.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def correct(submission_id: str, why: str, by: str | None, yes: bool) -> None:
    """Take back the settlement of SUBMISSION_ID.

    For what a person recorded by mistake. It is unknown again, so nothing is sent, and the channel gets
    `outcome_unknown` until it is settled: by `submissions reconcile`, which asks the provider, or by `submissions
    settle`. What was recorded before is kept.
    """
    submission = _existing(submission_id)
    if submission.settled_by is None:
        raise click.ClickException(f"it is {submission.state}, and no person settled it: only that can be taken back")
    click.echo(_line(submission), err=True)
    if not yes:
        for line in _TAKEN_BACK:
            click.echo(line, err=True)
        click.confirm(f"Take back what {submission.settled_by} recorded?", abort=True, err=True)
    try:
        shown(lambda: Corrections(the_ledger()).take_back(submission, _person(by), clean(why)))
    except Superseded as superseded:
        last = superseded.submission
        if last is not None and last.id != submission.id:
            words = f"it was sent again: {_line(last)}; correct that one, or close the finding that it leads to"
            raise click.ClickException(words) from None
        raise click.ClickException(f"nothing was changed: {superseded}") from None
    log.warning("settlement_corrected", extra={"submission": submission.id, "by": _person(by)})
    click.echo(f"{submission.id}: unknown; settle it, or run `levelup-ov submissions reconcile`")


@submissions.command()
@click.argument("submission_id")
@click.option("--why", required=True, type=text, help="What was done about it; it is recorded.")
@click.option("--by", type=text, help="Who says so. Default: the system user.")
def close(submission_id: str, why: str, by: str | None) -> None:
    """Close the finding of SUBMISSION_ID.

    For a finding, or a difference in the charge, that a person has dealt with. It disappears from `submissions list
    --findings` and from the console. A new finding opens it again.
    """
    submission = _existing(submission_id)
    finding = submission.open_finding
    try:
        shown(lambda: Corrections(the_ledger()).close_finding(submission, _person(by), clean(why)))
    except Superseded:
        raise click.ClickException("it has no open finding") from None
    log.info("finding_closed", extra={"submission": submission.id, "finding": finding, "by": _person(by)})
    click.echo(f"{submission.id}: {finding} closed")


def _check_status(submission: Submission) -> None:
    """Say whether the provider knows an order by the id that it was settled with, if it can be asked."""
    service, adapter = the_service(), the_settings().accounts.get(submission.account)
    if adapter is None or not adapter.order_status:
        return
    try:
        if (order := service.tracking.of(submission.id)) is not None:
            service.placed_orders.check(order, RequestContext(Deadline(PATIENCE)))
            order = service.tracking.of(submission.id)
    except Failure as failure:
        words = (
            f"its status cannot be read: {one_line(failure.message)}; if the provider has another id for this order, "
        )
        remedy = "run `levelup-ov submissions correct`, and settle it with --provider-id"
        click.echo(words + remedy, err=True)
    else:
        click.echo(f"the provider says: {one_line(order.word if order else None)}", err=True)


def _existing(submission_id: str) -> Submission:
    submission = shown(lambda: the_ledger().reader.show(submission_id))
    if submission is None:
        words = "there is no such submission"
        if found := shown(lambda: the_ledger().reader.find(number=submission_id, limit=3)):
            words += f"; {submission_id} is a number of {' and '.join(each.id for each in found)}"
        raise click.ClickException(words)
    return submission


def _person(by: str | None) -> str:
    return clean(by or _this_user())[:100]


def _this_user() -> str:
    """The name of the user who runs the command, by the environment, else by the system's table of users."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no entry
        raise click.UsageError("the user who runs this has no name on this system: say who you are with --by") from None


def the_ledger() -> Ledger:
    """The ledger of the configured service."""
    return the_service().submissions.ledger


def _look(submission: Submission) -> tuple[str, bool]:
    """The outcome of a submission that is unknown, or was not placed, and whether a person must look at it."""
    service, context = the_service(), RequestContext(Deadline(the_settings().submission_deadline))
    if submission.state != "unknown":
        finding = service.look_ups.look_again(submission, context)
        return (f"{finding}: {REMEDIES[finding]}" if finding else "still not placed"), finding is not None
    if (settlement := service.look_ups.reconcile(submission, context)) is not None:
        return f"placed, order {settlement.placed.order_id}", False
    if submission.card and not _voids_card(submission):
        return f"not placed; card_may_be_charged: {REMEDIES['card_may_be_charged']}", True
    return "not placed", False


def _is_asked(submission: Submission) -> bool:
    """Whether its provider can be asked about it without resending the submission."""
    adapter = the_settings().accounts.get(submission.account)
    return adapter is not None and adapter.recovery == "look_up"


def _voids_card(submission: Submission) -> bool:
    adapter = the_settings().accounts.get(submission.account)
    return adapter is not None and adapter.voids_cards


def _moved(submission: Submission) -> str:
    """What to do about an order that was sent elsewhere than its account sends now; empty if it was not."""
    adapter = the_settings().accounts.get(submission.account)
    move = adapter and moved(submission, adapter)
    return f" ({move})" if move else ""


def _plain(value: Any) -> str:
    """A recorded value for people: times in UTC to the second, ``-`` for nothing, strings on one line, else JSON."""
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="seconds")
    if isinstance(value, str):
        return one_line(value)
    return "-" if value is None else json.dumps(value, ensure_ascii=False)


def _line(submission: Submission) -> str:
    order = "" if submission.order_id is None else f" order={one_line(submission.order_id)}"
    claimed = _plain(submission.claimed_at)
    return f"{claimed} {submission.id} {submission.location} {submission.state}{order} request={submission.request_id}"
