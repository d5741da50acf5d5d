"""Real systems that more than one module orders from, started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.process import required
from tests.servers.vendure_server import VendureServer, install


@pytest.fixture(scope="session")
def vendure(request: pytest.FixtureRequest) -> Iterator[VendureServer]:
    """A Vendure shop, its menu as it was seeded."""
    with required(request, "Vendure"), VendureServer(install()) as server:
        yield server
