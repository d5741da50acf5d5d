"""What the platform keeps, in one SQLite file: users and what is theirs, tokens, proposals and orders.

Tokens, codes and passwords are kept hashed, of a card its first six and last four digits. The data of a payment token
is kept as it is: a phone shows it again and again, and it pays nowhere but here.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import Any, Literal

from werkzeug.security import generate_password_hash

from levelup_ov.standins.levelup.cards import Card, made_card
from levelup_ov.standins.levelup.drafts import Draft
from levelup_ov.standins.levelup.funds import FundsSplit, OrderSums, Program
from levelup_ov.standins.levelup.qr import new_token_data
from levelup_ov.standins.levelup.schema import RELEASES, brought_up, releases_of
from levelup_ov.standins.levelup.world import (
    LOCATIONS,
    MERCHANTS,
    PEOPLE,
    Address,
    Grant,
    PlatformLocation,
    PlatformMerchant,
    owner_login,
)
from levelup_ov.standins.sqlite_pool import SQLitePool

SESSION_LIFETIME = timedelta(hours=12)
WORLD_BEGINS = datetime(2014, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True)
class PlatformUser:
    """``merchant_id``: the merchant that they own. ``app_id``: the app that made the account."""

    id: int
    email: str
    password_hash: str | None
    first_name: str
    last_name: str
    merchant_id: int | None
    app_id: int | None
    phone: str | None
    created_at: int
    born_at: str | None = None
    gender: str | None = None
    custom_attributes: Any = None

    @property
    def registered_at(self) -> datetime:
        return _instant(self.created_at)

    @property
    def display_name(self) -> str:
        return f"{self.first_name} {self.last_name[:1]}.".strip()


@dataclass(frozen=True, slots=True)
class KeptCard:
    """``promoted``: the one of a user's cards that is charged."""

    id: int
    card: Card
    promoted: bool


@dataclass(frozen=True, slots=True)
class StoredToken:
    """The meaning of a valid token."""

    hash: str
    kind: Literal["app", "user", "merchant"]
    app_id: int
    user_id: int | None
    merchant_id: int | None
    permissions: frozenset[str]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Code:
    """``token_hash``: the token that it was exchanged for already."""

    app_id: int
    user_id: int
    redirect_uri: str
    permissions: frozenset[str]
    expires_at: datetime
    token_hash: str | None


