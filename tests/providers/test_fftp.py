"""The FFTP adapter against a real FFTP server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from adapters.fftp import FftpAdapter
from levelup_ov.adapter import Account
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.menu import Menu, MenuItem, check
from levelup_ov.domain.options import Option
from levelup_ov.domain.order import Item, Order, User
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import LevelUp
from levelup_ov.errors import Refused, Unanswered
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.session import Reply, Session, Transport
from tests.channel import Channel
from tests.channel import item as line
from tests.conftest import MakeApp
from tests.servers.fftp import FftpServer, install
from tests.servers.process import required

NOW = datetime(2026, 11, 22, 17, 0, tzinfo=timezone.utc)
ANN = User("Ann", "Example", phone="+16175550123")
FRIES = Option("burger%3Aside:fries")
SALAD = Option("burger%3Aside:salad")
SWISS = Option("burger%3Aextra:swiss")
BACON = Option("burger%3Aextra:bacon")
BURGER = Item("burger", 1, (FRIES,))


@pytest.fixture(scope="module")
def restaurant(request: pytest.FixtureRequest) -> Iterator[FftpServer]:
    with required(request, "FFTP"), FftpServer(install()) as server:
        yield server


@pytest.fixture(scope="module")
def transport() -> Transport:
    return Transport(pool_size=1)


@pytest.fixture
def adapter(restaurant: FftpServer) -> FftpAdapter:
    return adapter_for(restaurant, restaurant.admin_token)


@pytest.fixture
def session(adapter: FftpAdapter, transport: Transport) -> Session:
    return session_for(adapter, transport, adapter.error_from)


@pytest.fixture
def order(adapter: FftpAdapter, session: Session) -> Callable[..., Order]:
    location = adapter.list_locations(session)[0]

    def build(*items: Item, **members: Any) -> Order:
        return Order(location, items or (BURGER,), ANN, received_at=NOW, **members)

    return build


def adapter_for(restaurant: FftpServer, token: str) -> FftpAdapter:
    settings: dict[str, str | Secret] = {"base_url": restaurant.base_url, "admin_token": Secret(token)}
    return FftpAdapter(Account("boston", "fftp", "Boston Deli", settings, time_zone="America/New_York"))


def session_for(adapter: FftpAdapter, transport: Transport, error_from: Callable[[Reply], Refused | None]) -> Session:
    return Session(
        transport,
        "boston",
        base_url=adapter.base_url,
        headers=adapter.headers(),
        error_from=error_from,
        deadline=Deadline(10),
    )


def both_calls(adapter: FftpAdapter, order: Order, session: Session) -> tuple[Callable[[], object], ...]:
    return (
        partial(adapter.validate_order, order, session),
        partial(adapter.submit_order, order, LevelUp(), session),
    )


@pytest.fixture
def menu(adapter: FftpAdapter, session: Session) -> Menu:
    return adapter.show_menu(adapter.list_locations(session)[0], session)


@pytest.mark.rule("LOC-1", "LOC-2", "EP-7")
def test_the_restaurant_is_one_location(adapter: FftpAdapter, session: Session) -> None:
    [location] = adapter.list_locations(session)

    assert (location.provider_id, location.name) == ("main", "Boston Deli")
    assert location.street_address == "1 Main St, Boston"
    assert location.time_zone == "America/New_York"
    assert location.fulfills("pickup") and not location.fulfills("delivery")
    assert not location.accepts_tips("pickup")
    assert set(location.hours.values()) == {None}


@pytest.mark.rule("MENU-1", "MENU-2", "MENU-3", "MENU-5", "ITEM-4")
def test_the_menu_holds_together(menu: Menu) -> None:
    assert check(menu) == ()
    assert {category.name: [item.name for item in category.items] for category in menu.categories} == {
        "Mains": ["Burger", "Soup of the day"],
        "Drinks": ["Tea", "Soda"],
        "Menu": ["Cookie"],
    }
    groups = {
        group.provider_id: (
            group.minimum_choices,
            group.maximum_choices,
            [(option.provider_id, option.price) for option in group.options],
        )
        for group in menu.option_groups
    }
    assert groups == {
        "burger%3Aside": (1, 1, [("burger%3Aside:fries", 0), ("burger%3Aside:salad", 200)]),
        "burger%3Aextra": (0, None, [("burger%3Aextra:swiss", 150), ("burger%3Aextra:bacon", 250)]),
        "soup%3Aside": (0, 1, [("soup%3Aside:rye", 0), ("soup%3Aside:roll", 75)]),
        "tea%253Ahot%3A50%2525": (0, 1, [("tea%253Ahot%3A50%2525:sugar%3A1", 0)]),
    }


@pytest.mark.rule("ITEM-1", "ITEM-2", "ITEM-3", "ITEM-4", "MENU-2")
def test_every_item_and_option_can_be_ordered_at_its_price(
    adapter: FftpAdapter, session: Session, order: Callable[..., Order], menu: Menu
) -> None:
    groups = {group.provider_id: group for group in menu.option_groups}

    def chosen(item: MenuItem, position: int) -> tuple[Item, int]:
        choices = [groups[group].options for group in item.option_groups]
        options = [choice[position % len(choice)] for choice in choices]
        wanted = tuple(Option(option.provider_id) for option in options)
        return Item(item.provider_id, 1, wanted), item.price + sum(option.price for option in options)

    items = [item for category in menu.categories for item in category.items]
    priced = [chosen(item, position) for item in items for position in (0, 1)]

    assert len(priced) == 10
    for item, price in priced:
        assert adapter.validate_order(order(item), session).total == price
    whole = adapter.validate_order(order(*(item for item, _ in priced)), session)
    assert whole.total == sum(price for _, price in priced)


@pytest.mark.rule("EP-4", "META-3", "MONEY-2", "MONEY-3", "MONEY-4", "MONEY-6", "MONEY-9")
def test_a_validation_prices_the_order_and_leaves_nothing_behind(
    restaurant: FftpServer, adapter: FftpAdapter, session: Session, order: Callable[..., Order]
) -> None:
    before = restaurant.orders()

    quote = adapter.validate_order(order(Item("burger", 2, (SALAD, SWISS, BACON)), Item("soda", 3), tip=200), session)

    assert (quote.total, quote.tax, quote.tip) == (2 * (1000 + 200 + 150 + 250) + 3 * 300, 0, None)
    assert (quote.merchant_funded_discount, quote.provider_funded_discount) == (0, 0)
    assert quote.charged == quote.consumer_pays == 4100
    assert restaurant.orders() == before


@pytest.mark.rule("MONEY-5", "MONEY-9")
def test_a_merchant_discount_is_echoed_and_changes_no_price(
    adapter: FftpAdapter, session: Session, order: Callable[..., Order]
) -> None:
    quote = adapter.validate_order(order(merchant_funded_discount=100), session)

    assert (quote.total, quote.merchant_funded_discount, quote.consumer_pays) == (1000, 100, 900)
    assert quote.charged is None


@pytest.mark.rule("TIME-1", "TIME-3", "TIME-7", "TIME-8")
def test_the_placed_order_counts_from_its_making(
    restaurant: FftpServer, adapter: FftpAdapter, session: Session, order: Callable[..., Order]
) -> None:
    quote = adapter.validate_order(order(), session)
    placed = adapter.submit_order(order(), LevelUp(), session)

    made = restaurant.orders()[0]["created_at"]
    assert quote.ready.soonest == NOW + timedelta(minutes=20)
    assert placed.expected_ready_at == datetime.fromisoformat(made) + timedelta(minutes=20)
    assert quote.ready.slots is None


@pytest.mark.rule("TIME-10")
def test_a_later_time_is_refused(
    restaurant: FftpServer, adapter: FftpAdapter, session: Session, order: Callable[..., Order]
) -> None:
    before = restaurant.orders()
    tomorrow = order(desired_ready_time=NOW + timedelta(days=1))

    for call in both_calls(adapter, tomorrow, session):
        with pytest.raises(Refused, match="takes none for later") as refusal:
            call()
        assert refusal.value.code == "ready_time_unavailable"
    assert restaurant.orders() == before


@pytest.mark.rule("EP-5", "SUB-1", "PAY-1", "PAY-4", "META-4", "ITEM-8")
def test_a_submission_places_the_order_and_marks_it_as_paid(
    restaurant: FftpServer, adapter: FftpAdapter, session: Session, order: Callable[..., Order]
) -> None:
    before = restaurant.orders()
    items = (
        Item("burger", 2, (SALAD, SWISS), special_instructions="no onions", recipient_name="Bob"),
        Item("soda", 1),
    )

    wanted = order(*items, special_instructions="ring the bell", reference="ref-1")

    placed = adapter.submit_order(wanted, LevelUp(), session)

    newest, *rest = restaurant.orders()
    assert rest == before
    assert (newest["order_id"], newest["ticket_number"]) == (placed.provider_order_id, placed.order_id)
    assert re.fullmatch(r"T-\d{3,}", str(placed.order_id))
    assert newest["paid"] is True and newest["payment_proof"] == "LevelUp ref-1"
    assert newest["total_cents"] == placed.charged == 3000
    assert newest["customer_name"] == "Ann Example"
    assert newest["lines"] == [
        {
            "item_id": "burger",
            "quantity": 2,
            "modifiers": ["salad", "swiss"],
            "notes": "for Bob / no onions / whole order: ring the bell",
        },
        {"item_id": "soda", "quantity": 1, "modifiers": [], "notes": ""},
    ]


@pytest.mark.rule("META-2", "META-5", "MONEY-3")
def test_the_validated_price_saves_a_call_and_binds(
    restaurant: FftpServer, adapter: FftpAdapter, transport: Transport, session: Session, order: Callable[..., Order]
) -> None:
    validated = adapter.validate_order(order(), session)
    calls = len(session.calls)
    changed = order(cart=validated.cart, special_instructions="after all: no salt")
    adapter.submit_order(changed, LevelUp(), session)
    assert len(session.calls) == calls + 3
    before = restaurant.orders()
    assert before[0]["lines"][0]["notes"] == "whole order: after all: no salt"

    restaurant.change_item("burger", price="10.50")
    try:
        with pytest.raises(Refused, match="client total does not match menu prices") as refusal:
            adapter.submit_order(changed, LevelUp(), session_for(adapter, transport, adapter.error_from))
    finally:
        restaurant.change_item("burger", price="10.00")

    assert refusal.value.code == "price_changed"
    assert restaurant.orders() == before


DIP = Option("burger%3Aside:fries:dip:mayo")
REFUSALS = {
    "unknown item": (Item("pizza", 1), "unknown_item", "unknown item_id: 'pizza'"),
    "unknown option": (
        Item("burger", 1, (FRIES, Option("burger%3Aside:gold"))),
        "unknown_option",
        "unknown modifier option(s): ['gold']",
    ),
    "too few choices": (Item("burger", 1), "invalid_choices", "missing required modifier group: 'side'"),
    "too many choices": (
        Item("burger", 1, (FRIES, SALAD)),
        "invalid_choices",
        "pick at most one option in group: 'side'",
    ),
    "too many of an item": (
        Item("soda", 21),
        "invalid_choices",
        "lines.0.quantity: Input should be less than or equal to 20",
    ),
    "sold out": (Item("cookie", 1), "item_unavailable", "item unavailable: 'cookie'"),
    # What FFTP would take without a word, and understand otherwise.
    "an option twice": (
        Item("burger", 1, (FRIES, Option(SWISS.provider_id, 2))),
        "invalid_choices",
        "option swiss can be chosen only once for an item",
    ),
    "another item's group": (
        Item("burger", 1, (Option("soup%3Aside:fries"),)),
        "unknown_option",
        "burger has no option fries in soup:side",
    ),
    # What no menu of FFTP has.
    "a nested option": (Item("burger", 1, (FRIES, DIP)), "unknown_option", "fries of burger:side has no options"),
    "an orphan": (
        Item("burger", 1, (DIP,)),
        "orphan_option",
        f"option {DIP.provider_id} was chosen without its parent option {FRIES.provider_id}",
    ),
    "no option id": (
        Item("burger", 1, (Option("fries"),)),
        "unknown_option",
        "'fries' is not an option id of the menu (group:option, ITEM-3)",
    ),
}


@pytest.mark.rule("ITEM-1", "ITEM-5", "ITEM-6", "ITEM-7", "ERR-2", "SUB-2")
@pytest.mark.parametrize(("item", "code", "words"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_has_the_restaurants_words_and_no_effect(
    item: Item,
    code: str,
    words: str,
    restaurant: FftpServer,
    adapter: FftpAdapter,
    session: Session,
    order: Callable[..., Order],
) -> None:
    before = restaurant.orders()

    with restaurant.sold_out("cookie"):
        for call in both_calls(adapter, order(item), session):
            with pytest.raises(Failure) as refusal:
                call()
            assert (refusal.value.code, refusal.value.message) == (code, words)

    assert restaurant.orders() == before
    assert not session.placing


FAULTS = {
    "unknown item": (Item("pizza", 1), "$.items[1].item"),
    "sold out": (Item("cookie", 1), "$.items[1].item"),
    "unknown option": (Item("burger", 1, (FRIES, Option("burger%3Aside:gold"))), "$.items[1].item"),
    "too many of an item": (Item("soda", 21), "$.items[1].item"),
    "a group that two items may have": (Item("burger", 1), None),
}


@pytest.mark.rule("ERR-2", "MENU-7")
@pytest.mark.parametrize(("item", "path"), FAULTS.values(), ids=FAULTS)
def test_a_refusal_names_the_item_at_fault(
    item: Item,
    path: str | None,
    restaurant: FftpServer,
    adapter: FftpAdapter,
    session: Session,
    order: Callable[..., Order],
) -> None:
    with restaurant.sold_out("cookie"):
        for call in both_calls(adapter, order(Item("soda", 1), item), session):
            with pytest.raises(Refused) as refusal:
                call()
            assert refusal.value.path == path


@pytest.mark.rule("ERR-2", "ITEM-7")
def test_missing_choices_of_the_only_item_have_its_path(
    adapter: FftpAdapter, session: Session, order: Callable[..., Order]
) -> None:
    with pytest.raises(Refused, match="missing required modifier group: 'side'") as refusal:
        adapter.validate_order(order(Item("burger", 1)), session)
    assert refusal.value.path == "$.items[0].item"


@pytest.mark.rule("MENU-8")
def test_the_stock_is_what_the_counter_says_now(
    restaurant: FftpServer, adapter: FftpAdapter, session: Session, menu: Menu
) -> None:
    location = adapter.list_locations(session)[0]
    before, called = adapter.show_stock(location, session), len(session.calls)
    with restaurant.sold_out("soda"):
        gone = adapter.show_stock(location, session)
        assert "soda" in {item.provider_id for category in menu.categories for item in category.items}
    assert gone.items - before.items == {"soda"} and not adapter.show_stock(location, session).lacks_item("soda")
    assert len(session.calls) == called + 2


@pytest.mark.rule("ITEM-7", "MENU-7", "SUB-2")
def test_an_item_sold_out_after_validation_is_refused(
    restaurant: FftpServer, adapter: FftpAdapter, session: Session, order: Callable[..., Order]
) -> None:
    validated = adapter.validate_order(order(Item("soda", 1)), session)
    before = restaurant.orders()

    with restaurant.sold_out("soda"), pytest.raises(Refused) as refusal:
        adapter.submit_order(order(Item("soda", 1), cart=validated.cart), LevelUp(), session)

    assert (refusal.value.code, refusal.value.message) == ("item_unavailable", "item unavailable: 'soda'")
    assert restaurant.orders() == before


@pytest.mark.rule("SUB-2", "TIME-1")
def test_the_same_reference_again_is_the_same_order(
    restaurant: FftpServer, adapter: FftpAdapter, transport: Transport, session: Session, order: Callable[..., Order]
) -> None:
    first = adapter.submit_order(order(reference="ref-2"), LevelUp(), session)
    held = restaurant.orders()

    another = session_for(adapter, transport, adapter.error_from)
    again = adapter.submit_order(order(reference="ref-2"), LevelUp(), another)

    assert restaurant.orders() == held
    assert (again.order_id, again.provider_order_id) == (first.order_id, first.provider_order_id)
    assert again.expected_ready_at == datetime.fromisoformat(held[0]["created_at"]) + timedelta(minutes=20)


def test_the_menu_is_kept_and_a_price_is_one_call(
    adapter: FftpAdapter, session: Session, order: Callable[..., Order]
) -> None:
    calls = []
    for _ in range(3):
        adapter.validate_order(order(), session)
        calls.append(len(session.calls))
    assert calls == [2, 3, 4]


@pytest.mark.rule("SUB-5", "PAY-1")
def test_an_order_with_a_lost_answer_is_found_and_marked_paid(
    restaurant: FftpServer, adapter: FftpAdapter, transport: Transport, session: Session, order: Callable[..., Order]
) -> None:
    def lose_the_answer(reply: Reply) -> Refused | None:
        if reply.status == 201:
            raise Unanswered("provider_unavailable", "the connection broke", sent=True)
        return adapter.error_from(reply)

    before = restaurant.orders()
    broken = session_for(adapter, transport, lose_the_answer)
    with pytest.raises(Unanswered):
        adapter.submit_order(order(reference="ref-3"), LevelUp(), broken)
    [unpaid, *rest] = restaurant.orders()
    assert rest == before and unpaid["paid"] is False

    [place] = adapter.list_locations(session)
    found = adapter.find_order(place, "ref-3", {}, session)

    assert found is not None and found.provider_order_id == unpaid["order_id"]
    assert found.expected_ready_at == datetime.fromisoformat(unpaid["created_at"]) + timedelta(minutes=20)
    assert restaurant.orders() == [{**unpaid, "paid": True}, *rest]
    assert adapter.find_order(place, "ref-4", {}, session) is None


@pytest.mark.rule("PAY-1", "SUB-5")
def test_without_the_right_token_nothing_is_placed(
    restaurant: FftpServer, transport: Transport, order: Callable[..., Order]
) -> None:
    before = restaurant.orders()
    stranger = adapter_for(restaurant, "wrong")
    session = session_for(stranger, transport, stranger.error_from)

    with pytest.raises(Unanswered) as failure:
        stranger.submit_order(order(), LevelUp(), session)

    assert failure.value.code == "provider_credentials_refused"
    assert not session.placing
    assert restaurant.orders() == before


ACCOUNTS = """
[accounts.boston]
provider = "fftp"
name = "Boston Deli"
time_zone = "America/New_York"
settings = {{base_url = "{url}", admin_token = "env:ADMIN_TOKEN"}}
"""


@pytest.mark.rule("STAT-1", "STAT-2", "STAT-3")
@pytest.mark.parametrize("moves", [("preparing", "ready", "completed"), ("cancelled",)], ids=" ".join)
def test_an_order_that_the_counter_moves_is_seen_by_the_channel(
    restaurant: FftpServer, make_app: MakeApp, tmp_path: Path, moves: tuple[str, ...]
) -> None:
    (tmp_path / "accounts.toml").write_text(ACCOUNTS.format(url=restaurant.base_url))
    app = make_app(LEVELUP_OV_ACCOUNTS=str(tmp_path / "accounts.toml"), ADMIN_TOKEN=restaurant.admin_token)
    channel = Channel(app)
    ordered = channel.submit("boston.main", items=[line("soda")]).order
    order_id = restaurant.orders()[0]["order_id"]
    address, seen = f"/locations/boston.main/orders/{ordered['order_id']}", []
    for status in ("received", *moves):
        if status != "received":
            restaurant.move(order_id, status)
        reported = channel.get(address).order
        assert (reported["provider_status"], reported["changed_at"]) == (status, None)
        assert reported["expected_ready_at"] == ordered["expected_ready_at"]
        seen.append(reported["status"])
    stages = {"received": "placed", "completed": "picked_up"}
    assert seen == [stages.get(status, status) for status in ("received", *moves)]


@pytest.mark.rule("STAT-6")
def test_an_order_is_canceled_at_the_counter(restaurant: FftpServer, make_app: MakeApp, tmp_path: Path) -> None:
    (tmp_path / "accounts.toml").write_text(ACCOUNTS.format(url=restaurant.base_url))
    app = make_app(LEVELUP_OV_ACCOUNTS=str(tmp_path / "accounts.toml"), ADMIN_TOKEN=restaurant.admin_token)
    channel = Channel(app)
    for *moves, expected in (("preparing", "cancelled"), ("preparing", "ready", "ready")):
        ordered = channel.submit("boston.main", items=[line("soda")], order_number=expected).order
        (order,) = [each for each in restaurant.orders() if each["ticket_number"] == ordered["order_id"]]
        for status in moves:
            restaurant.move(order["order_id"], status)
        address = f"/locations/boston.main/orders/{ordered['order_id']}"
        for _ in range(2):
            answer = channel.send("POST", f"{address}/cancellation")
            if expected == "cancelled":
                assert (answer.order["status"], answer.order["provider_status"]) == ("cancelled", "cancelled")
            else:
                assert answer.refusal == (422, "cancellation_refused", None)
        assert channel.get(address).order["status"] == expected
