"""The console's pages under few rows and under many: ``python -m bench.console [--rows N] [--postgresql]``.

Both ledgers are asked in turns, and the fastest of the rounds counts: other work on the machine only adds to it. The
database itself writes the rows.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.ledger.engine import upgrade
from tests.checkout.site import VARIABLES as CHECKOUT
from tests.console.conftest import KEYS, VARIABLES, Operator
from tests.servers.postgres import PostgresServer, binaries

FEW = 1000
ROUNDS = 40
BIG = "account=big&location=big.main"
LONG_AGO, SOME = "2026-01-01T00:00", "request-777"
PAGES = {
    "now": "",
    "first page": "/submissions",
    "of an account": "/submissions?account=big",
    "of a location": f"/submissions?{BIG}",
    "of no location": "/submissions?location=big.none",
    "placed": "/submissions?state=placed",
    "not placed": "/submissions?state=not_placed",
    "unknown": "/submissions?state=unknown",
    "findings": "/submissions?findings=1",
    "account, not placed": "/submissions?account=big&state=not_placed",
    "location, not placed": f"/submissions?{BIG}&state=not_placed",
    "nothing not placed": "/submissions?location=big.none&state=not_placed",
    "location, placed": f"/submissions?{BIG}&state=placed",
    "account, unknown": "/submissions?account=big&state=unknown",
    "location, unknown": f"/submissions?{BIG}&state=unknown",
    "account, findings": "/submissions?account=big&findings=1",
    "from": f"/submissions?since={LONG_AGO}",
    "account, from": f"/submissions?{BIG}&since={LONG_AGO}",
    "location, from, not placed": f"/submissions?{BIG}&since={LONG_AGO}&state=not_placed",
    "a number": f"/submissions?number={SOME}",
    "a number of nobody": "/submissions?number=nobody",
    "web checkout": "/checkout",
    "web checkout, submitted": "/checkout?state=submitted",
    "web checkout, refunded": "/checkout?state=refunded",
}
"""Every filter of the console, alone and with the others; each finds as many rows in both ledgers."""
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
_ORDERS = """
INSERT INTO checkout_orders (id, state, merchant, "user", location_id, proposed_uuid, uuid, spend, tax, exemption, tip,
    discount, looks, tried_at, created_at)
SELECT id, CASE WHEN state = 'placed' THEN 'submitted' ELSE 'refunded' END, 'm', 'u', 1, id, id, 1000, 70, 0, 0, 0,
    0, 0, claimed_at
FROM submissions
"""
_SQLITE: Mapping[str, str] = {
    "ms": "{now} - ({rows} - n) * 60",
    "hex": "printf('%012x', {now} - ({rows} - n) * 60)",
    "number": "printf('%012x', n)",
    "digest": "printf('%032x', n * 7919)",
    "numbers": "(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {rows}) SELECT n FROM c)",
}
_POSTGRESQL: Mapping[str, str] = {
    "ms": "{now} - ({rows} - n)::bigint * 60",
    "hex": "lpad(to_hex({now} - ({rows} - n)::bigint * 60), 12, '0')",
    "number": "lpad(to_hex(n), 12, '0')",
    "digest": "md5(n::text)",
    "numbers": "generate_series(1, {rows}) AS c(n)",
}


@contextmanager
def console(rows: int, server: PostgresServer | None) -> Iterator[Operator]:
    """An operator at the console of a service with so many submissions."""
    with tempfile.TemporaryDirectory(prefix="bench-console-") as directory:
        environ = {"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": directory, **VARIABLES, **CHECKOUT}
        url = server.url(server.create_database()) if server else f"sqlite:///{directory}/ledger.db"
        upgrade(url)
        _fill(url, rows)
        app = create_app(load_settings({**environ, "DATABASE_URL": url}))
        operator = Operator(app)
        operator.sign_in(KEYS["olive"])
        yield operator
        app.extensions["levelup_ov.console"].database.close()
        app.extensions["levelup_ov"].submissions.ledger.close()


def _fill(url: str, rows: int) -> None:
    forms = _SQLITE if url.startswith("sqlite") else _POSTGRESQL
    now = time.time_ns() // 1_000_000
    statement = _ROWS.format(**{name: form.format(now=now, rows=rows) for name, form in forms.items()})
    if forms is _SQLITE:
        with closing(sqlite3.connect(Path(url.removeprefix("sqlite:///")))) as file, file:
            file.execute(statement)
            file.execute(_ORDERS)
        return
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())
        connection.execute(_ORDERS.encode())
        connection.execute("VACUUM ANALYZE submissions")
        connection.execute("VACUUM ANALYZE checkout_orders")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer(binaries())) if options.postgresql else None
        few, many = (stack.enter_context(console(rows, server)) for rows in (FEW, options.rows))
        for name, path in PAGES.items():
            took: dict[Operator, list[float]] = {few: [], many: []}
            for _ in range(ROUNDS):
                for operator, times in took.items():
                    began = time.perf_counter()
                    page = operator.open(path)
                    times.append((time.perf_counter() - began) * 1000)
                    assert page.status_code in (200, 303), page.text
            before, after = min(took[few]), min(took[many])
            print(f"{name:26} {before:7.1f} ms, {after:7.1f} ms: {after / before:.2f}", flush=True)


if __name__ == "__main__":
    main()
