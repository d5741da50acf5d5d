"""What the engine keeps, in one SQLite file: carts, orders, accounts and sessions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from levelup_ov.standins.sqlite_pool import SQLitePool

CART_LIFETIME = timedelta(hours=2)
SESSION_LIFETIME = timedelta(hours=12)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS carts (
    id TEXT PRIMARY KEY, place TEXT NOT NULL, account TEXT, content TEXT NOT NULL,
    created_at INTEGER NOT NULL, ordered INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS carts_by_age ON carts (created_at);
CREATE TABLE IF NOT EXISTS orders (
    id TEXT PRIMARY KEY, place TEXT NOT NULL, ticket INTEGER NOT NULL, reference TEXT, account TEXT,
    ready_at INTEGER, placed_at INTEGER NOT NULL, details TEXT NOT NULL, UNIQUE (place, ticket)
);
CREATE INDEX IF NOT EXISTS orders_by_reference ON orders (place, reference);
CREATE INDEX IF NOT EXISTS orders_by_slot ON orders (place, ready_at);
CREATE TABLE IF NOT EXISTS accounts (
    id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, password_hash TEXT NOT NULL, name TEXT NOT NULL, phone TEXT
);
CREATE TABLE IF NOT EXISTS sessions (
    token_hash TEXT PRIMARY KEY, account TEXT NOT NULL, expires_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS voided_references (
    place TEXT NOT NULL, reference TEXT NOT NULL, PRIMARY KEY (place, reference)
);
CREATE TABLE IF NOT EXISTS cancellations (order_id TEXT PRIMARY KEY, made_at INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS shortages (
    place TEXT NOT NULL, dish TEXT NOT NULL, until INTEGER NOT NULL, PRIMARY KEY (place, dish)
);
"""
_NEWEST_TABLE = "shortages"


@dataclass(frozen=True, slots=True)
class EngineCart:
    """A cart that has not expired; ``content`` is the request body it was filled with."""

    id: str
    place: str
    account: str | None
    content: Any
    created_at: datetime
    ordered: bool


@dataclass(frozen=True, slots=True)
class EngineOrder:
    """A placed order. ``details`` is what the kitchen sees beside the other members, ready for JSON."""

    id: str
    place: str
    ticket: int
    reference: str | None
    account: str | None
    ready_at: datetime | None
    placed_at: datetime
    details: dict[str, Any]