@dataclass(frozen=True, slots=True)
class PermissionsRequest:
    id: int
    app_id: int
    user_id: int
    permissions: tuple[str, ...]
    state: Literal["pending", "accepted", "rejected"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """``discount``: what was offered, cents."""

    uuid: str
    app_id: int
    user_id: int
    draft: Draft
    discount: int


@dataclass(frozen=True, slots=True)
class PlatformOrder:
    """``eligible``: spend that earns loyalty; ``earned``: credit that it earned when it was made; cents.

    ``number``: its integer id; None until it is kept.
    """

    uuid: str
    app_id: int
    user_id: int
    merchant_id: int
    location_id: int
    draft: Draft
    payment: FundsSplit
    eligible: int
    earned: int
    created_at: datetime
    refunded_at: datetime | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Ahead:
    """An order ahead. ``body``: what the gateway is asked; ``quote``: its answer; ``placed``: that to the submission.

    ``charge``: the UUID of what the diner was charged. ``lease``: until when somebody works at it. ``doubt``: when a
    submission was sent last that had no answer.
    """

    uuid: str
    app_id: int
    user_id: int
    location_id: int
    state: str
    cart: Any
    body: Any
    quote: Any
    problem: Any
    charge: str | None
    placed: Any
    created_at: float
    since: float
    lease: float = 0
    doubt: float | None = None


_LOCATIONS = "SELECT id, merchant_id, facts, scheduling FROM gateway_locations"
_JSON_OF_AHEAD = ("cart", "body", "quote", "problem", "placed")


class Transaction:
    """What can be done in one transaction of :meth:`PlatformStore.reading` or :meth:`PlatformStore.writing`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    # Users and what is theirs.

    def add_user(
        self,
        email: str,
        first_name: str,
        last_name: str,
        now: datetime,
        *,
        password_hash: str | None = None,
        app_id: int | None = None,
        phone: str | None = None,
        merchant_id: int | None = None,
    ) -> int | None:
        """The new user's id; None if the address is taken."""
        taken = self._run("SELECT 1 FROM users WHERE email = ?", (canonical(email),)).fetchone()
        if taken:
            return None
        return self._add(
            "users", email=canonical(email), password_hash=password_hash, first_name=first_name, last_name=last_name,
            app_id=app_id, created_at=_seconds(now), phone=phone, merchant_id=merchant_id,
        )  # fmt: skip

    def user(self, user_id: int) -> PlatformUser | None:
        return next(self._users("id = ?", user_id), None)

    def user_by_email(self, email: str) -> PlatformUser | None:
        return next(self._users("email = ?", canonical(email)), None)

    def users(self) -> list[PlatformUser]:
        """All of them, oldest first."""
        return list(self._users("1 ORDER BY id"))

    def change_user(self, user_id: int, **values: Any) -> bool:
        """Change some columns of a user; False if another one has the e-mail address."""
        if email := values.get("email"):
            other = self.user_by_email(email)
            if other is not None and other.id != user_id:
                return False
            values["email"] = canonical(email)
        if "custom_attributes" in values:
            values["custom_attributes"] = _packed(values["custom_attributes"])
        assignments = ", ".join(f"{name} = ?" for name in values)
        if values:
            self._run(f"UPDATE users SET {assignments} WHERE id = ?", (*values.values(), user_id))
        return True

    def cards(self, user_id: int) -> list[KeptCard]:
        """A user's cards, oldest first."""
        rows = self._run(
            "SELECT id, brand, last_4, expiration_month, expiration_year, outcome, bin, promoted FROM cards "
            "WHERE user_id = ? ORDER BY id",
            (user_id,),
        )
        return [KeptCard(row[0], Card(*row[1:7]), bool(row[7])) for row in rows]

    def card(self, user_id: int) -> Card | None:
        """The card that is charged."""
        return next((kept.card for kept in self.cards(user_id) if kept.promoted), None)

    def add_card(self, user_id: int, card: Card) -> int:
        """Keep a user's card, which is the one to charge from now on."""
        number = self._add("cards", user_id=user_id, **asdict(card), promoted=0)
        self.promote_card(user_id, number)
        return number

    def promote_card(self, user_id: int, number: int) -> None:
        """Charge this one of a user's cards."""
        self._run("UPDATE cards SET promoted = (id = ?) WHERE user_id = ?", (number, user_id))

    def delete_card(self, user_id: int, number: int) -> None:
        """Forget a card; if it was the one to charge, the newest other one is."""
        self._run("DELETE FROM cards WHERE id = ? AND user_id = ?", (number, user_id))
        left = self.cards(user_id)
        if left and not any(kept.promoted for kept in left):
            self.promote_card(user_id, left[-1].id)

    def card_key(self) -> str | None:
        """The private key for cards that apps encrypt."""
        row = self._run("SELECT pem FROM card_keys").fetchone()
        return row and row[0]

    def keep_card_key(self, pem: str) -> str:
        """Keep this one unless there is one; the one that is kept."""
        self._run("INSERT INTO card_keys SELECT ? WHERE NOT EXISTS (SELECT 1 FROM card_keys)", (pem,))
        return self.card_key() or pem

    def addresses(self, user_id: int) -> list[tuple[int, Address]]:
        """Ids and addresses, oldest first."""
        rows = self._run(
            "SELECT id, type, street_address, extended_address, locality, region, postal_code "
            "FROM addresses WHERE user_id = ? ORDER BY id",
            (user_id,),
        )
        return [(row[0], Address(*row[1:])) for row in rows]

    def add_address(self, user_id: int, address: Address) -> int:
        return self._add("addresses", user_id=user_id, **asdict(address))

    def add_grant(self, user_id: int, grant: Grant) -> None:
        self._add("grants", user_id=user_id, **asdict(grant))

    def granted(self, user_id: int, kind: str, merchant_id: int | None) -> int:
        """Cents that a user started with or was given, those that have expired since included."""
        return self._granted(user_id, kind, merchant_id, None)

    def next_expiry(self, user_id: int, kind: str, merchant_id: int | None, now: datetime) -> datetime | None:
        """When the first of them will expire that has not yet; None: they are for good."""
        found = self._run(
            "SELECT min(expires_at) FROM grants WHERE user_id = ? AND kind = ? AND merchant_id IS ? AND expires_at > ?",
            (user_id, kind, merchant_id, _seconds(now)),
        ).fetchone()[0]
        return None if found is None else _instant(found)

    def expired(self, user_id: int, kind: str, merchant_id: int | None, now: datetime) -> int:
        """The part of them that has expired."""
        return self._granted(user_id, kind, merchant_id, _seconds(now))

    def _granted(self, user_id: int, kind: str, merchant_id: int | None, expired_by: int | None) -> int:
        return self._run(
            "SELECT coalesce(sum(cents), 0) FROM grants WHERE user_id = ? AND kind = ? AND merchant_id IS ? "
            "AND (? IS NULL OR expires_at <= ?)",
            (user_id, kind, merchant_id, expired_by, expired_by),
        ).fetchone()[0]

    def payment_token(self, user_id: int) -> tuple[int, str]:
        """Id and data of what a user shows to be scanned; made when it is first asked for."""
        self._run(
            "INSERT INTO payment_tokens (user_id, data) VALUES (?, ?) ON CONFLICT DO NOTHING",
            (user_id, new_token_data()),
        )
        return self._run("SELECT id, data FROM payment_tokens WHERE user_id = ?", (user_id,)).fetchone()

    def user_of_payment_token(self, data: str) -> PlatformUser | None:
        """Who pays with it."""
        return next(self._users("id = (SELECT user_id FROM payment_tokens WHERE data = ?)", data), None)

    # Places: those of the made-up world, and those of the gateway.

    def location(self, number: int) -> PlatformLocation | None:
        if (location := LOCATIONS.get(number)) is not None:
            return location
        row = self._run(f"{_LOCATIONS} WHERE id = ?", (number,)).fetchone()
        return row and _location_in(row)

    def merchant(self, number: int) -> PlatformMerchant | None:
        if (merchant := MERCHANTS.get(number)) is not None:
            return merchant
        row = self._run("SELECT id, name FROM gateway_merchants WHERE id = ?", (number,)).fetchone()
        return row and PlatformMerchant(row[0], row[1], Program("spend", 5000, 500))

    def locations(self) -> list[PlatformLocation]:
        """All of them, by their ids."""
        return [*LOCATIONS.values(), *map(_location_in, self._run(f"{_LOCATIONS} ORDER BY id"))]

    def merchants(self) -> list[PlatformMerchant]:
        """The same for merchants."""
        rows = self._run("SELECT id, name FROM gateway_merchants ORDER BY id")
        return [*MERCHANTS.values(), *(PlatformMerchant(row[0], row[1], Program("spend", 5000, 500)) for row in rows)]

    def keep_merchant(self, number: int, name: str) -> None:
        """Keep a merchant of the gateway; a new one gets an owner, who can give credit in its name."""
        self._run("REPLACE INTO gateway_merchants VALUES (?, ?)", (number, name))
        email, password = owner_login(number)
        if self.user_by_email(email) is None:
            kept = _hash_of_known(password)
            self.add_user(email, "Owner", f"of {name}", WORLD_BEGINS, password_hash=kept, merchant_id=number)

    def keep_location(self, location: PlatformLocation) -> None:
        """Keep what the gateway says of a location; what was learned of it stays."""
        ours = ("id", "merchant_id", "scheduling")
        facts = {name: value for name, value in asdict(location).items() if name not in ours}
        self._run(
            "INSERT INTO gateway_locations (id, merchant_id, facts) VALUES (?, ?, ?)"
            " ON CONFLICT (id) DO UPDATE SET merchant_id = excluded.merchant_id, facts = excluded.facts",
            (location.id, location.merchant_id, json.dumps(facts)),
        )

    def learn_scheduling(self, number: int, takes: bool) -> None:
        """Whether a location of the gateway takes orders for later; that it once did outweighs refusals."""
        self._run(
            "UPDATE gateway_locations SET scheduling = max(coalesce(scheduling, 0), ?) WHERE id = ?", (takes, number)
        )

    def number(self, kind: str, key: str) -> int:
        """LevelUp's number for something of the gateway's; a new one where there is none yet."""
        found = self._run("SELECT number FROM gateway_ids WHERE kind = ? AND key = ?", (kind, key)).fetchone()
        return found[0] if found else self._add("gateway_ids", kind=kind, key=key)

    def key(self, kind: str, number: int) -> str | None:
        """The meaning of a number."""
        row = self._run("SELECT key FROM gateway_ids WHERE number = ? AND kind = ?", (number, kind)).fetchone()
        return row and row[0]

    def menu(self, location_id: int) -> tuple[str | None, Any, Any] | None:
        """The kept menu of a location: its tag, as the gateway gave it, and as apps get it."""
        row = self._run("SELECT etag, menu, layout FROM gateway_menus WHERE location_id = ?", (location_id,)).fetchone()
        return row and (row[0], json.loads(row[1]), json.loads(row[2]))

    def keep_menu(self, location_id: int, etag: str | None, menu: Any, layout: Any) -> None:
        self._run(
            "REPLACE INTO gateway_menus VALUES (?, ?, ?, ?)", (location_id, etag, json.dumps(menu), json.dumps(layout))
        )

    def user_metadata(self, user_id: int) -> dict[str, Any]:
        """What ordering providers want to see again with every order of a user."""
        rows = self._run("SELECT name, value FROM user_metadata WHERE user_id = ?", (user_id,))
        return {row[0]: json.loads(row[1]) for row in rows}

    def keep_user_metadata(self, user_id: int, members: Mapping[str, Any]) -> None:
        for name, value in members.items():
            self._run("REPLACE INTO user_metadata VALUES (?, ?, ?)", (user_id, name, json.dumps(value)))

    # Orders ahead. Times are seconds since 1970.

    def add_ahead(self, order: Ahead) -> None:
        values = {name: value for name, value in asdict(order).items() if name not in _JSON_OF_AHEAD}
        packed = {name: _packed(getattr(order, name)) for name in _JSON_OF_AHEAD}
        self._add("ahead_orders", **values, **packed)

    def ahead(self, uuid: str) -> Ahead | None:
        return next(self._aheads("uuid = ?", uuid), None)

    def change_ahead(self, uuid: str, states: tuple[str, ...], now: float, **values: Any) -> bool:
        """Change an order that is in one of ``states``; whether it was."""
        packed = {name: _packed(value) if name in _JSON_OF_AHEAD else value for name, value in values.items()}
        if "state" in packed:
            packed["since"] = now
        assignments = ", ".join(f"{name} = ?" for name in packed)
        marks = ", ".join("?" * len(states))
        found = self._run(
            f"UPDATE ahead_orders SET {assignments} WHERE uuid = ? AND state IN ({marks})",
            (*packed.values(), uuid, *states),
        )
        return found.rowcount == 1

    def keep_answer(self, uuid: str, answer: str | None) -> None:
        """Keep what polls of an order are answered."""
        self._run("UPDATE ahead_orders SET answer = ? WHERE uuid = ?", (answer, uuid))

    def polled_ahead(self, uuid: str, token_hash: str, switch: str) -> tuple[str, float, str | None] | None:
        """State, lease and kept answer of an order of the token's user, in one statement; None if ``switch`` is on."""
        return self._run(
            "SELECT state, lease, answer FROM ahead_orders JOIN tokens USING (user_id) WHERE uuid = ? AND hash = ? "
            "AND kind = 'user' AND revoked_at IS NULL AND NOT EXISTS (SELECT 1 FROM switches WHERE name = ?)",
            (uuid, token_hash, switch),
        ).fetchone()

    def lease_ahead(self, uuid: str, states: tuple[str, ...], now: float, until: float) -> bool:
        """Take the lease on an order that is not being handled; whether it was free."""
        marks = ", ".join("?" * len(states))
        found = self._run(
            f"UPDATE ahead_orders SET lease = ? WHERE uuid = ? AND lease <= ? AND state IN ({marks})",
            (until, uuid, now, *states),
        )
        return found.rowcount == 1

    def completed_ahead(self, location_id: int | None, user_id: int | None, limit: int) -> list[Ahead]:
        """Completed orders of a place or a user, newest first."""
        return list(
            self._aheads(
                "state = 'completed' AND (? IS NULL OR location_id = ?) AND (? IS NULL OR user_id = ?) "
                "ORDER BY created_at DESC LIMIT ?",
                location_id, location_id, user_id, user_id, limit,
            )
        )  # fmt: skip

    # Tokens, codes, requests and sessions.

    def add_token(self, token: StoredToken) -> None:
        self._add(
            "tokens", hash=token.hash, kind=token.kind, app_id=token.app_id, user_id=token.user_id,
            merchant_id=token.merchant_id, permissions=_words(token.permissions), created_at=_seconds(token.created_at),
        )  # fmt: skip

    def token(self, token_hash: str) -> StoredToken | None:
        """The token, unless it is revoked."""
        return next(self._tokens("hash = ?", token_hash), None)

    def tokens_of(self, user_id: int) -> list[StoredToken]:
        """What a user has allowed, oldest first."""
        return list(self._tokens("user_id = ? ORDER BY created_at", user_id))

    def revoke_token(self, token_hash: str, now: datetime) -> None:
        self._run("UPDATE tokens SET revoked_at = ? WHERE hash = ? AND revoked_at IS NULL", (_seconds(now), token_hash))

    def revoke_app(self, app_id: int, user_id: int, now: datetime) -> None:
        """Revoke all that a user has allowed an app."""
        self._run(
            "UPDATE tokens SET revoked_at = ? WHERE app_id = ? AND user_id = ? AND revoked_at IS NULL",
            (_seconds(now), app_id, user_id),
        )

    def add_code(self, code_hash: str, code: Code) -> None:
        self._add(
            "codes", hash=code_hash, app_id=code.app_id, user_id=code.user_id, redirect_uri=code.redirect_uri,
            permissions=_words(code.permissions), expires_at=_seconds(code.expires_at),
        )  # fmt: skip

    def code(self, code_hash: str) -> Code | None:
        row = self._run(
            "SELECT app_id, user_id, redirect_uri, permissions, expires_at, token_hash FROM codes WHERE hash = ?",
            (code_hash,),
        ).fetchone()
        return row and Code(row[0], row[1], row[2], frozenset(row[3].split()), _instant(row[4]), row[5])

    def spend_code(self, code_hash: str, token_hash: str) -> None:
        """Note the token that a code was exchanged for."""
        self._run("UPDATE codes SET token_hash = ? WHERE hash = ?", (token_hash, code_hash))

    def add_request(self, app_id: int, user_id: int, permissions: tuple[str, ...], now: datetime) -> int:
        """The id of a new permissions request."""
        return self._add(
            "permissions_requests", app_id=app_id, user_id=user_id, permissions=" ".join(permissions), state="pending",
            created_at=_seconds(now),
        )  # fmt: skip

    def request(self, request_id: int) -> PermissionsRequest | None:
        return next(self._requests("id = ?", request_id), None)

    def pending_requests(self) -> list[PermissionsRequest]:
        """Oldest first."""
        return list(self._requests("state = ? ORDER BY id", "pending"))

    def answer_request(self, request_id: int, state: str) -> None:
        self._run("UPDATE permissions_requests SET state = ? WHERE id = ?", (state, request_id))

    def add_session(self, session_hash: str, user_id: int, now: datetime) -> None:
        """Keep a session, and forget those that have expired."""
        self._run("DELETE FROM sessions WHERE expires_at <= ?", (_seconds(now),))
        self._add("sessions", hash=session_hash, user_id=user_id, expires_at=_seconds(now + SESSION_LIFETIME))

    def session(self, session_hash: str, now: datetime) -> PlatformUser | None:
        """Whose session it is, unless it has expired."""
        return next(
            self._users(
                "id = (SELECT user_id FROM sessions WHERE hash = ? AND expires_at > ?)", session_hash, _seconds(now)
            ),
            None,
        )

    def end_session(self, session_hash: str) -> None:
        self._run("DELETE FROM sessions WHERE hash = ?", (session_hash,))

    def add_card_page(self, link_hash: str, user_id: int, redirect_uri: str | None, expires_at: datetime) -> None:
        """Keep the link to a page on which one card can be added."""
        self._add(
            "card_pages", hash=link_hash, user_id=user_id, redirect_uri=redirect_uri, expires_at=_seconds(expires_at)
        )

    def card_page(self, link_hash: str, now: datetime) -> tuple[int, str | None] | None:
        """User and redirect URI of a link that has not expired."""
        return self._run(
            "SELECT user_id, redirect_uri FROM card_pages WHERE hash = ? AND expires_at > ?", (link_hash, _seconds(now))
        ).fetchone()

    # Orders.

    def add_proposal(self, proposal: Proposal, now: datetime) -> None:
        self._add(
            "proposals", uuid=proposal.uuid, app_id=proposal.app_id, user_id=proposal.user_id,
            draft=_dumped(proposal.draft), discount=proposal.discount, created_at=_seconds(now),
        )  # fmt: skip

    def proposal(self, uuid: str) -> Proposal | None:
        row = self._run(
            "SELECT uuid, app_id, user_id, draft, discount FROM proposals WHERE uuid = ?", (uuid,)
        ).fetchone()
        return row and Proposal(row[0], row[1], row[2], _loaded(row[3]), row[4])

    def add_order(self, order: PlatformOrder) -> None:
        self._add(
            "orders", uuid=order.uuid, proposal=order.draft.proposed_order_uuid, app_id=order.app_id,
            user_id=order.user_id, merchant_id=order.merchant_id, location_id=order.location_id,
            draft=_dumped(order.draft), **asdict(order.payment), eligible=order.eligible, earned=order.earned,
            created_at=_seconds(order.created_at),
        )  # fmt: skip

    def order(self, uuid: str) -> PlatformOrder | None:
        return next(self._orders("uuid = ?", uuid), None)

    def order_of_proposal(self, proposal_uuid: str) -> PlatformOrder | None:
        """The order that completed a proposal."""
        return next(self._orders("proposal = ?", proposal_uuid), None)

    def orders_of(self, user_id: int, *, limit: int, offset: int = 0) -> list[PlatformOrder]:
        """A user's orders, newest first."""
        return list(self._orders("user_id = ? ORDER BY number DESC LIMIT ? OFFSET ?", user_id, limit, offset))

    def orders_at(self, location_id: int, app_id: int, *, limit: int, offset: int = 0) -> list[PlatformOrder]:
        """An app's orders at a location, newest first."""
        condition = "location_id = ? AND app_id = ? ORDER BY number DESC LIMIT ? OFFSET ?"
        return list(self._orders(condition, location_id, app_id, limit, offset))

    def newest_orders(self, limit: int) -> list[PlatformOrder]:
        return list(self._orders("1 ORDER BY number DESC LIMIT ?", limit))

    def refund(self, uuid: str, now: datetime) -> None:
        self._run("UPDATE orders SET refunded_at = ? WHERE uuid = ?", (_seconds(now), uuid))

    def order_sums(self, user_id: int, merchant_id: int) -> OrderSums:
        """The sums of a user's orders with a merchant; refunded orders do not count."""
        row = self._run(
            "SELECT count(*), total(spend + tip), total(eligible), total(discount), total(gift_card) FROM orders "
            "WHERE user_id = ? AND merchant_id = ? AND refunded_at IS NULL",
            (user_id, merchant_id),
        ).fetchone()
        return OrderSums(*(int(value) for value in row))

    def global_credit_used(self, user_id: int) -> int:
        """Cents, at all merchants."""
        return self._run(
            "SELECT coalesce(sum(global_credit), 0) FROM orders WHERE user_id = ? AND refunded_at IS NULL", (user_id,)
        ).fetchone()[0]

    # Switches.

    def switched_on(self, name: str) -> bool:
        return self._run("SELECT 1 FROM switches WHERE name = ?", (name,)).fetchone() is not None

    def switch(self, name: str, on: bool) -> None:
        self._run("DELETE FROM switches WHERE name = ?", (name,))
        if on:
            self._add("switches", name=name)

    # The sample shop.

    def shop_visit(self, visit_hash: str) -> dict[str, Any]:
        """What the sample shop keeps of a visit; empty at first."""
        row = self._run("SELECT state FROM shop_visits WHERE hash = ?", (visit_hash,)).fetchone()
        return json.loads(row[0]) if row else {}

    def keep_shop_visit(self, visit_hash: str, state: dict[str, Any]) -> None:
        self._run("REPLACE INTO shop_visits VALUES (?, ?)", (visit_hash, json.dumps(state)))

    def _add(self, table: str, **values: Any) -> int:
        names, marks = ", ".join(values), ", ".join("?" * len(values))
        cursor = self._run(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(values.values()))
        return cursor.lastrowid or 0

    def _users(self, condition: str, *values: Any) -> Iterator[PlatformUser]:
        for row in self._run(
            "SELECT id, email, password_hash, first_name, last_name, merchant_id, app_id, phone, created_at, born_at, "
            "gender, custom_attributes FROM users WHERE " + condition,
            values,
        ):
            yield PlatformUser(*(*row[:11], _unpacked(row[11])))

    def _tokens(self, condition: str, *values: Any) -> Iterator[StoredToken]:
        for row in self._run(
            "SELECT hash, kind, app_id, user_id, merchant_id, permissions, created_at FROM tokens "
            "WHERE revoked_at IS NULL AND " + condition,
            values,
        ):
            yield StoredToken(row[0], row[1], row[2], row[3], row[4], frozenset(row[5].split()), _instant(row[6]))

    def _requests(self, condition: str, *values: Any) -> Iterator[PermissionsRequest]:
        for row in self._run(
            "SELECT id, app_id, user_id, permissions, state FROM permissions_requests WHERE " + condition, values
        ):
            yield PermissionsRequest(row[0], row[1], row[2], tuple(row[3].split()), row[4])

    def _orders(self, condition: str, *values: Any) -> Iterator[PlatformOrder]:
        for row in self._run(
            "SELECT uuid, app_id, user_id, merchant_id, location_id, draft, spend, tip, discount, gift_card, "
            "gift_card_tip, global_credit, card, eligible, earned, created_at, refunded_at, number FROM orders WHERE "
            + condition,
            values,
        ):
            refunded = None if row[16] is None else _instant(row[16])
            yield PlatformOrder(
                row[0], row[1], row[2], row[3], row[4], _loaded(row[5]), FundsSplit(*row[6:13]), row[13], row[14],
                _instant(row[15]), refunded, row[17],
            )  # fmt: skip

    def orders_by(self, user_id: int, app_id: int, *, limit: int, offset: int = 0) -> list[PlatformOrder]:
        """A user's orders that an app made, newest first."""
        condition = "user_id = ? AND app_id = ? ORDER BY number DESC LIMIT ? OFFSET ?"
        return list(self._orders(condition, user_id, app_id, limit, offset))

    def totals(self, user_id: int) -> tuple[int, int, int]:
        """How many orders a user has made, at how many merchants, and what they saved; refunded ones do not count."""
        return self._run(
            "SELECT count(*), count(DISTINCT merchant_id), "
            "coalesce(sum(discount + global_credit), 0) FROM orders WHERE user_id = ? AND refunded_at IS NULL",
            (user_id,),
        ).fetchone()

    def _aheads(self, condition: str, *values: Any) -> Iterator[Ahead]:
        for row in self._run(
            "SELECT uuid, app_id, user_id, location_id, state, cart, body, quote, problem, charge, placed, created_at, "
            "since, lease, doubt FROM ahead_orders WHERE " + condition,
            values,
        ):
            cart, body, quote, problem = (_unpacked(value) for value in row[5:9])
            yield Ahead(
                row[0], row[1], row[2], row[3], row[4], cart, body, quote, problem, row[9], _unpacked(row[10]), row[11],
                row[12], row[13], row[14],
            )  # fmt: skip


class PlatformStore(SQLitePool[Transaction]):
    """The file at ``path``."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Transaction, _populate)


def hashed(token: str) -> str:
    """What is kept of a token, code or session."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def canonical(email: str) -> str:
    """Addresses that differ only in case or in spaces around them are one."""
    return email.strip().casefold()


def _populate(connection: sqlite3.Connection) -> None:
    """Make the tables and the users that the world starts with, unless they are there."""
    if releases_of(connection) == len(RELEASES):
        return
    passwords = {person.id: _hash_of_known(person.password) for person in PEOPLE}
    with brought_up(connection) as before:
        transaction = Transaction(connection)
        for person in PEOPLE if before == 0 else ():
            connection.execute(
                "INSERT INTO users (id, email, password_hash, first_name, last_name, merchant_id, created_at) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (person.id, person.email, passwords[person.id], person.first_name, person.last_name,
                 person.merchant_id, _seconds(WORLD_BEGINS)),
            )  # fmt: skip
            if person.card:
                transaction.add_card(person.id, made_card(person.card, 12, 2099))
            for address in person.addresses:
                transaction.add_address(person.id, address)
            for grant in person.grants:
                transaction.add_grant(person.id, grant)
        for person in PEOPLE if before < 2 else ():
            connection.execute("UPDATE users SET phone = ? WHERE id = ?", (person.phone, person.id))


@cache
def _location_in(row: Sequence[Any]) -> PlatformLocation:
    number, merchant_id, facts, scheduling = row
    takes = None if scheduling is None else bool(scheduling)
    return PlatformLocation(number, merchant_id, **json.loads(facts), scheduling=takes)


def _hash_of_known(password: str) -> str:
    # Slow by design, and the same for every database that a process makes.
    return generate_password_hash(password)


def _packed(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _unpacked(text: str | None) -> Any:
    return None if text is None else json.loads(text)


def _dumped(draft: Draft) -> str:
    return json.dumps(asdict(draft))


def _loaded(text: str) -> Draft:
    return Draft(**json.loads(text))


def _words(permissions: frozenset[str]) -> str:
    return " ".join(sorted(permissions))


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
