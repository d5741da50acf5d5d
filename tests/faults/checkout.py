"""``python -m tests.faults.checkout N SEED``: charge and submit while all fails.

N orders go to ``POST /checkout/orders`` of a real service: LevelUp's stand-in behind one network that misbehaves, a
provider behind another, workers killed and frozen, the service reloaded, names slow. At the end all is well again,
and LevelUp, the provider and the answers to the site must agree: who pays has a meal, who has none has paid nothing.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

from levelup_ov.checkout.connections import Tokens
from levelup_ov.checkout.store import CheckoutStore, Connected
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import KINDS
from levelup_ov.ledger.ledger import open_ledger
from levelup_ov.standins.levelup import create_levelup, levelup_server
from levelup_ov.standins.levelup.access import new_token
from levelup_ov.standins.levelup.cards import made_card
from levelup_ov.standins.levelup.world import GOOD_CARD, SHOP_APP
from tests.faults import cancellations, events, mutants
from tests.faults.cancellations import Cancellation
from tests.faults.network import Chance
from tests.faults.processes import line, process, say
from tests.faults.providers import PROVIDERS, Provider
from tests.faults.proxy import NONE, Call, Proxy
from tests.faults.stack import ROOT, SECRET_KEY, Answer, Stack, environment
from tests.faults.trouble import Trouble

DEADLINE, GRACE = 14.0, 2.0
"""Seconds. Charging may take 0.4 of the first, and 4 are kept back for a refund."""
CLIENTS = 16
PERMISSIONS = ("create_orders", "read_user_basic_info", "read_user_orders")
OF_PROVIDERS = frozenset({"201, not kept", "2xx without proof", "nothing, late"})
"""Faults in a provider's own form."""
LEVELUP = ("propose", "charge", "refund", "history", "charge read")
"""The kinds of calls to LevelUp."""


@dataclass
class Story:
    """An order: its number makes its marker, its key and its amount its own. ``answers``: code and body."""

    number: int
    is_refused: bool
    is_hasty: bool
    user: str
    answers: list[tuple[str, Any]] = field(default_factory=list)
    canceling: Cancellation | None = None

    @property
    def marker(self) -> str:
        return f"+1617{5_550_000 + self.number:07d}"

    @property
    def tip(self) -> int:
        """Where tips are taken, no two amounts are the same, so that another's answer is seen by it."""
        return 1 + self.number


@dataclass
class Report:
    """The outcome; sound if there are no ``violations``."""

    calls: Counter[str]
    trouble: Counter[str]
    answers: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0
    events: dict[str, int] = field(default_factory=dict)

    def table(self) -> str:
        rows = [*sorted(self.calls.items()), *sorted(self.trouble.items())]
        text = [f"{name:>34}  {count}" for name, count in rows]
        for head, counted in (("answers", self.answers), ("in the end", self.outcomes)):
            text.append(f"{head}: " + ", ".join(f"{name} {count}" for name, count in counted.most_common()))
        if self.events:
            text.append(f"events: {', '.join(f'{name} {count}' for name, count in self.events.items())}")
        text += [f"VIOLATION: {each}" for each in self.violations[:50]]
        return "\n".join([*text, f"{len(self.violations)} violation(s) in {self.seconds:.0f} s"])


