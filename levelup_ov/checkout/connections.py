"""Connecting merchants and users: OAuth, permissions requests, accounts of record; and reading a user's data."""

from __future__ import annotations

import hmac
import logging
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from levelup_ov.checkout.authorization import (
    MERCHANT_PERMISSION,
    authorization_code,
    authorization_url,
    digest,
    new_secret,
)
from levelup_ov.checkout.client import CardPage, LevelUpClient, LevelUpLocation, PermissionsRequest, Profile, Token
from levelup_ov.checkout.proof import PastOrder
from levelup_ov.checkout.store import CheckoutStore, Connected, Kind, RequestTaken
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.secret import Secret
from levelup_ov.errors import broken_protocol
from levelup_ov.ledger.engine import LedgerUnavailable
from levelup_ov.ledger.records import to_ms
from levelup_ov.ordering.request_context import RequestContext
from levelup_ov.sealing import Sealer
from levelup_ov.transport.deadline import Deadline

STATE_LIFETIME = timedelta(minutes=10)
"""How long a person may take on LevelUp's pages."""
CONFIRMATION_LIFETIME = timedelta(minutes=10)
"""How long a site may take to confirm that its visitor came back."""
MOST_TIDIED = 20
"""Of how many connections LevelUp is asked in a run whose they are, and how many are disconnected."""
SEALED_FOR = "levelup checkout token"
CUT_OFF = ("connection_not_found", "not_connected")
"""Failures that only a new connection or an operator can resolve."""

