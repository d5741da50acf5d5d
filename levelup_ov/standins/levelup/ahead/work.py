"""Orders ahead: started, validated, completed, and what happens in between.

States: ``validating``, then ``valid`` or ``invalid``; completing a valid one: ``charging``, ``submitting``, then
``completed`` or ``rejected``. A process has a lease on the order that it handles; the next poll continues the work of a
process that ended. The guest is charged in one transaction with the state, so only once. A submission has the order's
UUID as its key, and its body is made from stored data, so that the gateway recognizes it.

A charge is refunded only if it is proven that no order exists: by the gateway's refusal and, if an earlier attempt was
not answered, by a refusal long enough after it.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid as uuids
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from levelup_ov.standins.levelup import orders
from levelup_ov.standins.levelup.ahead import carts, credit, lines, scheduling, views, words
from levelup_ov.standins.levelup.ahead.carts import AheadCart, Known
from levelup_ov.standins.levelup.ahead.gateway import Gateway, GatewayReply, Unreached, segment
from levelup_ov.standins.levelup.ahead.places import Places, no_menu
from levelup_ov.standins.levelup.problems import ErrorResponse, error, not_found
from levelup_ov.standins.levelup.store import Ahead, PlatformStore, PlatformUser, Transaction
from levelup_ov.standins.levelup.world import MAINTENANCE, PlatformLocation

VALIDATION_SECONDS = 15.0
"""How long the platform waited for a validation, attempts included."""
SUBMISSION_SECONDS = 90.0
"""How long it sent a submission again."""
ATTEMPT_SECONDS = 30.0
"""How long one attempt of a submission may take: longer than the gateway's own deadline."""
IN_FLIGHT_SECONDS = 90.0
"""For how long a submission without an answer may still arrive."""
LOOK_AGAIN_SECONDS = 60.0
"""How long an order that is not known to be placed is left alone."""
HEALTH_SECONDS = 5.0
REPETITION_SECONDS = 3600.0
"""For how long before an order started the number of another one counts; a kitchen counts from 1 again every day."""
RECENT = 1000
"""Orders of a diner at a place that are looked at for that."""

JSON = dict[str, Any]
Run = Callable[[Callable[[], None]], None]
Verdict = Literal["placed", "refused", "busy", "unknown", "silent"]
"""Of one attempt. ``busy``: not placed, try again. ``unknown``: the gateway cannot say yet. ``silent``: no answer."""

_NOT_KNOWN = ("outcome_unknown", "submission_in_progress", "idempotency_key_reused")
_log = logging.getLogger(__name__)


def in_thread(work: Callable[[], None]) -> None:
    """Do it in a thread of its own, which does not keep the process alive."""
    threading.Thread(target=work, daemon=True).start()


