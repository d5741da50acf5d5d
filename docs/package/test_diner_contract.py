"""The diner under the contract suite, at the server that DINER_URL names."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.request import Request, urlopen

import pytest
from levelup_ov_diner import DinerAdapter

from levelup_ov.adapter import Account, Item, Option, Secret
from levelup_ov.testing import AdapterContract, Provider, Refusal, Sample

URL, TOKEN = os.environ["DINER_URL"], os.environ["DINER_ADMIN_TOKEN"]
BURGER = Item("burger", 2, (Option("burger%3Aside:salad"), Option("burger%3Aextra:swiss")))


def orders() -> Any:
    with urlopen(Request(f"{URL}/fftp/v1/orders", headers={"x-admin-token": TOKEN})) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def provider() -> Provider:
    settings = {"base_url": URL, "admin_token": Secret(TOKEN)}
    account = Account("diner", "diner", "Boston Diner", settings, time_zone="America/New_York")
    return Provider(DinerAdapter, account, orders=orders)


class TestDiner(AdapterContract):
    orders = {"with options": Sample("main", BURGER, Item("soda", 3))}
    refusals = {"unknown item": Refusal("unknown_item", Sample("main", Item("pizza", 1)))}
