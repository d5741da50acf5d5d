"""A Vendure shop whose prices include tax, at two rates, and with more products than one page holds: a shop of its own.

The shop's admin API says what an order costs; every amount of the service must be that, to the cent.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import pytest

from adapters import vendure as adapter
from tests.channel import Channel, item
from tests.providers.vendure_service import service
from tests.servers.process import required
from tests.servers.vendure_server import GROUPS, MENU, VendureServer, _operation, install

CONGRESS = "boston.congress"
PAGE, SPECIALS = 10, 18
"""Products of a page, and those beside the seed's: three pages, the last one not full."""
ORDERS = 150
TENTH = _operation("order_percentage_discount", discount="10")
LESS = _operation("order_fixed_discount", discount="150")
ABOVE_THIRTY = _operation("minimum_order_amount", amount="3000", taxInclusive="true")


@pytest.fixture(scope="module")
def shop(request: pytest.FixtureRequest) -> Iterator[VendureServer]:
    with required(request, "Vendure"), VendureServer(install(), PAGE) as server:
        server.include_tax()
        server.add_items(SPECIALS)
        for drink in ("Tea", "Soda"):
            server.set_price(drink, 333)
        yield server


@pytest.fixture(scope="module")
def channel(shop: VendureServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Channel]:
    with service(shop, tmp_path_factory.mktemp("taxes")) as app:
        yield Channel(app)


@pytest.mark.rule("MENU-1", "MENU-6", "MONEY-1")
def test_the_menu_has_every_product_at_the_price_of_the_shop(channel: Channel, shop: VendureServer) -> None:
    menu = channel.get(f"/locations/{CONGRESS}/menu").json["menu"]

    found = [each["item"] for category in menu["categories"] for each in category["category"]["items"]]
    prices = {each["name"]: each["price"] for each in found}
    assert len(found) == SPECIALS + len([channels for *_, channels in MENU.values() if "congress" in channels])
    # What the channel asks, tax included; the specials were written without, in the shop's default channel.
    assert (prices["Burger"], prices["Soda"], prices["Special 7"]) == (1000, 333, 542)
    assert {each["provider_id"] for each in found} >= set(shop.items.values()) - {shop.items["Oysters"]}


@pytest.mark.rule("ERR-3", "MENU-1", "MENU-3")
def test_a_page_that_the_shop_refuses_leaves_no_half_menu(
    shop: VendureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the first page and the second one, staff move the channel."""
    with service(shop, tmp_path) as app, ExitStack() as moved:
        channel, read_page = Channel(app), adapter.read_page
        assert channel.get("/merchants/boston/locations").status == 200

        moving = iter([shop.renamed("congress")])

        def move_and_read(data: Any) -> Any:
            moved.enter_context(next(moving, nullcontext()))
            return read_page(data)

        monkeypatch.setattr(adapter, "read_page", move_and_read)
        refused = channel.get(f"/locations/{CONGRESS}/menu")
        moved.close()
        menu = channel.get(f"/locations/{CONGRESS}/menu")

    assert refused.refusal[:2] == (502, "provider_protocol_error")
    assert sum(len(each["category"]["items"]) for each in menu.json["menu"]["categories"]) > SPECIALS


def an_order(dice: random.Random, shop: VendureServer) -> dict[str, Any]:
    items = []
    for name in dice.choices(["Burger", "Tea", "Soda", "Special 3", "Special 17"], k=dice.randint(1, 5)):
        groups = MENU[name][2] if name in MENU else ()
        chosen = [dice.choice(list(GROUPS[group][2])) for group in groups]
        items.append(item(shop.items[name], *(shop.options[each] for each in chosen), quantity=dice.randint(1, 5)))
    discount = dice.choice([0, 1, dice.randint(2, 200), dice.randint(2, 250)])
    user = {"name": "Robin Example", "phone": "617-555-0142", "email": f"robin.{dice.random()}@example.com"}
    return {"items": items, "user": user, "tip": dice.choice([0, 1, 299]), "merchant_funded_discount": discount}


@pytest.mark.rule("MONEY-2", "MONEY-3", "MONEY-5", "MONEY-6", "MONEY-9", "PAY-4")
@pytest.mark.parametrize("promoted", [False, True], ids=["happy hour", "and promotions on the order"])
def test_prices_that_include_tax_are_right_to_the_cent(promoted: bool, channel: Channel, shop: VendureServer) -> None:
    if promoted:
        with shop.promotion("A tenth", TENTH), shop.promotion("Big", LESS, ABOVE_THIRTY):
            check_orders(channel, shop, seed=2)
    else:
        check_orders(channel, shop, seed=1)


def check_orders(channel: Channel, shop: VendureServer, seed: int) -> None:
    dice = random.Random(seed)
    for number in range(ORDERS // 2):
        wanted = an_order(dice, shop)
        shown = channel.validate(CONGRESS, **wanted)
        assert shown.status == 200, (shown.json, wanted)
        price = shown.order
        discounts = price["merchant_funded_discount"] + price["provider_funded_discount"]
        paid = price["total"] + price["tax"] + price["tip"] - discounts
        assert (price["tip"], price["merchant_funded_discount"]) == (wanted["tip"], wanted["merchant_funded_discount"])
        if number % 3:
            # The adapter holds the parts of every cart against the shop's own totals.
            continue
        submitted = channel.submit(CONGRESS, **wanted, metadata=price["metadata"])
        assert submitted.status == 200, (submitted.json, wanted)
        [held] = shop.orders(newest=1)
        assert held["code"] == submitted.order["order_id"]
        assert held["totalWithTax"] == paid == held["payments"][0]["amount"]
        assert price["tax"] == sum(each["taxTotal"] for each in held["taxSummary"])
        assert price["total"] == sum(each["linePrice"] for each in held["lines"])
        # The shop rounds each of its discounts for each line; ours is what is left of the whole.
        own = -sum(each["amount"] for each in held["discounts"] if not each["description"].startswith("LevelUp"))
        assert abs(price["provider_funded_discount"] - own) <= 3 * len(held["lines"])


@pytest.mark.rule("MONEY-5")
def test_a_merchant_who_pays_all_of_it(channel: Channel, shop: VendureServer) -> None:
    user = {"name": "Robin Example", "phone": "617-555-0142", "email": "robin.free@example.com"}
    soda = [item(shop.items["Soda"])]
    food = channel.validate(CONGRESS, items=soda, user=user).order
    left = food["total"] - food["provider_funded_discount"]

    free = channel.validate(CONGRESS, items=soda, user=user, merchant_funded_discount=left).order
    more = channel.validate(CONGRESS, items=soda, user=user, merchant_funded_discount=left + 2)

    assert (free["tax"], free["merchant_funded_discount"]) == (0, left)
    assert more.refusal[:2] == (422, "order_refused")
