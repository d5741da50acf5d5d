"""A world made by a seed: two hosts over one ledger, a provider, a network, guests with a channel, and what goes wrong.

The product's own code runs in it unchanged: service, submissions, ledger (SQLite), transport, adapter. Only
:mod:`levelup_ov.transport.net`, the clocks of the process and the way into the database are replaced, see
:func:`simulated`.
"""

from __future__ import annotations

import json
import logging
import os
import random
import secrets
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, cast
from unittest import mock

from sqlalchemy import event

from adapters.fftp import FftpAdapter
from adapters.sandbox import SandboxAdapter
from levelup_ov.adapter import Account, Adapter
from levelup_ov.config import load_settings
from levelup_ov.domain.checkout import LEDGER_ACCOUNT
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.order import Item, User
from levelup_ov.domain.request import OrderRequest, SubmissionRequest
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import KINDS
from levelup_ov.ledger import limits
from levelup_ov.ledger.boot_clock import Observer
from levelup_ov.ledger.database import PATIENCE, Database
from levelup_ov.ledger.engine import upgrade
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.ledger.statuses import Statuses
from levelup_ov.ordering import locations, service
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.service import Service
from levelup_ov.transport import net, session
from levelup_ov.transport.deadline import Deadline
from tests.simulation import faults
from tests.simulation.kernel import Kernel, Lock, Process, Task
from tests.simulation.network import Connection, Network
from tests.simulation.once import computed_once
from tests.simulation.providers import Answer, Fftp, Provider, Request, Sandbox
from tests.simulation.repeating import RepeatingFftp, ReplayingFftp

HOSTS = ("A", "B")
EPOCH = 1_800_000_000.0
DEADLINE, GRACE = 25.0, 30.0
"""As they are shipped."""
LATEST = DEADLINE + 0.2
"""Seconds after which every submission is answered."""
CLIENTS_END = 400.0
"""Seconds after which no client tries again."""
END = 4000.0
"""Seconds after which what is still unknown is unknown for good."""
LAST_LOOK = 100_000.0
"""Seconds after which nothing that was ruled out is looked up again."""
STEPS = (120.0, 3600.0, 86400.0, 5 * 86400.0)
"""Seconds by which a wall clock is set."""
NOT_CONCLUSIVE = frozenset(
    {"connection broken", "outcome_unknown", "submission_in_progress", "provider_busy", "ledger_unavailable"}
)
"""Answers that say nothing about whether an order exists."""
EXPECTED = NOT_CONCLUSIVE | {
    "provider_unavailable", "provider_timeout", "rate_limited", "provider_protocol_error", "unknown_item",
    "item_unavailable", "provider_credentials_refused", "price_changed", "order_refused", "ready_time_unavailable",
}  # fmt: skip
"""The codes that a guest may get."""

OF_NETWORK = ("now", "sleep", "beside", "resolve", "connect", "is_readable", "limit_sending", "reset")
"""The functions of levelup_ov.transport.net that the network of a world takes the place of."""
_real_time = time.time
_tokens = Random()
"""What the product draws from :mod:`secrets`."""


@dataclass
class Story:
    """One submission: who sends it, by what it is known, and its answers, in order of time."""

    guest: str
    named: str
    request: SubmissionRequest
    key: str | None
    answers: list[tuple[str, Any]] = field(default_factory=list)
    finals: list[str] = field(default_factory=list)
    ended_at: float = 0.0
    """When its last answer came."""
    rekeys: bool = False
    """The channel sends it under a new key after the answer that the outcome is unknown."""
    metadata: Mapping[str, Any] | None = None
    """What its validation gave, once it has."""
    sent: SubmissionRequest | None = None
    """What it sent last."""
    orders_again: bool = False
    """Its guest has it canceled, and orders the same again."""
    called_off: set[str] = field(default_factory=set)
    """The numbers that its guest asked to cancel."""
    was_waiting: bool = False
    """When its final answer said that nothing was placed, an earlier request of its own had not been started."""

    @property
    def keeps_its_name(self) -> bool:
        """Whether it can be sent again however late."""
        return self.named != "nothing" and not (self.key or "").startswith("another")


class Row(NamedTuple):
    """A submission in the ledger."""

    state: str
    provider_order_id: str | None
    reference: str
    generation: int
    ended: str | None
    finding: str | None
    account: str


class _Memory(sqlite3.Connection):
    """The connection of all to the database in memory: of both hosts, since no transaction waits within, and of us."""

    def close(self) -> None:
        """Stay open: a host that closes it is one of several."""


class _SimulatedDatabase(Database):
    """The way into the database, which takes its time and can hang. No trial is about a disk, so none is used."""

    def __init__(self, url: str, memory: _Memory) -> None:
        super().__init__(url, pool_size=2)
        event.listen(self.engine, "do_connect", lambda *_: memory)

    def _check_file(self) -> None:
        pass

    def force(self) -> None:
        pass

    def forget_waiting(self) -> None:
        """Nobody waits for it any more, as in a new process."""
        self._turn = type(self._turn)(1)
        assert self._together is not None
        self._together._leading = type(self._turn)(1)
        self._together._queue.clear()

    def run_durably(self, work: Callable[[Any, bool], Any]) -> Any:
        result = super().run_durably(work)
        if World.current is not None:
            kernel = World.current.kernel
            kernel.point("marked")
            if kernel.current is not None:
                kernel.current.has_marked = kernel.current.is_placing = True
        return result

    def _transact(self, work: Callable[[Any, bool], Any], again: bool, single: bool, reads: bool) -> Any:
        world = World.current
        if world is None or world.kernel.current is None:
            return super()._transact(work, again, single, reads)
        world.before_transaction(self)
        result = super()._transact(work, again, single, reads)
        if isinstance(world.kernel.current, _Call):
            world.kernel.current.has_claimed = True
        world.kernel.point("ledger after")
        return result


