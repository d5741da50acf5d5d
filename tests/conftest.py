"""The service in development mode, its clock and a channel that calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from flask import Flask

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from tests.channel import Channel, Clock
from tests.servers.postgres import PostgresServer, binaries
from tests.servers.process import required

MakeApp = Callable[..., Flask]

# A deadline would test the machine. One profile, for all tests.
hypothesis.settings.register_profile("without deadlines", deadline=None)
hypothesis.settings.load_profile("without deadlines")

LONGEST = ("test_package_page.py", "test_docs.py")
"""Files that begin first, so that no core is left with one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


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
