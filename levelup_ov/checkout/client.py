"""A client for LevelUp's API: typed answers, and every refusal is an error of the closed list.

All calls go through :mod:`levelup_ov.transport.session`: within a deadline, nothing sent twice that does not allow it.
Answers are read member by member; amounts are cents.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from levelup_ov.checkout.authorization import TOKEN_PATH, basic, header, token_form
from levelup_ov.checkout.proof import CURRENCY, UUID, Charge, PastOrder, UnreadOrder, one_case, proves_no_charge
from levelup_ov.checkout.refusals import LevelUpRefused, maintenance_words, oauth_refusal_from, refusal_from
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.money import Cents
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import Refused, Unanswered, broken_protocol, timed_out
from levelup_ov.ordering.bulkhead import Bulkhead
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.json_object import MAX_INTEGER, JSONObject
from levelup_ov.transport.placement import Placement
from levelup_ov.transport.session import Call, Reply, Session, Transport

T = TypeVar("T")

log = logging.getLogger(__name__)

POOL = "checkout/levelup"
"""The name of the connection pool; no account can have it."""

_TOKEN = re.compile(r"[\x21\x23-\x2b\x2d-\x7e]{1,100}")
"""At most 100 bytes, without characters that would break a header."""
CLOCKS = timedelta(minutes=1)
"""By how much the clocks of LevelUp's own servers may differ, and its times be rounded."""
MAX_PAGES = 100
"""The most pages of a list that are read; more would be a fault of the list."""
_CAMPAIGN_MEMBERS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "basic_v1": (("title", "description"), ()),
    "spend_based_loyalty_v1": ((), ("earn_amount", "progress_amount", "required_spend_amount")),
    "visit_based_loyalty_v1": (
        (),
        ("earn_amount", "progress_visit_count", "required_visit_count", "qualifying_order_spend_amount"),
    ),
}
"""Strings and numbers of each representation, as named by the iOS library and its fixtures."""
_NEXT = re.compile(r'[?&]page=(\d{1,9})[^>]*>\s*;[^,]*rel="?next"?')
_MORE = re.compile(r'\brel\s*=\s*"?[^",;]*\bnext\b', re.IGNORECASE)
"""What ``Link`` has for a next page, in any form."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token, with LevelUp's id of its user if known."""

    secret: Secret
    user_id: int | None = None


@dataclass(frozen=True, slots=True)
class PermissionsRequest:
    """``state``: pending, accepted or rejected; ``token`` once it is accepted."""

    id: int
    state: str
    token: Secret | None


class LevelUpLocation(NamedTuple):
    """A location of a merchant, with LevelUp's ids of both; ``merchant_id`` is None if unknown."""

    id: int
    name: str | None
    merchant_id: int | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """``id``: LevelUp's id, if known."""

    id: int | None
    email: str
    first_name: str | None
    last_name: str | None


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposed order and its possible discount."""

    uuid: str
    discount: Cents


@dataclass(frozen=True, slots=True)
class Loyalty:
    """``spend_remaining``: None for a program that counts visits."""

    potential_credit: Cents
    spend_remaining: Cents | None
    progress_percentage: int | None


class MerchantCredit(NamedTuple):
    """One merchant's credit: the discount on its checks, and the balance of its gift card."""

    discount: Cents
    gift_card: Cents


@dataclass(frozen=True, slots=True)
class CardPage:
    url: str
    expires_at: datetime | None


class Unproven(Unanswered):
    """LevelUp refused to complete an order, in a form that does not prove that nothing was charged.

    ``is_over``: every attempt of the call was answered, so that nothing of it can arrive later.
    """

    def __init__(self, refusal: LevelUpRefused, *, is_over: bool) -> None:
        super().__init__(refusal.code, refusal.message, sent=True, status=refusal.status)
        self.is_over = is_over


