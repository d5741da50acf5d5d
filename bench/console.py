"""The console's pages under few rows and under many: ``python -m bench.console [--rows N] [--postgresql]``.

Both ledgers are asked in turns, and the fastest of the rounds counts: other work on the machine only adds to it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from bench.rows import fill
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


@contextmanager
def console(rows: int, server: PostgresServer | None) -> Iterator[Operator]:
    """An operator at the console of a service with so many submissions."""
    with tempfile.TemporaryDirectory(prefix="bench-console-") as directory:
        environ = {"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": directory, **VARIABLES, **CHECKOUT}
        url = server.url(server.create_database()) if server else f"sqlite:///{directory}/ledger.db"
        upgrade(url)
        fill(url, rows, checkout=True)
        app = create_app(load_settings({**environ, "DATABASE_URL": url}))
        operator = Operator(app)
        operator.sign_in(KEYS["olive"])
        yield operator
        app.extensions["levelup_ov.console"].database.close()
        app.extensions["levelup_ov"].submissions.ledger.close()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--postgresql", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        server = stack.enter_context(PostgresServer(binaries())) if options.postgresql else None
        few, many = (stack.enter_context(console(rows, server)) for rows in (FEW, options.rows))
        for name, path in PAGES.items():
            took: dict[Operator, list[float]] = {few: [], many: []}
            for _ in range(options.rounds):
                for operator, times in took.items():
                    began = time.perf_counter()
                    page = operator.open(path)
                    times.append((time.perf_counter() - began) * 1000)
                    assert page.status_code in (200, 303), page.text
            before, after = min(took[few]), min(took[many])
            print(f"{name:26} {before:7.1f} ms, {after:7.1f} ms: {after / before:.2f}", flush=True)


if __name__ == "__main__":
    main()
