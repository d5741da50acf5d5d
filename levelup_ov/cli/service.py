"""Commands for operators: ``flask --app wsgi ...``."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, get_args

import click
from flask import Flask
from flask.cli import AppGroup
from werkzeug.serving import make_server

from levelup_ov.checkout import LEDGER_ACCOUNT, Checkout
from levelup_ov.cli.adapters import adapters_group
from levelup_ov.cli.checkout import checkout_group
from levelup_ov.config import Settings, check_ledger, ledger_file, upgrade_ledger
from levelup_ov.domain import menu as menus
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.submission import State
from levelup_ov.ledger.backup import back_up, put_back
from levelup_ov.ledger.engine import REVISIONS
from levelup_ov.ledger.ledger import Submission, open_ledger
from levelup_ov.ordering.service import Service, Trace
from levelup_ov.ordering.submissions import REMEDIES
from levelup_ov.ordering.turns import Run, in_turns, of_gone_accounts
from levelup_ov.redaction import clean
from levelup_ov.transport.deadline import Deadline

T = TypeVar("T")


def install(app: Flask, settings: Settings, service: Service, checkout: Checkout | None = None) -> None:
    """Add the commands to ``app``."""
    for group in (_config(settings), _menu(settings, service), _ledger(settings), _submissions(settings, service)):
        app.cli.add_command(group)
    app.cli.add_command(checkout_group(settings, checkout))
    app.cli.add_command(adapters_group(settings, service))
    app.cli.add_command(_sandbox(settings))
    app.cli.add_command(_levelup(settings))


def _config(settings: Settings) -> AppGroup:
    group = AppGroup("config", help="The configuration.")

    @group.command("check")
    def check() -> None:
        """Check environment and accounts file without starting."""
        # Loading the application has read everything; a mistake would have ended it there. The ledger is looked at
        # here and by gunicorn's configuration, for the command that brings it up to date must load without.
        if not settings.development:
            check_ledger(settings.ledger.reveal(), connections=settings.workers * settings.ledger_connections)
        click.echo(f"mode: {'development' if settings.development else 'production'}")
        click.echo(f"accounts, from {settings.accounts_source}:")
        for name, adapter in settings.accounts.items():
            reached = f"{adapter.account.provider}, {clean(adapter.base_url)}"
            click.echo(f"  {name}: {adapter.account.merchant_name} ({reached})")
        if not settings.development:
            ledger = open_ledger(settings.ledger.reveal())
            found = _shown(lambda: ledger.open_submissions(limit=_MOST_OPEN))
            known = {*settings.accounts, LEDGER_ACCOUNT}
            for line in of_gone_accounts(each for each in found if each.account not in known):
                click.echo(line, err=True)
        click.echo("the configuration is sound")

    return group


def _menu(settings: Settings, service: Service) -> AppGroup:
    group = AppGroup("menu", help="Menus.")

    @group.command("check")
    @click.argument("location_id")
    def check(location_id: str) -> None:
        """List what breaks a rule in the menu of LOCATION_ID (MENU-3)."""
        found = _shown(lambda: service.read_menu(location_id, Trace(Deadline(settings.reading_deadline))))
        problems = menus.check(found)
        for problem in problems:
            click.echo(problem)
        for thing in found.left_out:
            click.echo(f"left out: {thing}")
        if problems:
            raise click.ClickException(f"{len(problems)} problem(s)")
        click.echo(f"the menu is sound: {sum(len(category.items) for category in found.categories)} items")

    return group


def _ledger(settings: Settings) -> AppGroup:
    group = AppGroup("ledger", help="The ledger's database.")

    @group.command("upgrade")
    @click.option("--new", is_flag=True, help="Begin an empty ledger where one was known that is gone.")
    def bring_up(new: bool) -> None:
        """Bring the database to the schema of this release."""
        found = _shown(lambda: upgrade_ledger(settings.ledger.reveal(), new=new))
        click.echo(f"the ledger is at schema {REVISIONS[-1]} (found: {found or 'none'})")

    @group.command("backup")
    @click.argument("copy", type=click.Path(dir_okay=False, path_type=Path))
    def take(copy: Path) -> None:
        """Copy an SQLite ledger to the new file COPY; safe beside live traffic."""
        try:
            size = _shown(lambda: back_up(_file(settings), copy))
        except OSError as error:
            raise click.ClickException(f"{copy} cannot be written: {error.strerror}") from None
        click.echo(f"{copy}: {size} bytes")

    @group.command("restore")
    @click.argument("copy", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--yes", is_flag=True, help="Do not ask for a confirmation.")
    def restore(copy: Path, yes: bool) -> None:
        """Put the ledger back to what it was in COPY.

        Orders placed since are not known to it: identical submissions would be placed once more.
        """
        file = _file(settings)
        if not yes:
            click.confirm(f"Replace all that {file} holds by {copy}?", abort=True, err=True)
        _shown(lambda: put_back(copy, file))
        _shown(lambda: upgrade_ledger(settings.ledger.reveal()))
        click.echo("restored; ask the providers about the orders placed since the copy was taken")

    @group.command("purge")
    def purge() -> None:
        """Delete settled submissions past their retention; suited to a scheduler."""
        click.echo(f"{_shown(open_ledger(settings.ledger.reveal()).purge)} submission(s) deleted")

    return group


def _submissions(settings: Settings, service: Service) -> AppGroup:
    group = AppGroup("submissions", help="Submissions and what became of them (SUB-5).")
    submissions = service.submissions

    @group.command("list")
    @click.option("--state", type=click.Choice(get_args(State)), help="Only those in this state.")
    @click.option("--account", help="Only those of this account.")
    @click.option("--number", help="An order id, a provider's order id, a request id or a submission's id.")
    @click.option("--charge-mismatch", is_flag=True, help="Only those charged otherwise than asked (PAY-4).")
    @click.option("--findings", is_flag=True, help="Only those that a person has to look at (SUB-12).")
    @click.option("--limit", default=50, show_default=True)
    def list_found(
        state: str | None, account: str | None, number: str | None, charge_mismatch: bool, findings: bool, limit: int
    ) -> None:
        """List submissions, newest first; without options those that are not settled."""
        if state or account or number or charge_mismatch or findings:
            found = _shown(
                lambda: submissions.ledger.find(
                    state=state,  # type: ignore[arg-type]
                    account=account,
                    number=number,
                    charge_mismatch=charge_mismatch,
                    findings=findings,
                    limit=limit,
                )
            )
        else:
            found = _shown(lambda: submissions.ledger.open_submissions(limit=limit))
        for submission in found:
            click.echo(_line(submission))
        click.echo(f"{len(found)} submission(s)", err=True)

    @group.command("show")
    @click.argument("submission_id")
    def show(submission_id: str) -> None:
        """Show all that is recorded of SUBMISSION_ID; no customer data is."""
        submission = _shown(lambda: submissions.ledger.show(submission_id))
        if submission is None:
            raise click.ClickException("there is no such submission")
        for name in _SHOWN:
            click.echo(f"{name + ':':20} {getattr(submission, name)}")

    @group.command("reconcile")
    @click.option("--limit", default=1000, show_default=True)
    @click.option("--seconds", default=240.0, show_default=True, help="No submission is begun after so long.")
    def reconcile(limit: int, seconds: float) -> None:
        """Ask the providers about every unknown submission, and once more about those that were ruled out.

        Accounts take turns; one whose provider does not answer is left for the next run. Safe beside live traffic and
        at any time; suited to a scheduler, each minute. Exit status 1: some are still open, or a person has to look
        at some.
        """
        found = _shown(lambda: submissions.ledger.open_submissions(limit=_MOST_OPEN))
        # Charges are the affair of `checkout reconcile`.
        unknown = [each for each in found if each.state == "unknown" and each.account != LEDGER_ACCOUNT]
        everything, run = len(unknown), Run(seconds)
        gone = [each for each in unknown if each.account not in settings.accounts]
        unknown = in_turns((each for each in unknown if each.account in settings.accounts), limit)
        for line in of_gone_accounts(gone):
            click.echo(line, err=True)
        due = _shown(lambda: submissions.ledger.due_again(besides=LEDGER_ACCOUNT, limit=limit))
        again = [each for each in due if _is_asked(each, settings)]
        for each in due:
            if each not in again:
                submissions.ledger.looked_again(each)
        left = everything - len(unknown)
        findings = 0
        for position, submission in enumerate(run.due(unknown + again), start=1):
            trace, began = Trace(Deadline(settings.submission_deadline)), time.monotonic()
            try:
                if submission.state == "unknown":
                    settlement = service.reconcile(submission, trace)
                    outcome = f"placed, order {settlement.placed.order_id}" if settlement else "not placed"
                    if settlement is None and submission.card and not _fences(submission, settings):
                        findings += 1
                        outcome += f"; card_may_be_charged: {REMEDIES['card_may_be_charged']}"
                else:
                    finding = service.look_again(submission, trace)
                    findings += finding is not None
                    outcome = f"{finding}: {REMEDIES[finding]}" if finding else "still not placed"
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

    @group.command("settle")
    @click.argument("submission_id")
    @click.option("--placed", metavar="NUMBER", help="The restaurant has the order, under this number.")
    @click.option("--not-placed", is_flag=True, help="The restaurant has no such order, and will not make one.")
    @click.option("--by", default=_this_user, help="Who says so; by default the user of the system.")
    @click.option("--yes", is_flag=True, help="Do not ask for a confirmation.")
    def settle(submission_id: str, placed: str | None, not_placed: bool, by: str, yes: bool) -> None:
        """Settle the unknown SUBMISSION_ID by what the restaurant said.

        For what no command can find out, such as the orders of an account that is gone. The channel gets this answer
        from then on; after --not-placed it may send the order again.
        """
        if (placed is not None) == not_placed:
            raise click.UsageError("give one of --placed NUMBER and --not-placed")
        submission = _shown(lambda: submissions.ledger.show(submission_id))
        if submission is None:
            raise click.ClickException("there is no such submission")
        if submission.state != "unknown" or submission.account == LEDGER_ACCOUNT:
            raise click.ClickException(f"it is {submission.state}: only an unknown order is settled by hand")
        click.echo(_line(submission), err=True)
        said = f"placed under the number {placed}" if placed else "not placed; the same order may be sent again"
        if not yes:
            click.confirm(f"Record that it was {said}?", abort=True, err=True)
        _shown(lambda: submissions.settle(submission, placed, clean(by)[:100]))
        click.echo(f"{submission.id}: {said}")

    return group


def _sandbox(settings: Settings) -> click.Command:
    @click.command("sandbox")
    @click.option("--port", default=9000, show_default=True, help="Port on 127.0.0.1; 0 takes a free one.")
    def serve(port: int) -> None:
        """Serve the embedded ordering engine over HTTP."""
        from levelup_ov.standins.sandbox import create_sandbox  # never loaded by a production process

        server = make_server("127.0.0.1", port, create_sandbox(settings.data_dir / "sandbox.db"), threaded=True)
        click.echo(f"sandbox at http://127.0.0.1:{server.server_port}")
        server.serve_forever()

    return serve


def _levelup(settings: Settings) -> click.Command:
    @click.command("levelup")
    @click.option("--port", default=9100, show_default=True, help="Port on 127.0.0.1; 0 takes a free one.")
    @click.option("--redirect-uri", "redirect_uris", multiple=True, help="Of the sample shop's app; may be repeated.")
    @click.option("--callback-url", help="Where that app is told of answered permissions requests.")
    @click.option("--shop-service", help="Base URL of this service, for the sample shop under /shop.")
    def serve(port: int, redirect_uris: tuple[str, ...], callback_url: str | None, shop_service: str | None) -> None:
        """Serve the stand-in for LevelUp: its API, its pages and test users."""
        from levelup_ov.standins.levelup import REDIRECT_URIS, create_levelup, levelup_server
        from levelup_ov.standins.shop import over_http

        levelup = create_levelup(
            settings.data_dir / "levelup.db",
            redirect_uris=redirect_uris or REDIRECT_URIS,
            callback_url=callback_url,
            shop_service=over_http(shop_service, settings.api_keys[0]) if shop_service else None,
        )
        server = levelup_server(levelup, port)
        click.echo(f"LevelUp stand-in at http://127.0.0.1:{server.server_port}")
        server.serve_forever()

    return serve


def _file(settings: Settings) -> Path:
    if (path := ledger_file(settings.ledger.reveal())) is None:
        raise click.ClickException("the ledger is in PostgreSQL: use pg_dump and pg_restore, or the provider's backups")
    return path


def _is_asked(submission: Submission, settings: Settings) -> bool:
    """Whether its provider can be asked about it without the submission itself."""
    adapter = settings.accounts.get(submission.account)
    return adapter is not None and adapter.recovery == "look_up"


def _fences(submission: Submission, settings: Settings) -> bool:
    adapter = settings.accounts.get(submission.account)
    return adapter is not None and adapter.fences


_MOST_OPEN = 20_000
_SHOWN = (
    "id", "reference", "generation", "previous", "account", "location", "state", "ended", "finding", "look_again_at",
    "owner", "request_id", "claimed_at", "sending_at", "settled_at", "settled_by",
    "lease_until", "order_id", "provider_order_id", "expected_charge", "charged", "charge_mismatch", "trace",
)  # fmt: skip


def _this_user() -> str:
    return os.environ.get("USER") or f"user {os.getuid()}"


def _line(submission: Submission) -> str:
    order = "" if submission.order_id is None else f" order={submission.order_id}"
    claimed = submission.claimed_at.isoformat(timespec="seconds")
    return f"{claimed} {submission.id} {submission.location} {submission.state}{order} request={submission.request_id}"


def _shown(call: Callable[[], T]) -> T:
    """The result of ``call``; a failure is shown as the command's error."""
    try:
        return call()
    except Failure as failure:
        raise click.ClickException(f"{failure.code}: {failure.message}") from None
