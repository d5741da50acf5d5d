"""A model of one order on its way: two hosts, a ledger, a network and a provider, each of which may fail.

Everything that can happen next is an event. :func:`explore` tries all orders of all events, breadth first, so that
what it finds is found in the fewest steps. Time is whole ticks. A host that is awake acts in time; one that is frozen
does not. :class:`Rules` are the product's, one switch each; all on is the product. :class:`World` says what the
provider can do and what may go wrong. The promise is broken by a second order of one identity.
"""

from __future__ import annotations

import gc
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from typing import NamedTuple

DEADLINE = 2
GRACE = 1
LEASE = DEADLINE + GRACE
END = 9
"""The last tick: enough for a lease, two looks, a second attempt and its arrival."""
ATTEMPTS = 2
STEP = 10
"""Ticks by which the wall clock steps."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the product does."""

    connects_first: bool = True
    """Name look-up and connection come before the mark and the last look; else after them."""
    looks_last: bool = True
    """The deadline is checked after the mark; else before it only."""
    counts_sleep: bool = True
    """The clock of the deadline counts the time that the host was frozen."""
    observes_lease: bool = True
    """A lease ends when the observer has itself seen the row unchanged for it; else when the wall clock says so."""
    looks_twice: bool = True
    """Absence is proof when it was seen for a grace; else when it was seen once."""
    confirms: bool = True
    """After that grace the provider is asked once more, a moment later: it may have woken just now."""
    fences: bool = True
    """Before the look the provider is made to refuse what may still arrive, where it can."""
    keeps_reference: bool = True
    """All attempts of one identity carry one reference; else each carries its own."""


@dataclass(frozen=True, slots=True)
class World:
    """What the provider can do, and what may go wrong; each fault happens at most once."""

    merges: bool = False
    """The provider makes one order of all that comes under one reference."""
    can_fence: bool = False
    """The provider can be made to refuse an attempt for good."""
    slow_name: bool = False
    frozen_host: bool = False
    frozen_provider: bool = False
    clock_step: bool = False
    # What the page of promises admits at a provider that neither merges nor fences.
    frozen_at_the_last_moment: bool = False
    """A host is frozen between its last look and the system call that sends."""
    rests_too_long: bool = False
    """A request rests longer than the grace on its way."""
    sleeps_again: bool = False
    """The provider falls asleep a second time before it has worked off what waits for it."""
    forgets: bool = False
    """The ledger loses a row that it has acknowledged: a failover to a replica that lags, an old backup."""


FAULTS = tuple(field.name for field in fields(World))[2:]


class Row(NamedTuple):
    """An attempt in the ledger. ``wall``: the wall clock at its last change."""

    state: str
    wall: int
    seen: int | None = None
    """When an observer first saw it in this state."""
    absent: int | None = None
    """When the provider was first seen to have no such order."""
    again: int | None = None
    """When it was seen to have none a grace later."""


class Host(NamedTuple):
    """A host's own attempt. ``slept``: the ticks for which it has been frozen since it started."""

    phase: str = "idle"
    row: int = -1
    began: int = 0
    slept: int = 0
    frozen: bool = False


class Request(NamedTuple):
    """A placing call on its way. ``late``: before this tick it arrives or is lost. ``waits``: it has arrived."""

    row: int
    late: int
    waits: bool = False


class State(NamedTuple):
    """All that there is. ``step``: how far the wall clock is off."""

    now: int = 0
    step: int = 0
    hosts: tuple[Host, Host] = (Host(), Host())
    rows: tuple[Row, ...] = ()
    requests: tuple[Request, ...] = ()
    orders: tuple[int, ...] = ()
    fenced: frozenset[int] = frozenset()
    asleep: bool = False
    faults: frozenset[str] = frozenset()

    def host(self, number: int, host: Host) -> State:
        first, second = self.hosts
        return self._replace(hosts=(host, second) if number == 0 else (first, host))

    def row(self, number: int, state: str, **more: int | None) -> State:
        """The row in another state, or seen in the same one."""
        row = self.rows[number]
        if state != row.state:
            row = Row(state, self.now + self.step)
        row = row._replace(**more)  # type: ignore[arg-type]
        return self._replace(rows=(*self.rows[:number], row, *self.rows[number + 1 :]))

    def sends(self, *requests: Request) -> State:
        return self._replace(requests=tuple(sorted(requests)))

    def without(self, fault: str) -> State:
        return self._replace(faults=self.faults - {fault})


Event = tuple[str, State]


