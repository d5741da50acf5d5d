"""The FFTP adapter under the contract suite, with a real FFTP server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adapters.fftp import FftpAdapter
from levelup_ov.adapter import Account
from levelup_ov.domain.options import Option
from levelup_ov.domain.order import Item
from levelup_ov.domain.secret import Secret
from levelup_ov.testing import AdapterContract, Provider, Refusal, Sample
from tests.servers.fftp import FftpServer, install
from tests.servers.process import required

BURGER = Item("burger", 2, (Option("burger%3Aside:salad"), Option("burger%3Aextra:swiss")))

GOLD = Item("burger", 1, (Option("burger%3Aside:fries"), Option("burger%3Aside:gold")))


@pytest.fixture(scope="module")
def provider(request: pytest.FixtureRequest) -> Iterator[Provider]:
    with required(request, "FFTP"), FftpServer(install()) as server:
        settings = {"base_url": server.base_url, "admin_token": Secret(server.admin_token)}
        account = Account("boston", "fftp", "Boston Deli", settings, time_zone="America/New_York")
        yield Provider(FftpAdapter, account, orders=server.orders)


class TestFftp(AdapterContract):
    orders = {"options": Sample("main", BURGER, Item("soda", 3)), "no options": Sample("main", Item("cookie", 1))}
    refusals = {
        "unknown item": Refusal("unknown_item", Sample("main", Item("pizza", 1))),
        "unknown option": Refusal("unknown_option", Sample("main", GOLD)),
        "too few choices": Refusal("invalid_choices", Sample("main", Item("burger", 1))),
        "too many of an item": Refusal("invalid_choices", Sample("main", Item("soda", 21))),
    }
