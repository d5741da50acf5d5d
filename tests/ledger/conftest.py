"""Each test of the ledger runs on a migrated SQLite file and on a database of a real PostgreSQL server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from levelup_ov.ledger.engine import upgrade
from levelup_ov.ledger.ledger import Ledger, open_ledger
from tests.ledger.helpers import Clock
from tests.servers.postgres import Emptied, PostgresServer


@pytest.fixture(scope="session")
def migrated_databases(postgres: PostgresServer) -> Emptied:
    name = postgres.create_database()
    upgrade(postgres.url(name))
    return Emptied(postgres, name)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "migrated.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without a schema."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    postgres = request.getfixturevalue("postgres")
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture
def sqlite_url(migrated_file: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(migrated_file, tmp_path / 'ledger.db')}"


@pytest.fixture
def postgresql_url(postgres: PostgresServer, migrated_databases: Emptied) -> Iterator[str]:
    with migrated_databases.one() as name:
        yield postgres.url(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """A database with the schema."""
    return request.getfixturevalue(f"{request.param}_url")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(url: str, clock: Clock) -> Iterator[Ledger]:
    """A ledger whose time is moved by hand."""
    ledger = open_ledger(url, clock=clock)
    yield ledger
    ledger.close()
