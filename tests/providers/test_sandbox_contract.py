"""The sandbox adapter under the contract suite, with the engine in this process."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from adapters.sandbox import SandboxAdapter
from levelup_ov.adapter import Account
from levelup_ov.domain.options import Option
from levelup_ov.domain.order import Item
from levelup_ov.domain.secret import Secret
from levelup_ov.standins.sandbox import create_sandbox
from levelup_ov.testing import AdapterContract, Provider, Refusal, Sample
from levelup_ov.transport.session import Transport

BURGER = Item("burger", 2, (Option("side:fries"), Option("side:fries:dips:aioli"), Option("toppings:cheese", 2)))
DECLINED = Sample("congress", BURGER, special_instructions="sandbox:decline")


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    engine = create_sandbox(database := tmp_path_factory.mktemp("sandbox") / "sandbox.db", key="canary-key")
    account = Account("diner", "sandbox", "Sandbox Diner", {"api_key": Secret("canary-key")})
    with engine.extensions["sandbox"].store.reading():  # the first use makes the tables
        kitchen = sqlite3.connect(database)
    transport = Transport(pool_size=1, in_process={"sandbox.internal": engine})
    yield Provider(
        SandboxAdapter, account, transport, lambda: kitchen.execute("SELECT id, details FROM orders").fetchall()
    )
    kitchen.close()
    engine.extensions["sandbox"].store.close()


class TestSandbox(AdapterContract):
    orders = {"nested options": Sample("congress", BURGER, Item("sandwich", 1)),
              "slots": Sample("day", Item("cookie", 1)),
              "an account": Sample("account", Item("sandwich", 3))}  # fmt: skip
    refusals = {"unknown": Refusal("unknown_item", Sample("congress", Item("pizza", 1))),
                "too few": Refusal("invalid_choices", Sample("congress", Item("burger", 1))),
                "declined": Refusal("order_refused", DECLINED, at_submission=True)}  # fmt: skip
