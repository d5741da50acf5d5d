"""The sandbox adapter against the engine, through the transport."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
import pytz

from adapters.sandbox import CODES, Cart, SandboxAdapter, _read_menu
from levelup_ov.adapter import Account
from levelup_ov.domain.failure import Failure
from levelup_ov.domain.menu import check
from levelup_ov.domain.options import Option
from levelup_ov.domain.order import Item, Order, User
from levelup_ov.domain.orderable import orderable
from levelup_ov.domain.outcome import Quote
from levelup_ov.domain.ready_time import available_at, to_wire
from levelup_ov.domain.secret import Secret
from levelup_ov.domain.tender import CreditCard, LevelUp, Tender
from levelup_ov.errors import KINDS, ReferenceFenced, Refused, Unanswered
from levelup_ov.standins.sandbox import create_sandbox, magic
from levelup_ov.transport.deadline import Deadline
from levelup_ov.transport.placement import Placement
from levelup_ov.transport.session import Reply, Session, Transport

NOON = datetime(2026, 11, 20, 17, 0, tzinfo=timezone.utc)
ADA = User("Ada", "Eater", phone="+16175550199", email="ada@example.com")
SANDWICH = Item("sandwich", 1)
CARD = CreditCard(Secret("4111111111111111"), Secret("123"), "01", "2030", "02114", "Ada Eater")


class Bench:
    """The adapter, its engine, and a session for each request."""

    def __init__(self, database: Path) -> None:
        self.now = NOON
        self.app = create_sandbox(database, clock=lambda: self.now)
        self.adapter = SandboxAdapter(account())
        self._transport = Transport(pool_size=1, in_process={"sandbox.internal": self.app})
        self.session = self.new_session()
        self.locations = {place.provider_id: place for place in self.adapter.list_locations(self.session)}

    def new_session(self, seconds: float = 14.0, adapter: SandboxAdapter | None = None) -> Session:
        adapter = adapter or self.adapter
        self.session = Session(
            self._transport,
            "sandbox",
            base_url=adapter.base_url,
            headers=adapter.headers(),
            error_from=adapter.error_from,
            deadline=Deadline(seconds),
        )
        return self.session

    def order(self, place: str = "congress", *items: Item, **members: Any) -> Order:
        members = {"user": ADA, "received_at": self.now, **members}
        return Order(location=self.locations[place], items=items or (SANDWICH,), **members)

    def validate(self, order: Order) -> Quote:
        return self.adapter.validate_order(order, self.new_session())

    def submit(self, order: Order, tender: Tender = LevelUp(), *, seconds: float = 14.0) -> Any:
        order = replace(order, reference=order.reference or "ref-1")
        return self.adapter.submit_order(order, tender, self.new_session(seconds))

    def find(self, place: str = "congress", reference: str = "ref-1") -> Any:
        return self.adapter.find_order(self.locations[place], reference, {}, self.new_session())

    def calls(self) -> list[str]:
        return [f"{call.method} {call.path.rsplit('/', 1)[-1]}" for call in self.session.calls]

    def kitchen_sees(self, order_id: str) -> Any:
        return self.new_session().get(f"/v1/orders/{order_id}").json()["order"]

    def orders(self, place: str = "congress", reference: str = "ref-1") -> int:
        with self.app.extensions["sandbox"].store.reading() as transaction:
            return len(transaction.orders_by_reference(place, reference))


def account(**settings: str | Secret) -> Account:
    defaults = {name: setting.default or "" for name, setting in SandboxAdapter.settings.items()}
    return Account("sandbox", "sandbox", "Sandbox Diner", settings={**defaults, **settings})


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "sandbox.db")
    yield bench
    bench.app.extensions["sandbox"].store.close()


def submission(order: Order, quote: Quote, **changes: Any) -> Order:
    """The submission that follows a validation: what was returned comes back."""
    return replace(order, cart=quote.cart, customer_account=quote.customer_account or order.customer_account, **changes)


@pytest.mark.rule("LOC-1", "LOC-2", "PAY-3")
def test_locations_in_our_terms(bench):
    night, tokyo = bench.locations["night"], bench.locations["tokyo"]
    assert night.time_zone == "America/New_York"
    assert [(span.opens_at, span.closes_at) for span in night.hours["monday"]] == [(0, 360), (1080, 1440)]
    assert [(span.opens_at, span.closes_at) for span in tokyo.hours["sunday"]] == [(0, 1440)]
    assert (tokyo.time_zone, tokyo.region, str(tokyo.latitude)) == ("Asia/Tokyo", None, "35.6717")
    assert {key for key, place in bench.locations.items() if not place.accepts_tips_on_pickup} == {"notips"}
    assert bench.locations["card"].tenders == {"credit_card"}
    assert bench.locations["congress"].tenders == {"credit_card", "levelup"}
    assert {key for key, place in bench.locations.items() if place.fulfills_deliveries} == {"congress"}


@pytest.mark.rule("MENU-1", "MENU-2", "MENU-3", "MENU-5", "ITEM-3", "ITEM-4")
def test_the_menu_in_our_terms_holds_together(bench):
    for place in bench.locations.values():
        assert check(bench.adapter.show_menu(place, bench.new_session())) == ()
    menu = bench.adapter.show_menu(bench.locations["congress"], bench.new_session())
    groups = {group.provider_id: group for group in menu.option_groups}
    items = {item.provider_id: item for category in menu.categories for item in category.items}
    assert items["sandwich"].option_groups == ("bread", "toppings", "added-side")
    assert items["burger"].option_groups == ("side", "toppings")
    assert list(groups).count("toppings") == 1
    assert {"side:fries:dips", "added-side:rings:dips:aioli:heat", "chili%3Alevel"} <= set(groups)
    assert [option.provider_id for option in groups["chili%3Alevel"].options] == [
        "chili%3Alevel:50%25",
        "chili%3Alevel:100%25",
    ]
    greens = groups["greens"]
    assert (greens.minimum_choices, greens.maximum_choices) == (2, 4)
    assert (greens.minimum_unique_options, greens.maximum_unique_options) == (2, 3)
    assert greens.defaults == ("greens:romaine", "greens:spinach")
    assert (groups["toppings"].free_choices, groups["side"].minimum_choices) == (2, 1)
    assert menu.special_instructions_character_limit == 250
    assert menu.updated_at == datetime(2026, 11, 1, tzinfo=timezone.utc)
    assert [heading.category_group for heading in menu.categories] == ["food", "food", "drinks-sweets", "drinks-sweets"]


@pytest.mark.rule("MENU-6", "ITEM-7")
def test_an_item_whose_choice_cannot_be_made_is_left_out(bench):
    answer = bench.new_session().get("/v1/locations/congress/menu").object()
    dishes = [dish for heading in answer.member("menu").each("headings") for dish in heading.each("dishes")]
    (burger,) = [dish for dish in dishes if dish.text("id") == "burger"]
    (side,) = [group for group in burger.each("groups") if group.text("id") == "side"]
    side.value["least"] = side.value["most"] = 9

    menu = orderable(_read_menu(answer))

    assert "burger" not in {item.provider_id for category in menu.categories for item in category.items}
    assert "sandwich" in {item.provider_id for category in menu.categories for item in category.items}
    assert check(menu) == ()


@pytest.mark.rule("ITEM-7", "MENU-5")
def test_everything_the_menu_shows_can_be_ordered_by_its_id(bench):
    menu = bench.adapter.show_menu(bench.locations["congress"], bench.new_session())
    paths = [option.provider_id for group in menu.option_groups for option in group.options]
    assert max(path.count(":") for path in paths) == 5
    items = [item for category in menu.categories for item in category.items]
    owners = {group: item.provider_id for item in items for group in item.option_groups}
    for path in paths:
        parts = path.split(":")
        if parts[0] == "greens" or path == "toppings:avocado":
            continue
        chosen = [Option(":".join(parts[:end])) for end in range(2, len(parts) + 1, 2)]
        if owners[parts[0]] == "burger" and parts[0] != "side":
            chosen.append(Option("side:slaw"))
        item = Item(owners[parts[0]], 1, tuple(chosen))
        assert bench.validate(bench.order("congress", item)).consumer_pays > 0


@pytest.mark.rule("EP-4", "MONEY-8", "META-2", "TIME-3")
def test_a_validation_is_one_call_and_accounts_for_every_cent(bench):
    quote = bench.validate(bench.order(tip=200, merchant_funded_discount=100))
    assert bench.calls() == ["POST carts"]
    assert (quote.total, quote.tax, quote.tip, quote.merchant_funded_discount) == (1000, 70, 200, 100)
    assert quote.charged == quote.consumer_pays == 1170
    assert quote.provider_funded_discount == 0
    assert quote.ready.soonest == NOON + timedelta(minutes=10)
    assert quote.ready.slots is None
    assert quote.customer_account == {}
    assert all(isinstance(value, Secret) for value in quote.cart.values())


@pytest.mark.rule("MONEY-4", "TIME-7")
def test_notips_returns_no_tip_and_no_time(bench):
    quote = bench.validate(bench.order("notips", tip=200))
    assert (quote.tip, quote.charged, quote.ready.soonest, quote.ready.slots) == (None, 1070, None, None)
    placed = bench.submit(submission(bench.order("notips", tip=200), quote))
    assert (placed.expected_ready_at, placed.charged) == (None, 1070)


@pytest.mark.rule("MONEY-6", "TIME-1")
def test_tokyo_gives_its_own_discount_and_its_times_become_local(bench):
    quote = bench.validate(bench.order("tokyo", Item("bento", 1), desired_ready_time=NOON + timedelta(hours=3)))
    assert (quote.total, quote.provider_funded_discount, quote.charged) == (1000, 100, 980)
    assert quote.consumer_pays == 980
    assert to_wire(quote.ready.soonest, pytz.timezone("Asia/Tokyo")) == "2026-11-21T05:00"


@pytest.mark.rule("TIME-4", "TIME-5", "TIME-8")
def test_slots_become_soonest_and_available_times(bench):
    closed = bench.validate(bench.order("night"))
    assert closed.ready.soonest == NOON + timedelta(hours=6)
    offered = available_at(closed.ready, None, NOON)
    assert offered is not None and offered[-1] == NOON + timedelta(hours=17, minutes=45)
    wanted = NOON + timedelta(days=400, minutes=1)
    far = bench.validate(bench.order("day", desired_ready_time=wanted))
    assert far.ready.soonest == wanted + timedelta(minutes=14)
    assert len(available_at(far.ready, wanted, NOON) or ()) > 40


@pytest.mark.rule("ITEM-2", "ITEM-3", "ITEM-4", "ITEM-8", "PAY-1", "SUB-1", "EP-5")
def test_an_order_reaches_the_kitchen_whole(bench):
    burger = Item(
        "burger",
        2,
        (
            Option("side:fries:dips:aioli:heat:hot"),
            Option("side:fries:dips:aioli", 2),
            Option("toppings:tomato"),
            Option("side:fries"),
        ),
        special_instructions="rare",
        recipient_name="Ben",
    )
    order = bench.order(
        "congress",
        burger,
        Item("noodles", 1, (Option("chili%3Alevel:100%25"),)),
        tip=150,
        merchant_funded_discount=50,
        special_instructions="back door",
        desired_ready_time=datetime.fromisoformat("2026-11-21T12:00:00-05:00"),
    )
    placed = bench.submit(order)
    assert bench.calls() == ["POST carts", "POST orders"]
    assert (placed.order_id, placed.expected_ready_at) == (1, NOON + timedelta(days=1))
    seen = bench.kitchen_sees(placed.provider_order_id)
    heat = {"group": "heat", "choice": "hot", "count": 1, "picks": []}
    dips = {"group": "dips", "choice": "aioli", "count": 2, "picks": [heat]}
    assert seen["lines"][0] == {
        "dish": "burger",
        "count": 2,
        "note": "rare",
        "label": "Ben",
        "picks": [
            {"group": "toppings", "choice": "tomato", "count": 1, "picks": []},
            {"group": "side", "choice": "fries", "count": 1, "picks": [dips]},
        ],
    }
    assert seen["lines"][1]["picks"][0] == {"group": "chili:level", "choice": "100%", "count": 1, "picks": []}
    assert (seen["note"], seen["gratuity"], seen["discounts"]["coupon"]) == ("back door", 150, 50)
    assert seen["customer"] == {"name": "Ada Eater", "phone": "+16175550199", "email": "ada@example.com"}
    assert seen["payment"] == {"kind": "external", "source": "LevelUp"}
    assert (seen["reference"], seen["charged"]) == ("ref-1", placed.charged)
    assert seen["ready"]["at"] == "2026-11-21T12:00:00-05:00"


@pytest.mark.rule("PAY-2")
def test_a_single_use_card_is_passed_through(bench):
    placed = bench.submit(bench.order("card"), CARD)
    assert bench.kitchen_sees(placed.provider_order_id)["payment"] == {"kind": "card", "source": None}


@pytest.mark.rule("META-2", "META-4")
def test_a_submission_of_what_was_validated_is_one_call(bench):
    order = bench.order()
    quote = bench.validate(order)
    assert bench.submit(submission(order, quote)).order_id == 1
    assert bench.calls() == ["POST orders"]


@pytest.mark.rule("META-5")
@pytest.mark.parametrize(
    ("changes", "member", "value"),
    [
        ({"tip": 300}, "gratuity", 300),
        ({"special_instructions": "ring twice"}, "note", "ring twice"),
        ({"desired_ready_time": NOON + timedelta(hours=2)}, "wanted_at", "2026-11-20T19:00:00+00:00"),
    ],
)
def test_what_changed_since_the_validation_reaches_the_kitchen(bench, changes, member, value):
    order = bench.order()
    placed = bench.submit(submission(order, bench.validate(order), **changes))
    assert bench.calls()[0].startswith("PUT ")
    assert bench.calls()[1:] == ["POST orders"]
    seen = bench.kitchen_sees(placed.provider_order_id)
    assert seen[member] == value
    assert placed.charged == 1070 + changes.get("tip", 0)


@pytest.mark.rule("META-4")
@pytest.mark.parametrize("cart", [{}, {"cart": Secret("{")}, {"cart": Secret("[]")}, {"cart": Secret("5")}])
def test_a_submission_needs_nothing_of_a_validation(bench, cart):
    assert bench.submit(replace(bench.order(), cart=cart)).order_id == 1
    assert bench.calls() == ["POST carts", "POST orders"]


@pytest.mark.rule("META-4")
@pytest.mark.parametrize("changes", [{}, {"tip": 100}])
def test_an_expired_cart_is_rebuilt(bench, changes):
    order = bench.order()
    quote = bench.validate(order)
    bench.now += timedelta(hours=3)
    assert bench.submit(submission(order, quote, **changes)).charged == 1070 + changes.get("tip", 0)
    assert bench.calls()[1:] == ["POST carts", "POST orders"]


@pytest.mark.rule("META-2")
def test_a_cart_of_another_location_counts_as_absent(bench):
    quote = bench.validate(bench.order("congress"))
    bench.submit(replace(bench.order("tokyo"), cart=quote.cart))
    assert (bench.orders("congress"), bench.orders("tokyo")) == (0, 1)


@pytest.mark.rule("PAY-4")
def test_the_validated_total_is_the_requested_total(bench):
    order = bench.order()
    quote = bench.validate(order)
    cheaper = Secret(json.dumps(Cart(*json.loads(quote.cart["cart"].reveal()))._replace(total=1000)))
    for hours in (0, 3):
        bench.now += timedelta(hours=hours)
        with pytest.raises(Refused) as refused:
            bench.submit(replace(order, cart={"cart": cheaper}))
        assert refused.value.code == "price_changed"
    assert bench.orders() == 0


@pytest.mark.rule("SUB-2")
@pytest.mark.parametrize("changes", [{}, {"tip": 100}])
def test_a_cart_is_ordered_once(bench, changes):
    order = bench.order()
    again = submission(order, bench.validate(order))
    bench.submit(again)
    with pytest.raises(Refused) as refused:
        bench.submit(replace(again, reference="ref-2", **changes))
    assert refused.value.code == "order_refused"
    assert bench.orders() + bench.orders(reference="ref-2") == 1


@pytest.mark.rule("SUB-5")
def test_an_order_is_found_by_our_reference(bench):
    assert bench.find() is None
    placed = bench.submit(bench.order())
    assert bench.find() == replace(placed, expected_charge=None)
    assert bench.find("tokyo") is None
    assert bench.find(reference="ref 1&x=/") is None


BOB = User("Bob", "Eater", phone="+16175550188", email="bob@example.com")


@pytest.mark.rule("META-3", "META-5")
@pytest.mark.parametrize("place", ["congress", "account"])
def test_a_cart_of_another_guest_counts_as_absent(bench, place):
    ada = bench.validate(bench.order(place))
    bobs = bench.submit(bench.order(place, user=BOB, cart=ada.cart, reference="bob"))
    assert "POST carts" in bench.calls()
    own = bench.submit(bench.order(place, cart=ada.cart, customer_account=ada.customer_account, reference="ada"))
    assert bench.calls() == ["POST orders"]
    seen = [bench.kitchen_sees(placed.provider_order_id) for placed in (bobs, own)]
    assert [each["customer"]["name"] for each in seen] == ["Bob Eater", "Ada Eater"]
    assert place == "congress" or len({each["account"] for each in seen}) == 2


@pytest.mark.rule("META-3")
@pytest.mark.parametrize("changes", [{"email": "ada@new.example"}, {"phone": "+16175550111"}, {"first_name": "A."}])
def test_a_guest_who_changes_one_address_keeps_the_cart(bench, changes):
    quote = bench.validate(bench.order())
    bench.submit(bench.order(user=replace(ADA, **changes), cart=quote.cart))
    assert bench.calls()[0].startswith("PUT ")


@pytest.mark.rule("META-4")
def test_a_cart_of_an_earlier_version_counts_as_absent(bench):
    quote = bench.validate(bench.order())
    earlier = Secret(json.dumps(json.loads(quote.cart["cart"].reveal())[:5]))
    bench.submit(bench.order(cart={"cart": earlier}))
    assert bench.calls() == ["POST carts", "POST orders"]


def fence(bench: Bench, place: str = "congress") -> None:
    bench.adapter.fence_order(bench.locations[place], "ref-1", {}, bench.new_session())


@pytest.mark.rule("SUB-10")
@pytest.mark.parametrize("place", ["congress", "account"])
def test_nothing_is_ordered_under_a_fenced_reference(bench, place):
    order = bench.order(place)
    quote = bench.validate(order)
    fence(bench, place)
    assert bench.find(place) is None
    for again in (order, submission(order, quote)):
        with pytest.raises(ReferenceFenced):
            bench.submit(again)
    # The cart of the validation serves the next reference.
    placed = bench.submit(replace(submission(order, quote), reference="ref-2"))
    assert (bench.orders(place), placed.reference, placed.charged) == (0, "ref-2", 1070)


@pytest.mark.rule("SUB-10")
def test_a_fence_leaves_an_order_that_was_placed(bench):
    placed = bench.submit(bench.order())
    fence(bench)
    assert bench.find().provider_order_id == placed.provider_order_id


@pytest.mark.rule("SUB-2", "SUB-8")
def test_a_reference_that_is_taken_is_the_order_that_has_it(bench):
    placed = bench.submit(bench.order())
    again = bench.submit(bench.order(tip=100))
    assert again.provider_order_id == placed.provider_order_id
    assert bench.orders() == 1


RECEIPT = {"id": "o-1", "ticket": 1, "location": "congress", "reference": "ref-1", "ready": {}, "charged": 1070}


class Said(Session):
    """A session whose every answer is one body."""

    def __init__(self, body: Any) -> None:
        self.body, self.placement = body, Placement()

    def call(self, method: str, path: str, **how: Any) -> Reply:
        return Reply(200, {}, json.dumps(self.body).encode())


@pytest.mark.rule("SUB-8")
@pytest.mark.parametrize("member", ["reference", "location"])
@pytest.mark.parametrize("value", ["another", "", None])
def test_an_order_that_is_not_ours_is_not_found(bench, member, value):
    for rows in ([{**RECEIPT, member: value}], [RECEIPT, {**RECEIPT, "id": "o-2", member: value}]):
        with pytest.raises(Unanswered, match=rf"GET /v1/locations/congress/orders .*orders\[\d\]\.{member}"):
            bench.adapter.find_order(bench.locations["congress"], "ref-1", {}, Said({"orders": rows}))


@pytest.mark.rule("SUB-2", "SUB-8")
def test_two_orders_of_one_reference_are_both_reported(bench):
    rows = [RECEIPT, {**RECEIPT, "id": "o-2", "ticket": 2}]
    placed = bench.adapter.find_order(bench.locations["congress"], "ref-1", {}, Said({"orders": rows}))
    assert (placed.provider_order_id, placed.duplicates) == ("o-1", ("o-2",))


@pytest.mark.rule("SUB-10")
@pytest.mark.parametrize("answer", [{}, {"location": "congress"}, {"location": "congress", "reference": "ref-2"}])
def test_a_fence_that_is_not_confirmed_is_none(bench, answer):
    with pytest.raises(Unanswered):
        bench.adapter.fence_order(bench.locations["congress"], "ref-1", {}, Said({"void": answer}))


@pytest.mark.rule("META-1", "META-6", "META-7")
def test_an_account_is_made_once_and_used_again(bench):
    order = bench.order("account")
    quote = bench.validate(order)
    assert bench.calls() == ["POST carts", "POST accounts", "POST carts"]
    assert quote.customer_account["email"].reveal() == "ada@example.com"
    assert len(quote.customer_account["password"].reveal()) >= 24
    bench.submit(submission(order, quote))
    assert bench.calls() == ["POST orders"]
    again = bench.validate(replace(order, customer_account=quote.customer_account))
    assert bench.calls() == ["POST carts", "POST sessions", "POST carts"]
    assert again.customer_account == quote.customer_account


@pytest.mark.rule("META-6", "SUB-2")
def test_an_account_whose_making_is_delivered_twice_is_used(bench, monkeypatch):
    """The second answer says that the address is taken."""
    bench.validate(bench.order("account"))
    send = Session.post

    def twice(session, path, *body, **how):
        if path == "/v1/accounts":
            with suppress(Refused):
                send(session, path, *body, **how)
        return send(session, path, *body, **how)

    monkeypatch.setattr(Session, "post", twice)
    quote = bench.validate(bench.order("account"))
    assert quote.customer_account["email"].reveal().startswith("ada+")
    assert bench.submit(submission(bench.order("account"), quote)).order_id


@pytest.mark.rule("META-4", "META-6")
def test_a_submission_without_validation_returns_its_account(bench):
    placed = bench.submit(bench.order("account"))
    assert placed.customer_account["email"].reveal() == "ada@example.com"
    assert bench.kitchen_sees(placed.provider_order_id)["account"]


@pytest.mark.rule("META-6")
@pytest.mark.parametrize("credentials", [{}, {"email": Secret("ada@example.com"), "password": Secret("wrong")}])
def test_an_existing_account_is_never_taken_over(bench, credentials):
    first = bench.validate(bench.order("account"))
    quote = bench.validate(replace(bench.order("account"), customer_account=credentials))
    email = quote.customer_account["email"].reveal()
    assert email.startswith("ada+") and email.endswith("@example.com")
    again = bench.validate(replace(bench.order("account"), customer_account=first.customer_account))
    assert again.customer_account["email"].reveal() == "ada@example.com"


@pytest.mark.rule("META-6", "META-7")
def test_half_of_the_credentials_counts_as_none(bench):
    quote = bench.validate(replace(bench.order("account"), customer_account={"email": Secret("eve@example.com")}))
    assert quote.customer_account["email"].reveal() == "ada@example.com"


@pytest.mark.rule("META-6")
def test_an_account_needs_an_address(bench):
    with pytest.raises(Refused) as refused:
        bench.validate(bench.order("account", user=replace(ADA, email=None)))
    assert refused.value.code == "customer_refused"


@pytest.mark.rule("META-4")
def test_a_session_that_ended_is_replaced(bench):
    order = bench.order("account")
    quote = bench.validate(order)
    bench.now += timedelta(hours=13)
    assert bench.submit(submission(order, quote)).order_id == 1
    assert bench.calls() == ["POST orders", "POST carts", "POST sessions", "POST carts", "POST orders"]


LINE = "$.items[1].item"
NOTE = f"{LINE}.special_instructions"
REFUSALS: Mapping[str, tuple[str, Item, str]] = {
    "unknown item": ("unknown_item", Item("pizza", 1), LINE),
    "unknown option": ("unknown_option", Item("sandwich", 1, (Option("bread:brioche"),)), LINE),
    "option of another item": ("unknown_option", Item("sandwich", 1, (Option("side:slaw"),)), LINE),
    "sold out": ("item_unavailable", Item("soup", 1), LINE),
    "sold-out option": ("item_unavailable", Item("sandwich", 1, (Option("toppings:avocado"),)), LINE),
    "nothing chosen": ("invalid_choices", Item("burger", 1), LINE),
    "too many": ("invalid_choices", Item("cookie", 100), LINE),
    "no note": ("special_instructions_not_allowed", Item("lemonade", 1, special_instructions="warm"), NOTE),
    "long note": ("special_instructions_too_long", Item("cookie", 1, special_instructions="x" * 251), NOTE),
    "orphan": (
        "orphan_option",
        Item("burger", 1, (Option("side:slaw"), Option("side:fries:dips:aioli"))),
        f"{LINE}.options[1].option.provider_id",
    ),
    "no id of ours": (
        "unknown_option",
        Item("sandwich", 1, (Option("bread"),)),
        f"{LINE}.options[0].option.provider_id",
    ),
    "bottomless": (
        "unknown_option",
        Item("sandwich", 1, tuple(Option(":".join(["a:b"] * depth)) for depth in range(1, 300))),
        "$.items",
    ),
}


@pytest.mark.rule("ITEM-5", "ITEM-7", "ITEM-8", "ERR-2")
@pytest.mark.parametrize("case", REFUSALS)
def test_refused_items_are_named(bench, case):
    code, item, path = REFUSALS[case]
    with pytest.raises(Failure) as failure:
        bench.validate(bench.order("congress", SANDWICH, item))
    assert (failure.value.code, failure.value.path) == (code, path)


@pytest.mark.rule("TIME-10", "ITEM-8", "ERR-2", "EP-7")
@pytest.mark.parametrize(
    ("place", "members", "code"),
    [
        ("notips", {"desired_ready_time": NOON + timedelta(hours=1)}, "ready_time_unavailable"),
        ("congress", {"desired_ready_time": NOON - timedelta(minutes=1)}, "ready_time_in_past"),
        ("congress", {"special_instructions": "x" * 251}, "special_instructions_too_long"),
        ("congress", {"merchant_funded_discount": 1071}, "order_refused"),
        ("congress", {"user": User("", "", phone="1")}, "customer_refused"),
    ],
)
def test_refused_orders_come_with_the_words_of_the_engine(bench, place, members, code):
    with pytest.raises(Refused) as refused:
        bench.validate(bench.order(place, **members))
    assert refused.value.code == code
    assert refused.value.message.endswith(".")


@pytest.mark.rule("EP-7")
def test_an_unknown_location_is_not_found(bench):
    nowhere = replace(bench.locations["congress"], provider_id="nowhere")
    with pytest.raises(Refused) as refused:
        bench.adapter.show_menu(nowhere, bench.new_session())
    assert refused.value.code == "location_not_found"


@pytest.mark.rule("PAY-2", "PAY-3")
@pytest.mark.parametrize(
    ("place", "tender", "code"),
    [
        ("card", LevelUp(), "tender_not_accepted"),
        ("card", replace(CARD, number=Secret(magic.DECLINED_CARD)), "card_declined"),
        ("card", replace(CARD, number=Secret(magic.EXPIRED_CARD)), "card_declined"),
        ("card", replace(CARD, number=Secret("4111111111111112")), "card_declined"),
        ("congress", replace(CARD, expiration_year="2020"), "card_declined"),
    ],
)
def test_a_payment_that_is_refused_places_nothing(bench, place, tender, code):
    with pytest.raises(Refused) as refused:
        bench.submit(bench.order(place), tender)
    assert refused.value.code == code
    assert bench.find(place) is None


@pytest.mark.parametrize(
    ("token", "code"),
    [
        ("sandbox:sold-out", "item_unavailable"),
        ("sandbox:price-change", "price_changed"),
        ("sandbox:decline", "order_refused"),
    ],
)
@pytest.mark.rule("ERR-2", "PAY-4")
def test_magic_refusals_come_at_the_order(bench, token, code):
    order = bench.order(special_instructions=f"no onions {token}")
    quote = bench.validate(order)
    for submitted in (submission(order, quote), order):
        with pytest.raises(Refused) as refused:
            bench.submit(submitted)
        assert refused.value.code == code
    assert bench.find() is None


@pytest.mark.rule("PAY-4")
def test_an_overcharge_is_reported_as_charged(bench):
    placed = bench.submit(bench.order(special_instructions="sandbox:overcharge"))
    assert (placed.expected_charge, placed.charged) == (1070, 1120)
    assert placed.charge_mismatch


@pytest.mark.rule("SUB-2", "SUB-5")
@pytest.mark.parametrize(
    ("note", "tender"),
    [("sandbox:lost-answer", LevelUp()), (None, replace(CARD, number=Secret(magic.LOST_ANSWER_CARD)))],
)
def test_a_lost_answer_is_unknown_not_repeated_and_found(bench, note, tender):
    with pytest.raises(Unanswered) as unanswered:
        bench.submit(bench.order(special_instructions=note), tender)
    assert unanswered.value.sent
    assert bench.session.placing
    assert bench.find().order_id == 1
    assert bench.orders() == 1


@pytest.mark.rule("SUB-5", "SUB-6")
def test_a_slow_answer_is_unknown_and_found(bench):
    order = bench.order()
    slow = submission(order, bench.validate(order), special_instructions="sandbox:slow=4")
    with pytest.raises(Unanswered) as unanswered:
        bench.submit(slow, seconds=2.5)
    assert (unanswered.value.code, unanswered.value.sent) == ("provider_timeout", True)


def reply(status: int, body: Any) -> Reply:
    return Reply(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())


def problem(code: str) -> Any:
    return {"problem": {"code": code, "text": "We are sorry.", "where": None}}


@pytest.mark.rule("ERR-1", "ERR-2")
def test_every_problem_has_a_code_of_the_closed_list(bench):
    assert set(CODES) <= set(KINDS)
    for code, problems in CODES.items():
        for name in problems.split():
            refusal = bench.adapter.error_from(reply(422, problem(name)))
            assert refusal is not None
            assert (refusal.code, refusal.message) == (code, "We are sorry.")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, problem("dish_unknown")),
        (500, problem("dish_unknown")),
        (503, b"<html>"),
        (404, b"<html>"),
        (422, {}),
        (422, {"problem": "dish_unknown"}),
        (422, problem("never_heard_of")),
        (400, problem("malformed")),
        (401, problem("key_refused")),
    ],
)
@pytest.mark.rule("SUB-5")
def test_only_the_engines_refusal_is_a_refusal(bench, status, body):
    assert bench.adapter.error_from(reply(status, body)) is None


@pytest.mark.rule("ERR-2")
def test_a_wrong_key_is_the_accounts_fault(bench):
    stranger = SandboxAdapter(account(api_key=Secret("wrong")))
    with pytest.raises(Unanswered) as unanswered:
        stranger.list_locations(bench.new_session(adapter=stranger))
    assert unanswered.value.code == "provider_credentials_refused"


@pytest.mark.rule("ERR-4", "META-7")
def test_nothing_secret_is_in_the_text_of_what_is_returned(bench):
    quote = bench.validate(bench.order("account"))
    token = Cart(*json.loads(quote.cart["cart"].reveal())).token
    assert token not in repr(quote)
    assert quote.customer_account["password"].reveal() not in repr(quote)


@pytest.mark.rule("STAT-2", "STAT-3")
def test_the_status_is_the_kitchens_and_of_this_order_alone(bench):
    placed = bench.submit(bench.order())
    status = bench.adapter.show_status(
        bench.locations["congress"], placed.provider_order_id, "ref-1", bench.new_session()
    )
    assert (status.word, status.reference, status.changed_at) == ("taken", "ref-1", NOON)
    assert status.expected_ready_at == placed.expected_ready_at
    assert bench.calls() == ["GET state"]
    state = {"word": "taken", "since": NOON.isoformat(), "location": "congress", "reference": "ref-1", "ready": {}}
    for member in ("location", "reference"):
        with pytest.raises(Unanswered, match=rf"another order: \$\.state\.{member}"):
            bench.adapter.show_status(
                bench.locations["congress"], "o-1", "ref-1", Said({"state": {**state, member: "x"}})
            )