class Things:
    """What is made once and used by all worlds: the database, the settings, a TLS context."""

    def __init__(self) -> None:
        shared = Path("/dev/shm")
        self.directory = Path(tempfile.mkdtemp(prefix="simulation-", dir=shared if shared.is_dir() else None))
        url = f"sqlite:///{self.directory}/ledger.db"
        upgrade(url)
        # It keeps all statements that it has prepared.
        self._connection = sqlite3.connect(":memory:", factory=_Memory, cached_statements=1000)
        with closing(sqlite3.connect(self.directory / "ledger.db")) as made:
            made.execute("PRAGMA journal_mode = DELETE")  # memory has no write-ahead log
            made.backup(self._connection)
        self._connection.execute("PRAGMA secure_delete = OFF")
        self.databases = {name: _SimulatedDatabase(url, self._connection) for name in HOSTS}
        self.ledgers = {name: Ledger(self.databases[name]) for name in HOSTS}
        for ledger in self.ledgers.values():
            ledger.reference_key(b"the simulation's references")
            Statuses(ledger)  # draws random bytes, but the first one only
        fftp = FftpAdapter(Account("deli", "fftp", "Deli", {
            "base_url": f"http://{Fftp.host}", "admin_token": Secret("token of the counter"),
        }))  # fmt: skip
        keys = RepeatingFftp(replace(fftp.account, name="keys"))
        again = ReplayingFftp(replace(fftp.account, name="again"))
        box = SandboxAdapter(Account("box", "sandbox", "Box", {
            "base_url": f"http://{Sandbox.host}", "api_key": Secret("sandbox"),
        }))  # fmt: skip
        environment = {"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": str(self.directory)}
        self.settings = replace(
            load_settings(environment),
            accounts={"deli": fftp, "keys": keys, "again": again, "box": box},
            secret_keys=(Secret("c2ltdWxhdGlvbiBzaW11bGF0aW9uIHNpbXVsYXRpb24="),),
            submission_deadline=DEADLINE,
            reconcile_grace=GRACE,
        )
        self._tls = session.tls_context()
        self.entries = {
            name: _entry(adapter, provider)
            for adapter, provider in (
                (fftp, Fftp(merges=True)),
                (keys, Fftp(merges=True)),
                (again, Fftp(merges=True)),
                (box, Sandbox(merges=True)),
            )
            for name in (adapter.account.name,)
        }

    def tls(self) -> Any:
        return self._tls

    def rows(self) -> list[Row]:
        """The submissions in the ledger."""
        columns = "state, provider_order_id, reference, generation, ended, finding, account"
        return [Row(*row) for row in self._connection.execute(f"SELECT {columns} FROM submissions ORDER BY rowid")]

    def next_look(self) -> float | None:
        """When the next submission is to be looked up again, in seconds of the host that ruled it out."""
        [(milliseconds,)] = self._connection.execute(
            "SELECT min(look_again_at) FROM submissions WHERE account != 'again'"
        )
        return milliseconds and milliseconds / 1000

    def references(self, which: str = "") -> set[str]:
        """The references of these rows."""
        return {reference for (reference,) in self._connection.execute(f"SELECT reference FROM submissions {which}")}

    def forget(self, which: str = "") -> None:
        """Have the ledger lose these rows, or all that it holds."""
        self._connection.execute(f"DELETE FROM submissions {which}")
        self._connection.commit()

    def forget_sending(self, reference: str) -> None:
        """Have the ledger lose the attempt that is being sent, as a copy of a moment ago: the one before it is back."""
        this = f"(SELECT id FROM submissions WHERE reference = '{reference}' AND state = 'sending')"
        before = "(SELECT previous FROM submissions WHERE id = identities.submission)"
        run = self._connection.execute
        run(f"UPDATE identities SET submission = {before} WHERE submission IN {this} AND {before} IS NOT NULL")
        self.forget(f"WHERE id IN {this}")

    def forget_mark(self, reference: str) -> None:
        """Have the ledger lose the mark of what is being sent, as a copy of a moment ago, and keep the claim."""
        self._connection.execute(
            "UPDATE submissions SET state = 'claimed', sending_at = NULL, trace = NULL, received_at = NULL"
            f" WHERE reference = '{reference}' AND state = 'sending'"
        )
        self._connection.commit()

    def close(self) -> None:
        for ledger in self.ledgers.values():
            ledger.close()
        sqlite3.Connection.close(self._connection)
        shutil.rmtree(self.directory)


def _entry(adapter: Adapter, provider: Provider) -> Any:
    """A list of locations as the directory keeps it, read when the worlds start."""
    path = "/.well-known/fftp.json" if provider.name == "deli" else "/v1/locations"
    status, body = provider.handle(provider.request(f"GET {path} HTTP/1.1".encode(), b""), 0.0)

    class Answers:
        deadline = Deadline(5.0)

        def get(self, path: str) -> session.Reply:
            return session.Reply(status, {}, json.dumps(body).encode())

    name = adapter.account.name
    directory = locations.Directory({name: adapter}, 300.0)
    with mock.patch.object(time, "monotonic", World.now), mock.patch.object(net, "now", World.now):
        directory.locations(adapter, cast(session.Session, Answers()))
    return directory._entries[name]