class Transaction:
    """What can be done in one transaction of :meth:`EngineStore.reading` or :meth:`EngineStore.writing`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._run = connection.execute

    def add_cart(self, cart: EngineCart) -> None:
        """Keep a new cart, and forget those that have expired by then."""
        expired = (_seconds(cart.created_at - CART_LIFETIME),)
        self._run("DELETE FROM carts WHERE created_at <= ?", expired)
        self._run(
            "INSERT INTO carts (id, place, account, content, created_at) VALUES (?, ?, ?, ?, ?)",
            (cart.id, cart.place, cart.account, json.dumps(cart.content), _seconds(cart.created_at)),
        )

    def cart(self, cart_id: str, now: datetime) -> EngineCart | None:
        """The cart, unless it has expired."""
        row = self._run(
            "SELECT id, place, account, content, created_at, ordered FROM carts WHERE id = ? AND created_at > ?",
            (cart_id, _seconds(now - CART_LIFETIME)),
        ).fetchone()
        return row and EngineCart(row[0], row[1], row[2], json.loads(row[3]), _instant(row[4]), bool(row[5]))

    def fill_cart(self, cart_id: str, content: Any) -> None:
        """Replace what is in a cart."""
        self._run("UPDATE carts SET content = ? WHERE id = ?", (json.dumps(content), cart_id))

    def close_cart(self, cart_id: str) -> None:
        """Mark a cart as ordered."""
        self._run("UPDATE carts SET ordered = 1 WHERE id = ?", (cart_id,))

    def void_reference(self, place: str, reference: str) -> None:
        """Nothing is ordered under ``reference`` any more."""
        self._run("INSERT OR IGNORE INTO voided_references (place, reference) VALUES (?, ?)", (place, reference))

    def is_void(self, place: str, reference: str) -> bool:
        """Whether the reference was voided."""
        query = "SELECT 1 FROM voided_references WHERE place = ? AND reference = ?"
        return self._run(query, (place, reference)).fetchone() is not None

    def next_ticket(self, place: str) -> int:
        """The next ticket number of a place, from 1."""
        return self._run("SELECT coalesce(max(ticket), 0) + 1 FROM orders WHERE place = ?", (place,)).fetchone()[0]

    def add_order(self, order: EngineOrder) -> None:
        """Keep a placed order."""
        self._run(
            "INSERT INTO orders (id, place, ticket, reference, account, ready_at, placed_at, details) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                order.id, order.place, order.ticket, order.reference, order.account,
                order.ready_at and _seconds(order.ready_at), _seconds(order.placed_at), json.dumps(order.details),
            ),
        )  # fmt: skip

    def order(self, order_id: str) -> EngineOrder | None:
        """The order with this id."""
        return next(self._orders("id = ?", order_id), None)

    def cancel(self, order_id: str, now: datetime) -> None:
        """Keep that an order is canceled; the first time counts."""
        self._run("INSERT OR IGNORE INTO cancellations (order_id, made_at) VALUES (?, ?)", (order_id, _seconds(now)))

    def canceled_at(self, order_id: str) -> datetime | None:
        """When an order was canceled."""
        row = self._run("SELECT made_at FROM cancellations WHERE order_id = ?", (order_id,)).fetchone()
        return row and _instant(row[0])

    def run_out(self, place: str, dish: str, until: datetime) -> None:
        """A dish is sold out for some time; ``*`` means the whole place, which pauses."""
        self._run(
            "INSERT OR REPLACE INTO shortages (place, dish, until) VALUES (?, ?, ?)", (place, dish, _seconds(until))
        )

    def shortages(self, place: str, now: datetime) -> frozenset[str]:
        """The dishes that are sold out, and ``*`` while the place pauses."""
        rows = self._run("SELECT dish FROM shortages WHERE place = ? AND until > ?", (place, _seconds(now)))
        return frozenset(row[0] for row in rows)

    def orders_by_reference(self, place: str, reference: str) -> list[EngineOrder]:
        """The orders of a place that came with this reference, oldest first."""
        return list(self._orders("place = ? AND reference = ? ORDER BY ticket", place, reference))

    def full_slots(self, place: str, capacity: int, now: datetime) -> frozenset[datetime]:
        """The slots from now on that have ``capacity`` orders or more."""
        rows = self._run(
            "SELECT ready_at FROM orders WHERE place = ? AND ready_at >= ? GROUP BY ready_at HAVING count(*) >= ?",
            (place, _seconds(now), capacity),
        )
        return frozenset(_instant(row[0]) for row in rows)

    def add_account(self, account: str, email: str, password_hash: str, name: str, phone: str | None) -> bool:
        """Keep a new account; False if its e-mail address is taken."""
        cursor = self._run(
            "INSERT INTO accounts (id, email, password_hash, name, phone) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (email) DO NOTHING",
            (account, email, password_hash, name, phone),
        )
        return cursor.rowcount == 1

    def account(self, email: str) -> tuple[str, str] | None:
        """Id and password hash of the account with this e-mail address."""
        return self._run("SELECT id, password_hash FROM accounts WHERE email = ?", (email,)).fetchone()

    def add_session(self, token_hash: str, account: str, now: datetime) -> None:
        """Keep a session, and forget those that have expired."""
        self._run("DELETE FROM sessions WHERE expires_at <= ?", (_seconds(now),))
        self._run("INSERT INTO sessions VALUES (?, ?, ?)", (token_hash, account, _seconds(now + SESSION_LIFETIME)))

    def session(self, token_hash: str, now: datetime) -> str | None:
        """The id of the account that a session belongs to, unless it has expired."""
        row = self._run(
            "SELECT account FROM sessions WHERE token_hash = ? AND expires_at > ?", (token_hash, _seconds(now))
        ).fetchone()
        return row and row[0]

    def _orders(self, condition: str, *values: str) -> Iterator[EngineOrder]:
        for row in self._run(
            "SELECT id, place, ticket, reference, account, ready_at, placed_at, details FROM orders WHERE " + condition,
            values,
        ):
            order_id, place, ticket, reference, account, ready_at, placed_at, details = row
            yield EngineOrder(
                order_id, place, ticket, reference, account,
                None if ready_at is None else _instant(ready_at), _instant(placed_at), json.loads(details),
            )  # fmt: skip


class EngineStore(SQLitePool[Transaction]):
    """The file at ``path``."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, Transaction, _make_tables)


def _make_tables(connection: sqlite3.Connection) -> None:
    if _has(connection, _NEWEST_TABLE):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have been first.
        if not _has(connection, _NEWEST_TABLE):
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _has(connection: sqlite3.Connection, table: str) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is not None


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp())


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)