@cache
def explore(rules: Rules, world: World, limit: int = 1_000_000) -> list[str] | None:
    """The fewest events that lead to two orders, each with its time; None if none do.

    :raises OverflowError: there are more than ``limit`` states.
    """
    # No state refers to itself: looking for such circles would take most of the time.
    gc.disable()
    try:
        return _explore(rules, world, limit)
    finally:
        gc.enable()


def _explore(rules: Rules, world: World, limit: int) -> list[str] | None:
    start = State(faults=frozenset(name for name in FAULTS if getattr(world, name)))
    came: dict[State, tuple[str, State] | None] = {start: None}
    known, edge = {_future(start, rules, world)}, [start]
    while edge:
        following: list[State] = []
        for state in edge:
            for name, after in events(state, rules, world):
                future = _future(after, rules, world)
                if future in known:
                    continue
                known.add(future)
                came[after] = (name, state)
                if len(after.orders) > 1:
                    return _story(came, after)
                following.append(after)
        if len(came) > limit:
            raise OverflowError(f"more than {limit} states")
        edge = following
    return None


def _future(state: State, rules: Rules, world: World) -> Hashable:
    """All of a state that decides what may follow, so that states that agree in it are tried only once.

    The hosts are alike. A wall clock that is not set matters only where it ends leases, and what a host has slept
    only where its clock does not count it.
    """
    first, second = state.hosts
    if rules.counts_sleep:
        first, second = first._replace(slept=0), second._replace(slept=0)
    hosts = (first, second) if first <= second else (second, first)
    if rules.observes_lease and not world.clock_step:
        rows = tuple((row.state, row.seen, row.absent, row.again) for row in state.rows)
        return state.now, hosts, rows, *state[4:]
    return state.now, state.step, hosts, *state[3:]


def _story(came: dict[State, tuple[str, State] | None], state: State) -> list[str]:
    story: list[str] = []
    while (event := came[state]) is not None:
        name, state = event
        story.append(f"tick {state.now}: {name}")
    return story[::-1]


def events(state: State, rules: Rules, world: World) -> Iterator[Event]:
    """All that may happen next, and what is then."""
    in_time = state.now < END
    for number, host in enumerate(state.hosts):
        if host.frozen:
            yield f"host {'AB'[number]} goes on", state.host(number, host._replace(frozen=False))
            continue
        yield from _acts(state, number, host, rules, world)
        in_time = in_time and host.phase != "looked" and not _is_late(state, host, rules)
    for request in set(state.requests):
        yield from _travels(state, request, world, rules)
        # What has arrived is worked off at once by a provider that is awake.
        in_time = in_time and (state.asleep or not request.waits)
    yield from _goes_wrong(state)
    if in_time:
        now = state.now + 1
        first, second = (host._replace(slept=host.slept + host.frozen) for host in state.hosts)
        left = (request for request in state.requests if request.waits or now < request.late)
        yield "a tick", state._replace(now=now, hosts=(first, second), requests=tuple(left))


def _is_late(state: State, host: Host, rules: Rules) -> bool:
    slept = 0 if rules.counts_sleep else host.slept
    return host.phase != "idle" and state.now - host.began - slept >= DEADLINE


def _acts(state: State, number: int, host: Host, rules: Rules, world: World) -> Iterator[Event]:
    """What a host does next: claim, connect, mark, look at the clock, send, and get the answer or give up."""
    if host.phase == "idle":
        yield from _asks(state, number, rules, world)
        return
    who, late, row = f"host {'AB'[number]}", _is_late(state, host, rules), state.rows[host.row]
    idle, order = (
        state.host(number, Host()),
        ("connect", "mark", "look") if rules.connects_first else ("mark", "look", "connect"),
    )
    steps = ("claimed", *order)
    if host.phase == "sent":
        if late:
            lost = idle.row(host.row, "unknown") if row.state == "sending" else idle
            yield f"{who} gives up without an answer: unknown", lost
        return
    if host.phase == "looked":
        arrives = max(host.began + DEADLINE, state.now) + GRACE
        sent = state.host(number, host._replace(phase="sent"))
        yield f"{who} sends", sent.sends(*state.requests, Request(host.row, arrives))
        return
    step = order[steps.index(host.phase)]
    is_last = step == order[-1]
    done = state.host(number, host._replace(phase="looked" if is_last else step))
    if step == "connect" and "slow_name" in state.faults:
        yield (
            f"{who} waits for the provider's address",
            done.host(number, done.hosts[number]._replace(frozen=True)).without("slow_name"),
        )
    if late and (step != "look" or rules.looks_last):
        nothing = idle.row(host.row, "not placed") if row.state in ("claimed", "sending") else idle
        yield f"{who} sees that it is late: nothing was sent", nothing
    elif step == "mark" and row.state != "claimed":
        yield f"{who} cannot mark, its claim is lost", idle
    elif step == "mark":
        yield f"{who} marks", done.row(host.row, "sending")
    else:
        yield f"{who} {'connects' if step == 'connect' else 'looks at the clock'}", done


