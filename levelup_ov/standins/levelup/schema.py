"""The tables of the platform's file, and how those of an older release become these."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_FIRST = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL UNIQUE, password_hash TEXT, first_name TEXT NOT NULL,
    last_name TEXT NOT NULL, merchant_id INTEGER, app_id INTEGER, created_at INTEGER NOT NULL
);
CREATE TABLE cards (
    user_id INTEGER PRIMARY KEY, brand TEXT NOT NULL, last_4 TEXT NOT NULL, expiration_month INTEGER NOT NULL,
    expiration_year INTEGER NOT NULL, outcome TEXT NOT NULL
);
CREATE TABLE addresses (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user_id INTEGER NOT NULL, type TEXT NOT NULL, street_address TEXT NOT NULL,
    extended_address TEXT, locality TEXT NOT NULL, region TEXT NOT NULL, postal_code TEXT NOT NULL
);
CREATE TABLE grants (user_id INTEGER NOT NULL, kind TEXT NOT NULL, merchant_id INTEGER, cents INTEGER NOT NULL);
CREATE TABLE tokens (
    hash TEXT PRIMARY KEY, kind TEXT NOT NULL, app_id INTEGER NOT NULL, user_id INTEGER, merchant_id INTEGER,
    permissions TEXT NOT NULL, created_at INTEGER NOT NULL, revoked_at INTEGER
);
CREATE TABLE codes (
    hash TEXT PRIMARY KEY, app_id INTEGER NOT NULL, user_id INTEGER NOT NULL, redirect_uri TEXT NOT NULL,
    permissions TEXT NOT NULL, expires_at INTEGER NOT NULL, token_hash TEXT
);
CREATE TABLE permissions_requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, app_id INTEGER NOT NULL, user_id INTEGER NOT NULL,
    permissions TEXT NOT NULL, state TEXT NOT NULL, created_at INTEGER NOT NULL
);
CREATE TABLE sessions (hash TEXT PRIMARY KEY, user_id INTEGER NOT NULL, expires_at INTEGER NOT NULL);
CREATE TABLE card_pages (
    hash TEXT PRIMARY KEY, user_id INTEGER NOT NULL, redirect_uri TEXT, expires_at INTEGER NOT NULL
);
CREATE TABLE proposals (
    uuid TEXT PRIMARY KEY, app_id INTEGER NOT NULL, user_id INTEGER NOT NULL, draft TEXT NOT NULL,
    discount INTEGER NOT NULL, created_at INTEGER NOT NULL
);
CREATE TABLE orders (
    number INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, proposal TEXT UNIQUE,
    app_id INTEGER NOT NULL, user_id INTEGER NOT NULL, merchant_id INTEGER NOT NULL, location_id INTEGER NOT NULL,
    draft TEXT NOT NULL, spend INTEGER NOT NULL, tip INTEGER NOT NULL, discount INTEGER NOT NULL,
    gift_card INTEGER NOT NULL, gift_card_tip INTEGER NOT NULL, global_credit INTEGER NOT NULL,
    card INTEGER NOT NULL, eligible INTEGER NOT NULL, earned INTEGER NOT NULL,
    created_at INTEGER NOT NULL, refunded_at INTEGER
);
CREATE INDEX orders_by_user ON orders (user_id, merchant_id);
CREATE TABLE shop_visits (hash TEXT PRIMARY KEY, state TEXT NOT NULL);
CREATE TABLE switches (name TEXT PRIMARY KEY);
"""
_ORDERING_AHEAD = """
ALTER TABLE users ADD COLUMN phone TEXT;
ALTER TABLE grants ADD COLUMN expires_at INTEGER;
CREATE TABLE payment_tokens (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user_id INTEGER NOT NULL UNIQUE, data TEXT NOT NULL UNIQUE
);
CREATE TABLE gateway_ids (
    number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, key TEXT NOT NULL, UNIQUE (kind, key)
);
CREATE TABLE gateway_merchants (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE gateway_locations (id INTEGER PRIMARY KEY, merchant_id INTEGER NOT NULL, facts TEXT NOT NULL);
CREATE TABLE gateway_menus (location_id INTEGER PRIMARY KEY, etag TEXT, menu TEXT NOT NULL, layout TEXT NOT NULL);
CREATE TABLE user_metadata (
    user_id INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (user_id, name)
);
CREATE TABLE ahead_orders (
    uuid TEXT PRIMARY KEY, app_id INTEGER NOT NULL, user_id INTEGER NOT NULL, location_id INTEGER NOT NULL,
    state TEXT NOT NULL, cart TEXT NOT NULL, body TEXT NOT NULL, quote TEXT, problem TEXT, charge TEXT, placed TEXT,
    created_at REAL NOT NULL, since REAL NOT NULL, lease REAL NOT NULL, doubt REAL
);
CREATE INDEX ahead_by_place ON ahead_orders (location_id, state);
CREATE INDEX ahead_by_user ON ahead_orders (user_id, state);
INSERT INTO sqlite_sequence (name, seq) VALUES ('gateway_ids', 1000);
"""
_ACCOUNTS = """
ALTER TABLE users ADD COLUMN born_at TEXT;
ALTER TABLE users ADD COLUMN gender TEXT;
ALTER TABLE users ADD COLUMN custom_attributes TEXT;
ALTER TABLE cards RENAME TO first_cards;
CREATE TABLE cards (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user_id INTEGER NOT NULL, brand TEXT NOT NULL, last_4 TEXT NOT NULL,
    expiration_month INTEGER NOT NULL, expiration_year INTEGER NOT NULL, outcome TEXT NOT NULL,
    promoted INTEGER NOT NULL
);
INSERT INTO cards (user_id, brand, last_4, expiration_month, expiration_year, outcome, promoted)
    SELECT user_id, brand, last_4, expiration_month, expiration_year, outcome, 1 FROM first_cards;
DROP TABLE first_cards;
CREATE INDEX cards_by_user ON cards (user_id);
CREATE TABLE card_keys (pem TEXT NOT NULL);
ALTER TABLE ahead_orders ADD COLUMN answer TEXT;
UPDATE ahead_orders SET cart = json_insert(cart, '$.described', json('[]'), '$.rules', json('{}'));
"""
_DIGITS_AND_PRICES = """
ALTER TABLE cards ADD COLUMN bin TEXT;
UPDATE ahead_orders SET cart = json_set(cart, '$.described', json('[]'))
    WHERE state IN ('validating', 'valid', 'charging');
"""
_SCHEDULING = """
ALTER TABLE gateway_locations ADD COLUMN scheduling INTEGER;
"""
RELEASES: Sequence[str] = (_FIRST, _ORDERING_AHEAD, _ACCOUNTS, _DIGITS_AND_PRICES, _SCHEDULING)
"""What each release added; how many of them a file has is its ``user_version``. The first release set none."""


def releases_of(connection: sqlite3.Connection) -> int:
    """How many of :data:`RELEASES` a file has; 0 for a new one."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    has_tables = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'switches'").fetchone()
    return max(version, 1 if has_tables else 0)


@contextmanager
def brought_up(connection: sqlite3.Connection) -> Iterator[int]:
    """Bring a file up to date, with what the block adds, all or nothing; yields how many releases it had."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        before = releases_of(connection)
        for statement in ";".join(RELEASES[before:]).split(";"):
            connection.execute(statement)
        yield before
        connection.execute(f"PRAGMA user_version = {len(RELEASES)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
