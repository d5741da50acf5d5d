"""The contract suite over each broken adapter; run by ``test_mutations.py``, which expects it to fail."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

from levelup_ov.adapter import Account
from levelup_ov.domain.options import Option
from levelup_ov.domain.order import Item
from levelup_ov.domain.secret import Secret
from levelup_ov.standins.sandbox import create_sandbox
from levelup_ov.testing import AdapterContract, Provider, Refusal, Sample
from levelup_ov.transport.session import Transport
from tests.testing_kit.broken import MISTAKES, TakenOver
from tests.testing_kit.till import Till
from tests.testing_kit.till_broken import TILL_MISTAKES

BURGER = Item("burger", 2, (Option("side:fries"), Option("side:fries:dips:aioli"), Option("toppings:cheese", 2)))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    engine = create_sandbox(database := tmp_path_factory.mktemp("sandbox") / "sandbox.db", key="canary-key")
    account = Account("diner", "sandbox", "Sandbox Diner", {"api_key": Secret("canary-key")})
    transport = Transport(pool_size=1, in_process={"sandbox.internal": engine})
    with engine.extensions["sandbox"].store.reading():  # the first use makes the tables
        kitchen = sqlite3.connect(database)
    yield Provider(TakenOver, account, transport, lambda: kitchen.execute("SELECT id, details FROM orders").fetchall())
    kitchen.close()
    engine.extensions["sandbox"].store.close()


class Broken(AdapterContract):
    refusals = {"unknown": Refusal("unknown_item", Sample("congress", Item("pizza", 1)))}

    @pytest.fixture
    def provider(self, sound: Provider) -> Provider:
        return Provider(self.broken, sound.account, sound.transport, sound.orders)  # type: ignore[attr-defined]


for _mistake in MISTAKES:
    _place = "account" if _mistake.adapter is TakenOver else "congress"
    globals()[f"Test{_mistake.adapter.__name__}"] = type(
        f"Test{_mistake.adapter.__name__}",
        (Broken,),
        {"broken": _mistake.adapter, "orders": {"a burger": Sample(_place, BURGER)}, "__module__": __name__},
    )


class BrokenTill(AdapterContract):
    orders = {"pho": Sample("1", Item("pho", 2, (Option("pho:beef"), Option("pho:egg"))), Item("tea", 1))}
    refusals = {"unknown": Refusal("unknown_item", Sample("1", Item("pizza", 1)))}

    @pytest.fixture
    def provider(self) -> Provider:
        till = Till("canary-password")
        settings = {"base_url": "http://till.test", "password": Secret("canary-password")}
        transport = Transport(pool_size=1, in_process={"till.test": till})
        account = Account("pho", "till", "Pho Bar", settings)
        return Provider(self.broken, account, transport, lambda: till.orders)  # type: ignore[attr-defined]


for _mistake in TILL_MISTAKES:
    _members = {"broken": _mistake.adapter, "__module__": __name__}
    globals()[f"Test{_mistake.adapter.__name__}"] = type(f"Test{_mistake.adapter.__name__}", (BrokenTill,), _members)