class LevelUpClient:
    """The platform as one app sees it; its own token is fetched when first needed and kept in memory.

    ``api_key`` is the OAuth ``client_id`` too. ``threads``: how many requests may call it at once. ``reserve``: how
    many seconds before a deadline its calls end, to record what became of them.
    """

    def __init__(
        self,
        transport: Transport,
        base_url: str,
        api_key: str,
        client_secret: Secret,
        *,
        threads: int,
        reserve: float = 0.0,
    ) -> None:
        self._transport = transport
        self._bulkhead = Bulkhead(threads)
        self._reserve = reserve
        self.base_url = base_url
        self.api_key = api_key
        self._client_secret = client_secret
        self._app_token: Secret | None = None
        self._lock = threading.Lock()

    @contextmanager
    def calls(
        self,
        deadline: Deadline,
        log: list[Call],
        placement: Placement | None = None,
    ) -> Iterator[LevelUpSession]:
        """Calls of one request, on connections of their own. What they fail with holds no token; ``log`` lists them.

        ``placement``: knows whether the charge may exist; its last look comes just before the call that charges.
        """
        maintenance: list[str] = []

        def error_from(reply: Reply) -> Refused | None:
            maintenance[:] = maintenance_words(reply)
            return refusal_from(reply)

        session = self._session(deadline.before(self._reserve), log, {}, error_from, placement)
        with self._bulkhead.room(POOL), session:
            try:
                yield LevelUpSession(self, session)
            except Unanswered as failure:
                if not maintenance or failure.code != "provider_unavailable":
                    raise
                raise failure.replace(message=f"LevelUp: {maintenance[0]}") from failure

    def app_token(self, session: Session, refused: Secret | None = None) -> Secret:
        """The app's token; a new one if ``refused`` is still the newest.

        Not :class:`~levelup_ov.transport.auth.Login`: these tokens have no lifetime, and a header of their own.
        """
        if not self._lock.acquire(timeout=max(session.deadline.remaining(), 0)):
            raise timed_out(sent=False)
        try:
            if self._app_token is None or self._app_token is refused:
                body = {"api_key": self.api_key, "client_secret": self._client_secret.reveal()}
                try:
                    reply = session.post("/v15/access_tokens", body, repeatable=True)
                except Refused as refusal:
                    if refusal.code == "provider_credentials_refused":
                        log.error("levelup_app_credentials_refused", extra={"status": getattr(refusal, "status", None)})
                    raise
                self._app_token = _token(reply.object().member("access_token"), "token", session)
            return self._app_token
        finally:
            self._lock.release()

    def exchange(self, code: str, redirect_uri: str, deadline: Deadline, log: list[Call]) -> Token:
        """The token for an OAuth code. A code is valid once, so the call is never repeated.

        :raises Failure: ``authorization_refused``, or why there was no answer.
        """
        with self._session(deadline, log, basic(self.api_key, self._client_secret), oauth_refusal_from) as session:
            answer = session.call("POST", TOKEN_PATH, form=token_form(code, redirect_uri)).object()
        if answer.text("token_type", "bearer").lower() not in ("bearer", "token"):
            raise broken_protocol("LevelUp sent a token of an unknown type")
        secret = _token(answer, "access_token", session)
        return Token(secret, answer.integer("user_id", None))

    def _session(
        self,
        deadline: Deadline,
        log: list[Call],
        headers: Mapping[str, str],
        error_from: Callable[[Reply], Refused | None],
        placement: Placement | None = None,
    ) -> Session:
        return Session(
            self._transport,
            POOL,
            base_url=self.base_url,
            headers=headers,
            error_from=error_from,
            deadline=deadline,
            calls=log,
            own=True,
            placement=placement,
            known=[self._client_secret],
        )


