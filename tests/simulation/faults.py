"""What can go wrong with one call, by name: each has the connection, the request and the provider to itself.

Faults of the network are also those of the campaign with real processes (``tests/faults``); the others are a provider
or a proxy that answers late, twice, for somebody else, or with what proves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Protocol

from tests.simulation.kernel import Kernel
from tests.simulation.network import Connection
from tests.simulation.providers import Answer, Provider, Request

LATE = (0.3, 26.0)
"""Seconds for which a call may rest on its way after its sender saw it fail; within the grace of 30."""
PASSED_OVER = (504, 502, 408, 302, 422, 204, 304, 202, 500)
"""What a proxy answers instead of the provider."""
PROVES_NOTHING = (202, 203, 204, 206)


class Setting(Protocol):
    """What a fault needs of the world."""

    kernel: Kernel
    dice: Random
    provider: Provider

    def forward(self, request: Request) -> Answer:
        """Let the provider have the call, when it is awake."""

    def hang_ledger(self, seconds: float) -> None:
        """Have the ledger answer nothing from now on."""

    def note_copy(self, request: Request) -> None:
        """A placing call comes again, after its first delivery was refused."""

    def note_copied(self, request: Request) -> None:
        """The provider has answered that one."""

    def lose_row(self, request: Request) -> None:
        """Have the ledger lose the row of a placing call, or its mark, before its outcome is recorded."""


class Exchange:
    """One call."""

    def __init__(self, world: Setting, connection: Connection, request: Request) -> None:
        self.world = world
        self.connection = connection
        self.request = request
        self.dice = world.dice

    def forward(self) -> Answer:
        return self.world.forward(self.request)

    def say(self, status: int, body: Any, extra: str = "") -> None:
        self.connection.send(written(status, body, extra))

    def pause(self, least: float, most: float) -> None:
        self.world.kernel.wait(self.dice.uniform(least, most))


def written(status: int, body: Any, extra: str = "") -> bytes:
    """An answer on the wire."""
    content = b"" if status in (204, 304) else json.dumps(body).encode()
    length = "" if status in (204, 304) else f"Content-Length: {len(content)}\r\n"
    return f"HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n{length}{extra}\r\n".encode() + content


def none(it: Exchange) -> None:
    """Nothing goes wrong."""
    it.say(*it.forward())


def _reset(it: Exchange) -> None:
    it.connection.reset()


def _lost(it: Exchange) -> None:
    it.forward()
    it.connection.reset() if it.dice.random() < 0.5 else it.connection.close()


def _late(it: Exchange) -> None:
    it.connection.close()
    it.pause(*LATE)
    it.forward()


def _dripped(it: Exchange) -> None:
    data = written(*it.forward())
    cut = it.dice.randrange(1, len(data))
    it.connection.send(data[:cut])
    for position in range(cut, len(data)):
        it.world.kernel.wait(4.0)
        if it.connection.has_ended:
            return
        it.connection.send(data[position : position + 1])


def _garbage(it: Exchange) -> None:
    it.forward()
    it.connection.send(it.dice.randbytes(40) + b"\r\n\r\n")
    it.connection.close()


def _cut(it: Exchange) -> None:
    status, body = it.forward()
    content = json.dumps(body).encode()
    part = content[: it.dice.randrange(max(len(content) - 1, 1))]
    whole = it.dice.random() < 0.5
    length = len(part) if whole else len(content)
    it.connection.send(f"HTTP/1.1 {status} Status\r\nContent-Length: {length}\r\n\r\n".encode() + part)
    if not whole:
        it.connection.close()


def _failing(it: Exchange) -> None:
    it.say(it.dice.choice((500, 502, 503)), {})


def _failed(it: Exchange) -> None:
    it.forward()
    it.say(it.dice.choice((500, 502, 503, 504)), {})


def _limited(it: Exchange) -> None:
    it.say(429, {}, it.dice.choice(("", "Retry-After: 1\r\n")))


def _redirected(it: Exchange) -> None:
    it.say(it.dice.choice((302, 307)), {}, "Location: http://elsewhere.test/trap\r\n")


def _slow(it: Exchange) -> None:
    it.pause(0.2, 20.0)
    none(it)


def _slow_then_ledger(it: Exchange) -> None:
    """The answer comes at the last moment, and then the ledger hangs."""
    it.pause(18.0, 24.5)
    answer = it.forward()
    it.world.hang_ledger(it.dice.uniform(2, 60))
    it.say(*answer)


def _mute_then_ledger(it: Exchange) -> None:
    """No answer comes, and at the deadline the ledger hangs."""
    it.forward()
    it.pause(18.0, 24.0)
    it.world.hang_ledger(it.dice.uniform(2, 10))


def _lost_then_ledger(it: Exchange) -> None:
    """The answer is lost, and the ledger hangs until that could not be recorded."""
    it.forward()
    it.world.hang_ledger(it.dice.uniform(5.5, 9.5))
    it.connection.reset()


def _lost_then_sold_out(it: Exchange) -> None:
    """The answer is lost, and from then on nothing is left."""
    it.forward()
    it.world.provider.is_sold_out = True
    it.connection.reset()


def _row_lost(it: Exchange) -> None:
    """The ledger loses the row whose order was placed just now, or its mark; the answer may be lost, too."""
    answer = it.forward()
    it.world.lose_row(it.request)
    if it.dice.random() < 0.5:
        it.say(*answer)
    else:
        it.connection.reset()


def _maintenance(it: Exchange) -> None:
    """A proxy in front of the provider answers something else, in JSON and with the status of success."""
    it.say(200, {"maintenance": True})


def _twice(it: Exchange) -> None:
    answers = [it.forward(), it.forward()]
    it.say(*it.dice.choice(answers))


def _silent(it: Exchange) -> None:
    """Neither forwarded nor answered."""


def _mute(it: Exchange) -> None:
    it.forward()


def _deliver(it: Exchange, data: bytes) -> None:
    """Late: after a moment, or together with the answer to the next request of the connection, or its next order."""
    when = it.dice.random()
    if when < 0.3:
        it.connection.leftovers.append(data)
    elif when < 0.6:
        it.connection.waits_for_order.append(data)
    else:
        it.pause(0.001, 0.5) if it.dice.random() < 0.5 else it.pause(*LATE)
        it.connection.send(data)


def _answered_late(it: Exchange) -> None:
    """A proxy answers something else; the provider's answer follows."""
    forwarded_late = it.dice.random() < 0.3
    answer = None if forwarded_late else it.forward()
    it.say(it.dice.choice(PASSED_OVER), {})
    if answer is None:
        it.pause(*LATE)
        answer = it.forward()
    _deliver(it, written(*answer))


