"""``python -m tests.faults N SEED [--ledger sqlite|postgresql]``: the whole campaign, with its table.

Over PostgreSQL, the default, also the races and the reloads.
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
from tests.servers.postgres import PostgresServer, binaries


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults")
    parser.add_argument("submissions", type=int)
    parser.add_argument("seed")
    parser.add_argument("--ledger", choices=["sqlite", "postgresql"], default="postgresql")
    given = parser.parse_args()
    with ExitStack() as cleanup:
        directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="faults-")))
        url = f"sqlite:///{directory}/ledger.db"
        if given.ledger == "postgresql":
            postgres = cleanup.enter_context(PostgresServer(binaries()))
            url = postgres.url(postgres.create_database())
            _crowds(directory, postgres)
        report = run(directory, url, submissions=given.submissions, seed=given.seed)
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
    told, replaced = reloads(reloading, postgres.url(postgres.create_database()), times=20, clients=8)
    failed = told.total() - told[""]
    print(
        f"20 reloads under load: {time.monotonic() - started:.1f} s, {replaced} workers replaced, "
        f"{told.total()} requests, {failed} failed"
    )
    assert failed == 0, told


if __name__ == "__main__":
    sys.exit(main())