class World:
    """One trial, decided by its seed."""

    current: World | None = None
    end = LAST_LOOK

    def __init__(self, seed: str, things: Things, *, talk: bool = False) -> None:
        self.seed = seed
        self.things = things
        self.dice = Random(seed)
        self.kernel = Kernel()
        self.network = Network(self.kernel, Random(f"{seed}/network"))
        self.network.serve = self._serve
        self.lines: list[str] | None = [] if talk else None
        self.processes = {name: Process(name) for name in HOSTS}
        self.channel = Process("channel")
        self.kitchen = Process("provider")
        self.services: dict[str, Service] = {}
        self.transports: list[session.Transport] = []
        self.stories: list[Story] = []
        self.planned: list[tuple[str, str, int]] = []
        """Kind of call, fault, how many calls of the kind are let through before."""
        self.met: list[str] = []
        self.ledger_hangs_until = 0.0
        self.ledger_lost: float | None = None
        """When it lost rows, if it did."""
        self.loses_in_flight = False
        """Whether it loses the row of the call with which the provider freezes."""
        self.lost_in_flight = False
        """Whether a host waited for the answer to that call."""
        self.placing_calls: dict[str | None, float] = {}
        """When the last placing call of a guest came to the provider."""
        self.last_references: dict[str | None, str] = {}
        """The reference that it had."""
        self.kept_from_writing: dict[str | None, float] = {}
        """When a host that was placing an order as rows were lost could not write it again.

        Its ledger hung, or it was frozen or killed.
        """
        self.is_calm = False
        self.frozen_until = 0.0
        """Until when some host was frozen."""
        self.unnamed_freezes = 45.0
        """For how many seconds hosts may still be frozen, if there is an order of no name."""
        self.lost: set[str] = set()
        """The references of the rows that the ledger lost for good."""
        self.frozen_at_send: set[str | None] = set()
        """Whose call a host was about to send when it was frozen, after its mark, at a provider without a fence."""
        self.late_copies: set[str] = set()
        """The references of what came again after it was refused, and that the provider was not made to refuse."""
        self.early_copies: set[str] = set()
        """Those of them that the next try of the guest must find: it began after the provider had taken them."""
        self.freezes_provider: tuple[float, int] | None = None
        """Seconds, and how many placing calls reach it before."""
        self.frozen_provider = 0.0
        self.wakes_at_a_look = False
        """Whether a frozen provider wakes when it is asked for an order."""
        self._sleeping: list[Task] = []
        self.sleeps_through_a_look = False
        """Whether it sleeps until the guest whose order waits was looked for in vain, and is slow to wake."""
        self._frozen_guest: str | None = None
        self._row_to_lose: tuple[str, str | None] | None = None
        """The reference of a row that the ledger loses, or its mark, when the call of this guest comes to it."""
        self.is_replaying = False
        """Whether only who submits an order again finds out what became of it."""
        self.rows: list[Row] = []
        self.late: list[str] = []
        self.stuck: list[str] = []
        self._plan()

    @property
    def freezes_at_send(self) -> bool:
        """Whether a host may freeze between its last look and the system call that sends."""
        return True

    @staticmethod
    def now() -> float:
        return World.current.kernel.now if World.current is not None else 0.0

    # What happens, by the dice.

    def _plan(self) -> None:
        dice = self.dice
        kind = dice.choices(("fftp", "repeating", "keyless", "sandbox"), (2, 1, 4, 3))[0]
        self.keyless = kind == "keyless"
        if kind == "repeating" and Random(f"{self.seed}/replaying").random() < 0.5:
            kind = "replaying"
        self.is_replaying = kind == "replaying"
        self.provider: Provider = Sandbox(merges=True)
        if kind != "sandbox":
            self.provider = Fftp(merges=not self.keyless, refuses_first=kind == "repeating")
        if isinstance(self.provider, Sandbox):
            self.provider.serves_members = dice.random() < 0.3
        self.location = {"sandbox": "box.congress", "repeating": "keys.main", "replaying": "again.main"}.get(
            kind, "deli.main"
        )
        self.is_warm = dice.random() < 0.8
        for number in range(dice.choice((2, 2, 2, 3))):
            self.stories.append(self._story(number))
        self._trouble: list[Callable[[], None]] = []
        for _ in range(dice.choices((1, 2, 3), (5, 3, 2))[0]):
            self._plan_fault()

    def _story(self, number: int) -> Story:
        dice, guest = self.dice, ("Alice", "Bob", "Carol")[number]
        named = dice.choices(("idempotency_key", "order_number", "validation", "nothing"), (2, 2, 2, 1))[0]
        if self.is_replaying and named == "nothing":
            named = "order_number"
        user = User(guest, str(number), phone=f"+1617555010{number}", email=f"{guest.lower()}@example.com")
        quantity = dice.randint(1, 2)
        order = OrderRequest(items=(Item("soup" if dice.random() < 0.97 else "ghost", quantity),), user=user)
        request = SubmissionRequest(order, order_number=f"n-{guest}" if named == "order_number" else None)
        story = Story(user.name, named, request, f"key-{guest}" if named == "idempotency_key" else None)
        story.rekeys = named == "idempotency_key" and dice.random() < 0.15 and not self.is_replaying
        return story

    def _plan_fault(self) -> None:
        dice = self.dice
        what = dice.choices(
            ("placing", "other call", "slow name", "frozen host", "frozen provider", "clock step", "ledger lost",
             "ledger hangs", "killed", "network down", "closed", "unknown and then"),
            (30, 8, 5, 9, 7, 4, 4, 4, 9, 5, 4, 20),
        )[0]  # fmt: skip
        if what == "ledger lost" and (self.keyless or any(story.named == "nothing" for story in self.stories)):
            what = "ledger hangs"  # what no gateway can prevent
        skip = dice.choice((0, 0, 0, 1, 1, 2))
        if what == "placing":
            self._fault("order", skip)
        elif what == "other call":
            kinds = {"deli": ["token", "price", "paid", "show"], "box": ["cart", "refill", "void"]}[self.provider.name]
            if isinstance(self.provider, Sandbox) and self.provider.serves_members:
                kinds += ["account", "session"]
            if not self.is_warm:
                kinds.append("locations")
            self._fault(dice.choice(kinds), skip)
        elif what == "unknown and then":
            # What shows only after an outcome was unknown.
            self.planned.append(("order", dice.choice(("answer lost", "delivered late", "mute", "5xx after forwarding",
                                                       "answered late")), 0))  # fmt: skip
            then = dice.choices(("look-up", "frozen provider", "clock step", "anything"), (45, 20, 15, 20))[0]
            if then == "look-up":
                skip, times = dice.choice((0, 0, 1)), dice.choice((1, 1, 4, 40))
                self._fault("lookup", skip, times, faults.LYING if dice.random() < 0.5 else faults.LOOKING_UP)
            elif then == "frozen provider":
                self._frozen_provider(dice.uniform(5, 60), 0)
            elif then == "clock step":
                self._trouble.append(self._clock_step)
            else:
                self._plan_fault()
        elif what == "frozen provider":
            self._frozen_provider(dice.uniform(20, 130), skip)
        else:
            self._trouble.append({
                "slow name": self._slow_name, "frozen host": self._frozen_host, "clock step": self._clock_step,
                "ledger lost": self._ledger_lost, "ledger hangs": self._ledger_hangs, "killed": self._killed,
                "network down": self._network_down, "closed": self._closed,
            }[what])  # fmt: skip

    def _frozen_provider(self, seconds: float, skip: int) -> None:
        """The provider is frozen, once, as a placing call reaches it."""
        self.freezes_provider = (seconds, skip) if self.freezes_provider is None else self.freezes_provider
        self.wakes_at_a_look = self.dice.random() < 0.4
        self.sleeps_through_a_look = not self.wakes_at_a_look and self.dice.random() < 0.3

    def _fault(self, kind: str, skip: int, times: int = 1, table: Mapping[str, faults.Fault] | None = None) -> None:
        table = table or {"order": faults.PLACING, "lookup": faults.LOOKING_UP}.get(kind, faults.ANYWHERE)
        name = self.dice.choice(list(table))
        if name == "delivered twice" and kind == "order" and self.keyless:
            name = "doubled"  # no caller can prevent that
        if name == "refused, then taken" and (self.is_replaying or not self.freezes_at_send):
            name = "refused late"  # nor that, and nobody can look for it, or its charge has gone back by then
        self.planned += [(kind, name, skip), *[(kind, name, 0)] * (times - 1)]

    def _at_point(self, which: str | None, number: int, act: Callable[[Process], None]) -> None:
        """Have something happen at a point that a host comes to, the number-th of those so named.

        Mostly it does not matter which of the hosts comes there.
        """
        left = number
        hosts = HOSTS if self.dice.random() < 0.7 else (self.dice.choice(HOSTS),)

        def watch(process: Process) -> None:
            before = process.at_point

            def at_point(name: str) -> None:
                nonlocal left
                if before is not None:
                    before(name)
                if which is None or name == which:
                    left -= 1
                    if left == -1 and not process.is_dead:
                        self.say(f"at {name!r} of host {process.name}:")
                        act(process)

            process.at_point = at_point

        for name in hosts:
            watch(self.processes[name])

    def _slow_name(self) -> None:
        seconds = self.dice.uniform(5, 95)

        def act(process: Process) -> None:
            self.met.append("slow name")
            self.say(f"  the name look-up takes {seconds:.0f} s")
            self.network.slow_names.append(seconds)

        self._at_point("resolve", self.dice.randrange(4), act)

    def _frozen_host(self) -> None:
        span = self.dice.choice(((1, 30), (30, 150), (150, 350)))
        seconds = self.dice.uniform(*span)
        points = ["ledger before", "ledger after", "resolve", "connect", "connected", "look", "receive", "sleep"]
        if self.freezes_at_send:
            points += ["send", "send an order"]
        point = "marked" if self.dice.random() < 0.3 else self.dice.choice(points)
        number = self.dice.randrange(2 if point in ("marked", "send an order") else 6)
        freeze = self.freeze_at_send if point in ("send", "send an order") else self.freeze
        self._at_point(point, number, lambda process: freeze(process, seconds))

    def freeze(self, process: Process, seconds: float) -> None:
        if any(story.named == "nothing" for story in self.stories):
            # What hosts work on after all freezes of a trial is still within the 90 s of SUB-3.
            seconds = min(seconds, self.unnamed_freezes)
            self.unnamed_freezes -= seconds
        self.met.append("frozen host")
        self.say(f"  host {process.name} is frozen for {seconds:.0f} s")
        self._keep_from_writing(process)
        process.frozen_until = self.kernel.now + seconds
        self.frozen_until = max(self.frozen_until, process.frozen_until)
        process.slept += seconds

    def _keep_from_writing(self, process: Process) -> None:
        """Nothing that this process works on can be written again now, if rows were lost since it began."""
        for call in self._calls():
            if call.process is process and call.began < (self.ledger_lost or 0.0):
                self.kept_from_writing[call.guest] = self.kernel.now

    def freeze_at_send(self, process: Process, seconds: float) -> None:
        self.met.append("frozen at send")
        task = self.kernel.current
        if isinstance(task, _Call) and task.is_placing and not isinstance(self.provider, Sandbox):
            self.frozen_at_send.add(task.guest)
        self.freeze(process, seconds)

    def _killed(self) -> None:
        self._at_point(None, self.dice.randrange(60), self._kill)

    def _kill(self, process: Process) -> None:
        if self.processes[process.name] is not process:
            return
        self.met.append("killed")
        self.say(f"  the worker of host {process.name} is killed")
        self._keep_from_writing(process)
        process.is_dead = True
        for connection in self.network.connections:
            if connection.client.process is process:
                connection.client.has_ended = True
                self.network.carry(connection, connection.end)
        self.things.databases[process.name].forget_waiting()
        successor = Process(process.name)
        successor.step = process.step
        self.processes[process.name] = successor
        for task in self._calls():
            if task.process is process:
                self.kernel.after(0.001, task.answer, "connection broken", None)
        self.services.pop(process.name)

    def _clock_step(self) -> None:
        # One of six days would end the window of a named identity within the day that a trial lasts, as the page of
        # promises says.
        host, step = self.dice.choice(HOSTS), self.dice.choice((1, -1)) * self.dice.choice(STEPS)

        def act() -> None:
            if "clock step" in self.met:
                return  # two may set the clocks of the hosts over a week apart, as that page says too
            self.met.append("clock step")
            for each in self.processes.values():
                if each.name == host or self.dice.random() < 0.5:
                    self.say(f"the wall clock of host {each.name} steps by {step:.0f} s")
                    each.step += step

        self.kernel.at(self.dice.uniform(0.05, 40), act)

    def _ledger_lost(self) -> None:
        for story in self.stories:
            story.rekeys = False  # no gateway can know an order whose key and row are both gone
        backup = self.dice.random() < 0.3
        if self.freezes_provider is None and self.dice.random() < 0.3:
            self._frozen_provider(self.dice.uniform(26, 80), 0)
            self.loses_in_flight = True
            return

        def act(process: Process) -> None:
            self.met.append("ledger lost")
            self.ledger_lost, self.lost_in_flight = self.kernel.now, False
            self.say(f"  the ledger {'is an old backup' if backup else 'loses its last row'}")
            current, self.kernel.current = self.kernel.current, None
            which = "" if backup else "WHERE rowid = (SELECT max(rowid) FROM submissions)"
            self.lost |= self.things.references(which)
            self.things.forget(which)
            self.kernel.current = current

        self._at_point(self.dice.choice(("ledger after", "receive", "connected")), self.dice.randrange(6), act)

    def _ledger_hangs(self) -> None:
        seconds = self.dice.uniform(2, 60)
        point = self.dice.choice(("ledger before", "receive"))
        self._at_point(point, self.dice.randrange(8), lambda process: self.hang_ledger(seconds))

    def note_copy(self, request: Request) -> None:
        """A placing call comes again, after its first delivery was refused."""
        reference = self.provider.reference_of(request)
        if not self.provider.is_fenced(reference):
            self.late_copies.add(reference)

    def note_copied(self, request: Request) -> None:
        """The provider has answered that call."""
        reference, guest = self.provider.reference_of(request), request.guest
        # Where there is a fence, nobody looks before the next try.
        is_looked_for = reference in self.late_copies and not isinstance(self.provider, Sandbox)
        is_tried = any(task.guest == guest and not task.dead for task in self._calls())
        is_last = not is_tried and self.last_references[guest] == reference
        if is_looked_for and is_last and any(each.keeps_its_name for each in self.stories if each.guest == guest):
            self.early_copies.add(reference)

    def lose_row(self, request: Request) -> None:
        """Have the ledger lose the row of a placing call, or its mark, before its outcome is recorded.

        Only while nobody else looks."""
        others = [task for task in self._calls() if not task.dead]
        if len(others) == 1 and not (self.planned or self._trouble or self.freezes_provider):
            self._row_to_lose = self.provider.reference_of(request), request.guest

    def _lose_in_flight(self, request: Request) -> None:
        """Have the ledger lose the row of a call that the provider will not answer in time."""
        self.met.append("ledger lost")
        self.say("the ledger loses its row")
        self.ledger_lost = self.kernel.now
        self.lost_in_flight = any(task.guest == request.guest and not task.dead for task in self._calls())
        current, self.kernel.current = self.kernel.current, None
        reference = self.provider.reference_of(request)
        self.lost.add(reference)
        if Random(f"{self.seed}/copy").random() < 0.5:
            self.things.forget_sending(reference)
        else:
            # An older copy, from before the guest's first attempt.
            self.things.forget(f"WHERE reference = '{reference}'")
        self.kernel.current = current

    def hang_ledger(self, seconds: float) -> None:
        self.met.append("ledger hangs")
        self.say(f"  the ledger hangs for {seconds:.0f} s")
        self.ledger_hangs_until = self.kernel.now + seconds

    def _network_down(self) -> None:
        seconds = self.dice.uniform(2, 120)

        def act(process: Process) -> None:
            self.met.append("network down")
            self.say(f"  host {process.name} has no network for {seconds:.0f} s")
            self.network.downs[process.name] = self.kernel.now + seconds

        self._at_point(self.dice.choice(("send", "connect")), self.dice.randrange(6), act)

    def _closed(self) -> None:
        until = self.network.refusing_until if self.dice.random() < 0.6 else self.network.deaf_until
        seconds = self.dice.uniform(0.2, 40)

        def act(process: Process) -> None:
            self.met.append("closed")
            self.say(f"  the provider takes no connections for {seconds:.0f} s")
            until[self.provider.host] = self.kernel.now + seconds

        self._at_point("connect", self.dice.randrange(5), act)

    # How the world works.

    def say(self, words: str) -> None:
        if self.lines is not None:
            self.lines.append(f"{self.kernel.now:9.3f}  {words}")

    def before_transaction(self, database: Database) -> None:
        kernel = self.kernel
        kernel.point("ledger before")
        kernel.wait(self.dice.uniform(0.0002, 0.004))
        if self._row_to_lose is not None and kernel.current.guest == self._row_to_lose[1]:
            reference, self._row_to_lose = self._row_to_lose[0], None
            if Random(f"{self.seed}/mark").random() < 0.5:
                self.say("the ledger loses the mark of a row that is being sent")
                self.met.append("a mark lost")
                self.things.forget_mark(reference)
            else:
                self.say("the ledger loses a row that is being sent")
                self.met.append("a row lost")
                self.things.forget(f"WHERE reference = '{reference}'")
        if self.ledger_hangs_until > kernel.now:
            hangs = self.ledger_hangs_until - kernel.now
            patience = max(min(PATIENCE, limits.remaining(PATIENCE)), 0)
            kernel.wait(min(hangs, patience))
            if hangs > patience:
                task = kernel.current
                if isinstance(task, _Call) and self.ledger_lost is not None and task.began < self.ledger_lost:
                    self.kept_from_writing[task.guest] = kernel.now
                raise _locked()

    def forward(self, request: Request) -> Answer:
        """Let the provider have a call; one that is frozen works off what waits in any order."""
        kernel, task = self.kernel, self.kernel.current
        assert task is not None
        kernel.wait(self.dice.uniform(0.0005, 0.01))
        if request.kind == "order" and self.freezes_provider is not None and not self.is_calm:
            seconds, skip = self.freezes_provider
            self.freezes_provider = (seconds, skip - 1)
            if skip == 0:
                self.met.append("frozen provider")
                self.say(f"the provider is frozen for {seconds:.0f} s, with {request} in its queue")
                self.frozen_provider = kernel.now + seconds
                self._frozen_guest = request.guest
                if self.loses_in_flight:
                    self._lose_in_flight(request)
        is_asleep = self.frozen_provider > kernel.now
        if (
            request.kind == "lookup"
            and self.sleeps_through_a_look
            and is_asleep
            and request.guest == self._frozen_guest
        ):
            self.met.append("slept through a look")
            self.sleeps_through_a_look = False
            self.frozen_provider = max(self.frozen_provider, kernel.now + DEADLINE + 1)
        if request.kind == "lookup" and self.wakes_at_a_look and self.frozen_provider > kernel.now:
            self.met.append("woken by a look")
            self.say("the provider wakes, and answers the look-up first")
            self.frozen_provider = kernel.now
            for sleeper in self._sleeping:
                kernel.after(self.dice.uniform(0.01, 0.4), kernel._resume, sleeper, sleeper.turn, True)
            self._sleeping.clear()
        while self.frozen_provider > kernel.now:
            self._sleeping.append(task)
            is_slow = (
                "slept through a look" in self.met and request.kind == "order" and request.guest == self._frozen_guest
            )
            kernel.wait(self.frozen_provider - kernel.now + self.dice.uniform(0.001, 20.0 if is_slow else 0.4))
            if task in self._sleeping:
                self._sleeping.remove(task)
        answer = self.provider.handle(request, kernel.now)
        if self.lines is not None:
            self.say(f"provider: {request} -> {answer[0]}")
        return answer

    def read_request(self, server: str, top: bytes, body: bytes) -> Request:
        """A request as the one at ``server`` reads it."""
        return self.provider.request(top, body)

    def fault_named(self, name: str, request: Request) -> faults.Fault:
        """What goes wrong with a request."""
        return faults.LOOKING_UP.get(name) or faults.PLACING.get(name) or faults.none

    def _serve(self, connection: Connection, top: bytes, body: bytes) -> None:
        request = self.read_request(connection.name, top, body)
        request.guest = request.guest or connection.client.guest
        if request.kind == "order":
            self.placing_calls[request.guest] = self.kernel.now
            self.last_references[request.guest] = self.provider.reference_of(request)
        name = ""
        for position, (kind, fault, skip) in enumerate(self.planned):
            if kind == request.kind:
                if skip:
                    self.planned[position] = (kind, fault, skip - 1)
                else:
                    del self.planned[position]
                    name = fault
                break
        if name:
            self.met.append(name)
        if self.lines is not None:
            self.say(f"{connection.client.process.name} -> {request}" + (f"  [{name}]" if name else ""))
        exchange = faults.Exchange(self, connection, request)
        fault = self.fault_named(name, request)

        def work() -> None:
            came_late = connection.leftovers
            if request.kind in ("order", "complete"):
                came_late = came_late + connection.waits_for_order
                connection.waits_for_order.clear()
            for data in came_late:
                connection.send(data)
            connection.leftovers.clear()
            fault(exchange)

        self.kernel.spawn(self.kitchen, work)

    def service(self, name: str) -> Service:
        """The service of a host; a new one after a kill."""
        if (service := self.services.get(name)) is None:
            transport = session.Transport(pool_size=2)
            self.transports.append(transport)
            ledger = self.things.ledgers[name]
            ledger.clocks.observer = self.observer(name)
            service = Service(self.things.settings, transport, ledger, _wall_time)
            if self.is_warm:
                # The locations were read a while ago.
                service.routing.directory._entries.update(self.things.entries)
            self.services[name] = service
        return service

    def observer(self, name: str) -> Observer:
        """The clock of a host that cannot step; those of two hosts started at different times."""
        offset = 1_000_000 if name == "A" else 77_000_000
        return Observer(f"boot of {name}", lambda: offset + int(World.now() * 1000))

    def call(
        self, host: str, work: Callable[[Service], Any], patience: float, guest: str | None = None
    ) -> tuple[str, Any]:
        """Ask a host for something, as a client does: the code of its answer, and what it gave.

        ``guest``: whose submission it is.
        """
        client = self.kernel.current
        assert client is not None
        task = _Call(self, host, work, client, guest)
        self.kernel.tasks.append(task)
        self.kernel.after(self.dice.uniform(0.0005, 0.02), self.kernel._resume, task, 0, None)
        answer: tuple[str, Any] | None = self.kernel.wait(patience)
        task.is_awaited = False
        return answer or ("connection broken", None)

    def is_prompt(self, since: float) -> bool:
        """Whether no host has been frozen since then, so that answers are due within the deadline."""
        return self.frozen_until < since

    # The channel.

    def _client(self, story: Story, twin: bool) -> None:
        kernel, dice = self.kernel, Random(f"{self.seed}/{story.guest}/{twin}")
        # Equal orders of no name are the same for 90 s (SUB-3), in which a host may be frozen for 45.
        latest = 20 if story.named == "nothing" else 60
        kernel.wait(dice.choice((0.0, dice.uniform(0, 0.05), dice.uniform(0, latest))))
        request = story.request
        host = dice.choice(HOSTS)
        if story.named == "validation":
            if twin:
                while story.metadata is None:
                    kernel.wait(0.5)
            else:
                story.metadata = self._validate(story, dice, host)
            metadata = story.metadata or {}
            order = request.order
            request = SubmissionRequest(
                OrderRequest(items=order.items, user=order.user, metadata=metadata), order_number=request.order_number
            )
            if "order_validation_id" not in metadata:
                return
        fickle, gone = dice.random() < 0.1, dice.random() < 0.1
        hurried = dice.random() < 0.2
        if self.loses_in_flight:
            fickle = hurried = True  # so that the second try of an order counts
        repeats = dice.random() < 0.2
        tries, started = 0, kernel.now
        while True:
            tries += 1
            patience = dice.uniform(0.05, 5) if gone or (hurried and dice.random() < 0.5) else 60.0
            self.say(f"{story.guest} submits to host {host}")
            story.sent = request
            began = kernel.now
            code, given = self.call(host, partial(self._submit, story), patience, story.guest)
            is_answer = code != "connection broken" or kernel.now - began >= patience
            if kernel.now - began > LATEST and is_answer and self.is_prompt(began):
                self.late.append(f"{story.guest} was answered {code or given} after {kernel.now - began:.1f} s")
            story.answers.append((code, given))
            self.say(f"{story.guest} gets {code or given}")
            retryable = code == "connection broken" or (bool(code) and KINDS[code].retryable)
            if (
                code
                and code not in NOT_CONCLUSIVE
                and any(task.guest == story.guest and task.is_waiting for task in self._calls())
            ):
                story.was_waiting = True
            if gone or (not retryable and (code or not repeats)) or kernel.now > CLIENTS_END or tries >= 20:
                break
            if fickle and code not in NOT_CONCLUSIVE:
                break
            if story.named == "nothing" and code != "outcome_unknown" and kernel.now - started > 20.0:
                break  # 90 s after it was placed, the same content is another order (SUB-3)
            if not code:
                repeats = False
            if story.rekeys and code == "outcome_unknown":
                story.rekeys = False
                story.key = f"another-{story.guest}"
                self.say(f"{story.guest} takes another key")
                continue  # once the outcome is known, the same content under another key is another order (SUB-3)
            advised = given if code and isinstance(given, float) else 0.0
            kernel.wait(max(dice.uniform(0.2, 8.0), min(advised or 0, 60.0)) + (20.0 if tries > 8 else 0))
            if dice.random() < (0.8 if code == "connection broken" else 0.2):
                host = "B" if host == "A" else "A"
        story.finals.append(code)
        story.ended_at = kernel.now
        if story.orders_again and not code and kernel.now - started < 45.0:
            self._order_again(story, given, dice, host)

    def _order_again(self, story: Story, number: Any, dice: Random, host: str) -> None:
        """Have an order canceled, and order the same again; if the cancellation is not proven, only once."""
        kernel = self.kernel
        if any(task.guest == story.guest and not task.dead for task in self._calls()):
            return  # a repetition that comes after the cancellation is another order
        kernel.wait(dice.uniform(0.1, 3.0))
        story.called_off.add(number)
        again = Story(story.guest, story.named, story.request, None)
        self.stories.append(again)
        broken = False
        for _ in range(3):
            self.say(f"{story.guest} has {number} canceled by host {host}")
            code, _ = self.call(host, partial(self._cancel, number), dice.choice((60.0, dice.uniform(0.05, 5.0))))
            self.say(f"{story.guest} gets {code or 'canceled'}")
            host = dice.choice(HOSTS)
            broken = broken or code == "connection broken"
            if not code:
                self.met.append("ordered again")
                self._client(again, False)
                return
            if dice.random() < 0.5:
                break
        # Of a connection that broke, the request may still be read: nobody has begun to cancel it, but somebody will.
        if not broken and kernel.now - story.ended_at < 40.0:
            self.met.append("ordered again meanwhile")
            self.say(f"{story.guest} submits again to host {host}")
            again.sent = again.request
            again.answers.append(self.call(host, partial(self._submit, again), 60.0, story.guest))
            self.say(f"{story.guest} gets {again.answers[-1]}")

    def _cancel(self, number: Any, service: Service) -> Any:
        return service.placed_orders.cancel(self.location, str(number), None, RequestContext(Deadline(DEADLINE)))

    def _validate(self, story: Story, dice: Random, host: str) -> Mapping[str, Any]:
        for _ in range(5):
            self.say(f"{story.guest} validates at host {host}")
            code, quote = self.call(
                host, lambda service: service.validate_order(
                    self.location, story.request.order, RequestContext(Deadline(14.0))), 60.0,
            )  # fmt: skip
            if not code:
                metadata = dict(quote.metadata)
                if dice.random() < 0.5:
                    metadata = {"order_validation_id": metadata["order_validation_id"]}
                elif self.stories[0] is not story and dice.random() < 0.5:
                    others = self.stories[0].metadata or {}
                    mixed = {name: value for name, value in others.items() if name != "order_validation_id"}
                    if mixed:
                        self.met.append("mixed up")
                        self.say(f"the channel mixes up what was kept for {story.guest}")
                    metadata = {**metadata, **mixed}
                return metadata
            self.kernel.wait(dice.uniform(0.1, 3.0))
        return {}

    def _submit(self, story: Story, service: Service) -> Any:
        assert story.sent is not None
        context = RequestContext(Deadline(DEADLINE))
        return service.submit_order(self.location, story.sent, story.key, context).order_id

    def _ask_at_last(self, story: Story) -> None:
        """When nothing goes wrong any more, a submission is placed, or refused."""
        for _ in range(4):
            self.say(f"{story.guest} asks at last")
            code, given = self.call("A", partial(self._submit, story), 60.0, story.guest)
            self.say(f"{story.guest} gets {code or given}")
            if code not in NOT_CONCLUSIVE or not self.is_replaying:
                break
            self.kernel.wait(DEADLINE + GRACE)
        if code in NOT_CONCLUSIVE:
            self.stuck.append(f"{story.guest} gets {code} for good")

    def _operator(self) -> None:
        """Run ``submissions reconcile`` while something is open or on its way, then each time a look is due."""
        kernel, pause = self.kernel, 20.0
        while kernel.now < LAST_LOOK:
            kernel.wait(pause)
            code, left = self.call("A", reconcile_submissions, 3600.0)
            if not code and not left and all(task.dead or task.process.is_dead for task in self._calls()):
                due = self.things.next_look()
                if due is None:
                    return
                # By the clock of the host that runs the command, which may have been set.
                pause = max(due - EPOCH - kernel.now - self.processes["A"].step, 0) + 1
            elif kernel.now > END:
                return

    def _reconcile_meanwhile(self, clients: Sequence[Task]) -> None:
        """Run the command now and then while guests order."""
        dice = Random(f"{self.seed}/scheduler")
        while not all(task.dead for task in clients):
            self.kernel.wait(dice.uniform(1.0, 61.0))
            self.call(dice.choice(HOSTS), reconcile_submissions, 600.0)

    def _calls(self) -> Iterator[_Call]:
        return (task for task in self.kernel.tasks if isinstance(task, _Call))

    def run(self) -> None:
        """Let it all happen."""
        World.current, Lock.kernel = self, self.kernel
        for name in OF_NETWORK:
            setattr(net, name, getattr(self.network, name))
        random.seed(self.seed)
        _tokens.seed(self.seed)
        self._begin()
        try:
            for trouble in self._trouble:
                trouble()
            self._spawn_clients()
            clients = list(self.kernel.tasks)
            while not all(task.dead for task in clients) and self.kernel.now < CLIENTS_END * 3:
                self.kernel.run(self.kernel.now + 5.0)
            self._calm()
            operator = self.kernel.spawn(self.channel, self._operator)
            while not operator.dead and self.kernel.now < self.end + 100:
                self.kernel.run(self.kernel.now + max(25.0, self.kernel.now / 20))
            for story in self.stories:
                asks = {"", *NOT_CONCLUSIVE} if self.is_replaying else {"submission_in_progress"}
                told = set(story.finals[-1:])
                if self.is_replaying:
                    # Of a connection that broke, the request may have been read after the last answer.
                    told |= {code for code, _ in story.answers}
                if story.sent is not None and told & asks and story.keeps_its_name:
                    self.kernel.spawn(self.channel, partial(self._ask_at_last, story))
            self.kernel.run(self.kernel.now + (400.0 if self.is_replaying else 100.0))
            self.rows = self.things.rows()
        finally:
            self.kernel.end()
            for transport in self.transports:
                # urllib3 would keep their connections, and with them all of this world.
                for adapter in transport._pools.values():
                    for pool in adapter._origins.values():
                        pool.close()
            World.current = Lock.kernel = None

    def _begin(self) -> None:
        """Forget the trial before."""
        self.things.forget()
        for database in self.things.databases.values():
            database.forget_waiting()

    def _spawn_clients(self) -> None:
        twins = self.dice.random() < 0.25 and not self.stories[0].rekeys
        for number, story in enumerate(self.stories):
            for twin in (False, True) if twins and number == 0 else (False,):
                self.kernel.spawn(self.channel, lambda story=story, twin=twin: self._client(story, twin))
        dice = Random(f"{self.seed}/again")
        for number, story in enumerate(self.stories):
            story.orders_again = story.named == "nothing" and not (twins and number == 0) and dice.random() < 0.5
            if story.orders_again and dice.random() < 0.4:
                self.planned.append(("cancel", dice.choice(list(faults.ANYWHERE)), 0))
        if Random(f"{self.seed}/scheduled").random() < 0.4:
            for story in self.stories:
                story.rekeys = False  # the command may learn the outcome before the other key comes
            self.kernel.spawn(self.channel, partial(self._reconcile_meanwhile, tuple(self.kernel.tasks)))

    def answer_codes(self) -> list[str]:
        """The codes of all answers."""
        return [code or "placed" for story in self.stories for code, _ in story.answers]

    @property
    def is_whole(self) -> bool:
        """Whether something went wrong, for two submissions at least."""
        return bool(self.met) and (not self.stories or sum(bool(story.answers) for story in self.stories) > 1)

    def _calm(self) -> None:
        """Nothing goes wrong any more."""
        self.say("from now on nothing goes wrong; an operator reconciles")
        self.planned.clear()
        self.is_calm = True
        # What is sent again to find an order is priced first.
        self.provider.is_sold_out = self.provider.is_sold_out and not self.is_replaying
        for process in self.processes.values():
            process.at_point = None
        self.network.slow_names.clear()