_PREFIXES: Mapping[Kind, str] = {"merchant": "mer_", "user": "usr_"}
_CALLBACKS: Mapping[Kind, str] = {"merchant": "/checkout/merchants/callback", "user": "/checkout/users/callback"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Access:
    """A usable connection, with its token opened."""

    connection: Connected
    token: Secret


class Tokens:
    """Seals and opens tokens, each bound to its connection; a token under an older key is resealed when used."""

    def __init__(self, store: CheckoutStore, keys: Sequence[Secret]) -> None:
        self._store = store
        self._sealer = Sealer(keys, SEALED_FOR)
        self._newest = Sealer(keys[:1], SEALED_FOR)

    def seal(self, token: Secret, connection: str) -> str:
        return self._sealer.seal(token.reveal(), connection)

    def open(self, connection: Connected) -> Secret | None:
        """The token; None if there is none, or if its key is gone."""
        if connection.token is None or (token := self._sealer.open(connection.token, connection.id)) is None:
            return None
        if self._newest.open(connection.token, connection.id) is None:
            self._store.reseal(connection.id, connection.token, self._newest.seal(token, connection.id))
        return Secret(token)


class Connections:
    """Everything about connections. ``return_url``: our public address; ``clock`` returns the current time, aware."""

    def __init__(
        self,
        store: CheckoutStore,
        levelup: LevelUpClient,
        tokens: Tokens,
        return_url: str,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._levelup = levelup
        self._tokens = tokens
        self._return_url = return_url
        self._clock = clock

    def start_merchant(self, return_to: str) -> tuple[Connected, str]:
        """A new connection, and the page of LevelUp to send the merchant to."""
        return self._start("merchant", return_to, (MERCHANT_PERMISSION,), {})

    def start_user(
        self, return_to: str, permissions: Sequence[str], hints: Mapping[str, str | None]
    ) -> tuple[Connected, str]:
        """The same for a user, whose page is filled in with ``hints``."""
        return self._start("user", return_to, permissions, hints)

    def come_back(self, kind: Kind, url: str, context: RequestContext) -> str:
        """A browser returns from LevelUp to ``url``; returns the URL to redirect it to.

        :raises Failure: ``invalid_state``: it is unknown whose request this answers.
        """
        arguments = dict(parse_qsl(urlsplit(url).query))
        state = arguments.get("state", "")
        connection = self._store.take_state(digest(state), kind, self._now()) if state else None
        if connection is None or connection.return_to is None:
            raise Failure("invalid_state", "this state was not issued here, was used already, or is too old")
        if "error" in arguments:
            self._store.change_connection(connection.id, ("pending",), state="refused")
            error = "access_denied" if arguments["error"] == "access_denied" else "authorization_refused"
            return _with_query(connection.return_to, connection=connection.id, error=error)
        token: Token | None = None
        confirmation = new_secret()
        try:
            code = authorization_code(url, state)
            token = self._levelup.exchange(code, self._redirect_uri(kind), context.deadline, context.calls)
            levelup_id = self._whose(kind, token.secret, connection.permissions, context)
            if kind == "user" and token.user_id is not None:
                if levelup_id not in (token.user_id, None):
                    raise broken_protocol("LevelUp's token and its profile name different users (user_id)")
                levelup_id = token.user_id
            is_granted = self._store.change_connection(
                connection.id,
                ("pending",),
                state="granted",
                token=self._tokens.seal(token.secret, connection.id),
                levelup_id=levelup_id,
                confirmation=digest(confirmation),
                confirm_until=self._now() + CONFIRMATION_LIFETIME // timedelta(milliseconds=1),
            )
        except Failure as failure:
            if token is not None:
                self._revoke(connection, token.secret, context)
            if isinstance(failure, LedgerUnavailable):
                raise
            # The person is between two sites: report it to the shop, in the URL that it gave.
            log.warning("oauth_ended_without_token", extra={"code": failure.code, "connection": connection.id})
            self._store.change_connection(connection.id, ("pending",), state="refused")
            return _with_query(connection.return_to, connection=connection.id, error=failure.code)
        if not is_granted:
            # It was deleted in the meantime: nobody would use or revoke this token.
            self._revoke(connection, token.secret, context)
            return _with_query(connection.return_to, connection=connection.id, error="not_connected")
        return _with_query(connection.return_to, connection=connection.id, confirmation=confirmation)

    def confirm(self, kind: Kind, id: str, confirmation: str, context: RequestContext) -> Connected:
        """Make a connection usable after its person came back to the site that started it.

        :raises Failure: ``connection_not_found``, ``invalid_confirmation``.
        """
        connection = self.show(kind, id)
        right = hmac.compare_digest(connection.confirmation or "", digest(confirmation))
        if not right or (connection.confirm_until or 0) <= self._now():
            raise Failure("invalid_confirmation", "this is not the confirmation of this connection, or it is too old")
        self._store.change_connection(id, ("granted",), state="connected", confirmation=None, confirm_until=None)
        return self._identified(self.show(kind, id), context)

    def request_permissions(self, email: str, permissions: Sequence[str], context: RequestContext) -> Connected:
        """Ask a user for permissions by e-mail.

        :raises Failure: among others ``provider_protocol_error``: LevelUp names a request that another connection has.
        """
        with self._levelup.calls(context.deadline, context.calls) as calls:
            request = calls.request_permissions(email, permissions)
        connection = replace(self._new("user", permissions), request_id=request.id)
        try:
            self._store.add_connection(connection)
        except RequestTaken:
            # It may be another person's, or this one's for other permissions.
            raise broken_protocol("LevelUp names a permissions request that another connection has (id)") from None
        return self._answered(connection, request, context)

    def poll(self, id: str, context: RequestContext) -> Connected:
        """The state of a permissions request. :raises Failure: ``connection_not_found``."""
        connection = self.show("user", id)
        return self._ask(connection, context) if connection.state == "pending" else connection

    def permissions_answered(self, request_id: int, context: RequestContext) -> None:
        """A caller claims that a permissions request was answered: ask LevelUp, without believing the caller.

        :raises Failure: ``connection_not_found``.
        """
        if (connection := self._store.connection_of_request(request_id)) is None:
            raise _not_found()
        if connection.state in ("pending", "disconnected"):
            self._ask(connection, context)

    def create_user(
        self, email: str, first_name: str, last_name: str, permissions: Sequence[str], context: RequestContext
    ) -> Connected:
        """Create an account of record at LevelUp. :raises Failure: ``email_taken``, among others."""
        with self._levelup.calls(context.deadline, context.calls) as calls:
            token = calls.create_user(email, first_name, last_name, permissions)
        connection = self._new("user", permissions)
        sealed = self._tokens.seal(token.secret, connection.id)
        connection = replace(connection, state="connected", token=sealed, levelup_id=token.user_id)
        self._store.add_connection(connection)
        return connection

    def show(self, kind: Kind, id: str) -> Connected:
        """A connection, whatever its state. :raises Failure: ``connection_not_found``."""
        return _of_kind(kind, self._store.connection(id))

    def merchants(self) -> list[Connected]:
        """The connected merchants."""
        return self._store.connections("merchant", "connected")

    def disconnect(self, kind: Kind, id: str, context: RequestContext) -> Connected:
        """Forget the token, and revoke it at LevelUp if possible.

        :raises Failure: ``connection_not_found``.
        """
        # Without a token, nobody says any more whose orders these were.
        connection = self._identified(self.show(kind, id), context)
        while connection.state != "disconnected":
            token = self._tokens.open(connection)
            # A token may arrive in between.
            if self._store.change_connection(
                id, (connection.state,), state="disconnected", token=None, confirmation=None
            ):
                if token is not None:
                    self._revoke(connection, token, context)
                break
            connection = self.show(kind, id)
        return self.show(kind, id)

    def _revoke(self, connection: Connected, token: Secret, context: RequestContext) -> None:
        """Revoke a token at LevelUp, if possible."""
        try:
            with self._levelup.calls(context.deadline, context.calls) as calls:
                calls.revoke(**{connection.kind: token})
        except Failure as failure:
            log.warning("token_not_revoked", extra={"connection": connection.id, "code": failure.code})

    def access(self, kind: Kind, id: str) -> Access:
        """A usable connection. :raises Failure: ``connection_not_found``, ``not_connected``."""
        return self.opened(kind, self._store.connection(id))

    def opened(self, kind: Kind, connection: Connected | None, path: str | None = None) -> Access:
        """The same for a connection that was read; ``path``: where the order names it. :raises Failure: as there."""
        connection = _of_kind(kind, connection, path)
        token = self._tokens.open(connection) if connection.state == "connected" else None
        if token is None:
            state = "connected, but its token cannot be opened" if connection.state == "connected" else connection.state
            raise Failure("not_connected", f"the {kind} is {state}; connect again", path=path)
        return Access(connection, token)

    def access_again(self, kind: Kind, id: str, context: RequestContext) -> Access:
        """The same for an earlier order: the newest connection of the same merchant or user counts.

        A connection with fewer permissions than the order started with counts only if there is no other. If its owner
        is unknown, LevelUp is asked, so that the next one can be recognized.

        :raises Failure: ``connection_not_found``, ``not_connected``.
        """
        connection = self.show(kind, id)
        if connection.levelup_id is not None:
            found, needed = self._store.connected_as(kind, connection.levelup_id), set(connection.permissions.split())
            able = [each for each in found if needed <= set(each.permissions.split())]
            return self.access(kind, next((each.id for each in able or found), id))
        access = self.access(kind, id)
        return replace(access, connection=self._identified(connection, context))

    def token_refused(
        self, failure: Failure, merchant: Access, user: Access | None, location_id: int, context: RequestContext
    ) -> None:
        """Forget a token that LevelUp no longer accepts; called with the failure of a call that used it.

        LevelUp is asked once more, by a call that needs no permission: the refused one may have lacked one, or have
        been about another merchant's place.
        """
        dead = {"user_token_refused": user, "merchant_token_refused": merchant}.get(failure.code)
        if dead is None or not self._is_dead(dead, location_id, failure.code, context):
            return
        try:
            changed = self._store.change_connection(
                dead.connection.id, ("connected",), state="disconnected", token=None, confirmation=None
            )
        except LedgerUnavailable:
            return
        if changed:
            facts = {"connection": dead.connection.id, "code": failure.code}
            log.warning("connection_token_refused", extra=facts)

    def _is_dead(self, access: Access, location_id: int, refusal: str, context: RequestContext) -> bool:
        try:
            with self._levelup.calls(context.deadline, context.calls) as calls:
                if access.connection.kind == "merchant":
                    calls.managed_locations(access.token)
                else:
                    calls.credit(access.token, location_id)
        except Failure as failure:
            return failure.code == refusal
        return False

    # Data at LevelUp.

    def locations(self, id: str, context: RequestContext) -> list[LevelUpLocation]:
        """The locations of a merchant; if LevelUp never said which merchant it is, those of its token."""
        access = self.access("merchant", id)
        try:
            with self._levelup.calls(context.deadline, context.calls) as calls:
                if access.connection.levelup_id is None:
                    places = calls.managed_locations(access.token)
                    self._store.change_connection(id, ("connected",), levelup_id=_merchant_of(places))
                    return places
                return calls.locations(access.token, access.connection.levelup_id)
        except Failure as failure:
            self.token_refused(failure, access, None, 0, context)
            raise

    def profile(self, id: str, context: RequestContext) -> Profile:
        """A user's basic information."""
        access = self.access("user", id)
        with self._levelup.calls(context.deadline, context.calls) as calls:
            profile = calls.profile(access.token)
        if access.connection.levelup_id is None and profile.id is not None:
            self._store.change_connection(id, ("connected",), levelup_id=profile.id)
        elif profile.id not in (access.connection.levelup_id, None):
            raise broken_protocol("LevelUp answered about another user (id)")
        return profile

    def addresses(self, id: str, context: RequestContext) -> list[dict[str, Any]]:
        """A user's addresses."""
        access = self.access("user", id)
        with self._levelup.calls(context.deadline, context.calls) as calls:
            return calls.addresses(access.token)

    def add_address(self, id: str, address: Mapping[str, str | None], context: RequestContext) -> dict[str, Any]:
        """Add an address; returns it with its id."""
        access = self.access("user", id)
        with self._levelup.calls(context.deadline, context.calls) as calls:
            return calls.add_address(access.token, address)

    def past_orders(self, id: str, page: int, context: RequestContext) -> tuple[list[PastOrder], int | None]:
        """A page of a user's orders and the number of the next."""
        access = self.access("user", id)
        with self._levelup.calls(context.deadline, context.calls) as calls:
            return calls.past_orders(access.token, page)

    def card_page(self, id: str, return_to: str | None, context: RequestContext) -> CardPage:
        """LevelUp's page for the first card of an account of record."""
        access = self.access("user", id)
        with self._levelup.calls(context.deadline, context.calls) as calls:
            return calls.card_page(access.token, return_to)

    def _whose(self, kind: Kind, token: Secret, permissions: str, context: RequestContext) -> int | None:
        """LevelUp's id of the owner of a token: a merchant by its locations, a user by the profile.

        None: LevelUp does not answer now, or the user has not allowed reading it.
        """
        if kind == "user" and "read_user_basic_info" not in permissions.split():
            return None
        try:
            with self._levelup.calls(context.deadline, context.calls) as calls:
                return calls.profile(token).id if kind == "user" else _merchant_of(calls.managed_locations(token))
        except Failure as failure:
            # The token is valid, and LevelUp is asked again.
            log.warning("owner_of_token_unknown", extra={"kind": kind, "code": failure.code})
            return None

    def tidy(self, context: RequestContext) -> None:
        """Ask LevelUp again whose a connection is, where it did not say so: once the token is gone, nobody can.

        And disconnect what was granted, and not confirmed within a day: nobody uses such a token, or revokes it.
        """
        for connection in self._store.unidentified(MOST_TIDIED):
            if context.deadline.remaining() > 0:
                self._identified(connection, context)
        for connection in self._store.unconfirmed(self._now(), MOST_TIDIED):
            if context.deadline.remaining() > 0:
                self.disconnect(connection.kind, connection.id, context)

    def _identified(self, connection: Connected, context: RequestContext) -> Connected:
        """A connection with LevelUp's id of its owner, which LevelUp may not have said before.

        It takes at most half of the time that is left.
        """
        token = self._tokens.open(connection) if connection.levelup_id is None else None
        if token is None:
            return connection
        inner = RequestContext(Deadline(context.deadline.remaining() / 2), context.request_id, calls=context.calls)
        levelup_id = self._whose(connection.kind, token, connection.permissions, inner)
        if levelup_id is None:
            return connection
        self._store.change_connection(connection.id, ("granted", "connected"), levelup_id=levelup_id)
        return replace(connection, levelup_id=levelup_id)

    def _start(
        self, kind: Kind, return_to: str, permissions: Sequence[str], hints: Mapping[str, str | None]
    ) -> tuple[Connected, str]:
        state = new_secret()
        connection = replace(self._new(kind, permissions), return_to=return_to)
        expires_at = connection.created_at + STATE_LIFETIME // timedelta(milliseconds=1)
        self._store.add_connection(connection, digest(state), expires_at)
        url = authorization_url(
            self._levelup.base_url, self._levelup.api_key, self._redirect_uri(kind), permissions, state, hints
        )
        return connection, url

    def _ask(self, connection: Connected, context: RequestContext) -> Connected:
        """Ask LevelUp for the answer to a permissions request, if there is one."""
        if connection.request_id is None:
            return connection
        with self._levelup.calls(context.deadline, context.calls) as calls:
            request = calls.permissions_request(connection.request_id)
        return self._answered(connection, request, context)

    def _answered(self, connection: Connected, request: PermissionsRequest, context: RequestContext) -> Connected:
        if request.state == "accepted" and request.token is not None:
            token = self._tokens.seal(request.token, connection.id)
            whose = self._whose("user", request.token, connection.permissions, context)
            values = {"state": "connected", "token": token, "levelup_id": whose}
            is_connected = self._store.change_connection(connection.id, ("pending",), **values)
            if not is_connected and self.show("user", connection.id).state == "disconnected":
                self._revoke(connection, request.token, context)
        elif request.state not in ("pending", "accepted"):
            if request.state != "rejected" or request.token is not None:
                raise broken_protocol("LevelUp's answer to a permissions request is not documented (state)")
            self._store.change_connection(connection.id, ("pending",), state="refused")
        return self.show("user", connection.id)

    def _new(self, kind: Kind, permissions: Sequence[str]) -> Connected:
        id = _PREFIXES[kind] + secrets.token_urlsafe(18)
        return Connected(id, kind, "pending", " ".join(permissions), self._now())

    def _redirect_uri(self, kind: Kind) -> str:
        return self._return_url + _CALLBACKS[kind]

    def _now(self) -> int:
        return to_ms(self._clock())


def _merchant_of(places: Sequence[LevelUpLocation]) -> int | None:
    """The merchant of these locations; None if there are none or several."""
    merchants = {place.merchant_id for place in places}
    return merchants.pop() if len(merchants) == 1 else None


def _with_query(url: str, **members: str) -> str:
    parts = urlsplit(url)
    return parts._replace(query=urlencode([*parse_qsl(parts.query, keep_blank_values=True), *members.items()])).geturl()


def _of_kind(kind: Kind, connection: Connected | None, path: str | None = None) -> Connected:
    if connection is None or connection.kind != kind:
        raise _not_found(path)
    return connection


def _not_found(path: str | None = None) -> Failure:
    return Failure("connection_not_found", "there is no such connection", path=path)
