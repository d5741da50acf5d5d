"""The diner under the contract suite, at a real FFTP server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from adapters.diner import DinerAdapter

from levelup_ov.adapter import Account, Item, Option, Secret
from levelup_ov.testing import AdapterContract, Provider, Refusal, Sample
from tests.servers.fftp import FftpServer, install

BURGER = Item("burger", 2, (Option("burger%3Aside:salad"), Option("burger%3Aextra:swiss")))


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with FftpServer(install()) as server:
        settings = {"base_url": server.base_url, "admin_token": Secret(server.admin_token)}
        account = Account("diner", "diner", "Boston Diner", settings, time_zone="America/New_York")
        yield Provider(DinerAdapter, account, orders=server.orders)


class TestDiner(AdapterContract):
    orders = {"with options": Sample("main", BURGER, Item("soda", 3)), "plain": Sample("main", Item("cookie", 1))}
    refusals = {
        "unknown item": Refusal("unknown_item", Sample("main", Item("pizza", 1))),
        "unknown option": Refusal("unknown_option", Sample("main", Item("soda", 1, (Option("soda%3Aice:extra"),)))),
        "no side": Refusal("invalid_choices", Sample("main", Item("burger", 1))),
        "too many": Refusal("invalid_choices", Sample("main", Item("soda", 21))),
    }