class _Call(Task):
    """A request that a host works on."""

    def __init__(
        self, world: World, host: str, work: Callable[[Service], Any], client: Task, guest: str | None
    ) -> None:
        super().__init__(world.processes[host], self._serve)
        self.guest = guest
        self.began = world.kernel.now
        self.has_claimed = False
        self.world = world
        self.host = host
        self.work = work
        self.client = client
        self.client_turn = client.turn + 1
        self.is_awaited = True

    @property
    def is_waiting(self) -> bool:
        """Whether nothing was done for it yet: it waits in front of the service, or to come to the ledger."""
        return not (self.has_claimed or self.dead or self.process.is_dead)

    def _serve(self) -> None:
        try:
            given = self.work(self.world.service(self.host))
            code = ""
        except Failure as failure:
            code, given = failure.code, getattr(failure, "retry_after", None)
        if not self.process.is_dead:
            self.answer(code, given)

    def answer(self, code: str, given: Any) -> None:
        if self.is_awaited:
            self.is_awaited = False
            kernel = self.world.kernel
            kernel.after(
                self.world.dice.uniform(0.0005, 0.02), kernel._resume, self.client, self.client_turn, (code, given)
            )


def reconcile_submissions(service: Service) -> int:
    """What ``levelup-ov submissions reconcile`` does; gives how many are left."""
    ledger = service.submissions.ledger
    left = 0
    for submission in ledger.reader.open_submissions(limit=100):
        if submission.account == LEDGER_ACCOUNT:
            continue  # a charge
        if submission.state != "unknown":
            left += 1
            continue
        if submission.account == "again":
            continue  # nothing can be learned of it without sending it again
        try:
            service.look_ups.reconcile(submission, RequestContext(Deadline(DEADLINE)))
        except Failure:
            left += 1
    for submission in [each for each in ledger.reader.due_again(besides=LEDGER_ACCOUNT) if each.account != "again"]:
        try:
            service.look_ups.look_again(submission, RequestContext(Deadline(DEADLINE)))
        except Failure:
            left += 1
    return left