class OrderAhead:
    """The order-ahead service of the platform. ``run`` does the work that an app polls for."""

    def __init__(
        self,
        store: PlatformStore,
        gateway: Gateway | None,
        clock: Callable[[], datetime],
        run: Run = in_thread,
        sleep: Callable[[float], None] = time.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._gateway = gateway
        self._clock = clock
        self._run = run
        self._sleep = sleep
        self._monotonic = monotonic
        self.places = Places(store, gateway)

    @property
    def serves(self) -> bool:
        """Whether there is a gateway to order from."""
        return self._gateway is not None

    def refresh(self) -> None:
        """Look for the gateway's locations."""
        self.places.refresh()

    # What apps call.

    def start(self, app_id: int, user: PlatformUser, cart: AheadCart) -> Ahead:
        """Start an order. :raises ErrorResponse: 404, 422 ``cart_invalid``."""
        with self._store.reading() as transaction:
            location = transaction.location(cart.location_id)
            kept = transaction.menu(cart.location_id)
        if self._gateway is None or location is None or location.gateway_id is None:
            raise not_found("order", "location_id", "There is no location that takes orders with this id.")
        if kept is not None:
            try:
                return self._start(app_id, user, cart, location, kept[1], kept[2])
            except ErrorResponse:
                pass  # The menu may be a new one.
        return self._start(app_id, user, cart, location, *self.places.menu(location))

    def _start(
        self, app_id: int, user: PlatformUser, cart: AheadCart, location: PlatformLocation, menu: JSON, layout: JSON
    ) -> Ahead:
        now = self._clock()
        with self._store.writing() as transaction:
            keys = {number: transaction.key(*number) for number in carts.numbers_of(cart)}
            known = Known(menu, layout, {number: key for number, key in keys.items() if key is not None})
            merchant = orders.merchant_of(transaction, location.id)
            funds = orders.funds_of(transaction, user.id, merchant, now)
            body = carts.validation(cart, known, location, user, funds.credit, transaction.user_metadata(user.id))
            seconds = now.timestamp()
            order = Ahead(
                uuids.uuid4().hex, app_id, user.id, location.id, "validating", lines.shown(cart, layout), body, None,
                None, None, None, seconds, seconds, seconds + VALIDATION_SECONDS * 2,
            )  # fmt: skip
            transaction.add_ahead(order)
        self._run(lambda: self._validate(order.uuid))
        return order

    def known(self, uuid: str, token_hash: str) -> tuple[str, str | None] | None:
        """State and kept answer of an order that is the user's and needs nothing done; what apps ask all the time.

        None: it is unknown; :meth:`look` reconciles it.
        """
        with self._store.glancing() as transaction:
            found = transaction.polled_ahead(uuid, token_hash, MAINTENANCE)
        if found is None or found[0] in _WORK and found[1] <= self._clock().timestamp():
            return None
        return found[0], found[2]

    def look(self, order: Ahead | None, user_id: int) -> Ahead:
        """An order that was read, if it is the user's; work left behind is taken up. :raises ErrorResponse: 404."""
        if order is None or order.user_id != user_id:
            raise not_found("order", "uuid", "There is no such order.")
        if order.state not in _WORK:
            return order
        uuid, now = order.uuid, self._clock().timestamp()
        if order.lease <= now:
            with self._store.writing() as transaction:
                taken = transaction.lease_ahead(uuid, tuple(_WORK), now, now + SUBMISSION_SECONDS * 2)
            if taken:
                self._run(lambda: _WORK[order.state](self, uuid))
        return order

    def complete(self, uuid: str, user_id: int) -> Ahead:
        """Pay for an order and place it; again it does nothing more. :raises ErrorResponse: 404, 422."""
        with self._store.reading() as transaction:
            found = transaction.ahead(uuid)
        order = self.look(found, user_id)
        now = self._clock().timestamp()
        with self._store.writing() as transaction:
            begun = _change(
                transaction, uuid, ("valid",), now, state="charging", problem=None, lease=now + SUBMISSION_SECONDS * 2
            )
            order = transaction.ahead(uuid) or order
        if begun:
            self._run(lambda: self._submit(uuid))
        elif order.state not in ("charging", "submitting", "completed"):
            raise refusal(order)
        return order

    def menu(self, location_id: int) -> JSON:
        """The menu of a location as apps get it. :raises ErrorResponse: 404, 503."""
        with self._store.reading() as transaction:
            location = transaction.location(location_id)
        if location is None:
            raise no_menu()
        return self.places.menu(location)[1]

    # The work.

    def _validate(self, uuid: str) -> None:
        with self._store.reading() as transaction:
            order = transaction.ahead(uuid)
            location = transaction.location(order.location_id) if order else None
        if order is None or location is None or order.state != "validating":
            return
        end = self._monotonic() + VALIDATION_SECONDS
        body, quote, problem, cause = order.body, None, None, None
        refused: list[int] = []
        while quote is None and (left := end - self._monotonic()) > 0:
            reply = self._ask(location, "order_validations", {"order_validation": body}, {}, left)
            problem = None
            if isinstance(reply, Unreached):
                problem, cause = {"code": "provider_unavailable", "message": words.UNREACHED}, {"cause": str(reply)}
            elif reply.status == 200 and (found := carts.read_quote(reply.body)) is not None:
                less = credit.next_to_ask(body["merchant_funded_discount"], refused, found[1])
                if less is None:
                    quote = found[0]
                else:
                    body = {**body, "merchant_funded_discount": less}
            else:
                problem, cause = _problem(order, reply)
                asked = body["merchant_funded_discount"]
                if asked and reply.status == 422 and credit.is_about_credit(cause["path"]):
                    refused.append(asked)
                    body = {**body, "merchant_funded_discount": 0}
                    problem = None
                elif not _retryable(reply):
                    break
            if problem:
                self._sleep(min(0.5, max(0.0, end - self._monotonic())))
        code = problem["code"] if problem else None
        later = scheduling.shown_by(order.cart["desired_ready_time"], quote, code, self._clock())
        if problem and code == scheduling.REFUSED_TIME and not location.scheduling:
            problem["message"] = words.ONLY_NOW
        now = self._clock().timestamp()
        with self._store.writing() as transaction:
            if later is not None and later is not location.scheduling:
                transaction.learn_scheduling(location.id, later)
            if quote is None:
                _log.warning("order_not_validated", extra={"order": uuid, **(cause or {})})
                late = {"code": "provider_timeout", "message": words.TOO_LATE}
                _change(transaction, uuid, ("validating",), now, state="invalid", problem=problem or late, lease=0)
                return
            metadata = quote.get("metadata") or {}
            transaction.keep_user_metadata(order.user_id, _of_users(metadata))
            _change(transaction, uuid, ("validating",), now, state="valid", quote=quote, body=body, lease=0)

    def _submit(self, uuid: str) -> None:
        with self._store.reading() as transaction:
            order = transaction.ahead(uuid)
            location = transaction.location(order.location_id) if order else None
        if order is None or location is None:
            return
        if order.state == "charging":
            if not self._charge(order, location):
                return
        self._place(order, location)

    def _charge(self, order: Ahead, location: PlatformLocation) -> bool:
        """Charge the diner, if the gateway is there at all; whether there is something to submit now."""
        if (down := self._is_down()) is not None:
            _log.warning("gateway_unreached", extra={"order": order.uuid, "cause": down})
            with self._store.writing() as transaction:
                problem = {"code": "provider_unavailable", "message": words.NOT_CHARGED}
                _change(
                    transaction,
                    order.uuid,
                    ("charging",),
                    self._clock().timestamp(),
                    state="valid",
                    problem=problem,
                    lease=0,
                )
            return False
        now = self._clock()
        with self._store.writing() as transaction:
            current, user = transaction.ahead(order.uuid), transaction.user(order.user_id)
            if current is None or user is None or current.state != "charging":
                return current is not None and current.state == "submitting"
            amounts = carts.amounts_of(order.quote)
            assert amounts
            draft = lines.draft_of(location.id, order.cart["described"], carts.fees_of(order.quote), amounts)
            try:
                charged = orders.charge(transaction, order.app_id, user, draft, now)
            except ErrorResponse as refusal:
                why = {"code": "card_declined", "message": refusal.errors[0]["message"]}
                if refusal.errors[0]["property"] == "applied_discount_amount":
                    why = {"code": "credit_changed", "message": words.CREDIT_CHANGED}
                _change(transaction, order.uuid, ("charging",), now.timestamp(), state="rejected", problem=why, lease=0)
                return False
            _change(transaction, order.uuid, ("charging",), now.timestamp(), state="submitting", charge=charged.uuid)
        return True

    def _is_down(self) -> str | None:
        assert self._gateway
        try:
            self._gateway("GET", "/health", seconds=HEALTH_SECONDS)
        except Unreached as problem:
            return str(problem)
        return None

    def _place(self, order: Ahead, location: PlatformLocation) -> None:
        """Submit until there is an answer that counts, or the time is over."""
        end = self._monotonic() + SUBMISSION_SECONDS
        body = {"order_submission": submission(order)}
        silent_at = order.doubt
        verdict: Verdict = "unknown"
        pause = 0.5
        while (left := end - self._monotonic()) > 0:
            seconds = min(ATTEMPT_SECONDS, left)
            reply = self._ask(location, "order_submissions", body, {"Idempotency-Key": order.uuid}, seconds)
            verdict = verdict_of(reply)
            now = self._clock().timestamp()
            if verdict == "placed":
                assert isinstance(reply, GatewayReply)
                if reply.replayed and (number := self._taken_by_another(order, reply.body)) is not None:
                    # After an unknown outcome, the service takes the same content for a repetition (SUB-3).
                    message = f"The restaurant took this for a repetition of order {number}."
                    self._give_back(order, {"code": "repeated", "message": message})
                    return
                self._placed(order, reply.body)
                return
            if verdict == "silent":
                silent_at = now
                with self._store.writing() as transaction:
                    _change(transaction, order.uuid, ("submitting",), now, doubt=now)
            elif verdict == "refused" and _is_proof(silent_at, now):
                assert isinstance(reply, GatewayReply)
                problem, cause = _problem(order, reply)
                _log.warning("order_refused_by_gateway", extra={"order": order.uuid, **cause})
                self._give_back(order, problem)
                return
            self._sleep(min(pause, max(0.0, end - self._monotonic())))
            pause = min(pause * 2, 10.0)
        now = self._clock().timestamp()
        if verdict == "busy" and _is_proof(silent_at, now):
            self._give_back(order, {"code": "provider_unavailable", "message": words.BUSY})
            return
        _log.error("order_outcome_unknown", extra={"order": order.uuid, "charge": order.charge})
        with self._store.writing() as transaction:
            _change(transaction, order.uuid, ("submitting",), now, lease=now + LOOK_AGAIN_SECONDS)

    def _taken_by_another(self, order: Ahead, body: Any) -> str | None:
        """The number in an answer, if another order of the same diner at this place has it already."""
        answer = _answer(_placed_in(body))
        with self._store.reading() as transaction:
            others = transaction.completed_ahead(order.location_id, order.user_id, RECENT)
        since = order.created_at - REPETITION_SECONDS
        taken = any(_answer(each.placed) == answer and each.since > since for each in others)
        return answer[0] if taken else None

    def _placed(self, order: Ahead, body: Any) -> None:
        placed = _placed_in(body)
        metadata = placed.get("metadata")
        # The members of one order are not needed any more (META-2).
        fees = [{"name": name, "amount": amount} for name, amount in carts.fees_of(order.quote)]
        quote = {**order.quote, "metadata": {}, "order_fees": fees}
        with self._store.writing() as transaction:
            transaction.keep_user_metadata(order.user_id, _of_users(metadata if isinstance(metadata, dict) else {}))
            _change(transaction,
                order.uuid, ("submitting",), self._clock().timestamp(), state="completed", placed=placed, quote=quote,
                lease=0,
            )  # fmt: skip

    def _give_back(self, order: Ahead, problem: JSON) -> None:
        """Refund the charge, because it is proven that there is no order."""
        now = self._clock()
        problem = {**problem, "message": f"{problem['message']} {words.GIVEN_BACK}"}
        with self._store.writing() as transaction:
            current = transaction.ahead(order.uuid)
            if current is None or current.state != "submitting" or current.charge is None:
                return
            charged = transaction.order(current.charge)
            assert charged
            try:
                orders.refund(transaction, charged.app_id, charged.merchant_id, charged.uuid, None, now)
            except ErrorResponse as refusal:
                cause = refusal.errors[0]["message"] if refusal.errors else "unknown"
                _log.error("order_not_refunded", extra={"order": order.uuid, "charge": charged.uuid, "cause": cause})
                problem = {"code": "not_refunded", "message": words.NOT_GIVEN_BACK}
            _change(
                transaction, order.uuid, ("submitting",), now.timestamp(), state="rejected", problem=problem, lease=0
            )

    def _ask(
        self, location: PlatformLocation, what: str, body: JSON, headers: dict[str, str], seconds: float
    ) -> GatewayReply | Unreached:
        assert self._gateway and location.gateway_id
        try:
            return self._gateway(
                "POST", f"/locations/{segment(location.gateway_id)}/{what}", body, headers, seconds=seconds
            )
        except Unreached as problem:
            return problem


def _change(transaction: Transaction, uuid: str, states: tuple[str, ...], now: float, **values: Any) -> bool:
    """Change an order that is in one of ``states``, and what its polls are answered from now on; whether it was."""
    changed = transaction.change_ahead(uuid, states, now, **values)
    if changed and "state" in values:
        order = transaction.ahead(uuid)
        assert order
        transaction.keep_answer(uuid, views.answer_of(transaction, order))
    return changed


_WORK: dict[str, Callable[[OrderAhead, str], None]] = {
    "validating": OrderAhead._validate,
    "charging": OrderAhead._submit,
    "submitting": OrderAhead._submit,
}
"""What an order in a state waits for."""


def submission(order: Ahead) -> JSON:
    """The body of an order submission: the same each time it is made."""
    metadata = {**(order.body.get("metadata") or {}), **(order.quote.get("metadata") or {})}
    return {**order.body, "tender": "LevelUp", "metadata": metadata}


def verdict_of(reply: GatewayReply | Unreached) -> Verdict:
    """What an attempt of a submission proves."""
    if isinstance(reply, Unreached):
        return "silent" if reply.sent else "busy"
    if reply.status in (200, 201):
        found = reply.body.get("order_submission", reply.body) if isinstance(reply.body, dict) else None
        return "placed" if isinstance(found, dict) and "order_id" in found else "silent"
    code, _, _ = words.error_in(reply.body)
    if code is None or reply.status >= 500 and reply.status not in (502, 503, 504):
        # Not from the gateway itself, so the result of the request is unknown.
        return "silent"
    if code in _NOT_KNOWN:
        return "unknown"
    return "busy" if _retryable(reply) else "refused"


def _is_proof(silent_at: float | None, now: float) -> bool:
    """Whether a refusal proves that no order exists: no attempt without an answer can arrive any more."""
    return silent_at is None or now - silent_at >= IN_FLIGHT_SECONDS


def _retryable(reply: GatewayReply) -> bool:
    found = reply.body.get("error") if isinstance(reply.body, dict) else None
    if not isinstance(found, dict):
        return reply.status >= 500
    return found.get("retryable") is True or reply.status in (429, 503)


def _problem(order: Ahead, reply: GatewayReply) -> tuple[JSON, JSON]:
    """The gateway's refusal as the diner reads it, and as the log has it."""
    code, message, path = words.error_in(reply.body)
    plain = words.in_plain_words(code or "", message, path, order.cart["described"])
    problem = {"code": code or "provider_protocol_error", "message": plain}
    return problem, {"status": reply.status, "code": code, "cause": message, "path": path}


def _answer(placed: JSON) -> tuple[str, Any]:
    """The number of an order and when it is ready: both are the same where an answer is given again."""
    return str(placed["order_id"]), placed.get("expected_ready_at")


def _placed_in(body: JSON) -> JSON:
    found: JSON = body.get("order_submission", body)
    return found


def _of_users(metadata: JSON) -> JSON:
    return {name: value for name, value in metadata.items() if name.startswith("user_")}


def refusal(order: Ahead) -> ErrorResponse:
    """Why an order failed, as apps see it."""
    words_of_state = words.STILL_VALIDATING if order.state == "validating" else words.NOT_COMPLETED
    problem = order.problem or {"code": order.state, "message": words_of_state}
    if order.state == "invalid" and problem["code"] not in ("provider_timeout", "provider_unavailable"):
        return carts.invalid_cart(problem["message"])
    return ErrorResponse(422, [error(problem["message"], object="order", property="base", code=problem["code"])])
