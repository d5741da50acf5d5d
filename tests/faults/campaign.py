"""A campaign: hundreds of submissions through a network that fails, workers that die, reloads; then the books.

What must agree at the end: the engine's own orders, the ledger, and what the clients were answered. Each submission
carries a marker of its own (the customer's phone number), so that a second order is seen under whatever
reference it came; most submissions bring no cart, so that the engine's rule of one order per cart hides none.

All that is chosen is chosen by the seed: each submission, its clients, and the fault of each call by marker,
kind and number. What threads, kills and reloads make of it differs from run to run.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from levelup_ov.ledger.ledger import open_ledger
from levelup_ov.ledger.records import Submission
from tests.faults import agents, engine, events
from tests.faults.channel import CARD, DECLINED_CARD, NOT_CONCLUSIVE, Plan, Story, plan, submit
from tests.faults.network import PLACING, Done
from tests.faults.processes import line, process, say
from tests.faults.providers import PROVIDERS
from tests.faults.proxy import NONE
from tests.faults.stack import ROOT, Stack, environment
from tests.faults.trouble import FROZEN, KILLED, Trouble

ACCOUNTS = ["north", "south", "west"]
"""Accounts of one engine, each behind a port of its own."""
DEADLINE = 3.0
GRACE = 1.5
THREADS = 24
RECONCILING = 120.0
"""Seconds for which an operator tries to reconcile what is open at the end; a loaded machine needs most of them."""
EXPECTED_CODES = frozenset(
    {
        "", "connection broken", "submission_in_progress", "outcome_unknown", "provider_busy", "provider_unavailable",
        "provider_timeout", "rate_limited", "provider_protocol_error", "card_declined", "item_unavailable",
        "customer_refused", "tender_not_accepted", "provider_credentials_refused", "unknown_item", "menu_invalid",
        "ledger_unavailable", "order_refused", "price_changed", "session_changed", "payment_failed", "out_of_stock",
        "totals_changed",
    }
)  # fmt: skip
"""What a client may get here: neither a fault of ours nor a reused key. (Credentials: a 401 cut short.)"""
SLOW_NAMES = ROOT / "tests" / "faults" / "slow_names"

_DELIVERED_TWICE = {f"{kind}: delivered twice" for kind in PLACING}


@dataclass
class Row:
    """A line of the table: what became of the submissions that met a fault."""

    attempts: int = 0
    placed: int = 0
    refused: int = 0
    gave_up: int = 0
    resolved: int = 0
    duplicates: int = 0
    lost: int = 0

    def add(self, other: Row) -> None:
        for column, value in vars(other).items():
            setattr(self, column, getattr(self, column) + value)


@dataclass
class Report:
    """The outcome; sound if there are no ``violations``."""

    rows: dict[str, Row]
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0
    requests: int = 0
    slowest_ms: int = 0
    reconciled: int = 0
    second: int = 0
    lost: int = 0
    anothers: int = 0
    not_held: int = 0
    delivered_twice: int = 0
    """Orders that a provider without reliable keys made of one call that the network delivered twice."""
    codes: Counter[str] = field(default_factory=Counter)
    events: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> Row:
        return self.rows["all"]

    def table(self) -> str:
        heads = ("fault", "attempts", "placed", "refused", "gave up", "unknown, then resolved", "duplicates", "lost")
        rows = [heads, *((name, *map(str, vars(row).values())) for name, row in self.rows.items())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        text = ["  ".join(map(str.rjust, row, widths)) for row in rows]
        codes = ", ".join(f"{code or 'placed'} {count}" for code, count in self.codes.most_common())
        text += [
            "",
            f"{self.requests} requests in {self.seconds:.0f} s; slowest {self.slowest_ms} ms of {DEADLINE * 1000:.0f} "
            f"(while no worker was frozen); open at the end and reconciled: {self.reconciled}",
            f"answers: {codes}",
            f"second orders {self.second}, lost {self.lost}, given another's number {self.anothers}, "
            f"answered placed that the provider does not hold {self.not_held}",
            *[f"made of a call delivered twice {count}" for count in [self.delivered_twice] if count],
            *[
                f"events: {', '.join(f'{name} {count}' for name, count in each.items())}"
                for each in [self.events]
                if each
            ],
            *[f"VIOLATION: {violation}" for violation in self.violations[:50]],
            f"{len(self.violations)} violation(s)",
        ]
        return "\n".join(text)


def run(
    directory: Path,
    ledger: str,
    *,
    submissions: int,
    seed: str,
    app: str = "wsgi:app",
    patience: float = 30.0,
    disturbed: bool = True,
    only: str | None = None,
    more: Mapping[str, str] | None = None,
    provider: str = "sandbox",
    postgres: int | None = None,
    fails_over: bool = False,
    reports: bool = False,
    sessions: bool = False,
    reconciling: float = RECONCILING,
) -> Report:
    """Run a campaign over the ledger at this address.

    ``app``: the application under gunicorn. ``patience``: seconds until a client gives up. ``disturbed``:
    whether processes are killed and frozen, the service is reloaded, names are slow and ports are closed during it.
    ``only``: the one fault that the calls which place an order meet, instead of all faults anywhere. ``more``: further
    variables. ``provider``: one of :data:`~tests.faults.providers.PROVIDERS`. ``postgres``: PostgreSQL's process, to be
    frozen; ``fails_over``: whether a copy that lacks the last second takes over now and then. ``reports``: whether
    statuses are watched, some orders canceled, and all changes reported. ``sessions``: whether agents complete checkout
    sessions instead, and nothing is open any more once each was read. ``reconciling``: the seconds for which an
    operator tries to reconcile what is open at the end.
    """
    started = time.monotonic()
    slow = directory / "slow-name"
    with ExitStack() as cleanup:
        kitchen = cleanup.enter_context(PROVIDERS[provider](directory))
        chosen = [str(kitchen.port), str(len(ACCOUNTS)), seed, *([only] if only else [])]
        network = cleanup.enter_context(process("tests.faults.network", *chosen))
        ports = json.loads(line(network))
        urls = {name: f"http://localhost:{port}" for name, port in zip(ACCOUNTS, ports, strict=True)}
        variables = {
            "LEVELUP_OV_THREADS": str(THREADS),
            "LEVELUP_OV_ACCOUNT_SHARE": "60",
            "PYTHONPATH": f"{SLOW_NAMES}:{ROOT}",
            "FAULTS_SLOW_NAME": str(slow),
            **kitchen.variables,
            **(agents.VARIABLES if sessions else {}),
            **(more or {}),
        }
        receiver = cleanup.enter_context(events.Receiver(seed)) if reports else None
        variables.update(receiver.variables if receiver else {})
        known = environment(
            directory, urls, ledger, deadline=DEADLINE, grace=GRACE, more=variables,
            provider=provider, account=kitchen.account,
        )  # fmt: skip
        stack = cleanup.enter_context(Stack(directory, known, app=app))
        trouble = Trouble(
            stack, network, dict(zip(ports, ACCOUNTS, strict=True)), random.Random(f"{seed}/trouble"),
            deadline=DEADLINE, grace=GRACE, provider=kitchen.pid, slow=slow, ledger=ledger, postgres=postgres,
            fails_over=fails_over,
        )  # fmt: skip
        if disturbed:
            cleanup.enter_context(trouble)
        plans = [plan(seed, number, ACCOUNTS, kitchen, always_named=fails_over) for number in range(submissions)]

        def order(each: Plan) -> Story:
            story = (agents.submit if sessions else submit)(stack, each, patience=patience, seed=seed)
            return events.cancel_some(stack, story, seed) if reports else story

        with ThreadPoolExecutor(kitchen.clients) as clients, events.watching(known, app) if reports else nullcontext():
            stories = list(clients.map(order, plans))
        trouble.end()
        say(network, "calm")
        undecided = list(agents.decide(stack, stories)) if sessions else []
        opened, said = reconcile(known, app, reconciling)
        say(network, "report")
        done: Done = json.loads(line(network))
        rows = _rows(ledger)
        report = _books(stories, kitchen.orders(), rows, done, trouble, remembers=not fails_over, merges=kitchen.merges)
        if any("not reconciled" in each for each in report.violations):
            report.violations.append(f"the last submissions reconcile: {said}")
        report.violations += _leaks(stack.log(), rows, directory)
        report.violations += undecided
        if receiver is not None:
            problems, report.events = events.books(known, app, receiver, stories)
            report.violations += problems
    report.seconds, report.reconciled = time.monotonic() - started, opened
    report.slowest_ms = max(_took(stack, trouble), default=0)
    return report


def _took(stack: Stack, trouble: Trouble) -> Iterator[int]:
    """Milliseconds of each submission during which no worker was frozen."""
    since = time.time() - time.monotonic()
    frozen = [(begin, end) for fault, _, begin, end in trouble.windows if fault == FROZEN]
    for record in stack.records():
        if record.get("operation") in ("submit_order", "food_complete_checkout"):
            ended = datetime.fromisoformat(record["time"]).timestamp() - since
            began = ended - record["milliseconds"] / 1000
            if not any(began < end and begin < ended for begin, end in frozen):
                yield record["milliseconds"]


def reconcile(settings: Mapping[str, str], app: str, seconds: float = RECONCILING) -> tuple[int, str]:
    """What an operator does, until nothing is open.

    Gives how much was open when the clients had gone, and what the last command printed.
    """
    command = [sys.executable, "-m", "flask", "--app", app.partition(":")[0], "submissions", "reconcile"]
    environment = {"PATH": os.environ.get("PATH", ""), **settings}
    until, said = time.monotonic() + seconds, ""
    with closing(open_ledger(settings["DATABASE_URL"])) as ledger:
        opened = len(ledger.reader.open_submissions())
        while ledger.reader.open_submissions() and time.monotonic() < until:
            done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False)
            said = (done.stdout + done.stderr).decode(errors="replace")[-2000:]
    return opened, said


def _books(
    stories: Sequence[Story],
    cooked: Sequence[engine.Cooked],
    rows: Sequence[Submission],
    done: Done,
    trouble: Trouble,
    *,
    remembers: bool,
    merges: bool,
) -> Report:
    """Compare the three accounts of what happened.

    ``remembers``: whether the ledger has kept all that was written. ``merges``: whether the provider makes one order of
    a call that arrives twice.
    """
    report = Report({"all": Row()})
    complain = report.violations.append
    recorded = {row.reference: row for row in rows if row.state == "placed"}
    if not merges:
        cooked, report.delivered_twice = _once(cooked, recorded, done)
    by_marker: defaultdict[str, list[engine.Cooked]] = defaultdict(list)
    for order in cooked:
        by_marker[order.marker].append(order)
    held = {(order.place, order.ticket) for order in cooked}
    for row in rows:
        if row.state not in ("placed", "not_placed"):
            complain(f"not reconciled: {row.id} is {row.state}")
    for reference, count in Counter(order.reference for order in cooked).items():
        if count > 1:
            complain(f"{count} orders under the reference {reference}")
    for reference in recorded.keys() - {order.reference for order in cooked}:
        complain(f"the ledger says placed, the engine has no order: {reference}")
    if done["trapped"]:
        complain(f"{done['trapped']} redirects were followed")

    for name in sorted(done["calls"].keys() - {NONE}):
        report.rows[name] = Row(attempts=done["calls"][name])
    for name in trouble.kinds:
        report.rows[name] = Row(attempts=trouble.counts[name])
    report.rows["all"] = report.rows.pop("all")

    for story in stories:
        found = by_marker[story.plan.marker]
        outcome = Row(duplicates=max(len(found) - 1, 0), resolved=int(story.was_unknown))
        if found:
            outcome.placed = 1
        elif story.final and all(not answer.retryable for answer in story.final):
            outcome.refused = 1
        else:
            outcome.gave_up = 1
        if len(found) > 1:
            report.second += 1
            calls = ", ".join(done["calls_of"].get(story.plan.marker, ()))
            references = ", ".join(f"{order.reference} of {order.place}" for order in found)
            complain(f"{len(found)} orders of {story.plan.marker} ({references}): {_history(story)} [{calls}]")
        for complaint in _contradictions(story, found, recorded, remembers=remembers):
            complain(f"{complaint} [{', '.join(done['calls_of'].get(story.plan.marker, ()))}]")
            outcome.lost += "is lost" in complaint
        reported_wrong = {answer.order_id for answer in story.placed} - {order.ticket for order in found}
        strangers = {ticket for ticket in reported_wrong if (story.plan.place, ticket) in held}
        report.anothers += bool(strangers)
        report.not_held += bool(reported_wrong - strangers)
        report.lost += bool(reported_wrong and not found)
        report.codes.update(answer.code for answer in story.reported)
        report.requests += len(story.reported)
        for name in {"all", *_met(story, done, trouble)}:
            report.rows[name].add(outcome)
    report.total.attempts = sum(row.attempts for row in report.rows.values())
    return report


def _once(
    cooked: Sequence[engine.Cooked], recorded: Mapping[str, Submission], done: Done
) -> tuple[Sequence[engine.Cooked], int]:
    """The orders without those that no caller can prevent, and how many these are.

    Where a provider may forget a key, a placing call that is delivered twice may become two orders of one reference.
    """
    twice = {marker: sum(call in _DELIVERED_TWICE for call in calls) for marker, calls in done["calls_of"].items()}
    kept: list[engine.Cooked] = []
    seen: set[tuple[str, str]] = set()
    # The order that the ledger knows comes first.
    for order in sorted(cooked, key=lambda each: not _known(each, recorded)):
        same = order.marker, order.reference
        if same in seen and twice.get(order.marker, 0) > 0:
            twice[order.marker] -= 1
        else:
            kept.append(order)
        seen.add(same)
    return kept, len(cooked) - len(kept)


def _known(order: engine.Cooked, recorded: Mapping[str, Submission]) -> bool:
    row = recorded.get(order.reference)
    return row is not None and row.order_id == order.ticket


def _contradictions(
    story: Story, found: Sequence[engine.Cooked], recorded: dict[str, Submission], *, remembers: bool
) -> Iterator[str]:
    who, history = story.plan.marker, _history(story)
    numbers = {answer.order_id for answer in story.placed}
    tickets = {order.ticket for order in found}
    if numbers - tickets:
        yield f"answered placed, but the order of {who} is lost: {history}"
    if len(numbers) > 1:
        yield f"got {len(numbers)} orders of {who}: {history}"
    for order in found:
        row = recorded.get(order.reference)
        if row is None and not remembers:
            continue
        if row is None:
            yield f"an order of {who} exists, the ledger does not say placed: {history}"
        elif row.order_id != order.ticket:
            yield f"the ledger has order {row.order_id} of {who}, the engine {order.ticket}"
    # Twins end one by one; the last to end got the last answer.
    conclusive = [answer for answer in story.final if answer.status != 200 and answer.code not in NOT_CONCLUSIVE]
    # A ledger that has gone back forgets what was sent, and a try that then sends nothing says so (docs/promises.rst).
    known = [order for order in found if remembers or order.reference in recorded]
    if known and conclusive and len(conclusive) == len(story.final):
        yield f"answered not placed ({conclusive[-1].code}), but an order of {who} exists: {history}"
    seen_placed = False
    for answer in story.reported:
        seen_placed |= answer.status == 200
        if seen_placed and answer.status != 200 and answer.code not in NOT_CONCLUSIVE and not story.plan.twins:
            yield f"answered {answer.code} after placed, {who}: {history}"
    for answer in story.reported:
        if answer.code not in EXPECTED_CODES:
            yield f"answered {answer.code} ({answer.body}), {who}: {history}"


def _met(story: Story, done: Done, trouble: Trouble) -> set[str]:
    """The faults that a submission met."""
    begin, end = story.span
    met = set(done["met"].get(story.plan.marker, ()))
    met |= {
        fault
        for fault, account, opened, closed in trouble.windows
        if account in ("", story.plan.account) and begin < closed and opened < end
    }
    if any(answer.code == "connection broken" for answer in story.reported) and story.plan.manner not in (
        "hasty",
        "gone",
    ):
        met.add(KILLED)
    return met


def _history(story: Story) -> str:
    plan = story.plan
    answers = " > ".join(f"{answer.code or answer.order_id}" for answer in story.reported)
    return f"[{plan.named}, {plan.manner}{', twins' if plan.twins else ''}, {plan.account}.{plan.place}] {answers}"


def _rows(url: str) -> list[Submission]:
    with closing(open_ledger(url)) as ledger:
        return list(ledger.reader.find(limit=10_000_000))


def _leaks(log: str, rows: Sequence[Submission], directory: Path) -> Iterator[str]:
    """Card numbers in what the service wrote."""
    written = {"the log": log.encode(), "the ledger": repr(rows).encode()}
    written.update((path.name, path.read_bytes()) for path in directory.rglob("ledger.db*"))
    for where, content in written.items():
        for secret in (CARD, DECLINED_CARD):
            if secret.encode() in content:
                yield f"a card number is in {where}"
    if '"internal_error"' in log:
        yield "the service had a fault of its own, see its log"
