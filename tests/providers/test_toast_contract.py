"""The Toast adapter under the contract suite, with the stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

import pytest

from adapters.toast import ToastAdapter
from levelup_ov.adapter import Account
from levelup_ov.domain.options import Option
from levelup_ov.domain.order import Item
from levelup_ov.domain.secret import Secret
from levelup_ov.testing import AdapterContract, Provider, Refusal, Sample
from tests.servers.toast import BOSTON, CLIENT_SECRET, DELIVERY, ToastServer

NOON = datetime(2026, 11, 20, 17, 0, tzinfo=timezone.utc)
FRIES = (Option("side:fries"), Option("side:fries:dip@2:mayo"), Option("side:fries:dip@2:mayo:heat:hot"))


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with ToastServer() as server:
        settings = {**server.settings(), "client_secret": Secret(CLIENT_SECRET)}
        settings |= {"delivery_option": DELIVERY, "delivery_areas": "02114"}
        account = Account("grill", "toast", "Boston Grill", settings)
        yield Provider(ToastAdapter, account, orders=lambda: list(server.orders), clock=lambda: NOON)


class TestToast(AdapterContract):
    orders = {"nested options": Sample(BOSTON, Item("lunch:mains:burger", 2, FRIES), Item("lunch:cold:soda", 1))}
    refusals = {"unknown item": Refusal("unknown_item", Sample(BOSTON, Item("lunch:mains:gold", 1)))}