def _refused_late(it: Exchange) -> None:
    """A proxy answers something else; the provider has refused the call, and says so late."""
    it.say(it.dice.choice(PASSED_OVER), {})
    refusal = {"detail": "item unavailable: soup", "problem": {"code": "dish_sold_out", "text": "Sold out."}}
    _deliver(it, written(422, refusal))


def _refused_first(it: Exchange) -> None:
    """The network delivers the call twice: the first delivery is refused, and the second one comes late."""
    refusal = {"detail": "item unavailable: soup", "problem": {"code": "dish_sold_out", "text": "Sold out."}}
    it.say(422, refusal)
    it.pause(*LATE)
    it.world.note_copy(it.request)
    it.forward()
    it.world.note_copied(it.request)


def _doubled(it: Exchange) -> None:
    data = written(*it.forward())
    it.connection.send(data)
    _deliver(it, data)


def _interim(it: Exchange) -> None:
    """An interim answer before the answer itself, at once or later."""
    it.connection.send(f"HTTP/1.1 {it.dice.choice((102, 103))} Early\r\nLink: </a>\r\n\r\n".encode())
    answer = it.forward()
    if it.dice.random() < 0.5:
        it.pause(0.1, 30.0)
    it.say(*answer)


def _anothers(it: Exchange) -> None:
    """The answer to another guest's call; this one was stored or not."""
    answer = it.forward()
    made = [order for order in it.world.provider.kept if order.guest == it.request.guest]
    others = [order for order in it.world.provider.kept if order.guest != it.request.guest]
    if answer[0] not in (200, 201):
        it.say(*answer)
        return
    # What a call before this one has made may be known by now.
    if made and answer[0] == 201 and it.dice.random() < 0.4:
        made[-1].is_kept = False
    if others and it.dice.random() < 0.5:
        said: Any = others[-1].said
        it.say(201, said if it.request.kind != "order" or "order_id" in said else {"order": said})
    else:
        it.say(*it.world.provider.another(it.request, answer))


def _not_kept(it: Exchange) -> None:
    """FFTP answers as if it had stored the order; its next call shows that it has not."""
    answer = it.forward()
    if answer[0] == 201 and it.world.provider.name == "deli":
        it.world.provider.kept[-1].is_kept = False
    it.say(*answer)


def _proves_nothing(it: Exchange) -> None:
    """A look-up that is answered, and was not asked."""
    empty: Any = [] if it.world.provider.name == "deli" else {"orders": []}
    it.say(it.dice.choice(PROVES_NOTHING), empty)


def _early_empty(it: Exchange) -> None:
    """The empty answer to an earlier call comes first."""
    empty: Any = [] if it.world.provider.name == "deli" else {"orders": []}
    it.connection.leftovers.append(written(200, empty))
    it.say(504, {})


def _rows_cut(it: Exchange) -> None:
    """Rows without the member that decides, or without the rows after the first."""
    status, body = it.forward()
    rows = body if isinstance(body, list) else body.get("orders")
    if not rows:
        it.say(status, body)
        return
    rows = [{name: value for name, value in row.items() if name not in ("payment_proof", "reference")} for row in rows]
    it.say(it.dice.choice((200, 206)), rows if isinstance(body, list) else {"orders": rows})


Fault = Callable[[Exchange], None]

ANYWHERE: Mapping[str, Fault] = {
    "reset": _reset,
    "answer lost": _lost,
    "delivered late": _late,
    "dripped": _dripped,
    "garbage": _garbage,
    "JSON cut short": _cut,
    "5xx, not forwarded": _failing,
    "5xx after forwarding": _failed,
    "429": _limited,
    "redirected": _redirected,
    "slow": _slow,
    "delivered twice": _twice,
    "silent": _silent,
    "mute": _mute,
    "answered late": _answered_late,
    "doubled": _doubled,
    "interim": _interim,
    "maintenance": _maintenance,
}
PLACING: Mapping[str, Fault] = {
    **ANYWHERE, "refused late": _refused_late, "refused, then taken": _refused_first,
    "another guest's answer": _anothers, "not kept": _not_kept,
    "slow, then the ledger hangs": _slow_then_ledger, "mute, then the ledger hangs": _mute_then_ledger,
    "lost, then the ledger hangs": _lost_then_ledger, "lost, then sold out": _lost_then_sold_out, "row lost": _row_lost,
}  # fmt: skip
LYING: Mapping[str, Fault] = {
    "proves nothing": _proves_nothing, "an early empty answer": _early_empty, "rows cut": _rows_cut,
}  # fmt: skip
"""Answers to a look-up that look as if there were no order."""
LOOKING_UP: Mapping[str, Fault] = {**ANYWHERE, **LYING}
