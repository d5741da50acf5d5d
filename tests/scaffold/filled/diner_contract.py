"""The Diner adapter under the contract suite."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import ClassVar

import pytest
from levelup_ov_diner import DinerAdapter

from levelup_ov.adapter import Account, Item, Option, Secret
from levelup_ov.testing import AdapterContract, Provider, Refusal, Sample

FRIES = (Option("side:fries"), Option("side:fries:dips:aioli"), Option("toppings:cheese", 2))


@pytest.fixture(scope="module")
def provider() -> Provider:
    settings: dict[str, str | Secret] = {"base_url": os.environ["DINER_URL"], "api_key": Secret("canary-key")}
    return Provider(DinerAdapter, Account("diner", "diner", "Diner", settings))


class TestDiner(AdapterContract):
    orders: ClassVar[Mapping[str, Sample]] = {
        "nested options": Sample("congress", Item("burger", 2, FRIES), Item("cookie", 1)),
        "slots": Sample("day", Item("sandwich", 1)),
    }
    refusals: ClassVar[Mapping[str, Refusal]] = {
        "unknown": Refusal("unknown_item", Sample("congress", Item("pizza", 1))),
        "too few": Refusal("invalid_choices", Sample("congress", Item("burger", 1))),
        "sold out": Refusal("item_unavailable", Sample("congress", Item("soup", 1))),
    }
