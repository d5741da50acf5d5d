"""The operations of both faces: an object in, an object out. REST and MCP call these, and only these.

A protocol error is raised as :class:`levelup_ov.ucp.problems.Rejected`, an answer without a resource as
:class:`levelup_ov.ucp.problems.BusinessOutcome`; every other answer is returned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from levelup_ov.config import Settings
from levelup_ov.domain.failure import Failure
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.schemas import agent_checkouts as requests
from levelup_ov.sessions import Sessions
from levelup_ov.sessions.model import OPEN, CheckoutSession, Problem, RequestKey
from levelup_ov.sessions.problems import lacking
from levelup_ov.transport.deadline import Deadline
from levelup_ov.ucp import baskets, food, payment, shopping
from levelup_ov.ucp.answers import AnswerContext
from levelup_ov.ucp.baskets import BasketDraft
from levelup_ov.ucp.negotiation import Negotiated
from levelup_ov.ucp.problems import STANDARD, Message, Rejected, outcome, plain, rejected
from levelup_ov.ucp.profile import envelope
from levelup_ov.ucp.shown import ShownAnswers
from levelup_ov.ucp.versions import CHECKOUT, FULFILLMENT, ORDER, FaceName

MOST_LEFT_OUT = 5
"""How many items a shopping checkout is created without, one validation each."""

_UNSELLABLE: Mapping[str, tuple[str, str]] = {
    "item_unavailable": ("out_of_stock", "it is sold out"),
    "unknown_item": ("item_unavailable", "there is no such item"),
    "invalid_choices": ("item_unavailable", ""),
}
"""Why a shopping checkout goes on without an item: our code, UCP's code, and the words; none: the provider's."""


@dataclass(slots=True)
class AgentCall:
    """One call of an agent, whatever its transport.

    ``caller``: the name of its key; it owns its sessions. ``key``: its idempotency key and its body, for operations
    that change something. ``base_url``: the public address of this service, without a trailing slash.
    """

    caller: str
    context: RequestContext
    negotiated: Negotiated
    base_url: str
    key: RequestKey | None = None

    def step(self, name: str) -> RequestKey | None:
        """The key of a further step of the same operation, so that a repetition repeats each step."""
        return self.key and replace(self.key, value=f"{self.key.value}#{name}")


@dataclass(frozen=True, slots=True)
class Face:
    """What differs between shopping and food."""

    name: FaceName
    read: Callable[[Any], requests.CheckoutRequest]
    basket: Callable[[requests.CheckoutRequest, CheckoutSession | None], BasketDraft]
    answer: Callable[[CheckoutSession, Mapping[str, Any], AnswerContext], dict[str, Any]]


FACES: Mapping[FaceName, Face] = {
    "shopping": Face("shopping", requests.read_shopping, baskets.shopping_basket, shopping.answer),
    "food": Face("food", requests.read_food, baskets.food_basket, food.answer),
}


class Operations:
    """The operations of one face, over the sessions of the core.

    ``needs_options``: whether a shopping product cannot be bought without them.
    """

    def __init__(
        self, face: FaceName, sessions: Sessions, settings: Settings, needs_options: Callable[[AgentCall, str], bool]
    ) -> None:
        self.face = FACES[face]
        self._needs_options = needs_options
        self._sessions = sessions
        self._settings = settings
        self._links = tuple({"type": type, "url": url} for type, url in settings.agent_links.items())
        self._has_checkout = settings.checkout is not None
        self._shown = ShownAnswers()

    def create(self, call: AgentCall, body: Any) -> dict[str, Any]:
        """Create a checkout from ``body``, parsed or not.

        :raises BusinessOutcome: there is nothing that it could hold.
        """
        self._begin(call, self._settings.validation_deadline)
        with in_words_of_ucp():
            request, draft = self._drafted(call, body, None)
            session = self._sessions.create(call.caller, draft.basket, call.key, call.context)
            return self._settled(call, request, draft, session, is_new=True)

    def read(self, call: AgentCall, id: str) -> dict[str, Any]:
        """The checkout as it is now; one in progress is reconciled first."""
        self._begin(call, self._settings.submission_deadline)
        with in_words_of_ucp():
            return self._answer(call, self._mine(call, id))

    def read_written(self, call: AgentCall, id: str, write: Callable[[Any], bytes]) -> bytes:
        """The same, as ``write`` writes it: once for as long as the checkout stays as it is."""
        self._begin(call, self._settings.submission_deadline)
        key = " ".join((id, call.base_url, *sorted(call.negotiated.capabilities)))
        shown = self._shown.find(key)
        with in_words_of_ucp():
            is_known = shown.is_of if shown is not None else _is_unknown
            session = self._sessions.read_unless(is_known, call.caller, id, call.context)
            if session is None and shown is not None and (content := shown.open()) is not None:
                return content
            session = self._of_face(session or self._sessions.read(call.caller, id, call.context))
            content = write(self._answer(call, session))
            if session.state != "complete_in_progress":
                self._shown.keep(key, session.version, content)
            return content

    def update(self, call: AgentCall, id: str, body: Any) -> dict[str, Any]:
        """Replace everything that an agent can say; what ``body`` leaves out is removed."""
        self._begin(call, self._settings.validation_deadline)
        with in_words_of_ucp():
            if isinstance(body, dict) and body.get("id") not in (None, id):
                raise Rejected("invalid_request", "$.id: this is another checkout's", 400, path="$.id")
            request, draft = self._drafted(call, body, id)
            session = self._sessions.replace(call.caller, id, draft.basket, call.key, call.context)
            return self._settled(call, request, draft, session)

    def complete(self, call: AgentCall, id: str, body: Any) -> dict[str, Any]:
        """Place the order and charge the instrument of ``body``."""
        self._begin(call, self._settings.submission_deadline)
        with in_words_of_ucp():
            request = requests.read_completion(body, payment.HANDLERS)
            session = self._mine(call, id)
            tender = payment.tender(request, self._tenders(session))
            if isinstance(tender, Message):
                # What an earlier payment lacked says nothing about this one.
                others = tuple(each for each in session.problems if STANDARD.get(each.code) != tender.code)
                return self._answer(call, replace(session, problems=others), (tender,))
            contact, key = baskets.buyer_of(request.instrument.contact), call.key.value if call.key else ""
            is_named = session.basket.buyer is not None
            if session.state in OPEN and not is_named and contact is not None and not lacking(contact):
                # No other buyer was named: the payer is the buyer.
                basket = baskets.bought_by(contact, session, key)
                try:
                    session = self._sessions.replace(call.caller, id, basket, call.step("buyer"), call.context)
                except Failure:
                    # Another request may be completing it by now.
                    if (session := self._mine(call, id)).state in OPEN:
                        raise
            if session.state in OPEN and baskets.costs_otherwise(session, key):
                return self._answer(call, replace(session, changed=True))
            session = self._sessions.complete(call.caller, id, tender, call.key, call.context)
            return self._answer(call, session, instrument=request.position)

    def cancel(self, call: AgentCall, id: str) -> dict[str, Any]:
        """Give a checkout up."""
        self._begin(call, self._settings.validation_deadline)
        with in_words_of_ucp():
            self._mine(call, id)
            return self._answer(call, self._sessions.cancel(call.caller, id, call.key, call.context))

    def order(self, call: AgentCall, id: str) -> dict[str, Any]:
        """The order that came out of a checkout (shopping only)."""
        call.negotiated.require(ORDER)
        call.context.deadline = Deadline(self._settings.submission_deadline)
        with in_words_of_ucp():
            session = self._mine(call, id)
            if session.order is None:
                raise outcome("not_found", "there is no such order")
            ucp = envelope("order", call.negotiated)
            try:
                tracked = self._sessions.track(call.caller, id, call.context)
            except Failure as failure:
                found = shopping.order(session, ucp, call.base_url, None)
                if failure.code != "status_not_supported":
                    found["messages"] = [Message("warning", "status_unknown", failure.message).wire()]
                return found
            return shopping.order(session, ucp, call.base_url, tracked)

    def _begin(self, call: AgentCall, seconds: float) -> None:
        call.negotiated.require(CHECKOUT[self.face.name])
        call.context.deadline = Deadline(seconds)

    def _drafted(self, call: AgentCall, body: Any, id: str | None) -> tuple[requests.CheckoutRequest, BasketDraft]:
        """The body of a create or an update, and its basket, without what the agent has not declared (UCP-3).

        The basket has the address that changes of its order are sent to (UCP-15).
        """
        request = self.face.read(body)
        ignored = request.method is not None and FULFILLMENT not in call.negotiated.capabilities
        if ignored:
            request = structs.replace(request, method=None)
        draft = self.face.basket(request, None if id is None else self._mine(call, id))
        if ignored:
            words = "the agent's profile does not declare it: this is a pickup as soon as possible"
            message = Message("warning", "fulfillment_ignored", words, "$.fulfillment")
            draft = structs.replace(draft, messages=(*draft.messages, message))
        if self.face.name != "shopping" or not self._settings.agent_signing_keys:
            return request, draft
        basket = baskets.followed(draft.basket, call.negotiated.webhook, call.base_url)
        return request, structs.replace(draft, basket=basket)

    def _mine(self, call: AgentCall, id: str) -> CheckoutSession:
        """The session of this caller and this face. :raises BusinessOutcome: ``not_found``."""
        return self._of_face(self._sessions.read(call.caller, id, call.context))

    def _of_face(self, session: CheckoutSession) -> CheckoutSession:
        if baskets.face_of(session.basket) != self.face.name:
            raise outcome("not_found", "there is no such checkout")
        return session

    def _settled(
        self,
        call: AgentCall,
        request: requests.CheckoutRequest,
        draft: BasketDraft,
        session: CheckoutSession,
        *,
        is_new: bool = False,
    ) -> dict[str, Any]:
        """The answer to a new basket, after the steps that its price asks for."""
        messages = list(draft.messages)
        if self.face.name == "shopping":
            session = self._without_unsellable(call, draft, session, messages, is_new)
        return self._answer(call, session, tuple(messages), request.claims)

    def _without_unsellable(
        self, call: AgentCall, draft: BasketDraft, session: CheckoutSession, messages: list[Message], is_new: bool
    ) -> CheckoutSession:
        """The session without the lines that this face cannot sell, each with a message (UCP-12).

        An update after which nothing would be left is kept as it is, with its problems.
        """
        for step in range(MOST_LEFT_OUT):
            gone = self._unsellable(call, session)
            if not gone:
                break
            kept = tuple(line for position, line in enumerate(session.basket.lines) if position not in gone)
            if not kept and not is_new:
                break
            for position, problem in gone.items():
                line = session.basket.lines[position]
                code, words = _UNSELLABLE[problem.code]
                words = words or f"{plain(problem.message)} (options can be named only in dev.ucp.food)"
                id = baskets.product_id(session.basket, line.item_id)
                messages.append(baskets.unavailable(draft.positions[line.reference], id, words, code))
            if not kept:
                self._sessions.cancel(call.caller, session.id, call.step("nothing"), call.context)
                raise baskets.nothing_left(messages)
            basket = structs.replace(session.basket, lines=kept)
            session = self._sessions.replace(call.caller, session.id, basket, call.step(f"kept{step}"), call.context)
        return session

    def _unsellable(self, call: AgentCall, session: CheckoutSession) -> dict[int, Problem]:
        """The problems of the lines that this face cannot sell, however many are wanted, by their positions."""
        found, basket = {}, session.basket
        for problem in session.problems:
            position = _line_of(problem)
            if position is None or problem.code not in _UNSELLABLE:
                continue
            id = baskets.product_id(basket, basket.lines[position].item_id)
            # It may also be about how many are wanted.
            if problem.code != "invalid_choices" or self._needs_options(call, id):
                found[position] = problem
        return found

    def _tenders(self, session: CheckoutSession) -> frozenset[str]:
        """How this session may be paid: LevelUp needs web checkout (UCP-8)."""
        return frozenset(kind for kind in session.tenders if kind != "levelup" or self._has_checkout)

    def _answer(
        self,
        call: AgentCall,
        session: CheckoutSession,
        messages: tuple[Message, ...] = (),
        claims: tuple[str, ...] = (),
        instrument: int = 0,
    ) -> dict[str, Any]:
        call.context.replayed = session.replayed
        ucp = envelope(self.face.name, call.negotiated, self._tenders(session))
        answer = self.face.answer(session, ucp, AnswerContext(call.base_url, self._links, messages, claims, instrument))
        if FULFILLMENT not in call.negotiated.capabilities:
            answer.pop("fulfillment", None)
        return answer


def _is_unknown(_version: int) -> bool:
    return False


def _line_of(problem: Problem) -> int | None:
    """The line that a problem is about."""
    head, _, rest = (problem.path or "").removeprefix("$.").partition("[")
    number = rest.partition("]")[0]
    return int(number) if head == "lines" and number.isdecimal() else None


_NOT_FOUND: Mapping[str, str] = {
    "session_not_found": "there is no such checkout",
    "location_not_found": "there is no such establishment",
}


class in_words_of_ucp:
    """Turns a failure into what UCP has for it.

    :raises Rejected: or
    :raises BusinessOutcome: as the failure has it.
    """

    def __enter__(self) -> None:
        pass

    def __exit__(self, _type: object, failure: BaseException | None, _traceback: object) -> None:
        if isinstance(failure, Failure):
            if (words := _NOT_FOUND.get(failure.code)) is not None:
                raise outcome("not_found", words) from None
            raise rejected(failure) from failure
