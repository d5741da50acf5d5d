"""A small imitation of LevelUp, and what can go wrong with a call to it.

It charges a proposed order once, refunds a whole order once, and keeps each charge with whose it is. Some of its wrongs
stay: a refund that is refused for good is refused again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from random import Random
from typing import Any
from urllib.parse import parse_qs

from tests.simulation.faults import ANYWHERE, LATE, PASSED_OVER, PROVES_NOTHING, Exchange, Fault, written
from tests.simulation.providers import Answer, Provider, Request

EPOCH = 1_800_000_000
PAGE = 2
"""Orders on a page of a history; the real one has more, and so pages that are never turned."""
ODD = {"created_at": "2015-01-02T00:00:00Z", "location_id": 11, "spend_amount": 650, "total_amount": None}
FOR_GOOD = "This order is too old to be refunded."

_TOKENS = re.compile(r'(merchant|user)="([^"]+)"')


@dataclass(slots=True)
class LevelUpRequest(Request):
    """``tokens``: whose tokens it carries, by their kind."""

    tokens: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class MadeCharge:
    """An order that was charged. ``refunded``: cents that went back.

    ``why``: object and property of what is wrong, if it is not refunded, for good.
    """

    uuid: str
    guest: str
    proposal: str | None
    spend: int
    at: float
    location: int = 11
    refunded: int = 0
    refunded_at: float | None = None
    why: tuple[str, str] | None = None

    @property
    def unrefunded(self) -> int:
        """Cents that the diner has paid and not got back."""
        return self.spend - self.refunded

    def said(self) -> dict[str, Any]:
        """As LevelUp reports it later."""
        spend = self.spend if self.refunded_at is None else self.refunded
        return {
            "uuid": self.uuid, "created_at": _time(self.at), "location_id": self.location, "spend_amount": spend,
            "tip_amount": 0, "total_amount": spend,
            "refunded_at": None if self.refunded_at is None else _time(self.refunded_at),
        }  # fmt: skip


class LevelUp(Provider):
    """``names``: the diners, by LevelUp's id. ``dice`` decide which optional members it sends."""

    name, host = "levelup", "levelup.test"

    def __init__(self, names: Mapping[int, str], dice: Random) -> None:
        super().__init__(merges=True)
        self.names = names
        self.dice = dice
        self.charges: list[MadeCharge] = []
        self.tokens: dict[str, tuple[str, str]] = {}
        """Kind and whose, of those that are alive."""
        self.declined: set[str] = set()
        """Diners whose card cannot be charged."""
        self.proposals: dict[str, tuple[str, dict[str, Any]]] = {}
        self.odd: set[str] = set()
        """Diners with an old order that nobody can read."""
        self.hidden: set[str] = set()
        """Diners whose orders it does not show."""
        self.has_lied = False
        """Whether the last history that may be somebody else's was."""
        self._codes: dict[str, tuple[str, str]] = {}
        self._number = 0

    def token(self, kind: str, whose: str) -> str:
        """A new token."""
        token = f"{kind}-{whose}-{self._next()}"
        self.tokens[token] = (kind, whose)
        return token

    def code(self, kind: str, whose: str) -> str:
        """What LevelUp gives a browser whose person has agreed."""
        code = f"code-{self._next()}"
        self._codes[code] = (kind, whose)
        return code

    def charge(self, guest: str, proposal: str | None, spend: int, now: float) -> MadeCharge:
        """Take money."""
        charge = MadeCharge(f"uuid{self._next()}", guest, proposal, spend, now)
        self.charges.append(charge)
        return charge

    def charged(self, uuid: str) -> MadeCharge | None:
        """The charge with this UUID."""
        return next((each for each in self.charges if each.uuid == uuid), None)

    def charge_of(self, proposal: str) -> MadeCharge | None:
        """The charge of a proposed order."""
        return next((each for each in self.charges if each.proposal == proposal), None)

    def request(self, top: bytes, body: bytes) -> LevelUpRequest:
        lines = top.decode().split("\r\n")
        method, target, _ = lines[0].split(" ")
        path, _, query = target.partition("?")
        content: Any = _read(body, "oauth2/token" in path)
        header = next((line for line in lines if line.lower().startswith("authorization:")), "")
        request = LevelUpRequest(method, path, parse_qs(query), content, "", tokens=dict(_TOKENS.findall(header)))
        request.kind = self.kind_of(request)
        request.guest = self.guest_of(request)
        return request

    def kind_of(self, request: Request) -> str:
        match request.path.split("/")[1:]:
            case ["oauth2", "token"]:
                return "exchange"
            case ["v15", "proposed_orders"]:
                return "propose"
            case ["v15", "completed_orders"]:
                return "complete"
            case ["v15", "orders", _, "refund"]:
                return "refund"
            case ["v15", "merchants", _, "orders", _]:
                return "read"
            case ["v15", "users", "orders"]:
                return "history"
            case ["v15", "users"]:
                return "profile"
            case ["v15", "managed_locations"]:
                return "places"
        return "credit"

    def guest_of(self, request: Request) -> str | None:
        assert isinstance(request, LevelUpRequest)
        if request.kind == "exchange":
            return self._codes.get(request.body.get("code", ""), ("", None))[1]
        if request.kind in ("refund", "read"):
            found = self.charged(request.path.split("/")[-2 if request.kind == "refund" else -1])
            return found and found.guest
        return self.tokens.get(request.tokens.get("user", ""), ("", None))[1]

    def handle(self, request: Request, now: float) -> Answer:
        assert isinstance(request, LevelUpRequest)
        if request.kind == "exchange":
            return self._exchange(request)
        for kind in request.tokens:
            if self.tokens.get(request.tokens[kind], ("", ""))[0] != kind:
                return refusal(401, "order", f"{kind}_token")
        guest = self.tokens[request.tokens["user"]][1] if "user" in request.tokens else ""
        match request.kind:
            case "propose":
                uuid = f"proposal{self._next()}"
                self.proposals[uuid] = (guest, request.body["proposed_order"])
                return 200, {"proposed_order": {"uuid": uuid, "discount_amount": 0}}
            case "complete":
                return self._complete(request.body["completed_order"], guest, now)
            case "refund":
                return self._refund(request.path.split("/")[3], now)
            case "read":
                found = self.charged(request.path.split("/")[-1])
                return (200, {"order": found.said()}) if found else (404, None)
            case "history":
                return self._history(guest, int(request.query.get("page", ["1"])[0]))
            case "profile":
                number = next(number for number, name in self.names.items() if name == guest)
                return 200, {"user": {"id": number, "email": f"{guest.lower()}@example.com"}}
            case "places":
                return 200, [{"location": {"id": 11, "merchant_id": 1, "name": "Beacon"}}]
        return 200, {"credit": {"total_amount": 0}}

    def another(self, request: Request, answer: Answer) -> Answer:
        return answer

    def _exchange(self, request: LevelUpRequest) -> Answer:
        kind, whose = self._codes.pop(request.body.get("code", ""), ("", ""))
        if not kind:
            return 400, {"error": "invalid_grant"}
        answer: dict[str, Any] = {"access_token": self.token(kind, whose), "token_type": "bearer"}
        if kind == "user" and self.dice.random() < 0.6:
            answer["user_id"] = next(number for number, name in self.names.items() if name == whose)
        return 200, answer

    def _complete(self, body: dict[str, Any], guest: str, now: float) -> Answer:
        proposal = self.proposals.get(body["proposed_order_uuid"])
        if proposal is None or proposal[0] != guest:
            return refusal(404, "order", "proposed_order_uuid")
        made = self.charge_of(body["proposed_order_uuid"])
        if made is None:
            if guest in self.declined:
                return DECLINED
            made = self.charge(guest, body["proposed_order_uuid"], body["spend_amount"], now)
        order = {"uuid": made.uuid, "spend_amount": made.spend, "tip_amount": 0, "total_amount": made.spend}
        return 200, {"order": order}

    def _refund(self, uuid: str, now: float) -> Answer:
        made = self.charged(uuid)
        if made is None:
            return 404, None
        if made.refunded_at is not None:
            return refusal(422, "order", "base", "This order was refunded already.")
        if made.why is not None:
            return refusal(422, *made.why, FOR_GOOD)
        made.refunded, made.refunded_at = made.spend, now
        return 200, {"order": made.said()}

    def _history(self, guest: str, page: int) -> Answer:
        if guest in self.hidden:
            return refusal(403, "user", "permission")
        found = [each for each in reversed(self.charges) if each.guest == guest][(page - 1) * PAGE : page * PAGE]
        said = [{"order": each.said()} for each in found]
        if guest in self.odd and page == 1:
            said.append({"order": {**ODD, "uuid": f"old-{guest}"}})
        return (200, said) if said else (204, None)

    def _next(self) -> int:
        self._number += 1
        return self._number