def _asks(state: State, number: int, rules: Rules, world: World) -> Iterator[Event]:
    """The channel sends the submission, at first or again: the host claims it, or reconciles the last attempt."""
    if number == 1 and not state.rows:
        return  # the hosts are alike: let A begin
    who, this = f"host {'AB'[number]}", len(state.rows) - 1
    row = state.rows[-1] if state.rows else None
    if row is None or row.state in ("not placed", "forgotten"):
        if len(state.rows) < ATTEMPTS:
            rows = (*state.rows, Row("claimed", state.now + state.step))
            yield f"{who} claims", state.host(number, Host("claimed", this + 1, state.now))._replace(rows=rows)
    elif row.state in ("claimed", "sending"):
        after = "not placed" if row.state == "claimed" else "unknown"
        if rules.observes_lease and row.seen is None:
            yield f"{who} sees that it is {row.state}", state.row(this, row.state, seen=state.now)
        elif (state.now - row.seen if row.seen is not None else state.now + state.step - row.wall) >= LEASE:
            yield f"{who} sees the lease over: {after}", state.row(this, after)
    elif row.state == "unknown" and not state.asleep:
        if this in state.orders:
            yield f"{who} finds the order", state.row(this, "placed")
        elif world.can_fence and rules.fences:
            yield (
                f"{who} fences the attempt off, and finds no order",
                state._replace(fenced=state.fenced | {this}).row(this, "not placed"),
            )
        elif rules.looks_twice and row.absent is None:
            yield f"{who} finds no order", state.row(this, "unknown", absent=state.now)
        elif rules.looks_twice and state.now - (row.absent or 0) < GRACE:
            pass  # what the attempt sent may still arrive
        elif rules.looks_twice and rules.confirms and row.again is None:
            yield f"{who} finds no order a grace later", state.row(this, "unknown", again=state.now)
        elif row.again is None or state.now > row.again:
            yield f"{who} finds no order: not placed", state.row(this, "not placed")


def _travels(state: State, request: Request, world: World, rules: Rules) -> Iterator[Event]:
    """What becomes of a placing call on its way."""
    who = f"the call of attempt {request.row + 1}"
    others = list(state.requests)
    others.remove(request)
    if not request.waits:
        yield f"{who} reaches the provider", state.sends(*others, request._replace(waits=True))
        if "rests_too_long" in state.faults:
            held = state.sends(*others, request._replace(late=END)).without("rests_too_long")
            yield f"{who} rests on its way", held
    elif not state.asleep:
        after = state.sends(*others)
        held = [row for row in state.orders if row == request.row or rules.keeps_reference]
        if request.row in state.fenced or (world.merges and held):
            yield f"{who} makes no order: it is known, or fenced off", after
            return
        after = after._replace(orders=(*state.orders, request.row))
        yield f"{who} makes an order; the answer is lost", after
        for number, host in enumerate(state.hosts):
            if host.row == request.row and host.phase == "sent" and not host.frozen:
                reported = after.host(number, Host())
                known = (
                    reported.row(host.row, "placed")
                    if reported.rows[host.row].state in ("sending", "unknown")
                    else reported
                )
                yield f"{who} makes an order; host {'AB'[number]} gets the answer", known


def _goes_wrong(state: State) -> Iterator[Event]:
    """The faults that are left."""
    for number, host in enumerate(state.hosts):
        fault = "frozen_at_the_last_moment" if host.phase == "looked" else "frozen_host"
        if fault in state.faults and host.phase not in ("idle", "sent") and not host.frozen:
            frozen = state.host(number, host._replace(frozen=True)).without(fault)
            yield f"host {'AB'[number]} is frozen", frozen
    if state.asleep:
        yield "the provider wakes", state._replace(asleep=False)
    for fault in ("frozen_provider", "sleeps_again"):
        if fault in state.faults and not state.asleep and state.requests:
            yield "the provider is frozen", state._replace(asleep=True).without(fault)
    if "clock_step" in state.faults and state.rows:
        yield "the wall clock steps", state._replace(step=STEP).without("clock_step")
    if "forgets" in state.faults and state.rows:
        forgotten = state.row(len(state.rows) - 1, "forgotten").without("forgets")
        yield "the ledger loses the row", forgotten