class LevelUpSession:
    """The calls themselves. Each takes the tokens it needs, and raises what :class:`Session` does.

    An answer counts only with its documented status, and if it is about what was requested.
    """

    def __init__(self, levelup: LevelUpClient, session: Session) -> None:
        self._levelup = levelup
        self.session = session

    # With the app's own token.

    def request_permissions(self, email: str, permissions: Sequence[str]) -> PermissionsRequest:
        """Ask a user for permissions."""
        body = {"permissions_request": {"email": email, "permission_keynames": list(permissions)}}
        return self._permissions_request(self._as_app("POST", "/v15/apps/permissions_requests", body))

    def permissions_request(self, number: int) -> PermissionsRequest:
        """The state of a permissions request."""
        request = self._permissions_request(self._as_app("GET", f"/v15/apps/permissions_requests/{number}"))
        if request.id != number:
            raise broken_protocol("LevelUp answered about another permissions request (id)")
        return request

    def create_user(self, email: str, first_name: str, last_name: str, permissions: Sequence[str]) -> Token:
        """Create an account of record."""
        body = {
            "user": {"email": email, "first_name": first_name, "last_name": last_name},
            "permission_keynames": list(permissions),
            "api_key": self._levelup.api_key,
        }
        answer = self._as_app("POST", "/v15/apps/users", body).object().member("access_token")
        return Token(_token(answer, "token", self.session), user_id=answer.integer("user_id", None))

    # With a user's token.

    def profile(self, user: Secret) -> Profile:
        """The user's basic information."""
        answer = self._get("/v15/users", user=user).object().member("user")
        return Profile(
            answer.integer("id", None),
            answer.text("email"),
            answer.text("first_name", None),
            answer.text("last_name", None),
        )

    def addresses(self, user: Secret) -> list[dict[str, Any]]:
        """The user's addresses."""
        return [_address(each.member("user_address")) for each in _list(self._get("/v15/user_addresses", user=user))]

    def add_address(self, user: Secret, address: Mapping[str, str | None]) -> dict[str, Any]:
        """Add an address; returns it with its id."""
        body = {"user_address": dict(address)}
        reply = self.session.post("/v15/user_addresses", body, headers=self._header(user=user))
        return _address(reply.object().member("user_address"))

    def past_orders(self, user: Secret, page: int) -> tuple[list[PastOrder], int | None]:
        """A page of the user's orders, newest first, and the number of the next; without those that cannot be read."""
        reply = self._get("/v15/users/orders", user=user, page=page)
        orders: list[PastOrder] = []
        for order in [each.member("order") for each in _list(reply)]:
            try:
                orders.append(_past_order(order))
            except Unanswered as failure:
                log.warning("past_order_not_readable", extra={"cause": failure.message})
        return orders, _next_page(reply)

    def listed_orders(self, user: Secret, page: int) -> tuple[list[PastOrder | UnreadOrder], int | None]:
        """The same, with those that cannot be read, also if they are no orders."""
        reply = self._get("/v15/users/orders", user=user, page=page)
        if reply.status == 204:
            return [], None
        entries = reply.json()
        if type(entries) is not list:
            raise broken_protocol("LevelUp's answer needs a list of orders")
        return [_listed_order(JSONObject(each)) for each in entries], _next_page(reply)

    def credit(self, user: Secret, location_id: int) -> Cents:
        """All credit that the user has at a location."""
        answer = self._get(f"/v15/locations/{location_id}/credit", user=user).object()
        return answer.member("credit").cents("total_amount")

    def loyalty(self, user: Secret, merchant_id: int) -> Loyalty:
        """The user's progress in a merchant's loyalty program."""
        answer = self._get(f"/v15/merchants/{merchant_id}/loyalty", user=user).object().member("loyalty")
        return Loyalty(
            answer.cents("potential_credit_amount", 0),
            answer.cents("spend_remaining_amount", None),
            _percentage(answer),
        )

    def campaigns(self, user: Secret, location_id: int) -> list[tuple[int, list[str]]]:
        """The campaigns of a location, each with the representations that it has."""
        found = _list(self._get(f"/v15/locations/{location_id}/campaigns", user=user))
        campaigns = [each.member("campaign") for each in found]
        return [(each.integer("id"), each.texts("representation_types", [])) for each in campaigns]

    def campaign(self, user: Secret, number: int, representation: str) -> Mapping[str, Any]:
        """One representation of a campaign: the members that are documented for it."""
        reply = self._get(f"/v15/campaigns/{number}/{representation}", user=user)
        answer = reply.object().member("campaign")
        texts, numbers = _CAMPAIGN_MEMBERS.get(representation, ((), ()))
        return {
            **{name: answer.text(name, None) for name in texts},
            **{name: answer.integer(name, None) for name in numbers},
        }

    def merchant_credit(self, user: Secret, location_id: int) -> MerchantCredit:
        """The merchant-funded part of the user's credit."""
        answer = self._get(f"/v15/locations/{location_id}/merchant_funded_credit", user=user).object()
        credit = answer.member("merchant_funded_credit")
        return MerchantCredit(credit.cents("discount_amount", 0), credit.cents("gift_card_amount", 0))

    def card_page(self, user: Secret, return_to: str | None) -> CardPage:
        """LevelUp's page on which the user enters the card."""
        body = {"credit_card_page": {"redirect_uri": return_to} if return_to else {}}
        reply = self.session.post("/v15/credit_card_pages", body, headers=self._header(user=user))
        answer = reply.object().member("credit_card_page")
        return CardPage(answer.text("url"), answer.instant("expires_at", None))

    # With a merchant's token, or both.

    def locations(self, merchant: Secret, merchant_id: int) -> list[LevelUpLocation]:
        """All locations of a merchant, page after page."""
        return self._places(f"/v15/merchants/{merchant_id}/locations", merchant)

    def propose(self, merchant: Secret, user: Secret, order: Mapping[str, Any]) -> Proposal:
        """Propose an order. It charges nothing, so it may be sent twice."""
        reply = self.session.post(
            "/v15/proposed_orders",
            {"proposed_order": order},
            headers=self._header(merchant=merchant, user=user),
            repeatable=True,
        )
        answer = reply.object().member("proposed_order")
        uuid = answer.text("uuid")
        if not UUID.fullmatch(uuid):
            raise broken_protocol("LevelUp proposes an order under something that is not a UUID (uuid)")
        return Proposal(uuid, answer.cents("discount_amount"))

    def complete(
        self,
        merchant: Secret,
        user: Secret,
        order: Mapping[str, Any],
        trace: Mapping[str, Any] | None = None,
        *,
        again: bool = False,
    ) -> Charge:
        """Charge a proposed order. The same body returns the same order, so this may be repeated.

        ``again``: an attempt before this call may have charged it; then fewer refusals are proof.

        :raises Refused: it is proven that this call charged nothing and, with ``again``, that none before did.
        """
        try:
            reply = self.session.post(
                "/v15/completed_orders",
                {"completed_order": order},
                headers=self._header(merchant=merchant, user=user),
                repeatable=True,
                places_order=True,
                trace=trace,
            )
        except LevelUpRefused as refusal:
            # An unanswered attempt of this call may have charged, or may charge later.
            alone = refusal.proof
            if alone and proves_no_charge(refusal.status, refusal.named, again=again):
                raise
            raise Unproven(refusal, is_over=alone) from None
        answer = _expected(reply).member("order")
        _check_currency(answer)
        return Charge(
            one_case(answer.text("uuid")),
            answer.cents("spend_amount"),
            answer.cents("tip_amount", 0),
            answer.cents("total_amount"),
            answer.cents("gift_card_total_amount", 0),
            answer.cents("gift_card_tip_amount", 0),
        )

    def order(self, merchant: Secret, merchant_id: int, uuid: str) -> PastOrder:
        """An order as its merchant sees it. :raises LevelUpRefused: 404 without a body: there is none."""
        reply = self._get(f"/v15/merchants/{merchant_id}/orders/{uuid}", merchant=merchant)
        return _the_order(reply, uuid)

    def refund(self, merchant: Secret, uuid: str, confirmation: Secret | None) -> PastOrder:
        """Refund a whole order; returns it as it is now. Never repeated, because a second refund would be refused."""
        body = None
        if confirmation is not None:
            body = {"refund": {"manager_confirmation": self.session.add_secret(confirmation.reveal())}}
        reply = self.session.post(f"/v15/orders/{uuid}/refund", body, headers=self._header(merchant=merchant))
        order = _the_order(reply, uuid)
        if order.refunded_at is None:
            raise broken_protocol("LevelUp's answer does not say when the refund was made")
        return order

    def managed_locations(self, merchant: Secret) -> list[LevelUpLocation]:
        """The locations of a merchant's token; every valid merchant token may ask."""
        return self._places("/v15/managed_locations", merchant)

    def revoke(self, *, merchant: Secret | None = None, user: Secret | None = None) -> None:
        """Revoke a token."""
        self.session.call(
            "DELETE",
            "/v15/access_tokens",
            headers=self._header(merchant=merchant, user=user),
            repeatable=True,
            also=(204,),
        )

    def _get(
        self, path: str, *, merchant: Secret | None = None, user: Secret | None = None, page: int | None = None
    ) -> Reply:
        params = None if page is None else {"page": str(page)}
        # An empty list is answered without a body.
        return self.session.get(path, params=params, headers=self._header(merchant=merchant, user=user), also=(204,))

    def _places(self, path: str, merchant: Secret) -> list[LevelUpLocation]:
        """The locations of a list in pages: ``Link`` names the next one, 204 is past the end."""
        found: list[LevelUpLocation] = []
        page: int | None = None
        for _ in range(MAX_PAGES):
            reply = self._get(path, merchant=merchant, page=page)
            locations = [each.member("location") for each in _list(reply)]
            found += (
                LevelUpLocation(each.integer("id"), each.text("name", None), each.integer("merchant_id", None))
                for each in locations
            )
            page = _next_page(reply)
            if page is None or not locations:
                return found
        raise broken_protocol(f"LevelUp's list of locations does not end after {MAX_PAGES} pages")

    def _as_app(self, method: str, path: str, body: Any = None) -> Reply:
        """A call with the app's token; repeated with a new token if it was refused, because it then had no effect."""
        token = self._levelup.app_token(self.session)
        try:
            return self.session.call(method, path, body=body, headers=self._header(app=token))
        except Failure as failure:
            if failure.code != "provider_credentials_refused":
                raise
        token = self._levelup.app_token(self.session, refused=token)
        return self.session.call(method, path, body=body, headers=self._header(app=token))

    def _header(self, **tokens: Secret | None) -> dict[str, str]:
        for token in tokens.values():
            if token is not None:
                self.session.add_secret(token.reveal())
        return header(**tokens)

    def _permissions_request(self, reply: Reply) -> PermissionsRequest:
        answer = reply.object().member("permissions_request")
        token = _token(answer, "token", self.session) if answer.has("token") else None
        return PermissionsRequest(answer.integer("id"), answer.text("state"), token)


