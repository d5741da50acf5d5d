"""The Square adapter under the contract suite, with the stand-in."""

from __future__ import annotations

import pytest

from adapters.square import SquareAdapter
from levelup_ov.adapter import Account
from levelup_ov.domain.options import Option
from levelup_ov.domain.order import Item
from levelup_ov.domain.secret import Secret
from levelup_ov.testing import AdapterContract, Provider, Refusal, Sample
from levelup_ov.transport.session import Transport
from tests.servers.square import BOSTON, TOKEN, Square


@pytest.fixture(scope="module")
def provider() -> Provider:
    square = Square()
    settings = {"base_url": "http://square.test", "access_token": Secret(TOKEN)}
    settings |= {"delivery_areas": "02114", "delivery_fee": "350", "delivery_minutes": "25"}
    account = Account("square", "square", "Ada's", settings, accepts_tips=True)
    transport = Transport(pool_size=1, in_process={"square.test": square})
    return Provider(SquareAdapter, account, transport, orders=lambda: square.kitchen)


class TestSquare(AdapterContract):
    orders = {"options": Sample(BOSTON, Item("VBURGER", 2, (Option("MSIDE:OFRIES"),)))}
    refusals = {"unknown item": Refusal("unknown_item", Sample(BOSTON, Item("VGOLD", 1)))}
