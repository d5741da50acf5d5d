"""The suite at a shop system like many others: its adapter passes, with every helper in use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

import pytest

from levelup_ov.adapter import Account
from levelup_ov.domain.options import Option
from levelup_ov.domain.order import Item
from levelup_ov.domain.secret import Secret
from levelup_ov.testing import AdapterContract, Provider, Refusal, Sample
from levelup_ov.transport.session import Transport
from tests.testing_kit.till import Till, TillAdapter

PHO = Item("pho", 2, (Option("pho:beef"), Option("pho:egg")))


@pytest.fixture(scope="module")
def provider() -> Provider:
    till = Till("canary-password")

    @contextmanager
    def dearer() -> Iterator[None]:
        till.surcharge = Decimal("0.50")
        yield
        till.surcharge = Decimal(0)

    settings = {"base_url": "http://till.test", "password": Secret("canary-password")}
    transport = Transport(pool_size=1, in_process={"till.test": till})
    account = Account("pho", "till", "Pho Bar", settings)
    return Provider(TillAdapter, account, transport, lambda: till.orders, dearer=dearer)


class TestTill(AdapterContract):
    orders = {"extras": Sample("1", PHO, Item("tea", 1))}
    refusals = {"unknown dish": Refusal("unknown_item", Sample("1", Item("pizza", 1))),
                "unknown extra": Refusal("unknown_option", Sample("1", Item("pho", 1, (Option("pho:gold"),)))),
                "too many": Refusal("invalid_choices", Sample("1", Item("tea", 10)))}  # fmt: skip