def refusal(status: int, object: str, property: str, words: str = "No.") -> Answer:
    """LevelUp's form of a refusal."""
    return status, [{"error": {"object": object, "property": property, "message": words, "code": "x"}}]


DECLINED = refusal(422, "order", "base", "The card was declined.")


def link_of(request: Request, answer: Answer) -> str:
    """The header that names the next page of a list."""
    if request.kind != "history" or answer[0] != 200:
        return ""
    page = int(request.query.get("page", ["1"])[0]) + 1
    return f'Link: <https://levelup.test/v15/users/orders?page={page}>; rel="next"\r\n'


def _read(body: bytes, is_form: bool) -> Any:
    if is_form:
        return {name: values[0] for name, values in parse_qs(body.decode()).items()}
    return json.loads(body) if body else None


def _time(at: float) -> str:
    return datetime.fromtimestamp(EPOCH + int(at), timezone.utc).isoformat()


# What goes wrong with a call to it.


def _of(it: Exchange) -> LevelUp:
    levelup: LevelUp = it.world.levelup  # type: ignore[attr-defined]
    return levelup


def say(it: Exchange, answer: Answer) -> None:
    """Answer, with the header that a list has."""
    it.say(*answer, link_of(it.request, answer))


def none(it: Exchange) -> None:
    """Nothing goes wrong."""
    say(it, it.forward())


