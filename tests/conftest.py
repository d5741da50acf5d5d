"""The service in development mode, its clock and a channel that calls it."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from flask import Flask
from werkzeug.routing import Rule
from werkzeug.security import generate_password_hash

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.ledger.database import Database
from levelup_ov.ledger.tables import Statements
from tests.channel import Channel, Clock
from tests.servers.postgres import PostgresServer, binaries
from tests.servers.process import required

MakeApp = Callable[..., Flask]

# A deadline, or an alarm at slow data, would test the machine. One profile, for all tests.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """One process more than there are cores, since tests also wait."""
    return (yield) + 1


LONGEST = (
    "test_package_page.py", "test_campaign.py", "test_docs.py", "test_packaging.py", "test_order_ahead_systems.py",
    "test_openapi_fuzz.py", "test_scaffold.py", "test_workbench_pages.py",
)  # fmt: skip
"""Files that start first, so that no core is left with one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(scope="module", autouse=True)
def _leaks_are_its_own() -> Iterator[None]:
    """What a file leaves open fails there, and not in whatever test runs when Python next looks for circles.

    Not among what is loaded by now and stays: that would take a third of a second each time. A simulation thaws it.
    """
    if not gc.get_freeze_count():
        gc.collect()
        gc.freeze()
    yield
    gc.collect()


MIGRATIONS = "test_ledger_database.py"
"""Runs each migration; all other tests get the file that these make of an empty one."""


@pytest.fixture(scope="session")
def newest_schema() -> list[str]:
    """The statements that make an empty SQLite file a ledger."""
    with closing(sqlite3.connect(":memory:")) as made:
        engine = sqlalchemy.create_engine("sqlite://", poolclass=sqlalchemy.StaticPool, creator=lambda: made)
        config = Config()
        config.set_main_option("script_location", "levelup_ov:ledger/migrations")
        with engine.connect() as connection, connection.begin():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return [line for line in made.iterdump() if line not in ("BEGIN TRANSACTION;", "COMMIT;")]


@pytest.fixture(autouse=True)
def _quick_migrations(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, newest_schema: list[str]
) -> None:
    if request.path.name == MIGRATIONS:
        return
    take_each = command.upgrade

    def upgrade(config: Config, revision: str) -> None:
        connection = config.attributes["connection"]
        empty = connection.dialect.name == "sqlite" and not sqlalchemy.inspect(connection).get_table_names()
        if not empty or revision != "head":
            take_each(config, revision)
            return
        driver = connection.connection.driver_connection
        for statement in newest_schema:
            driver.execute(statement)

    monkeypatch.setattr(command, "upgrade", upgrade)


@pytest.fixture(scope="session", autouse=True)
def _quick_applications() -> Iterator[None]:
    """What Werkzeug compiles of an address, and the statements of a ledger: made once, and not for each application."""
    builders: dict[tuple[object, ...], Callable[..., Any]] = {}
    statements: dict[tuple[bool, bool], Statements] = {}
    compile_builder = Rule._compile_builder

    def builder(rule: Rule, append_unknown: bool = True) -> Callable[..., Any]:
        if rule.defaults:
            return compile_builder(rule, append_unknown)
        key = rule.rule, *rule._trace, append_unknown
        return builders.get(key) or builders.setdefault(key, compile_builder(rule, append_unknown))

    def statements_of(database: Database, *, own_clock: bool) -> Statements:
        key = database.is_postgresql, own_clock
        return statements.get(key) or statements.setdefault(key, Statements(database, own_clock=own_clock))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", builder)
        patch.setattr("levelup_ov.ledger.ledger.Statements", statements_of)
        patch.setattr("levelup_ov.ledger.browsing.Statements", statements_of)
        yield


@pytest.fixture(scope="session", autouse=True)
def _quick_passwords() -> Iterator[None]:
    """The stand-in's passwords, hashed as always, but not slowly on purpose."""
    quick = partial(generate_password_hash, method="pbkdf2:sha256:1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("levelup_ov.standins.levelup.store.generate_password_hash", quick)
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": str(tmp_path / "data")}


@pytest.fixture
def make_app(environ: dict[str, str], clock: Clock) -> MakeApp:
    """The service with further environment variables; all share their data."""
    return lambda **variables: create_app(load_settings({**environ, **variables}), clock=clock)


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    return make_app()


@pytest.fixture
def channel(app: Flask) -> Channel:
    return Channel(app)


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    """A real server, started when it is first needed."""
    with required(request, "PostgreSQL"):
        server = PostgresServer(binaries()).__enter__()
    try:
        yield server
    finally:
        server.__exit__()
