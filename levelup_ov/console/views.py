"""The console's pages. Each request has a place among a few, and a page that finds none says so (503)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, get_args

from flask import Blueprint, Response, abort, g, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from levelup_ov.blueprints.status import SharedCheck
from levelup_ov.checkout import Checkout
from levelup_ov.checkout.browsing import OrdersBrowser
from levelup_ov.config import Settings
from levelup_ov.console import needs, numbers, timeline
from levelup_ov.console.checkout_pages import add_checkout
from levelup_ov.console.gate import guard
from levelup_ov.console.parameters import PAGE, PATIENCE, id_of
from levelup_ov.domain.checkout import LEDGER_ACCOUNT
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.submission import State
from levelup_ov.ledger import limits
from levelup_ov.ledger.browsing import Browser, ReadingDatabase
from levelup_ov.ledger.operator_actions import FormUsed, OperatorActions
from levelup_ov.ledger.records import Submission
from levelup_ov.ledger.searches import Search
from levelup_ov.metrics import Metrics
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.service import Service
from levelup_ov.transport.deadline import Deadline

MOST_NAMED = 20
"""Findings and cases that are named on the first page."""

log = logging.getLogger(__name__)

_STATES = get_args(State)


@dataclass(frozen=True, slots=True)
class Console:
    """What the pages are made of."""

    settings: Settings
    service: Service
    metrics: Metrics
    browser: Browser
    orders: OrdersBrowser
    actions: OperatorActions
    ledger: SharedCheck


def blueprint(
    settings: Settings,
    service: Service,
    reading: ReadingDatabase,
    metrics: Metrics,
    ledger: SharedCheck,
    checkout: Checkout | None,
) -> Blueprint:
    """The console's pages, under ``/console``; ``reading`` is the ledger's database."""
    its_ledger = service.submissions.ledger
    console = Console(
        settings,
        service,
        metrics,
        Browser(reading, its_ledger),
        OrdersBrowser(reading),
        OperatorActions(its_ledger),
        ledger,
    )
    pages = Blueprint(
        "console", __name__, url_prefix="/console", static_folder="static", static_url_path="/static",
        template_folder="templates",
    )  # fmt: skip
    guard(pages, settings)

    @pages.context_processor
    def advices() -> dict[str, Any]:
        return {"advices": needs.ADVICE}

    _add_overview(pages, console)
    _add_submissions(pages, console)
    if checkout is not None:
        add_checkout(pages, settings, console.orders, checkout.orders, its_ledger)
    return pages


def _add_overview(pages: Blueprint, console: Console) -> None:
    settings, browser = console.settings, console.browser

    @pages.get("/")
    @pages.get("")
    def overview() -> str:
        now = datetime.now(timezone.utc)
        ledger = console.ledger.result()
        hour = console.metrics.last_hour()
        found: list[needs.Need] = []
        backlog: Any = None
        if ledger.error is not None:
            found.append(needs.Need("ledger", ledger.details))
        else:
            found += needs.of_outbox(ledger.value[1])
        try:
            backlog = browser.backlog()
            findings, _ = browser.page(Search(findings=True, since=now - needs.FINDINGS), MOST_NAMED)
            found += needs.of_ledger(backlog, browser.overdue(needs.LATE), findings)
            found += needs.of_checkout(console.orders.cases(MOST_NAMED))
        except Failure as failure:
            if ledger.error is None:
                found.append(needs.Need("ledger", failure.message))
        found += needs.of_metrics(hour)
        groups: dict[str, list[needs.Need]] = {kind: [] for kind in needs.ADVICE}
        for need in found:
            groups[need.kind].append(need)
        return render_template(
            "console/overview.html",
            groups=[(needs.ADVICE[kind], listed) for kind, listed in groups.items() if listed],
            backlog=backlog,
            workers=round(hour.in_use.get(("levelup_ov_workers",), 1)),
            accounts=[(name, numbers.of_account(name, hour)) for name in settings.accounts],
            minutes=round(hour.seconds / 60),
            in_words=needs.in_words,
        )

    @pages.get("/accounts")
    def accounts() -> str:
        hour = console.metrics.last_hour()
        workers = max(round(hour.in_use.get(("levelup_ov_workers",), 1)), 1)
        rows = [(name, numbers.of_account(name, hour)) for name in settings.accounts]
        return render_template(
            "console/accounts.html",
            rows=rows,
            adapters=settings.accounts.items(),
            workers=workers,
            share=settings.account_threads * workers,
            minutes=round(hour.seconds / 60),
        )


def _add_submissions(pages: Blueprint, console: Console) -> None:
    browser, service = console.browser, console.service

    @pages.get("/submissions")
    def submissions() -> AnyResponse | str:
        # PostgreSQL's texts have no NUL.
        given = {name: value.replace("\0", "").strip() for name, value in request.args.items()}
        given = {name: value for name, value in given.items() if value}
        try:
            search = _search(given)
        except ValueError as error:
            return Response(render_template("console/submissions.html", given=given, problem=str(error)), 422)
        number = given.get("number")
        if number is None:
            rows, more = browser.page(search, PAGE)
        else:
            rows, more = browser.named(number, PAGE), False
            if len(rows) == 1:
                return redirect(url_for("console.submission", id=rows[0].id), 303)
        older = {**given, "below": rows[-1].id} if more else None
        newest = {name: value for name, value in given.items() if name != "below"} if "below" in given else None
        return render_template(
            "console/submissions.html", given=given, rows=rows, older=older, newest=newest, states=_STATES,
            accounts=[*console.settings.accounts, *([LEDGER_ACCOUNT] if console.settings.checkout else [])],
        )  # fmt: skip

    @pages.get("/submissions/<id>")
    def submission(id: str) -> str:
        life = id_of(id) and browser.life(id)
        if not life:
            abort(404)
        row = life.submission
        return render_template(
            "console/submission.html", life=life, row=row, obstacle=_obstacle(row, console),
            is_charge=row.account == LEDGER_ACCOUNT and console.settings.checkout is not None,
            steps=timeline.of_submission(life, browser.last_change(row)),
        )  # fmt: skip

    @pages.route("/submissions/<id>/reconcile", methods=["GET", "POST"])
    def reconcile(id: str) -> AnyResponse | str:
        if g.session.name not in console.settings.console_writers:
            abort(403)
        row = service.submissions.ledger.reader.show(id) if id_of(id) else None
        if row is None:
            abort(404)
        obstacle = _obstacle(row, console)
        if request.method == "GET" or obstacle:
            page = render_template("console/reconcile.html", row=row, obstacle=obstacle, seconds=round(PATIENCE))
            return Response(page, 409 if obstacle and request.method == "POST" else 200)
        try:
            console.actions.begin(g.form, id, g.session.name, g.request_id)
        except FormUsed:
            used = "This form was sent before. What it did is in the timeline."
            return Response(render_template("console/reconcile.html", row=row, obstacle=used), 409)
        outcome = _reconcile(row, console)
        console.actions.finish(g.form, outcome)
        facts = {"submission": id, "operator": g.session.name, "outcome": outcome, "request_id": g.request_id}
        log.info("submission_reconciled_in_console", extra=facts)
        return redirect(url_for("console.submission", id=id), 303)


def _reconcile(row: Submission, console: Console) -> str:
    """Ask the provider about an unknown submission; the result in words."""
    deadline = Deadline(PATIENCE)
    try:
        with limits.within(PATIENCE):
            settlement = console.service.look_ups.reconcile(row, RequestContext(deadline, g.request_id))
    except Failure as failure:
        return f"still unknown: {failure.message}"
    return "not placed" if settlement is None else f"placed, order {settlement.placed.order_id}"


def _obstacle(row: Submission, console: Console) -> str:
    """Why a submission cannot be reconciled here; empty if it can."""
    adapter = console.settings.accounts.get(row.account)
    is_over = row.state in ("claimed", "sending") and row.lease_until < row.seen_at
    if row.state != "unknown" and not is_over:
        return f"Its state is {row.state}: there is nothing to reconcile."
    if row.account == LEDGER_ACCOUNT:
        return "It is a charge of web checkout: reconcile its order, or run `levelup-ov checkout reconcile`."
    if adapter is None:
        return f"{row.account} is not in the accounts file: settle it by hand with `levelup-ov submissions settle`."
    if adapter.recovery != "look_up":
        return "Its provider cannot look up orders: send the same submission again to find its outcome."
    return ""


def _search(given: Mapping[str, str]) -> Search:
    """:raises ValueError: something in the form cannot be searched for, in words."""
    state = next((each for each in _STATES if each == given.get("state")), None)
    if "state" in given and state is None:
        raise ValueError("There is no such state.")
    if "below" in given and id_of(given["below"]) is None:
        raise ValueError("This page does not exist. Start with the newest.")
    return Search(
        state, given.get("account"), given.get("location"), _instant(given, "since"), _instant(given, "until"),
        "findings" in given, given.get("below"),
    )  # fmt: skip


def _instant(given: Mapping[str, str], name: str) -> datetime | None:
    """A time of the form, in UTC."""
    try:
        found = datetime.fromisoformat(given[name]) if name in given else None
        return found and (
            found.replace(tzinfo=timezone.utc) if found.tzinfo is None else found.astimezone(timezone.utc)
        )
    except (ValueError, OverflowError):
        raise ValueError(f"Write a time as 2026-11-29T18:30, in UTC, not {given[name]!r}.") from None