def _refused_late(it: Exchange) -> None:
    """A proxy answers something else; the refusal of another guest's call follows."""
    it.say(it.dice.choice(PASSED_OVER), {})
    if it.dice.random() < 0.6:
        it.forward()
    it.pause(0.001, 0.5) if it.dice.random() < 0.5 else it.pause(*LATE)
    it.connection.send(written(*DECLINED))


def _anothers(it: Exchange) -> None:
    """Another order's answer, of one that is known to the service; this one was charged or not."""
    answer = it.forward() if it.dice.random() < 0.7 else (200, {})
    known: set[str] = it.world.reported_uuids()  # type: ignore[attr-defined]
    others = [each for each in _of(it).charges if each.uuid in known and each.guest != it.request.guest]
    if not others or answer[0] != 200 or it.request.kind == "history" and not _lies(it):
        say(it, answer)
        return
    said = others[-1].said()
    it.say(200, [{"order": said}] if it.request.kind == "history" else {"order": said})


def _another_amount(it: Exchange, lost: float = 0.2) -> None:
    """It charges another amount than was asked for. The answer may get lost too."""
    body, levelup = it.request.body["completed_order"], _of(it)
    if levelup.charge_of(body["proposed_order_uuid"]) is None and it.request.guest not in levelup.declined:
        before = body["spend_amount"]
        body["spend_amount"] = it.dice.choice((1, before // 2, before - 1, before + 100))
    answer = it.forward()
    if it.dice.random() < lost:
        it.connection.reset()
    else:
        say(it, answer)


def _another_amount_lost(it: Exchange) -> None:
    """The same, and nobody reports it."""
    _another_amount(it, 1.0)


def _misread(it: Exchange) -> None:
    """It says other amounts than it charged."""
    status, body = it.forward()
    if status == 200 and it.request.kind in ("complete", "refund"):
        half = body["order"]["spend_amount"] // 2
        body = {"order": {**body["order"], "spend_amount": half, "total_amount": half}}
    say(it, (status, body))


def _proves_nothing(it: Exchange) -> None:
    """A status that says nothing, with a body that says all; it was done, or not."""
    if it.dice.random() < 0.4:
        it.say(it.dice.choice(PROVES_NOTHING), it.forward()[1])
        return
    body: Any = []
    if it.request.kind == "complete":
        spend = it.request.body["completed_order"]["spend_amount"]
        body = {"order": {"uuid": "nobody", "spend_amount": spend, "tip_amount": 0, "total_amount": spend}}
    elif it.request.kind in ("refund", "read"):
        made = _of(it).charged(it.request.path.split("/")[-2 if it.request.kind == "refund" else -1])
        body = {"order": {**made.said(), "refunded_at": _time(it.world.kernel.now)}} if made is not None else {}
    it.say(it.dice.choice(PROVES_NOTHING), body)


def _words(it: Exchange) -> None:
    """A refusal that LevelUp does not document; it was done or not."""
    if it.dice.random() < 0.6:
        it.forward()
    words = it.dice.choice((("user", "email"), ("refund", "base"), ("order", "proposed_order_uuid"), ("", "")))
    say(it, refusal(422, *words))


def _for_good(it: Exchange, why: tuple[str, str] = ("order", "base")) -> None:
    """The refund is refused, now and always."""
    made = _of(it).charged(it.request.path.split("/")[3])
    if made is not None and made.refunded_at is None:
        made.why = why
    say(it, it.forward())


def _other_words(it: Exchange) -> None:
    """The same, in a form that LevelUp does not document."""
    _for_good(it, ("refund", "closed"))


def _accepted(it: Exchange) -> None:
    """202 without a time: it is made later, or not."""
    made = _of(it).charged(it.request.path.split("/")[3])
    said = {**made.said(), "refunded_at": None} if made is not None else {}
    it.say(202, {"order": said})
    if it.dice.random() < 0.5:
        it.pause(*LATE)
        it.forward()


def _in_part(it: Exchange) -> None:
    """Half of it goes back, and nothing more ever."""
    made = _of(it).charged(it.request.path.split("/")[3])
    if made is None or made.refunded_at is not None or made.why is not None:
        say(it, it.forward())
        return
    answer = it.forward()
    if answer[0] == 200:  # and not made whole while LevelUp was frozen
        made.refunded = made.spend // 2
        answer = 200, {"order": made.said()}
    say(it, answer)


def _unauthorized(it: Exchange) -> None:
    """A proxy, or LevelUp on a bad day, takes a good token for none."""
    say(it, refusal(401, "", "user_token"))


def _very_late(it: Exchange) -> None:
    """It rests somewhere on the way until nobody expects it any more."""
    it.connection.close()
    it.pause(60.0, 900.0)
    it.forward()


def declined_then_charged(it: Exchange) -> None:
    """The network delivers the call twice: the first time the card is declined, and the second time charged."""
    it.say(*DECLINED)
    it.pause(0.001, 3.0) if it.dice.random() < 0.7 else it.pause(10.0, 900.0)
    it.forward()


def _then_frozen(it: Exchange) -> None:
    """The host is frozen soon after it has read the answer: somewhere on the way to the meal."""
    process, world = it.connection.client.process, it.world
    left, seconds = it.dice.randrange(6), it.dice.uniform(60.0, 350.0)
    before = process.at_point

    def at_point(name: str) -> None:
        nonlocal left
        if before is not None:
            before(name)
        if name == "ledger before":
            left -= 1
            if left == -1 and not process.is_dead:
                world.freeze(process, seconds)

    process.at_point = at_point
    none(it)


def then_killed(it: Exchange) -> None:
    """The worker is killed soon after it has read the answer: somewhere on the way to its own."""
    process, world = it.connection.client.process, it.world
    left = it.dice.randrange(4)
    before = process.at_point

    def at_point(name: str) -> None:
        nonlocal left
        if before is not None:
            before(name)
        if name in ("ledger before", "ledger after"):
            left -= 1
            if left == -1 and not process.is_dead:
                world._kill(process)

    process.at_point = at_point
    none(it)


def _lies(it: Exchange) -> bool:
    """Whether a history is somebody else's now; it is not twice in a row."""
    levelup = _of(it)
    levelup.has_lied = not levelup.has_lied
    return levelup.has_lied


def _empty(it: Exchange) -> None:
    """A history of somebody who has never ordered."""
    say(it, (204, None)) if _lies(it) else none(it)


def _early_empty(it: Exchange) -> None:
    """The empty answer to an earlier call comes first."""
    it.connection.leftovers.append(written(204, None))
    it.say(504, {})


LEVELUP: Mapping[str, Mapping[str, Fault]] = {
    "complete": {
        **ANYWHERE, "refused late": _refused_late, "another's charge": _anothers, "another amount": _another_amount,
        "another amount, lost": _another_amount_lost,
        "misread": _misread, "proves nothing": _proves_nothing, "words": _words, "very late": _very_late,
        "then frozen": _then_frozen,
    },
    "refund": {
        **ANYWHERE, "refused late": _refused_late, "another's charge": _anothers, "proves nothing": _proves_nothing,
        "words": _words, "refused for good": _for_good,
        "refused in other words": _other_words, "accepted": _accepted, "in part": _in_part,
    },
    "history": {
        **ANYWHERE, "another's charge": _anothers, "proves nothing": _proves_nothing, "unauthorized": _unauthorized,
        "an early empty answer": _early_empty, "empty": _empty,
    },
    "read": {**ANYWHERE, "another's charge": _anothers, "proves nothing": _proves_nothing},
    "propose": ANYWHERE,
    "exchange": ANYWHERE,
    "profile": ANYWHERE,
    "places": ANYWHERE,
}  # fmt: skip
"""What can go wrong, by the kind of call."""
PERSON = frozenset(
    {"refused for good", "refused in other words", "in part", "token died", "another amount", "another amount, lost",
     "very late", "frozen at send", "called off", "order lost", "declined, then charged"}
)  # fmt: skip
"""What may leave a case for a person."""
REFUSING = ("refused for good", "refused in other words", "in part", "accepted", "delivered twice", "answered late")
"""What a refund meets that is not simply made."""
DECEIVING = ("proves nothing", "an early empty answer", "another's charge", "unauthorized", "answered late", "empty")
"""What makes a history look shorter than it is."""
