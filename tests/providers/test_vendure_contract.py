"""The Vendure adapter under the contract suite, with a real Vendure server: once for guests, once for members."""

from __future__ import annotations

import pytest

from adapters.vendure import VendureAdapter
from levelup_ov.adapter import Account
from levelup_ov.domain.options import Option
from levelup_ov.domain.order import Item
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import CreditCard
from levelup_ov.testing import AdapterContract, Provider, Refusal, Sample
from tests.servers.vendure_server import VendureServer

# The ids that the seed gives, in its own order.
FRIES, SALAD, SWISS = Option("1:1"), Option("1:2"), Option("2:3")
BURGER, SODA, COOKIE = Item("1", 2, (SALAD, SWISS)), Item("3", 3), Item("4", 1)
DECLINED = CreditCard(Secret("4000000000000002"), Secret("9173"), "01", "2035", "02114", "Robin Example")


@pytest.fixture(scope="module", params=["guest", "account"])
def provider(request: pytest.FixtureRequest, vendure: VendureServer) -> Provider:
    settings = {
        "base_url": vendure.base_url,
        "channels": "congress,harbor",
        "tender_key": Secret(vendure.tender_key),
        "checkout": request.param,
    }
    return Provider(
        VendureAdapter, Account("boston", "vendure", "Boston Burgers", settings), orders=lambda: vendure.orders(200)
    )


class TestVendure(AdapterContract):
    orders = {"options": Sample("congress", BURGER, SODA)}
    refusals = {
        "unknown item": Refusal("unknown_item", Sample("congress", Item("99", 1))),
        "unknown option": Refusal("unknown_option", Sample("congress", Item("1", 1, (FRIES, Option("2:99"))))),
        "too few choices": Refusal("invalid_choices", Sample("congress", Item("1", 1))),
        "too many choices": Refusal("invalid_choices", Sample("congress", Item("1", 1, (FRIES, SALAD)))),
        "sold out": Refusal("item_unavailable", Sample("congress", COOKIE)),
        "declined": Refusal("card_declined", Sample("congress", SODA, tender=DECLINED), at_submission=True),
    }
