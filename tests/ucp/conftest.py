"""The service with agents, and one of them."""

from __future__ import annotations

import pytest
from flask import Flask

from tests.conftest import MakeApp
from tests.servers.process import SystemMissing, required
from tests.ucp.agent import AGENTS, OTHER_KEY, Agent
from tests.ucp.official import Official


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


@pytest.fixture
def stranger(ucp_app: Flask, official_if_here: Official | None) -> Agent:
    """Another agent."""
    return Agent(ucp_app, official_if_here, OTHER_KEY)


@pytest.fixture
def shopper(ucp_app: Flask, official: Official) -> Agent:
    """An agent whose traffic with the shopping face is held against the official schemas."""
    return Agent(ucp_app, official)
