"""The service with agents, and one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from levelup_ov.app import create_app
from levelup_ov.config import load_settings, upgrade_ledger
from levelup_ov.event_settings import EVENTS
from levelup_ov.ledger.ledger import open_ledger
from tests.channel import Clock
from tests.conftest import MakeApp
from tests.servers.postgres import PostgresServer
from tests.servers.process import SystemMissing, required
from tests.ucp.agent import AGENTS, OTHER_KEY, Agent
from tests.ucp.agent_platform import HOOK, Platform, served
from tests.ucp.official import Official

Serve = Callable[..., Agent]


@pytest.fixture(scope="session")
def official(request: pytest.FixtureRequest) -> Official:
    with required(request, "the specification of UCP"):
        return Official()


@pytest.fixture
def ucp_app(make_app: MakeApp) -> Flask:
    return make_app(**AGENTS)


@pytest.fixture(scope="session")
def official_if_here() -> Official | None:
    try:
        return Official()
    except SystemMissing:
        return None


@pytest.fixture
def agent(ucp_app: Flask, official_if_here: Official | None) -> Agent:
    return Agent(ucp_app, official_if_here)


@pytest.fixture(params=["sqlite", "postgresql"])
def agent_of_either(request: pytest.FixtureRequest, make_app: MakeApp) -> Iterator[Agent]:
    """An agent of a service with either database."""
    if request.param == "sqlite":
        yield Agent(make_app(**AGENTS))
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create_database()
    upgrade_ledger(server.url(name))
    app = make_app(**AGENTS, DATABASE_URL=server.url(name))
    yield Agent(app)
    app.extensions["levelup_ov"].submissions.ledger.close()
    server.drop_database(name)


@pytest.fixture
def stranger(ucp_app: Flask, official_if_here: Official | None) -> Agent:
    """Another agent."""
    return Agent(ucp_app, official_if_here, OTHER_KEY)


@pytest.fixture
def shopper(ucp_app: Flask, official: Official) -> Agent:
    """An agent whose traffic with the shopping face is held against the official schemas."""
    return Agent(ucp_app, official)


@pytest.fixture
def platform() -> Iterator[Platform]:
    platform = Platform()
    with served(platform) as platform.address:
        platform.webhook = platform.address + HOOK
        yield platform


@pytest.fixture
def serve(
    environ: dict[str, str], clock: Clock, platform: Platform, official_if_here: Official | None
) -> Iterator[Serve]:
    """A process of the service with these variables, and the agent of ``platform``; all share their data."""
    apps = []

    def make(**variables: str) -> Agent:
        settings = load_settings({**environ, **AGENTS, "LEVELUP_OV_UCP_PROFILES": platform.address, **variables})
        settings.data_dir.mkdir(exist_ok=True)
        upgrade_ledger(settings.ledger.reveal())
        apps.append(create_app(settings, clock=clock, ledger=open_ledger(settings.ledger.reveal(), clock=clock)))
        return Agent(apps[-1], official_if_here, profile=f"{platform.address}/profile")

    yield make
    for app in apps:
        if app.extensions[EVENTS] is not None:
            app.extensions[EVENTS].stop()
