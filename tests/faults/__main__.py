"""``python -m tests.faults N SEED [--ledger sqlite|postgresql] [--provider NAME]``: the whole campaign, with its table.

Over PostgreSQL, the default, also the races and the reloads, and PostgreSQL freezes now and then; ``--fails-over``: a
copy that lacks the last second takes over too, with a provider that refuses a second order under one reference;
``--sessions``: agents order, through checkout sessions.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.faults.campaign import run
from tests.faults.crowds import race, reloads
from tests.faults.providers import PROVIDERS
from tests.servers.postgres import PostgresServer, binaries


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("submissions", type=int)
    parser.add_argument("seed")
    parser.add_argument("--ledger", choices=["sqlite", "postgresql"], default="postgresql")
    parser.add_argument("--provider", choices=list(PROVIDERS), default="sandbox")
    parser.add_argument("--fails-over", action="store_true")
    parser.add_argument("--events", action="store_true", help="watch statuses, cancel orders, and report the changes")
    parser.add_argument("--sessions", action="store_true", help="agents order through checkout sessions")
    parser.add_argument("--no-crowds", action="store_true", help="neither races nor reloads before")
    given = parser.parse_args()
    if given.fails_over and not (PROVIDERS[given.provider].merges and given.ledger == "postgresql"):
        parser.error("a fail-over needs PostgreSQL, and a provider that refuses a second order under one reference")
    with ExitStack() as cleanup:
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        url = f"sqlite:///{directory}/ledger.db"
        if given.ledger == "postgresql":
            postgres = cleanup.enter_context(PostgresServer(binaries()))
            url = postgres.url(postgres.create_database())
            if not given.no_crowds:
                _crowds(directory, postgres)
        report = run(
            directory, url, submissions=given.submissions, seed=given.seed, provider=given.provider,
            postgres=postgres.pid if given.ledger == "postgresql" else None, fails_over=given.fails_over,
            reports=given.events, sessions=given.sessions,
        )  # fmt: skip
    print(report.table())
    return 1 if report.violations else 0


def _crowds(directory: Path, postgres: PostgresServer) -> None:
    """The races and reloads of the tests, at their full size. :raises AssertionError: one failed."""
    (racing := directory / "race").mkdir()
    (reloading := directory / "reloads").mkdir()
    started = time.monotonic()
    orders = race(racing, postgres.url(postgres.create_database()), threads=50, keys=200)
    print(f"50 threads x 200 keys x 2 processes: {time.monotonic() - started:.1f} s, orders per key: {dict(orders)}")
    assert orders == {1: 200}
    started = time.monotonic()
    reported, replaced = reloads(reloading, postgres.url(postgres.create_database()), times=20, clients=8)
    failed = reported.total() - reported[""]
    print(
        f"20 reloads under load: {time.monotonic() - started:.1f} s, {replaced} workers replaced, "
        f"{reported.total()} requests, {failed} failed"
    )
    assert failed == 0, reported


if __name__ == "__main__":
    sys.exit(main())
