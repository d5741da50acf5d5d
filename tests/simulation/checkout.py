"""Diners who pay with LevelUp in the simulated world, at two hosts over one ledger, and the site that they order at.

Web checkout's code runs in it unchanged: connections, charges, submissions, cancellations, refunds, reconciliation, and
the watch on orders. The time goes on until everything was looked for the last time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

from levelup_ov.checkout import Checkout, open_checkout
from levelup_ov.checkout.charged_orders import ChargedOrders
from levelup_ov.checkout.connections import Tokens
from levelup_ov.checkout.failed_orders import case_of
from levelup_ov.checkout.outcomes import SubmittedOrders
from levelup_ov.checkout.store import CALLED_OFF_ELSEWHERE, CheckoutStore, Connected, StoredOrder
from levelup_ov.config import CheckoutSettings
from levelup_ov.domain.checkout import LEDGER_ACCOUNT, CheckoutOrder, Delivery, OrderAmounts
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.order import Item, User
from levelup_ov.domain.request import OrderRequest, SubmissionRequest
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.status import CALLED_OFF
from levelup_ov.errors import KINDS
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.ordering.service import Service
from levelup_ov.transport.deadline import Deadline
from tests.simulation import faults, levelup
from tests.simulation.levelup import LevelUp, LevelUpRequest
from tests.simulation.providers import PRICE, Answer, Fftp, Order, Request, Sandbox
from tests.simulation.world import (
    CLIENTS_END,
    DEADLINE,
    EPOCH,
    LATEST,
    Process,
    World,
    _wall_time,
    reconcile_submissions,
)

PAYING = ("create_orders", "read_user_basic_info")
READING = (*PAYING, "read_user_orders")
MERCHANT = "mer_beacon"
RUN = 10.0
"""Seconds that a command gives one order."""
WATCHED_EVERY = 45.0
"""Seconds until the status of an order is asked for again."""
ASKED_RESTAURANT = ("cancellation_unproven", CALLED_OFF_ELSEWHERE)
"""The kinds of case whose charge stays if the restaurant makes the order."""
LAST_LOOK = 100_000.0
"""Seconds after which everything was looked for the last time."""

_STATUSES = "JOIN order_statuses ON order_statuses.submission = submissions.id"
_SITE = CheckoutSettings("http://levelup.test", "the-app", Secret("secret of the app"), "https://site.test")


@dataclass(frozen=True)
class SiteAnswer:
    """An answer that the site got. ``asked``: ``charge``, ``refund`` or ``cancel``."""

    asked: str
    key: str
    code: str
    order: StoredOrder | None
    words: str

    @property
    def is_final(self) -> bool:
        """Whether nothing is left to ask."""
        return not self.code or (self.code in KINDS and not KINDS[self.code].retryable)


@dataclass
class Diner:
    """Who orders, for themselves. ``wants``: a meal, or goods that the site hands out itself.

    ``back``: how the site takes the order back, if that is decided. ``leaves``: whether the site never asks again.
    """

    name: str
    number: int
    wants: str
    permissions: tuple[str, ...]
    quantity: int
    back: tuple[str, ...] = ()
    leaves: bool = False
    connections: list[str] = field(default_factory=list)
    answers: list[SiteAnswer] = field(default_factory=list)
    orders: dict[str, tuple[CheckoutOrder, Delivery | None]] = field(default_factory=dict)
    """What was sent under each key."""
    taken_back: set[tuple[str, str]] = field(default_factory=set)
    """What was asked for, and of which order."""

    @property
    def user(self) -> User:
        """As the provider gets to know them."""
        return User(self.name, "Diner", phone=f"+1617555010{self.number}")

    @property
    def price(self) -> int:
        return PRICE * self.quantity


class CheckoutWorld(World):
    """One trial of web checkout."""

    end = LAST_LOOK

    def _plan(self) -> None:
        dice = self.dice
        kind = dice.choices(("fftp", "keyless", "sandbox"), (3, 4, 3))[0]
        self.keyless = kind == "keyless"
        self.provider = Sandbox(merges=True) if kind == "sandbox" else Fftp(merges=kind == "fftp")
        self.location = "box.congress" if kind == "sandbox" else "deli.main"
        self.is_warm = True
        self.diners = [self._diner(number) for number in range(dice.choice((1, 2, 2, 2, 3)))]
        self.levelup = LevelUp({each.number: each.name for each in self.diners}, Random(f"{self.seed}/levelup"))
        self.levelup.declined = {each.name for each in self.diners if dice.random() < 0.15}
        self.freezes_levelup: tuple[float, int] | None = None
        self.frozen_levelup = 0.0
        self.checkouts: dict[str, tuple[Service, Checkout]] = {}
        self._dining = 0
        self.refused: list[str] = []
        """Connections whose token LevelUp has refused when all was well."""
        self.cases: list[str] = []
        self.cases_in_vain: list[str] = []
        self.lost: list[tuple[StoredOrder, Process, float]] = []
        """Orders that the database lost while a worker was processing them, and when."""
        self._trouble = []
        for _ in range(dice.choices((1, 2, 3), (5, 3, 2))[0]):
            self._plan_fault()
        self._plan_cancellations(Random(f"{self.seed}/cancellations"))
        self.answered: set[str] = set()
        """Orders that a host has answered a request with, whatever became of the answer."""
        self._plan_rare(Random(f"{self.seed}/rare"))
        self._plan_copy(Random(f"{self.seed}/refused copy"))
        self._plan_support(Random(f"{self.seed}/support"))

    def _plan_rare(self, dice: Random) -> None:
        """What is planned beside all the rest."""
        for diner in self.diners:
            diner.leaves = dice.random() < 0.1
            what = dice.random()
            if what < 0.05:
                self.levelup.odd.add(diner.name)
            elif what < 0.1:
                self.levelup.hidden.add(diner.name)
        if dice.random() < 0.05:
            self.planned.append(("complete", "then killed", dice.choice((0, 0, 1))))
        if not self._calls_off and dice.random() < 0.05:
            self.planned.append(("cancel", "order lost", 0))
            self.diners[0].wants, self.diners[0].back = "meal", ("cancel",)

    def _plan_copy(self, dice: Random) -> None:
        """A charge that is declined, and whose copy is charged: only the diner's orders can show it later."""
        if dice.random() >= 0.06:
            return
        self.planned, self._trouble, self.freezes_levelup = [("complete", "declined, then charged", 0)], [], None
        self.levelup.hidden.clear()
        for diner in self.diners:
            diner.permissions = READING
        if dice.random() < 0.5:
            self.planned.append(("history", dice.choice(levelup.DECEIVING), 0))
        if dice.random() < 0.3:
            self.planned.append(("complete", dice.choice(("answer lost", "delivered late", "silent")), 0))

    def _plan_support(self, dice: Random) -> None:
        """A charge whose answers are lost, and that LevelUp's support refunds for a guest who complains."""
        if dice.random() >= 0.04:
            return
        self.planned, self._trouble, self.freezes_levelup = [], [], None
        self.planned = [("complete", "answer lost", 0)] * dice.choice((3, 3, 6))
        at = dice.uniform(30, 300)
        self._trouble.append(lambda: self.kernel.at(at, self._refund_by_support))

    def _refund_by_support(self) -> None:
        """Refund each charge that no site was told of, and that no request is just charging."""
        for order in self.orders():
            made = self.levelup.charge_of(order.proposed_uuid)
            if made is not None and made.unrefunded and (order.state == "charging" or order.is_untold):
                self.met.append("refunded by support")
                self.say(f"LevelUp's support refunds {made.uuid} of {made.guest}")
                made.refunded, made.refunded_at = made.spend, self.kernel.now

    def _plan_cancellations(self, dice: Random) -> None:
        """What may go wrong where the site, or the restaurant, calls meals off."""
        self._calls_off = dice.random() < 0.25
        if dice.random() < 0.3:
            what = dice.choice(("cancel", "cancel", "show"))
            name, times = dice.choice(list(faults.ANYWHERE)), dice.choice((1, 1, 2, 4))
            self.planned += [(what, name, dice.choice((0, 0, 1)))] * times
        if dice.random() < 0.2:
            # What shows only if a refund fails while it is not known whether the meal is canceled.
            lost = dice.choice(("answer lost", "delivered late", "mute", "5xx after forwarding"))
            self.planned += [("cancel", lost, 0), ("refund", dice.choice(levelup.REFUSING), dice.choice((0, 0, 1)))]
            self.planned += [("show", dice.choice(("silent", "reset", "5xx, not forwarded")), 1)] * dice.choice(
                (0, 1, 9)
            )
            self.diners[0].wants, self.diners[0].back = (
                "meal",
                dice.choice((("cancel", "refund"), ("refund", "cancel"))),
            )

    @property
    def freezes_at_send(self) -> bool:
        # A key alone does not keep out the first request under it, whose charge has gone back by then.
        return isinstance(self.provider, Sandbox)

    def _diner(self, number: int) -> Diner:
        dice = self.dice
        permissions = READING if dice.random() < 0.6 else PAYING
        wants = "meal" if dice.random() < 0.65 else "goods"
        return Diner(("Alice", "Bob", "Carol")[number], number + 1, wants, permissions, dice.randint(1, 2))

    def _plan_fault(self) -> None:
        dice = self.dice
        what = dice.choices(
            ("complete", "refund", "history", "read", "propose", "exchange", "profile", "order", "lookup",
             "frozen LevelUp", "frozen host", "slow name", "killed", "network down", "closed", "ledger hangs",
             "clock step", "token died", "unknown and then", "refused and then"),
            (22, 8, 4, 3, 3, 4, 2, 8, 3, 6, 8, 5, 9, 4, 3, 3, 3, 4, 14, 10),
        )[0]  # fmt: skip
        skip = dice.choice((0, 0, 0, 1, 1, 2))
        if what == "unknown and then":
            # What shows only after a charge was unknown.
            lost = dice.choice(("answer lost", "delivered late", "delivered late", "mute", "answered late",
                                "5xx after forwarding", "another amount, lost", "very late"))  # fmt: skip
            # A call that charges is repeated at once where its answer is lost.
            self.planned += [("complete", lost, 0)] * dice.choice((1, 3, 3, 6))
            then = dice.choice(("history", "history", "complete", "token died", "declines", "frozen LevelUp", "refund"))
            if then == "history":
                self.planned += [("history", dice.choice(levelup.DECEIVING), dice.choice((0, 0, 1)))]
            else:
                self._make(then, dice.choice((0, 0, 1)))
        elif what == "refused and then":
            # The provider refuses the meal, so that the charge has to go back.
            self.planned += [("order", "sold out", 0)]
            then = dice.choice(("for good", "for good", "refund", "read", "frozen LevelUp", "killed", "frozen host"))
            if then == "for good":
                self.planned += [("refund", dice.choice(levelup.REFUSING), 0)]
            else:
                self._make(then, 0)
        else:
            self._make(what, skip)

    def _make(self, what: str, skip: int) -> None:
        dice = self.dice
        if what in levelup.LEVELUP:
            names = levelup.LEVELUP[what]
            self.planned += [(what, dice.choice(list(names)), skip)] * dice.choice((1, 1, 1, 2, 4))
        elif what in ("order", "lookup"):
            self._fault(what, skip)
        elif what == "frozen LevelUp":
            self.freezes_levelup = (dice.uniform(5, 130), skip)
        elif what == "declines":
            name = dice.choice(self.diners).name
            self._trouble.append(lambda: self.kernel.after(dice.uniform(0.1, 30), self.levelup.declined.add, name))
        else:
            self._trouble.append({
                "slow name": self._slow_name, "frozen host": self._frozen_host, "clock step": self._clock_step,
                "ledger hangs": self._ledger_hangs, "killed": self._killed, "network down": self._network_down,
                "closed": self._closed, "token died": self._token_died,
            }[what])  # fmt: skip

    def _clock_step(self) -> None:
        # An order is watched for a day by the wall clock.
        self._calls_off = False
        super()._clock_step()

    def _token_died(self) -> None:
        """LevelUp takes a person's token no more; they connect again when they are asked to."""
        diner, seconds = self.dice.choice(self.diners), self.dice.uniform(0.5, 40)

        def act() -> None:
            self.met.append("token died")
            self.say(f"LevelUp takes the tokens of {diner.name} no more")
            for token, (_, whose) in list(self.levelup.tokens.items()):
                if whose == diner.name:
                    del self.levelup.tokens[token]
            self.kernel.spawn(self.channel, lambda: self._connect_later(diner))

        self.kernel.at(seconds, act)

    def _frozen_host(self) -> None:
        if self.dice.random() < 0.7:
            super()._frozen_host()
            return
        self.planned.append(("complete", "then frozen", 0))

    def _connect_later(self, diner: Diner) -> None:
        self.kernel.wait(self.dice.uniform(5, 200))
        self._connect(diner, Random(f"{self.seed}/{diner.name}/again"))

    # How the world works.

    def read_request(self, server: str, top: bytes, body: bytes) -> Request:
        return self.levelup.request(top, body) if server == LevelUp.host else super().read_request(server, top, body)

    def fault_named(self, name: str, request: Request) -> faults.Fault:
        if name in _RARE:
            return _RARE[name]
        if not isinstance(request, LevelUpRequest):
            return super().fault_named(name, request)
        return levelup.LEVELUP.get(request.kind, {}).get(name, levelup.none)

    def forward(self, request: Request) -> Answer:
        if not isinstance(request, LevelUpRequest):
            return super().forward(request)
        kernel = self.kernel
        kernel.wait(self.dice.uniform(0.0005, 0.01))
        if request.kind in ("complete", "refund") and self.freezes_levelup is not None and not self.is_calm:
            seconds, skip = self.freezes_levelup
            self.freezes_levelup = (seconds, skip - 1)
            if skip == 0:
                self.met.append("frozen LevelUp")
                self.say(f"LevelUp is frozen for {seconds:.0f} s, with {request} in its queue")
                self.frozen_levelup = kernel.now + seconds
        while self.frozen_levelup > kernel.now:
            kernel.wait(self.frozen_levelup - kernel.now + self.dice.uniform(0.001, 0.4))
        answer = self.levelup.handle(request, kernel.now)
        if self.lines is not None:
            self.say(f"LevelUp: {request} -> {answer[0]} {answer[1]}")
        return answer

    def checkout(self, name: str, service: Service) -> Checkout:
        """Web checkout on a host; a new one after a kill."""
        found = self.checkouts.get(name)
        if found is None or found[0] is not service:
            made = open_checkout(replace(self.things.settings, checkout=_SITE), service.transport, service, _wall_time)
            assert made is not None
            charged = ChargedOrders(service.submissions.ledger, _wall_time)
            service.tracking.paid_orders = lambda: charged
            service.submissions.ledger.changes.follow = SubmittedOrders(
                service.submissions.ledger, service.keys.submitted_under
            ).follow
            found = self.checkouts[name] = (service, made)
        return found[1]

    def reported_uuids(self) -> set[str]:
        """The UUIDs that the service has recorded."""
        return {order.uuid for order in self.orders() if order.uuid}

    def orders(self) -> list[StoredOrder]:
        """All orders of web checkout, as they are in the ledger's database."""
        return [StoredOrder(**row) for row in self._rows("checkout_orders")]

    def _kill(self, process: Process) -> None:
        super()._kill(process)
        # A charge that is recorded in full may just have been answered: nobody can tell.
        recorded = {row.provider_order_id for row in self.things.rows() if row.state == "placed"}
        self.answered |= {each.id for each in self.orders() if each.look_at is None and each.uuid in recorded}

    def connected(self) -> list[Connected]:
        """All connections."""
        return [Connected(**row) for row in self._rows("checkout_connections")]

    def _rows(self, table: str, besides: str = "") -> list[dict[str, Any]]:
        cursor = self.things._connection.execute(f"SELECT * FROM {table} {besides} ORDER BY {table}.rowid")
        names = [each[0] for each in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def ask(self, host: str, work: Callable[[Checkout], Any], patience: float = 60.0) -> Any:
        """What a host answers: what ``work`` gives, a failure, or None: the connection broke."""

        def asked(service: Service) -> Any:
            try:
                given = work(self.checkout(host, service))
                if isinstance(given, StoredOrder):
                    self.answered.add(given.id)
                return given
            except Failure as failure:
                return failure

        return self.call(host, asked, patience)[1]

    # The site and its diners.

    def _connect(self, diner: Diner, dice: Random) -> None:
        """The diner lets the site charge them, by OAuth."""
        for _ in range(6):
            host = dice.choice(("A", "B"))
            started = self.ask(host, lambda it: it.connections.start_user("https://shop.test/", diner.permissions, {}))
            if isinstance(started, tuple):
                connection, url = started
                state = parse_qs(urlsplit(url).query)["state"][0]
                back = f"https://site.test/?code={self.levelup.code('user', diner.name)}&state={state}"
                url = self.ask(host, lambda it, back=back: it.connections.come_back("user", back, _context(14.0)))
                query = parse_qs(urlsplit(url).query) if isinstance(url, str) else {}
                if (confirmation := query.get("confirmation")) is not None:
                    done = self.ask(host, lambda it, it_is=connection.id, word=confirmation[0]:
                                    it.connections.confirm("user", it_is, word, _context(14.0)))  # fmt: skip
                    if isinstance(done, Connected):
                        diner.connections.append(connection.id)
                        self.say(f"{diner.name} is connected as {connection.id}")
                        return
            self.kernel.wait(dice.uniform(0.5, 10))

    def _dine(self, diner: Diner) -> None:
        self._dining += 1
        try:
            self._order_and_pay(diner)
        finally:
            self._dining -= 1

    def _order_and_pay(self, diner: Diner) -> None:
        dice = Random(f"{self.seed}/{diner.name}")
        self.kernel.wait(dice.choice((0.0, dice.uniform(0, 0.05), dice.uniform(0, 60))))
        if not diner.connections:
            self._connect(diner, dice)
        if not diner.connections:
            return
        key, gone = f"key-{diner.name}", dice.random() < 0.12 or diner.leaves
        for attempt in range(3):
            last = self._pay(diner, key, dice, gone)
            if gone or last is None or not last.is_final:
                return
            if not last.code:
                wanted = diner.back or dice.random() < (0.4 if diner.wants == "meal" else 0.3)
                if wanted and last.order is not None and last.order.state in ("charged", "submitted"):
                    self._take_back(diner, last.order, dice)
                return
            if last.code == "card_declined" and dice.random() < 0.7:
                self.levelup.declined.discard(diner.name)
                self.say(f"{diner.name} has another card")
            if last.code in ("user_token_refused", "not_connected", "merchant_token_refused"):
                self.kernel.wait(dice.uniform(30, 250))
            elif dice.random() < 0.4:
                return
            # A request that was not answered may still rest at a host: a site that takes another key then orders twice.
            answered = all(each.code != "connection broken" for each in diner.answers if each.key == key)
            if last.code != "card_declined" and not answered:
                return
            if last.code != "card_declined" or (answered and dice.random() < 0.5):
                key = f"key-{diner.name}-{attempt}"

    def _pay(self, diner: Diner, key: str, dice: Random, gone: bool) -> SiteAnswer | None:
        order, delivery = diner.orders.setdefault(key, self._order(diner))
        last = None
        for tries in range(20):
            impatient = gone or dice.random() < 0.1
            last = self._say(diner, "charge", key, dice, dice.uniform(0.05, 5) if impatient else 60.0,
                             lambda it: it.orders.charge(order, delivery, key, _context(DEADLINE)))  # fmt: skip
            if gone or last.is_final or self.kernel.now > CLIENTS_END:
                return last
            # Some come back when no attempt can arrive any more.
            unknown = last.code in ("outcome_unknown", "submission_in_progress")
            longest = dice.choice((30.0, 30.0, 30.0, 150.0)) if unknown else 8.0
            self.kernel.wait(dice.uniform(0.2, longest) + (20.0 if tries > 8 else 0))
        return last

    def _take_back(self, diner: Diner, order: StoredOrder, dice: Random) -> None:
        """The site refunds, or has a meal canceled, perhaps under two keys, since two of its people do."""
        ways = diner.back or ("refund",)
        if diner.wants == "meal" and not diner.back:
            ways = dice.choice((("refund",), ("cancel",), ("cancel",), ("cancel", "refund"), ("refund", "cancel")))
        if len(ways) == 1:
            ways *= dice.choice((1, 1, 2))
        asked = [(way, f"{way}-{order.id}-{number}") for number, way in enumerate(ways)]
        most = dice.choice((1, 3, 12, 12))
        if len(asked) == 1 or dice.random() < 0.5:
            self._ask_back(diner, order.id, asked, most, dice)
            return
        for one in asked:
            self._dining += 1
            own = Random(f"{self.seed}/{diner.name}/{one}")
            self.kernel.spawn(self.channel, partial(self._ask_back_beside, diner, order.id, one, most, own))

    def _ask_back_beside(self, diner: Diner, id: str, one: tuple[str, str], most: int, dice: Random) -> None:
        try:
            self.kernel.wait(dice.uniform(0, 3))
            self._ask_back(diner, id, [one], most, dice)
        finally:
            self._dining -= 1

    def _ask_back(self, diner: Diner, id: str, asked: list[tuple[str, str]], most: int, dice: Random) -> None:
        """Ask for a refund or a cancellation until that is answered for good, each in turn; at most so often."""
        asked = list(asked)
        for tries in range(most):
            way, key = asked[tries % len(asked)]
            diner.taken_back.add((way, id))
            answer = self._say(
                diner, way, key, dice, 60.0,
                lambda it, way=way, key=key: getattr(it.orders, way)(id, key, None, _context(DEADLINE)),
            )  # fmt: skip
            if answer.is_final:
                asked.remove((way, key))
            if not asked or self.kernel.now > CLIENTS_END:
                return
            self.kernel.wait(dice.uniform(0.2, 8.0))

    def _restaurant(self) -> None:
        """The restaurant calls a meal off by itself, and perhaps makes it after all."""
        kernel, dice, provider = self.kernel, Random(f"{self.seed}/restaurant"), self.provider
        while not provider.kept:
            if kernel.now > CLIENTS_END / 2:
                return
            kernel.wait(dice.uniform(0.2, 3.0))
        kernel.wait(dice.choice((0.0, dice.uniform(0, 5), dice.uniform(5, 120))))
        made = [order for order in provider.kept if provider.is_made(order)]
        if not made:
            return
        meal = dice.choice(made)
        word = dice.choice(provider.called_off)
        self.met.append("called off")
        self.say(f"the restaurant calls {meal.id} of {meal.guest} off: {word}")
        provider.call_off(meal, word, kernel.now)
        if dice.random() < 0.25:
            kernel.wait(dice.uniform(1, 150))
            if (order := self._paid_for(meal)) is not None and order.state == "submitted":
                if not any(diner.taken_back for diner in self.diners if diner.user.name == meal.guest):
                    self.say(f"the restaurant makes {meal.id} after all")
                    provider.call_off(meal, "preparing" if provider.name == "deli" else "cooking", kernel.now)

    def _paid_for(self, meal: Order) -> StoredOrder | None:
        """The order of web checkout that has this meal."""
        return next((order for order in self.orders() if self.meal_of(order) is meal), None)

    def is_forgotten(self, uuid: str) -> bool:
        """Whether the database lost a charged order, and the worker that still knew it could not write it again.

        It was killed, or its ledger hung.
        """
        return any(
            order.uuid == uuid and (process.is_dead or self.ledger_hangs_until > at) for order, process, at in self.lost
        )

    def lose_order(self, meal: Order, process: Process) -> None:
        """Have the database lose all that it has of the order that paid for a meal, if its site knows the order.

        ``process`` is the one that is processing it.
        """
        order = self._paid_for(meal)
        diner = next(each for each in self.diners if each.user.name == meal.guest)
        if order is None or not all(each.is_final for each in diner.answers if each.asked == "charge"):
            return
        self.met.append("order lost")
        self.lost.append((order, process, self.kernel.now))
        self.say(f"the database loses {order.id}")
        own = f"(SELECT id FROM submissions WHERE id = '{order.id}' OR request_id = '{order.id}')"
        run = self.things._connection.execute
        for table in ("identities", "order_statuses", "sights"):
            run(f"DELETE FROM {table} WHERE submission IN {own}")
        run(f"DELETE FROM submissions WHERE id IN {own}")
        run(f"DELETE FROM checkout_orders WHERE id = '{order.id}'")
        self.things._connection.commit()

    def meal_of(self, order: StoredOrder) -> Order | None:
        """The meal that was submitted for an order."""
        number = None if order.submitted is None else str(json.loads(order.submitted)["order_id"])
        return next((meal for meal in self.provider.kept if str(meal.ticket) == number), None)

    def is_made(self, order: StoredOrder) -> bool:
        """Whether the restaurant makes the meal of an order."""
        meal = self.meal_of(order)
        return meal is not None and self.provider.is_made(meal)

    def _order(self, diner: Diner) -> tuple[CheckoutOrder, Delivery | None]:
        price = diner.price
        item = {"name": "Soup", "quantity": diner.quantity, "charged_price_amount": price}
        order = CheckoutOrder(
            MERCHANT, diner.connections[-1], 11, OrderAmounts(price, payment=price), (item,), discount=0
        )
        if diner.wants == "goods":
            return order, None
        request = OrderRequest(items=(Item("soup", diner.quantity),), user=diner.user)
        return order, Delivery(self.location, SubmissionRequest(request))

    def _say(
        self, diner: Diner, asked: str, key: str, dice: Random, patience: float, work: Callable[[Checkout], Any]
    ) -> SiteAnswer:
        host = dice.choice(("A", "B"))
        self.say(f"{diner.name} asks host {host} for a {asked} under {key}")
        began = self.kernel.now
        given = self.ask(host, work, patience)
        took = self.kernel.now - began
        if took > LATEST and (given is not None or took >= patience) and self.is_prompt(began):
            self.late.append(f"{diner.name} got the answer to a {asked} after {took:.1f} s")
        if isinstance(given, Failure):
            answer = SiteAnswer(asked, key, given.code, None, given.message)
        else:
            answer = SiteAnswer(asked, key, "" if given else "connection broken", given, "")
        diner.answers.append(answer)
        result = answer.code or (answer.order and (answer.order.state, answer.order.uuid))
        self.say(f"{diner.name} gets {result} {answer.words}")
        return answer

    # The scheduler and the operator.

    def _operator(self) -> None:
        """Run the command each minute or so while something is open, then each time something is due."""
        kernel, asked, runs = self.kernel, False, 0
        while kernel.now < LAST_LOOK:
            kernel.wait(61.0)
            self._run_commands("A")
            runs += 1
            if self._is_settled():
                if not asked:
                    asked = True
                    self._ask_again()
                    continue
                looks = self._rows("checkout_orders", "WHERE state = 'not_charged'")
                due = [row["look_at"] for row in looks if row["look_at"]]
                if not due:
                    return
                # By the clock of the host that runs the command, which may have been set.
                now = EPOCH + kernel.now + self.processes["A"].step
                kernel.wait(max(min(due) / 1000 - now, 0) + 1)
            elif kernel.now > 2 * CLIENTS_END and runs > 2:
                # A look that proves absence takes two runs. What the last one has just sent may arrive until then.
                kernel.wait(61.0)
                self._settle()
                kernel.wait(600.0)

    def _scheduler(self) -> None:
        """Run the command each minute while there are diners, on a site that has a scheduler."""
        lasts = self.dice.choice((0.0, 0.0, 150.0, 300.0))
        while self._dining or self.kernel.now < lasts:
            self.kernel.wait(61.0)
            self._run_commands(self.dice.choice(("A", "B")))

    def _run_commands(self, host: str) -> None:
        """Run the commands that a scheduler runs each minute: for charges, for submissions and for statuses."""
        self.ask(host, self._reconcile, 3600.0)
        # What the first one leaves: a meal that was told to the site, and not recorded.
        self.call(host, reconcile_submissions, 3600.0)
        self.call(host, partial(self._watch, host), 3600.0)

    def _watch(self, host: str, service: Service) -> None:
        self.checkout(host, service)
        every, lease = timedelta(seconds=WATCHED_EVERY), timedelta(seconds=2 * RUN)
        for order in service.tracking.open_orders(self.location.split(".")[0], every=every, limit=300):
            try:
                service.placed_orders.watch(order, _context(RUN), lease=lease)
            except Failure as failure:
                self.say(f"the status of {order.order_id} is not known: {failure.message}")

    def _ask_again(self) -> None:
        """A site that does not know what became of an order asks once more, when all is well.

        So does one that got no answer to a request of its own: it may have rested at a host, and been served last.
        """
        for diner in self.diners:
            if diner.leaves:
                continue
            charges = [each for each in diner.answers if each.asked == "charge"]
            last = {each.key: each for each in charges}
            unanswered = {each.key for each in charges if each.code == "connection broken"}
            for key in [key for key, answer in last.items() if key in unanswered or not answer.is_final]:
                order, delivery = diner.orders[key]
                self._say(diner, "charge", key, self.dice, 60.0, lambda it, order=order, delivery=delivery, key=key:
                          it.orders.charge(order, delivery, key, _context(DEADLINE)))  # fmt: skip
            for id in diner.connections:
                order = replace(self._order(diner)[0], user=id)
                if self.is_dead(id):
                    preview = self.ask("A", lambda it, order=order: it.orders.preview(order, _context(DEADLINE)))
                    if isinstance(preview, Failure) and preview.code == "user_token_refused":
                        self.refused.append(id)

    def is_dead(self, id: str) -> bool:
        """Whether a connection is in use whose token LevelUp takes no more."""
        tokens = Tokens(CheckoutStore(self.things.databases["A"]), self.things.settings.secret_keys)
        token = next(
            (tokens.open(each) for each in self.connected() if (each.id, each.state) == (id, "connected")), None
        )
        return token is not None and token.reveal() not in self.levelup.tokens

    def _reconcile(self, checkout: Checkout) -> None:
        """What ``checkout reconcile`` does."""
        checkout.connections.tidy(_context(RUN))
        for order in checkout.orders.unfinished(1000):
            try:
                checkout.orders.tried(order)
                checkout.orders.reconcile(order, _context(RUN))
            except Failure as failure:
                self.say(f"{order.id} is still {order.state}: {failure.message}")

    def _is_settled(self) -> bool:
        open_states = ("charging", "submitting", "refunding", "stuck")
        if any(row.account == LEDGER_ACCOUNT and row.state in ("sending", "unknown") for row in self.things.rows()):
            return False
        if any(
            order.state in open_states or order.open_cases or (order.state == "charged" and order.is_to_be_submitted)
            or (order.state == "submitted" and order.cancellation)
            for order in self.orders()
        ):  # fmt: skip
            return False
        seen = {row["provider_order_id"]: row["stage"] for row in self._rows("submissions", _STATUSES)}
        called_off = {meal.id for meal in self.provider.kept if not self.provider.is_made(meal)}
        return all(seen.get(id, "cancelled") in CALLED_OFF for id in called_off)

    def _settle(self) -> None:
        """A person looks at LevelUp's own pages, pays back what has to go back, and says so.

        Where it is not known whether the restaurant has an order, the person asks it.
        """
        self.call("A", self._settle_submissions, 60.0)
        for order in [each for each in self.orders() if each.open_cases]:
            kind = case_of(order)["kind"]
            self.cases.append(kind)
            stays = kind in ASKED_RESTAURANT and self.is_made(order)
            if kind == "not_connected" and self._is_connected_again(order):
                self.cases_in_vain.append(order.id)
            made = self.levelup.charge_of(order.proposed_uuid)
            found = made.uuid if made is not None and made.unrefunded and order.uuid is None else None
            if made is not None and order.doubt is None and made.spend != order.gross:
                # The command does not take a charge of another amount.
                found = None
            if made is not None and made.unrefunded and found is None and not stays:
                self.say(f"Olive pays {made.unrefunded} cents back to {made.guest} by transfer")
                made.refunded = made.spend
            self.say(f"Olive settles {order.id}: {kind}, {found}")
            context = _context(60.0)
            self.ask(
                "A",
                lambda it, order=order, uuid=found, context=context: it.orders.settle(
                    order, "Olive", "looked", context, uuid
                ),
            )

    def _settle_submissions(self, service: Service) -> None:
        for submission in service.submissions.ledger.reader.open_submissions():
            if submission.state == "unknown" and submission.account != LEDGER_ACCOUNT:
                self.cases.append("unknown submission")
                made = filter(self.provider.is_made, self.provider.orders)
                meal = next((each for each in made if each.reference == submission.reference), None)
                self.say(f"Olive settles {submission.id}: {meal and meal.ticket}")
                with suppress(Failure):
                    service.submissions.reconciler.settle(submission, meal and str(meal.ticket), "Olive")

    def answer_codes(self) -> list[str]:
        return [
            each.code or (each.order.state if each.order else "") for diner in self.diners for each in diner.answers
        ]

    def _is_connected_again(self, order: StoredOrder) -> bool:
        """Whether the user of an order has another connection, and LevelUp has said that it is the same person."""
        known = {each.id: each for each in self.connected()}
        old = known.get(order.user)
        return old is not None and any(
            each.levelup_id is not None and each.levelup_id == old.levelup_id and each.state == "connected"
            for each in known.values()
            if each.kind == "user" and each.id != old.id
        )

    def _spawn_clients(self) -> None:
        for diner in self.diners:
            self.kernel.spawn(self.channel, lambda diner=diner: self._dine(diner))
        if self.dice.random() < 0.4:
            self.kernel.spawn(self.channel, self._scheduler)
        if self._calls_off:
            self.kernel.spawn(self.channel, self._restaurant)

    def _begin(self) -> None:
        """Forget the trial before, and connect whom the site knows already."""
        super()._begin()
        run = self.things._connection.execute
        for table in ("checkout_sights", "checkout_states", "checkout_orders", "checkout_connections"):
            run(f"DELETE FROM {table}")
        self.things._connection.commit()
        store = CheckoutStore(self.things.databases["A"])
        tokens = Tokens(store, self.things.settings.secret_keys)
        people = [("merchant", MERCHANT, "Beacon", 1, ("manage_merchant_orders",))]
        for diner in self.diners:
            if self.dice.random() < 0.75:
                diner.connections.append(f"usr_{diner.name}")
                people.append(("user", f"usr_{diner.name}", diner.name, diner.number, diner.permissions))
        for kind, id, whose, number, permissions in people:
            token = tokens.seal(Secret(self.levelup.token(kind, whose)), id)
            row: Mapping[str, Any] = {
                "id": id, "kind": kind, "state": "connected", "permissions": " ".join(permissions), "token": token,
                "levelup_id": number, "created_at": 1,
            }  # fmt: skip
            run(f"INSERT INTO checkout_connections ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
                tuple(row.values()))  # fmt: skip
        self.things._connection.commit()


def _sold_out(it: faults.Exchange) -> None:
    """The provider refuses the meal, as it documents."""
    if it.world.provider.name == "deli":
        it.say(422, {"detail": "item unavailable: soup"})
    else:
        it.say(422, {"problem": {"code": "dish_sold_out", "text": "Sold out."}})


def _order_lost(it: faults.Exchange) -> None:
    """The database loses an order as the provider cancels it; the answer may be lost, too."""
    world: CheckoutWorld = it.world  # type: ignore[assignment]
    meals = [meal for meal in world.provider.kept if meal.id in it.request.path.split("/")]
    answer = it.forward()
    for meal in meals:
        world.lose_order(meal, it.connection.client.process)
    if it.dice.random() < 0.6:
        it.say(*answer)
    else:
        it.connection.reset()


_RARE: Mapping[str, faults.Fault] = {
    "sold out": _sold_out, "then killed": levelup.then_killed, "order lost": _order_lost,
    "declined, then charged": levelup.declined_then_charged,
}  # fmt: skip


def _context(seconds: float) -> RequestContext:
    return RequestContext(Deadline(seconds))