def run(
    directory: Path,
    *,
    orders: int,
    seed: str,
    provider: str = "sandbox",
    reports: bool = False,
    mutant: str = "",
    looks_again: bool = False,
    clients: int = CLIENTS,
) -> Report:
    """Run a campaign over SQLite. ``reports``: also cancel orders, watch statuses and report the changes.

    ``mutant``: a service that breaks a rule, one of :mod:`tests.faults.mutants`. ``looks_again``: at the end, wait a
    minute for the first look after charges that were ruled out, as a scheduler would. ``clients`` order at the same
    time, and the service has as many threads.
    """
    app = "tests.faults.mutants:app" if mutant else "wsgi:app"
    started = time.monotonic()
    url = f"sqlite:///{directory}/ledger.db"
    slow = directory / "slow-name"
    with ExitStack() as cleanup:
        kitchen = cleanup.enter_context(PROVIDERS[provider](directory))
        network = cleanup.enter_context(process("tests.faults.network", str(kitchen.port), "1", seed))
        (port,) = json.loads(line(network))
        levelup = cleanup.enter_context(_platform(directory))
        chance = _Chance(seed)
        chance.are_alike = not kitchen.tips
        proxy = cleanup.enter_context(Proxy(levelup.port, chance, seed=seed))
        variables = {
            "LEVELUP_OV_THREADS": str(clients),
            "LEVELUP_OV_ACCOUNT_SHARE": "60",
            "PYTHONPATH": f"{ROOT / 'tests' / 'faults' / 'slow_names'}:{ROOT}",
            "FAULTS_SLOW_NAME": str(slow),
            "LEVELUP_OV_CHECKOUT_URL": f"http://localhost:{proxy.ports[0]}",
            "LEVELUP_OV_CHECKOUT_API_KEY": SHOP_APP.api_key,
            "LEVELUP_OV_CHECKOUT_CLIENT_SECRET": SHOP_APP.client_secret,
            "LEVELUP_OV_CHECKOUT_RETURN_URL": "http://127.0.0.1:9",
            **kitchen.variables,
            **({mutants.MUTATION: mutant} if mutant else {}),
        }
        receiver = cleanup.enter_context(events.Receiver(seed)) if reports else None
        variables.update(receiver.variables if receiver else {})
        known = environment(
            directory, {"north": f"http://localhost:{port}"}, url, deadline=DEADLINE, grace=GRACE, more=variables,
            provider=provider, account=kitchen.account,
        )  # fmt: skip
        users = levelup.connect(url, 1 + orders // 20)
        stack = cleanup.enter_context(Stack(directory, known, app=app))
        trouble = Trouble(
            stack, network, {port: "north"}, random.Random(f"{seed}/trouble"), deadline=DEADLINE, grace=GRACE,
            provider=kitchen.pid, slow=slow,
        )  # fmt: skip
        cleanup.enter_context(trouble)
        dice = random.Random(f"{seed}/orders")
        stories = [
            Story(number, dice.random() < 0.2, dice.random() < 0.1, dice.choice(users)) for number in range(orders)
        ]

        def order(story: Story, *, last: bool = False) -> None:
            _order(stack, story, kitchen, seed, last=last)
            if reports:
                _cancel(stack, story, seed)

        with ThreadPoolExecutor(clients) as crowd, events.watching(known, app) if reports else nullcontext():
            list(crowd.map(order, stories))
        trouble.end()
        say(network, "calm")
        chance.calm = True
        left = _reconcile(known)
        if looks_again and (wait := _until_looked_again(directory)) > 0:
            time.sleep(wait)
            left = _reconcile(known)
        abandoned = _abandoned(stories)
        with ThreadPoolExecutor(clients) as crowd:
            # A site that does not know yet asks once more.
            list(crowd.map(partial(order, last=True), stories))
        if _abandoned(stories) != abandoned:
            # Some gave up once more, and a scheduler finishes what they asked for.
            left = _reconcile(known)
        report = Report(Counter(name for _, name in proxy.calls if name != NONE), trouble.counts)
        _books(report, stories, kitchen, levelup, left, _operators_charges(directory))
        if receiver is not None:
            problems, report.events = events.books(known, app, receiver, ())
            report.violations += problems
        report.seconds = time.monotonic() - started
    return report


class _Chance(Chance):
    """The faults of calls to LevelUp; ``are_alike``: all orders have the same amounts."""

    are_alike = False

    def __call__(self, call: Call) -> str:
        name = super().__call__(call)
        # That nobody mixes up two orders of which neither is known yet is what has to be relied on.
        kinds = ("history", "propose", "charge") if self.are_alike else ("history", "propose")
        mixed = name == "another guest's" and call.kind in kinds
        return NONE if name in OF_PROVIDERS or mixed or call.kind not in LEVELUP else name


class _Platform:
    """LevelUp's stand-in, listening. ``port``: where."""

    def __init__(self, directory: Path) -> None:
        self.app = create_levelup(directory / "levelup.db")
        self.store = self.app.extensions["levelup"].store
        logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
        self.server = levelup_server(self.app, 0)
        self.port = self.server.server_port

    def connect(self, ledger_url: str, count: int) -> list[str]:
        """A merchant, and so many users, with their connections at the service: ids of the latter."""
        now = datetime.now(timezone.utc)
        with closing(open_ledger(ledger_url)) as ledger:
            store = CheckoutStore(ledger.database)
            tokens = Tokens(store, [Secret(SECRET_KEY)])

            def connect(id: str, permissions: tuple[str, ...], levelup_id: int, **whose: int) -> str:
                with self.store.writing() as transaction:
                    token = Secret(new_token(transaction, now, SHOP_APP.id, frozenset(permissions), **whose))
                kind = "merchant" if id.startswith("mer_") else "user"
                store.add_connection(
                    Connected(id, kind, "connected", " ".join(permissions), 1, tokens.seal(token, id), levelup_id)
                )
                return id

            connect("mer_1", ("manage_merchant_orders",), 1, user_id=1, merchant_id=1)
            users = []
            for number in range(count):
                with self.store.writing() as transaction:
                    user = transaction.add_user(f"diner{number}@example.com", "Robin", str(number), now)
                    assert user is not None
                    transaction.add_card(user, made_card(GOOD_CARD, 12, 2099))
                permissions = PERMISSIONS if number % 2 else PERMISSIONS[:2]
                users.append(connect(f"usr_{number}", permissions, user, user_id=user))
        return users

    def refunded(self) -> Mapping[str, bool]:
        """Whether each charge was given back, by LevelUp's UUID."""
        with self.store.reading() as transaction:
            return {order.uuid: bool(order.refunded_at) for order in transaction.newest_orders(10**6)}

    def unrefunded(self, besides: set[str]) -> Mapping[str, list[int]]:
        """Cents of each charge that is not refunded, by the number of its order; ``besides``: UUIDs left out."""
        found: defaultdict[str, list[int]] = defaultdict(list)
        with self.store.reading() as transaction:
            for order in transaction.newest_orders(10**6):
                if not order.refunded_at and order.uuid not in besides:
                    total = order.payment.spend + order.payment.tip
                    found[order.draft.identifier_from_merchant or ""].append(total)
        return found


@contextmanager
def _platform(directory: Path) -> Iterator[_Platform]:
    made = _Platform(directory)
    thread = threading.Thread(target=made.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.server.shutdown()
        thread.join()
        made.server.server_close()
        made.store.close()


def _order(stack: Stack, story: Story, kitchen: Provider, seed: str, *, last: bool = False) -> None:
    """Send an order until an answer is final, or patience ends."""
    if last and story.answers and not _is_open(story.answers[-1][0]):
        return
    dice = random.Random(f"{seed}/{story.number}/{last}")
    item = kitchen.refused if story.is_refused else kitchen.item
    user = {"name": kitchen.guest(story.marker), "phone": story.marker, "email": f"robin{story.number}@example.com"}
    place = next(iter(kitchen.places))
    body = {
        "order": {
            "merchant": "mer_1", "user": story.user, "location_id": 11, "identifier": f"n{story.number}",
            "outstanding_amount": 1070, "tax_amount": 70, "tip_amount": story.tip if kitchen.tips else 0,
            "discount_amount": 0,
            "items": [{"item": {"name": "Lunch", "quantity": 1, "charged_price_amount": 1000}}],
        },
        "provider_location_id": f"north.{place}",
        "order_submission": {"user": user, "items": [{"item": {"provider_id": item, "quantity": 1}}]},
    }  # fmt: skip
    until = time.monotonic() + 30
    while True:
        timeout = dice.uniform(0.1, 1.0) if story.is_hasty and not last and dice.random() < 0.5 else 40.0
        answer = stack.post("/checkout/orders", body, Idempotency_Key=f"k{story.number}", timeout=timeout)
        code = _code(answer)
        story.answers.append((code, answer.body))
        if not _is_open(code) or time.monotonic() > until:
            return
        time.sleep(dice.uniform(0.2, 1.5))


def _cancel(stack: Stack, story: Story, seed: str) -> None:
    """Cancel some of the orders that were submitted, or go on with that."""
    code, body = story.answers[-1]
    if not code and cancellations.chosen(story.number, seed):
        this = story.canceling = story.canceling or Cancellation(story.number, body["order"]["uuid"])
        if not this.answers or _is_open(this.answers[-1]):
            cancellations.cancel(stack, this, _code, _is_open, seed)


def _abandoned(stories: Iterable[Story]) -> int:
    """How many cancellations no site asks for any more, although their outcome is open."""
    return sum(story.canceling is not None and story.canceling.is_abandoned for story in stories)


def _code(answer: Answer) -> str:
    if answer.status is None:
        return "connection broken"
    return "" if answer.status == 200 else str((answer.body or {}).get("error", {}).get("code"))


def _is_open(code: str) -> bool:
    return code == "connection broken" or (code in KINDS and KINDS[code].retryable)


def _reconcile(settings: Mapping[str, str]) -> str:
    """What a scheduler does, until nothing is left; what is, after a while."""
    known = {"PATH": os.environ.get("PATH", ""), **settings}
    until, quiet = time.monotonic() + 120, 0
    said = ""
    while quiet < 2 and time.monotonic() < until:
        time.sleep(GRACE)
        done = subprocess.run(
            [sys.executable, "-m", "flask", "--app", "wsgi", "checkout", "reconcile"],
            cwd=ROOT, env=known, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        said = done.stdout + done.stderr
        # What is within its lease is left alone and not counted: it has to be quiet for longer than that.
        quiet = quiet + 1 if done.returncode == 0 and "0 finished, 0 still" in said else 0
        if quiet == 1:
            time.sleep(DEADLINE + GRACE)
    return "" if quiet else said


def _until_looked_again(directory: Path) -> float:
    """Seconds until all charges that were ruled out have been looked for once more."""
    with closing(sqlite3.connect(directory / "ledger.db")) as ledger:
        query = "SELECT max(look_at) FROM checkout_orders WHERE state = 'not_charged' AND looks = 0"
        (last,) = ledger.execute(query).fetchone()
    return 0 if last is None else last / 1000 - time.time() + 1


def _operators_charges(directory: Path) -> set[str]:
    """UUIDs of charges that were found after they were ruled out, and that a person was asked to settle."""
    with closing(sqlite3.connect(directory / "ledger.db")) as ledger:
        cases = ledger.execute("SELECT operator_case FROM checkout_orders WHERE operator_case IS NOT NULL").fetchall()
    return {uuid for (case,) in cases for uuid in json.loads(case).get("found", ())}


def _books(
    report: Report, stories: list[Story], kitchen: Provider, levelup: _Platform, left: str, operators: set[str]
) -> None:
    complain = report.violations.append
    if left and not operators:
        complain(f"not reconciled: {left[-500:]}")
    unrefunded = levelup.unrefunded(operators)
    report.outcomes["charge with the operator"] = len(operators)
    cooked = kitchen.orders()
    meals: Counter[str] = Counter(order.marker for order in cooked if not order.is_canceled)
    eaten_of = {story.number: meals[story.marker] for story in stories}
    canceling = [story.canceling for story in stories if story.canceling]
    report.violations += cancellations.books(canceling, levelup.refunded(), eaten_of, _is_open)
    report.answers.update("canceled" for each in canceling if each.is_done)
    report.answers.update("cancellation abandoned" for each in canceling if each.is_abandoned)
    for marker, number in Counter(order.marker for order in cooked).items():
        if number > 1:
            complain(f"{number} meals for {marker}")
    for story in stories:
        paid, eaten = unrefunded[f"n{story.number}"], meals[story.marker]
        last, body = story.answers[-1]
        history = f"{story.number}: " + " > ".join(code or "submitted" for code, _ in story.answers)
        report.answers.update(code or "submitted" for code, _ in story.answers)
        report.outcomes["paid and eaten" if paid and eaten else "neither" if not paid and not eaten else "WRONG"] += 1
        if len(paid) != eaten or eaten > 1:
            complain(f"{eaten} meals, {paid} cents: {history}")
        if not last and not story.canceling and (body["order"]["state"], len(paid)) != ("submitted", 1):
            complain(f"answered {body['order']['state']}, {paid} cents: {history}")
        if not last and paid and body["order"]["total_amount"] != paid[0]:
            complain(f"answered {body['order']['total_amount']} of {paid[0]} cents: {history}")
        if last and not _is_open(last) and (paid or eaten):
            complain(f"answered {last}, {paid} cents, {eaten} meals: {history}")
    if not report.outcomes["paid and eaten"]:
        complain("no meal was ever placed, so nothing was tried")
        if _is_open(last):
            complain(f"no final answer: {history}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.checkout")
    parser.add_argument("orders", type=int)
    parser.add_argument("seed")
    parser.add_argument("--provider", choices=list(PROVIDERS), default="sandbox")
    parser.add_argument("--events", action="store_true", help="cancel orders too, and report the changes; the sandbox")
    parser.add_argument("--mutant", default="", choices=["", *mutants.PATCHES], help="a service that breaks a rule")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="how many order at the same time")
    given = parser.parse_args()
    if given.events and given.provider != "sandbox":
        parser.error("only the sandbox says what became of canceled orders")
    with tempfile.TemporaryDirectory(prefix="faults-") as directory:
        report = run(
            Path(directory),
            orders=given.orders,
            seed=given.seed,
            provider=given.provider,
            reports=given.events,
            mutant=given.mutant,
            looks_again=True,
            clients=given.clients,
        )
    print(report.table())
    return 1 if report.violations else 0


if __name__ == "__main__":
    sys.exit(main())
