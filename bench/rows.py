"""Ledgers with many rows, which the database itself writes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import psycopg

LONG_AGO = 31 * 24 * 3600 * 1000
"""Milliseconds after which a submission is purged."""

_ROWS = """
INSERT INTO submissions (id, account, location, state, content, owner, request_id, claimed_at, lease_until, sending_at,
    settled_at, provider_order_id, order_id, answer, reference, alike, generation, boot, since, lease, proven, card,
    looked_again)
SELECT substr(hex, 1, 8) || '-' || substr(hex, 9, 4) || '-7000-8000-' || number, account,
    account || '.' || CASE WHEN account = 'big' THEN 'main' ELSE '' || (n % 200) END,
    CASE WHEN n % 49 = 0 OR n % 16 = 0 THEN 'not_placed' ELSE 'placed' END, digest, 'host/1', 'request-' || n,
    ms, ms + 30000, ms + 5, ms + 900, 'p-' || n, '' || n,
    '{{"order_id": 1, "expected_ready_at": null, "metadata": {{}}}}', digest, digest, 0,
    'boot', ms, 30000, 1, 0, 0
FROM (SELECT n, CASE WHEN n % 8 = 0 THEN 'big' ELSE 'a' || (n % 20) END AS account,
    {ms} AS ms, {hex} AS hex, {number} AS number, {digest} AS digest
    FROM {numbers}) AS rows
"""
_IDENTITIES = """
INSERT INTO identities (digest, kind, submission)
SELECT {digest}, kind, id FROM submissions, (SELECT 'order_number' AS kind UNION ALL SELECT 'content') AS kinds
WHERE settled_at <= {last} + 900
    AND NOT EXISTS (SELECT 1 FROM identities WHERE identities.submission = submissions.id)
"""
_OPEN = """
UPDATE submissions SET state = 'unknown', settled_at = NULL, account = 'gone', location = 'gone.' || substr(id, 36)
WHERE id IN (SELECT id FROM submissions ORDER BY id LIMIT {open})
"""
_ORDERS = """
INSERT INTO checkout_orders (id, state, merchant, "user", location_id, proposed_uuid, uuid, spend, tax, exemption, tip,
    discount, looks, tried_at, created_at)
SELECT id, CASE WHEN state = 'placed' THEN 'submitted' ELSE 'refunded' END, 'm', 'u', 1, id, id, 1000, 70, 0, 0, 0,
    0, 0, claimed_at
FROM submissions
"""
_SQLITE: Mapping[str, str] = {
    "ms": "{last} - ({end} - n) * 60",
    "hex": "printf('%012x', {last} - ({end} - n) * 60)",
    "number": "printf('%012x', n)",
    "digest": "lower(hex(randomblob(32)))",
    "numbers": "(WITH RECURSIVE c(n) AS (SELECT {start} UNION ALL "
    "SELECT n + 1 FROM c WHERE n < {end}) SELECT n FROM c)",
}
_POSTGRESQL: Mapping[str, str] = {
    "ms": "{last} - ({end} - n)::bigint * 60",
    "hex": "lpad(to_hex({last} - ({end} - n)::bigint * 60), 12, '0')",
    "number": "lpad(to_hex(n), 12, '0')",
    "digest": "md5(random()::text) || md5(random()::text)",
    "numbers": "generate_series({start}, {end}) AS c(n)",
}


def fill(
    url: str,
    rows: int,
    *,
    start: int = 1,
    ago_ms: int = 0,
    unknown: int = 0,
    identities: bool = False,
    checkout: bool = False,
) -> None:
    """Write ``rows`` settled submissions, the last one ``ago_ms`` milliseconds old, with a number each from ``start``.

    ``unknown``: as many are not settled, of an account that is gone. ``identities``: with two of each. ``checkout``:
    with an order of web checkout for every row of the ledger.
    """
    forms = _SQLITE if url.startswith("sqlite") else _POSTGRESQL
    facts = {"last": time.time_ns() // 1_000_000 - ago_ms, "start": start, "end": start + rows - 1}
    written = {**facts, **{name: form.format(**facts) for name, form in forms.items()}}
    statements = [_ROWS.format(**written)]
    if identities:
        statements.append(_IDENTITIES.format(**written))
    if unknown:
        statements.append(_OPEN.format(open=unknown))
    if checkout:
        statements.append(_ORDERS)
    if forms is _SQLITE:
        with closing(sqlite3.connect(Path(url.removeprefix("sqlite:///")), timeout=60)) as file:
            file.execute("PRAGMA cache_size = -400000")
            for statement in statements:
                with file:
                    file.execute(statement)
            file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())
        if start == 1:
            connection.execute("VACUUM ANALYZE")
