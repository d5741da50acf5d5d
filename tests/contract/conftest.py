"""Beside the service itself: a provider that can be made to say anything, and a look into the sandbox's kitchen."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from levelup_ov.app import create_app
from levelup_ov.config import load_settings
from levelup_ov.ledger.ledger import Ledger
from levelup_ov.standins.sandbox import DEVELOPMENT_KEY, create_sandbox
from tests.channel import Channel, Clock
from tests.contract.fakes import FakeAdapter

ACCOUNTS = """
[accounts.fake]
provider = "fake"
name = "Fake Diner"
settings = {token = "env:FAKE_TOKEN"}

[accounts.other]
provider = "fake"
name = "Other Diner"
"""
FAKE_TOKEN = "provider-token-0123456789"

MakeFake = Callable[..., tuple[FakeAdapter, Channel]]


@pytest.fixture(scope="session")
def refused(tmp_path_factory: pytest.TempPathFactory) -> Channel:
    """One service for all requests that are refused, or that leave nothing behind."""
    environ = {"LEVELUP_OV_ENV": "development", "LEVELUP_OV_DATA_DIR": str(tmp_path_factory.mktemp("data"))}
    return Channel(create_app(load_settings(environ), clock=Clock()))


@pytest.fixture
def fake(tmp_path: Path, environ: dict[str, str], clock: Clock) -> MakeFake:
    """A service whose accounts ``fake`` and ``other`` are served by :class:`FakeAdapter`.

    Called with further environment variables; gives the adapter of ``account`` and a channel. ``ledger``: an open one.
    """
    accounts = tmp_path / "accounts.toml"
    accounts.write_text(ACCOUNTS)

    def make(account: str = "fake", ledger: Ledger | None = None, **variables: str) -> tuple[FakeAdapter, Channel]:
        settings = load_settings(
            {
                **environ,
                "LEVELUP_OV_ADAPTERS": "fake=tests.contract.fakes:FakeAdapter",
                "LEVELUP_OV_ACCOUNTS": str(accounts),
                "FAKE_TOKEN": FAKE_TOKEN,
                **variables,
            }
        )
        adapter = settings.accounts[account]
        assert isinstance(adapter, FakeAdapter)
        return adapter, Channel(create_app(settings, clock=clock, ledger=ledger))

    return make


class Kitchen:
    """What the sandbox's engine itself says of orders, accounts and carts."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._engine = create_sandbox(database).test_client()
        self._ask("/v1/orders/none")  # makes the tables

    def order(self, location: str, ticket: int) -> dict[str, Any]:
        """The order with this number at a location."""
        ((order_id,),) = self._rows("SELECT id FROM orders WHERE place = ? AND ticket = ?", location, ticket)
        return self._ask(f"/v1/orders/{order_id}")["order"]

    def count(self, table: str) -> int:
        """How many ``orders``, ``carts`` or ``accounts`` there are."""
        return self._rows(f"SELECT count(*) FROM {table}")[0][0]

    def emails(self) -> list[str]:
        """The addresses of all accounts, in the order in which they were made."""
        return [email for (email,) in self._rows("SELECT email FROM accounts ORDER BY rowid")]

    def _ask(self, path: str) -> Any:
        return self._engine.get(path, headers={"X-Sandbox-Key": DEVELOPMENT_KEY}).json

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self._database)) as connection:
            return connection.execute(query, values).fetchall()


@pytest.fixture
def kitchen(environ: dict[str, str]) -> Kitchen:
    return Kitchen(Path(environ["LEVELUP_OV_DATA_DIR"]) / "sandbox.db")