def _locked() -> Exception:
    return sqlite3.OperationalError("database is locked")


def _wall() -> float:
    world = World.current
    if world is None:
        return _real_time()
    task = world.kernel.current
    return EPOCH + world.kernel.now + (task.process.step if task is not None else 0.0)


def _wall_time() -> datetime:
    return datetime.fromtimestamp(_wall(), timezone.utc)


@contextmanager
def simulated(things: Things) -> Iterator[None]:
    """Have the product use the current world's network, which each world puts into place, and its clocks."""
    logging.disable(logging.CRITICAL)
    with (
        computed_once(),
        mock.patch.multiple(net, **dict.fromkeys(OF_NETWORK)),
        mock.patch.object(session, "tls_context", things.tls),
        # A service is made once in a process, and in a world after each kill: these statements are not.
        mock.patch.object(service, "MenuWatches", cache(service.MenuWatches)),
        mock.patch.object(threading, "Lock", Lock),
        mock.patch.object(time, "time", _wall),
        mock.patch.object(time, "time_ns", lambda: int(_wall() * 1_000_000_000)),
        mock.patch.object(time, "monotonic", World.now),
        mock.patch.object(os, "urandom", lambda size: random.randbytes(size)),
        mock.patch.object(secrets, "token_bytes", lambda size: _tokens.randbytes(size)),
    ):
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