def _token(answer: JSONObject, name: str, session: Session) -> Secret:
    """A token that is valid in a header. :raises Unanswered: ``provider_protocol_error``."""
    token = answer.text(name)
    if not _TOKEN.fullmatch(token):
        raise broken_protocol("LevelUp sent a value that cannot be a token")
    return Secret(session.add_secret(token))


def _expected(reply: Reply) -> JSONObject:
    """The answer, if its status is the documented one. :raises Unanswered: ``provider_protocol_error``."""
    if reply.status not in (200, 201):
        raise broken_protocol(f"LevelUp answers with status {reply.status}, which proves nothing")
    return reply.object()


def _check_currency(answer: JSONObject) -> None:
    if answer.text("currency", CURRENCY) != CURRENCY or answer.text("currency_code", CURRENCY) != CURRENCY:
        raise broken_protocol("LevelUp's amounts are in another currency (currency)")


def _the_order(reply: Reply, uuid: str) -> PastOrder:
    order = _past_order(_expected(reply).member("order"))
    if order.uuid != one_case(uuid):
        raise broken_protocol("LevelUp answered about another order (uuid)")
    return order


def _list(reply: Reply) -> list[JSONObject]:
    """The objects of an answer that is an array; an empty body has none."""
    return [] if reply.status == 204 else JSONObject({"entries": reply.json()}).each("entries")


