"""What the tests of faults share: a real PostgreSQL server, started when first needed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.postgres import PostgresServer, binaries
from tests.servers.process import required


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    with required(request, "PostgreSQL"):
        server = PostgresServer(binaries()).__enter__()
    try:
        yield server
    finally:
        server.__exit__()
