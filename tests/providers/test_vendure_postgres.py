"""The Vendure shop's plugin over PostgreSQL, where transactions run at the same time and wait for one another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from flask import Flask

from levelup_ov.domain.order import Item
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import CreditCard, LevelUp
from levelup_ov.errors import Refused
from tests.channel import Channel, item
from tests.providers.vendure_service import (
    adapter,
    fence,
    find,
    only_the_first,
    order,
    service,
    session,
    submit,
    validate,
)  # fmt: skip
from tests.servers.postgres import PostgresServer
from tests.servers.process import required
from tests.servers.vendure_server import VendureServer, install

CONGRESS, CLUB = "boston.congress", "club.congress"
CARD = CreditCard(Secret("4111111111111111"), Secret("917"), "01", "2035", "02114", "Robin Example")
DECLINED = replace(CARD, number=Secret("4000000000000002"))


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> Iterator[str]:
    name = postgres.create_database()
    yield postgres.url(name)
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def shop(request: pytest.FixtureRequest, database: str) -> Iterator[VendureServer]:
    with required(request, "Vendure"), VendureServer(install(), database=database) as server:
        yield server


@pytest.fixture(scope="module")
def app(shop: VendureServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    with service(shop, tmp_path_factory.mktemp("vendure")) as app:
        yield app


@pytest.fixture
def user() -> dict[str, str]:
    """Somebody whom the shop has not seen before."""
    return {"name": "Robin Example", "phone": "617-555-0142", "email": f"robin.{uuid4().hex}@example.com"}


@pytest.fixture
def placed(shop: VendureServer) -> Callable[[], list[dict[str, Any]]]:
    """The orders that were placed since the test started, newest first."""
    before = shop.count_orders()

    def since() -> list[dict[str, Any]]:
        count = shop.count_orders() - before
        return shop.orders(newest=count) if count else []

    return since


@pytest.mark.rule("SUB-2", "TIME-6", "STAT-2", "STAT-4", "STAT-6")
def test_an_order_is_placed_followed_and_canceled(
    app: Flask, shop: VendureServer, user: dict[str, str], placed: Callable[[], list[dict[str, Any]]]
) -> None:
    channel, supper = Channel(app), "2030-11-03T01:30"
    burger = item(
        shop.items["Burger"],
        shop.options["Salad"],
        shop.options["Swiss"],
        special_instructions="no onions, s’il vous plaît 🍔",
    )
    wanted = {"items": [burger], "user": user, "tip": 100, "order_number": "one"}
    shown = channel.validate(CONGRESS, **wanted).order
    submission = {**wanted, "metadata": shown["metadata"], "desired_ready_time": supper}

    orders = [channel.submit(CONGRESS, **submission).order for _ in range(2)]
    path = f"/locations/{CONGRESS}/orders/{orders[0]['order_id']}"
    followed = channel.get(path).order
    canceled = [channel.send("POST", f"{path}/cancellation").order["status"] for _ in range(2)]

    [final] = placed()
    assert {each["order_id"] for each in orders} == {final["code"]}
    assert final["lines"][0]["customFields"]["instructions"] == burger["item"]["special_instructions"]
    assert (followed["status"], followed["expected_ready_at"]) == ("placed", supper)
    assert canceled == ["cancelled"] * 2 and final["state"] == "Cancelled"


@pytest.mark.rule("SUB-2", "SUB-8")
def test_a_reference_is_placed_once_by_any_at_once(
    shop: VendureServer, user: dict[str, str], placed: Callable[[], list[dict[str, Any]]]
) -> None:
    """Some with the cart of the validation, some with carts of their own."""
    vendure, wanted = adapter(shop), order(shop, user)
    validated = replace(wanted, cart=validate(vendure, wanted).cart)

    with ThreadPoolExecutor(4) as attempts:
        reported = {each.order_id for each in attempts.map(partial(submit, vendure), [wanted, validated] * 4)}

    found = find(vendure, wanted)
    assert found is not None and found.duplicates == ()
    assert [each["code"] for each in placed()] == [*reported] == [found.order_id]


@pytest.mark.rule("SUB-5", "SUB-10")
def test_what_arrives_after_a_fence_is_refused(
    shop: VendureServer, user: dict[str, str], placed: Callable[[], list[dict[str, Any]]]
) -> None:
    vendure, wanted = adapter(shop), order(shop, user)
    late = replace(wanted, cart=validate(vendure, wanted).cart)

    fence(vendure, wanted)
    with session(vendure) as calls:
        calls.call = only_the_first(calls.call)  # type: ignore[method-assign]
        with pytest.raises(StopIteration):
            vendure.submit_order(late, LevelUp(), calls)
    assert placed() == [] and find(vendure, wanted) is None

    done = submit(vendure, late)
    assert [each["code"] for each in placed()] == [done.order_id]


@pytest.mark.rule("SUB-5", "SUB-10")
def test_a_fence_waits_for_what_is_being_placed(
    shop: VendureServer, database: str, user: dict[str, str], placed: Callable[[], list[dict[str, Any]]]
) -> None:
    """A placement is held up where it takes the stock; the fence comes meanwhile."""
    vendure, wanted = adapter(shop), order(shop, user)
    with ThreadPoolExecutor(2) as calls:
        with psycopg.connect(database) as staff:
            staff.execute("SELECT 1 FROM stock_level FOR UPDATE")
            placing = calls.submit(submit, vendure, wanted)
            await_waiting(database, 1)
            fencing = calls.submit(fence, vendure, wanted)
            await_waiting(database, 2)
        done = placing.result()
        fencing.result()

    found = find(vendure, wanted)
    assert found is not None and found.order_id == done.order_id
    assert [each["code"] for each in placed()] == [done.order_id]


@pytest.mark.rule("SUB-2", "PAY-2")
def test_what_the_database_gives_up_is_placed_and_paid_once(
    shop: VendureServer, database: str, user: dict[str, str], placed: Callable[[], list[dict[str, Any]]]
) -> None:
    """A deadlock, after the card was charged: the database gives up the order's transaction for another one's sake."""
    tea, soda = Item(shop.items["Tea"], 1), Item(shop.items["Soda"], 1)
    vendure, wanted = adapter(shop), replace(order(shop, user), items=(soda, tea))
    charged = shop.log().count("a card is charged")
    lock = 'SELECT 1 FROM stock_level WHERE "productVariantId" = %s FOR UPDATE'

    with ThreadPoolExecutor(1) as calls:
        with psycopg.connect(database, options="-c deadlock_timeout=60s") as staff:
            staff.execute(lock, [int(shop.items["Soda"])])
            placing = calls.submit(pay, vendure, wanted, CARD)
            await_waiting(database, 1)
            staff.execute(lock, [int(shop.items["Tea"])])
        done = placing.result()

    assert [each["code"] for each in placed()] == [done.order_id]
    assert shop.log().count("a card is charged") == charged + 1


@pytest.mark.rule("PAY-2", "SUB-4")
def test_a_refused_card_leaves_the_order_open_for_another(
    shop: VendureServer, user: dict[str, str], placed: Callable[[], list[dict[str, Any]]]
) -> None:
    vendure, wanted = adapter(shop), order(shop, user)
    cart = replace(wanted, cart=validate(vendure, wanted).cart)

    with pytest.raises(Refused, match="the bank declines the card"):
        pay(vendure, cart, DECLINED)
    assert placed() == []
    done = pay(vendure, cart, CARD)

    [final] = placed()
    assert final["code"] == done.order_id
    assert sorted(each["state"] for each in final["payments"]) == ["Declined", "Settled"]
    assert [each["price"] for each in final["surcharges"]] == [wanted.tip]


@pytest.mark.rule("META-3", "META-6", "SUB-5")
@pytest.mark.parametrize("place", [CONGRESS, CLUB])
def test_first_orders_of_one_member_at_once_are_all_placed(
    place: str, app: Flask, shop: VendureServer, user: dict[str, str], placed: Callable[[], list[dict[str, Any]]]
) -> None:
    """The shop does not know the member yet, and has no record of a customer."""

    def telephone(quantity: int) -> tuple[str, int]:
        wanted = {"items": [item(shop.items["Soda"], quantity=quantity)], "user": user}
        return Channel(app).submit(place, **wanted).order["order_id"], quantity

    with ThreadPoolExecutor(6) as phones:
        reported = list(phones.map(telephone, range(1, 7)))

    held = [(each["code"], each["lines"][0]["quantity"]) for each in placed()]
    assert sorted(held) == sorted(reported)
    assert [each["emailAddress"] for each in shop.customers()].count(user["email"]) == 1


def pay(vendure: Any, wanted: Any, card: CreditCard) -> Any:
    with session(vendure) as calls:
        return vendure.submit_order(wanted, card, calls)


def await_waiting(database: str, count: int) -> None:
    """Until so many transactions of the shop wait for a lock."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    until = time.monotonic() + 20
    with psycopg.connect(database, autocommit=True) as connection:
        while connection.execute(query).fetchone() != (count,):
            assert time.monotonic() < until, "nothing waits"
            time.sleep(0.02)