def _next_page(reply: Reply) -> int | None:
    """The number of the next page of a list; None: this is the last.

    :raises Unanswered: ``provider_protocol_error``: there is one, but it cannot be asked for.
    """
    link = reply.headers.get("Link", "")
    if (following := _NEXT.search(link)) is not None:
        return int(following[1])
    if _MORE.search(link):
        raise broken_protocol("LevelUp's list goes on at a page without a number (Link)")
    return None


def _address(answer: JSONObject) -> dict[str, Any]:
    texts = ("address_type", "street_address", "extended_address", "locality", "region", "postal_code")
    # The oldest documentation (2014) shows addresses without an id.
    return {"id": answer.identifier("id", None), **{name: answer.text(name, None) for name in texts}}


def _percentage(answer: JSONObject) -> int | None:
    """Whole percents of a decimal, its documented type."""
    value = answer.decimal("progress_percentage", None)
    if value is None:
        return None
    if not 0 <= value <= MAX_INTEGER:
        raise broken_protocol(f"LevelUp's answer needs a percentage at {answer.path}.progress_percentage")
    return int(value)


def _listed_order(entry: JSONObject) -> PastOrder | UnreadOrder:
    try:
        return _past_order(entry.member("order"))
    except Unanswered:
        content = json.dumps(entry.value, sort_keys=True, default=str)
        uuid, location_id, created_at = f"unread-{hashlib.sha256(content.encode()).hexdigest()[:16]}", None, None
    with suppress(Unanswered):
        order = entry.member("order")
        with suppress(Unanswered):
            location_id = order.integer("location_id", None)
        with suppress(Unanswered):
            created_at = order.instant("created_at")
        if UUID.fullmatch(told := order.identifier("uuid")):
            uuid = one_case(told)
    return UnreadOrder(uuid, location_id, created_at)


def _past_order(answer: JSONObject) -> PastOrder:
    _check_currency(answer)
    order = PastOrder(
        # PostgreSQL does not store U+0000, and another order in the same list may be the one that is looked for.
        one_case(answer.identifier("uuid").replace("\0", "\ufffd")),
        answer.instant("created_at"),
        answer.integer("location_id", None),
        answer.cents("spend_amount"),
        answer.cents("tip_amount", 0),
        answer.cents("total_amount"),
        answer.instant("refunded_at", None),
        answer.cents("balance_amount", None),
        answer.cents("credit_applied_amount", None),
    )
    if order.refunded_at is not None and order.refunded_at < order.created_at - CLOCKS:
        raise broken_protocol("LevelUp's answer says that an order was refunded before it was made (refunded_at)")
    return order
